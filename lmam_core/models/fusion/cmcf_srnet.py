"""CMCF-SRNet (Zhang and Li, ACL 2023): local attention across modalities, then a graph of speakers. Our reading."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmam_core.batch import Turns
from lmam_core.models.contracts.fusion import register
from lmam_core.models.fusion.packed import Packed
from lmam_core.models.layers.transformer import Places, Stacks

NEAR = 5
"""How many utterances before and after it an utterance attends to and is connected with."""


@register("cmcf_srnet", title="CMCF-SRNet")
class CmcfSrnet(Packed):
    """Every modality attends to the nearby utterances of every other, then a graph and an encoder refine, (B, L, 100).

        z_m = P_m x_m;  c_(j → m) = CM_(j → m)(z_m, z_j), j ≠ m, |s - t| ≤ 5           Tsai et al. 2019, Eq. 4
        u = ReLU(W [z_1; ...; z_M; c_(2 → 1); ...] + b)
        v_t = ReLU(W_0 u_t + b_0 + Σ_k Σ_(s ∈ N_k(t)) W_k u_s / |N_k(t)|)              Schlichtkrull et al. 2018, Eq. 2
        y = Encoder(v)

    No code is public and the paper's own equations were not available; that RGCN's is number 2 is recollection. Its
    abstract names a cross-modal locality-constrained Transformer and a graph-based semantic refinement Transformer;
    that the graph's edges know speakers, as in RGCN, is recollection. Decided by us: a linear map to 100; one
    Transformer layer of 4 heads for every ordered pair of modalities, whose queries see 5 utterances to either side;
    their outputs and the modalities side by side, through a linear map to 100, are the nodes; four kinds k of edges, to
    the same or another speaker, before or after, each with its own weight and a mean over its edges, as RGCN
    (Schlichtkrull et al. 2018); one more Transformer layer over the whole conversation. Both Transformers add positions
    to what they are given, as MulT's do, and drop out 0.1. Speakers enter through "same or another" alone, so that
    their number sizes nothing. A single modality has no pairs.
    """

    knows_speakers = True
    query: Tensor
    source: Tensor

    def __init__(self, widths: Mapping[str, int], width: int = 100, heads: int = 4, dropout: float = 0.1) -> None:
        super().__init__(widths, width)
        M = len(widths)
        self.project = nn.ModuleDict({m: nn.Linear(d, width) for m, d in widths.items()})
        pairs = [(i, j) for i in range(M) for j in range(M) if i != j]
        # Which modality attends to which, (M (M - 1),) each.
        for name, side in (("query", 0), ("source", 1)):
            self.register_buffer(name, torch.tensor([p[side] for p in pairs], dtype=torch.long), persistent=False)
        self.cross = Stacks(len(pairs), width, heads, 1, dropout) if pairs else None
        self.nodes = nn.Linear((M + len(pairs)) * width, width)
        self.root, self.kinds = nn.Linear(width, width), nn.Linear(width, 4 * width, bias=False)
        self.refine = Stacks(1, width, heads, 1, dropout)

    @staticmethod
    def size(widths: Mapping[str, int], width: int = 100, **unsized: float) -> int:
        M, d = len(widths), width
        cross = sum((n + 1) * d for n in widths.values()) + Stacks.size(M * (M - 1), d, 1)
        return cross + (M * M * d + 1) * d + (d + 1) * d + 4 * d * d + Stacks.size(1, d, 1)

    def fuse(self, x: Mapping[str, Tensor], places: Places, turns: Turns) -> Tensor:
        z = torch.stack([self.project[m](x[m]) for m in self.modalities])  # (M, N, d)
        position = torch.arange(places.mask.shape[1], device=z.device)
        ahead = position - position[:, None]  # (L, L), s - t
        near = ahead.abs() <= NEAR
        if self.cross is not None:
            z = torch.cat([z, self.cross(z[self.query], places, z[self.source][:, None], near)])  # (M^2, N, d)
        u = F.relu(self.nodes(z.transpose(0, 1).flatten(1)))  # (N, d)
        u = F.relu(self.root(u) + self._neighbours(u, places, turns, near, ahead))
        return self.refine(u[None], places)[0]  # (N, d)

    def _neighbours(self, u: Tensor, places: Places, turns: Turns, near: Tensor, ahead: Tensor) -> Tensor:
        """Σ over the kinds of edges of the mean of W_kind u_s over the edges from t to s, (N, d)."""
        edge = near & (ahead != 0) & places.mask[:, None]  # (B, L, L)
        same = turns.speaker[:, None] == turns.speaker[:, :, None]  # (B, L, L)
        kinds = torch.stack([edge & who & when for who in (same, ~same) for when in (ahead < 0, ahead > 0)], 2)
        kinds = kinds.to(u.dtype)  # (B, L, 4, L)
        kinds = kinds / kinds.sum(-1, keepdim=True).clamp(min=1)
        sent = places.pad(self.kinds(u)).unflatten(-1, (4, -1))  # (B, L, 4, d)
        return places.pack(torch.einsum("btks,bskd->btd", kinds, sent))
