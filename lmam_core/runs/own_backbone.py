"""A torch model from anywhere as a backbone: what it must do, whether it does, and by which name its runs are kept."""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from lmam_core.batch import Conversations, Turns
from lmam_core.data.dataset import Dataset
from lmam_core.errors import LmamError
from lmam_core.models.contracts.backbone import Backbone, register
from lmam_core.models.embedded import Embedded, embed
from lmam_core.models.fusion.concat import Concat
from lmam_core.models.layers.context import PerUtterance
from lmam_core.runs.run import count, one_thread

Make = Callable[..., nn.Module]
"""`make(width, outputs)`: a new module that turns x (B, L, width) and mask (B, L), true where an utterance stands, into
(B, L, outputs). A `forward(x, mask, speaker)` is told who speaks, (B, L), 0 for whoever speaks first in a conversation;
a `make(width, outputs, speakers)` how many there are at most."""
TOLERANCE = 1e-4
"""How much of its largest output a model may change with what a conversation is padded with: float32's rounding."""


class OwnBackbone(Backbone):
    """A model of the reader's in the ways of Fig. 4; `register_own` makes a subclass that has their `make`.

    Early and early with residual: one module from the fused features to the logits. Late: one module per modality, to
    `hidden` columns each, then fusion and one linear layer. `dropout` is that of the features (`Embedded`): what is in
    the reader's modules stays as it is.
    """

    native = "early"
    make: ClassVar[Make]

    def __init__(
        self, widths: Mapping[str, int], speakers: int = 2, *, hidden: int = 100, dropout: float = 0.0
    ) -> None:
        super().__init__()
        late = list(widths) != ["fused"]
        self.speakers = speakers
        self.encoders = nn.ModuleDict({m: self._masked(d, hidden) for m, d in widths.items()} if late else {})
        self.d_out = dict.fromkeys(widths, hidden) if late else dict(widths)

    def forward(self, streams: Mapping[str, Tensor], turns: Turns) -> dict[str, Tensor]:
        return {m: self.encoders[m](x, turns) if self.encoders else x for m, x in streams.items()}

    def classifier(self, width: int, outputs: int) -> nn.Module:
        """The reader's whole model, or behind their encoders a linear layer."""
        return PerUtterance(nn.Linear(width, outputs)) if self.encoders else self._masked(width, outputs)

    def _masked(self, width: int, outputs: int) -> _Masked:
        return _Masked(type(self), width, outputs, self.speakers)


class _Masked(nn.Module):
    """A module of the reader's: its output checked, and 0 where no utterance stands."""

    def __init__(self, of: type[OwnBackbone], width: int, outputs: int, speakers: int) -> None:
        super().__init__()
        self.title, self.outputs = of.title, outputs
        how_many = {"speakers": speakers} if _asks(of.make, "speakers") else {}
        _takes(of.make, (width, outputs), how_many, f"{of.title} must be called as {of.title}(width, outputs)")
        self.net = of.make(width, outputs, **how_many)
        if not isinstance(self.net, nn.Module):
            raise LmamError(f"{of.title}(width, outputs) must return an nn.Module; got {type(self.net).__name__}.")
        self.asks_who = _asks(self.net.forward, "speaker")
        sentence = f"The forward of {of.title} must take x and mask, forward(x, mask), and may take speaker"
        _takes(self.net.forward, (None, None), {"speaker": None} if self.asks_who else {}, sentence)

    def forward(self, x: Tensor, turns: Turns) -> Tensor:
        y = self.net(x, turns.mask, **({"speaker": turns.speaker} if self.asks_who else {}))
        wanted = (*x.shape[:2], self.outputs)
        if not isinstance(y, Tensor) or y.shape != wanted:
            got = tuple(y.shape) if isinstance(y, Tensor) else f"a {type(y).__name__}"
            raise LmamError(f"{self.title} must turn {tuple(x.shape)} into (B, L, outputs) = {wanted}; it gives {got}.")
        return y.masked_fill(~turns.mask[..., None], 0.0)  # (B, L, outputs)


