"""What a reader is shown of many notes."""

from __future__ import annotations

import re
from collections.abc import Sequence

EXAMPLES = 3
# What differs between notes of one kind: the place at the start, what stands in quotation marks, and numbers.
_OWN = re.compile(
    r"^line [\d,]+( \(.*?, turn \S+\))?|^(dialogues?|segment) .*?(?= is | are | has |:)|'.*'|\d[\d,.]*", re.S
)


def condensed(notes: Sequence[str]) -> list[str]:
    """Of each kind the first three notes, and how many more there are."""
    kinds: dict[str, list[str]] = {}
    for note in notes:
        kinds.setdefault(_OWN.sub("", note), []).append(note)
    shown = []
    for alike in kinds.values():
        shown += alike[:EXAMPLES]
        if len(alike) > EXAMPLES:
            shown.append(f"... and {len(alike) - EXAMPLES:,} more like these, {len(alike):,} in all.")
    return shown


def reasons(notes: Sequence[str]) -> str:
    """The condensed notes on what was left out or is not there, for the sentence that nothing is left."""
    return " ".join(condensed([note for note in notes if "left out" in note or " has no " in note]))
