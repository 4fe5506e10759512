"""Diginetica's shopping sessions as GCE-GNN publishes them, for session recommendation."""

from __future__ import annotations

import numpy as np

from lmam_core.data.fetching.recipe import UNSTATED, Arrays, Originals, Recipe, flat, recorded, unpickled
from lmam_core.data.sources.diginetica import RECORD


def arrays(originals: Originals) -> Arrays:
    """Sessions end to end: session i is `train_items[train_offsets[i] : train_offsets[i + 1]]`, items from 1.

    Training sessions are whole; the 719,470 training sequences are their prefixes, each with the next item as its
    target. Test sequences are prefixes already, with their targets in `test_label`.
    """
    train = unpickled(originals["all_train_seq.txt"])
    test, target = unpickled(originals["test.txt"])
    return {
        "train_items": np.array(flat(train), np.int32),
        "train_offsets": _offsets(train),
        "test_items": np.array(flat(test), np.int32),
        "test_offsets": _offsets(test),
        "test_label": np.array(target, np.int32),
    }


def _offsets(sessions: list[list[int]]) -> np.ndarray:
    """Where each session starts, and where the last one ends."""
    return np.cumsum([0, *map(len, sessions)]).astype(np.int32)


RECIPE = Recipe(
    name="diginetica",
    files=RECORD.sources,
    licences={
        "CCIIPLab/GCE-GNN": UNSTATED,
    },
    arrays=arrays,
    sha256=recorded("diginetica"),
)
