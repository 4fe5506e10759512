"""DialogueGCN's graph as products: the utterances of a batch in blocks, and the edges of a window between them."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lmam_core.batch import Turns


class Blocks(NamedTuple):
    """The N utterances of a batch one behind the other, cut into K blocks of c, and the edges between them.

    c is at least the window, so that every edge from a block ends in it or in one beside it, 3c places in all. Padding
    stays out; the last block alone is filled up. `total` is N, `rows` (Kc,) each utterance's row among the B·L of the
    batch, `position` (Kc,) its place in the conversation, `speaker` (Kc,) who says it. `edge` (K, c, 3c) is True where
    source i sends to target j, and `kind` (K, c, 2S, 3c) the same for each kind of edge, 2·s_j + [i >= j].
    """

    total: int
    rows: Tensor
    position: Tensor
    speaker: Tensor
    edge: Tensor
    kind: Tensor


def in_blocks(turns: Turns, window: tuple[int, int], speakers: int) -> Blocks:
    """A batch as `Blocks`, with edges (i, j) where i - past <= j <= i + future inside a conversation, also i = j."""
    L, device = turns.mask.shape[1], turns.mask.device
    places = (torch.arange(L) < turns.lengths[:, None]).nonzero().T  # (2, N), counted where no GPU is waited for
    count = places.shape[1]
    c = max(1, min(max(window), int(turns.lengths.max()) - 1))
    places = F.pad(places, (0, -count % c if count else c), value=-1).to(device, non_blocking=True)  # (2, Kc)
    rows = (places[0] * L + places[1]).clamp(min=0)  # (Kc,), the first one again where nobody stands
    speaker = turns.speaker.flatten()[rows]  # (Kc,)

    ahead = torch.arange(-c, 2 * c, device=device) - torch.arange(c, device=device)[:, None]  # (c, 3c), j - i
    near = (ahead >= -window[0]) & (ahead <= window[1])  # (c, 3c)
    source = places[0].view(-1, c)  # (K, c), the conversation
    target = with_neighbours(source, -1)  # (K, 3c)
    edge = near & (source >= 0)[..., None] & (source[..., None] == target[:, None])  # (K, c, 3c)
    kind = 2 * with_neighbours(speaker.view(-1, c))[:, None] + (ahead <= 0)  # (K, c, 3c)
    kind = edge[:, :, None] & (kind[:, :, None] == torch.arange(2 * speakers, device=device)[:, None])
    return Blocks(count, rows, places[1].clamp(min=0), speaker, edge, kind)


def with_neighbours(x: Tensor, nobody: int = 0) -> Tensor:
    """Every block with the one before and the one after it, (K, c, ...) to (K, 3c, ...)."""
    x = F.pad(x, (0, 0) * (x.dim() - 1) + (1, 1), value=nobody)
    return torch.cat([x[:-2], x[1:-1], x[2:]], 1)


def gather(x: Tensor) -> Tensor:
    """The transpose of `with_neighbours`: adds up what blocks send to themselves and their neighbours, (K, c, d)."""
    before, own, after = x.unflatten(1, (3, -1)).unbind(1)  # (K, c, d) each
    return own + F.pad(before[1:], (0, 0, 0, 0, 0, 1)) + F.pad(after[:-1], (0, 0, 0, 0, 1, 0))


def relational(
    h: Tensor, blocks: Blocks, query: Tensor, bases: Tensor, shares: Tensor, root: Tensor, bias: Tensor
) -> Tensor:
    """u_j = Σ_i alpha_ij h_i W_r + h_j W_0 + b of `SpeakerGraph`, (B, L, d) to (K, c, hidden).

    Weights multiply utterances, not edges: each source is mapped by the 2S relations that it can have, and a product of
    block and neighbourhood picks and sums.
    """
    K, c, _ = blocks.edge.shape
    x = h.flatten(0, 1)[blocks.rows]  # (Kc, d)
    queries = F.embedding(blocks.position, query).view(K, c, -1)  # (K, c, d)
    scores = queries @ with_neighbours(x.view(K, c, -1)).transpose(1, 2)  # (K, c, 3c)
    alpha = torch.softmax(scores.masked_fill(~blocks.edge, torch.finfo(scores.dtype).min), -1)
    alpha = (alpha[:, :, None] * blocks.kind).flatten(1, 2)  # (K, c 2S, 3c), 0 where there is no edge
    sent = messages(x, blocks.speaker, bases, shares).view(K, alpha.shape[1], -1)  # (K, c 2S, hidden)
    return gather(alpha.transpose(1, 2) @ sent) + (x @ root + bias).view(K, c, -1)  # (K, c, hidden)


def messages(x: Tensor, speaker: Tensor, bases: Tensor, shares: Tensor) -> Tensor:
    """x_i W_r for the 2S relations r that start at the speaker of i, (N, d) to (N, 2S, hidden)."""
    S, kinds, count = shares.shape
    if S * kinds <= count:
        # Fewer relations than bases: multiply by the relations' own weights and pick those of the speaker.
        bases = (shares.flatten(0, 1) @ bases.flatten(1)).view(S * kinds, *bases.shape[1:])
        shares = torch.eye(S * kinds, dtype=x.dtype, device=x.device).view(S, kinds, -1)
    sent = x @ bases.transpose(0, 1).flatten(1)  # (N, R hidden), R the number of relations or of bases
    return shares[speaker] @ sent.view(len(x), len(bases), -1)  # (N, 2S, hidden)


def summed_edges(u: Tensor, blocks: Blocks) -> Tensor:
    """Σ_i u_i over the edges (i, j), (K, c, hidden) to the same."""
    return gather(blocks.edge.to(u.dtype).transpose(1, 2) @ u)


def out_of_blocks(g: Tensor, blocks: Blocks, shape: torch.Size) -> Tensor:
    """The blocks (K, c, hidden) back to (B, L, hidden), 0 where nobody stands."""
    out = g.new_zeros(shape[0] * shape[1], g.shape[-1])
    return out.index_copy(0, blocks.rows[: blocks.total], g.flatten(0, 1)[: blocks.total]).view(*shape, -1)
