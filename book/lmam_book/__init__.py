"""What studies the methods of `lmam_core`: plans, measurements, verdicts and the pages of the book."""
