"""The experiments of session recommendation: what decides a run, how it is trained and scored."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from lmam_core import paths
from lmam_core.errors import LmamError
from lmam_core.models import fusion
from lmam_core.models.embedded import seed_part
from lmam_core.runs.metrics import total
from lmam_core.runs.record import Measured, Progress, Record, check, key, numbers
from lmam_core.runs.run import count
from lmam_core.runs.training import Budget, Checkpoint, Training, follow
from lmam_core.tasks.recommendation import ranking
from lmam_core.tasks.recommendation.dhcn import DHCN, LINES, STREAMS
from lmam_core.tasks.recommendation.sessions import Sequences, Sessions, load

PROTOCOLS = ("honest", "tuning", "best_on_test")
"""`honest`: a tenth of the training sessions is validation, anew for each seed; the epoch is chosen on it by
`SELECTION`, and the test set is read once. `tuning`: honest without the test set. `best_on_test`: as DHCN's published
code reports: all training sessions, the test set read after every epoch, and of each metric its best epoch."""
SELECTION = "P@20"
NONE = "none"
"""The fusion of DHCN as it is."""
WHOLE = ("rank", "fraction", "seed", "batch_size", "epochs", "patience", "width", "layers")
EVALUATED = 500
"""Sequences that are scored at a time."""


@dataclass(frozen=True)
class Recommendation(Record):
    """An experiment on session recommendation: everything that decides the numbers of a run.

    `fusion` is `none` or a fusion method, `streams` (`dhcn.STREAMS`) what it fuses, `line` (`dhcn.LINES`) whether the
    line-graph channel trains the items. `fraction` keeps the most recent part of the training sessions: 64 is the last
    64th, as is usual for Yoochoose, 1 all. `batch_size` is counted in sequences, `patience` in epochs; `ssl` is β.

    >>> Recommendation(fusion="lmam").arm
    'lmam.channels.r45.recent64'
    """

    task: ClassVar[str] = "recommendation"

    dataset: str = "diginetica"
    backbone: str = "dhcn"
    fusion: str = NONE
    streams: str | None = None
    rank: int | None = None
    line: str = "detached"
    fraction: int = 64
    protocol: str = "honest"
    seed: int = 0
    learning_rate: float = 1e-3
    batch_size: int = 100
    epochs: int = 30
    patience: int = 3
    width: int = 100
    layers: int = 3
    ssl: float = 0.01

    def resolved(self) -> Recommendation:
        """The same question with nothing left open; raises LmamError for whatever is not possible."""
        self = dataclasses.replace(self, **numbers(self, WHOLE, ("learning_rate", "ssl")))
        choices: dict[str, tuple[str, ...]] = {
            "backbone": ("dhcn",),
            "fusion": (NONE, *fusion.FUSIONS),
            "line": LINES,
            "protocol": PROTOCOLS,
            "streams": tuple(STREAMS),
        }
        check(self, choices, "streams", ("fraction", "batch_size", "epochs", "patience", "width", "layers"))
        if not 0 < self.learning_rate < math.inf or not 0 <= self.ssl < math.inf:
            raise LmamError("learning_rate must be a positive number, and ssl none below 0.")
        if self.fusion == NONE:
            return dataclasses.replace(self, streams=None, rank=None)
        default = fusion.method(self.fusion).rank
        rank = None if default is None else default if self.rank is None else self.rank
        if rank is not None and rank < 1:
            raise LmamError(f"The rank must be at least 1 and at most the width; got {rank}.")
        return dataclasses.replace(self, streams=self.streams or "channels", rank=rank)

    def parts(self) -> list[str]:
        """What is compared: `lmam`, `channels`, `r45`, `recent64`."""
        return [
            self.fusion,
            self.streams or "",
            f"r{self.rank}" if self.rank else "",
            "" if self.line == "detached" else f"line-{self.line}",
            f"recent{self.fraction}" if self.fraction > 1 else "",
        ]

    @staticmethod
    def summarise(totals: np.ndarray, classes: int | None) -> dict[str, np.ndarray]:
        """P@K and MRR@K of many sums of outcomes (`ranking.summarise`)."""
        return ranking.summarise(totals, classes)

    def measure(self, device: str, progress: Progress | None) -> Measured:
        """Train the resolved question's model and score the test sequences."""
        model, data, training, best = fit(self, device, progress)
        if best is not None:
            outcomes = best.outcomes()
        elif self.protocol == "tuning":
            outcomes = {}
        else:
            outcomes = evaluate(model, data.test, torch.device(device))
        origin = {"data": self.dataset, "data_sha256": data.sha256}
        extra = [part for part in (model.fusion, model.match) if part is not None]
        return Measured(outcomes, None, training, count(model), sum(map(count, extra)), origin)


