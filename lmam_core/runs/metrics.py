"""Metrics from counts that add up over conversations, so that conversations can be resampled later.

`outcomes` turns the predictions for one conversation into a vector of additive counts. The sum of such vectors, over
a split or over any sample of its conversations, holds everything that `summarise` needs.

Classes: the C x C confusion counts, rows true, columns predicted. Regression (y in [-3, 3]): 13 sums and counts named
in `SUMS`, then the 7 x 7 confusion of y and its prediction, both rounded and clipped to -3..3. K traits in [1, 7]: the
sums and counts of `TRAIT_SUMS` of the first trait, then of the second, and so on; how many numbers there are tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

import numpy as np

SUMS = (
    "count",
    "absolute_error",
    "label",
    "prediction",
    "label_squared",
    "prediction_squared",
    "product",
    "negative_as_negative",
    "negative_as_positive",
    "positive_as_negative",
    "positive_as_positive",
    "nonzero",
    "nonzero_agreements",
)
"""Of a regression's outcome. The four counts call 0 positive ("non-negative"), as the low-rank fusion paper does."""

TRAIT_SUMS = (
    "count",
    "absolute_error",
    "label",
    "prediction",
    "label_squared",
    "prediction_squared",
    "product",
    "same_class",
    "same_half",
    "within_half",
)
"""Of each trait. `same_class`: label and prediction round to the same of 1..7; `same_half`: both are on one side of 4,
which counts as above; `within_half`: the prediction is at most 0.5 from the label."""
DECIMALS = 2
"""Of labels and predictions in the sums of traits, of which a run has thousands. It moves a MAE by less than 1e-4, and
squares are still exact, so that a constant has no variance."""


def outcomes(label: np.ndarray, prediction: np.ndarray, classes: int | None) -> np.ndarray:
    """The additive counts of one conversation, (C * C,) for C classes, (13 + 49,) for regression, (10 K,) for K traits.

    `prediction` holds class indices, or real numbers where `classes` is None; both arrays are (L,), of traits (1, K).
    """
    if label.ndim == 2:
        return _of_traits(label[0].astype(np.float64), prediction[0].astype(np.float64))
    if classes is not None:
        return np.bincount(label * classes + prediction, minlength=classes * classes).astype(np.int64)
    y, p = label.astype(np.float64), prediction.astype(np.float64)
    binary = np.bincount((y >= 0) * 2 + (p >= 0), minlength=4)
    nonzero = y != 0
    agreements = nonzero & ((y > 0) == (p > 0))
    sums = [len(y), np.abs(y - p).sum(), y.sum(), p.sum(), (y * y).sum(), (p * p).sum(), (y * p).sum()]
    return np.concatenate([sums, binary, [nonzero.sum(), agreements.sum()], outcomes(_seven(y), _seven(p), 7)])


