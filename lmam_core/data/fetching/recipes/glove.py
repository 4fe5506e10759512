"""The mean of GloVe vectors over the 1,748 words that Speech_Emotion_Recognition keeps for IEMOCAP."""

from __future__ import annotations

import pickle
import re

import numpy as np

from lmam_core.data.fetching.recipe import Originals, unpickled
from lmam_core.errors import LmamError

FILES = ("vocab.pkl", "saved_200d_word_embeddings.pkl")


def mean_vectors(texts: list[str], originals: Originals, dtype: type) -> tuple[np.ndarray, np.ndarray]:
    """Mean vector (N, 200) of each text's known words and the share (N,) of its words that are known, float32.

    A word is a run of letters, or one of `?`, `!` and `.`; without a known word the mean is zero. The mean is taken in
    `dtype`: IEMOCAP's was recorded from float64 vectors, MELD's from float32 ones, and the last bits differ.
    """
    index, vectors = _words(originals), unpickled(originals[FILES[1]]).astype(dtype)  # (V, 200)
    mean = np.zeros((len(texts), vectors.shape[1]), dtype)
    known = np.zeros(len(texts), np.float32)
    for i, text in enumerate(texts):
        words = re.findall(r"[a-z]+|[?!.]", text.lower())
        rows = [index[w] for w in words if w in index]
        if rows:
            mean[i] = vectors[rows].mean(0)
        known[i] = len(rows) / max(len(words), 1)
    return mean.astype(np.float32), known


class _Vocabulary:
    """Stands in for the one class in `vocab.pkl`; it takes the attributes and runs nothing."""


class _Words(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type:
        if (module, name) == ("create_vocab", "Vocabulary"):
            return _Vocabulary
        raise LmamError(f"{FILES[0]} asks for {module}.{name}, which the original does not; take the published file.")


def _words(originals: Originals) -> dict[str, int]:
    """The row of each word in the table of vectors."""
    with originals[FILES[0]].open("rb") as stream:
        return _Words(stream).load().word2index
