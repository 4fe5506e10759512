"""Dual-LMF (Jin et al., Findings of EMNLP 2020): low-rank fusion along features and along time. A reading of ours."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmam_core.batch import Turns
from lmam_core.models.contracts.fusion import register
from lmam_core.models.fusion.lmf import OUT, Lmf, LowRankProduct
from lmam_core.models.fusion.packed import Packed
from lmam_core.models.fusion.subnets import HIDDEN, subnets
from lmam_core.models.layers.transformer import Places


@register("dual_lmf", title="Dual-LMF", options=("rank",), rank=4)
class DualLmf(Packed):
    """h_t = Σ_q p_q (Σ_i s_i Π_m Σ_k τ_m^(q)[k] (W_m^(i) [1; z_m,t+k]) + b), (B, L, 64).

    No code is public and the paper's equations were not available: the formula is ours, with LMF's of Liu et al. 2018,
    Eq. 9 and 10, inside. Its abstract says that tensors correlate single time steps of the modalities with each other,
    and that this is approximated by low rank along both dimensions of the input. That is what the sum above is: a
    weight for every combination of an utterance of each modality around t, of time rank Q, times LMF's weights for
    every combination of features, of rank r. Decided by us: `reach` 2, so that each modality gives five utterances;
    kernels τ over the distance, since conversations have no common length; Q = 2; beyond the ends of the conversation
    there is nothing; sub-networks and rank 4 as in LMF; τ starts Gaussian with variance 1 / (2 reach + 1), and p like
    LMF's s.
    LMF's parameters, and M Q (2 reach + 1) + Q.
    """

    def __init__(self, widths: Mapping[str, int], rank: int = 4, time_rank: int = 2, reach: int = 2) -> None:
        super().__init__(widths, OUT)
        self.subnets = subnets(widths)
        self.product = LowRankProduct({m: HIDDEN[m] for m in widths}, rank, OUT)
        self.reach = reach
        span = 2 * reach + 1
        self.time = nn.ParameterDict({m: torch.randn(time_rank, span) * span**-0.5 for m in widths})
        self.time_share = nn.Parameter(torch.randn(time_rank) * (2 / (1 + time_rank)) ** 0.5)

    @staticmethod
    def size(widths: Mapping[str, int], rank: int = 4, time_rank: int = 2, reach: int = 2) -> int:
        return Lmf.size(widths, rank) + len(widths) * time_rank * (2 * reach + 1) + time_rank

    def fuse(self, x: Mapping[str, Tensor], places: Places, turns: Turns) -> Tensor:
        L = places.mask.shape[1]
        mixed = []
        for m in self.modalities:
            y = places.pad(self.product.factors[m](self.subnets[m](x[m])))  # (B, L, rank out)
            y = F.pad(y, (0, 0, self.reach, self.reach))  # (B, L + 2 reach, rank out)
            near = torch.stack([y[:, k : k + L] for k in range(2 * self.reach + 1)], -2)  # (B, L, span, rank out)
            mixed.append(self.time[m] @ places.pack(near.flatten(2)).unflatten(1, near.shape[2:]))  # (N, Q, rank out)
        return torch.matmul(self.time_share, self.product.reduce(mixed))  # (N, out)
