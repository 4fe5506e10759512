"""UR-FUNNY's six files, `*_sdk.pkl` and their companions, which lie in one folder.

Verified in README.md and `humor_dataloader.ipynb` of github.com/ROC-HCI/UR-FUNNY at c801818:

- `data_folds`: the ids of train, dev and test; `humor_label_sdk`: id to 0 or 1.
- `language_sdk` (`word_embedding_indexes_sdk` in version 1): id to the indexes of words in punchline and context, which
  are rows of `word_embedding_list` (GloVe, 300 wide).
- `covarep_features_sdk` (81 wide), `openface_features_sdk` (371 wide; 75 in version 1): id to `punchline_features`
  (words, d) and `context_features` (sentences, words, d).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lmam_core.data import pickles, stored
from lmam_core.data.files.base import Dialogue, Means, each, utterances
from lmam_core.errors import LmamError
from lmam_core.hashing import sha256

FILES = {
    "folds": "data_folds.pkl",
    "label": "humor_label_sdk.pkl",
    "glove": "word_embedding_list.pkl",
    "covarep": "covarep_features_sdk.pkl",
    "openface": "openface_features_sdk.pkl",
}
WORDS = ("language_sdk.pkl", "word_embedding_indexes_sdk.pkl")
_FOLDS = {"train": "train", "dev": "validation", "test": "test"}
CLASSES = ("not humorous", "humorous")


def read(path: Path) -> stored.Utterances:
    """The folder, or any of its six files: each segment's punchline is a conversation of one utterance.

    A punchline's features are the mean over its words. Each modality has a second feature set, twice as wide, with
    the mean over all words of the context beside it (zeros where there is no context). Raises LmamError for a file of
    the six that is missing.
    """
    folder = path if path.is_dir() else path.parent
    words = next((name for name in WORDS if (folder / name).is_file()), WORDS[0])
    names = FILES | {"words": words}
    for name in names.values():
        if not (folder / name).is_file():
            raise LmamError(f"{folder} lacks {name}; UR-FUNNY's six files must lie beside one another.")
    contents = {key: pickles.load(folder / name) for key, name in names.items()}
    contents["glove"] = np.asarray(contents["glove"], np.float32)  # (words, 300)
    notes: list[str] = []
    licence = "UR-FUNNY's own; its videos are TED's."
    stored_as = utterances(folder, _segments(contents, notes), CLASSES, notes, licence)
    sources = {name: sha256(folder / name) for name in names.values()}
    return dataclasses.replace(stored_as, sources=sources, weights=dict.fromkeys(stored_as.weights, "as published"))


def _segments(contents: dict[str, Any], notes: list[str]) -> Iterator[Dialogue]:
    splits = {name: split for key, split in _FOLDS.items() for name in contents["folds"][key]}
    means = {kind: Means() for kind in ("glove", "covarep", "openface")}

    def make(name: Any) -> Dialogue:
        if lacking := [file for file in ("label", "words", "covarep", "openface") if name not in contents[file]]:
            raise KeyError(", ".join(lacking))
        words = contents["words"][name]
        text = _sets(
            "glove",
            means["glove"],
            contents["glove"][np.asarray(words["punchline_embedding_indexes"], int)],
            [contents["glove"][np.asarray(s, int)] for s in words["context_embedding_indexes"]],
        )
        audio, video = (
            _sets(
                kind, means[kind], contents[kind][name]["punchline_features"], contents[kind][name]["context_features"]
            )
            for kind in ("covarep", "openface")
        )
        return Dialogue(
            str(name), splits[name], [0], [contents["label"][name]], {"text": text, "audio": audio, "video": video}
        )

    yield from each(splits, make, notes)
    for kind, of in means.items():
        notes += of.told(kind)


def _sets(kind: str, mean: Means, punchline: Any, context: Any) -> dict[str, np.ndarray]:
    """The punchline's mean (1, d), and it with the context's beside it (1, 2 d)."""
    punchline_mean = mean(punchline)  # (d,)
    before = [np.asarray(s, np.float32).reshape(-1, len(punchline_mean)) for s in context if len(s)]
    context_mean = np.nan_to_num(mean(np.concatenate(before))) if before else np.zeros_like(punchline_mean)
    both = np.concatenate([punchline_mean, context_mean])
    return {f"{kind}{len(punchline_mean)}": punchline_mean[None], f"{kind}{len(both)}": both[None]}
