"""What the papers print, and what follows from it."""
