"""TFN and LMF beside Justin1904's own, the fusions of MultiBench, and what MM-DFN's authors compare with.

Numbers are compared without what normalises the inputs of sub-networks: theirs is over the batch, ours over features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from lmam_core.batch import Conversations
from lmam_core.models.fusion.lmf import OUT
from lmam_core.models.fusion.subnets import HIDDEN, subnets
from tests.peers import Peer, Shapes, load, rename
from tests.peers.fusions import SMALL, TIMED, UNCOMPARED, ours, placed, rows

ORDER = ("audio", "video", "text")
"""The originals' order of modalities."""
RANK, POST = 4, 32


def _plain_subnets(made: nn.Module, module: object, shapes: Shapes) -> nn.Module:
    """Sub-networks as ours but for the norm: none, and for text what the others have, an utterance being one vector."""
    made.text_subnet = module.SubNet(shapes.widths["text"], HIDDEN["text"], 0)
    for m in ORDER:
        getattr(made, f"{m}_subnet").norm = nn.Identity()
    return made


def _lmf(shapes: Shapes) -> nn.Module:
    widths, hidden = ([of[m] for m in ORDER] for of in (shapes.widths, HIDDEN))
    return load("LMF", "model.py").LMF(widths, hidden, HIDDEN["text"], (0, 0, 0, 0), OUT, RANK)


def _tfn(shapes: Shapes) -> nn.Module:
    widths, hidden = ([of[m] for m in ORDER] for of in (shapes.widths, HIDDEN))
    return _keep(load("TFN", "model.py").TFN(widths, hidden, HIDDEN["text"], (0, 0, 0, 0), POST))


def _keep(made: nn.Module) -> nn.Module:
    """Hold on to what goes into their regression, which is what ours gives."""
    made.post_fusion_layer_3.register_forward_pre_hook(lambda layer, inputs: setattr(made, "fused", inputs[0]))
    return made


def _plain(make: Callable[[Shapes], nn.Module], repository: str) -> Callable[[Shapes], nn.Module]:
    return lambda shapes: _plain_subnets(make(shapes), load(repository, "model.py"), shapes)


def _of_mm_dfn(name: str) -> Callable[[Shapes], nn.Module]:
    """With one linear map a modality where the others have three with ReLU."""

    def make(shapes: Shapes) -> nn.Module:
        widths, hidden = ([of[m] for m in ORDER] for of in (shapes.widths, HIDDEN))
        sizes = (0.0, POST, POST) if name == "TFN" else (0.0, OUT, RANK)
        return getattr(load("MM-DFN", "code/model_fusion.py"), name)(widths, hidden, *sizes)

    return make


class OfMultiBench(nn.Module):
    """Our sub-networks in front of a fusion of MultiBench, and what is behind it."""

    def __init__(self, shapes: Shapes, fusion: nn.Module, behind: nn.Module) -> None:
        super().__init__()
        self.subnets = subnets(shapes.widths, normalise=False)
        self.fusion, self.behind = fusion, behind

    def forward(self, x: Mapping[str, Tensor]) -> Tensor:
        return self.behind(self.fusion([subnet(x[m]) for m, subnet in self.subnets.items()]))


def _lmf_of_multibench(shapes: Shapes) -> nn.Module:
    module = load("MultiBench", "fusions/common_fusions.py")
    fusion = module.LowRankTensorFusion([HIDDEN[m] for m in shapes.widths], OUT, RANK)
    fusion.factors = nn.ParameterList(fusion.factors)  # they stand in a list, where no optimiser finds them
    return OfMultiBench(shapes, fusion, nn.Identity())


def _tfn_of_multibench(shapes: Shapes) -> nn.Module:
    inputs = torch.Size(HIDDEN[m] + 1 for m in shapes.widths).numel()
    behind = nn.Sequential(nn.Linear(inputs, POST), nn.ReLU(), nn.Linear(POST, POST), nn.ReLU())
    return OfMultiBench(shapes, load("MultiBench", "fusions/common_fusions.py").TensorFusion(), behind)


