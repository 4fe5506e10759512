"""The experiments of humour detection: what decides a run, how it is trained and scored."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch.nn import functional as F

from lmam_core.batch import MODALITIES
from lmam_core.errors import LmamError
from lmam_core.models import fusion
from lmam_core.models.embedded import seed_part
from lmam_core.runs.metrics import outcomes, summarise, total
from lmam_core.runs.record import Measured, Progress, Record, check, numbers
from lmam_core.runs.run import count
from lmam_core.runs.training import Budget, Training, follow
from lmam_core.tasks.humour.cmfn import CMFN, EMBEDDINGS, SETTINGS, Fused
from lmam_core.tasks.humour.segments import BLOCKS, Segments, load

PROTOCOLS = ("honest", "tuning")
"""`honest`: where the source brings no validation split, a fifth of the training segments is one, anew for each seed;
the epoch is chosen on it by `SELECTION`, and the test set is read once. `tuning`: honest without the test set."""
SELECTION = "accuracy"
NONE = "none"
"""The fusion of C-MFN as it is."""
WHOLE = ("rank", "seed", "batch_size", "epochs", "patience", "width", "context")
EVALUATED = 256
"""Segments that are scored at a time."""


@dataclass(frozen=True)
class Humour(Record):
    """An experiment on humour detection: everything that decides the numbers of a run.

    `setting` (`cmfn.SETTINGS`) is what is read of a segment, `modalities` are all that the dataset has unless named.
    `fusion` is `none` or a fusion method, `embedding` (`cmfn.EMBEDDINGS`) where it sits. `context` is how many
    sentences of context are read, `patience` counts epochs, `width` is that of the LSTMs and of the gated memory.

    >>> Humour(fusion="lmam", modalities=("text", "audio")).arm
    'both.T+A.lmam.late.r4'
    """

    task: ClassVar[str] = "humour"

    dataset: str = "synthetic-humour"
    backbone: str = "cmfn"
    setting: str = "both"
    modalities: tuple[str, ...] = ()
    fusion: str = NONE
    embedding: str | None = None
    rank: int | None = None
    protocol: str = "honest"
    seed: int = 0
    learning_rate: float = 5e-3
    weight_decay: float = 1e-4
    dropout: float = 0.1
    batch_size: int = 128
    epochs: int = 12
    patience: int = 6
    width: int = 16
    context: int = 5

    def resolved(self) -> Humour:
        """The same question with nothing left open; raises LmamError for whatever is not possible."""
        self = dataclasses.replace(self, **numbers(self, WHOLE, ("learning_rate", "weight_decay", "dropout")))
        choices: dict[str, tuple[str, ...]] = {
            "backbone": ("cmfn",),
            "setting": SETTINGS,
            "fusion": (NONE, *fusion.FUSIONS),
            "protocol": PROTOCOLS,
            "embedding": EMBEDDINGS,
        }
        check(self, choices, "embedding", ("batch_size", "epochs", "patience", "width", "context"))
        if self.fusion != NONE and (fusion.method(self.fusion).base or self.fusion == "cmcf_srnet"):
            raise LmamError(f"'{self.fusion}' fuses conversations alone; choose another fusion method.")
        if not (0 < self.learning_rate < math.inf and 0 <= self.weight_decay < math.inf and 0 <= self.dropout < 1):
            raise LmamError("learning_rate must be a positive number, weight_decay none below 0, dropout 0 to below 1.")
        modalities = tuple(m for m in MODALITIES if m in self.modalities) or None
        if modalities is None or len(modalities) < len(self.modalities):
            modalities = tuple(
                load(self.dataset).select(self.modalities or tuple(load(self.dataset).features)).features
            )
        self = dataclasses.replace(self, modalities=modalities)
        if self.fusion == NONE:
            return dataclasses.replace(self, embedding=None, rank=None)
        rank = None if fusion.method(self.fusion).rank is None else RANK if self.rank is None else self.rank
        if rank is not None and rank < 1:
            raise LmamError(f"The rank must be at least 1 and at most the narrowest width; got {rank}.")
        return dataclasses.replace(self, embedding=self.embedding or EMBEDDINGS[0], rank=rank)

    def parts(self) -> list[str]:
        """What is compared: `both`, `T+A+V`, `lmam`, `late`, `r4`."""
        letters = "+".join(m[0].upper() for m in self.modalities)
        return [self.setting, letters, self.fusion, self.embedding or "", f"r{self.rank}" if self.rank else ""]

    @classmethod
    def stored(cls, fields: Mapping[str, Any]) -> Humour:
        """The record of a run's file."""
        return cls(**{**fields, "modalities": tuple(fields["modalities"])})

    def measure(self, device: str, progress: Progress | None) -> Measured:
        """Train the resolved question's model and score the test segments."""
        model, data, training = fit(self, device, progress)
        scored = {} if self.protocol == "tuning" else evaluate(model, data, 2, torch.device(device))
        origin = {"data": data.name, "data_sha256": data.sha256, "caution": data.caution}
        origin |= {"notes": " ".join(data.notes)} if data.notes else {}
        extra = [part for part in model.children() if isinstance(part, Fused)]
        return Measured(scored, data.classes, training, count(model), sum(map(count, extra)), origin)


