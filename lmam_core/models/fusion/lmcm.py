"""LMCM among the fusion methods: `lmam_core.models.lmcm.LMCM`, handed utterances without padding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lmam_core.batch import Turns
from lmam_core.models.contracts.fusion import register
from lmam_core.models.fusion.packed import Packed
from lmam_core.models.layers.transformer import Places
from lmam_core.models.lmcm import LMCM


@register("lmcm", title="LMCM")
@register("lmcm_single", title="LMCM, one branch", fixed={"branches": 1})
@register("lmcm_plain", title="LMCM, no residual", fixed={"residual": False})
@register("lmcm_layer_norm", title="LMCM, LayerNorm", fixed={"norm": "layer"})
class Lmcm(Packed):
    """Residual cross-attention in parallel branches, (B, L, P 128) for P of them; options and equations are LMCM's."""

    def __init__(self, widths: Mapping[str, int], **options: Any) -> None:
        whole = LMCM(widths, **options)
        super().__init__(widths, whole.d_out)
        self.whole = whole

    @staticmethod
    def size(widths: Mapping[str, int], **options: Any) -> int:
        return LMCM.size(widths, **options)

    def fuse(self, x: Mapping[str, Tensor], places: Places, turns: Turns) -> Tensor:
        return self.whole.fuse(x, places)  # (N, d_out)
