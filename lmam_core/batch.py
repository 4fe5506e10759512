"""The batch that every model reads, and the conversations that it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from lmam_core.errors import LmamError

MODALITIES = ("text", "audio", "video", "nonverbal")
"""The fixed order in which modalities are concatenated, drawn and listed."""


@dataclass(frozen=True)
class Conversation:
    """One conversation of L utterances, in time order.

    `features[m]` is float32 (L, d_m), `speaker` int64 (L,) with 0 for whoever speaks first, `label` (L,) is int64
    for classes and float32 for a regression target; for K traits of the whole conversation it is float32 (1, K).
    """

    id: str
    features: dict[str, np.ndarray]
    speaker: np.ndarray
    label: np.ndarray

    def __len__(self) -> int:
        return len(self.speaker)


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
    `label` (B, L), or (B, 1, K) for traits; on the CPU and taken from these unless given, `lengths` (B,) and `who`
    (B, L), the speakers. Padding holds zeros everywhere; every model ignores it. Raises LmamError for padding before an
    utterance, and for a speaker below 0.

    >>> mask = torch.tensor([[True, True, True], [True, True, False]])
    >>> zeros = torch.zeros(2, 3, dtype=torch.long)
    >>> batch = Conversations({"text": torch.randn(2, 3, 100)}, speaker=zeros, mask=mask, label=zeros)
    >>> batch.lengths
    tensor([3, 2])
    """

    features: dict[str, Tensor]
    speaker: Tensor
    mask: Tensor
    label: Tensor
    ids: tuple[str, ...] = ()
    lengths: Tensor = None  # type: ignore[assignment]  # None is filled in
    who: Tensor = None  # type: ignore[assignment]  # None is filled in

    def __post_init__(self) -> None:
        if self.who is None or self.speaker.device.type == "cpu":
            who = self.speaker.cpu()
            if (who < 0).any():
                raise LmamError(f"Speakers are counted from 0; the batch has a speaker {int(who.min())}.")
            object.__setattr__(self, "who", who)
        if self.lengths is None:
            mask = self.mask.cpu()
            lengths = mask.sum(1)
            if not torch.equal(mask, torch.arange(mask.shape[1]) < lengths[:, None]):
                raise LmamError("Padding stands at the end of a conversation; the mask has some before an utterance.")
            object.__setattr__(self, "lengths", lengths)

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
    whole = first.label.ndim == 2
    label = np.zeros((B, *first.label.shape) if whole else (B, L), first.label.dtype)
    for b, c in enumerate(conversations):
        n = len(c)
        for m, x in c.features.items():
            features[m][b, :n] = x
        speaker[b, :n], mask[b, :n], label[b, : len(c.label)] = c.speaker, True, c.label
    return Conversations(
        {m: torch.from_numpy(x) for m, x in features.items()},
        torch.from_numpy(speaker),
        torch.from_numpy(mask),
        torch.from_numpy(label),
        tuple(c.id for c in conversations),
    )
