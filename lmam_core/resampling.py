"""What resampling dialogues varies: metrics of many samples of conversations at once, from stored outcomes.

Seeds say how much a result changes when the same model is trained again. They say nothing of other conversations: every
seed is scored on the same test set. Drawing that many conversations from the test set with replacement, again and
again, says how much the result hangs on which conversations happen to be in it (Efron, 1979; clusters are drawn whole).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lmam_core.errors import LmamError
from lmam_core.experiment import Run
from lmam_core.metrics import SUMS

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
    """The metric of each run on each sample of conversations, (S, R); `drawn` (R, n) is from `draws`."""
    totals = drawn @ stacked(runs)  # (S, R, K)
    classes = runs[0].classes
    return of_classes(totals, classes, metric) if classes else of_regression(totals, metric)


def of_classes(totals: np.ndarray, classes: Sequence[str], metric: str) -> np.ndarray:
    """`accuracy`, `weighted_f1`, `macro_f1` or `f1:CLASS` of summed confusion counts (..., C * C), in percent."""
    C = len(classes)
    confusion = totals.reshape(*totals.shape[:-1], C, C)  # (..., C, C)
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)  # (..., C)
    support, predicted = confusion.sum(-1), confusion.sum(-2)  # (..., C)
    f1 = 200 * hits / np.maximum(support + predicted, 1)
    if metric.startswith("f1:"):
        return f1[..., list(classes).index(metric.removeprefix("f1:"))]
    if metric == "accuracy":
        return 100 * hits.sum(-1) / support.sum(-1)
    if metric == "weighted_f1":
        return (f1 * support).sum(-1) / support.sum(-1)
    if metric == "macro_f1":
        return f1.mean(-1)
    raise LmamError(f"There is no metric '{metric}' of classes that can be resampled.")


def of_regression(totals: np.ndarray, metric: str) -> np.ndarray:
    """`mae`, `corr`, `acc2`, `f1` or `acc7` of summed outcomes (..., 13 + 49), as `metrics.summarise` defines them."""
    s = {name: totals[..., k] for k, name in enumerate(SUMS)}
    n = s["count"]
    if metric == "mae":
        return s["absolute_error"] / n
    if metric == "corr":
        covariance = s["product"] - s["label"] * s["prediction"] / n
        variances = (s["label_squared"] - s["label"] ** 2 / n) * (s["prediction_squared"] - s["prediction"] ** 2 / n)
        return np.where(variances > 1e-12, covariance / np.sqrt(np.maximum(variances, 1e-12)), 0.0)
    if metric in ("acc2", "f1"):
        return of_classes(
            totals[..., 7:11], ("negative", "positive"), "accuracy" if metric == "acc2" else "weighted_f1"
        )
    if metric == "acc7":
        return of_classes(totals[..., len(SUMS) :], range(7), "accuracy")
    raise LmamError(f"There is no metric '{metric}' of a regression that can be resampled.")
