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

Make = Callable[[int, int], nn.Module]
"""`make(width, outputs)`: a new module that turns x (B, L, width) and mask (B, L), true where an utterance stands, into
(B, L, outputs)."""
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
        self.encoders = nn.ModuleDict({m: _Masked(type(self), d, hidden) for m, d in widths.items()} if late else {})
        self.d_out = dict.fromkeys(widths, hidden) if late else dict(widths)

    def forward(self, streams: Mapping[str, Tensor], turns: Turns) -> dict[str, Tensor]:
        return {m: self.encoders[m](x, turns) if self.encoders else x for m, x in streams.items()}

    def classifier(self, width: int, outputs: int) -> nn.Module:
        """The reader's whole model, or behind their encoders a linear layer."""
        return PerUtterance(nn.Linear(width, outputs)) if self.encoders else _Masked(type(self), width, outputs)


class _Masked(nn.Module):
    """A module of the reader's: its output checked, and 0 where no utterance stands."""

    def __init__(self, of: type[OwnBackbone], width: int, outputs: int) -> None:
        super().__init__()
        self.title, self.outputs = of.title, outputs
        _takes(of.make, (width, outputs), f"{of.title} must be called as {of.title}(width, outputs)")
        self.net = of.make(width, outputs)
        if not isinstance(self.net, nn.Module):
            raise LmamError(f"{of.title}(width, outputs) must return an nn.Module; got {type(self.net).__name__}.")
        _takes(self.net.forward, (None, None), f"The forward of {of.title} must take x and mask, forward(x, mask)")

    def forward(self, x: Tensor, turns: Turns) -> Tensor:
        y = self.net(x, turns.mask)
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
    changes with what shares its batch, and one that differs when it is made again from the same seed.
    """
    title = getattr(make, "__name__", type(make).__name__)
    if not callable(make) or isinstance(make, nn.Module):
        raise LmamError(
            f"A model is given as a class or a function that makes one, since every run starts from new weights, and "
            f"not as the {type(make).__name__} itself."
        )
    title = re.sub(r"\W+", "_", title).strip("_")
    kind: type[OwnBackbone] = type(title, (OwnBackbone,), {"make": staticmethod(make), "title": title})
    batch = _random(data.widths, (data.longest, max(1, data.longest // 2), 1))
    with torch.random.fork_rng(devices=[]), one_thread():
        seen = []
        for _ in range(2):
            hidden: dict[str, Any] = {kind.widened: width} if width else {}
            model = embed(data.widths, data.outputs, kind, Concat, embedding, seed=0, **hidden)
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
    name = f"{title}-{seen[0]}"
    register(name)(kind)
    return name


def _takes(call: Callable[..., object], given: tuple[object, ...], sentence: str) -> None:
    """Raise LmamError with a sentence where a call does not take these arguments."""
    try:
        inspect.signature(call).bind(*given)
    except TypeError as error:
        raise LmamError(f"{sentence} ({error}).") from None
    except ValueError:  # of what is written in C nothing is known before it is called
        return


def _random(widths: Mapping[str, int], lengths: tuple[int, ...]) -> Conversations:
    """Conversations of random numbers, the same every time, padded with zeros."""
    rng = np.random.default_rng(0)
    mask = np.arange(max(lengths)) < np.array(lengths)[:, None]  # (B, L)
    x = {m: rng.standard_normal((*mask.shape, d), np.float32) * mask[..., None] for m, d in widths.items()}
    nobody = torch.zeros(mask.shape, dtype=torch.long)
    return Conversations({m: torch.from_numpy(v) for m, v in x.items()}, nobody, torch.from_numpy(mask), nobody)


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
