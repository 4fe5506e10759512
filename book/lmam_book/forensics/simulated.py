"""Generated tables to examine the audit with: correct ones with known truth, and ones with planted errors."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
import pandas as pd

from lmam_book.forensics.confusion_matrix import implied_predictions
from lmam_book.forensics.counts import Digits, possible
from lmam_book.paper.printed import AVERAGE

READABLE = ("recall", "precision")
DEVIATION = 0.03
"""Standard deviation of a class's recall from run to run, where a table holds means over runs."""


def confusions(support: np.ndarray, rows: int, runs: int, rng: np.random.Generator) -> np.ndarray:
    """Confusion matrices (rows, runs, C, C) of classifiers that find 20 to 95 % of a class, as generated data.

    What they miss goes more often to the larger classes.
    """
    classes = len(support)
    recall = np.clip(
        rng.uniform(0.2, 0.95, (rows, 1, classes)) + rng.normal(0, DEVIATION, (rows, runs, classes)), 0.02, 0.98
    )
    lure = support * rng.gamma(4, 1, (rows, 1, classes))
    lost = np.broadcast_to(lure[:, :, None, :], (rows, runs, classes, classes)) * (1 - np.eye(classes))
    share = (1 - recall)[..., None] * lost / lost.sum(-1, keepdims=True) + recall[..., None] * np.eye(classes)
    return rng.multinomial(support, share)


def measures(counts: np.ndarray, reading: str) -> tuple[np.ndarray, np.ndarray]:
    """Acc. in that reading and F1 of every class in percent, (rows, C) each: means over runs of (rows, runs, C, C)."""
    t, n, p = (x.astype(float) for x in (np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(-1), counts.sum(-2)))
    total = n.sum(-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        acc = {"recall": t / n, "precision": np.where(p > 0, t / p, 0.0), "accuracy": (total - n - p + 2 * t) / total}
    return 100 * acc[reading].mean(-2), 100 * (2 * t / (n + p)).mean(-2)


def table(
    support: Mapping[str, int], reading: str, rows: int, runs: int = 1, places: int = 2, seed: int = 0
) -> tuple[pd.DataFrame, np.ndarray]:
    """A correct table as a paper would print it, and the confusion matrices (rows, runs, C, C) behind it.

    With `runs` above 1 every number is a mean over runs. Averages are weighted by support before anything is rounded.
    """
    n = np.array(list(support.values()))
    counts = confusions(n, rows, runs, np.random.default_rng(seed))
    acc, f1 = measures(counts, reading)
    values = {(c, m): x[:, k] for k, c in enumerate(support) for m, x in (("Acc", acc), ("F1", f1))}
    values |= {(AVERAGE, m): x @ n / n.sum() for m, x in (("Acc", acc), ("F1", f1))}
    frame = pd.DataFrame(values, index=[f"method {k + 1}" for k in range(rows)])
    return frame.map(lambda x: f"{x:.{places}f}"), counts


def plant(
    frame: pd.DataFrame, support: Mapping[str, int], how_many: int, seed: int = 0
) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """The table with `how_many` pairs, each in its own row, replaced by pairs that no reading allows; and where.

    A planted pair is an arbitrary one within a point of the printed one, drawn again until none of the readings has
    counts for it.
    """
    rng = np.random.default_rng(seed)
    n, places = list(support.values()), len(frame.iloc[0, 0].split(".")[1])
    scale, total = 10**places, sum(n)
    changed, where = frame.copy(), []
    for row in rng.choice(frame.index, how_many, replace=False):
        k = int(rng.integers(len(n)))
        name = list(support)[k]
        pair = np.array([round(float(frame.loc[row, (name, m)]) * scale) for m in ("Acc", "F1")])
        new = pair
        while any(
            possible(new[0], new[1], n[k], total, r, Digits(scale)).item() for r in ("recall", "precision", "accuracy")
        ):
            new = np.clip(pair + rng.integers(-scale, scale + 1, 2), 1, 100 * scale)
        for m, value in zip(("Acc", "F1"), new, strict=True):
            changed.loc[row, (name, m)] = f"{value / scale:.{places}f}"
        where.append((row, name))
    return changed, where


@cache
def simulated(
    support: tuple[int, ...], reading: str, runs: int, places: int = 2, rows: int = 600, seed: int = 0
) -> pd.DataFrame:
    """Rows of simulated correct tables, and what the audit would measure of them.

    `impossible` counts pairs without whole numbers in the table's own reading, `off` is how far an average lies from
    its cells in units of the last digit, `implied` the predictions over the utterances by real arithmetic.
    """
    n = np.array(support)
    acc, f1 = measures(confusions(n, rows, runs, np.random.default_rng(seed)), reading)
    scale = 10**places
    units = [np.round(x * scale).astype(np.int64) for x in (acc, f1)]
    there = possible(units[0], units[1], n, int(n.sum()), reading, Digits(scale)) | ((units[0] == 0) & (units[1] == 0))
    frame = pd.DataFrame({"impossible": (~there).sum(-1)})
    weights = n / n.sum()
    off = [np.abs(np.round(x @ weights * scale) - u @ weights) for x, u in zip((acc, f1), units, strict=True)]
    frame["off"] = np.maximum(*off)
    if reading in READABLE:
        frame["implied"] = implied_predictions(units[0] / scale / 100, units[1] / scale / 100, n, reading) / n.sum()
    return frame


def chance(column: str, at_least: float, support: tuple[int, ...], reading: str, runs: int, places: int = 2) -> float:
    """The share of correct rows in which `column` is at least so large; for `implied`, at least so far from 1."""
    values = simulated(support, reading, runs, places)[column]
    return float(((values - 1).abs() if column == "implied" else values).ge(at_least - 1e-12).mean())
