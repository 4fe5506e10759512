"""Cross-modal attention: the Transformer of MulT (Tsai et al., ACL 2019) between every two modalities."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lmam_core.batch import Turns
from lmam_core.models.contracts.fusion import register
from lmam_core.models.fusion.packed import Packed
from lmam_core.models.layers.transformer import Places, Stacks


@register("cross_modal", title="cross-modal attention")
class CrossModal(Packed):
    """Each modality attends to each other one, then to itself, (B, L, M (M - 1) 30).

    Tsai et al. 2019, Section 3, CM by its Eq. 4: x_m → 30 columns; Z_(j → m) = CM_(j → m)(x_m, x_j) for j ≠ m; side by
    side in z_m; SA_m(z_m); all z_m side by side. 30 wide, 5 heads and 5 layers as in yaohungt/Multimodal-Transformer
    (a670936, MIT), held to its numbers by a test. Every utterance keeps its own output, where MulT takes the last step
    for the whole sequence; its residual block behind is left to the backbone's classifier. Dropout 0.1 in the
    encoders alone, where MulT also drops inputs and attention weights. Utterances see the whole conversation, as in the
    paper; its training script hides what follows unless told otherwise. A single modality attends to itself.
    """

    query: Tensor
    source: Tensor

    def __init__(
        self, widths: Mapping[str, int], width: int = 30, heads: int = 5, layers: int = 5, dropout: float = 0.1
    ) -> None:
        M = len(widths)
        own = max(M - 1, 1) * width
        super().__init__(widths, M * own)
        self.project = nn.ModuleDict({m: nn.Linear(d, width, bias=False) for m, d in widths.items()})
        pairs = [(i, j) for i in range(M) for j in range(M) if i != j]
        # Which modality attends to which, (M (M - 1),) each.
        for name, side in (("query", 0), ("source", 1)):
            self.register_buffer(name, torch.tensor([p[side] for p in pairs], dtype=torch.long), persistent=False)
        self.cross = Stacks(len(pairs), width, heads, layers, dropout) if pairs else None
        self.own = Stacks(M, own, heads, layers, dropout)

    @staticmethod
    def size(widths: Mapping[str, int], width: int = 30, layers: int = 5, **unsized: float) -> int:
        M = len(widths)
        encoders = Stacks.size(M * (M - 1), width, layers) + Stacks.size(M, max(M - 1, 1) * width, layers)
        return width * sum(widths.values()) + encoders

    def fuse(self, x: Mapping[str, Tensor], places: Places, turns: Turns) -> Tensor:
        z = torch.stack([self.project[m](x[m]) for m in self.modalities])  # (M, N, width)
        M = len(z)
        if self.cross is not None:
            z = self.cross(z[self.query], places, z[self.source][:, None])  # (M (M - 1), N, width)
            z = z.unflatten(0, (M, M - 1)).transpose(1, 2).flatten(2)  # (M, N, (M - 1) width)
        return self.own(z, places).transpose(0, 1).flatten(1)  # (N, d_out)
