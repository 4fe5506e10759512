"""Training one model under a protocol, and reading its outcomes."""

from __future__ import annotations

import copy
import math
import os
import pickle
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LinearLR

from lmam_core.batch import Conversation, Conversations
from lmam_core.data.dataset import Dataset
from lmam_core.errors import LmamError
from lmam_core.models.embedded import Embedded
from lmam_core.runs.metrics import outcomes, summarise, total

PROTOCOLS = ("honest", "tuning", "released", "protocol1", "tuning1")
"""`honest`: validation conversations come out of the training set, anew for each seed; the epoch is chosen on them, and
test is read once. The budget is counted in updates, the learning rate warms up, the gradient's norm is clipped, and the
parts of a model start from random numbers of their own, so that models of one seed share what they have in common.
`tuning`: honest without the test set, to choose learning rate, dropout and weight decay.
`released`: what the authors' code does: all of train, the loss also over padding (as class 0), class weights
1 / frequency, random numbers reseeded every epoch, and the epoch chosen on the test set; kept to measure what that is
worth.
`protocol1`, `tuning1`: how the book's first runs were made: one validation split for all seeds, a budget counted in
epochs, no warm-up and no clipping."""

UNTESTED = ("tuning", "tuning1")
"""The protocols that never touch the test set."""
IN_UPDATES = ("honest", "tuning")
"""The protocols whose budget is counted in updates."""
LEAST = 600
"""Updates before which patience ends no run: a model that starts slowly would be taken for a bad one."""
WARM_UP = 100
"""Updates in which the learning rate rises linearly from 0, at most a tenth of all updates."""
CLIP = 1.0
"""The largest norm of the gradient."""
TEST_BATCH = 64
"""Conversations of a batch where nothing is trained."""
READINGS = 3
"""Selection scores without a better one before patience ends a run, where an epoch has many updates."""


class Diverged(LmamError):
    """No epoch of a training ended with a finite loss and finite weights."""


@dataclass(frozen=True)
class Budget:
    """What training may spend.

    At most `epochs` passes over train and at most `updates` (None: no such limit). It is stopped after `patience`
    epochs without a better selection score or, where `updates` is given, after `patience` updates and `READINGS` epochs
    without one, and not before `LEAST` updates.
    """

    epochs: int | None
    patience: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    updates: int | None = None


@dataclass(frozen=True)
class Training:
    """What came out of training: the chosen epoch (from 1), its score, and one value per epoch for the curves.

    `updates` is how many were made in all; 0 of runs from before they were counted.
    """

    best_epoch: int
    best_score: float
    train_loss: list[float]
    selection_score: list[float]
    seconds_per_epoch: float
    updates: int = 0


def selection_metric(data: Dataset) -> tuple[str, int]:
    """The metric that chooses the epoch, and its sign: weighted F1 for classes, else minus the MAE."""
    return ("weighted_f1", 1) if data.classes else ("mae", -1)


