"""The batch that every model reads, and the dataset that batches come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from lmam_core.errors import LmamError

MODALITIES = ("text", "audio", "video", "nonverbal")
"""The fixed order in which modalities are concatenated, drawn and listed."""
DRAWS = 100
"""How often a validation split is drawn before it is believed that every one leaves a class without an utterance."""


@dataclass(frozen=True)
class Conversation:
    """One conversation of L utterances, in time order.

    `features[m]` is float32 (L, d_m), `speaker` int64 (L,) with 0 for whoever speaks first, `label` (L,) is int64
    for classes and float32 for a regression target.
    """

    id: str
    features: dict[str, np.ndarray]
    speaker: np.ndarray
    label: np.ndarray

    def __len__(self) -> int:
        return len(self.label)


@dataclass(frozen=True)
class Turns:
    """Who speaks when in a batch: all that a backbone knows of it besides its streams.

    `speaker` (B, L) int64, `mask` (B, L) bool, True where an utterance stands, `lengths` (B,) int64. The lengths stay
    on the CPU, where packing and loops over time need them, and `who` is the speakers there, for those who count them:
    so nobody waits for a GPU.
    """

    speaker: Tensor
    mask: Tensor
    lengths: Tensor
    who: Tensor | None = None

    @property
    def places(self) -> Tensor:
        """Where the N utterances stand among the B L places, (N,) int64 on the mask's device, counted on the CPU."""
        there = torch.arange(self.mask.shape[1]) < self.lengths[:, None]  # (B, L)
        return there.flatten().nonzero().squeeze(1).to(self.mask.device, non_blocking=True)


@dataclass(frozen=True)
class Conversations:
    """A batch of B conversations, padded at the end to the longest, L utterances.

    Shapes: `features[m]` (B, L, d_m), `speaker` (B, L), `mask` (B, L) with True where an utterance stands,
    `label` (B, L); on the CPU and taken from these unless given, `lengths` (B,) and `who` (B, L), the speakers. Padding
    holds zeros everywhere; every model ignores it. Raises LmamError for padding before an utterance, and for a speaker
    below 0.
    """

    features: dict[str, Tensor]
    speaker: Tensor
    mask: Tensor
    label: Tensor
    ids: tuple[str, ...] = ()
    lengths: Tensor | None = None
    who: Tensor | None = None

    def __post_init__(self) -> None:
        if self.who is None or self.speaker.device.type == "cpu":
            object.__setattr__(self, "who", self.speaker.cpu())
            if (self.who < 0).any():
                raise LmamError(f"Speakers are counted from 0; the batch has a speaker {int(self.who.min())}.")
        if self.lengths is None:
            mask = self.mask.cpu()
            object.__setattr__(self, "lengths", mask.sum(1))
            if not torch.equal(mask, torch.arange(mask.shape[1]) < self.lengths[:, None]):
                raise LmamError("Padding stands at the end of a conversation; the mask has some before an utterance.")

    @property
    def turns(self) -> Turns:
        """Who speaks when."""
        return Turns(self.speaker, self.mask, self.lengths, self.who)

    def to(self, device: torch.device | str) -> Conversations:
        """The same batch on `device`; the CPU does not wait for copies of pinned memory."""
        moved = {name: getattr(self, name).to(device, non_blocking=True) for name in ("speaker", "mask", "label")}
        return replace(self, features={m: x.to(device, non_blocking=True) for m, x in self.features.items()}, **moved)


def collate(conversations: Sequence[Conversation]) -> Conversations:
    """Pad conversations to one `Conversations` batch; raises LmamError for an empty list or empty conversation."""
    if not conversations:
        raise LmamError("A batch needs at least one conversation; the list was empty.")
    for c in conversations:
        if len(c) == 0:
            raise LmamError(f"Conversation '{c.id}' has no utterances; leave it out of the dataset.")
    first, longest = conversations[0], max(map(len, conversations))
    B, L = len(conversations), longest
    features = {m: np.zeros((B, L, x.shape[1]), np.float32) for m, x in first.features.items()}
    speaker = np.zeros((B, L), np.int64)
    mask = np.zeros((B, L), bool)
    label = np.zeros((B, L), first.label.dtype)
    for b, c in enumerate(conversations):
        n = len(c)
        for m, x in c.features.items():
            features[m][b, :n] = x
        speaker[b, :n], mask[b, :n], label[b, :n] = c.speaker, True, c.label
    return Conversations(
        {m: torch.from_numpy(x) for m, x in features.items()},
        torch.from_numpy(speaker),
        torch.from_numpy(mask),
        torch.from_numpy(label),
        tuple(c.id for c in conversations),
    )


