"""MUStARD's lines as indexes of GloVe vectors, which its repository keeps for the words of its target lines."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import numpy as np

from lmam_core.data.fetching.recipe import Arrays, Originals, Recipe, flat, recorded, unpickled
from lmam_core.data.sources.mustard import RECORD

_WORD = re.compile(r"[a-z]+|'[a-z]+|[?!.,]")
VECTORS = ("glove_dict_3.p", "glove_dict_4.p")
"""Vectors of the words of the training lines of two folds: of all target lines, as each line is in one of them."""


def arrays(originals: Originals) -> Arrays:
    """690 segments, each its lines of context and then the target line; words lie end to end.

    A word is a run of letters, perhaps behind an apostrophe, or one of `?`, `!`, `.`, `,`, and an index of
    `text_glove300` (V, 300); words without a vector are left out, and a line without any other has the vector 0 of
    index 0 for all its words. `fold` is the published fold that a segment is the test of.
    """
    vectors: dict[str, np.ndarray] = {}
    for name in VECTORS:
        vectors |= unpickled(originals[name])
    names = sorted(vectors)
    index = {word: k + 1 for k, word in enumerate(names)}
    told = json.loads(originals["sarcasm_data.json"].read_text(encoding="utf-8"))
    segments = [[_indexes(line, index) for line in (*s["context"], s["utterance"])] for s in told.values()]
    fold = np.zeros(len(segments), np.int8)
    for k, (_, test) in enumerate(unpickled(originals["split_indices.p"])):
        fold[np.asarray(test)] = k
    return {
        "label": np.array([s["sarcasm"] for s in told.values()], np.int8),
        "fold": fold,
        "show": np.array([s["show"] for s in told.values()]),
        "segment_offsets": _offsets(segments),
        "sentence_offsets": _offsets(flat(segments)),
        "word": np.array(flat(flat(segments)), np.int16),
        "words": np.array(["", *names]),
        "text_glove300": np.stack([np.zeros(300), *(vectors[n] for n in names)]).astype(np.float32),
    }


def _indexes(line: str, index: dict[str, int]) -> list[int]:
    return [index[word] for word in _WORD.findall(line.lower()) if word in index] or [0]


def _offsets(rows: Sequence[Sequence[object]]) -> np.ndarray:
    return np.cumsum([0, *map(len, rows)]).astype(np.int32)


RECIPE = Recipe(
    name="mustard",
    files=RECORD.sources,
    licences={
        "soujanyaporia/MUStARD": "MIT; its GloVe vectors are Stanford's, in the public domain (PDDL).",
    },
    arrays=arrays,
    sha256=recorded("mustard"),
)
