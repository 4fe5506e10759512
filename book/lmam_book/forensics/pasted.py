"""From a printed table to whole numbers: a pasted text becomes a frame, and a frame whole units of its last digit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

import numpy as np
import pandas as pd

from lmam_book.paper.printed import AVERAGE
from lmam_core.errors import LmamError

METRICS = {
    "acc": "Acc",
    "accuracy": "Acc",
    "recall": "Acc",
    "precision": "Acc",
    "f1": "F1",
    "f1-score": "F1",
    "f": "F1",
}
"""Names of the two numbers of a class. What is called Acc. here can be any of the readings, whatever its head says."""
MISSING = {"", "-", "–", "—", "n/a", "nan", "none"}
MARKS = re.compile(r"<[^>]*>|[*$%†‡↑↓]|\\[a-z]+|\[\d+\]")
BOLD = re.compile(r"<[^>]*>|\*\*|\\[a-z]+|\[\d+\]")
"""What is dropped from a method's name, whose single star tells it from another."""
RULE = re.compile(r"[\s|:+-]*")


@dataclass(frozen=True)
class UnitTable:
    """A per-class table in units of its last digit: `acc` and `f1` (rows, classes), -1 where a cell is missing."""

    rows: list[str]
    classes: list[str]
    acc: np.ndarray
    f1: np.ndarray
    average: np.ndarray  # (rows, 2): Acc. and F1 in percent, NaN where not printed
    scale: int

    @property
    def there(self) -> np.ndarray:
        """Where both numbers of a pair are printed."""
        return (self.acc >= 0) & (self.f1 >= 0)

    @property
    def testable(self) -> np.ndarray:
        """Where a pair is printed and is not 0 and 0, which no hit at all explains for any support."""
        return self.there & ((self.acc > 0) | (self.f1 > 0))


def paste(text: str) -> pd.DataFrame:
    """The frame of a per-class table that was copied from a paper: Markdown, CSV or tabs, one method per line.

    The head is one line (`Happy Acc`, `Happy F1`, ...) or two (classes, then metrics; a class may span its columns).
    A cell may hold both numbers of its class (`27.73 29.81`). Bold marks, citations and percent signs are dropped.
    `audit` takes it. Raises LmamError, one sentence, for what cannot be read.
    """
    lines = [line for line in text.strip().splitlines() if line.strip() and not RULE.fullmatch(line)]
    separator = next((s for s in ("\t", "|", ";", ",") if any(s in line for line in lines)), None)
    if separator is None or len(lines) < 2:
        raise LmamError(
            "No table found in the text: paste a head and at least one row, with tabs, | or commas between cells."
        )
    parts = [(_inner(line) if separator == "|" else line).split(separator) for line in lines]
    cells = [[(MARKS if k else BOLD).sub("", c).strip() for k, c in enumerate(line)] for line in parts]
    first = next((k for k, line in enumerate(cells) if any(_numbers(c) for c in line[1:])), None)
    if not first or first > 2:
        raise LmamError(
            "The table needs a head of one or two lines (classes and metrics) above its first row of numbers."
        )
    body = [[part for c in line[1:] for part in (_numbers(c) or [c])] for line in cells[first:]]
    columns = _columns([line[1:] for line in cells[:first]], max(map(len, body)))
    for line, values in zip(cells[first:], body, strict=True):
        if len(values) != len(columns):
            raise LmamError(f"Row {line[0]!r} has {len(values)} numbers where the head names {len(columns)} columns.")
    return pd.DataFrame(body, index=[line[0] for line in cells[first:]], columns=pd.MultiIndex.from_tuples(columns))


def in_units(table: pd.DataFrame) -> UnitTable:
    """A frame in units of its last digit, checked; `audit` describes the frame.

    A missing cell is allowed: its pair is not audited. Raises LmamError for a number outside 0..100, for what is no
    number, a class without one of its two columns, and a method named twice.
    """
    if table.columns.nlevels != 2:
        raise LmamError("The table's columns must be pairs (class, metric); `paste` makes them from a text.")
    if table.index.has_duplicates or table.columns.has_duplicates:
        twice = next(iter(table.index[table.index.duplicated()]), None) or table.columns[table.columns.duplicated()][0]
        raise LmamError(f"{twice!r} names two rows or columns of the table; give each its own name.")
    classes = [c for c in dict.fromkeys(table.columns.get_level_values(0)) if c != AVERAGE]
    for name in classes:
        if lacking := {"Acc", "F1"} - set(table[name].columns):
            raise LmamError(f"Class {name!r} has no column {lacking.pop()!r}; each class needs Acc and F1.")
    values = {(r, c): _decimal(table.loc[r, c], r, c) for r in table.index for c in table.columns}
    places = max((-int(v.as_tuple().exponent) for v in values.values() if v is not None), default=0)
    scale = 10 ** max(places, 0)
    rows = list(table.index)

    def units(metric: str) -> np.ndarray:
        cells = [[values[r, (c, metric)] for c in classes] for r in rows]
        return np.array([[-1 if v is None else int(v * scale) for v in line] for line in cells], np.int64)

    decimals = [[values.get((r, (AVERAGE, m))) for m in ("Acc", "F1")] for r in rows]
    average = np.array([[np.nan if v is None else float(v) for v in line] for line in decimals])
    return UnitTable([str(r) for r in rows], [str(c) for c in classes], units("Acc"), units("F1"), average, scale)


def _decimal(value: object, row: object, column: tuple[str, str]) -> Decimal | None:
    text = str(value).strip().rstrip("%")
    if text.lower() in MISSING:
        return None
    where = f"row {row!r}, {' '.join(column)}"
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise LmamError(f"{where}: {text!r} is no number.") from None
    if not 0 <= number <= 100:
        raise LmamError(f"{where}: {text} is no percentage; numbers must lie between 0 and 100.")
    return number


def _inner(line: str) -> str:
    return line.strip().removeprefix("|").removesuffix("|")


def _numbers(cell: str) -> list[str]:
    """The numbers of a cell that holds nothing else, else none."""
    parts = cell.split()
    return parts if parts and all(re.fullmatch(r"-?\d+(\.\d+)?", p) for p in parts) else []


def _columns(head: list[list[str]], width: int) -> list[tuple[str, str]]:
    """Name the columns (class, metric) from a head of one or two lines."""
    metrics = [m for c in head[-1] for m in (_metrics(c) or [c])]
    if len(head) == 2 and all(m in ("Acc", "F1") for m in metrics):
        names = [c for c in head[0] if c]
        if len(names) * 2 == len(metrics) == width:
            return [(_class(names[k // 2]), m) for k, m in enumerate(metrics)]
    if len(head) == 1 and len(head[0]) * 2 == width:  # two numbers in every cell
        return [(_class(c), m) for c in head[0] for m in ("Acc", "F1")]
    if len(head) == 1 and all(_metrics(c.split()[-1] if c else "") for c in head[0]):
        return [(_class(" ".join(c.split()[:-1])), _metrics(c.split()[-1])[0]) for c in head[0]]
    raise LmamError("The head does not say which class and which of Acc and F1 each column holds.")


def _metrics(cell: str) -> list[str]:
    parts = [p.lower().rstrip(".") for p in cell.split()]
    return [METRICS[p] for p in parts] if all(p in METRICS for p in parts) else []


def _class(name: str) -> str:
    """A class, or `Average(w)` for whatever a paper calls its weighted mean."""
    return AVERAGE if re.match(r"(weighted|average|avg|mean|overall|w-)", name.lower()) else name
