"""SpeechCueLLM's tables of eight measures: one row per recording, in no order that would matter."""

from __future__ import annotations

import csv
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from lmam_core.data.sources.praat8 import MEASURES

K = TypeVar("K", bound=Hashable)


def table(path: Path, key: Callable[[dict[str, str]], K]) -> dict[K, list[float]]:
    """The measures of every recording by the key of its row; an empty cell is NaN."""
    with path.open(encoding="utf-8", newline="") as stream:
        return {key(row): [float(row[m] or "nan") for m in MEASURES] for row in csv.DictReader(stream)}


def arrays(measures: Mapping[K, list[float]], keys: Sequence[K]) -> dict[str, np.ndarray]:
    """`audio_praat8` (N, 8) of the utterances with these keys, NaN where there is no recording, and its mask (N,)."""
    there = np.array([k in measures for k in keys])
    nothing = [float("nan")] * len(MEASURES)
    x = np.array([measures.get(k, nothing) for k in keys], np.float32)
    return {"audio_praat8": x, "audio_praat8_mask": there}
