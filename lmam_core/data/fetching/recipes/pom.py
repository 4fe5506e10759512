"""POM out of MFN's word-aligned files: audio, video and 17 labels of 903 videos; the text files are not there."""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np

from lmam_core.data.fetching.recipe import Arrays, Originals, Recipe
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
    bytes={
        "audio_train.h5": 4_130_048,
        "video_train.h5": 3_938_048,
        "y_train.h5": 83_648,
        "audio_valid.h5": 690_048,
        "video_valid.h5": 658_048,
        "y_valid.h5": 15_648,
        "audio_test.h5": 1_398_688,
        "video_test.h5": 1_333_728,
        "y_test.h5": 29_656,
    },
    files=RECORD.sources,
    licences={
        "pliang279/MFN": "MIT",
    },
    arrays=arrays,
    sha256={
        "audio_train": "25ab0b1a8165b5e14f64ba93f403d9146ff9ff817ce87e8c160d544c4255de10",
        "video_train": "26d8f4d4b9666ba383a606672e582f42c237fff7331f9cdebb7d74272b45aa3f",
        "label_train": "78165dca27d7b77b74397e7b5b8f71beb2d7a764ff86d44baee69a1ece7ed1cc",
        "audio_valid": "77fdc48fe2a8b0128ec4836588da2e912a8629e0d06ff2d3e18f599ed71aace6",
        "video_valid": "f75bd1a6c20b76ee55949637b5cebf9386b39ec8403f88af44e0686a2762d3b9",
        "label_valid": "713b3e26592e6cba318dd7f66d0c40b09ebcf20351a68d53debd890e35c6ad65",
        "audio_test": "68a1f2eca281366bab85a9178c17b841bf4cfa0e98c6bafe28d84128ad1a79f3",
        "video_test": "0edb64157fa2ac6670cd6931605b90b7f5c3a6dc564faf49a96a5028e620049f",
        "label_test": "99b0ff1bd3a3adb69f75cc77b5166bc5e07e096ac7c448c771ef8ffaedd16498",
    },
)
