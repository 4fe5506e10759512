"""DialogueRNN (Majumder et al. 2019), bidirectional, with attention over the emotion states, in the original's widths.

Original: declare-lab/conv-emotion, `DialogueRNN`, commit 6128ca2 (MIT licence), `BiModel` without listener states.
Re-implemented from its layers; the loops are in `party_loop` and `recurrence`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lmam_core.batch import Turns
from lmam_core.models.contracts.backbone import Backbone, register
from lmam_core.models.contracts.parts import ModuleDict, ModuleList
from lmam_core.models.kernels.party_loop import party_loop
from lmam_core.models.kernels.recurrence import gru_loop, time_major
from lmam_core.models.layers.context import Classifier, MatchingSelfAttention
from lmam_core.models.layers.dropout import keep_mask


class Direction(nn.Module):
    """The weights of one direction: three GRU cells and the attention over the global states.

    For utterance u_t of speaker s: g_t = GRU_g([u_t, q_s], g_{t-1}); c_t = Σ_{s<t} softmax(g_s · W u_t) g_s;
    q_s ← GRU_p([u_t, c_t], q_s); e_t = GRU_e(q_s, e_{t-1}). Source: Majumder et al. 2019, Eq. 1 to 6.
    """

    def __init__(self, width: int, d_global: int, d_party: int, d_emotion: int) -> None:
        super().__init__()
        self.g_cell = nn.GRUCell(width + d_party, d_global)
        self.p_cell = nn.GRUCell(width + d_global, d_party)
        self.e_cell = nn.GRUCell(d_party, d_emotion)
        self.attention = nn.Linear(width, d_global, bias=False)

    def reference(
        self, u: Tensor, speaker: list[int], parties: int, drop: tuple[Tensor, Tensor, Tensor] | None = None
    ) -> Tensor:
        """The equations one after the other for one conversation, u (n, width) to e (n, d_emotion).

        `drop` are masks of dropout on g, q and e, (n, ·) each.
        """
        q = u.new_zeros(parties, self.p_cell.hidden_size)  # (S, P)
        g, e = u.new_zeros(self.g_cell.hidden_size), u.new_zeros(self.e_cell.hidden_size)  # (G,), (E,)
        history = u.new_zeros(0, len(g))  # g_1 .. g_{t-1}, (t - 1, G)
        emotions: list[Tensor] = []
        for t, s in enumerate(speaker):
            g = self.g_cell(torch.cat([u[t], q[s]]), g)  # (G,)
            alpha = torch.softmax(history @ self.attention(u[t]), 0)  # (t - 1,)
            c = alpha @ history  # (G,), 0 at the first utterance
            mine = self.p_cell(torch.cat([u[t], c]), q[s])  # (P,)
            if drop is not None:
                g, mine = g * drop[0][t], mine * drop[1][t]
            q = q.index_put((torch.tensor(s),), mine)  # the listeners' states stay
            e = self.e_cell(mine, e)  # (E,)
            if drop is not None:
                e = e * drop[2][t]
            history = torch.cat([history, g[None]])
            emotions.append(e)
        return torch.stack(emotions)


class DialogueRnnStream(nn.Module):
    """DialogueRNN over one stream in both directions, (B, L, width) to (B, L, 2 d_emotion).

    Dropout acts on the states inside the recurrence with `rate`, and on the emotion states with `rate` + 0.15, as in
    the original.
    """

    def __init__(self, width: int, d_global: int, d_party: int, d_emotion: int, rate: float, speakers: int) -> None:
        super().__init__()
        self.directions = ModuleList(Direction(width, d_global, d_party, d_emotion) for _ in range(2))
        self.match = MatchingSelfAttention(2 * d_emotion, tanh=False)
        self.width, self.rate, self.speakers = width, rate, speakers
        self.d_out = 2 * d_emotion

    def forward(self, x: Tensor, turns: Turns) -> Tensor:
        e = F.dropout(self._emotions(x, turns), self.rate + 0.15, self.training)  # (B, L, 2 d_emotion)
        return self.match(e, turns.mask)

    def reference(self, x: Tensor, turns: Turns) -> Tensor:
        """`forward` without dropout, one conversation and direction after the other, by `Direction.reference`."""
        e = x.new_zeros(*x.shape[:2], self.d_out)
        for b, n in enumerate(turns.lengths.tolist()):
            if n:
                u, speaker = x[b, :n], turns.speaker[b, :n].tolist()
                there, back = self.directions
                ahead = there.reference(u, speaker, self.speakers)  # (n, d_emotion)
                behind = back.reference(u.flip(0), speaker[::-1], self.speakers).flip(0)  # (n, d_emotion)
                e[b, :n] = torch.cat([ahead, behind], -1)
        return self.match(e, turns.mask)

    def _emotions(self, x: Tensor, turns: Turns) -> Tensor:
        B, L = turns.mask.shape
        counts, places = time_major(turns.lengths, L)
        places = places.to(x.device, non_blocking=True)
        u, speaker = x.reshape(B * L, -1)[places], turns.speaker.reshape(B * L)[places]  # (2, N, d), (2, N)
        both = [self._weights(k) for k in range(2)]
        into, bias, W_q, W_g, W_c, b_g, b_p = (torch.stack(pair) for pair in zip(*both, strict=True))
        gates = torch.baddbmm(bias[:, None], u, into.transpose(1, 2))  # (2, N, 3 G + 3 P + G)
        G, P = W_g.shape[-1], W_q.shape[-1]
        i_g, i_p, keys = gates.split([3 * G, 3 * P, G], -1)
        drop_g, drop_q = self._drop(i_g, G), self._drop(i_g, P)
        spoken = party_loop(
            i_g, i_p, keys, W_q, W_g, W_c, b_g, b_p, drop_g, drop_q, speaker, self.speakers, counts
        )  # (2, N, P)
        cells = [direction.e_cell for direction in self.directions]
        W_i, W_h, b_i, b_h = (
            torch.stack([getattr(c, name) for c in cells]) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        i_e = torch.baddbmm(b_i[:, None], spoken, W_i.transpose(1, 2))  # (2, N, 3 E)
        e = gru_loop(i_e, W_h, b_h, self._drop(i_e, W_h.shape[-1]), counts)  # (2, N, E)
        # Both directions write their own half of every utterance that there is; padding stays zero.
        out = e.new_zeros(B * L, 2, e.shape[-1])
        side = torch.arange(2, device=x.device)[:, None].expand_as(places)
        return out.index_put((places, side), e).view(B, L, -1)  # (B, L, 2 E)

    def _weights(self, k: int) -> tuple[Tensor, ...]:
        """The weights of a direction as `PartyLoop` takes them: what multiplies u, q, g and c, and the biases."""
        one, d = list(self.directions)[k], self.width
        g, p = one.g_cell, one.p_cell
        into = torch.cat([g.weight_ih[:, :d], p.weight_ih[:, :d], one.attention.weight])
        bias = torch.cat([g.bias_ih, p.bias_ih, g.bias_ih.new_zeros(len(one.attention.weight))])
        W_q = torch.cat([g.weight_ih[:, d:], p.weight_hh])
        return into, bias, W_q, g.weight_hh, p.weight_ih[:, d:], g.bias_hh, p.bias_hh

    def _drop(self, like: Tensor, width: int) -> Tensor | None:
        """A mask of dropout for every utterance and direction, (2, N, width); None outside of training."""
        if not self.training or self.rate == 0:
            return None
        return keep_mask(like, (2, like.shape[1], width), self.rate)


@register("dialogue_rnn")
class DialogueRnn(Backbone):
    """DialogueRNN: global, party and emotion states in both directions, attention over them, and a classifier.

    widths: d_m per stream; in the late way each stream has its own states. Global and party states 500 wide, emotion
    states and half of the classifier 300, dropout 0.1, as in the original's IEMOCAP script. With one 100-wide stream
    and six classes it has 8,880,406 parameters. `speakers` is how many party states a conversation has.
    """

    title = "DialogueRNN"
    native = "early"
    widened = "d_emotion"
    knows_speakers = True

    def __init__(
        self,
        widths: Mapping[str, int],
        speakers: int = 2,
        *,
        d_global: int = 500,
        d_party: int = 500,
        d_emotion: int = 300,
        d_hidden: int = 300,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.d_hidden, self.dropout = d_hidden, dropout
        self.streams = ModuleDict(
            {m: DialogueRnnStream(d, d_global, d_party, d_emotion, dropout, speakers) for m, d in widths.items()}
        )
        self.d_out = {m: stream.d_out for m, stream in self.streams.items()}

    def forward(self, streams: Mapping[str, Tensor], turns: Turns) -> dict[str, Tensor]:
        return {m: self.streams[m](x, turns) for m, x in streams.items()}  # (B, L, 2 d_emotion) each

    def reference(self, streams: Mapping[str, Tensor], turns: Turns) -> dict[str, Tensor]:
        """The same outside of training, as the equations say it and many times slower."""
        return {m: self.streams[m].reference(x, turns) for m, x in streams.items()}

    def classifier(self, width: int, outputs: int) -> nn.Module:
        """Linear to 2 d_hidden, ReLU, dropout, Linear to the outputs."""
        return Classifier(width, 2 * self.d_hidden, outputs, self.dropout)
