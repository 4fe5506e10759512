"""How many utterances a class must have for its printed pairs to exist: searched, with the rate of coincidences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.ndimage import uniform_filter1d
from scipy.stats import binom

from lmam_book.forensics.counts import Digits, possible
from lmam_book.forensics.pasted import UnitTable

SEARCHED = ("recall", "precision")
"""Readings whose pairs depend on n. One-vs-rest accuracy and F1 fix t and n + p whatever n is."""
NEAR = 1
"""Arbitrary numbers are drawn within so many percentage points of the printed ones."""
SIGNIFICANT = 1e-3
"""A support is named when its rows would fit by coincidence less often than this, all searched n taken together."""


@dataclass(frozen=True)
class Supports:
    """A set of supports and where it comes from."""

    name: str
    n: dict[str, int]
    total: int

    @classmethod
    def of(cls, support: Mapping[str, int], name: str = "given") -> Supports:
        """The supports that somebody states, under the name that sentences call them by."""
        return cls(name, dict(support), sum(support.values()))

    @property
    def array(self) -> np.ndarray:
        """The supports in the order of the classes, (classes,)."""
        return np.array(list(self.n.values()), np.int64)


def fits(
    table: UnitTable, column: int, reading: str, n: np.ndarray, digits: Digits, total: int | None = None
) -> np.ndarray:
    """Whether the pair of each row (that can be tested) exists for each n: (rows, len(n))."""
    there = table.testable[:, column]
    acc, f1 = table.acc[there, column][:, None], table.f1[there, column][:, None]
    return possible(acc, f1, n[None, :], total, reading, digits)


def arbitrary(table: UnitTable, draws: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs drawn evenly within `NEAR` points of the printed ones, never two zeros: (draws, rows, classes) each."""
    rng = np.random.default_rng(seed)
    reach = NEAR * table.scale
    drawn = [np.abs(x + rng.integers(-reach, reach + 1, (draws, *x.shape))) for x in (table.acc, table.f1)]
    acc, f1 = (np.minimum(x, 100 * table.scale) for x in drawn)
    return np.where((acc == 0) & (f1 == 0), 1, acc), f1


def search(table: UnitTable, reading: str, digits: Digits, n_max: int, draws: int = 20, seed: int = 0) -> pd.DataFrame:
    """The most telling support of every class, as if each row had been tested on the same utterances.

    Columns: class, n, rows (that fit), of (rows tested), by_chance (rows that arbitrary numbers would fit), p (the
    chance of as many among arbitrary numbers at any n), named (p < 0.001). A table of one-vs-rest accuracies gives
    every class the number of all utterances.
    """
    numbers = np.arange(1, n_max + 1)
    some = np.unique(np.geomspace(1, n_max, 120).astype(int))  # the rate of coincidences grows smoothly with n
    acc, f1 = arbitrary(table, draws, seed)
    records = []
    for c, name in enumerate(table.classes):
        there = table.testable[:, c]
        rows = int(there.sum())
        if not rows:
            records.append({"class": name, "n": 0, "rows": 0, "of": 0, "by_chance": np.nan, "p": 1.0, "named": False})
            continue
        fitting = fits(table, c, reading, numbers, digits).sum(0)
        a, f = (x[:, there, c].ravel()[:, None] for x in (acc, f1))
        at_random = possible(a, f, some[None], None, reading, digits)
        rate = uniform_filter1d(at_random.mean(0), 7, mode="nearest") + 1 / (7 * len(at_random))
        rate = np.interp(numbers, some, rate)
        p = binom.sf(fitting - 1, rows, np.minimum(rate, 1))
        n = _least_divisor(int(p.argmin()) + 1, fitting, p * n_max, rate, rows, reading, digits)
        record = {
            "class": name,
            "n": n,
            "rows": int(fitting[n - 1]),
            "of": rows,
            "by_chance": rows * float(rate[n - 1]),
        }
        over_all = min(1.0, float(p[n - 1]) * n_max)
        records.append(record | {"p": over_all, "named": over_all < SIGNIFICANT})
    return pd.DataFrame(records)


def _least_divisor(
    best: int, fitting: np.ndarray, p: np.ndarray, rate: np.ndarray, rows: int, reading: str, digits: Digits
) -> int:
    """The support behind the most telling n, `best`: itself, or the divisor d from which its rows come more likely.

    What exists for d exists for its multiples, where a few rows more fit by coincidence. d takes the place of n when it
    would be named itself and the rows that fit n alone are likelier coincidences than those that fit d would be, were n
    the support; or when it serves as many rows. found, p and rate hold, for each n from 1, the rows that fit, their p
    over all n, and the rate of coincidences.
    """
    for d in range(1, best):
        if best % d:
            continue
        fit, more = fitting[d - 1], fitting[best - 1] - fitting[d - 1]
        if more <= 0:
            return d
        if p[d - 1] < SIGNIFICANT:
            of_n = binom.sf(more - 1, rows - fit, min(float(rate[best - 1]), 1.0))
            of_d = binom.sf(fit - 1, fitting[best - 1], _shared(best, d, reading, digits))
            if of_n >= of_d:
                return d
    return best


def _shared(n: int, d: int, reading: str, digits: Digits, draws: int = 2000) -> float:
    """The share of pairs on n utterances that exist on d, a divisor of n, as well: from hits and predictions drawn."""
    rng = np.random.default_rng(0)
    p = rng.integers(1, 2 * n + 1, draws)
    t = rng.integers(0, np.minimum(n, p) + 1)
    ends = np.rint if digits.rounding == "rounded" else np.floor
    acc, f1 = (ends(100 * digits.scale * x) for x in (t / (n if reading == "recall" else p), 2 * t / (n + p)))
    return float(possible(acc, f1, d, None, reading, digits).mean())


def candidates(
    table: UnitTable, stated: Supports | None, searched: Mapping[str, pd.DataFrame], most: int
) -> list[Supports]:
    """The sets of supports to audit with: the stated one, and each reading's searched one where it differs.

    A searched set holds the support of every class that the search names. A class without one has the stated support;
    where nothing is stated, there is no set of that reading. Nor is there one with more than `most` utterances in all.
    """
    sets = [stated] if stated else []
    for reading, classes in searched.items():
        named = classes[classes["named"]].set_index("class")["n"].to_dict()
        n = {c: int(named.get(c, stated.n[c] if stated else 0)) for c in table.classes}
        if all(n.values()) and n not in [s.n for s in sets] and sum(n.values()) <= most:
            sets.append(Supports.of(n, f"searched ({reading})"))
    return sets


def coincidence(
    table: UnitTable, supports: Supports, reading: str, digits: Digits, draws: int = 200, seed: int = 1
) -> np.ndarray:
    """The share of arbitrary pairs near each printed pair that exist with these supports: (rows, classes), never 0."""
    acc, f1 = arbitrary(table, draws, seed)
    there = possible(acc, f1, supports.array, supports.total, reading, digits)
    return (there.sum(0) + 0.5) / (draws + 1)


def tail(rates: np.ndarray, count: int) -> float:
    """The chance that at least `count` of independent events happen, each with its own rate."""
    reached = np.array([1.0])
    for rate in rates:
        reached = np.convolve(reached, [1 - rate, rate])
    return float(min(1.0, reached[count:].sum()))
