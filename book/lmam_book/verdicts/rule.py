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
TOO_FEW = "too few runs"
NOT_TESTABLE = "not testable"
WORDS = (REPRODUCED, POSITIVE, UNDECIDED, EXCLUDED, NOT_WORKING, TOO_FEW, NOT_TESTABLE)
"""Of measured claims."""
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
EDGE = 3.0
"""Points by which an arm might be better whose learning rate is the smallest or largest that was tried; a choice of
this book. bc-LSTM's concatenation gained 1.9 on IEMOCAP when its rate, dropout and weight decay were searched."""


def slug(word: str) -> str:
    """A word as the class of its badge: `positive-undecided`."""
    return "-".join(re.findall("[a-z]+", word))


@dataclass(frozen=True)
class Baseline:
    """What the model without LMAM must reach before anything is decided about a gain over it.

    `score` is its mean in the claim's metric; `bar` what a linear probe on the same features has; `trained` is false
    where its runs were stopped before they had learned; `edge` is how much better it might be, in the metric's unit, as
    its rate is at the edge of those tried.
    """

    score: float
    bar: float
    trained: bool = True
    edge: float = 0.0

    @property
    def works(self) -> bool:
        """Whether the baseline was trained and is at least at the bar."""
        return self.trained and self.score >= self.bar


def word(
    readings: Sequence[Effect],
    reported: float,
    baseline: Baseline | None = None,
    trained: bool = True,
    edge: float = 0.0,
) -> str:
    """The word on "b is better than a by `reported`", where b is the best of some readings.

    Their intervals must have been made for as many readings (`corrected`). Where the paper reports no gain above 0,
    half of it counts as 0. `trained` is false where runs of b were stopped before they had learned, or a reading of b
    is not measured yet; `edge` is how much better b might be, as its rate is at the edge of those tried.

    * too few runs: none, or fewer than five shared seeds;
    * baseline not working: arm a is below a linear probe on the same features, or was not trained;
    * excluded: the interval of every reading lies below half the reported gain (by `edge` at least), and b was trained;
    * reproduced: that of the best reading lies above 0 (above the baseline's `edge`), and its mean, lowered for the
      choice (`lowered`), is at least half the reported gain;
    * positive, undecided: that of the best reading lies above 0, and neither of these;
    * undecided: everything else.
    """
    half = half_of(reported)
    if not readings or min(reading.seeds for reading in readings) < FEW:
        return TOO_FEW
    if baseline is not None and not baseline.works:
        return NOT_WORKING
    if trained and max(reading.high for reading in readings) + edge < half:
        return EXCLUDED
    best = max(readings, key=lambda reading: reading.mean)
    if best.low > 0:
        sure = baseline is None or best.low > baseline.edge
        return REPRODUCED if sure and lowered(best, len(readings)) >= half else POSITIVE
    return UNDECIDED


def half_of(reported: float) -> float:
    """The gain that ours must have (`SHARE`); 0 where the paper reports none above 0."""
    return SHARE * max(reported, 0.0) if math.isfinite(reported) else 0.0


def lowered(best: Effect, of: int) -> float:
    """The mean of the best of some readings, lowered until it is not too high in more than half of all cases.

    m - t_q s with q = 2^(-1/of), s the standard error of the mean m: the largest of so many independent errors is below
    t_q s in one of two cases, and of errors that a common baseline correlates in more. One reading keeps its mean.
    """
    if of == 1 or not best.standard_error:
        return best.mean
    return best.mean - float(stats.t.ppf(0.5 ** (1 / of), best.freedom)) * best.standard_error


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


def needed(gain: Effect, reported: float, of: int = 1) -> Needed:
    """How many seeds decide at the present mean, and with endless seeds how many conversations.

    A mean of at least half the reported gain is decided once the interval leaves out 0 and the mean is at least the
    half when it is `lowered` as the best of so many readings; a smaller one once the interval leaves out the half.
    Standard errors fall with the roots of both numbers. What seeds and conversations vary together counts as the
    conversations' here, so that seeds help somewhat more than this says.
    """
    half, z = half_of(reported), float(stats.norm.ppf((1 + gain.level) / 2))
    error = gain.mean / z if gain.mean >= half else (half - gain.mean) / z
    if gain.mean >= half > 0 and of > 1:
        error = min(error, (gain.mean - half) / float(stats.norm.ppf(0.5 ** (1 / of))))
    if not error:
        return Needed(None, None)
    target = error**2
    left = target - gain.of_conversations**2
    if left > 0:
        return Needed(max(gain.seeds + 1, math.ceil(gain.seeds * gain.of_seeds**2 / left)), None)
    return Needed(None, math.ceil(gain.conversations * gain.of_conversations**2 / target))


MANY = 2_000
"""Test conversations that nobody has."""


def would_decide(gain: Effect, reported: float, of: int = 1) -> str:
    """What would decide a claim that is open, as the end of a sentence; the gain is the best `of` some readings."""
    more = needed(gain, reported, of)
    if more.seeds:
        return f"{more.seeds:,} seeds would decide"
    if (conversations := more.conversations or MANY) < MANY:
        return f"no number of seeds decides with {gain.conversations} test conversations, about {conversations:,} would"
    return f"too near {'half of the reported gain' if reported > 0 else '0'} for any test set to decide"
