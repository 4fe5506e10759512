"""MUStARD: lines of television series with the lines before them, labelled sarcastic or not; here text alone."""

from __future__ import annotations

import numpy as np

from lmam_core.data.sources.base import Arrays, Record, public_files

CLASSES = ("not sarcastic", "sarcastic")
TEST_FOLDS = (0, 1)
"""Of the five published folds, which share speakers and scenes: these two are test, the others train."""


def words(arrays: Arrays) -> dict[str, np.ndarray]:
    """Segments of words with their GloVe vectors, as `tasks.humour.segments` reads them."""
    split = np.where(np.isin(arrays["fold"], TEST_FOLDS), 2, 0)
    text = arrays["text_glove300"][arrays["word"]]  # (W, 300)
    same = {name: arrays[name] for name in ("label", "segment_offsets", "sentence_offsets")}
    return same | {"text": text, "split": split}


RECORD = Record(
    name="mustard",
    kind="real",
    about=(
        "MUStARD (Castro et al. 2019): 690 lines of four television series with the lines before them, half of them "
        "sarcastic; words as GloVe vectors. It is about sarcasm, a check of humour models on real language."
    ),
    missing="audio and video: their recordings and features lie outside of its repository",
    licence="MIT, as its repository says; the lines are their series'.",
    feature_sets={},
    sha256="5acdc53720565e42f5d65cd5675725e001cc7d9e5303160b084df2feee1d3b06",
    build=None,
    file="mustard.npz",
    bytes=2_222_284,
    sources=public_files("mustard"),
    task="humour",
)