def _call(theirs: nn.Module, some: Conversations) -> Tensor:
    x = rows(some)
    if hasattr(theirs, "fusion"):
        return placed(theirs(x), some)
    if isinstance(getattr(theirs.text_subnet, "rnn", None), nn.LSTM):
        x["text"] = x["text"][:, None]  # a sequence of one word
    output = theirs(*(x[m] for m in ORDER))
    return placed(getattr(theirs, "fused", output), some)


def _factor(ours: Mapping[str, Tensor], m: str) -> Tensor:
    """Our linear map as their factor, (rank, 1 + d, out)."""
    weight, bias = (ours[f"fusion.product.factors.{m}.{part}"] for part in ("weight", "bias"))
    return torch.cat([bias.view(RANK, 1, OUT), weight.view(RANK, OUT, -1).transpose(1, 2)], 1)


def _subnets(ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    named = {f"fusion.subnets.{m}.{2 * k}": f"{m}_subnet.linear_{k + 1}" for m in ORDER for k in range(3)}
    return {rename(n, named): x for n, x in ours.items() if n.startswith("fusion.subnets")}


def lmf_weights(ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors under the names of Justin1904's."""
    found = _subnets(ours) | {f"{m}_factor": _factor(ours, m) for m in ORDER}
    return found | {
        "fusion_weights": ours["fusion.product.share"][None],
        "fusion_bias": ours["fusion.product.bias"][None],
    }


def lmf_weights_of_multibench(ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors under the names of MultiBench's."""
    found = {n.removeprefix("fusion."): x for n, x in ours.items() if n.startswith("fusion.subnets")}
    found |= {f"fusion.factors.{k}": _factor(ours, m) for k, m in enumerate(SMALL.widths)}
    shared = {"fusion.fusion_weights": "share", "fusion.fusion_bias": "bias"}
    return found | {n: ours[f"fusion.product.{x}"][None] for n, x in shared.items()}


def tfn_weights(ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors under the names of Justin1904's, whose tensor has text last."""
    return _subnets(ours) | {
        "post_fusion_layer_1.weight": ours["fusion.tensor"].permute(2, 1, 0).flatten(1),
        "post_fusion_layer_1.bias": ours["fusion.bias"],
        "post_fusion_layer_2.weight": ours["fusion.post.weight"],
        "post_fusion_layer_2.bias": ours["fusion.post.bias"],
    }


def tfn_weights_of_multibench(ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors under the names of MultiBench's, whose tensor has text first."""
    found = {n.removeprefix("fusion."): x for n, x in ours.items() if n.startswith("fusion.subnets")}
    return found | {
        "behind.0.weight": ours["fusion.tensor"].permute(2, 0, 1).flatten(1),
        "behind.0.bias": ours["fusion.bias"],
        "behind.2.weight": ours["fusion.post.weight"],
        "behind.2.bias": ours["fusion.post.bias"],
    }


PEERS = {
    "lmf.justin1904": Peer(ours("lmf", False), _plain(_lmf, "LMF"), _call, lmf_weights, SMALL, TIMED, 1.0),
    "lmf.justin1904_whole": Peer(ours("lmf"), _lmf, _call, lmf_weights, UNCOMPARED, TIMED, 1.0),
    "lmf.multibench": Peer(ours("lmf", False), _lmf_of_multibench, _call, lmf_weights_of_multibench, SMALL, TIMED, 1.0),
    "lmf.mm_dfn": Peer(ours("lmf"), _of_mm_dfn("LMF"), _call, lmf_weights, UNCOMPARED, TIMED, 1.0),
    "tfn.justin1904": Peer(ours("tfn", False), _plain(_tfn, "TFN"), _call, tfn_weights, SMALL, TIMED, 1.0),
    "tfn.justin1904_whole": Peer(ours("tfn"), _tfn, _call, tfn_weights, UNCOMPARED, TIMED, 1.0),
    "tfn.multibench": Peer(ours("tfn", False), _tfn_of_multibench, _call, tfn_weights_of_multibench, SMALL, TIMED, 1.0),
    "tfn.mm_dfn": Peer(ours("tfn"), _of_mm_dfn("TFN"), _call, tfn_weights, UNCOMPARED, TIMED, 1.0),
}
"""`whole`: as published, with batch norms and, for a text of one word, an LSTM."""
