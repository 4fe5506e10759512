"""LMF-MulT (Sahay et al. 2020, arXiv 2007.02038): a low-rank fused signal and the modalities attend to each other."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lmam_core.batch import Turns
from lmam_core.models.contracts.fusion import register
from lmam_core.models.fusion.lmf import LowRankProduct
from lmam_core.models.fusion.packed import Packed
from lmam_core.models.fusion.subnets import normalised
from lmam_core.models.layers.initialisation import unit_gain
from lmam_core.models.layers.transformer import Places, Stacks


@register("lmf_mult", title="LMF-MulT", options=("rank",), rank=4)
class LmfMult(Packed):
    """Each modality attends to LMF's signal, and the signal to each modality, (B, L, 2 M 30).

        z_m = P_m norm(x_m), 30 wide;  f = Σ_i s_i Π_m (W_m^(i) [1; z_m]) + b, 30 wide     Liu et al. 2018, Eq. 9 and 10
        y = [CM(z_1, f); ...; CM(z_M, f); CM(f, z_1); ...; CM(f, z_M)]               CM: Tsai et al. 2019, Eq. 4

    CM(x, s) has its queries from x and its keys and values from s. No code is public and the paper's own equations were
    not available; the abstract has modalities attend to "latent multimodal emotional intentions and vice versa", by
    low-rank fusion and multimodal Transformers. Decided by us: both directions side by side, with nothing behind them;
    MulT's 30 columns, 5 heads, 5 layers, positions and dropout of 0.1, and LMF's product of rank 4 without
    sub-networks, whose place the 30 columns take, but with the layer norm that stands in front of those (`SubNet`), and
    P_m with a gain of 1, so that f is as large as the z_m at the start. A single modality is fine.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        rank: int = 4,
        width: int = 30,
        heads: int = 5,
        layers: int = 5,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(widths, 2 * len(widths) * width)
        self.project = nn.ModuleDict({m: unit_gain(nn.Linear(d, width, bias=False)) for m, d in widths.items()})
        self.product = LowRankProduct(dict.fromkeys(widths, width), rank, width)
        self.cross = Stacks(2 * len(widths), width, heads, layers, dropout)

    @staticmethod
    def size(widths: Mapping[str, int], rank: int = 4, width: int = 30, layers: int = 5, **unsized: float) -> int:
        M = len(widths)
        product = LowRankProduct.size([width] * M, rank, width)
        return width * sum(widths.values()) + product + Stacks.size(2 * M, width, layers)

    def fuse(self, x: Mapping[str, Tensor], places: Places, turns: Turns) -> Tensor:
        z = {m: self.project[m](normalised(x[m])) for m in self.modalities}  # (N, width) each
        each = torch.stack(list(z.values()))  # (M, N, width)
        fused = self.product(z).expand_as(each)  # (M, N, width)
        query, source = torch.cat([each, fused]), torch.cat([fused, each])  # (2 M, N, width)
        return self.cross(query, places, source[:, None]).transpose(0, 1).flatten(1)  # (N, d_out)
