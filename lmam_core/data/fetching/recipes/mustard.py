"""MUStARD's lines as indexes of GloVe vectors, which its repository keeps for the words of its target lines."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import numpy as np

from lmam_core.data.fetching.recipe import Arrays, Originals, Recipe, flat, unpickled
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
    bytes={
        "sarcasm_data.json": 374_629,
        "split_indices.p": 28_128,
        "glove_dict_3.p": 4_179_778,
        "glove_dict_4.p": 4_132_805,
    },
    files=RECORD.sources,
    licences={
        "soujanyaporia/MUStARD": "MIT; its GloVe vectors are Stanford's, in the public domain (PDDL).",
    },
    arrays=arrays,
    sha256={
        "label": "c14a716c6a1898fb6f4ee6afac84a12f26f7977a82d8dff56450c67965b33125",
        "fold": "a59e59a8ef6b38a1f7d9814ce9761ef608fed054ee76a80132c341f63c4634f8",
        "show": "b11c2c4865b55132054207a7dd3bee0da4191e27302eae9bc526bc3b0fa062d8",
        "segment_offsets": "e9e2f987a293e7bab0f54551ad270529e256e9f4e55d7c7f10b2c145ad34d521",
        "sentence_offsets": "340e5bbbcfa7d5ca5a5903faf6cfab78a5184acd5f3281c721ee594063a90d39",
        "word": "b89cdd8772bed11ba3ad32a1eb369fc3cb92051e59bd1188eebdc45a6e052da8",
        "words": "8036bbf95b69ee26cbfef84e49b7d6b2c8095d79ef26fa1465ec6479afd4f358",
        "text_glove300": "856fd3242b40fc17f02131544f7a5decf8fecb557774f202035b560e1f575de0",
    },
)
