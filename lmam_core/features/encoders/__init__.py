"""What turns text, sound and pictures into numbers, one file per kind."""
