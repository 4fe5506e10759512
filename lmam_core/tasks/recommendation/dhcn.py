"""Dual channel hypergraph convolutional network, DHCN (Xia et al. 2021, arXiv 2012.06852), with a place for LMAM.

Symbols follow that paper. X (N, d) are the items' embeddings, A = D^-1 H B^-1 H^T their hypergraph.

    X_h = mean of X, A X, ..., A^L X                                    hypergraph channel  (4)
    x*_t = tanh(W_1 [x_t ; p_{m-t+1}] + b)                              reversed positions  (5)
    α_t = f^T σ(W_2 mean(x) + W_3 x*_t + c),   θ_h = Σ_t α_t x_t        session attention   (6)
    θ_l = mean of θ, D̂^-1 Â θ, ...,            θ = mean of X at clicks  line-graph channel  (9)
    loss = cross-entropy(θ_h X_h^T) + β Σ -log σ(θ_h·θ_l) - log(1 - σ(θ̃_h·θ_l))            (8, 10, 11)

Where a step spends its time, with Diginetica's N = 43,097 items, d = 100, a graph of 2 million entries, 100 sequences:

* A X and, backward, A^T G, L times each: 6 x 0.4 GFLOP, bound by memory. A is built once, as two compressed matrices.
* scores θ_h X_h^T and the two products of their gradient: 3 x 0.86 GFLOP.
* Adam over N d parameters, which all have a gradient, because every score has one.

The line graph of a batch (Â of shared over all items of two sessions) is one product of 0/1 matrices.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional as F

from lmam_core.batch import Turns
from lmam_core.errors import LmamError
from lmam_core.models.contracts.fusion import Fusion
from lmam_core.tasks.recommendation.sessions import LONGEST, Clicks

LINES = ("detached", "trained")
"""Whether the line-graph channel trains the items' embeddings: not in the published code, where it passes through
numpy; in the paper it does."""
STREAMS: dict[str, tuple[str, ...]] = {
    "channels": ("hypergraph", "line", "session"),
    "hops": ("hop0", "hop1", "hop2", "hop3"),
}
"""What the modalities are read as; the paper does not say. One row per click, each d wide:

* `channels`: the item in the hypergraph channel, X_h; the item as the line-graph channel starts from it, X; the
  session, its mean and the click's reversed position.
* `hops`: the item after 0, 1, ... L steps over the hypergraph.
"""


class _Propagation(torch.autograd.Function):
    """X, A X, ..., A^L X and their mean for a constant A, whose transpose is given, so that no step sorts it.

    Backward in Horner's scheme, G_l + A^T (G_{l+1} + A^T (...)), with what reaches the mean in every G_l.
    """

    @staticmethod
    def forward(ctx: Any, A: Tensor, transposed: Tensor, layers: int, X: Tensor) -> tuple[Tensor, ...]:
        ctx.transposed = transposed
        ctx.set_materialize_grads(False)
        hops = [X]
        for _ in range(layers):
            hops.append(torch.sparse.mm(A, hops[-1]))
        table = X + hops[1]
        for hop in hops[2:]:
            table += hop
        return table.div_(layers + 1), *hops[1:]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[None, None, None, Tensor]:
        of_table, *of_hops = gradients
        if of_table is None:
            raise LmamError("The items' mean over hops takes part in every loss.")
        share = of_table / len(gradients)
        G = share
        for of_hop in reversed(of_hops):
            G = G if of_hop is None else G + of_hop
            G = torch.addmm(share, ctx.transposed, G)
        return None, None, None, G


_propagation = cast("Callable[[Tensor, Tensor, int, Tensor], tuple[Tensor, ...]]", _Propagation.apply)


class SessionAttention(nn.Module):
    """Eq. 5 and 6: a session's clicks (B, L, d), the last one first, to one vector (B, d).

    200 d + 4 d^2 + 3 d parameters.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.positions = nn.Embedding(LONGEST, width)
        self.W1 = nn.Linear(2 * width, width)
        self.W2 = nn.Linear(width, width, bias=False)
        self.W3 = nn.Linear(width, width)  # its bias is c
        self.f = nn.Linear(width, 1, bias=False)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """θ_h, 0 for a session without clicks; `x` is 0 where masked."""
        place = self.positions.weight[: x.shape[1]].expand_as(x)  # (B, L, d)
        positioned = torch.tanh(self.W1(torch.cat([place, x], -1)))
        alpha = self.f(torch.sigmoid(self.W3(positioned) + self.W2(mean(x, mask))[:, None]))  # (B, L, 1)
        return (alpha * mask[..., None] * x).sum(1)  # (B, d)


