"""What p-values imply: against simulated paired tests, and against the printed tables."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lmam_book.paper import p_values as implied
from lmam_core.errors import LmamError


@given(
    st.lists(st.integers(-400, 400).map(lambda v: v / 100), min_size=5, max_size=5).filter(
        lambda d: len(set(d)) > 2 and abs(np.mean(d)) > 0.05
    )
)
def test_mean_and_p_of_five_differences_give_back_their_spread(d: list[float]) -> None:
    p = stats.ttest_1samp(d, 0).pvalue
    assert implied.spread(float(np.mean(d)), p) == pytest.approx(np.std(d, ddof=1), rel=1e-6)
    assert implied.p_value(float(np.mean(d)), float(np.std(d, ddof=1))) == pytest.approx(p, rel=1e-6)


def test_the_best_sign_test_over_five_runs_does_not_reach_5_percent() -> None:
    assert implied.sign_test(5) == 0.0625
    assert implied.sign_test(6) < 0.05


@pytest.mark.parametrize(("p", "n"), [(0.0, 5), (1.2, 5), (-0.1, 5), (0.05, 1)])
def test_what_no_test_gives_is_refused(p: float, n: int) -> None:
    with pytest.raises(LmamError, match="p in"):
        implied.statistic(p, n)


def test_edges() -> None:
    assert implied.spread(1.0, 1.0) == math.inf
    assert implied.p_value(0.0, 0.0) == 1.0
    assert implied.p_value(1.0, 0.0) == 0.0
    assert implied.seeds_needed(5.0, 0.0) == 2
    with pytest.raises(LmamError, match="difference of 0"):
        implied.seeds_needed(0.0, 1.0)


@pytest.mark.parametrize(("difference", "deviation"), [(1.0, 1.0), (0.5, 1.0), (2.0, 1.0), (9.0, 0.1), (5.4, 1.0)])
def test_seeds_needed_reach_the_power_and_one_less_does_not(difference: float, deviation: float) -> None:
    n = implied.seeds_needed(difference, deviation)

    def power(n: int) -> float:
        critical, shift = stats.t.isf(0.025, n - 1), difference * math.sqrt(n) / deviation
        return float(stats.nct.sf(critical, n - 1, shift) + np.nan_to_num(stats.nct.cdf(-critical, n - 1, shift)))

    assert power(n) >= 0.8 - 1e-6
    assert n == 2 or power(n - 1) < 0.8


@pytest.mark.parametrize(("t", "n", "p"), [(30, 100, 50), (80, 100, 100), (0, 50, 50), (50, 50, 50)])
def test_one_changed_prediction_moves_f1_by_at_least_that(t: int, n: int, p: int) -> None:
    f1 = lambda t, p: 200 * t / (n + p)  # noqa: E731
    changes = [abs(f1(t, n + 1) - f1(t, n)), abs(f1(t + 1, n + 1) - f1(t, n))]
    found = implied.one_utterance(f1(t, n), n)
    assert found == pytest.approx(min(c for c in changes if c > 0))


def test_every_printed_p_value_has_a_row_with_what_it_implies() -> None:
    found = implied.printed().set_index(["dataset", "row", "class"])
    assert len(found) == 48 + 56
    row = found.loc["iemocap", "DialogueRNN", "Frustrated"]
    assert row.gain == 0.10
    assert 2 * stats.t.sf(row.t, 4) == pytest.approx(row.p)
    assert row.spread == pytest.approx(0.10 * math.sqrt(5) / row.t)
    assert found.loc["iemocap", "bc-LSTM+Att", "Frustrated"].gain == -0.10
    assert (found.one_utterance > 0).all()


def test_a_measured_spread_stands_beside_the_implied_one() -> None:
    measured = pd.DataFrame([{"dataset": "iemocap", "row": "bc-LSTM", "class": "Sad", "deviation": 5.0, "n": 10}])
    found = implied.beside(measured)
    assert len(found) == 1
    row = found.iloc[0]
    assert row.ratio == pytest.approx(5.0 / row.spread)
    assert row.expected_p == pytest.approx(implied.p_value(12.27, 5.0))
