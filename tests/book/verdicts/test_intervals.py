"""Intervals over seeds and paired comparisons."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from lmam_book.verdicts.intervals import compare, interval


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


def test_two_seeds_have_an_effect_and_one_has_none() -> None:
    a, b = {0: 60.0, 1: 62.0}, {0: 61.0, 1: 64.0}
    assert compare(a, b).effect == pytest.approx(1.5 / math.sqrt((2.0 + 4.5) / 2))
    assert math.isnan(compare(a, {1: 64.0}).effect)
    flat, above = dict.fromkeys(range(3), 60.0), dict.fromkeys(range(3), 62.0)
    assert [compare(flat, other).effect for other in (above, flat)] == [math.inf, 0]
