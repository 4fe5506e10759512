"""Dropout with cheap random numbers on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def keep_mask(like: Tensor, shape: tuple[int, ...], p: float) -> Tensor:
    """A mask of dropout: 0 with probability p, else 1 / (1 - p), of a shape and in the type and place of `like`.

    On a CPU from 16 random bits per value, so that p is met to 1 in 131,072; torch's own takes 64 bits and more there,
    which was a fifth of the time of encoders of 30 columns.
    """
    gone = round(p * 2**16)
    if like.device.type != "cpu" or not 0 < gone < 2**16:
        return F.dropout(like.new_ones(shape), p)
    count = torch.Size(shape).numel()
    bits = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)[:count]
    return (bits >= gone - 2**15).to(like.dtype).mul_(1 / (1 - gone / 2**16)).view(shape)


class Dropout(nn.Dropout):
    """`nn.Dropout` by `keep_mask`."""

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or not self.training or self.p == 0:
            return super().forward(x)
        return x * keep_mask(x, tuple(x.shape), self.p)
