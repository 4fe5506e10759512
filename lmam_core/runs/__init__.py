"""What is asked, how it is carried out, what comes out, and where that is kept."""
