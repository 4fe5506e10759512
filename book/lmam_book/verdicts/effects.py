"""What a comparison found: the difference of two arms with an interval over seeds and conversations together.

A result hangs on which random numbers a model was trained with, and on which conversations happen to be in the test
set. Every seed is scored on the same conversations, so the two are crossed. What seeds vary is seen in the gains of the
seeds; what conversations vary in resamples of the stored outcomes, in which conversations are drawn anew, whole. The
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

RESAMPLES = 4000
LEVEL = 0.95

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Effect:
    """How much better arm b is than arm a, positive for better, in the unit of the metric.

    `low` and `high` are the ends of the interval at `level`, over `seeds` and `conversations` together; `of_seeds` and
    `of_conversations` are the standard errors that come from the one and from the other. A part that both vary together
    is in both of them, so that the interval is rather too wide. `better` is the share of seeds and resampled test sets
    in which b beats a. `pairing` is the correlation of the two arms over seeds, NaN where one does not vary: pairing by
    seed is worth something as far as it is above 0.
    """

    mean: float
    seeds: int
    conversations: int
    of_seeds: float
    of_conversations: float
    better: float = float("nan")
    pairing: float = float("nan")
    level: float = LEVEL

    @property
    def standard_error(self) -> float:
        """Of the mean, over seeds and conversations."""
        return float(np.hypot(self.of_seeds, self.of_conversations))

    @property
    def freedom(self) -> float:
        """Satterthwaite's degrees of freedom of the standard error; infinite where nothing varies."""
        parts = self.of_seeds**4 / (self.seeds - 1) + self.of_conversations**4 / (self.conversations - 1)
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

    def __str__(self) -> str:
        """`+1.24 [-0.30, +2.81] (10 seeds, 31 conversations)`."""
        return (
            f"{self.mean:+.2f} [{self.low:+.2f}, {self.high:+.2f}] "
            f"({self.seeds} seeds, {self.conversations} conversations)"
        )


def effect(a: Sequence[Run], b: Sequence[Run], metric: str, level: float = LEVEL) -> Effect:
    """b minus a over the seeds that both have, for a metric of `summarise`; an error's sign is turned.

    Raises LmamError where the arms share fewer than two seeds or were scored on different conversations.
    """
    a, b = _shared(a, b)
    sign = -1.0 if metric == "mae" else 1.0
    outcomes = np.stack([stacked(a), stacked(b)])  # (2, S, n, K)
    if list(a[0].outcomes) != list(b[0].outcomes):
        raise LmamError("The two arms were scored on different conversations.")
    by_seed = sign * np.asarray(a[0].summarise(outcomes.sum(2))[metric])  # (2, S)
    S, n = outcomes.shape[1:3]
    scores = sign * np.asarray(a[0].summarise(draws(n, RESAMPLES) @ outcomes)[metric])  # (2, S, R)
    difference = scores[1] - scores[0]  # (S, R)
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
    )


def by_sample(a: Sequence[Run], b: Sequence[Run], metric: str) -> Floats:
    """The mean gain over seeds on each of the same `RESAMPLES` samples of conversations, (R,), as `effect` draws them.

    Comparisons on one test set meet the same samples, so that what these vary together can be seen.
    """
    a, b = _shared(a, b)
    sign = -1.0 if metric == "mae" else 1.0
    outcomes = np.stack([stacked(a), stacked(b)])  # (2, S, n, K)
    scores = sign * np.asarray(a[0].summarise(draws(outcomes.shape[2], RESAMPLES) @ outcomes)[metric])
    return np.asarray((scores[1] - scores[0]).mean(0))


def _shared(a: Sequence[Run], b: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """The runs of the seeds that both arms have, by seed."""
    first, second = ({run.experiment.seed: run for run in runs} for runs in (a, b))
    seeds = sorted(first.keys() & second.keys())
    if len(seeds) < 2:
        raise LmamError(f"The two arms share {len(seeds)} seeds; an interval needs two.")
    return [first[s] for s in seeds], [second[s] for s in seeds]


def _correlation(by_seed: Floats) -> float:
    """The correlation of the two rows of (2, S); NaN where one does not vary."""
    first, second = by_seed
    return float(np.corrcoef(first, second)[0, 1]) if first.std() and second.std() else float("nan")