def train(
    model: Embedded,
    data: Dataset,
    budget: Budget,
    protocol: str,
    seed: int,
    device: torch.device,
    progress: Callable[[int, float, float], None] = lambda epoch, loss, score: None,
) -> Training:
    """Train with Adam and leave `model` at its best epoch; `progress` is called after every epoch.

    The dataset holds the split that chooses the epoch: `validation`, or `test` under the released protocol. Training
    that diverges ends with the epochs before. Where there are none it raises Diverged; a tuning run, which is one of
    several that are compared, comes back untrained, with epoch 0 and what the untrained model scores.
    """
    released = protocol == "released"
    select = "test" if released else "validation"
    metric, sign = selection_metric(data)
    optimizer = torch.optim.Adam(model.parameters(), lr=budget.learning_rate, weight_decay=budget.weight_decay)
    weight = _class_weights(data).to(device) if released and data.classes else None
    order = torch.Generator().manual_seed(seed)
    per_epoch = -(-len(data.splits["train"]) // budget.batch_size)
    epochs = _epochs(budget, per_epoch)
    warm_up, clip = None, None
    if budget.updates is not None:
        torch.manual_seed(seed)  # dropout starts alike in models of one seed, however many numbers their weights took
        rising = max(1, min(WARM_UP, epochs * per_epoch // 10))
        warm_up, clip = LinearLR(optimizer, 1 / rising, total_iters=rising - 1), CLIP

    def one_epoch() -> float:
        if released:
            torch.manual_seed(seed)
            order.manual_seed(seed)
        return _epoch(model, data, budget.batch_size, optimizer, order, device, weight, released, warm_up, clip)

    def score() -> float:
        outcome = total(evaluate(model, data, select, device))
        return summarise(outcome, data.outputs if data.classes else None)[metric]

    untrained = copy.deepcopy(model.state_dict()) if protocol in UNTESTED else None
    try:
        return follow(model, budget, per_epoch, one_epoch, score, sign, progress)
    except Diverged:
        if untrained is None:
            raise
        model.load_state_dict(untrained)
        return Training(0, score(), [], [], 0.0)


def follow(
    model: nn.Module,
    budget: Budget,
    per_epoch: int,
    one_epoch: Callable[[], float],
    score: Callable[[], float],
    sign: int,
    progress: Callable[[int, float, float], None],
    checkpoint: Checkpoint | None = None,
) -> Training:
    """Epochs of `per_epoch` updates as far as a budget and its patience reach; leaves `model` at the best one.

    `one_epoch` trains and returns the loss, `score` reads the selection metric, better when larger for `sign` 1 and
    when smaller for -1. What `checkpoint` holds is gone on with. Training that diverges ends with the epochs before;
    raises Diverged where there are none.
    """
    losses: list[float] = []
    scores: list[float] = []
    seconds: list[float] = []
    best, best_epoch = -float("inf"), 0
    state: dict[str, Tensor] | None = None
    if checkpoint and (reached := checkpoint.read(model)):
        losses, scores, seconds, best, best_epoch, state = reached
    for epoch in range(len(losses) + 1, _epochs(budget, per_epoch) + 1):
        if losses and _patience_ends(budget, epoch - 1, best_epoch, per_epoch):
            break
        started = time.perf_counter()
        loss = one_epoch()
        took = time.perf_counter() - started
        # The weights as well: the last update of an epoch is in no loss of it.
        if not (math.isfinite(loss) and all(p.isfinite().all() for p in model.parameters())):
            if state is None:
                raise Diverged(f"Training diverged in epoch {epoch}, loss {loss}; lower the learning rate.")
            break
        losses.append(loss)
        seconds.append(took)
        scores.append(sign * score())
        progress(epoch, losses[-1], sign * scores[-1])
        if scores[-1] > best:
            best, best_epoch, state = scores[-1], epoch, copy.deepcopy(model.state_dict())
        if checkpoint:
            checkpoint.write(model, (losses, scores, seconds, best, best_epoch, state))
    if state is None:
        raise Diverged("No epoch had a score that is a number; lower the learning rate.")
    model.load_state_dict(state)
    scores = [sign * s for s in scores]
    return Training(best_epoch, sign * best, losses, scores, float(np.median(seconds)), len(losses) * per_epoch)


class Checkpoint:
    """Where an unfinished training is kept after every epoch, so that an interrupted one goes on as if it had not been.

    `parts` are what has a state besides the model and torch's random numbers: the optimizer, and whatever else has
    `state_dict`; `order` is the generator that shuffles.
    """

    def __init__(self, path: Path, order: torch.Generator, **parts: Any) -> None:
        self.path, self.order, self.parts = path, order, parts

    def write(self, model: nn.Module, reached: tuple[Any, ...]) -> None:
        """Put the state of everything in the place of the one before; raises LmamError where that cannot be written."""
        state = {name: part.state_dict() for name, part in ({"model": model} | self.parts).items()}
        state |= {"reached": reached, "order": self.order.get_state(), "random": torch.get_rng_state()}
        unfinished = self.path.with_suffix(f".{os.getpid()}.tmp")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            torch.save(state, unfinished)
            unfinished.replace(self.path)
        except (OSError, RuntimeError) as error:
            unfinished.unlink(missing_ok=True)
            raise LmamError(f"The state of the training could not be kept in {self.path.parent} ({error}).") from error

    def read(self, model: nn.Module) -> tuple[Any, ...] | None:
        """Bring everything to the kept state and return what was reached; None where nothing is kept."""
        if not self.path.exists():
            return None
        device = next(model.parameters()).device
        try:
            state = torch.load(self.path, map_location=device, weights_only=True)
        except (OSError, RuntimeError, pickle.UnpicklingError) as error:
            raise LmamError(f"{self.path} is no state of a training ({error}); delete it to start again.") from error
        for name, part in ({"model": model} | self.parts).items():
            part.load_state_dict(state[name])
        self.order.set_state(state["order"].cpu())
        torch.set_rng_state(state["random"].cpu())
        reached: tuple[Any, ...] = state["reached"]
        return reached

    def end(self) -> None:
        """Drop what is kept: the run is whole."""
        self.path.unlink(missing_ok=True)


def _epochs(budget: Budget, per_epoch: int) -> int:
    """How many epochs a budget allows: the last one is begun before its updates are spent."""
    limits = [budget.epochs] if budget.epochs is not None else []
    limits += [-(-budget.updates // per_epoch)] if budget.updates is not None else []
    return min(limits)


def _patience_ends(budget: Budget, epoch: int, best_epoch: int, per_epoch: int) -> bool:
    waited = epoch - best_epoch
    if budget.updates is None:
        return waited >= budget.patience
    return waited >= READINGS and waited * per_epoch >= budget.patience and epoch * per_epoch >= LEAST


def _epoch(
    model: Embedded,
    data: Dataset,
    batch_size: int,
    optimizer: torch.optim.Optimizer,
    order: torch.Generator,
    device: torch.device,
    weight: Tensor | None,
    padded: bool,
    warm_up: LinearLR | None = None,
    clip: float | None = None,
) -> float:
    """One pass over train; returns the mean loss per batch, read once at the end and not after every step."""
    model.train()
    losses, count = torch.zeros((), device=device), 0
    for batch in data.batches("train", batch_size, order):
        batch = batch.to(device)
        losses += step(model, batch, bool(data.classes), optimizer, weight, padded, clip)
        if warm_up is not None:
            warm_up.step()
        count += 1
    return losses.item() / count


def step(
    model: Embedded,
    batch: Conversations,
    classes: bool,
    optimizer: torch.optim.Optimizer,
    weight: Tensor | None = None,
    padded: bool = False,
    clip: float | None = None,
) -> Tensor:
    """One update on a batch that is where the model is; returns its loss, which nobody waits for on a GPU.

    The mean over the model and its auxiliary networks; most models have none. `clip` is the largest norm of the
    gradient over all parameters.
    """
    losses = [_loss(output, batch, classes, weight, padded) for output in model.outputs(batch)]
    loss = reduce(torch.add, losses) / len(losses)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    if clip is not None:
        nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimizer.step()
    return loss.detach()


def _loss(output: Tensor, batch: Conversations, classes: bool, weight: Tensor | None, padded: bool) -> Tensor:
    """Cross-entropy, or for regression the absolute error, over the utterances; with `padded` over padding as well.

    Traits (B, 1, K) are of conversations, and nothing is padded there.
    """
    if batch.label.ndim == 3:
        return F.l1_loss(output, batch.label)
    output, label = output.flatten(0, 1), batch.label.flatten()  # (B L, outputs), (B L,)
    if not padded:
        places = batch.turns.places
        output, label = output[places], label[places]  # (N, outputs), (N,)
    if classes:
        return F.cross_entropy(output, label, weight)
    return F.l1_loss(output.squeeze(-1), label)


def _class_weights(data: Dataset) -> Tensor:
    """1 / frequency of each class in train, (C,)."""
    count = np.bincount(np.concatenate([c.label for c in data.splits["train"]]), minlength=data.outputs)
    return torch.from_numpy(count.sum() / np.maximum(count, 1)).float()


@torch.no_grad()
def infer(model: Embedded, batches: Iterable[Conversations], device: torch.device) -> list[np.ndarray]:
    """What a model puts out for each conversation: logits (L, C), the regression's values (L, 1), or traits (1, K)."""
    model.eval()
    outputs: list[np.ndarray] = []
    for batch in batches:
        output = model(batch.to(device)).cpu().numpy()  # (B, L, outputs)
        outputs += [output[b, :n] for b, n in enumerate(batch.lengths.tolist())]
    return outputs


def scored(
    conversations: Sequence[Conversation], outputs: Sequence[np.ndarray], classes: int | None
) -> dict[str, np.ndarray]:
    """The additive outcomes of each conversation by its id, given what a model put out for it."""
    pairs = zip(conversations, outputs, strict=True)
    decided = [x.argmax(-1) if classes else x.reshape(c.label.shape) for c, x in pairs]
    return {c.id: outcomes(c.label, d, classes) for c, d in zip(conversations, decided, strict=True)}


def evaluate(model: Embedded, data: Dataset, split: str, device: torch.device) -> dict[str, np.ndarray]:
    """The additive outcomes of each conversation of a split, by conversation id."""
    outputs = infer(model, data.batches(split, TEST_BATCH), device)
    return scored(data.splits[split], outputs, data.outputs if data.classes else None)


def score(model: Embedded, data: Dataset, split: str = "test", device: str = "cpu") -> dict[str, float]:
    """The metrics of a trained model on a split; see `metrics.summarise`."""
    outcomes = evaluate(model, data, split, torch.device(device))
    return summarise(total(outcomes), data.outputs if data.classes else None)
