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
from lmam_core.data.files.base import Dialogue, Means, readable, utterances
from lmam_core.data.notes import reasons
from lmam_core.data.sources.base import combined
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
    contents, sources = _opened(folder)
    notes: list[str] = []
    licence = "UR-FUNNY's own; its videos are TED's."
    stored_as = utterances(folder, _segments(contents, notes), CLASSES, notes, licence)
    return dataclasses.replace(stored_as, sources=sources, weights=dict.fromkeys(stored_as.weights, "as published"))


def words(folder: Path) -> tuple[dict[str, np.ndarray], str, list[str]]:
    """Every word of every segment, as `tasks.humour.segments` reads it, the files' sha256, and what was left out.

    Audio and video are word by word beside the text; what a segment lacks of them, or has of fewer words, is NaN. A
    number that is there and not finite counts as 0, as the public loaders have it.
    Left out, with a sentence, are segments without words in their punchline and of a label that is not 0 or 1. Raises
    LmamError for a file of the six that is missing, and where nothing is left.
    """
    contents, sources = _opened(folder)
    codes = {"train": 0, "dev": 1, "test": 2}
    notes: list[str] = []
    kept: dict[str, list[Any]] = {"label": [], "split": [], "segments": [], "sentences": []}
    parts: dict[str, list[np.ndarray]] = {"text": [], "audio": [], "video": []}
    widths = {kind: _width(contents[kind]) for kind in ("covarep", "openface")}
    for fold, code in codes.items():
        for name in contents["folds"][fold]:
            try:
                indexes = contents["words"][name]
                rows = [*indexes["context_embedding_indexes"], indexes["punchline_embedding_indexes"]]
                text = [contents["glove"][np.asarray(row, int)] for row in rows]
                label = contents["label"][name]
            except (KeyError, IndexError, TypeError, ValueError) as error:
                notes.append(f"segment {name} is left out: {error!r:.200}.")
                continue
            if not len(text[-1]) or label not in (0, 1):
                why = f"its label is {label!r:.40}" if len(text[-1]) else "its punchline has no words"
                notes.append(f"segment {name} is left out: {why}.")
                continue
            lengths = [len(x) for x in text]
            parts["text"] += text
            for m, kind in (("audio", "covarep"), ("video", "openface")):
                parts[m] += _beside(contents[kind].get(name), lengths, widths[kind])
            kept["label"].append(int(label))
            kept["split"].append(code)
            kept["segments"].append(len(lengths))
            kept["sentences"] += lengths
    if not kept["label"]:
        raise LmamError(f"{folder} holds no segment that can be used. {reasons(notes)}".strip())
    arrays = {m: np.concatenate(x).astype(np.float32) for m, x in parts.items()}
    arrays |= {name: np.array(kept[name]) for name in ("label", "split")}
    arrays |= {f"{of}_offsets": np.cumsum([0, *kept[f"{of}s"]]) for of in ("segment", "sentence")}
    return arrays, combined(list(sources.values())), notes


def _width(features: dict[Any, Any]) -> int:
    return next((np.shape(x)[1] for f in features.values() if np.ndim(x := f["punchline_features"]) == 2), 1)


def _beside(given: dict[str, Any] | None, lengths: list[int], width: int) -> list[np.ndarray]:
    """The vectors of every sentence's words, (n, width) each, NaN for those that are not there."""
    rows = [*given["context_features"], given["punchline_features"]] if given else []
    rows = rows if len(rows) == len(lengths) else [[]] * (len(lengths) - 1) + rows[-1:] if rows else [[]] * len(lengths)
    vectors = []
    for n, row in zip(lengths, rows, strict=True):
        x = np.full((n, width), np.nan, np.float32)
        with np.errstate(over="ignore"):
            there = np.asarray(row, np.float32).reshape(-1, width)[:n]
        x[: len(there)] = np.where(np.isfinite(there), there, 0)
        vectors.append(x)
    return vectors


def _opened(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The content of the six files, and the sha256 of each."""
    words = next((name for name in WORDS if (folder / name).is_file()), WORDS[0])
    names = FILES | {"words": words}
    for name in names.values():
        if not (folder / name).is_file():
            raise LmamError(f"{folder} lacks {name}; UR-FUNNY's six files must lie beside one another.")
    contents = {key: pickles.load(folder / name) for key, name in names.items()}
    contents["glove"] = np.asarray(contents["glove"], np.float32)  # (words, 300)
    return contents, {name: sha256(folder / name) for name in names.values()}


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

    yield from readable(splits, make, notes)
    for kind, of in means.items():
        notes += of.notes(kind)


def _sets(kind: str, mean: Means, punchline: Any, context: Any) -> dict[str, np.ndarray]:
    """The punchline's mean (1, d), and it with the context's beside it (1, 2 d)."""
    punchline_mean = mean(punchline)  # (d,)
    before = [np.asarray(s, np.float32).reshape(-1, len(punchline_mean)) for s in context if len(s)]
    context_mean = np.nan_to_num(mean(np.concatenate(before))) if before else np.zeros_like(punchline_mean)
    both = np.concatenate([punchline_mean, context_mean])
    return {f"{kind}{len(punchline_mean)}": punchline_mean[None], f"{kind}{len(both)}": both[None]}
