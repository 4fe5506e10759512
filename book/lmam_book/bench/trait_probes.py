"""What constants and linear probes reach on POM's traits, and what its 203 test videos could show at all.

`python -m lmam_book.bench.trait_probes` writes `data/trait_probes.csv`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmam_book.bench.seals import write
from lmam_core import paths
from lmam_core.data import catalogue
from lmam_core.data.dataset import Dataset
from lmam_core.data.sources.pom import TRAITS
from lmam_core.runs.metrics import outcomes, summarise_many

TABLE = "trait_probes.csv"
METRICS = ("mae", "accuracy", "corr", "acc2", "within_half")
INPUTS = ("audio", "video", "audio+video")
PENALTIES = tuple(float(10**k) for k in range(6))
SAMPLES = 2000
Floats = NDArray[np.float64]


def _most_frequent(y: Floats) -> Floats:
    """The most frequent of the seven classes of each trait (K,), of labels (N, K)."""
    return np.array([np.bincount(np.rint(column).astype(int)).argmax() for column in y.T], np.float64)


CONSTANTS: dict[str, Callable[[Floats], Floats]] = {
    "mean": lambda y: y.mean(0),
    "median": lambda y: np.median(y, 0),
    "most frequent": _most_frequent,
}
"""Per trait, of the training labels; no video is looked at."""


def constant(data: Dataset, kind: str) -> dict[str, Floats]:
    """The same values (N, K) for every video of validation and test."""
    values = CONSTANTS[kind](labels(data, "train"))
    return {split: np.tile(values, (len(data.splits[split]), 1)) for split in ("validation", "test")}


def ridge(data: Dataset, inputs: str) -> dict[str, Floats]:
    """What a ridge regression from the means over a video's steps predicts (N, K), for validation and test.

    The penalty is the one of `PENALTIES` with the least MAE on validation.
    """
    from sklearn.linear_model import Ridge

    x = {s: _means(data.select(inputs.split("+")), s) for s in ("train", "validation", "test")}
    centre, scale = x["train"].mean(0), np.maximum(x["train"].std(0), 1e-8)
    x = {s: (values - centre) / scale for s, values in x.items()}
    fits = []
    for penalty in PENALTIES:
        model = Ridge(penalty).fit(x["train"], labels(data, "train"))
        predicted = {s: model.predict(x[s]) for s in ("validation", "test")}
        fits.append((float(np.abs(predicted["validation"] - labels(data, "validation")).mean()), predicted))
    return min(fits, key=lambda pair: pair[0])[1]


def labels(data: Dataset, split: str) -> Floats:
    """The traits of a split's videos, (N, K)."""
    return np.concatenate([c.label for c in data.splits[split]]).astype(np.float64)


def _means(data: Dataset, split: str) -> Floats:
    return np.stack([np.concatenate([x.mean(0) for x in c.features.values()]) for c in data.splits[split]]).astype(
        np.float64
    )


def scores(data: Dataset, split: str, predicted: Floats) -> Floats:
    """The outcomes of each video, (N, 10 K)."""
    pairs = zip(data.splits[split], predicted, strict=True)
    return np.stack([outcomes(c.label, p[None], None) for c, p in pairs])


def without_sentiment(outcomes: Floats) -> Floats:
    """Outcomes (..., 170) of the 17 traits as those (..., 160) of the 16 that papers report, without `sentiment`."""
    kept = [k for k, trait in enumerate(TRAITS) if trait != "sentiment"]
    columns = outcomes.reshape(*outcomes.shape[:-1], len(TRAITS), -1)
    return columns[..., kept, :].reshape(*outcomes.shape[:-1], -1)


def standard_error(a: Floats, b: Floats, metric: str) -> float:
    """How much other test videos would move the difference of two predictions' metric, from resamples of outcomes."""
    n = len(a)
    drawn = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=SAMPLES).astype(np.float64)  # (R, N)
    one, other = (np.asarray(summarise_many(drawn @ part, None)[metric]) for part in (a, b))
    return float((other - one).std(ddof=1))


def measure() -> pd.DataFrame:
    """One row per predictor: its MAE on validation, its metrics on test, and standard errors over the test videos.

    `METRIC_16` is over the 16 traits of `without_sentiment`, the others over 17. `se_METRIC`, over 16, is of the
    difference to the ridge regression on audio alone: two predictors that learned from the same videos, as two arms do.
    """
    data = catalogue.load("pom")
    predicted = {("constant", kind): constant(data, kind) for kind in CONSTANTS}
    predicted |= {("ridge", inputs): ridge(data, inputs) for inputs in INPUTS}
    beside = without_sentiment(scores(data, "test", predicted["ridge", "audio"]["test"]))
    rows = []
    for (kind, of), values in predicted.items():
        validation = summarise_many(scores(data, "validation", values["validation"]).sum(0), None)["mae"]
        test = scores(data, "test", values["test"])
        fewer = without_sentiment(test)
        over = {17: summarise_many(test.sum(0), None), 16: summarise_many(fewer.sum(0), None)}
        row = {"predictor": kind, "of": of, "validation_mae": float(validation)}
        row |= {m: float(over[17][m]) for m in METRICS} | {f"{m}_16": float(over[16][m]) for m in METRICS}
        rows.append(row | {f"se_{m}": standard_error(beside, fewer, m) for m in METRICS[:3]})
    return pd.DataFrame(rows).round(4)


def table() -> pd.DataFrame:
    """The committed table."""
    return pd.read_csv(paths.data(TABLE))


def probe_score(metric: str) -> float:
    """What the predictor with the least MAE on validation has on test, over 16 traits."""
    probes = table()
    return float(probes.loc[probes.validation_mae.idxmin(), f"{metric}_16"])


if __name__ == "__main__":
    write(measure(), TABLE, "lmam_book.bench.trait_probes")
