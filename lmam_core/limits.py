"""What a file, a server or a chapter may take of memory and time: damaged and hostile ones end in a sentence."""

SOUND_SECONDS = 4 * 3600.0
"""Of one item; a damaged header can claim any number."""
SOUND_RATES = (4_000, 768_000)
"""Hz within which a recording's own sampling rate must lie."""
SOUND_CHANNELS = 64
"""What FFmpeg's resampler takes."""
PICTURE_PIXELS = 1 << 26
"""Of one picture: 8,192 by 8,192."""
DECODE_SECONDS = 120.0
"""For one block of sound or one frame, in a process of its own."""

ANSWER_SECONDS = 10.0
"""For a server to answer at all, its headers included."""
SILENT_SECONDS = 30.0
"""Without a byte, after which a connection counts as broken, and over which its speed is measured."""
BYTES_PER_SECOND = 5_000
"""That must arrive in each `SILENT_SECONDS`: n bytes take at most n / BYTES_PER_SECOND + SILENT_SECONDS seconds."""

PICKLE_DEPTH = 64
"""Containers within containers; the files of the field have five."""
PICKLE_KEYS = 50_000
"""Values in tuples that are keys or items of sets: whoever chooses them can make all of their hashes the same."""
TABLE_BYTES = 256 * 2**20
"""Of a table of utterances: a million of them with a sentence each."""
DESCRIPTION_BYTES = 64 * 2**20
"""Of the `dataset.json` of a dataset; notes on a hundred thousand utterances have ten."""
RUN_BYTES = 64 * 2**20
"""Of the largest file that is taken for a run; those of the book have at most 50,000."""

CHAPTER_MEMORY = 2 * 2**30
"""Bytes that a chapter in the quick profile may need: as many run at once as there is room for."""
CHAPTER_MINUTES = 30
"""That a chapter may run; `lmam book --minutes` gives another limit."""
CELL_BYTES = 20 * 2**20
"""That a cell may put out: a browser shows no more on a page."""