@dataclass(frozen=True)
class Dataset:
    """A dataset with its splits; `classes` is None for regression, where labels are real numbers.

    `feature_sets[m]` names which features stand for modality m (`minilm384`), `splits` has the keys `train` and
    `test`, and `validation` where the source brings one. `about` is the sentence that pages print beside numbers
    from it, `synthetic` says whether the data was generated, `sha256` identifies the content.
    """

    name: str
    feature_sets: dict[str, str]
    classes: tuple[str, ...] | None
    splits: dict[str, list[Conversation]]
    sha256: str
    about: str
    synthetic: bool = False
    widths: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        if not self.splits.get("train"):
            raise LmamError(f"{self.name} has no training conversations.")
        first = self.splits["train"][0]
        object.__setattr__(self, "widths", {m: x.shape[1] for m, x in first.features.items()})
        for split, conversations in self.splits.items():
            for c in conversations:
                self._check(split, c)
            twice = [name for name, n in Counter(c.id for c in conversations).items() if n > 1]
            if twice:
                raise LmamError(f"{self.name}, split '{split}': two conversations are called '{twice[0]}'; rename one.")

    def _check(self, split: str, c: Conversation) -> None:
        where = f"{self.name}, split '{split}', conversation '{c.id}'"
        if len(c) == 0:
            raise LmamError(f"{where}: it has no utterances; leave it out of the dataset.")
        if c.features.keys() != self.widths.keys():
            raise LmamError(f"{where}: it has {', '.join(c.features)}, the first one has {', '.join(self.widths)}.")
        if c.speaker.shape != c.label.shape:
            raise LmamError(f"{where}: {len(c.speaker)} speakers for {len(c)} utterances.")
        for m, x in c.features.items():
            if x.shape != (len(c), self.widths[m]):
                raise LmamError(f"{where}: {m} has shape {x.shape}, expected {(len(c), self.widths[m])}.")
            if not np.isfinite(x).all():
                t = int(np.argwhere(~np.isfinite(x))[0][0])
                raise LmamError(f"{where}: {m} holds NaN or infinity at utterance {t}; repair or drop that utterance.")
        if not np.isfinite(c.label).all():
            raise LmamError(f"{where}: a label is NaN; repair or drop that utterance.")
        if self.classes is not None and (c.label.min() < 0 or c.label.max() >= len(self.classes)):
            raise LmamError(f"{where}: a label lies outside 0..{len(self.classes) - 1}.")

    @property
    def outputs(self) -> int:
        """How many numbers a model puts out for an utterance: one per class, or 1 for regression."""
        return len(self.classes) if self.classes else 1

    def with_validation(self, fraction: float = 0.2, seed: int = 0) -> Dataset:
        """The dataset with `validation` conversations taken out of `train`, unless it has a validation split.

        The choice depends on `seed` and the places in `train` alone; one that would leave a class without a training
        utterance is drawn again. Raises LmamError where train cannot spare a conversation, or lacks a class.
        """
        splits = dict(self.splits)
        if "validation" not in splits:
            train = splits["train"]
            count = max(1, round(fraction * len(train)))
            if count >= len(train):
                raise LmamError(f"{self.name}: {len(train)} training conversations cannot spare a validation split.")
            rng = np.random.default_rng(seed)
            for _ in range(DRAWS):
                chosen = set(rng.permutation(len(train))[:count].tolist())
                kept = [c for i, c in enumerate(train) if i not in chosen]
                if not self._unseen(kept):
                    break
            splits["validation"] = [c for i, c in enumerate(train) if i in chosen]
            splits["train"] = kept
        if missing := self._unseen(splits["train"]):
            raise LmamError(
                f"{self.name}: no training utterance has the class {', '.join(missing)}; "
                "add conversations that do, or drop the class."
            )
        return replace(self, splits=splits)

    def _unseen(self, train: Sequence[Conversation]) -> list[str]:
        """The classes that no utterance of some conversations has."""
        seen = set() if self.classes is None else set(np.unique(np.concatenate([c.label for c in train])).tolist())
        return [name for k, name in enumerate(self.classes or ()) if k not in seen]

    def standardised(self) -> Dataset:
        """Features with mean 0 and deviation 1 per column, measured on `train` alone; constant columns become 0."""
        scaled: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for m in self.widths:
            x = np.concatenate([c.features[m] for c in self.splits["train"]]).astype(np.float64)
            mean, deviation = x.mean(0), x.std(0)
            scale = np.where(deviation > 1e-8, 1 / np.maximum(deviation, 1e-8), 0.0)
            scaled[m] = mean, scale

        def scale_one(c: Conversation) -> Conversation:
            features = {m: ((x - scaled[m][0]) * scaled[m][1]).astype(np.float32) for m, x in c.features.items()}
            return replace(c, features=features)

        return replace(self, splits={s: [scale_one(c) for c in cs] for s, cs in self.splits.items()})

    def with_shuffled(self, modality: str, seed: int) -> Dataset:
        """One modality's utterances dealt anew within each split: it keeps its values and tells nothing any more.

        Another modality with the same seed is dealt otherwise, so that the two part as well.
        """
        rng = np.random.default_rng([seed, MODALITIES.index(modality)])

        def deal(conversations: list[Conversation]) -> list[Conversation]:
            x = rng.permutation(np.concatenate([c.features[modality] for c in conversations]))
            dealt = np.split(x, np.cumsum([len(c) for c in conversations])[:-1])
            pairs = zip(conversations, dealt, strict=True)
            return [replace(c, features=c.features | {modality: part}) for c, part in pairs]

        return replace(self, splits={s: deal(cs) if cs else [] for s, cs in self.splits.items()})

    def select(self, modalities: Sequence[str]) -> Dataset:
        """The dataset with these modalities only, in the fixed order; raises LmamError for one that it lacks."""
        if not modalities:
            raise LmamError("At least one modality is needed.")
        for m in modalities:
            if m not in self.widths:
                raise LmamError(f"{self.name} has no modality '{m}'; it has {', '.join(self.widths)}.")
        kept = [m for m in MODALITIES if m in modalities]

        def pick(c: Conversation) -> Conversation:
            return replace(c, features={m: c.features[m] for m in kept})

        return replace(
            self,
            feature_sets={m: self.feature_sets[m] for m in kept},
            splits={s: [pick(c) for c in cs] for s, cs in self.splits.items()},
        )

    def batches(self, split: str, batch_size: int, generator: torch.Generator | None = None) -> Iterator[Conversations]:
        """Batches of `batch_size` conversations, shuffled by `generator`, in stored order without one."""
        conversations = self.splits[split]
        order = (
            torch.randperm(len(conversations), generator=generator).tolist() if generator else range(len(conversations))
        )
        chosen = [conversations[i] for i in order]
        for start in range(0, len(chosen), batch_size):
            yield collate(chosen[start : start + batch_size])
