"""Bounds on a pair that hold for one classifier and for a mean over any number of them."""

from __future__ import annotations

import numpy as np

from lmam_book.forensics.pasted import UnitTable
from lmam_book.forensics.supports import Supports


def highest_f1(share: np.ndarray, n: np.ndarray, total: int, reading: str) -> np.ndarray:
    """The highest mean F1 that goes with a mean `share`, both in 0..1.

    Recall or precision a: F1 = 2t / (n + p) <= 2a / (1 + a), which is concave, so that means keep it (Jensen). Accuracy
    a of the class against the rest: (1 - a) N = n + p - 2t, so that F1 = 2t / ((1 - a) N + 2t) is highest with t = n,
    or with t = a N where that is less. The first part is convex; its chord from a = 1 to a = n / N, 1 - (1 - a) N /
    (N + n), and the second part, 2a / (1 + a), together are concave.
    """
    of_share = 2 * share / (1 + share)
    if reading != "accuracy":
        return of_share
    return np.where(share * total >= n, 1 - (1 - share) * total / (total + n), of_share)


def beyond_means(table: UnitTable, supports: Supports, reading: str) -> np.ndarray:
    """Whether a pair has a higher F1 than any mean with its Acc. in that reading: (rows, classes).

    Each number may be off by a whole unit of its last digit, so that neither rounding nor cutting off decides.
    """
    whole = 100 * table.scale
    share = np.minimum((table.acc + 1) / whole, 1.0)
    return table.testable & ((table.f1 - 1) / whole > highest_f1(share, supports.array, supports.total, reading))
