"""A dataset out of a folder of one's own recordings."""
