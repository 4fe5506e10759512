"""Spread over seeds: pooled deviations, their ratio and what one run does to it."""

from __future__ import annotations

import pytest
from scipy import stats

from lmam_book.verdicts.variances import pooled, ratio, without_farthest

BASE = [[60.0, 61.0, 62.0], [50.0, 52.0]]
OTHER = [[60.0, 64.0, 68.0], [50.0, 50.0, 58.0]]


def test_the_pooled_variance_weighs_arms_by_their_degrees_of_freedom() -> None:
    assert pooled(BASE) == (pytest.approx((2 * 1.0 + 1 * 2.0) / 3), 3)
    assert pooled([[3.0]]) == (0.0, 0)
    assert pooled([]) == (0.0, 0)


def test_the_ratio_has_the_interval_of_f() -> None:
    found = ratio(BASE, OTHER)
    f = (2 * 16.0 + 2 * 64 / 3) / 4 / (4 / 3)
    assert found.value**2 == pytest.approx(f)
    # The same by the test: at the ends of the interval, F of the true ratio has 2.5 % on either side.
    assert stats.f.sf(f / found.low**2, 4, 3) == pytest.approx(0.025)
    assert stats.f.cdf(f / found.high**2, 4, 3) == pytest.approx(0.025)
    assert str(found) == f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"
    assert ratio([[1.0]], OTHER) is None
    assert ratio([[1.0, 1.0]], OTHER) is None


def test_the_farthest_run_is_left_out_of_its_own_arm() -> None:
    assert without_farthest([[1.0, 2.0, 3.0], [0.0, 0.0, 30.0]]) == [[1.0, 2.0, 3.0], [0.0, 0.0]]
    assert without_farthest([]) == []
