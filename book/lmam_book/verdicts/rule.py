"""The one rule by which a measured claim gets its word, and what would decide one that is open."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
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
BETTER = "better"
WORSE = "worse"
"""Where nothing is reported that could be reproduced: `own`."""
HOLDS = "holds"
IN_PART = "holds in part"
DOES_NOT_HOLD = "does not hold"
COUNTED = (HOLDS, IN_PART, DOES_NOT_HOLD, NOT_TESTABLE)
"""Of claims about what can be counted in models and data, or recomputed from the paper's own numbers."""


def counted(agree: int, of: int, most: float = 0.5) -> str:
    """The word on "it is so everywhere", where it is so in `agree` of `of` places: in part for more than `most`."""
    return HOLDS if agree == of else IN_PART if agree > most * of else DOES_NOT_HOLD


SHARE = 0.5
"""The part of the printed gain that ours must have; a choice of this book, as no rule says how near is near enough."""
FEW = 5
"""Seeds below which nothing is decided; a choice of this book."""


def slug(word: str) -> str:
    """A word as the class of its badge: `positive-undecided`."""
    return "-".join(re.findall("[a-z]+", word))


@dataclass(frozen=True)
class Baseline:
    """What the model without LMAM must reach before anything is decided about a gain over it.

    `score` is its mean in the claim's metric; `bar` what a linear probe on the same features has; `trained` is false
    where its runs were stopped before they had learned.
    """

    score: float
    bar: float
    trained: bool = True

    @property
    def works(self) -> bool:
        """Whether the baseline was trained and is at least at the bar."""
        return self.trained and self.score >= self.bar


def word(readings: Sequence[Effect], reported: float, baseline: Baseline | None = None, trained: bool = True) -> str:
    """The word on "b is better than a by `printed`", where b is the best of some readings.

    Their intervals must have been made for as many readings (`corrected`). Where the paper reports no gain above 0,
    half of it counts as 0. `trained` is false where runs of b were stopped before they had learned.

    * not testable: no runs, or fewer than five shared seeds;
    * baseline not working: arm a is below a linear probe on the same features, or was not trained;
    * excluded: the interval of every reading lies below half the printed gain, and b was trained;
    * reproduced: that of the best reading lies above 0, and its mean is at least half the printed gain;
    * positive, undecided: that of the best reading lies above 0, and neither of these;
    * undecided: everything else.
    """
    half = SHARE * max(reported, 0.0) if math.isfinite(reported) else 0.0
    if not readings or min(reading.seeds for reading in readings) < FEW:
        return NOT_TESTABLE
    if baseline is not None and not baseline.works:
        return NOT_WORKING
    if trained and max(reading.high for reading in readings) < half:
        return EXCLUDED
    best = max(readings, key=lambda reading: reading.mean)
    if best.low > 0:
        return REPRODUCED if best.mean >= half else POSITIVE
    return UNDECIDED


def own(gain: Effect, baseline: Baseline | None = None, trained: bool = True) -> str:
    """The word on "b is better than a" of runs of one's own, for which nothing is reported: `word` with a gain of 0.

    Better or worse where the interval lies above 0 or below, instead of reproduced and excluded.
    """
    given = word([gain], 0.0, baseline, trained)
    return {REPRODUCED: BETTER, EXCLUDED: WORSE}.get(given, given)


def corrected(readings: int, level: float = 0.95) -> float:
    """The level of each interval if the best of some readings is to be judged at `level` (Bonferroni)."""
    return 1 - (1 - level) / readings


@dataclass(frozen=True)
class Needed:
    """What would decide an open claim if the mean stayed: seeds, or conversations where no number of seeds would.

    Neither where the mean is exactly what it would have to differ from.
    """

    seeds: int | None
    conversations: int | None


def needed(gain: Effect, reported: float) -> Needed:
    """How many seeds decide at the present mean, and with endless seeds how many conversations.

    A mean of at least half the printed gain is decided once the interval leaves out 0, a smaller one once it leaves out
    the half. Standard errors fall with the roots of both numbers. What seeds and conversations vary together counts as
    the conversations' here, so that seeds help somewhat more than this says.
    """
    half = SHARE * reported if math.isfinite(reported) and reported > 0 else 0.0
    margin = gain.mean if gain.mean >= half else half - gain.mean
    if not margin:
        return Needed(None, None)
    z = float(stats.norm.ppf((1 + gain.level) / 2))
    target = (margin / z) ** 2
    left = target - gain.of_conversations**2
    if left > 0:
        return Needed(max(gain.seeds + 1, math.ceil(gain.seeds * gain.of_seeds**2 / left)), None)
    return Needed(None, math.ceil(gain.conversations * gain.of_conversations**2 / target))


MANY = 2_000
"""Test conversations that nobody has."""


def would_decide(gain: Effect, reported: float) -> str:
    """What would decide a claim that is open, as the end of a sentence."""
    more = needed(gain, reported)
    if more.seeds:
        return f"{more.seeds:,} seeds would decide"
    if (conversations := more.conversations or MANY) < MANY:
        return f"would take about {conversations:,} test conversations"
    return f"too near {'half of the reported gain' if reported > 0 else '0'} for any test set to decide"
