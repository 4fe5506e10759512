"""What resampling dialogues varies: metrics of many samples of conversations at once, from stored outcomes.

Seeds say how much a result changes when the same model is trained again. They say nothing of other conversations: every
seed is scored on the same test set. Drawing that many conversations from the test set with replacement, many
times, says how much the result depends on which conversations are in it (Efron, 1979; clusters are drawn whole).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lmam_core.errors import LmamError
from lmam_core.runs.metrics import per_class
from lmam_core.runs.run import Run

RESAMPLES = 2000


def draws(conversations: int, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """How often each conversation is drawn in each sample of as many conversations, (R, n)."""
    p = np.full(conversations, 1 / conversations)
    return np.random.default_rng(seed).multinomial(conversations, p, size=resamples)  # (R, n)


def stacked(runs: Sequence[Run]) -> np.ndarray:
    """The outcomes of runs on one test set, (S, n, K), conversations in the first run's order.

    Raises LmamError where a run was scored on other conversations.
    """
    ids = list(runs[0].outcomes)
    for run in runs:
        if run.outcomes.keys() != runs[0].outcomes.keys():
            raise LmamError(
                f"Run {run.experiment.key} was scored on other conversations than {runs[0].experiment.key}."
            )
    return np.array([[run.outcomes[i] for i in ids] for run in runs], np.float64)  # (S, n, K)


def resampled(runs: Sequence[Run], metric: str, drawn: np.ndarray) -> np.ndarray:
    """A metric of `summarise`, or `f1:CLASS`, of each run on each sample of conversations, (S, R).

    `drawn` (R, n) is from `draws`. Raises LmamError for a metric that the runs do not have.
    """
    totals = drawn @ stacked(runs)  # (S, R, K)
    classes = runs[0].classes
    of_class = [f"f1:{name}" for name in classes or ()]
    if classes and metric in of_class:
        confusion = totals.reshape(*totals.shape[:-1], len(classes), len(classes))  # (S, R, C, C)
        return per_class(confusion)["f1"][..., of_class.index(metric)]
    metrics = runs[0].summarise(totals)
    if metric not in metrics:
        raise LmamError(f"There is no metric '{metric}' that can be resampled; choose one of {', '.join(metrics)}.")
    return metrics[metric]
