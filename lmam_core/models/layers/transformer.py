"""Transformer layers over the utterances of a conversation, for backbones and fusion methods."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmam_core.batch import Turns
from lmam_core.models.contracts.parts import ModuleList
from lmam_core.models.layers.dropout import Dropout


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

    @property
    def full(self) -> bool:
        """Whether nothing is padding, so that nothing needs to move."""
        return len(self.index) == self.mask.numel()

    def pack(self, x: Tensor) -> Tensor:
        x = x.flatten(-3, -2)  # (..., B L, d)
        return x if self.full else x.index_select(-2, self.index)  # (..., N, d)

    def pad(self, x: Tensor) -> Tensor:
        B, L = self.mask.shape
        if not self.full:
            x = x.new_zeros(*x.shape[:-2], B * L, x.shape[-1]).index_copy(-2, self.index, x)
        return x.unflatten(-2, (B, L))  # (..., B, L, d)


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


class _Layer(nn.Module):
    """The weights of one layer of K encoders: maps (K, rows, columns), norms and biases (K, 1, columns)."""

    query: Tensor
    query_bias: Tensor
    pair: Tensor
    pair_bias: Tensor
    output: Tensor
    output_bias: Tensor
    wide: Tensor
    wide_bias: Tensor
    narrow: Tensor
    narrow_bias: Tensor
    norm1: Tensor
    norm1_bias: Tensor
    norm2: Tensor
    norm2_bias: Tensor

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        shapes = {"query": (width, width), "pair": (width, 2 * width), "output": (width, width)}
        shapes |= {"wide": (width, 4 * width), "narrow": (4 * width, width)}
        for name, (rows, columns) in shapes.items():
            bound = rows**-0.5
            setattr(self, name, nn.Parameter(torch.empty(count, rows, columns).uniform_(-bound, bound)))
            setattr(self, f"{name}_bias", nn.Parameter(torch.zeros(count, 1, columns)))
        for name in ("norm1", "norm2"):
            setattr(self, name, nn.Parameter(torch.ones(count, 1, width)))
            setattr(self, f"{name}_bias", nn.Parameter(torch.zeros(count, 1, width)))


class Stacks(nn.Module):
    """K Transformer encoders of the same shape side by side, each on its own queries: packed (K, N, d) to (K, N, d).

    z = √d x, and the sinusoid of the place where `positions`; then in each layer z ← z + Attention(norm z, norm y),
    z ← z + FFN(norm z), and a norm at the end: the crossmodal Transformer of MulT (Tsai et al. 2019, Eq. 4). y is
    z itself, or the `sources` (K, n, N, d), prepared like x: n utterances side by side under one softmax at every time.
    The FFN is 4 d wide. K (layers (12 d^2 + 13 d) + 2 d) parameters.

    All K are one batched product, since a layer of 30 columns costs a CPU and a GPU more to start than to compute.
    """

    def __init__(self, count: int, width: int, heads: int, layers: int, dropout: float, positions: bool = True) -> None:
        super().__init__()
        self.heads, self.dropout, self.positions = heads, Dropout(dropout), positions
        self.layers = ModuleList(_Layer(count, width) for _ in range(layers))
        self.norm, self.norm_bias = (nn.Parameter(make(count, 1, width)) for make in (torch.ones, torch.zeros))

    @staticmethod
    def size(count: int, width: int, layers: int) -> int:
        return count * (layers * (12 * width**2 + 13 * width) + 2 * width)

    def forward(self, x: Tensor, places: Places, sources: Tensor | None = None, near: Tensor | None = None) -> Tensor:
        """`near` (L, L) says which places a query may attend to beside its own, everywhere if None."""
        K, N, d = x.shape
        z = self._start(x, places)
        y = None if sources is None else self._start(sources, places)  # (K, n, N, d)
        n = 1 if y is None else y.shape[1]
        B, L = places.mask.shape
        seen = places.mask[:, None, None]  # (B, 1, 1, L)
        if near is not None:
            # Padding sees itself: a row that sees nothing has no softmax, and its gradient would reach the others.
            seen = seen & near | torch.eye(L, dtype=torch.bool, device=near.device)  # (B, 1, L, L)
        seen = seen.repeat(K, 1, 1, n)  # (K B, 1, 1 or L, n L)
        for layer in self.layers:
            h = _norm(z, layer.norm1, layer.norm1_bias)  # (K, N, d)
            q = torch.baddbmm(layer.query_bias, h, layer.query)
            if y is not None:
                h = _norm(y, layer.norm1[:, None], layer.norm1_bias[:, None]).flatten(1, 2)  # (K, n N, d)
            kv = torch.baddbmm(layer.pair_bias, h, layer.pair).view(K, n, N, 2 * d)
            q = places.pad(q).view(K * B, L, self.heads, -1).transpose(1, 2)  # (K B, heads, L, d / heads)
            kv = places.pad(kv).transpose(1, 2).reshape(K * B, n * L, 2, self.heads, -1)
            k, v = kv.permute(2, 0, 3, 1, 4)  # (K B, heads, n L, d / heads)
            h = attend(q, k, v, seen).transpose(1, 2).reshape(K, B, L, d)
            h = torch.baddbmm(layer.output_bias, places.pack(h), layer.output)
            z = z + self.dropout(h)
            h = _norm(z, layer.norm2, layer.norm2_bias)
            h = torch.relu_(torch.baddbmm(layer.wide_bias, h, layer.wide))  # (K, N, 4 d)
            h = torch.baddbmm(layer.narrow_bias, self.dropout(h), layer.narrow)
            z = z + self.dropout(h)
        return _norm(z, self.norm, self.norm_bias)

    def _start(self, x: Tensor, places: Places) -> Tensor:
        x = x * math.sqrt(x.shape[-1])
        return x + sinusoids(places, x.shape[-1]).to(x.dtype) if self.positions else x


def attend(q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
    """softmax(q k^T / √d) v where `seen`, (..., L, d) and twice (..., S, d) to (..., L, d).

    Heads of less than 8 columns are filled up with zeros to 16, the width of a register of the CPU kernel that torch
    calls: at 5 and 6 columns it takes up to twice as long without. Elsewhere they stay as they are.
    """
    d = q.shape[-1]
    if d >= 8 or q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v, seen)
    q, k, v = (F.pad(x, (0, 16 - d)) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, seen, scale=d**-0.5)[..., :d]


def sinusoids(places: Places, width: int) -> Tensor:
    """The sinusoidal encoding of where each packed utterance stands in its conversation, (N, width).

    sin and cos of p / 10000^(i / (width / 2 - 1)) for i < width / 2, first all sines, p from 1; an odd last column is
    0. As in MulT, after tensor2tensor.
    """
    half = width // 2
    turn = torch.arange(half, device=places.index.device) * (-math.log(10_000) / max(half - 1, 1))
    angle = (places.index % places.mask.shape[1] + 1)[:, None] * turn.exp()  # (N, half)
    return F.pad(torch.cat([angle.sin(), angle.cos()], -1), (0, width % 2))


def _norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A layer norm of each of the K, (K, N, d)."""
    return torch.addcmul(bias, F.layer_norm(x, x.shape[-1:]), weight)
