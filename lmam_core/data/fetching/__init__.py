"""A dataset of the catalogue out of its original public files."""