RANK = 4
"""LMAM's rank unless another is asked for, a quarter of the default width."""


def prepared(e: Humour, data: Segments | None = None) -> Segments:
    """The segments of a resolved question, or `data`: its modalities, validation taken out of train, standardised."""
    data = load(e.dataset) if data is None else data
    return data.select(e.modalities).with_validation(e.seed).standardised()


def build(e: Humour, widths: Mapping[str, int]) -> CMFN:
    """The model of a resolved question; those of one seed start alike in what they have in common."""
    seed_part(e.seed, "cmfn")

    def fused(widths: Mapping[str, int]) -> fusion.Fusion:
        seed_part(e.seed, "fusion")
        return fusion.build(e.fusion, widths, rank=e.rank)

    makes = None if e.fusion == NONE else fused
    return CMFN(widths, e.setting, makes, e.embedding or "late", e.context, e.width, e.width, dropout=e.dropout)


def fit(
    e: Humour, device: str = "cpu", progress: Progress | None = None, data: Segments | None = None
) -> tuple[CMFN, Segments, Training]:
    """Train a question's model with Adam; returns it at its best epoch. `data` may stand in for the question's."""
    if data is not None and not e.modalities:
        e = dataclasses.replace(e, modalities=tuple(data.features))
    e = e.resolved()
    where, data = torch.device(device), prepared(e, data)
    model = build(e, data.widths).to(where)
    optimizer = torch.optim.Adam(model.parameters(), lr=e.learning_rate, weight_decay=e.weight_decay, fused=True)
    order = torch.Generator().manual_seed(e.seed)
    torch.manual_seed(e.seed)

    def one_epoch() -> float:
        model.train()
        losses = []
        for batch in data.batches(0, e.batch_size, e.context, order):
            batch = batch.to(where)
            loss = F.binary_cross_entropy_with_logits(model(batch), batch.label.to(torch.get_default_dtype()))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        return float(torch.stack(losses).mean())

    def score() -> float:
        return summarise(total(evaluate(model, data, 1, where)), 2)[SELECTION]

    budget = Budget(e.epochs, e.patience, e.batch_size, e.learning_rate, e.weight_decay)
    quiet: Progress = lambda epoch, loss, score: None  # noqa: E731
    per_epoch = -(-len(data.of(0)) // e.batch_size)
    return model, data, follow(model, budget, per_epoch, one_epoch, score, 1, progress or quiet)


@torch.no_grad()
def predict(model: CMFN, data: Segments, split: int, device: torch.device) -> np.ndarray:
    """The logits of a split's segments, in stored order, (n,)."""
    model.eval()
    logits = [model(batch.to(device)).cpu() for batch in data.batches(split, EVALUATED, model.context)]
    return torch.cat(logits).numpy() if logits else np.zeros(0)


def evaluate(model: CMFN, data: Segments, split: int, device: torch.device) -> dict[str, np.ndarray]:
    """The confusion counts of blocks of segments that follow each other, at most `BLOCKS`."""
    decided = (predict(model, data, split, device) > 0).astype(np.int64)
    label = data.label[data.of(split)]
    size = -(-len(label) // BLOCKS)
    return {
        f"segments {i}+": outcomes(label[i : i + size], decided[i : i + size], 2) for i in range(0, len(label), size)
    }
