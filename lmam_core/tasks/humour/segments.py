"""Segments: a context of sentences and a punchline, all of words that have a vector per modality."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from lmam_core import file_errors
from lmam_core.batch import MODALITIES, Turns
from lmam_core.data import catalogue
from lmam_core.data.files import ur_funny
from lmam_core.data.notes import condensed
from lmam_core.data.sources import mustard, synthetic_humour
from lmam_core.data.sources.base import Arrays
from lmam_core.errors import LmamError

LONGEST = 50
"""Words that a model reads of a sentence, the last ones."""
VALIDATION = 0.2
"""The share of training segments that validation takes where the source brings no validation split."""
BLOCKS = 64
"""Vectors of outcomes of a test set, at most: a run's file has a line for each, and blocks are what is resampled."""


@dataclass(frozen=True)
class Sentences:
    """S sentences padded to T words: `features[m]` (S, T, d_m), 0 for padding; `turns` says which words there are."""

    features: dict[str, Tensor]
    turns: Turns

    def to(self, device: torch.device) -> Sentences:
        """The same on `device`."""
        moved = {m: x.to(device, non_blocking=True) for m, x in self.features.items()}
        speaker, mask = (x.to(device, non_blocking=True) for x in (self.turns.speaker, self.turns.mask))
        return Sentences(moved, Turns(speaker, mask, self.turns.lengths, self.turns.who))