def prepared(e: Recommendation) -> Sessions:
    """The sessions of a resolved question."""
    validation = e.protocol != "best_on_test"
    return load(e.dataset, e.fraction, validation, e.seed if validation else 0)


def build(e: Recommendation, data: Sessions) -> DHCN:
    """The model of a resolved question; those of one seed start alike in what they have in common."""
    seed_part(e.seed, "dhcn")

    def fused(widths: Mapping[str, int]) -> fusion.Fusion:
        seed_part(e.seed, "fusion")
        return fusion.build(e.fusion, widths, rank=e.rank)

    makes = None if e.fusion == NONE else fused
    return DHCN(data.graph, e.width, e.layers, e.line, e.ssl, makes, e.streams or "channels")


def fit(
    e: Recommendation, device: str = "cpu", progress: Progress | None = None, data: Sessions | None = None
) -> tuple[DHCN, Sessions, Training, BestOnTest | None]:
    """Train a resolved question's model with Adam; returns it at its best epoch.

    After every epoch the training is kept in the cache, so that the same question goes on where it was interrupted.
    `data` are sessions of one's own (`sessions.prepare`) in the place of the question's; such a training is not kept.
    """
    where, own = torch.device(device), data is not None
    data = prepared(e) if data is None else data
    model = build(e, data).to(where)
    optimizer = torch.optim.Adam(model.parameters(), lr=e.learning_rate, fused=True)
    order = torch.Generator().manual_seed(e.seed)
    torch.manual_seed(e.seed)
    best = BestOnTest() if e.protocol == "best_on_test" else None
    parts: dict[str, Any] = {"optimizer": optimizer} | ({} if best is None else {"best": best})
    checkpoint = None if own else Checkpoint(paths.CACHE / "unfinished" / f"{key(e, e.dataset)}.pt", order, **parts)

    def one_epoch() -> float:
        model.train()
        losses = [step(model, batch.to(where), optimizer) for batch in data.train.batches(e.batch_size, order)]
        return float(torch.stack(losses).mean())

    def score() -> float:
        outcomes = evaluate(model, data.validation if best is None else data.test, where)
        if best is not None:
            best.read(outcomes)
        return float(ranking.summarise(total(outcomes))[SELECTION])

    budget = Budget(e.epochs, e.patience, e.batch_size, e.learning_rate, 0.0)
    per_epoch = -(-len(data.train) // e.batch_size)
    quiet: Progress = lambda epoch, loss, score: None  # noqa: E731
    training = follow(model, budget, per_epoch, one_epoch, score, 1, progress or quiet, checkpoint)
    if checkpoint is not None:
        checkpoint.end()
    return model, data, training, best


def step(model: DHCN, batch: Any, optimizer: torch.optim.Optimizer) -> Tensor:
    """One update on a batch; returns its loss."""
    loss = model.loss(batch)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return loss.detach()


@torch.no_grad()
def evaluate(model: DHCN, sequences: Sequences, device: torch.device) -> dict[str, np.ndarray]:
    """The additive outcomes of blocks of sessions (`ranking.outcomes`)."""
    model.eval()
    scores = model.ranker()
    batches = (batch.to(device) for batch in sequences.batches(EVALUATED))
    rank = torch.cat([ranking.ranks(scores(batch), batch.target) for batch in batches])
    return ranking.outcomes(rank.cpu().numpy(), sequences.session)


class BestOnTest:
    """Of each metric the outcomes of the epoch in which it is best."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.best: Tensor | None = None  # (blocks, 7)

    def read(self, outcomes: Mapping[str, np.ndarray]) -> None:
        """Take over the columns of a further epoch that sum to more."""
        new = torch.from_numpy(np.stack(list(outcomes.values())))
        self.names = list(outcomes)
        self.best = new if self.best is None else torch.where(new.sum(0) > self.best.sum(0), new, self.best)

    def outcomes(self) -> dict[str, np.ndarray]:
        """The best columns by block of sessions."""
        if self.best is None:
            raise LmamError("No epoch was scored.")
        return dict(zip(self.names, self.best.numpy(), strict=True))

    def state_dict(self) -> dict[str, Any]:
        """The state, for `Checkpoint`."""
        return {"names": self.names, "best": self.best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.names, self.best = state["names"], state["best"]
