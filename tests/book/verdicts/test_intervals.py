"""Intervals, paired comparisons and the written rule of the verdicts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from lmam_book.verdicts.intervals import compare, interval, verdict


def test_interval_is_students() -> None:
    x = [61.2, 63.0, 62.4, 60.9, 62.2]
    low, high = stats.t.interval(0.95, 4, np.mean(x), stats.sem(x))
    found = interval(x)
    assert (found.mean, found.low, found.high, found.n) == pytest.approx((np.mean(x), low, high, 5))
    assert str(found) == "61.94 [60.86, 63.02] (n = 5)"
    assert found.values == tuple(x)
    assert math.isnan(interval([3.0]).low)
    assert interval([2.0, 2.0, 2.0]).low == 2.0


def test_comparison_pairs_by_seed_and_ignores_seeds_that_one_side_lacks() -> None:
    a, b = {0: 60.0, 1: 62.0, 2: 61.0, 9: 0.0}, {2: 62.5, 0: 61.0, 1: 63.5}
    found = compare(a, b)
    assert found.difference.n == 3
    assert found.difference.mean == pytest.approx(4 / 3)
    assert found.effect == pytest.approx((4 / 3) / math.sqrt((1.0 + np.var([61, 63.5, 62.5], ddof=1)) / 2))


@pytest.mark.parametrize(
    ("gains", "paper", "expected"),
    [
        ([2.0, 2.2, 1.9, 2.1, 2.0], 3.0, "reproduced"),
        ([0.5, 0.6, 0.5, 0.6, 0.5], 5.0, "same direction"),  # certain, but far below the paper's gain
        ([1.3, 1.5, 1.4, 1.5, 1.3], 3.0, "same direction"),  # certain, and a little less than half of it
        ([1.5, 1.7, 1.6, 1.7, 1.5], 3.0, "reproduced"),  # a little more than half
        ([3.0, -0.5, 2.0, -0.2, 1.5], 3.0, "same direction"),  # the interval holds 0, the effect is large
        ([1.0, -0.9, 0.8, -0.3, 0.4], 3.0, "not reproduced"),  # the interval holds 0, the effect is small
        ([0.01, -0.01, 0.02, 0.0, -0.01], 3.0, "not reproduced"),
        ([-2.0, -2.2, -1.9, -2.1, -2.0], 3.0, "not reproduced"),
        ([2.0, 2.0, 2.0, 2.0], 3.0, "not testable"),
    ],
)
def test_verdict_follows_its_rule(gains: list[float], paper: float, expected: str) -> None:
    base = dict(enumerate([60.0, 61.0, 59.0, 60.5, 59.5]))
    other = {s: base[s] + g for s, g in enumerate(gains)}
    assert verdict(paper, compare(base, other)) == expected


def test_a_gain_over_a_baseline_that_was_not_trained_out_is_not_testable() -> None:
    base = dict(enumerate([60.0, 61.0, 59.0, 60.5, 59.5]))
    better = compare(base, {s: v + 2 + 0.1 * s for s, v in base.items()})
    worse = compare(base, {s: v - 2 - 0.1 * s for s, v in base.items()})
    assert verdict(3.0, better, a_trained_out=False) == "not testable"
    assert verdict(3.0, worse, a_trained_out=False) == "not reproduced"


def test_a_loss_of_an_arm_that_was_not_trained_out_is_not_testable() -> None:
    base = dict(enumerate([60.0, 61.0, 59.0, 60.5, 59.5]))
    better, worse = (compare(base, {s: v + k * (2 + 0.1 * s) for s, v in base.items()}) for k in (1, -1))
    assert verdict(3.0, worse, b_trained_out=False) == "not testable"
    assert verdict(3.0, better, b_trained_out=False) == "reproduced"


@pytest.mark.parametrize(("seeds", "rate"), [(5, 1 / 8), (10, 1 / 20)])
def test_equal_arms_count_as_a_direction_as_seldom_as_the_front_page_says(seeds: int, rate: float) -> None:
    rng = np.random.default_rng(0)
    named = [verdict(2.0, compare(*(dict(enumerate(rng.normal(size=seeds))) for _ in "ab"))) for _ in range(4000)]
    assert np.mean([v != "not reproduced" for v in named]) == pytest.approx(rate, abs=0.012)
    assert np.mean([v == "reproduced" for v in named]) < 0.03


def test_no_runs_is_not_testable() -> None:
    assert verdict(1.0, None) == "not testable"


def test_arms_that_are_equal_seed_by_seed_are_no_gain() -> None:
    """The interval of their difference is [0, 0]: it does not lie above 0."""
    same = dict(enumerate([60.0, 61.0, 59.0, 60.5, 59.5]))
    assert verdict(0.1, compare(same, same)) == "not reproduced"


def test_two_seeds_have_an_effect_and_one_has_none() -> None:
    a, b = {0: 60.0, 1: 62.0}, {0: 61.0, 1: 64.0}
    assert compare(a, b).effect == pytest.approx(1.5 / math.sqrt((2.0 + 4.5) / 2))
    assert math.isnan(compare(a, {1: 64.0}).effect)
    flat, above = dict.fromkeys(range(3), 60.0), dict.fromkeys(range(3), 62.0)
    assert [compare(flat, other).effect for other in (above, flat)] == [math.inf, 0]
