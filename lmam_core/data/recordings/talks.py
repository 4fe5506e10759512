"""From a table of utterances and their features to conversations, which every model of the package takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from lmam_core.batch import MODALITIES, Conversation
from lmam_core.errors import LmamError
from lmam_core.features.extract import Extracted


def conversations(
    table: pd.DataFrame, features: Mapping[str, Extracted], classes: Sequence[str]
) -> tuple[list[Conversation], dict[int, str]]:
    """Conversations in the order of `table`, and the rows that had to be left out, with why.

    `table` has a row for each utterance: dialogue, turn, speaker, label (a name of `classes`), as in the sample's
    `utterances.csv`; `features[m]` has its rows in the same order. An utterance that an extractor failed on is left
    out for all modalities. Raises LmamError for another number of rows, an unknown label or an unknown modality.
    """
    out: dict[int, str] = {}
    for m, extracted in features.items():
        if m not in MODALITIES:
            raise LmamError(f"There is no modality '{m}'; choose among {', '.join(MODALITIES)}.")
        if len(extracted.values) != len(table):
            raise LmamError(f"{m} has features of {len(extracted.values)} utterances, the table has {len(table)}.")
        out |= {i: f"{m}: {reason}" for i, reason in extracted.failed.items() if i not in out}
    if unknown := sorted(set(table.label) - set(classes)):
        raise LmamError(f"The label '{unknown[0]}' is none of {', '.join(classes)}.")
    usable = table.reset_index(drop=True).drop(index=list(out)).sort_values(["dialogue", "turn"], kind="stable")
    talks = []
    for name, talk in usable.groupby("dialogue", sort=False):
        speaker, _ = pd.factorize(talk.speaker)  # 0 is whoever speaks first
        x = {m: features[m].values[talk.index] for m in MODALITIES if m in features}
        label = np.array([classes.index(name) for name in talk.label], np.int64)
        talks.append(Conversation(str(name), x, speaker.astype(np.int64), label))
    return talks, dict(sorted(out.items()))