def _of_traits(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Labels and predictions (K,) as (10 K,)."""
    classes = [np.clip(np.rint(v), 1, 7) for v in (y, p)]
    near = np.abs(y - p) <= 0.5 + 1e-6  # labels are thirds in float32
    hits = [classes[0] == classes[1], (y >= 4) == (p >= 4), near]
    y, p = y.round(DECIMALS), p.round(DECIMALS)
    sums = np.stack([np.ones_like(y), np.abs(y - p), y, p, y * y, p * p, y * p, *hits], -1)  # (K, 10)
    return sums.round(2 * DECIMALS).ravel()


def traits(width: int) -> int:
    """Of how many traits outcomes of this width are; 0 for those of classes without number, and of regression."""
    return 0 if width == len(SUMS) + 49 or width % len(TRAIT_SUMS) else width // len(TRAIT_SUMS)


def total(outcomes: Mapping[str, np.ndarray]) -> np.ndarray:
    """The outcomes summed over at least one conversation, in their order, which decides the last digit."""
    return reduce(np.add, outcomes.values())


def _seven(y: np.ndarray) -> np.ndarray:
    """The seven classes of a value in [-3, 3], 0..6."""
    seven: np.ndarray = (np.clip(np.rint(y), -3, 3) + 3).astype(np.int64)
    return seven


def summarise(total: np.ndarray, classes: int | None) -> dict[str, float]:
    """Metrics of summed outcomes (K,), in percent but for `mae` and `corr`.

    Classes: `accuracy`, `weighted_f1`, `macro_f1`. Regression: `mae`, `corr` (Pearson), `acc2` and `f1` with 0 as
    positive, `acc2_nonzero` (utterances whose label is 0 left out), `acc7`. A correlation with a constant is 0. Traits:
    the means over them of what `per_trait` has.
    """
    return {name: float(value) for name, value in summarise_many(total, classes).items()}


def summarise_many(totals: np.ndarray, classes: int | None) -> dict[str, np.ndarray]:
    """The metrics of `summarise` for many sums (..., K) at once, each (...)."""
    if classes is not None:
        return _classification(_square(totals, classes))
    if traits(totals.shape[-1]):
        return {name: values.mean(-1) for name, values in per_trait(totals).items()}
    s = {name: totals[..., k] for k, name in enumerate(SUMS)}
    n = s["count"]
    two = _classification(_square(totals[..., 7:11], 2))
    return {
        "mae": s["absolute_error"] / n,
        "corr": _correlation(s),
        "acc2": two["accuracy"],
        "f1": two["weighted_f1"],
        "acc2_nonzero": 100 * s["nonzero_agreements"] / np.maximum(s["nonzero"], 1),
        "acc7": _classification(_square(totals[..., len(SUMS) :], 7))["accuracy"],
    }


def per_trait(totals: np.ndarray) -> dict[str, np.ndarray]:
    """The metrics of each trait of summed outcomes (..., 10 K), each (..., K), in percent but for `mae` and `corr`.

    `accuracy` counts label and prediction that round to the same of seven classes, as the low-rank fusion paper's code
    does; `acc2` those on the same side of 4, `within_half` predictions at most 0.5 from the label. `corr` is Pearson's
    over videos, 0 with a constant.
    """
    columns = totals.reshape(*totals.shape[:-1], -1, len(TRAIT_SUMS))
    s = {name: columns[..., k] for k, name in enumerate(TRAIT_SUMS)}
    percent = 100 / s["count"]
    return {
        "mae": s["absolute_error"] / s["count"],
        "corr": _correlation(s),
        "accuracy": percent * s["same_class"],
        "acc2": percent * s["same_half"],
        "within_half": percent * s["within_half"],
    }


def _correlation(s: Mapping[str, np.ndarray]) -> np.ndarray:
    """Pearson's correlation from sums; 0 with a constant."""
    n = s["count"]
    covariance = s["product"] - s["label"] * s["prediction"] / n
    variances = (s["label_squared"] - s["label"] ** 2 / n) * (s["prediction_squared"] - s["prediction"] ** 2 / n)
    varies = variances > 1e-12
    correlation: np.ndarray = np.where(varies, covariance / np.sqrt(np.where(varies, variances, 1.0)), 0.0)
    return correlation


def _square(counts: np.ndarray, classes: int) -> np.ndarray:
    """Flat confusion counts (..., C * C) as (..., C, C)."""
    return counts.reshape(*counts.shape[:-1], classes, classes)


def _classification(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """Accuracy and averaged F1 in percent; classes that neither occur nor are predicted count as F1 0 in the macro."""
    scores = per_class(confusion)
    f1, support = scores["f1"], scores["support"]
    count = support.sum(-1)
    return {
        "accuracy": 100 * np.trace(confusion, axis1=-2, axis2=-1) / count,
        "weighted_f1": (f1 * support).sum(-1) / count,
        "macro_f1": f1.mean(-1),
    }


def per_class(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """Precision, recall and F1 of each class in percent, and its support, each (..., C); 0 for 0 / 0."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1).astype(np.float64)
    support, predicted = confusion.sum(-1), confusion.sum(-2)
    return {
        "precision": 100 * hits / np.maximum(predicted, 1),
        "recall": 100 * hits / np.maximum(support, 1),
        "f1": 200 * hits / np.maximum(support + predicted, 1),
        "support": support,
    }
