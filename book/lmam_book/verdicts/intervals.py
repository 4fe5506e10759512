"""Means and differences over seeds alone, with Student's interval; `effects` adds what conversations vary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Interval:
    """A mean over n seeds with its 95 % interval, and the values it is the mean of, where each is known.

    Student's interval unless said otherwise; the ends are NaN for n < 2.
    """

    mean: float
    low: float
    high: float
    n: int
    values: tuple[float, ...] = ()

    def __str__(self) -> str:
        """`64.21 [63.50, 64.92] (n = 10)`."""
        ends = f" [{self.low:.2f}, {self.high:.2f}]" if self.n > 1 else ""
        return f"{self.mean:.2f}{ends} (n = {self.n})"


def interval(values: Sequence[float]) -> Interval:
    """Mean and 95 % interval, mean ± t_{0.975, n-1} s / √n, of one value per seed; equal values give a width of 0."""
    x = np.asarray(values, dtype=np.float64)
    n, mean = len(x), float(x.mean()) if len(x) else np.nan
    half = float(stats.t.ppf(0.975, n - 1) * x.std(ddof=1) / n**0.5) if n > 1 else np.nan
    return Interval(mean, mean - half, mean + half, n, tuple(x.tolist()))


@dataclass(frozen=True)
class Comparison:
    """How much arm b is above arm a: the mean difference over shared seeds, and it in units of the pooled deviation."""

    difference: Interval
    effect: float


def compare(a: dict[int, float], b: dict[int, float]) -> Comparison:
    """b minus a over the seeds that both have, paired by seed (same validation split, batch order and test set).

    `effect` is the mean difference over √((s_a² + s_b²) / 2); infinite where neither arm varies and they differ.
    """
    seeds = sorted(a.keys() & b.keys())
    x, y = np.array([a[s] for s in seeds]), np.array([b[s] for s in seeds])
    difference = interval(y - x)
    if len(seeds) < 2:
        return Comparison(difference, np.nan)
    deviation = ((x.var(ddof=1) + y.var(ddof=1)) / 2) ** 0.5
    gain = difference.mean
    return Comparison(
        difference, float(gain / deviation) if deviation > 0 else float(np.sign(gain) * np.inf) if gain else 0.0
    )
