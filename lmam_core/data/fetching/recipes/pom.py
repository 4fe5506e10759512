"""POM out of MFN's word-aligned files: audio, video and 17 labels of 903 videos; the text files are not there."""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np

from lmam_core.data.fetching.recipe import Arrays, Originals, Recipe, recorded
from lmam_core.data.sources.pom import RECORD
from lmam_core.errors import LmamError

HEADER = 2048
"""Bytes before the values in each of the nine files, which are pinned: one contiguous float64 array fills the rest."""

SHAPES = {"audio": (20, 43), "video": (20, 41), "y": (17,)}


def arrays(originals: Originals) -> Arrays:
    """`audio_*` (N, 20, 43), `video_*` (N, 20, 41) and `label_*` (N, 17) of the 600, 100 and 203 videos of a split."""
    return {
        f"{'label' if kind == 'y' else kind}_{split}": _values(originals[f"{kind}_{split}.h5"], shape)
        for split in ("train", "valid", "test")
        for kind, shape in SHAPES.items()
    }


def _values(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The float64 values behind the header as float32 (N, *shape)."""
    content = path.read_bytes()
    if len(content) <= HEADER or (len(content) - HEADER) % (8 * prod(shape)):
        raise LmamError(f"{path} is not the published file of POM; remove it and fetch again.")
    return np.frombuffer(content, "<f8", offset=HEADER).reshape(-1, *shape).astype(np.float32)


RECIPE = Recipe(
    name="pom",
    files=RECORD.sources,
    licences={
        "pliang279/MFN": "MIT",
    },
    arrays=arrays,
    sha256=recorded("pom"),
)
