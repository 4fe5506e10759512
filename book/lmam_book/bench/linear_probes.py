"""What a linear probe finds in each feature set: the table that tells honest features from those that saw the labels.

A probe sees one utterance without context. On features that know nothing of the labels, validation conversations
(taken out of train) and test conversations are equally new to it, so the two scores agree up to chance. Where
validation is far above test, the features themselves were trained on the labels of the training set.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lmam_book.bench.seals import write
from lmam_core import paths
from lmam_core.data import catalogue
from lmam_core.data.dataset import Dataset

REAL = ("mosi", "iemocap", "meld")


def probe(data: Dataset) -> dict[str, float]:
    """Accuracy in percent of a regularised logistic regression on each split, all modalities side by side.

    Regression labels are split into negative and non-negative. `test_weighted_f1` is the weighted F1 on test.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score

    data = data.with_validation().standardised()
    parts = {split: flat(data, split) for split in data.splits}
    if not data.classes:
        parts = {split: (x, (y >= 0).astype(int)) for split, (x, y) in parts.items()}
    model = LogisticRegression(C=0.01, max_iter=2000).fit(*parts["train"])
    x, y = parts["test"]
    f1 = 100 * f1_score(y, model.predict(x), average="weighted")
    return {split: 100 * model.score(*part) for split, part in parts.items()} | {"test_weighted_f1": f1}


def flat(data: Dataset, split: str) -> tuple[np.ndarray, np.ndarray]:
    """The utterances of a split, (N, Σ d_m), and their labels, (N,)."""
    conversations = data.splits[split]
    x = np.concatenate([np.concatenate(list(c.features.values()), 1) for c in conversations])  # (N, Σ d_m)
    y = np.concatenate([c.label for c in conversations])  # (N,)
    return x, y


def measure(datasets: Sequence[str] = REAL) -> pd.DataFrame:
    """One row per feature set of real datasets: `train`, `validation` and `test` accuracy of the probe.

    A row `text+audio` has the default features of both side by side: what there is to gain by fusing them linearly.
    """
    rows = []
    for name in datasets:
        sets = catalogue.entry(name).feature_sets
        single = [{m: features} for m in sets for features in sets[m]]
        for features in (*single, {m: next(iter(sets[m])) for m in ("text", "audio")}):
            names = {"modality": "+".join(features), "features": "+".join(features.values())}
            rows.append({"dataset": name, **names, **probe(catalogue.load(name, features, tuple(features)))})
    return pd.DataFrame(rows).round(1)


def table() -> pd.DataFrame:
    """The measured table that comes with the book."""
    return pd.read_csv(paths.data("probes.csv"))


if __name__ == "__main__":
    write(measure(), "probes.csv", "lmam_book.bench.linear_probes")
