"""Our small 3D-CNN, with the linear layer to 512 that the paper puts behind one (LMAM, Section III-B)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

FRAMES, SIDE = 16, 64
"""Frames of a clip and pixels of a frame's side."""


class CNN3D(nn.Module):
    """Four 3 x 3 x 3 convolutions with pooling between them, a mean over space and time, a linear layer.

    (B, 3, 16, 64, 64) in 0..1 to (B, 512). The paper names a 3D-CNN without its sizes; these are ours. Time is first
    pooled in the second block, as in C3D (Tran et al., 2015), so that short movements survive the first one.
    """

    def __init__(self, width: int = 512) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inside, outside, time in ((3, 16, 1), (16, 32, 2), (32, 64, 2), (64, 128, 2)):
            layers += [nn.Conv3d(inside, outside, 3, padding=1), nn.ReLU(), nn.MaxPool3d((time, 2, 2))]
        self.convolutions = nn.Sequential(*layers)
        self.linear = nn.Linear(128, width)

    def forward(self, clips: Tensor) -> Tensor:
        """(B, 3, T, H, W) to (B, width)."""
        x = self.convolutions(clips - 0.5)  # (B, 128, T / 8, H / 16, W / 16)
        return self.linear(x.mean((2, 3, 4)))


def seeded(seed: int) -> CNN3D:
    """The network with the weights that PyTorch draws from `seed`; the caller's generator stays where it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CNN3D()
