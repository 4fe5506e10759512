"""From the labels of a table to classes or real numbers, and from dialogues to splits."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches

import numpy as np

from lmam_core.data.recordings import table
from lmam_core.data.recordings.table import missing
from lmam_core.errors import LmamError

_SPLITS = {"train": "train", "training": "train", "test": "test", "testing": "test"} | dict.fromkeys(
    ("validation", "valid", "val", "dev"), "validation"
)


_MARKS = re.compile(r"^['\"`\u2018-\u201f]+|['\"`\u2018-\u201f.,;:]+$")


def kind(cells: Sequence[str], allowed: Sequence[str] | None = None) -> tuple[str, ...] | None:
    """The classes that the labels are, or None where they are real numbers.

    Given `allowed`, these are the classes. Otherwise labels are real numbers when more than half of those that say
    something are numbers and one in twenty of them is written with decimals or an exponent (`-1.0`), unless they are
    but two whole numbers; whole numbers alone are class codes. Classes are sorted, codes by size. Spellings that differ
    in case, quotation marks or a point at the end alone, or are one number, are one class, written as the most frequent
    one. `nan`, `None`, `-` and the like (`table.missing`) are no label.
    """
    if allowed is not None:
        return tuple(allowed)
    written = [c for c in cells if not missing(c)]
    numbers = {c: v for c in set(written) if (v := number(c)) is not None}
    codes = len(set(numbers.values())) <= 2 and all(v % 1 == 0 for v in numbers.values())
    count = sum(c in numbers for c in written)
    decimals = sum(c in numbers and re.search(r"[.,eE]", c) is not None for c in written)
    if not codes and 2 * count > len(written) and 20 * decimals >= count > 0:
        return None
    spelt: dict[str, Counter[str]] = {}
    for cell in written:
        spelt.setdefault(_folded(cell), Counter())[cell] += 1
    names = [max(sorted(counts), key=counts.__getitem__) for counts in spelt.values()]
    return tuple(sorted(names, key=lambda c: (math.inf if (v := number(c)) is None else v, c.casefold())))


def number(cell: str) -> float | None:
    """A label as a real number that float32 can hold, else None."""
    value = table.number(cell)
    return value if value is not None and abs(value) < float(np.finfo(np.float32).max) else None


def _folded(cell: str) -> str:
    """What is equal for two spellings of one class: `Sad`, `sad.` and `'sad'`, `1` and `1.0`."""
    value = number(cell)
    return (_MARKS.sub("", cell) or cell).casefold() if value is None else repr(value + 0.0)


def spellings(cells: Iterable[str]) -> list[str]:
    """A sentence for each class that is written in several ways, and one for labels that look like numbers."""
    spelt: dict[str, dict[str, None]] = {}
    for cell in cells:
        spelt.setdefault(_folded(cell), {})[cell] = None
    several = (" and ".join(f"'{cell:.60}'" for cell in alike) for alike in spelt.values() if len(alike) > 1)
    notes = [f"The labels {alike} are read as one class." for alike in several]
    strange = [cell for of in spelt.values() for cell in of if re.match(r"[+-]?\d", cell) and number(cell) is None]
    if strange:
        notes.append(f"Labels such as '{strange[0]:.60}' are no numbers and are read as names of classes.")
    return notes


def reader(classes: Sequence[str] | None) -> Callable[[str], int | float | str]:
    """What reads a label as its class's index or as a number; what it gives for another is why it is neither."""
    folded = {_folded(c): k for k, c in enumerate(classes or ())}

    def read(cell: str) -> int | float | str:
        if (k := folded.get(_folded(cell))) is not None:
            return k
        if missing(cell):
            return f"it has no label ('{cell}')" if cell else "it has no label"
        if classes is None:
            value = number(cell)
            return f"its label '{cell:.60}' is not a number" if value is None else value
        close = get_close_matches(cell.casefold(), folded, 1)
        hint = f" (did you mean '{classes[folded[close[0]]]}'?)" if close else ""
        return f"its label '{cell:.60}' is not one of {', '.join(classes)}{hint}"

    return read


def remarks(values: np.ndarray) -> list[str]:
    """What a reader should know of labels (N,) that are real numbers."""
    notes = ["The labels are real numbers; acc2 and acc7 read them as sentiment between -3 and 3."]
    outside = int((np.abs(values) > 3).sum())
    if outside:
        notes.append(
            f"{outside} of {len(values)} labels lie outside -3 to 3, which acc7 counts as -3 or 3: they go from "
            f"{values.min():g} to {values.max():g}."
        )
    distinct = np.unique(values)
    if len(distinct) <= 10 and (distinct % 1 == 0).all():
        notes.append(
            f"The labels take only the values {', '.join(f'{v:g}' for v in distinct)} and are read as real numbers; "
            "are they codes of classes?"
        )
    return notes


def split_of(cell: str) -> str | None:
    """The split that a cell names: `Train`, `dev`, `test_set`; None for another word."""
    return _SPLITS.get(re.sub(r"[ _.-]*(set|split|part|data)$", "", cell.casefold()))


def given_split(cells: Iterable[str]) -> str:
    """The split that a dialogue's rows name; raises LmamError where they name none, two, or something else."""
    names = {c: split_of(c) for c in cells if c}
    unknown = sorted(c for c, split in names.items() if split is None)
    splits = {split for split in names.values() if split is not None}
    if unknown:
        hint = " (is it validation or test?)" if unknown[0].casefold().startswith("eval") else ""
        raise LmamError(f"its split '{unknown[0]}' is none of train, validation and test{hint}")
    if len(splits) != 1:
        raise LmamError(f"its utterances name {' and '.join(sorted(splits)) or 'no'} split" + "s" * (len(splits) > 1))
    return splits.pop()


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
