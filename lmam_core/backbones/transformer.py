"""Transformer encoders over the utterances of a conversation, which M2FNet and EmoCaps are made of."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from lmam_core.data.conversations import Turns


@dataclass(frozen=True)
class Places:
    """Where the N utterances of a batch stand in its (B, L) places.

    Layers that look at one utterance at a time run on the N packed utterances: half of the places are padding in a
    usual batch, and what is never read can change nothing, not even the empty softmax of a conversation without
    utterances. `index` (N,) counts through the B L places.
    """

    mask: Tensor
    index: Tensor

    @classmethod
    def of(cls, turns: Turns) -> Places:
        """The places of a batch."""
        return cls(turns.mask, turns.places)

    def pack(self, x: Tensor) -> Tensor:
        return x.flatten(0, 1).index_select(0, self.index)  # (N, d)

    def pad(self, x: Tensor) -> Tensor:
        B, L = self.mask.shape
        return x.new_zeros(B * L, x.shape[-1]).index_copy(0, self.index, x).view(B, L, -1)  # (B, L, d)


class Attention(nn.Module):
    """Multi-head attention between the utterances of a conversation, on packed (N, d) queries, keys and values.

    softmax(Q K^T / sqrt(d / heads)) V in each head, then a linear map. A key's bias would add the same to all scores
    of a query, which softmax takes out again, so keys have none. 4 d^2 + 3 d parameters.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.value, self.output = nn.Linear(width, width), nn.Linear(width, width)
        self.heads = heads

    def forward(self, query: Tensor, key: Tensor, value: Tensor, places: Places) -> Tensor:
        q, k, v = (
            places.pad(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, L, d / heads)
            for x in (self.query(query), self.key(key), self.value(value))
        )
        h = F.scaled_dot_product_attention(q, k, v, places.mask[:, None, None])  # (B, heads, L, d / heads)
        return self.output(places.pack(h.transpose(1, 2).flatten(2)))  # (N, d)


class Encoder(nn.Module):
    """One layer of a Transformer encoder (Vaswani et al. 2017), on packed (N, d) utterances.

    Attention, then two linear maps with ReLU between; the output of each is dropped out, added to its input and
    normalised, as there. 4 d^2 + 2 d ffn + 8 d + ffn parameters.
    """

    def __init__(self, width: int, heads: int, ffn: int, dropout: float) -> None:
        super().__init__()
        self.attention, self.dropout = Attention(width, heads), nn.Dropout(dropout)
        self.ffn = nn.Sequential(nn.Linear(width, ffn), nn.ReLU(), nn.Linear(ffn, width))
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Tensor, places: Places) -> Tensor:
        x = self.norm1(x + self.dropout(self.attention(x, x, x, places)))  # (N, d)
        return self.norm2(x + self.dropout(self.ffn(x)))  # (N, d)
