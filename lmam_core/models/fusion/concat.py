"""Concatenation, the fusion that the paper's baselines use (Cambria et al. 2018, cited as [2])."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lmam_core.batch import Turns
from lmam_core.models.contracts.fusion import Fusion, register


@register("concat", title="concatenation")
class Concat(Fusion):
    """y = [x_text; x_audio; x_video], (B, L, Σ d_m); no parameters.

    Fig. 1a and Section I of the paper, which say it in words and print no equation. The operation leaves nothing open
    but the order of the modalities, which is that of `widths`.
    """

    def __init__(self, widths: Mapping[str, int]) -> None:
        super().__init__()
        self.modalities = tuple(widths)
        self.d_out = sum(widths.values())

    @staticmethod
    def size(widths: Mapping[str, int]) -> int:
        return 0

    def forward(self, features: Mapping[str, Tensor], turns: Turns) -> Tensor:
        return torch.cat([features[m] for m in self.modalities], -1)  # (B, L, Σ d_m)
