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
    sources=public_files(
        "https://github.com/soujanyaporia/MUStARD",
        "b34b5134beeec42a36cdac79330637de9cc9894e",
        "data",
        {
            "sarcasm_data.json": "ec9533032c5f143f197cb5fa5d4b29ab9bf56a20b0dc05d5b31d052f5957d39c",
            "split_indices.p": "2adea94590e2ab49cde5e96543c75ec4006fd1e9cbd556a82382692c8b045306",
            "temp/glove_dict_3.p": "cb8ead0162bad4ae8f18f0d408db2b0bf709623544c228b19512acc5e0eb1d30",
            "temp/glove_dict_4.p": "f28fb2ad8ca8548e0723c68852e27112273ae67f658cb4d832537e5693991040",
        },
    ),
    task="humour",
)
