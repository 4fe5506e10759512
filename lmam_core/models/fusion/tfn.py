"""Tensor Fusion Network (Zadeh et al., EMNLP 2017)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmam_core.batch import Turns
from lmam_core.models.contracts.fusion import register
from lmam_core.models.fusion.packed import Packed
from lmam_core.models.fusion.subnets import HIDDEN, SubNet, subnets
from lmam_core.models.layers.initialisation import he
from lmam_core.models.layers.transformer import Places


@register("tfn", title="TFN")
class Tfn(Packed):
    """z = ⊗_m [1; h_m], then two linear maps with ReLU, (B, L, post); h_m comes from sub-networks.

    Zadeh et al. 2017, Section 4.2 (equation numbers were not available): all products of features of all subsets of
    modalities, of which W is one matrix.
    h 64 for text and 16 for others, post 32 as in Justin1904/TensorFusionNetworks (ef0e78b), whose third map and
    sigmoid the backbone's classifier stands for. (Π_m (h_m + 1) + 1) post + (post + 1) post parameters behind the
    sub-networks.

    Both maps start with He's weights and no bias, since ReLU stands behind them: z has Π_m (h_m + 1) entries of mean
    square 1, as `SubNet` starts, and that is what comes out.

    z itself is never built: the widest modality meets W first, and the outer product of the others what is left, which
    takes the same operations and a fraction of the memory.
    """

    def __init__(self, widths: Mapping[str, int], post: int = 32) -> None:
        super().__init__(widths, post)
        self.subnets = subnets(widths)
        self.widest, *self.others = sorted(widths, key=lambda m: HIDDEN[m], reverse=True)
        rest = math.prod(HIDDEN[m] + 1 for m in self.others)
        inputs = rest * (HIDDEN[self.widest] + 1)
        # A linear map of so many inputs, with the weight laid out as (1 + h of the widest, rest, post).
        self.tensor = nn.Parameter(torch.randn(HIDDEN[self.widest] + 1, rest, post) * (2 / inputs) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(post))
        self.post = he(nn.Linear(post, post))

    @staticmethod
    def size(widths: Mapping[str, int], post: int = 32) -> int:
        inputs = math.prod(HIDDEN[m] + 1 for m in widths)
        return SubNet.size(widths) + (inputs + 1) * post + (post + 1) * post

    def fuse(self, x: Mapping[str, Tensor], places: Places, turns: Turns) -> Tensor:
        h = {m: self.subnets[m](x[m]) for m in self.modalities}  # (N, h_m)
        first, *rest = self.tensor.split([1, len(self.tensor) - 1])
        left = torch.addmm(first.flatten(), h[self.widest], rest[0].flatten(1))  # (N, rest post)
        left = left.view(len(left), *self.tensor.shape[1:])  # (N, rest, post)
        outer = left.new_ones(len(left), 1)
        for m in self.others:
            outer = (outer[:, :, None] * F.pad(h[m], (1, 0), value=1.0)[:, None]).flatten(1)  # (N, Π (h_m + 1))
        z = torch.bmm(outer[:, None], left)[:, 0] + self.bias  # (N, post)
        return torch.relu(self.post(torch.relu(z)))
