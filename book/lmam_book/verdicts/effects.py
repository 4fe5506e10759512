"""What a comparison gives: the difference of two arms with an interval over seeds and conversations together.

A result depends on which random numbers a model was trained with, and on which conversations happen to be in the test
set. Every seed is scored on the same conversations, so the two are crossed. What seeds vary is seen in the gains of the
seeds; what conversations vary in resamples of the stored outcomes, which draw whole conversations. The
variances add, and Student's quantile has Satterthwaite's degrees of freedom. Percentiles of resamples of both are too
narrow for few seeds: five vary by four fifths of what they should when they are drawn with replacement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lmam_book.verdicts.resampling import draws, stacked
from lmam_core.errors import LmamError
from lmam_core.runs.run import Run

LEVEL = 0.95

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Effect:
    """How much better arm b is than arm a, positive for better, in the unit of the metric.

    `low` and `high` are the ends of the interval at `level`, over `seeds` and `conversations` together; `of_seeds` and
    `of_conversations` are the standard errors that come from the one and from the other. A part that both vary together
    is in both of them, so that the interval is rather too wide. `better` is the share of seeds and resampled test sets
    in which b beats a. `pairing` is the correlation of the two arms over seeds, NaN where one does not vary: pairing by
    seed is worth something as far as it is above 0. `values` are the gains of the seeds.
    """

    mean: float
    seeds: int
    conversations: int
    of_seeds: float
    of_conversations: float
    better: float = float("nan")
    pairing: float = float("nan")
    level: float = LEVEL
    values: tuple[float, ...] = ()

    @property
    def n(self) -> int:
        """The number of seeds, as `Interval` calls it."""
        return self.seeds

    @property
    def standard_error(self) -> float:
        """Of the mean, over seeds and conversations."""
        return float(np.hypot(self.of_seeds, self.of_conversations))

    @property
    def freedom(self) -> float:
        """Satterthwaite's degrees of freedom of the standard error; infinite where nothing varies."""
        # Of one conversation nothing varies: its part is 0.
        parts = self.of_seeds**4 / (self.seeds - 1) + self.of_conversations**4 / max(self.conversations - 1, 1)
        return self.standard_error**4 / parts if parts else float("inf")

    @property
    def half(self) -> float:
        """Half the width of the interval."""
        return float(stats.t.ppf((1 + self.level) / 2, self.freedom)) * self.standard_error

    @property
    def low(self) -> float:
        """The lower end of the interval."""
        return self.mean - self.half

    @property
    def high(self) -> float:
        """The upper end of the interval."""
        return self.mean + self.half

    @property
    def p(self) -> float:
        """The one-sided p-value of no gain; 0 or 1 for a gain that does not vary, 0.5 for none."""
        if not self.standard_error:
            return 0.5 - 0.5 * float(np.sign(self.mean))
        return float(stats.t.sf(self.mean / self.standard_error, self.freedom))

    def equivalent(self, margin: float) -> float:
        """The p-value of the test that the gain lies within ± margin: the larger of two one-sided ones (TOST)."""
        if not self.standard_error:
            return 0.0 if abs(self.mean) < margin else 1.0
        sides = ((margin - self.mean) / self.standard_error, (margin + self.mean) / self.standard_error)
        return float(stats.t.sf(min(sides), self.freedom))

    def __str__(self) -> str:
        """`+1.24 [-0.30, +2.81] (10 seeds, 31 conversations)`."""
        return (
            f"{self.mean:+.2f} [{self.low:+.2f}, {self.high:+.2f}] "
            f"({self.seeds} seeds, {self.conversations} conversations)"
        )

    @property
    def by_blocks(self) -> str:
        """The same for a test set that is resampled in blocks: `+1.24 [-0.30, +2.81] (5 seeds, 499 blocks)`."""
        return str(self).replace("conversations", "blocks")


def effect(a: Sequence[Run], b: Sequence[Run], metric: str, level: float = LEVEL) -> Effect:
    """b minus a over the seeds that both have, for a metric of `summarise`; an error's sign is turned.

    Raises LmamError where the arms share fewer than two seeds or were scored on different conversations.
    """
    return contrast([a], [b], metric, level)


def contrast(a: Sequence[Sequence[Run]], b: Sequence[Sequence[Run]], metric: str, level: float = LEVEL) -> Effect:
    """The mean of the arms b minus the mean of the arms a, over the seeds that all arms have; otherwise as `effect`."""
    arms = _shared([*a, *b])
    outcomes = np.stack([stacked(arm) for arm in arms])  # (A, S, n, K)
    if any(list(arm[0].outcomes) != list(arms[0][0].outcomes) for arm in arms):
        raise LmamError("The arms were scored on different conversations.")
    S, n = outcomes.shape[1:3]
    by_seed = _two(_scores(outcomes.sum(2), arms[0][0], metric), len(a))  # (2, S)
    difference = np.subtract(*_two(_scores(draws(n) @ outcomes, arms[0][0], metric), len(a))[::-1])  # (S, R)
    gain = by_seed[1] - by_seed[0]  # (S,)
    return Effect(
        mean=float(gain.mean()),
        seeds=S,
        conversations=n,
        of_seeds=float(gain.std(ddof=1) / S**0.5),
        of_conversations=float(difference.mean(0).std(ddof=1)),
        better=float((difference > 0).mean() + (difference == 0).mean() / 2),
        pairing=_correlation(by_seed),
        level=level,
        values=tuple(gain.tolist()),
    )


def _scores(totals: Floats, of: Run, metric: str) -> Floats:
    """A metric of summed outcomes (..., K), (...), more for better."""
    sign = -1.0 if metric == "mae" else 1.0
    return sign * np.asarray(of.summarise(totals)[metric])


def _two(scores: Floats, first: int) -> Floats:
    """Scores of arms (A, ...) as the mean of the first ones and that of the rest, (2, ...)."""
    return np.stack([scores[:first].mean(0), scores[first:].mean(0)])


def by_sample(a: Sequence[Run], b: Sequence[Run], metric: str) -> Floats:
    """The mean gain over seeds on each of the same samples of conversations, (R,), as `effect` draws them.

    Comparisons on one test set meet the same samples, so that what these vary together can be seen.
    """
    arms = _shared([a, b])
    outcomes = np.stack([stacked(arm) for arm in arms])  # (2, S, n, K)
    scores = _scores(draws(outcomes.shape[2]) @ outcomes, arms[0][0], metric)  # (2, S, R)
    return np.asarray((scores[1] - scores[0]).mean(0))


def _shared(arms: Sequence[Sequence[Run]]) -> list[list[Run]]:
    """The runs of the seeds that all arms have, by seed."""
    by_seed = [{run.experiment.seed: run for run in runs} for runs in arms]
    seeds = sorted(set.intersection(*map(set, by_seed)))
    if len(seeds) < 2:
        raise LmamError(f"The arms share {len(seeds)} seeds; an interval needs two.")
    return [[runs[s] for s in seeds] for runs in by_seed]


def _correlation(by_seed: Floats) -> float:
    """The correlation of the two rows of (2, S); NaN where one does not vary."""
    first, second = by_seed
    return float(np.corrcoef(first, second)[0, 1]) if first.std() and second.std() else float("nan")
