"""A generated conversation with real media files."""
