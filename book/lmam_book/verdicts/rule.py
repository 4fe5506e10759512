"""The one rule by which a measured claim gets its word, and what would decide one that is open."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from scipy import stats

from lmam_book.verdicts.effects import Effect

REPRODUCED = "reproduced"
POSITIVE = "positive, undecided"
UNDECIDED = "undecided"
EXCLUDED = "excluded"
NOT_WORKING = "baseline not working"
NOT_TESTABLE = "not testable"
WORDS = (REPRODUCED, POSITIVE, UNDECIDED, EXCLUDED, NOT_WORKING, NOT_TESTABLE)
"""Of measured claims."""
COUNTED = ("holds", "holds in part", "does not hold")
"""Of claims about what can be counted: parameters, operations, classes."""

SHARE = 0.5
"""The part of the printed gain that ours must have; a choice of this book, as no rule says how near is near enough."""
FEW = 5
"""Seeds below which nothing is decided; a choice of this book."""


@dataclass(frozen=True)
class Baseline:
    """What the losing arm must clear before anything is decided against it.

    `score` is the baseline's mean in the claim's metric; `bar` the best single modality or linear probe on the same
    features, named by `what`.
    """

    score: float
    bar: float
    what: str

    @property
    def works(self) -> bool:
        """Whether the baseline is at least at the bar."""
        return self.score >= self.bar


def word(found: Effect | None, printed: float, baseline: Baseline | None = None) -> str:
    """The word on "b is better than a by `printed`", for a printed gain above 0.

    * not testable: no runs, or fewer than five shared seeds;
    * baseline not working: arm a is below the best single modality or a linear probe on the same features;
    * excluded: the interval lies below half the printed gain;
    * reproduced: the interval lies above 0, and the mean is at least half the printed gain;
    * positive, undecided: the interval lies above 0, and neither of these;
    * undecided: everything else.
    """
    if found is None or found.seeds < FEW:
        return NOT_TESTABLE
    if baseline is not None and not baseline.works:
        return NOT_WORKING
    if found.high < SHARE * printed:
        return EXCLUDED
    if found.low > 0:
        return REPRODUCED if found.mean >= SHARE * printed else POSITIVE
    return UNDECIDED


def best_of(readings: Mapping[str, Effect]) -> str:
    """The reading with the largest mean; its interval must have been made for as many readings (`corrected`)."""
    return max(readings, key=lambda name: readings[name].mean)


def corrected(readings: int, level: float = 0.95) -> float:
    """The level of each interval if the best of some readings is to be judged at `level` (Bonferroni)."""
    return 1 - (1 - level) / readings


@dataclass(frozen=True)
class Needed:
    """What would decide an open claim if the mean stayed: seeds, or conversations where no number of seeds would."""

    seeds: int | None
    conversations: int | None


def needed(found: Effect, printed: float) -> Needed:
    """How many seeds decide at the present mean, and with endless seeds how many conversations.

    The interval must become narrow enough to leave out 0 or half the printed gain, whichever is farther from the mean;
    one above 0 already must leave out the half. Standard errors fall with the roots of both numbers.
    """
    half = SHARE * printed
    margin = abs(half - found.mean) if found.low > 0 else max(found.mean, half - found.mean)
    z = float(stats.norm.ppf((1 + found.level) / 2))
    target = (margin / z) ** 2
    left = target - found.of_conversations**2
    if left > 0:
        return Needed(max(found.seeds, math.ceil(found.seeds * found.of_seeds**2 / left)), None)
    return Needed(None, math.ceil(found.conversations * found.of_conversations**2 / target))
