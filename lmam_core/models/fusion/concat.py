"""Concatenation, the fusion that the paper's baselines use (Cambria et al. 2018, cited as [2])."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class Concat(nn.Module):
    """y = [x_text; x_audio; x_video], (B, L, Σ d_m); no parameters.

    Fig. 1a and Section I of the paper, which say it in words and print no equation. The operation leaves nothing open
    but the order of the modalities, which is that of `widths`.
    """

    def __init__(self, widths: Mapping[str, int]) -> None:
        super().__init__()
        self.modalities = tuple(widths)
        self.d_out = sum(widths.values())

    def forward(self, features: Mapping[str, Tensor], mask: Tensor | None = None) -> Tensor:
        return torch.cat([features[m] for m in self.modalities], -1)  # (B, L, Σ d_m)
