"""Intervals over seeds, and the written rule by which a claim gets its verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

VERDICTS = ("reproduced", "same direction", "not reproduced", "not testable")
FEW = 5
"""Seeds below which nothing is decided."""
LARGE = 0.8
"""The standardised difference (Cohen's "large") that counts although the interval holds 0.

Independent runs of two equal arms reach it by chance in 4 to 5 % of comparisons with ten seeds, in 12 % with five."""


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
    """Mean and 95 % interval, mean ± t_{0.975, n-1} s / √n, of one value a seed; equal values give a width of 0."""
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
    spread = ((x.var(ddof=1) + y.var(ddof=1)) / 2) ** 0.5
    gain = difference.mean
    return Comparison(
        difference, float(gain / spread) if spread > 0 else float(np.sign(gain) * np.inf) if gain else 0.0
    )


def verdict(paper_gain: float, found: Comparison | None, a_trained_out: bool = True, b_trained_out: bool = True) -> str:
    """The verdict on "b is better than a by `paper_gain`", for a gain above 0 in a metric where more is better.

    * reproduced: the 95 % interval of our difference lies above 0 and its mean is at least half the paper's gain;
    * same direction: not that, but the interval lies above 0, or the mean does by at least 0.8 pooled deviations;
    * not reproduced: neither;
    * not testable: fewer than five shared seeds; or the arm that lies behind (a where there is a gain, b where there is
      none) was not trained out (`a_trained_out`, `b_trained_out` are False): most of its runs ended at the limit of
      epochs while still within patience of their best one, or one of them gives every utterance the same class (a
      regression: the same of the two classes that Acc-2 counts). It may only have learned more slowly.
    """
    if found is None or found.difference.n < FEW:
        return "not testable"
    above = found.difference.low > 0
    if not above and not (found.difference.mean > 0 and found.effect >= LARGE):
        return "not reproduced" if b_trained_out else "not testable"
    if not a_trained_out:
        return "not testable"
    return "reproduced" if above and found.difference.mean >= paper_gain / 2 else "same direction"
