"""The layers that more than one backbone is made of."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from lmam_core.batch import Turns
from lmam_core.models.kernels.recurrence import bidirectional


class PerUtterance(nn.ModuleList):
    """Layers, one after the other, that look at one utterance at a time, (B, L, width) to (B, L, outputs)."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__(layers)

    def forward(self, x: Tensor, turns: Turns) -> Tensor:
        for layer in self:
            x = layer(x)
        return x


class Classifier(PerUtterance):
    """Linear to `hidden`, ReLU, dropout, Linear to the outputs, (B, L, width) to (B, L, outputs)."""

    def __init__(self, width: int, hidden: int, outputs: int, dropout: float) -> None:
        super().__init__(nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, outputs))


class Context(nn.Module):
    """A two-layer bidirectional recurrence over a conversation, (B, L, width) to (B, L, 2 hidden).

    `cell` is `nn.LSTM` or `nn.GRU`. The backward direction starts at the last utterance; with `faithful` it starts in
    the padding and reads what stands there, as in several originals, and the output depends on the batch. On a CPU the
    loops of `recurrence` carry it out, in about half the time of torch's own packed one.
    """

    def __init__(
        self, width: int, hidden: int, dropout: float, cell: type[nn.LSTM | nn.GRU] = nn.LSTM, faithful: bool = False
    ) -> None:
        super().__init__()
        self.rnn = cell(width, hidden, num_layers=2, bidirectional=True, dropout=dropout, batch_first=True)
        self.d_out, self.faithful = 2 * hidden, faithful

    def forward(self, x: Tensor, turns: Turns) -> Tensor:
        if x.is_cuda:
            return self._packed(x, turns)
        lengths = torch.full_like(turns.lengths, x.shape[1]) if self.faithful else turns.lengths
        h = bidirectional(self.rnn, x, lengths, self.rnn.dropout if self.training else 0.0)  # (B, L, 2 hidden)
        return h if self.faithful else h * turns.mask[..., None]

    def reference(self, x: Tensor, turns: Turns) -> Tensor:
        """The same without padding and dropout: torch's recurrence over one conversation after the other."""
        out = x.new_zeros(*x.shape[:2], self.d_out)
        for b, n in enumerate(turns.lengths.tolist()):
            if n:
                out[b, :n] = self.rnn(x[b, :n])[0]  # (n, 2 hidden)
        return out

    def _packed(self, x: Tensor, turns: Turns) -> Tensor:
        """By torch's own kernels, of which a GPU has one for packed sequences."""
        if self.faithful:
            return self.rnn(x)[0]  # (B, L, 2 hidden)
        # Packing takes no empty sequence: a conversation without utterances counts one step, which is masked again.
        # Sorted here, on the CPU, where the lengths are: packing by itself would wait for a GPU to send the order back.
        lengths, order = turns.lengths.clamp(min=1).sort(descending=True, stable=True)
        there, back = (i.to(x.device, non_blocking=True) for i in (order, order.argsort()))
        packed = pack_padded_sequence(x.index_select(0, there), lengths, batch_first=True)
        h, _ = pad_packed_sequence(self.rnn(packed)[0], batch_first=True, total_length=x.shape[1])
        return h.index_select(0, back) * turns.mask[..., None]  # (B, L, 2 hidden)


class MatchingSelfAttention(nn.Module):
    """Self-attention over a conversation: softmax over s of tanh((W h_t + b) · h_s), applied to h.

    The "general2" attention of declare-lab/conv-emotion, its loop over t written as two products; `tanh=False` leaves
    the scores as they are, as DialogueRNN and DialogueGCN do. d^2 + d parameters.
    """

    def __init__(self, width: int, tanh: bool = True) -> None:
        super().__init__()
        self.transform = nn.Linear(width, width)
        self.tanh = tanh

    def forward(self, h: Tensor, mask: Tensor) -> Tensor:
        scores = self.transform(h) @ h.transpose(1, 2)  # (B, L, L)
        if self.tanh:
            scores = torch.tanh(scores)
        scores = scores.masked_fill(~mask[:, None, :], torch.finfo(h.dtype).min)
        return (torch.softmax(scores, -1) @ h) * mask[..., None]  # (B, L, d)
