"""DialogueGCN (Ghosal et al. 2019) over a context LSTM, as its authors run it.

Original: declare-lab/conv-emotion, `DialogueGCN/model.py`, commit 6128ca2 (MIT licence), with the RGCNConv and the
GraphConv of PyTorch Geometric 1.3 and 1.4. Re-implemented from its layers; where code and paper part, after the code.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmam_core.batch import Turns
from lmam_core.errors import LmamError
from lmam_core.models.contracts.backbone import Backbone, register
from lmam_core.models.kernels.windows import Line, beside, gather, line_up
from lmam_core.models.layers.context import Classifier, Context, MatchingSelfAttention


class SpeakerGraph(nn.Module):
    """The speaker-level encoder: edge weights, a relational convolution and a plain one, (B, L, d) to (B, L, hidden).

    alpha_ij = softmax over the window of i of w_i · h_j, with one learned w for every position i of a conversation;
    u_j = Σ_i alpha_ij h_i W_r + h_j W_0 + b, where r = (speaker of i, speaker of j, i before j) and W_r = Σ_n a_rn V_n;
    g_j = A u_j + a + Σ_i B u_i, both sums over the edges (i, j), i = j among them. From `MaskedEdgeAttention`, RGCNConv
    and GraphConv of the original. The weights that leave an utterance sum to 1. As we recollect the DialogueGCN paper
    (not checked; a comment in its code says that this is the paper's equation), it compares h_i with h_j there and lets
    the weights that arrive sum to 1.

    Weights multiply utterances, not edges: each source is mapped by the 2S relations that it can have, and a product of
    block and neighbourhood picks and sums. `query` is `longest` x d, `shares` (S, 2S, bases) holds a_rn, the rest are
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

    def forward(self, h: Tensor, line: Line) -> Tensor:
        K, c, _ = line.edge.shape
        x = h.flatten(0, 1)[line.rows]  # (Kc, d)
        query = F.embedding(line.position, self.query).view(K, c, -1)  # (K, c, d)
        scores = query @ beside(x.view(K, c, -1)).transpose(1, 2)  # (K, c, 3c)
        alpha = torch.softmax(scores.masked_fill(~line.edge, torch.finfo(scores.dtype).min), -1)
        alpha = (alpha[:, :, None] * line.kind).flatten(1, 2)  # (K, c 2S, 3c), 0 where there is no edge

        sent = self.messages(x, line.speaker).view(K, alpha.shape[1], -1)  # (K, c 2S, hidden)
        u = gather(alpha.transpose(1, 2) @ sent) + (x @ self.root + self.bias).view(K, c, -1)  # (K, c, hidden)
        g = self.own(u) + self.others(gather(line.edge.to(u.dtype).transpose(1, 2) @ u))  # (K, c, hidden)
        out = g.new_zeros(h.shape[0] * h.shape[1], g.shape[-1])
        return out.index_copy(0, line.rows[: line.count], g.flatten(0, 1)[: line.count]).view(*h.shape[:2], -1)

    def messages(self, x: Tensor, speaker: Tensor) -> Tensor:
        """x_i W_r for the 2S relations r that start at the speaker of i, (N, d) to (N, 2S, hidden)."""
        weights, shares = self.bases, self.shares
        S, kinds, bases = shares.shape
        if S * kinds <= bases:
            # Fewer relations than bases: multiply by the relations' own weights and pick those of the speaker.
            weights = (shares.flatten(0, 1) @ weights.flatten(1)).view(S * kinds, *weights.shape[1:])
            shares = torch.eye(S * kinds, dtype=x.dtype, device=x.device).view(S, kinds, -1)
        sent = x @ weights.transpose(0, 1).flatten(1)  # (N, R hidden), R the number of relations or of bases
        return shares[speaker] @ sent.view(len(x), len(weights), -1)  # (N, 2S, hidden)


@register("dialogue_gcn")
class DialogueGcn(Backbone):
    """DialogueGCN: a context LSTM and a speaker graph a stream, concatenated, then nodal attention over the result.

    widths: d_m a stream. Hidden 100, a window of 10 utterances to either side and 30 bases, as in the original; dropout
    0.5 is its model's default, the command in its README sets 0.4. With one 100-wide stream, two speakers and six
    classes it has 1,186,646 parameters; the original counts 161,400 more in three attentions that it never calls.

    Decisions of ours: in the late way every stream has its own LSTM, graph and attention. Nodal attention, whose result
    alone is classified, has no tanh around its scores unless `tanh`: scores between -1 and 1 leave an utterance at most
    e^2 / (e^2 + L - 1) of its own result, a seventh in a conversation of 48, and what is classified is close to the
    conversation's mean. Of the original there are three forms: its code has tanh, and beside it, commented out, the
    line without; as recollected, not checked, the paper's equation has none; nor has the second implementation that its
    repository carries (mianzhang/dialogue_gcn, dc0f9b3). A conversation of more than
    `longest` utterances is refused, for the edge attention has no query for them (the original fails on an index); an
    experiment takes the longest of its dataset where that is more. The
    original divides the edge weights by their sum plus 1e-10 of the softmax outside of the window; we, `faithful` or
    not, by their sum alone: a weight changes by more than 1e-4 of itself only where less than a millionth of the
    softmax falls into the window. `faithful` runs the LSTMs over padding.
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
        self.context = nn.ModuleDict({m: Context(d, hidden, dropout, faithful=faithful) for m, d in widths.items()})
        self.graph = nn.ModuleDict(
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
        line, out = line_up(turns, self.window, self.speakers), {}
        for m, x in streams.items():
            if self.faithful:
                x = x * turns.mask[..., None]  # the original pads with zeros
            h = self.context[m](x, turns)  # (B, L, 2 hidden)
            h = torch.cat([h, self.graph[m](h, line)], -1)  # (B, L, 3 hidden)
            out[m] = self.attention[m](h, turns.mask)  # (B, L, 3 hidden)
        return out

    def classifier(self, width: int, outputs: int) -> nn.Module:
        """Linear to 100, ReLU, dropout, Linear to the outputs."""
        return Classifier(width, self.hidden, outputs, self.dropout)