def register_own(make: Make, data: Dataset, embedding: str, width: int | None = None) -> str:
    """Check a model of the reader's on the shapes of a dataset, and enter it in the register; returns its name there.

    The name ends in a digest of what the model computes: outputs in training and in use, and gradients, of
    conversations of random numbers, from one seed. An edited model has another one and so runs of its own; new
    comments change nothing. An edit that no such conversation meets, such as a branch for other widths, goes unseen.

    Raises LmamError for another signature or shape, a model without parameters, one whose output for a conversation
    changes with what shares its batch, one that lets padding into the statistics of BatchNorm and its kin, and one that
    differs when it is made again from the same seed.
    """
    title = getattr(make, "__name__", type(make).__name__)
    if not callable(make) or isinstance(make, nn.Module):
        raise LmamError(
            f"A model is given as a class or a function that makes one, since every run starts from new weights, and "
            f"not as the {type(make).__name__} itself."
        )
    title = re.sub(r"\W+", "_", title).strip("_")
    kind: type[OwnBackbone] = type(title, (OwnBackbone,), {"make": staticmethod(make), "title": title})
    batch = _random(data.widths, (data.longest, max(1, data.longest // 2), 1), data.speakers)
    with torch.random.fork_rng(devices=[]), one_thread():
        seen = []
        for _ in range(2):
            hidden: dict[str, Any] = {kind.widened: width} if width else {}
            model = embed(data.widths, data.outputs, kind, Concat, embedding, data.speakers, seed=0, **hidden)
            parts = model.backbone if embedding == "late" else model.classifier
            if not count(parts):
                raise LmamError(f"{title} has no parameters to train.")
            seen.append(_digest(model, batch))
        if seen[0] != seen[1]:
            raise LmamError(
                f"{title} is another model each time it is made; draw its random numbers with torch alone, whose seed "
                "is set before."
            )
        _check_padding(title, model, batch)
        _check_statistics(title, model, batch)
    name = f"{title}-{seen[0]}"
    register(name)(kind)
    return name


def _asks(call: Callable[..., object], name: str) -> bool:
    """Whether a call has a parameter of this name."""
    try:
        return name in inspect.signature(call).parameters
    except (TypeError, ValueError):  # of what is written in C nothing is known before it is called
        return False


def _takes(call: Callable[..., object], given: tuple[object, ...], named: dict[str, Any], sentence: str) -> None:
    """Raise LmamError with a sentence where a call does not take these arguments."""
    try:
        inspect.signature(call).bind(*given, **named)
    except TypeError as error:
        raise LmamError(f"{sentence} ({error}).") from None
    except ValueError:
        return


def _random(widths: Mapping[str, int], lengths: tuple[int, ...], speakers: int) -> Conversations:
    """Conversations of random numbers, the same every time, in which all speak in turn, padded with zeros."""
    rng = np.random.default_rng(0)
    mask = np.arange(max(lengths)) < np.array(lengths)[:, None]  # (B, L)
    x = {m: rng.standard_normal((*mask.shape, d), np.float32) * mask[..., None] for m, d in widths.items()}
    who = torch.from_numpy(np.arange(max(lengths)) % speakers * mask)
    nothing = torch.zeros(mask.shape, dtype=torch.long)
    return Conversations({m: torch.from_numpy(v) for m, v in x.items()}, who, torch.from_numpy(mask), nothing)


def _digest(model: Embedded, batch: Conversations) -> str:
    """8 hexadecimal digits of a model's outputs and gradients, to four digits, from one seed."""
    torch.manual_seed(0)
    trained = model.train()(batch)
    trained.square().mean().backward()
    gradients = [0.0 if p.grad is None else float(p.grad.norm()) for p in model.parameters()]
    with torch.no_grad():
        used = model.eval()(batch)
    numbers = np.concatenate([trained.detach().flatten(), used.flatten(), gradients])
    return hashlib.sha256(" ".join(f"{v:.3e}" for v in numbers).encode()).hexdigest()[:8]


@torch.no_grad()
def _check_padding(title: str, model: Embedded, batch: Conversations) -> None:
    """Raise LmamError where a conversation's output changes with the longer one beside it."""
    together = model.eval()(batch)  # (B, L, outputs)
    for b, n in enumerate(batch.lengths.tolist()):
        x = {m: v[b : b + 1, :n] for m, v in batch.features.items()}
        alone = model(
            Conversations(x, batch.speaker[b : b + 1, :n], batch.mask[b : b + 1, :n], batch.label[b : b + 1, :n])
        )
        off, largest = float((together[b, :n] - alone[0]).abs().max()), float(alone.abs().max())
        if not off <= TOLERANCE * max(largest, 1.0):
            raise LmamError(
                f"{title} gives a conversation of {n} utterances another output when a longer one shares its batch "
                f"(off by {off:.2g} of {largest:.2g}): keep padding, where the mask is false, and other conversations "
                "out of it."
            )


@torch.no_grad()
def _check_statistics(title: str, model: Embedded, batch: Conversations) -> None:
    """Raise LmamError where a batch is normalised otherwise in training when it is padded further.

    In use a BatchNorm goes by what it kept, so that the check of padding does not see it.
    """
    norms = [m for m in model.modules() if getattr(m, "running_mean", None) is not None]
    if not norms:
        return
    model.eval()  # nothing is dropped: only what keeps statistics is as in training
    for norm in norms:
        norm.train()
    width = batch.mask.shape[1]
    x = {m: nn.functional.pad(v, (0, 0, 0, width)) for m, v in batch.features.items()}
    speaker, mask, label = (nn.functional.pad(v, (0, width)) for v in (batch.speaker, batch.mask, batch.label))
    further, as_is = model(Conversations(x, speaker, mask, label))[:, :width], model(batch)
    off, largest = float((further - as_is).abs().max()), float(as_is.abs().max())
    if not off <= TOLERANCE * max(largest, 1.0):
        raise LmamError(
            f"{title} lets padding into the statistics of its {type(norms[0]).__name__}, which in training change with "
            "the longest conversation of a batch: normalise x[mask] instead."
        )
