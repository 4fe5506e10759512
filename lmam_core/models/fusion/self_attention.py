"""Self-attention within each modality, which the paper compares LMAM with (Eq. 1 and 2, Fig. 1b)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmam_core.batch import Turns
from lmam_core.models.contracts.fusion import register
from lmam_core.models.fusion.packed import Packed
from lmam_core.models.layers.transformer import Places


@register("self_attention", title="self-attention")
class SelfAttention(Packed):
    """softmax(Q K^T / √d_m) V per modality, side by side, (B, L, Σ d_m); Q, K and V are square maps with a bias.

    One head and no output map: nine times |W^Q| for three modalities, as Fig. 1b counts. Σ_m 3 (d_m^2 + d_m)
    parameters, of which a key's bias changes nothing (softmax takes it out again).
    """

    def __init__(self, widths: Mapping[str, int]) -> None:
        super().__init__(widths, sum(widths.values()))
        self.maps = nn.ModuleDict({m: nn.Linear(d, 3 * d) for m, d in widths.items()})

    @staticmethod
    def size(widths: Mapping[str, int]) -> int:
        return sum(3 * (d * d + d) for d in widths.values())

    def fuse(self, x: Mapping[str, Tensor], places: Places, turns: Turns) -> Tensor:
        out = []
        for m in self.modalities:
            q, k, v = places.pad(self.maps[m](x[m]))[:, None].chunk(3, -1)  # (B, 1, L, d_m) each
            h = F.scaled_dot_product_attention(q, k, v, places.mask[:, None, None])
            out.append(places.pack(h[:, 0]))  # (N, d_m)
        return torch.cat(out, -1)
