"""The LMAM paper's printed numbers (arXiv 2306.17799v2)."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from lmam_core import paths
from lmam_core.errors import LmamError

if TYPE_CHECKING:
    import pandas as pd


ROMAN = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII", "XIII", "XIV")
KEY = ["dataset", "row", "column", "metric"]
AVERAGE = "Average(w)"
DELTA = " delta"
LOWER_IS_BETTER = {"MAE"}

# Utterances per class in the public test sets; they add up to the test counts that Table I prints.
TEST_SUPPORT = {
    "IEMOCAP": {"Happy": 144, "Sad": 245, "Neutral": 384, "Angry": 170, "Excited": 299, "Frustrated": 381},
    "MELD": {"Neutral": 1256, "Surprise": 281, "Fear": 50, "Sadness": 208, "Joy": 402, "Disgust": 68, "Anger": 345},
}


class Printed(float):
    """A number of the paper, which reads as it was printed: `str` of the printed 73.0 is `73.0` and not `73`."""

    value: str

    def __new__(cls, number: float, value: str) -> Printed:
        self = super().__new__(cls, number)
        self.value = value
        return self

    def __getnewargs__(self) -> tuple[float, str]:  # type: ignore[override]  # `float` has the number alone
        return float(self), self.value  # what copies and pickles are made from

    def __str__(self) -> str:
        return self.value


def table(number: int) -> pd.DataFrame:
    """One table of the paper, one printed cell per row, in printed order.

    `value` is the printed string, `number` the same as a float (NaN where the cell is `N/A`).
    Raises LmamError when the paper has no table of that number.
    """
    import pandas as pd

    if number not in range(1, len(ROMAN) + 1):
        raise LmamError(f"The paper has no table {number!r}; ask for a number from 1 to {len(ROMAN)}.")
    cells = _read(f"table_{number:02d}.csv")
    cells["table"] = cells["table"].astype(int)
    cells["bold"] = cells["bold"] == "true"
    cells["number"] = pd.to_numeric(cells["value"], errors="coerce")
    return cells


def cell(number: int, row: str, column: str, metric: str, dataset: str | None = None) -> Printed:
    """One printed number, in the unit that its metric names (NaN where the cell is `N/A`).

    Raises LmamError when no cell, or more than one (a dataset must then be named), answers to the address.
    """
    if (value := _numbers(number).get((dataset, row, column, metric))) is not None:
        return value
    cells = table(number)
    for key, wanted in (("dataset", dataset), ("row", row), ("column", column), ("metric", metric)):
        if wanted is None:
            continue
        known = ", ".join(dict.fromkeys(cells[key]))
        cells = cells[cells[key] == wanted]
        if cells.empty:
            raise LmamError(f"Table {number} has no such cell: {key} {wanted!r} is not one of {known}.")
    if len(cells) > 1:
        datasets = ", ".join(cells["dataset"])
        raise LmamError(f"Table {number} prints this cell for several datasets; name one of {datasets}.")
    return Printed(cells["number"].iloc[0], cells["value"].iloc[0])


def statements() -> pd.DataFrame:
    """The checkable statements of the paper's text, one per row, with all columns as strings."""
    return _read("statements.csv")


def _read(name: str) -> pd.DataFrame:
    """Read a CSV file of `data/paper` as strings, keeping `N/A` as it is printed."""
    import pandas as pd

    path = paths.data("paper", name)
    if path not in _FILES:
        if not path.is_file():
            raise LmamError(f"{path} is missing; restore it from git.")
        _FILES[path] = pd.read_csv(path, dtype=str, keep_default_na=False)
    return _FILES[path].copy()


_FILES: dict[Path, pd.DataFrame] = {}
"""What was read; the paper does not change while a process runs."""


@cache
def _numbers(number: int) -> dict[tuple[str | None, ...], Printed]:
    """Map (dataset, row, column, metric) to the printed number; a table that does not exist has none."""
    if number not in range(1, len(ROMAN) + 1):
        return {}
    cells = table(number)
    numbers = map(Printed, cells["number"], cells["value"])
    return dict(zip(cells[KEY].itertuples(index=False, name=None), numbers, strict=True))
