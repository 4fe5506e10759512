"""MM-DFN (Hu et al. 2022): every utterance of every modality in one graph, and a memory that runs over its layers.

Original: zerohd4869/MM-DFN, commit da97036 (MIT licence), `code/model.py:DialogueGNNModel` with the flags of
`script/run_train_ie.sh`. Re-implemented from its layers; where code and paper part, after the code.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmam_core.batch import Turns
from lmam_core.models.contracts.backbone import Backbone, register
from lmam_core.models.layers.context import Context, PerUtterance
from lmam_core.models.layers.dropout import Dropout

PARTY_WEIGHTS = {"text": 1.0, "audio": 3.0, "video": 0.0, "nonverbal": 3.0}
"""How much each modality gets of its parties' own context; `--speaker_weights 3-0-1` is audio, video, text."""
ALIKE = 0.9
"""A group of conversations holds none that is shorter than this share of its longest."""


class Parties(nn.Module):
    """Puts what a party says into the context of what it said and will say itself, (K, B, L, d) to (K, B, L, d).

    The utterances of a party in a conversation are one sequence, and all sequences of all K streams go through the
    same GRUs at once; a party that is silent has none. Original: `rnn_parties`, where every sequence goes on over zeros
    up to the longest conversation of the batch, as it does here with `faithful`.
    """

    def __init__(self, width: int, dropout: float, faithful: bool) -> None:
        super().__init__()
        self.context = Context(width, width // 2, dropout, nn.GRU, faithful)

    def forward(self, x: Tensor, turns: Turns) -> Tensor:
        K, B, L, d = x.shape
        speaker = turns.speaker.cpu() if turns.who is None else turns.who  # sequences are counted on the CPU
        there = torch.arange(L) < turns.lengths[:, None]  # (B, L)
        party = (torch.arange(B)[:, None] * (speaker.max() + 1) + speaker)[there]  # (N,), another in each conversation
        _, sequence, counts = party.unique(return_inverse=True, return_counts=True)  # (N,), (S,)
        order = sequence.argsort(stable=True)  # (N,), by sequence, then by time
        step = torch.empty_like(order)
        step[order] = torch.arange(len(order)) - (counts.cumsum(0) - counts).repeat_interleave(counts)
        longest = L if self.context.faithful else int(counts.max())
        inside = (torch.arange(longest) < counts[:, None]).repeat(K, 1)  # (K S, longest)
        place, slot = there.flatten().nonzero()[:, 0], sequence * longest + step  # (N,)
        place, slot, inside = (i.to(x.device, non_blocking=True) for i in (place, slot, inside))
        utterances = x.flatten(1, 2).index_select(1, place)  # (K, N, d)
        sequences = x.new_zeros(K, len(counts) * longest, d).index_copy(1, slot, utterances).view(-1, longest, d)
        sequences = self.context(sequences, Turns(torch.zeros_like(inside), inside, counts.repeat(K)))
        utterances = sequences.view(K, -1, d).index_select(1, slot)  # (K, N, d), from (K S, longest, d)
        return x.new_zeros(K, B * L, d).index_copy(1, place, utterances).view(K, B, L, d)


class Graph(NamedTuple):
    """The edges of B conversations, inside each modality and across.

    `inside` is (B, M, L, L); `across` (M - 1, B, M, L) leads to the modality k places on, k = 1 .. M - 1, where an
    utterance meets itself alone.
    """

    inside: Tensor
    across: Tensor

    def propagate(self, x: Tensor) -> Tensor:
        """Every node's weighted sum over its neighbours, (B, M, L, d) to (B, M, L, d)."""
        y = self.inside @ x
        for k, weight in enumerate(self.across, 1):
            y = torch.addcmul(y, weight[..., None], x.roll(-k, 1))
        return y


def angular(cosine: Tensor) -> Tensor:
    """1 - arccos(0.99999 c) / π, 1 for the same direction and 0 for the opposite one; the factor bounds its slope."""
    return 1 - torch.arccos(0.99999 * cosine) / math.pi


def connect(x: Tensor, mask: Tensor) -> Graph:
    """The graph D^-1/2 A D^-1/2 of each conversation from its nodes (B, M, L, d) and the mask (B, L).

    A_ij is the angular similarity of x_i and x_j between all utterances of a modality, i = j too, and between the
    modalities of an utterance; 0 elsewhere. D holds the row sums of A (`MM_GCN.create_big_adj`). A node of zeros has no
    direction; it counts as at right angles to all, A_ij = 1/2, where the original gives NaN.
    """
    square = x.square().sum(-1, keepdim=True)  # (B, M, L, 1)
    unit = x * torch.where(square > 0, square, 1.0).rsqrt()  # (B, M, L, d)
    there = mask[:, None]  # (B, 1, L)
    inside = angular(unit @ unit.transpose(2, 3)) * (there[..., None] & there[:, :, None])  # (B, M, L, L)
    shifts = range(1, x.shape[1])
    across = [angular((unit * unit.roll(-k, 1)).sum(-1)) * there for k in shifts]  # (B, M, L) each
    scale = torch.where(there, inside.sum(-1) + sum(across), 1.0).rsqrt()  # (B, M, L)
    across = [scale * a * scale.roll(-k, 1) for k, a in zip(shifts, across, strict=True)]
    return Graph(scale[..., None] * inside * scale[:, :, None], torch.stack(across) if across else scale.new_empty(0))


def adjacency(x: Tensor, modalities: int) -> Tensor:
    """Â of one conversation as one matrix, from its nodes (M n, d), modality by modality."""
    unit = F.normalize(x)
    node = torch.arange(len(x), device=x.device)
    n = len(x) // modalities
    modality, utterance = node // n, node % n
    meet = (modality[:, None] == modality) | (utterance[:, None] == utterance)  # (M n, M n)
    A = angular(unit @ unit.T) * meet
    D = A.sum(1).rsqrt()
    return D[:, None] * A * D


class GatedGraph(nn.Module):
    """GCNII with an LSTM in front of each layer whose state runs over the layers, (B, M, L, d) to (B, M, L, hidden).

    h = relu(x W + b), q_0 = h, and for l = 1 .. layers with θ_l = ln(λ / l + 1):
    g_l, c_l = LSTM(q_{l-1}, (g_{l-1}, c_{l-1})); p = Â g_l;
    q_l = q_{l-1} + relu(θ_l [p, h] W_l + (1 - θ_l) ((1 - α) p + α h)).
    Dropout acts on q_0 and on each relu (`GCNII_lyc` with `reason_flag`, `GraphConvolution` with `variant`).
    """

    def __init__(self, width: int, hidden: int, layers: int, dropout: float, alpha: float, lamda: float) -> None:
        super().__init__()
        self.start = nn.Linear(width, hidden)
        self.gate = nn.LSTMCell(hidden, hidden)
        self.weight = nn.Parameter(torch.empty(layers, 2 * hidden, hidden).uniform_(-(hidden**-0.5), hidden**-0.5))
        self.dropout = Dropout(dropout)
        self.alpha, self.lamda = alpha, lamda

    def maps(self) -> tuple[Tensor, Tensor]:
        """What a layer multiplies p and h with, all its terms in one matrix each, twice (layers, hidden, hidden)."""
        layers, _, hidden = self.weight.shape
        layer = torch.arange(1, layers + 1, dtype=self.weight.dtype, device=self.weight.device)
        theta = torch.log(self.lamda / layer + 1)[:, None, None]
        same = torch.eye(hidden, dtype=self.weight.dtype, device=self.weight.device)
        mixed = torch.cat([(1 - self.alpha) * same, self.alpha * same])  # (2 hidden, hidden)
        of_p, of_h = (theta * self.weight + (1 - theta) * mixed).chunk(2, 1)
        return of_p, of_h

    def forward(self, x: Tensor, graph: Graph, maps: tuple[Tensor, Tensor]) -> Tensor:
        h = torch.relu(self.start(x))  # (B, M, L, hidden)
        shape, q, h = h.shape, self.dropout(h).flatten(0, 2), h.flatten(0, 2)  # (B M L, hidden)
        g = c = torch.zeros_like(h)
        for W_p, W_h in zip(*(m.unbind() for m in maps), strict=True):
            g, c = self.gate(q, (g, c))
            p = graph.propagate(g.view(shape)).flatten(0, 2)
            q = q + self.dropout(torch.relu(torch.addmm(h @ W_h, p, W_p)))
        return q.view(shape)

    def reference(self, x: Tensor, A: Tensor) -> Tensor:
        """The equations for one conversation without dropout, its nodes x (N, d) and Â (N, N) to (N, hidden)."""
        q = h = torch.relu(self.start(x))  # (N, hidden)
        g = c = torch.zeros_like(h)
        for l, W in enumerate(self.weight, 1):  # (2 hidden, hidden)
            theta = math.log(self.lamda / l + 1)
            g, c = self.gate(q, (g, c))
            p = A @ g
            residual = (1 - self.alpha) * p + self.alpha * h
            q = q + torch.relu(theta * torch.cat([p, h], 1) @ W + (1 - theta) * residual)
        return q


def group_sizes(lengths: Iterable[int]) -> list[int]:
    """The sizes of the groups into which conversations are cut that come longest first."""
    sizes: list[int] = []
    longest = 0
    for length in lengths:
        if not sizes or length < ALIKE * longest:
            longest = length
            sizes.append(0)
        sizes[-1] += 1
    return sizes


@register("mm_dfn")
class MmDfn(Backbone):
    """MM-DFN: Linear to 200 per modality, GRUs over conversation and parties, a gated graph, then one Linear.

    widths: d_m per modality, to 300 each: the graph's input, 200, beside what leaves its last layer, 100. Text goes
    through a GRU over the conversation; `party_weights` times the parties' GRU is added to each modality. Hidden 100,
    16 layers, α 0.2, λ 0.5, dropout 0.4, as in the original's IEMOCAP script (which also tries 32 layers and dropout
    0.2; in MELD's, audio and video weigh 0.5 and text 1.5). With 100, 100 and 512 wide modalities and six classes it
    has 1,294,106 parameters, 20,000 for each layer more; the original carries 507,909 others, which nothing uses.
    Memory grows with the utterances and with each conversation's squared length, not with the squared batch.

    The script turns the speaker embedding off: speakers enter through their sequences alone, so that their number sizes
    nothing and their names do not matter. Ours: `nonverbal`, features of the voice, counts as audio; a modality of
    weight 0 is spared the parties' GRU; without text there is no GRU over the conversation; one modality makes a graph
    too; an empty conversation counts as one utterance, which is masked again. `faithful`: the GRUs run over padding.
    """

    title = "MM-DFN"
    multimodal = True
    knows_speakers = True
    leak = (
        "The text GRU runs over the padding, where the linear layer leaves its bias, and the parties' GRU over zeros "
        "behind each party's last utterance, up to the longest conversation; both backward directions start there."
    )

    def __init__(
        self,
        widths: Mapping[str, int],
        speakers: int = 2,
        *,
        hidden: int = 100,
        layers: int = 16,
        dropout: float = 0.4,
        alpha: float = 0.2,
        lamda: float = 0.5,
        party_weights: Mapping[str, float] = PARTY_WEIGHTS,
        faithful: bool = False,
    ) -> None:
        super().__init__()
        d = 2 * hidden
        self.linear = nn.ModuleDict({m: nn.Linear(width, d) for m, width in widths.items()})
        self.context = Context(d, hidden, dropout, nn.GRU, faithful) if "text" in widths else None
        self.party_weights = {m: party_weights[m] for m in widths if party_weights[m]}
        self.parties = Parties(d, dropout, faithful) if self.party_weights else None
        self.graph = GatedGraph(d, hidden, layers, dropout, alpha, lamda)
        self.dropout = Dropout(dropout)
        self.d_out = dict.fromkeys(widths, d + hidden)

    def forward(self, streams: Mapping[str, Tensor], turns: Turns) -> dict[str, Tensor]:
        L = turns.mask.shape[1]
        lengths = turns.lengths.clamp(min=1)
        turns = Turns(turns.speaker, turns.mask, lengths, turns.who)
        projected = {m: self.linear[m](x) for m, x in streams.items()}  # (B, L, d) each
        nodes = dict(projected)
        if self.context is not None:
            nodes["text"] = self.context(projected["text"], turns)
        if self.parties is not None:
            own = self.parties(torch.stack([projected[m] for m in self.party_weights]), turns)
            for (m, weight), y in zip(self.party_weights.items(), own, strict=True):
                nodes[m] = nodes[m] + weight * y

        # Conversations of about the same length share a graph, which keeps padding small: a CPU pays for every row, a
        # GPU rather for every launch.
        order = lengths.argsort(descending=True)
        ordered = lengths[order].tolist()
        sizes = [len(ordered)] if turns.mask.is_cuda else group_sizes(ordered)
        order = order.to(turns.mask.device, non_blocking=True)
        x = torch.stack(list(nodes.values()), 1)[order]  # (B, M, L, d)
        there = (torch.arange(L) < lengths[:, None]).to(order.device, non_blocking=True)[order]  # (B, L)
        maps, groups, first = self.graph.maps(), [], 0
        for part, mask in zip(x.split(sizes), there.split(sizes), strict=True):
            longest = ordered[first]
            part, mask = part[:, :, :longest], mask[:, :longest]
            dropped = self.dropout(part)
            part = torch.cat(
                [dropped, self.graph(dropped, connect(part, mask), maps)], -1
            )  # (b, M, longest, d + hidden)
            groups.append(F.pad(part, (0, 0, 0, L - longest)))
            first += len(part)
        x = torch.cat(groups)[order.argsort()] * turns.mask[:, None, :, None]  # (B, M, L, d + hidden)
        return dict(zip(streams, x.unbind(1), strict=True))

    def reference(self, streams: Mapping[str, Tensor], turns: Turns) -> dict[str, Tensor]:
        """The same outside of training and without `faithful`, one conversation after the other, as one dense graph."""
        out = {m: x.new_zeros(*turns.mask.shape, self.d_out[m]) for m, x in streams.items()}
        for b, n in enumerate(turns.lengths.tolist()):
            nodes = []
            for m, x in streams.items() if n else ():
                projected = self.linear[m](x[b, :n])  # (n, d)
                node = projected  # (n, d)
                if self.context is not None and m == "text":
                    node = self.context.rnn(projected)[0]
                if self.parties is not None and m in self.party_weights:
                    own = torch.zeros_like(projected)
                    for s in turns.speaker[b, :n].unique():
                        places = (turns.speaker[b, :n] == s).nonzero()[:, 0]
                        own[places] = self.parties.context.rnn(projected[places])[0]
                    node = node + self.party_weights[m] * own
                nodes.append(node)
            if n:
                x = torch.cat(nodes)  # (M n, d): every utterance of every modality is a node
                q = self.graph.reference(x, adjacency(x, len(streams)))  # (M n, hidden)
                for m, part in zip(streams, torch.cat([x, q], 1).split(n), strict=True):
                    out[m][b, :n] = part
        return out

    def classifier(self, width: int, outputs: int) -> nn.Module:
        """Dropout, ReLU, Linear to the outputs."""
        return PerUtterance(Dropout(self.dropout.p), nn.ReLU(), nn.Linear(width, outputs))
