"""LMCM's fusion of text and video (Academic Journal of Science and Technology, doi 10.54097/tzf73f09): our reading.

Only its abstract was available, no code. It says that CLIP gives the visual features and DeBERTa-V3-base the text's,
and that "a residual cross-attention and a dual-branch parallel cross-attention mechanism" fuse them. What it leaves
open is decided in `book/paper-vs-code.md`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lmam_core.errors import LmamError, unknown
from lmam_core.models.layers.transformer import Attention, Places


class DyT(nn.Module):
    """w tanh(α x) + b over the last dimension, Dynamic Tanh (Zhu et al., CVPR 2025).

    α is one number, 0.5 at first; w and b are (d,), ones and zeros at first. It stands where a LayerNorm would, and
    looks at each number by itself where that takes mean and deviation of the d. 2 d + 1 parameters.
    """

    def __init__(self, width: int, alpha: float = 0.5) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.tensor(alpha))
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.bias, torch.tanh(self.alpha * x), self.weight)  # (..., d)


NORMS = {"dyt": DyT, "layer": nn.LayerNorm}


class CrossAttention(nn.Module):
    """x + Dropout(Attention(queries, keys)), the keys being the values as well, on packed (N, d) utterances.

    An utterance of one modality asks all utterances that another has in the same conversation. `residual=False` leaves
    the attention alone, so that x itself reaches the output as a question only. 4 d^2 + 3 d parameters.
    """

    def __init__(self, width: int, heads: int, dropout: float, residual: bool = True) -> None:
        super().__init__()
        self.attention, self.dropout, self.residual = Attention(width, heads), nn.Dropout(dropout), residual

    def forward(self, x: Tensor, queries: Tensor, keys: Tensor, places: Places) -> Tensor:
        attended = self.dropout(self.attention(queries, keys, keys, places))  # (N, d)
        return x + attended if self.residual else attended


class LMCM(nn.Module):
    """Residual cross-attention in parallel branches, (B, L, 2 d) for two modalities, d = `width`.

    z_m = W_m x_m + b_m and h_m = Norm_m(z_m); branch (i, j) is u_ij = z_i + Dropout(Attention_ij(h_i, h_j, h_j)). With
    text and video the output is [u_text,video; u_video,text]; `branches=1` keeps the first only. Our reading of an
    abstract.

    `features[m]` is (B, L, d_m), `mask` (B, L) is true where an utterance stands, everywhere if None; the output is
    zero where none does and does not depend on padding. `norm` is `dyt` or `layer`. P branches have
    Σ_m ((d_m + 1) d + norm) + P (4 d^2 + 3 d) parameters. Raises LmamError for a norm, a number of branches or of heads
    that cannot be, and for a batch that lacks a modality.

    >>> deberta, clip = torch.randn(2, 9, 768), torch.randn(2, 9, 512)
    >>> LMCM({"text": 768, "video": 512})({"text": deberta, "video": clip}).shape
    torch.Size([2, 9, 256])
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        *,
        branches: int = 2,
        residual: bool = True,
        norm: str = "dyt",
        width: int = 128,
        heads: int = 4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if not widths:
            raise LmamError("LMCM needs the width of at least one modality.")
        if norm not in NORMS:
            raise unknown("LMCM has no norm", norm, NORMS)
        if branches not in (1, 2):
            raise LmamError(f"LMCM has 2 branches, or 1 where only the first modality asks; got {branches!r}.")
        if heads < 1 or width % heads:
            raise LmamError(f"LMCM's width must be a multiple of its heads; got width {width} and {heads} heads.")
        self.modalities = tuple(widths)
        first = self.modalities[0]
        asking = self.modalities if branches == 2 else (first,)
        # (who asks, who is asked)
        self.pairs = [(i, j) for i in asking for j in widths if i != j] or [(first, first)]
        self.project = nn.ModuleDict({m: nn.Linear(d, width) for m, d in widths.items()})
        self.norm = nn.ModuleDict({m: NORMS[norm](width) for m in widths})
        self.branches = nn.ModuleList(CrossAttention(width, heads, dropout, residual) for _ in self.pairs)
        self.d_out = len(self.pairs) * width

    @staticmethod
    def size(
        widths: Mapping[str, int], branches: int = 2, norm: str = "dyt", width: int = 128, **unsized: float
    ) -> int:
        M, d = len(widths), width
        P = max((M if branches == 2 else 1) * (M - 1), 1)
        norms = M * (2 * d + (norm == "dyt"))
        return sum((n + 1) * d for n in widths.values()) + norms + P * (4 * d * d + 3 * d)

    def forward(self, features: Mapping[str, Tensor], mask: Tensor | None = None) -> Tensor:
        """Fuse the modalities to (B, L, d_out)."""
        if missing := [m for m in self.modalities if m not in features]:
            raise LmamError(f"LMCM was built for {', '.join(self.modalities)}; {', '.join(missing)} is missing.")
        if mask is None:
            first = features[self.modalities[0]]
            mask = torch.ones(first.shape[:2], dtype=torch.bool, device=first.device)
        mask = mask.bool()
        places = Places(mask, mask.flatten().nonzero().squeeze(1))
        return places.pad(self.fuse({m: places.pack(features[m]) for m in self.modalities}, places))  # (B, L, d_out)

    def fuse(self, x: Mapping[str, Tensor], places: Places) -> Tensor:
        """Packed features (N, d_m) per modality to (N, d_out)."""
        z = {m: self.project[m](x[m]) for m in self.modalities}  # (N, d) each
        h = {m: self.norm[m](z[m]) for m in self.modalities}  # (N, d) each
        u = [branch(z[i], h[i], h[j], places) for (i, j), branch in zip(self.pairs, self.branches, strict=True)]
        return torch.cat(u, -1)  # (N, d_out)
