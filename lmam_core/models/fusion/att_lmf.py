"""Att-LMF (Zhu et al., Wireless Communications and Mobile Computing 2020): attention, then low-rank fusion."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from lmam_core.batch import Turns
from lmam_core.models.contracts.fusion import register
from lmam_core.models.fusion.lmf import OUT, Lmf, LowRankProduct
from lmam_core.models.fusion.packed import Packed
from lmam_core.models.fusion.self_attention import SelfAttention
from lmam_core.models.fusion.subnets import HIDDEN, subnets
from lmam_core.models.layers.transformer import Places


@register("att_lmf", title="Att-LMF", options=("rank",), rank=4)
class AttLmf(Packed):
    """z_m + softmax(Q K^T / √h_m) V per modality, then LMF's low-rank product, (B, L, 64).

        u_m = SubNet_m(x_m), h_m wide;  [Q_m, K_m, V_m] = u_m W_m + c_m
        z_m = u_m + softmax(Q_m K_m^T / √h_m) V_m              Vaswani et al. 2017, Eq. 1, and a residual
        y = Σ_i s_i Π_m (W_m^(i) [1; z_m]) + b                 Liu et al. 2018, Eq. 9 and 10

    No code is public and the paper's equations were not available; its abstract names a low-rank tensor fusion with an
    attention mechanism that catches global and local connections. Decided by us, from that: that the two equations
    above are put one behind the other; self-attention of one head over the conversation, on what LMF's sub-networks
    give, with a residual, which is the local connection; no positions, no dropout of its own, rank 4 as in LMF. LMF's
    parameters and Σ_m 3 (h_m^2 + h_m), of which a key's bias changes nothing (softmax takes it out again).
    """

    def __init__(self, widths: Mapping[str, int], rank: int = 4) -> None:
        super().__init__(widths, OUT)
        self.subnets = subnets(widths)
        self.maps = nn.ModuleDict({m: nn.Linear(HIDDEN[m], 3 * HIDDEN[m]) for m in widths})
        self.product = LowRankProduct({m: HIDDEN[m] for m in widths}, rank, OUT)

    @staticmethod
    def size(widths: Mapping[str, int], rank: int = 4) -> int:
        return Lmf.size(widths, rank) + SelfAttention.size({m: HIDDEN[m] for m in widths})

    def fuse(self, x: Mapping[str, Tensor], places: Places, turns: Turns) -> Tensor:
        z = {}
        for m in self.modalities:
            h = self.subnets[m](x[m])  # (N, h_m)
            q, k, v = places.pad(self.maps[m](h))[:, None].chunk(3, -1)  # (B, 1, L, h_m) each
            seen = F.scaled_dot_product_attention(q, k, v, places.mask[:, None, None])
            z[m] = h + places.pack(seen[:, 0])
        return self.product(z)  # (N, out)
