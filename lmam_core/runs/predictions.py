"""Predictions of utterances as a table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lmam_core.batch import Conversation


def table(
    conversations: Sequence[Conversation],
    outputs: Sequence[np.ndarray],
    classes: Sequence[str] | None,
    traits: Sequence[str] | None = None,
    labelled: bool = True,
) -> pd.DataFrame:
    """A row per utterance, in order: `dialogue`, `utterance` from 1, `label`, and the columns of `decided`.

    Of traits a row per conversation: `dialogue`, `label_TRAIT` of each, `prediction_TRAIT` of each.
    """
    if traits:
        kinds = {"label": [c.label for c in conversations] if labelled else [], "prediction": outputs}
        values = {f"{kind}_{t}": np.concatenate(x)[:, k].astype(np.float64)
                  for kind, x in kinds.items() if len(x) for k, t in enumerate(traits)}  # fmt: skip
        return pd.DataFrame({"dialogue": [c.id for c in conversations]} | values)
    columns: dict[str, object] = {
        "dialogue": [c.id for c in conversations for _ in range(len(c))],
        "utterance": [t for c in conversations for t in range(1, len(c) + 1)],
    }
    if labelled:
        labels = [y for c in conversations for y in c.label.tolist()]
        columns["label"] = [classes[y] for y in labels] if classes else labels
    return pd.concat([pd.DataFrame(columns), decided(np.concatenate(outputs), classes)], axis=1)


def decided(outputs: np.ndarray, classes: Sequence[str] | None) -> pd.DataFrame:
    """A model's outputs (N, C) as `prediction`, the likeliest class, and `p_CLASS`, the probability of each.

    Probabilities are the softmax in float64. Without classes the outputs (N, 1) are the values themselves.
    """
    if classes is None:
        return pd.DataFrame({"prediction": outputs[:, 0].astype(np.float64)})
    raised = np.exp(outputs.astype(np.float64) - outputs.max(1, keepdims=True))
    p = raised / raised.sum(1, keepdims=True)  # (N, C)
    best = [classes[k] for k in outputs.argmax(1)]
    return pd.DataFrame({"prediction": best} | {f"p_{name}": p[:, k] for k, name in enumerate(classes)})
