"""What a chapter may take, so that a build ends, and ends with a sentence."""

MEMORY = 2 * 2**30
"""Bytes of memory that a chapter in the quick profile may need: as many run at once as there is room for."""
MINUTES = 30
"""How long a chapter may run; `lmam book --minutes` gives another limit."""
OUTPUT = 20 * 2**20
"""Bytes that a cell may put out: a browser shows no more on a page."""