class DHCN(nn.Module):
    """A recommender over N items: `loss` of a batch of sequences, `scores` of every item.

    `graph` is the hypergraph A (N, N); `line` is one of `LINES`; `weight` is β of the self-supervised term. With
    `fusion`, which makes a fusion module from the widths of its streams, `STREAMS[streams]` are fused at every click,
    brought to width d by `match`, and added to the click ahead of the session attention. `match` starts from 0: the
    model starts as DHCN itself. Parameters: N d + 200 d + 4 d^2 + 3 d, and those of fusion and match.
    """

    A: Tensor
    transposed: Tensor

    def __init__(
        self,
        graph: sparse.csr_matrix,
        width: int = 100,
        layers: int = 3,
        line: str = "detached",
        weight: float = 0.01,
        fusion: Callable[[Mapping[str, int]], Fusion] | None = None,
        streams: str = "channels",
    ) -> None:
        super().__init__()
        self.layers, self.line, self.weight, self.streams = layers, line, weight, streams
        self.register_buffer("A", _compressed(graph), persistent=False)
        self.register_buffer("transposed", _compressed(sparse.csr_matrix(graph.T)), persistent=False)
        self.embedding = nn.Embedding(graph.shape[0], width)
        self.attention = SessionAttention(width)
        for p in self.parameters():  # as the published code starts all of them
            nn.init.uniform_(p, -(width**-0.5), width**-0.5)
        self.fusion = self.match = None
        if fusion is not None:
            names = [f"hop{k}" for k in range(layers + 1)] if streams == "hops" else STREAMS[streams]
            self.fusion = fusion(dict.fromkeys(names, width))
            self.match = nn.Linear(self.fusion.d_out, width, bias=False)
            nn.init.zeros_(self.match.weight)

    def items(self) -> tuple[list[Tensor], Tensor]:
        """X, A X, ..., A^L X and their mean X_h, each (N, d)."""
        X = self.embedding.weight
        table, *hops = _propagation(self.A, self.transposed, self.layers, X)
        return [X, *hops], table

    def sessions(self, hops: list[Tensor], table: Tensor, clicks: Clicks) -> Tensor:
        """θ_h (B, d) of sequences, from the items' hops and the mean of these, X_h."""
        x = at(table, clicks)  # (B, L, d)
        if self.fusion is not None and self.match is not None:
            x = x + self.match(self.fusion(self._streams(x, hops, clicks), _turns(clicks))) * clicks.mask[..., None]
        return self.attention(x, clicks.mask)

    def _streams(self, x: Tensor, hops: list[Tensor], clicks: Clicks) -> dict[str, Tensor]:
        if self.streams == "hops":
            return {f"hop{k}": at(hop, clicks) for k, hop in enumerate(hops)}
        place = self.attention.positions.weight[: x.shape[1]]
        session = (mean(x, clicks.mask)[:, None] + place) * clicks.mask[..., None]
        return {"hypergraph": x, "line": at(hops[0], clicks), "session": session}

    def line_sessions(self, clicks: Clicks) -> Tensor:
        """θ_l (B, d): sessions averaged with those of the batch that they share items with (Eq. 9)."""
        X = self.embedding.weight
        theta = mean(at(X.detach() if self.line == "detached" else X, clicks), clicks.mask)  # (B, d)
        step = line_graph(clicks).to(theta.dtype)
        thetas = [theta]
        for _ in range(self.layers):
            thetas.append(step @ thetas[-1])
        return torch.stack(thetas).mean(0)

    def loss(self, clicks: Clicks) -> Tensor:
        """Cross-entropy of the next items plus the self-supervised term, one number."""
        hops, table = self.items()
        theta = self.sessions(hops, table, clicks)
        return F.cross_entropy(theta @ table.T, clicks.target) + self.weight * contrast(
            theta, self.line_sessions(clicks)
        )

    def ranker(self) -> Callable[[Clicks], Tensor]:
        """What scores all items (B, N) for batches; the products with the graph are made once."""
        hops, table = self.items()
        return lambda clicks: self.sessions(hops, table, clicks) @ table.T


def contrast(theta: Tensor, line: Tensor) -> Tensor:
    """Eq. 10, summed over the batch: a session's two vectors agree, its line vector and a shuffled one do not.

    Sessions are shuffled and then the columns, by torch's random numbers on the CPU.
    """
    rows = torch.randperm(len(theta)).to(theta.device)
    columns = torch.randperm(theta.shape[1]).to(theta.device)
    agree, other = (theta * line).sum(1), (line * theta[rows][:, columns]).sum(1)
    return (-torch.log(1e-8 + torch.sigmoid(agree)) - torch.log(1e-8 + (1 - torch.sigmoid(other)))).sum()


def line_graph(clicks: Clicks) -> Tensor:
    """D̂^-1 Â (B, B): the share of items that two sessions have in common, 1 on the diagonal, rows divided by their sum.

    Without set arithmetic: with the 0/1 matrix M of sessions and the batch's items, M M^T counts what two share.
    """
    row, _ = clicks.mask.nonzero(as_tuple=True)
    items, column = clicks.items[clicks.mask].unique(return_inverse=True)
    M = torch.zeros(len(clicks.mask), len(items), device=row.device)
    M[row, column] = 1
    shared, size = M @ M.T, M.sum(1)
    either = size[:, None] + size - shared
    A = (shared.double() / either.clamp(min=1)).fill_diagonal_(1)
    return A / A.sum(1, keepdim=True)


def at(table: Tensor, clicks: Clicks) -> Tensor:
    """Rows of a table (N, d) at clicks, (B, L, d), 0 where masked."""
    return F.embedding(clicks.items, table) * clicks.mask[..., None]


def mean(x: Tensor, mask: Tensor) -> Tensor:
    """The mean of (B, L, d) over clicks, (B, d), 0 where there are none; `x` is 0 where masked."""
    return x.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)


def _turns(clicks: Clicks) -> Turns:
    return Turns(torch.zeros_like(clicks.items), clicks.mask, clicks.length.cpu())


def _compressed(graph: sparse.csr_matrix) -> Tensor:
    """A scipy matrix as torch's compressed rows, float32."""
    graph.sort_indices()
    rows, columns = (torch.from_numpy(a.astype("int32")) for a in (graph.indptr, graph.indices))
    values = torch.from_numpy(graph.data.astype("float32"))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(rows, columns, values, graph.shape, check_invariants=True)
