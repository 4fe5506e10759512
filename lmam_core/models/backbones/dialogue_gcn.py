"""DialogueGCN (Ghosal et al. 2019) over a context LSTM, as its authors run it.

Original: declare-lab/conv-emotion, `DialogueGCN/model.py`, commit 6128ca2 (MIT licence), with the RGCNConv and the
GraphConv of PyTorch Geometric 1.3 and 1.4. Re-implemented from its layers; where code and paper part, after the code.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lmam_core.batch import Turns
from lmam_core.errors import LmamError
from lmam_core.models.contracts.backbone import Backbone, register
from lmam_core.models.contracts.parts import ModuleDict
from lmam_core.models.kernels.windows import Blocks, in_blocks, out_of_blocks, relational, summed_edges
from lmam_core.models.layers.context import Classifier, Context, MatchingSelfAttention


class SpeakerGraph(nn.Module):
    """The speaker-level encoder: edge weights, a relational convolution and a plain one, (B, L, d) to (B, L, hidden).

    alpha_ij = softmax over the window of i of w_i · h_j, with one learned w for every position i of a conversation;
    u_j = Σ_i alpha_ij h_i W_r + h_j W_0 + b, where r = (speaker of i, speaker of j, i before j) and W_r = Σ_n a_rn V_n;
    g_j = A u_j + a + Σ_i B u_i, both sums over the edges (i, j), i = j among them. From `MaskedEdgeAttention`, RGCNConv
    and GraphConv of the original. The weights that leave an utterance sum to 1. As we recollect the DialogueGCN paper
    (not checked; a comment in its code says that this is the paper's equation), it compares h_i with h_j there and lets
    the weights that arrive sum to 1.

    `query` is `longest` x d, `shares` (S, 2S, bases) holds a_rn, the rest are
    V, W_0, b, A with a, and B. Where nobody stands, 0.
    """

    def __init__(self, width: int, hidden: int, speakers: int, longest: int, bases: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.empty(longest, width).uniform_(-(width**-0.5), width**-0.5))
        small = (bases * width) ** -0.5
        self.bases = nn.Parameter(torch.empty(bases, width, hidden).uniform_(-small, small))
        self.shares = nn.Parameter(torch.empty(speakers, 2 * speakers, bases).uniform_(-small, small))
        self.root = nn.Parameter(torch.empty(width, hidden).uniform_(-small, small))
        self.bias = nn.Parameter(torch.empty(hidden).uniform_(-small, small))
        self.own = nn.Linear(hidden, hidden)
        self.others = nn.Linear(hidden, hidden, bias=False)

    def forward(self, h: Tensor, blocks: Blocks) -> Tensor:
        u = relational(h, blocks, self.query, self.bases, self.shares, self.root, self.bias)  # (K, c, hidden)
        g = self.own(u) + self.others(summed_edges(u, blocks))  # (K, c, hidden)
        return out_of_blocks(g, blocks, h.shape[:2])

    def reference(self, h: Tensor, turns: Turns, window: tuple[int, int]) -> Tensor:
        """The equations edge by edge, (B, L, d) to (B, L, hidden)."""
        past, future = window
        W = torch.einsum("srn,nde->srde", self.shares, self.bases)  # W_r, (S, 2 S, d, hidden)
        out = h.new_zeros(*h.shape[:2], self.own.out_features)
        for b, n in enumerate(turns.lengths.tolist()):
            speaker = turns.speaker[b].tolist()
            reach = [range(max(0, i - past), min(n, i + future + 1)) for i in range(n)]  # where the edges of i end
            u = [h[b, j] @ self.root + self.bias for j in range(n)]  # (hidden,) each
            for i in range(n):
                alpha = torch.softmax(h[b, list(reach[i])] @ self.query[i], 0)  # one number per edge that leaves i
                for a, j in zip(alpha, reach[i], strict=True):
                    r = 2 * speaker[j] + (0 if i < j else 1)
                    u[j] = u[j] + a * (h[b, i] @ W[speaker[i], r])
            for j in range(n):
                heard = sum((u[i] for i in range(n) if j in reach[i]), torch.zeros_like(u[j]))
                out[b, j] = self.own(u[j]) + self.others(heard)
        return out


@register("dialogue_gcn")
class DialogueGcn(Backbone):
    """DialogueGCN: a context LSTM and a speaker graph per stream, concatenated, then nodal attention over the result.

    widths: d_m per stream. Hidden 100, a window of 10 utterances to either side, 30 bases, as in the original; dropout
    0.5 is its model's default, the command in its README sets 0.4. With one 100-wide stream, two speakers and six
    classes it has 1,186,646 parameters; the original counts 161,400 more in three attentions that it never calls.

    In the late way every stream has its own LSTM, graph and attention. Nodal attention has no tanh around its scores
    unless `tanh`. A conversation of more than `longest` utterances is refused, for the edge attention has no query for
    them; an experiment takes the longest of its dataset where that is more. `faithful` runs the LSTMs over padding.
    Why, and where it differs from the original: `book/paper-vs-code.md`.
    """

    title = "DialogueGCN"
    native = "early"
    longest = 110
    knows_speakers = True
    leak = (
        "The LSTMs run over the padding, where the backward direction starts; the edge weights feel 1e-10 of what "
        "their softmax gives to the padding."
    )

    def __init__(
        self,
        widths: Mapping[str, int],
        speakers: int = 2,
        *,
        hidden: int = 100,
        window: tuple[int, int] = (10, 10),
        longest: int = longest,
        bases: int = 30,
        dropout: float = 0.5,
        tanh: bool = False,
        faithful: bool = False,
    ) -> None:
        super().__init__()
        self.hidden, self.dropout, self.speakers, self.faithful = hidden, dropout, speakers, faithful
        self.window, self.longest = window, longest
        self.context = ModuleDict({m: Context(d, hidden, dropout, faithful=faithful) for m, d in widths.items()})
        self.graph = ModuleDict(
            {m: SpeakerGraph(context.d_out, hidden, speakers, longest, bases) for m, context in self.context.items()}
        )
        self.d_out = {m: context.d_out + hidden for m, context in self.context.items()}
        self.attention = nn.ModuleDict({m: MatchingSelfAttention(d, tanh) for m, d in self.d_out.items()})

    def forward(self, streams: Mapping[str, Tensor], turns: Turns) -> dict[str, Tensor]:
        if (last := int(turns.lengths.max())) > self.longest:
            raise LmamError(
                f"DialogueGCN learns one edge query for each of {self.longest} positions; the batch has a conversation "
                f"of {last} utterances. Raise `longest`."
            )
        blocks, out = in_blocks(turns, self.window, self.speakers), {}
        for m, x in streams.items():
            if self.faithful:
                x = x * turns.mask[..., None]  # the original pads with zeros
            h = self.context[m](x, turns)  # (B, L, 2 hidden)
            h = torch.cat([h, self.graph[m](h, blocks)], -1)  # (B, L, 3 hidden)
            out[m] = self.attention[m](h, turns.mask)  # (B, L, 3 hidden)
        return out

    def reference(self, streams: Mapping[str, Tensor], turns: Turns) -> dict[str, Tensor]:
        """The same outside of training and without `faithful`, as the equations say it and many times slower."""
        out = {}
        for m, x in streams.items():
            h = self.context[m].reference(x, turns)  # (B, L, 2 hidden)
            h = torch.cat([h, self.graph[m].reference(h, turns, self.window)], -1)  # (B, L, 3 hidden)
            out[m] = self.attention[m](h, turns.mask)  # (B, L, 3 hidden)
        return out

    def classifier(self, width: int, outputs: int) -> nn.Module:
        """Linear to 100, ReLU, dropout, Linear to the outputs."""
        return Classifier(width, self.hidden, outputs, self.dropout)
