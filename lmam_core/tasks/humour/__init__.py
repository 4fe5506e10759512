"""Whether a punchline is humorous, given what was said before it: C-MFN with and without LMAM."""
