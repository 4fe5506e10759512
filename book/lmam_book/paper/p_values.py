"""What printed p-values imply about five runs, and how many runs a difference needs."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.power import TTestPower

from lmam_book.paper import printed as paper
from lmam_core.errors import LmamError

RUNS = 5
"""How often the paper says that each model ran without LMAM and with it (Sec. V-D)."""
TABLES = {7: (2, "IEMOCAP"), 8: (3, "MELD")}
"""A table of p-values -> the table of the F1 values that it is about, and its dataset."""


def statistic(p: float, n: int = RUNS) -> float:
    """The |t| of a two-sided paired t-test over n runs that gives p: t with 2 P(T_{n-1} > t) = p.

    Raises LmamError for p outside (0, 1] and for n below 2.
    """
    if not 0 < p <= 1 or n < 2:
        raise LmamError(f"A paired t-test gives p in (0, 1] over at least 2 runs; got p = {p} and n = {n}.")
    return float(stats.t.isf(p / 2, n - 1))


def spread(gain: float, p: float, n: int = RUNS) -> float:
    """The standard deviation of n paired differences whose mean is `gain` and whose t-test gives p.

    t = mean / (s / √n), so s = |gain| √n / t. p = 1 implies any deviation and gives infinity.
    """
    t = statistic(p, n)
    return abs(gain) * math.sqrt(n) / t if t > 0 else math.inf


def p_value(gain: float, deviation: float, n: int = RUNS) -> float:
    """The two-sided p of a paired t-test over n differences with this mean and standard deviation."""
    if deviation == 0:
        return 1.0 if gain == 0 else 0.0
    return float(2 * stats.t.sf(abs(gain) * math.sqrt(n) / deviation, n - 1))


def one_utterance(f1: float, support: int) -> float:
    """The smallest change of a class's F1 in percentage points that one changed prediction can make.

    F1 = 2 t / (n + p), n the support and p the number of predictions, taken as p = n: one more false alarm lowers F1 by
    F1 / (n + p + 1), one more hit raises it by (2 - F1) / (n + p + 1). A false alarm leaves an F1 of 0 as it is, so
    there the hit counts.
    """
    share = f1 / 100
    return 100 * (share or 2.0) / (2 * support + 1)


def sign_test(n: int = RUNS) -> float:
    """The smallest two-sided p that a sign test over n pairs can reach: 2 · 2^-n, when all differences agree."""
    return float(stats.binomtest(n, n).pvalue)


def seeds_needed(difference: float, deviation: float, wanted: float = 0.8, alpha: float = 0.05) -> int:
    """How many paired runs a two-sided t-test needs to find a difference with this probability.

    `deviation` is the standard deviation of the paired differences. At least 2; raises LmamError for a difference of 0.
    """
    if difference == 0:
        raise LmamError("No number of runs finds a difference of 0.")
    if deviation == 0:
        return 2
    effect = abs(difference) / deviation
    for n in range(2, 11):  # of large effects statsmodels has NaN for some n
        if power(difference, deviation, n, alpha) >= wanted:
            return n
    return math.ceil(TTestPower().solve_power(effect_size=effect, power=wanted, alpha=alpha))


def power(difference: float, deviation: float, n: int, alpha: float = 0.05) -> float:
    """The probability that a two-sided paired t-test over n runs finds this difference.

    P(|T| > t_{1 - alpha / 2, n - 1}) of a noncentral T with n - 1 degrees of freedom and noncentrality |δ| √n / σ.
    """
    t, shift = stats.t.ppf(1 - alpha / 2, n - 1), abs(difference) / deviation * n**0.5
    # Far out the tail on the other side comes as NaN where it is 0 to all digits (scipy 1.17, and statsmodels with it).
    return float(stats.nct.sf(t, n - 1, shift) + np.nan_to_num(stats.nct.cdf(-t, n - 1, shift)))


def printed() -> pd.DataFrame:
    """One row per printed p-value of Tables VII and VIII, with what it implies about the five differences behind it.

    `gain` is the printed F1 of the row with * minus the row's own, in percentage points; `t` and `spread` (a standard
    deviation) are implied by p; `one_utterance` is what a single changed prediction does to the class's F1 (supports of
    the public test sets).
    """
    rows = []
    for number, (source, dataset) in TABLES.items():
        support = paper.TEST_SUPPORT[dataset]
        for cell in paper.table(number).itertuples():
            base, column = cell.row, cell.column
            without = paper.cell(source, base, column, "F1", dataset)
            gain = paper.cell(source, f"{base.split('+')[0]}*", column, "F1", dataset) - without
            rows.append(
                {
                    "table": number,
                    "dataset": dataset.lower(),
                    "row": base,
                    "class": column,
                    "p": cell.number,
                    "gain": round(gain, 2),
                    "t": statistic(cell.number),
                    "spread": spread(gain, cell.number),
                    "one_utterance": one_utterance(without, support[column]),
                }
            )
    return pd.DataFrame(rows)


def beside(measured: pd.DataFrame) -> pd.DataFrame:
    """The printed rows beside measured deviations: `measured` has `dataset`, `row`, `class`, `deviation` and `n`.

    Adds `ratio`, measured over implied deviation, and `expected_p`, which five runs with the printed gain and the
    measured deviation would give.
    """
    rows = printed().merge(measured, on=["dataset", "row", "class"])
    rows["ratio"] = rows.deviation / rows.spread.replace(0, np.nan)
    rows["expected_p"] = [p_value(g, s) for g, s in zip(rows.gain, rows.deviation, strict=True)]
    return rows
