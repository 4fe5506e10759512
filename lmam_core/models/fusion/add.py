"""Addition of modalities, the "Add" of Table IX, for which the paper cites CTNet (Lian et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from lmam_core.batch import Turns
from lmam_core.models.contracts.fusion import register
from lmam_core.models.fusion.packed import Packed, matched
from lmam_core.models.layers.transformer import Places


@register("add", title="addition")
class Add(Packed):
    """y = Σ_m P_m x_m, (B, L, width), with P_m x = x for modalities as wide as the widest.

    The paper calls it a "classical add operation" (Section V-E) and prints no equation; CTNet's text was not available.
    That it is a plain sum is read off the name. Decided by us: P_m is a linear map to the widest modality where d_m is
    another width, since nothing else can be added, and no weight stands before a term. Σ_m (d_m + 1) width parameters
    over those, none for equal widths.
    """

    def __init__(self, widths: Mapping[str, int]) -> None:
        super().__init__(widths, max(widths.values()))
        self.project = matched(widths, self.d_out)

    @staticmethod
    def size(widths: Mapping[str, int]) -> int:
        width = max(widths.values())
        return sum((d + 1) * width for d in widths.values() if d != width)

    def fuse(self, x: Mapping[str, Tensor], places: Places, turns: Turns) -> Tensor:
        return sum(self.project[m](x[m]) for m in self.modalities)  # (N, width)
