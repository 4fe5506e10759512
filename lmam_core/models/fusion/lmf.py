"""Low-rank Multimodal Fusion (Liu et al., ACL 2018), the "LFM" of the paper's Table IX."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from lmam_core.batch import Turns
from lmam_core.errors import LmamError
from lmam_core.models.contracts.fusion import register
from lmam_core.models.contracts.parts import ModuleDict
from lmam_core.models.fusion.packed import Packed
from lmam_core.models.fusion.subnets import HIDDEN, SubNet, subnets
from lmam_core.models.layers.transformer import Places

OUT = 64
"""The width of the fused vector, that of the text sub-network; in LMF's own tasks it is the number of outputs."""


class LowRankProduct(nn.Module):
    """h = Σ_i s_i Π_m (W_m^(i) [1; z_m]) + b for i = 1 .. rank, (..., d_m) per modality to (..., out).

    Liu et al. 2018, Eq. 9 and 10: the product of the outer product ⊗_m [1; z_m] with a weight tensor, which is a sum of
    `rank` outer products of factors, of which neither is built. Σ_m rank (d_m + 1) out + rank + out parameters. Raises
    LmamError for a rank below 1.

    It starts with a gain of about 1 for any number of modalities: for z_m of mean square 1, weights of N(0, 1 / (1 +
    d_m)) give each factor's result the mean square 1 too, products of independent ones keep it, and s of variance
    2 / (1 + rank) makes their sum 2 rank / (1 + rank), from 1 to 2. The start of a linear map, a third of that variance
    a factor, would leave a fifth of the size with three modalities. The public code starts factors by `xavier_normal_`
    of a 3-D tensor, whose fans are not those of the map, and s as here.
    """

    def __init__(self, widths: Mapping[str, int], rank: int, out: int) -> None:
        super().__init__()
        if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
            raise LmamError(f"The rank of a low-rank fusion must be a whole number from 1; got {rank!r}.")
        self.rank, self.out = rank, out
        # The bias of a linear map is the factor's row that meets the 1.
        self.factors = ModuleDict({m: nn.Linear(d, rank * out) for m, d in widths.items()})
        for m, factor in self.factors.items():
            for p in factor.parameters():
                nn.init.normal_(p, std=(1 + widths[m]) ** -0.5)
        self.share = nn.Parameter(torch.randn(rank) * (2 / (1 + rank)) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(out))

    @staticmethod
    def size(widths: Iterable[int], rank: int, out: int) -> int:
        return sum(rank * (d + 1) * out for d in widths) + rank + out

    def forward(self, z: Mapping[str, Tensor]) -> Tensor:
        return self.reduce(factor(z[m]) for m, factor in self.factors.items())

    def reduce(self, mapped: Iterable[Tensor]) -> Tensor:
        """The product over modalities of what their factors give, (..., rank out) each, and the sum over i."""
        first, *others = mapped
        for y in others:
            first = first * y
        return torch.matmul(self.share, first.unflatten(-1, (self.rank, self.out))) + self.bias  # (..., out)

    @torch.no_grad()
    def tensor(self) -> Tensor:
        """The weight tensor that the factors stand for, (1 + d_1, ..., 1 + d_M, out)."""
        full = self.share[:, None]  # (rank, out), then one axis per modality before the last
        for factor in self.factors.values():
            rows = torch.cat([factor.bias[None], factor.weight.T]).unflatten(1, (self.rank, self.out))  # (1+d, r, out)
            full = full[..., None, :] * rows.permute(1, 0, 2).view(self.rank, *[1] * (full.dim() - 2), len(rows), -1)
        return full.sum(0)


@register("lmf", title="LMF", options=("rank",), rank=4)
class Lmf(Packed):
    """LMF: sub-networks, then the low-rank product, (B, L, 64).

    As in Justin1904/Low-rank-Multimodal-Fusion (ea47551), which searches ranks 1, 4, 8 and 16; 4 here.
    """

    def __init__(self, widths: Mapping[str, int], rank: int = 4) -> None:
        super().__init__(widths, OUT)
        self.subnets = subnets(widths)
        self.product = LowRankProduct({m: HIDDEN[m] for m in widths}, rank, OUT)

    @staticmethod
    def size(widths: Mapping[str, int], rank: int = 4) -> int:
        return SubNet.size(widths) + LowRankProduct.size([HIDDEN[m] for m in widths], rank, OUT)

    def fuse(self, x: Mapping[str, Tensor], places: Places, turns: Turns) -> Tensor:
        return self.product({m: self.subnets[m](x[m]) for m in self.modalities})  # (N, out)
