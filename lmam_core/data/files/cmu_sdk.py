"""Dicts of word-aligned arrays by split, as made with the CMU Multimodal SDK.

`{"train" | "valid" | "test": {"text" (N, T, 300), "audio" (N, T, d), "vision" (N, T, d), "labels" (N, 1, 1), "id"}}`.
Verified in the public loaders: `src/dataset.py` of github.com/yaohungt/Multimodal-Transformer (MulT; ids are video,
start and end in s, as bytes), `datasets/affect/get_data.py` and `get_raw_data.py` of github.com/pliang279/MultiBench
(ids are `video[clip]`), `src/MMSA/data_loader.py` of github.com/thuiar/MMSA (the key is `regression_labels`; that ids
are `video$_$clip` is known from third parties only).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lmam_core.data import pickles, stored
from lmam_core.data.files.base import Dialogue, Means, matrix, utterances
from lmam_core.errors import LmamError

_MODALITIES = {"text": "text", "audio": "audio", "vision": "video"}
_CLIP = re.compile(r"(?P<video>.+?)(?:\[(?P<a>\d+)\]|\$_\$(?P<b>\d+))")


def read(path: Path) -> stored.Utterances:
    """`mosi_data.pkl`, `mosi_raw.pkl` and their kin: a video is a conversation of one speaker.

    An utterance's features are the mean over its words (steps that are not all zeros), since this book's models read
    one vector per utterance; -inf and NaN count as 0. A row without any word gets the training mean. Labels are real
    numbers, or two classes where they are two whole numbers alone (`humor.pkl`). Utterances without an id that names
    their video are conversations of their own. Raises LmamError where there are several labels for an utterance.
    """
    content = pickles.load(path)
    splits = {"train": "train", "valid": "validation", "test": "test"}
    if not isinstance(content, dict) or not set(splits) <= set(content):
        raise LmamError(f"{path} is no dict of train, valid and test; name another layout with --as.")
    notes: list[str] = []
    parts = {name: _Part(path, content[key], name, notes) for key, name in splits.items()}
    values = np.unique(np.concatenate([part.label for part in parts.values()]))
    classes = None
    if len(values) == 2 and (values % 1 == 0).all():
        classes = (f"{values[0]:g}", f"{values[1]:g}")
        notes.append(f"The labels are {classes[0]} and {classes[1]} alone and are read as two classes.")
        for part in parts.values():
            part.label = np.searchsorted(values, part.label).astype(np.float64)
    if not any(part.named for part in parts.values()):
        notes.append("No id names a video and a clip; each utterance is a conversation of its own.")
    licence = "The file's own, and that of the videos behind it."
    return utterances(path, _dialogues(parts), classes, notes, licence)


class _Part:
    """One split: pooled features (N, d), labels (N,), and for each utterance its video and its place there."""

    def __init__(self, path: Path, part: dict[str, Any], split: str, notes: list[str]) -> None:
        label = np.asarray(part["labels"] if "labels" in part else part["regression_labels"], np.float64)
        if label.size != len(label):
            raise LmamError(f"{path} has labels of shape {label.shape}; this book reads one for each utterance.")
        self.label = label.reshape(-1)  # (N,)
        self.features = {}
        for key, m in _MODALITIES.items():
            if len(steps := part[key]) != len(self.label):
                raise LmamError(f"{path} has {len(steps)} rows of {key} for {len(self.label)} labels.")
            mean = Means()
            x = matrix([mean(s) for s in steps], f"{split}, {m}", notes).reshape(len(steps), -1)
            notes += mean.notes(f"{m} of {split}")
            self.features[m] = {f"{m}{x.shape[1]}": x}  # (N, d)
        ids = part.get("id")
        self.places = [_place(ids[i], i) if ids is not None else (f"utterance-{i}", 0.0) for i in range(len(label))]
        self.named = len({video for video, _ in self.places}) < len(self.places)


def _place(name: Any, i: int) -> tuple[str, float]:
    """The video that an id names, and where in it: its clip's number, or its start in s."""
    parts = [p.decode("utf-8", "replace") if isinstance(p, bytes) else str(p) for p in np.ravel(name).tolist()]
    if len(parts) > 1:
        return parts[0], float(parts[1])
    if match := _CLIP.fullmatch(parts[0]):
        return match["video"], float(match["a"] or match["b"])
    return parts[0] or f"utterance-{i}", 0.0


def _dialogues(parts: dict[str, _Part]) -> Iterator[Dialogue]:
    """The videos of each split; one that stands in two splits carries the split in its id."""
    seen: dict[str, set[str]] = {}
    for split, part in parts.items():
        for video, _ in part.places:
            seen.setdefault(video, set()).add(split)
    for split, part in parts.items():
        rows: dict[str, list[int]] = {}
        for i in sorted(range(len(part.places)), key=lambda i: part.places[i][1]):
            rows.setdefault(part.places[i][0], []).append(i)
        for video in dict.fromkeys(v for v, _ in part.places):
            at = rows[video]
            x = {m: {s: a[at] for s, a in sets.items()} for m, sets in part.features.items()}
            name = video if len(seen[video]) == 1 else f"{split}-{video}"
            yield Dialogue(name, split, [0] * len(at), part.label[at].tolist(), x)
