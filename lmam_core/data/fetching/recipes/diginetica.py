"""Diginetica's shopping sessions as GCE-GNN publishes them, for session recommendation."""

from __future__ import annotations

import numpy as np

from lmam_core.data.fetching.recipe import UNSTATED, Arrays, Originals, Recipe, flat, unpickled
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
    bytes={
        "all_train_seq.txt": 4_193_626,
        "test.txt": 1_384_823,
    },
    files=RECORD.sources,
    licences={
        "CCIIPLab/GCE-GNN": UNSTATED,
    },
    arrays=arrays,
    sha256={
        "train_items": "3b1ae2af1cea84a876b48ba14398381766e58f08e836b1f5dc39ebf0d642b782",
        "train_offsets": "73fb95ddc838a3523f35b09a5842e32d6581e64f1c88b2b8380abea6e503da87",
        "test_items": "0ef7f228f4a2de2c1722acbefc678b4791f35509eb645923a3ba38f93fbd7760",
        "test_offsets": "9405780184a2a648bcf25c340685762a17128c6be3733ad3c64b3135ad4458da",
        "test_label": "b63fe26e9bf2aba15da8409ce33ffca92680d4c7860be9263b9babbfb842e3d9",
    },
)
