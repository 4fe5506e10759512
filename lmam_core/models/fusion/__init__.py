"""The fusion methods, one class a file; `build` makes one by name.

Contract: `Fusion(widths, **options)` with `widths[m]` = d_m in the order of concatenation, an attribute `d_out`, and
`forward(features: dict[str, Tensor (B, L, d_m)], mask: Tensor (B, L)) -> Tensor (B, L, d_out)`. Those that want more:

* with `takes_turns = True`, `forward(features, turns)` is given `Turns` in the place of the mask: who speaks, and
  lengths on the CPU, which `packed.Packed` needs;
* with `d_auxiliary`, `auxiliary(features, turns)` gives (K, B, L, d_auxiliary), from each of which the labels are to be
  predicted in training as well, by one more linear map (AuxFormer);
* a `Method` with a `base` is concatenation in a model that is then frozen and adapted (LoRA).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

from lmam_core.errors import LmamError
from lmam_core.models.fusion.add import Add
from lmam_core.models.fusion.att_lmf import AttLmf
from lmam_core.models.fusion.auxformer import AuxFormer
from lmam_core.models.fusion.cmcf_srnet import CmcfSrnet
from lmam_core.models.fusion.concat import Concat
from lmam_core.models.fusion.cross_modal import CrossModal
from lmam_core.models.fusion.dual_lmf import DualLmf
from lmam_core.models.fusion.lmcm import Lmcm
from lmam_core.models.fusion.lmf import Lmf
from lmam_core.models.fusion.lmf_mult import LmfMult
from lmam_core.models.fusion.self_attention import SelfAttention
from lmam_core.models.fusion.tfn import Tfn
from lmam_core.models.lmam import LMAM


@dataclass(frozen=True)
class Method:
    """A fusion method: how it is made, and which fields of an experiment mean something to it.

    `rank` is the one it has unless another is asked for, None where it has none; `base` is what LoRA freezes, a model
    at its `random` first values or a `trained` one, and empty for all others.
    """

    make: Callable[..., nn.Module]
    options: tuple[str, ...] = ()
    rank: int | None = None
    base: str = ""


FUSIONS: dict[str, Method] = {
    "add": Method(Add),
    "concat": Method(Concat),
    "tfn": Method(Tfn),
    "lmf": Method(Lmf, options=("rank",), rank=4),
    "dual_lmf": Method(DualLmf, options=("rank",), rank=4),
    "att_lmf": Method(AttLmf, options=("rank",), rank=4),
    "lmf_mult": Method(LmfMult, options=("rank",), rank=4),
    "auxformer": Method(AuxFormer),
    "cmcf_srnet": Method(CmcfSrnet),
    "self_attention": Method(SelfAttention),
    "cross_modal": Method(CrossModal),
    "lora_random": Method(Concat, rank=8, base="random"),
    "lora_trained": Method(Concat, rank=8, base="trained"),
    "lmam": Method(LMAM, options=("rank", "variant", "keys", "scale", "weight", "combine"), rank=45),
    "lmcm": Method(Lmcm),
    "lmcm_single": Method(partial(Lmcm, branches=1)),
    "lmcm_plain": Method(partial(Lmcm, residual=False)),
    "lmcm_layer_norm": Method(partial(Lmcm, norm="layer")),
}
"""In the order of the paper's Table IX; self-attention and MulT's cross-modal attention are not in it, nor is the
second paper's LMCM, with which stand its parts taken away one at a time."""


def method(name: str) -> Method:
    """The fusion method of this name; raises LmamError where there is none."""
    if name not in FUSIONS:
        raise LmamError(f"There is no fusion method '{name}'; choose one of {', '.join(FUSIONS)}.")
    return FUSIONS[name]


def build(name: str, widths: Mapping[str, int], **options: Any) -> nn.Module:
    """Make a fusion module; options that the method does not have raise LmamError, those that are None are left out."""
    chosen = method(name)
    given = {k: v for k, v in options.items() if v is not None}
    for k in given:
        if k not in chosen.options:
            raise LmamError(f"Fusion '{name}' has no option '{k}'.")
    return chosen.make(widths, **given)
