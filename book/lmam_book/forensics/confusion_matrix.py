"""Is there a confusion matrix behind all pairs of a row, with how many predictions and which accuracy?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Options = Sequence[tuple[int, int, int]]
"""What one class can be: (t, p_low, p_high), hits with the lowest and highest number of predictions."""


@dataclass(frozen=True)
class RowMatrices:
    """What the classes of a row make together.

    `predictions` are the lowest and highest sum of predictions, `hits` those of all hits; `realised` holds every sum of
    hits for which a confusion matrix with N utterances exists, and is empty where none does.
    """

    predictions: tuple[int, int]
    hits: tuple[int, int]
    realised: tuple[int, ...]
    total: int

    @property
    def accuracy(self) -> tuple[float, float]:
        """The lowest and highest accuracy in percent: of the matrices that exist, else of the hits alone."""
        low, high = (self.realised[0], self.realised[-1]) if self.realised else self.hits
        return 100 * low / self.total, 100 * high / self.total


def row_matrices(options: Sequence[Options], support: Sequence[int], total: int) -> RowMatrices:
    """What the classes of one row are together; `options[c]`, what class c can be, must not be empty.

    Misses r_c = n_c - t_c and false alarms f_c = p_c - t_c are the row and column sums of a matrix of whole numbers
    >= 0 with a zero diagonal if and only if sum r = sum f and r_c + f_c <= sum r for every c. (The second says that
    the false alarms of a class are at most the misses of the others.) With sum r = N - T, T all hits, this is checked
    for every T.
    """
    predictions = sum(min(o[1] for o in c) for c in options), sum(max(o[2] for o in c) for c in options)
    hits = {0}
    for choices in options:
        hits = {h + t for h in hits for t in {o[0] for o in choices}}
    realised = tuple(sorted(h for h in hits if _realisable(options, support, total, h)))
    return RowMatrices(predictions, (min(hits), max(hits)), realised, total)


def _realisable(options: Sequence[Options], support: Sequence[int], total: int, hits: int) -> bool:
    """Whether classes with `hits` together can have N predictions, none with too many for its own false alarms.

    `reached[h]` is a set of sums of predictions, one bit each, of the classes so far with h hits.
    """
    reached = {0: 1}
    keep = (1 << (total + 1)) - 1
    for choices, n in zip(options, support, strict=True):
        after: dict[int, int] = {}
        for t, low, high in choices:
            high = min(high, total - hits - n + 2 * t)
            if high < low:
                continue
            for h, sums in reached.items():
                if h + t <= hits:
                    after[h + t] = after.get(h + t, 0) | (_widened(sums, high - low) << low) & keep
        reached = after
    return bool(reached.get(hits, 0) >> total & 1)


def _widened(bits: int, width: int) -> int:
    """Every bit set, and the `width` bits above it."""
    done = 0
    while done < width:
        step = min(done + 1, width - done)
        bits |= bits << step
        done += step
    return bits


def implied_predictions(acc: np.ndarray, f1: np.ndarray, support: np.ndarray, reading: str) -> np.ndarray:
    """Sum over classes of the predictions that follow from shares (..., classes) in real numbers, no rounding assumed.

    Recall: p = n (2 a / F - 1). Precision: p = n F / (2 a - F). A class with F1 = 0 counts as never predicted. NaN
    where a class has no p.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        p = support * (2 * acc / f1 - 1) if reading == "recall" else support * f1 / (2 * acc - f1)
    p = np.where(f1 > 0, p, 0.0)
    return np.where((p >= 0) & np.isfinite(p), p, np.nan).sum(-1)
