"""Our fusion methods against public implementations, run side by side as `tests.peers` does it with backbones.

`python -m tests.peers.fusions golden` writes `tests/golden/fusions/<peer>.json`, to which
`tests/core/models/fusion/test_golden.py` holds ours without the originals; `python -m tests.peers.fusions speed` writes
`data/fusion_peers.csv`. A peer is called `<method>.<implementation>`. One whose `golden` has no lengths is timed alone:
in front of its fusion, which another peer compares, stands something that ours does not have. `PEERLESS` says of the
other methods why they have no peer.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from unittest import mock

import torch
from torch import Tensor, nn

from lmam_core.batch import Conversations
from lmam_core.models.fusion import Fusion, build
from lmam_core.models.fusion.subnets import SubNet
from tests.peers import LENGTHS, Peer, Shapes, load

SMALL = Shapes({"text": 6, "audio": 3, "video": 4}, LENGTHS)
UNCOMPARED = Shapes({}, ())
TIMED = Shapes({"text": 100, "audio": 100, "video": 512}, (80,) * 32)
"""2,560 utterances in conversations of one length, since most of the originals know no padding."""

PEERLESS = {
    **dict.fromkeys(("add", "concat"), "one operation of torch"),
    **dict.fromkeys(("dual_lmf", "att_lmf", "lmf_mult", "cmcf_srnet"), "no public code was found"),
    **dict.fromkeys(("lora_random", "lora_trained"), "a way to train a model, not a fusion"),
    **dict.fromkeys(("lmcm", "lmcm_single", "lmcm_plain", "lmcm_layer_norm"), "no public code was found"),
}
"""Why a method of `lmam_core.models.fusion` stands beside no implementation but ours."""


class Fused(nn.Module):
    """A fusion method, and its auxiliary outputs where it has some, on a batch: (B, L, d_out + K d_auxiliary)."""

    def __init__(self, fusion: Fusion) -> None:
        super().__init__()
        self.fusion = fusion

    def forward(self, some: Conversations) -> Tensor:
        fused = self.fusion(some.features, some.turns)
        if self.fusion.d_auxiliary:
            fused = torch.cat([fused, *self.fusion.auxiliary(some.features, some.turns)], -1)
        return fused


def ours(name: str, normalise: bool = True) -> Callable[[Shapes], nn.Module]:
    """Makes a fusion method of ours with its own defaults; if asked, without the norm in front of its sub-networks."""

    def make(shapes: Shapes) -> nn.Module:
        made = Fused(build(name, shapes.widths))
        for module in made.modules():
            if isinstance(module, SubNet):
                module.normalise = normalise
        return made

    return make


def fusion_peers() -> dict[str, Peer]:
    """Every adapter of this package, by `<method>.<implementation>`."""
    found = {}
    for module in pkgutil.iter_modules(__path__):
        if module.name != "__main__":
            found |= importlib.import_module(f"{__name__}.{module.name}").PEERS
    return found


def read(fused: Tensor, outputs: int) -> Tensor:
    """Scores from fused utterances by fixed waves over their columns, (B, L, d) to (B, L, outputs)."""
    column = torch.arange(fused.shape[-1], dtype=fused.dtype)[:, None]
    return fused @ torch.cos(column * (1 + torch.arange(outputs)) + column**2) / len(column) ** 0.5


def from_root(repository: str, path: str) -> ModuleType:
    """`load` for a file that imports from the root of its checkout, in a package whose name two checkouts share."""
    root = os.path.join(os.environ.get("LMAM_ORIGINALS", ""), repository)
    with mock.patch.dict(sys.modules), mock.patch.object(sys, "path", [root, *sys.path]):
        return load(repository, path)


def rows(some: Conversations) -> dict[str, Tensor]:
    """The utterances of a batch one behind the other, (N, d_m)."""
    return {m: x[some.mask] for m, x in some.features.items()}


def placed(fused: Tensor, some: Conversations) -> Tensor:
    """Packed utterances (N, d) in their places, (B, L, d)."""
    return fused.new_zeros(*some.mask.shape, fused.shape[-1]).index_put((some.mask,), fused)


def unpadded(call: Callable[[Mapping[str, Tensor]], Tensor], some: Conversations) -> Tensor:
    """What a model that knows no padding makes of a batch: one conversation at a time, unless all are full."""
    if some.mask.all():
        return call(some.features)
    each = [call({m: x[b : b + 1, :n] for m, x in some.features.items()})[0] for b, n in enumerate(some.lengths)]
    return placed(torch.cat(each), some)
