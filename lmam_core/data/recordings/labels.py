"""From the labels of a table to classes or real numbers, and from dialogues to splits."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

import numpy as np

from lmam_core.errors import LmamError

_SPLITS = {"train": "train", "training": "train", "test": "test", "testing": "test"} | dict.fromkeys(
    ("validation", "valid", "val", "dev"), "validation"
)


def kind(cells: Sequence[str], allowed: Sequence[str] | None = None) -> tuple[str, ...] | None:
    """The classes that the labels are, or None where they are real numbers.

    Given `allowed`, these are the classes. Otherwise labels are real numbers when more than half of those that are
    not empty are numbers and one of them is written with a point or an exponent (`-1.0`); whole numbers alone are
    class codes. Classes are sorted, codes by size. Two spellings that differ in case alone are one class, written as
    the more frequent one.
    """
    if allowed is not None:
        return tuple(allowed)
    given = [c for c in cells if c]
    numbers = [c for c in given if number(c) is not None]
    if 2 * len(numbers) > len(given) and any(re.search(r"[.eE]", c) for c in numbers):
        return None
    spelt: dict[str, Counter[str]] = {}
    for cell in given:
        spelt.setdefault(cell.casefold(), Counter())[cell] += 1
    names = [max(sorted(counts), key=counts.__getitem__) for counts in spelt.values()]
    return tuple(sorted(names, key=lambda c: (math.inf if (v := number(c)) is None else v, c.casefold())))


def number(cell: str) -> float | None:
    """A label as a real number that float32 can hold, else None."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if abs(value) < float(np.finfo(np.float32).max) else None


def value(cell: str, classes: Sequence[str] | None) -> int | float | str:
    """A label as its class's index or as a number; the sentence's end that says why it is neither."""
    if not cell:
        return "it has no label"
    if classes is None:
        found = number(cell)
        return f"its label '{cell}' is not a number" if found is None else found
    folded = [c.casefold() for c in classes]
    if cell.casefold() in folded:
        return folded.index(cell.casefold())
    close = get_close_matches(cell.casefold(), folded, 1)
    hint = f" (did you mean '{classes[folded.index(close[0])]}'?)" if close else ""
    return f"its label '{cell}' is not one of {', '.join(classes)}{hint}"


def given_split(cells: Sequence[str]) -> str:
    """The split that a dialogue's rows name; raises LmamError where they name none, two, or something else."""
    named = {c for c in cells if c}
    unknown = sorted(c for c in named if c.casefold() not in _SPLITS)
    found = {_SPLITS[c.casefold()] for c in named if c not in unknown}
    if unknown:
        raise LmamError(f"its split '{unknown[0]}' is none of train, validation and test")
    if len(found) != 1:
        raise LmamError(f"its utterances name {' and '.join(sorted(found)) or 'no'} split" + "s" * (len(found) > 1))
    return found.pop()


def deal(dialogues: Mapping[str, set[int]]) -> dict[str, str]:
    """A split for each dialogue, given the classes that occur in it: about 64 % train, 16 % validation, 20 % test.

    Dialogues are taken in the order of the sha256 of their ids, which depends on nothing else. Each that train can
    spare, because it keeps every class without it, goes to test and validation in turn until they have enough. Raises
    LmamError where that leaves one of them empty.
    """
    if len(dialogues) < 3:
        raise LmamError(
            f"Train, validation and test need a dialogue each, and there are {len(dialogues)}; add dialogues."
        )
    order = sorted(dialogues, key=lambda d: hashlib.sha256(d.encode()).hexdigest())
    splits = dict.fromkeys(dialogues, "train")
    left = Counter(c for classes in dialogues.values() for c in classes)
    test = max(1, round(len(dialogues) / 5))
    validation = max(1, round(len(dialogues) / 6.25))
    # One for each first, so that few dialogues to spare are enough.
    wanted = ["test", "validation"] + ["test"] * (test - 1) + ["validation"] * (validation - 1)
    wanted.reverse()
    for d in order:
        if wanted and all(left[c] > 1 for c in dialogues[d]):
            splits[d] = wanted.pop()
            left.subtract(dialogues[d])
    for split in ("test", "validation"):
        if split not in splits.values():
            raise LmamError(
                f"No dialogue can go to {split}: train would lose its last examples of a class; add dialogues, or "
                "choose in a column 'split'."
            )
    return splits
