"""From runs and printed numbers to verdicts."""