@dataclass(frozen=True)
class Batch:
    """B segments: their punchlines, the S sentences of their contexts, and where these stand.

    A model reads the K last sentences of a context; `place` (S,) counts through B K places, in each segment from the
    sentence right before the punchline backwards. `turns` (B, K) says which places are taken, none of an empty context.
    `label` (B,) is 0 or 1.
    """

    punchline: Sentences
    context: Sentences
    place: Tensor
    turns: Turns
    label: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same on `device`."""
        speaker, mask, place, label = (
            x.to(device, non_blocking=True) for x in (self.turns.speaker, self.turns.mask, self.place, self.label)
        )
        turns = Turns(speaker, mask, self.turns.lengths, self.turns.who)
        return Batch(self.punchline.to(device), self.context.to(device), place, turns, label)


@dataclass(frozen=True)
class Segments:
    """n segments over W words that lie end to end.

    Sentence s is the words `sentences[s] : sentences[s + 1]`, segment i the sentences `segments[i] : segments[i + 1]`
    in the order of time, the last of which is its punchline. `features[m]` is float32 (W, d_m), `label` (n,) 0 or 1,
    `split` (n,) 0 for train, 1 for validation, 2 for test. `notes` say what was filled in. `checked` makes one.
    """

    name: str
    features: dict[str, np.ndarray]
    sentences: np.ndarray
    segments: np.ndarray
    label: np.ndarray
    split: np.ndarray
    classes: tuple[str, str]
    sha256: str = ""
    caution: str = ""
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.label)

    @property
    def widths(self) -> dict[str, int]:
        """d_m of each modality."""
        return {m: x.shape[1] for m, x in self.features.items()}

    def of(self, split: int) -> np.ndarray:
        """The segments of a split, in stored order."""
        return np.flatnonzero(self.split == split)

    def select(self, modalities: Sequence[str]) -> Segments:
        """The same with these modalities only, in the fixed order; raises LmamError for one that there is not."""
        if not modalities or len(set(modalities)) < len(modalities):
            raise LmamError(f"Modalities are named once each, and at least one; got {', '.join(modalities) or 'none'}.")
        for m in modalities:
            if m not in self.features:
                raise LmamError(f"{self.name} has no modality '{m}'; it has {', '.join(self.features)}.")
        return replace(self, features={m: self.features[m] for m in MODALITIES if m in modalities})

    def with_validation(self, seed: int) -> Segments:
        """The same with a fifth of train as validation, drawn by `seed`, where the source brings none."""
        train = self.of(0)
        split = self.split.copy()
        if not (split == 1).any():
            count = max(1, round(VALIDATION * len(train)))
            split[np.random.default_rng(seed).permutation(train)[:count]] = 1
        if len(np.unique(self.label[split == 0])) < 2 or not (split == 2).any():
            raise LmamError(f"{self.name} needs both labels in train, and test segments.")
        return replace(self, split=split)

    def standardised(self) -> Segments:
        """Features with mean 0 and deviation 1 per column over the words of train; a constant column becomes 0."""
        words = np.repeat(np.repeat(self.split == 0, np.diff(self.segments)), np.diff(self.sentences))
        features = {}
        for m, x in self.features.items():
            known = x[words].astype(np.float64)
            mean, deviation = known.mean(0), known.std(0)
            scale = np.where(deviation > 1e-8, 1 / np.maximum(deviation, 1e-8), 0.0)
            features[m] = ((x - mean) * scale).astype(np.float32)
        return replace(self, features=features)

    def batches(self, split: int, size: int, context: int, order: torch.Generator | None = None) -> Iterator[Batch]:
        """Batches of `size` segments with at most `context` sentences each, shuffled by `order`."""
        given = self.of(split)
        if order is not None:
            given = given[torch.randperm(len(given), generator=order).numpy()]
        for start in range(0, len(given), size):
            yield self.batch(given[start : start + size], context)

    def batch(self, chosen: np.ndarray, context: int) -> Batch:
        """Some segments as one batch."""
        joke = self.segments[chosen + 1] - 1  # (B,)
        count = np.minimum(joke - self.segments[chosen], context)  # (B,) sentences of context
        there = np.arange(context) < count[:, None]  # (B, K)
        before = joke[:, None] - 1 - np.arange(context)  # (B, K)
        turns = Turns(torch.zeros(there.shape, dtype=torch.long), torch.from_numpy(there), torch.from_numpy(count))
        return Batch(
            self._padded(joke),
            self._padded(before[there]),
            torch.from_numpy(np.flatnonzero(there)),
            turns,
            torch.from_numpy(self.label[chosen]),
        )

    def _padded(self, sentences: np.ndarray) -> Sentences:
        stop = self.sentences[sentences + 1]  # (S,)
        length = np.minimum(stop - self.sentences[sentences], LONGEST)
        t = np.arange(max(1, length.max(initial=1)))
        mask = t < length[:, None]  # (S, T)
        word = np.where(mask, (stop - length)[:, None] + t, 0)
        features = {m: torch.from_numpy(np.where(mask[..., None], x[word], 0)) for m, x in self.features.items()}
        turns = Turns(torch.zeros(mask.shape, dtype=torch.long), torch.from_numpy(mask), torch.from_numpy(length))
        return Sentences(features, turns)


def checked(name: str, arrays: Arrays, classes: tuple[str, str], sha256: str = "", caution: str = "") -> Segments:
    """Segments of stored arrays: `label`, `split`, `segment_offsets`, `sentence_offsets`, and (W, d_m) per modality.

    A segment without context is a segment with its punchline alone, and an empty sentence of a context is left out. A
    word whose vector of a modality is not finite lacks it: the mean of the training words stands there, and a note
    counts them. Raises LmamError for a label that is not 0 or 1, a punchline without words, offsets that do not fit, a
    modality of another length, and one that no training word has.
    """
    label, split = np.asarray(arrays["label"]), np.asarray(arrays["split"])
    sentences, segments = (np.asarray(arrays[f"{of}_offsets"]) for of in ("sentence", "segment"))
    features = {m: np.asarray(arrays[m], np.float32) for m in MODALITIES if m in arrays}
    if not features:
        raise LmamError(f"{name} has no modality; words need a vector of {', '.join(MODALITIES[:3])} or some of these.")
    if len(split) != len(label) or len(segments) != len(label) + 1:
        raise LmamError(f"{name}: {len(label)} labels need as many splits and one offset more.")
    for i, value in enumerate(label):
        if value not in (0, 1):
            raise LmamError(f"{name}: segment {i} has the label {value}; a label is 0 or 1.")
    total = len(next(iter(features.values())))
    for what, a, end in (("segment", segments, len(sentences) - 1), ("sentence", sentences, total)):
        if a.dtype.kind not in "iu" or a[0] != 0 or a[-1] != end or (np.diff(a) < 0).any():
            raise LmamError(f"{name}: {what}_offsets must rise from 0 to {end}.")
    for m, x in features.items():
        if x.ndim != 2 or len(x) != sentences[-1]:
            raise LmamError(f"{name}: {m} has the shape {x.shape}; there are {sentences[-1]} words.")
    words = np.diff(sentences)  # (S,)
    none = np.flatnonzero(np.diff(segments) < 1)
    silent = none if none.size else np.flatnonzero(words[segments[1:] - 1] < 1)
    if silent.size:
        raise LmamError(f"{name}: segment {silent[0]} has a punchline without words; leave it out.")
    owner = np.repeat(np.arange(len(label)), np.diff(segments))[words > 0]
    segments = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=len(label)))])
    sentences = np.concatenate([[0], np.cumsum(words[words > 0])])
    notes: list[str] = []
    train = np.repeat((split == 0)[owner], words[words > 0])
    for m, x in features.items():
        whole = np.asarray(np.isfinite(x).all(1))
        if whole.all():
            continue
        if not (whole & train).any():
            raise LmamError(f"{name}: no training word has {m}; choose modalities without it.")
        features[m] = np.where(whole[:, None], x, x[whole & train].mean(0)).astype(np.float32)
        jokes = zip(sentences[segments[1:] - 1], sentences[segments[1:]], strict=True)
        mute = sum(not whole[first:stop].any() for first, stop in jokes)
        notes.append(
            f"Words that lack {m} and have the training mean instead: {(~whole).sum():,}, of {mute:,} punchlines all."
        )
    where, label, split = (sentences, segments), label.astype(np.int64), split.astype(np.int64)
    return Segments(name, features, *where, label, split, classes, sha256, caution, notes)


@lru_cache(maxsize=2)
def load(name: str) -> Segments:
    """A dataset of the catalogue; raises LmamError for one that holds no segments, and for a file that is missing."""
    record = catalogue.entry(name)
    if record.task != "humour":
        there = ", ".join(catalogue.names("humour"))
        raise LmamError(f"{name} holds no punchlines; the datasets for humour are {there}.")
    if name == "synthetic-humour":
        arrays = synthetic_humour.generate(synthetic_humour.DEFAULT)
        return checked(name, arrays, ur_funny.CLASSES, record.sha256, "synthetic data")
    if name == "mustard":
        stored, sha256 = catalogue.arrays(name)
        return checked(name, mustard.words(stored), mustard.CLASSES, sha256)
    folder = catalogue.folder(name)
    with file_errors.explained(folder, "UR-FUNNY's six files"):
        words, sha256, notes = ur_funny.words(folder)
    segments = checked(name, words, ur_funny.CLASSES, sha256)
    return replace(segments, notes=[*condensed(notes), *segments.notes])
