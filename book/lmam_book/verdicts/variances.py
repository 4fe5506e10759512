"""Whether results spread more over seeds in some arms than in others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

Runs = Sequence[Sequence[float]]
"""One list of values per arm, one value per seed."""


@dataclass(frozen=True)
class Ratio:
    """One pooled deviation over another, with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """`2.13 [1.27, 3.76]`."""
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def pooled(runs: Runs) -> tuple[float, int]:
    """The variance within arms, Σ_r (n_r - 1) s_r² / Σ_r (n_r - 1), and its degrees of freedom; 0 for none."""
    free = sum(len(x) - 1 for x in runs)
    return sum(float(np.var(x, ddof=1)) * (len(x) - 1) for x in runs if len(x) > 1) / max(free, 1), free


def ratio(base: Runs, other: Runs) -> Ratio | None:
    """How many times the deviation of `base` that of `other` is, √(s₁² / s₀²), with the interval by F.

    F assumes normal values. None where one side has no degrees of freedom or `base` does not vary.
    """
    (s0, f0), (s1, f1) = pooled(base), pooled(other)
    if f0 < 1 or f1 < 1 or s0 == 0:
        return None
    value, low, high = np.sqrt(s1 / s0 / np.array([1, *stats.f.ppf([0.975, 0.025], f1, f0)]))
    return Ratio(float(value), float(low), float(high))


def without_farthest(runs: Runs) -> list[list[float]]:
    """The values without the one farthest from the mean of its arm: one that failed can decide a deviation."""
    if not runs:
        return []
    _, k, i = max((abs(v - np.mean(x)), k, i) for k, x in enumerate(runs) for i, v in enumerate(x))
    return [[v for j, v in enumerate(x) if (m, j) != (k, i)] for m, x in enumerate(runs)]
