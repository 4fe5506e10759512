"""The measured runs of the book: what is compared, how it is tuned and measured."""
