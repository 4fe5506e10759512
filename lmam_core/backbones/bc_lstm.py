"""bc-LSTM (Poria et al. 2017), with and without self-attention, in the widths of the PyTorch original.

Original: declare-lab/conv-emotion, `bc-LSTM-pytorch`, commit 6128ca2 (MIT licence). Re-implemented from its layers.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class ContextLstm(nn.Module):
    """A two-layer bidirectional LSTM over a conversation, (B, L, width) to (B, L, 2 hidden).

    Sequences are packed, so the backward direction starts at the last utterance rather than in the padding.
    """

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, hidden, num_layers=2, bidirectional=True, dropout=dropout, batch_first=True)
        self.d_out = 2 * hidden

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        # Lengths live on the CPU by torch's contract; one conversation at least counts one step.
        lengths = mask.sum(1).clamp(min=1).cpu()
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        h, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=x.shape[1])
        return h * mask[..., None]  # (B, L, 2 hidden)


class MatchingSelfAttention(nn.Module):
    """Self-attention of bc-LSTM+Att: softmax over the conversation of tanh((W h_t + b) · h_s), applied to h.

    The original's "general2" attention with its loop over t written as two products; d^2 + d parameters.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.transform = nn.Linear(width, width)

    def forward(self, h: Tensor, mask: Tensor) -> Tensor:
        scores = torch.tanh(self.transform(h) @ h.transpose(1, 2))  # (B, L, L)
        scores = scores.masked_fill(~mask[:, None, :], torch.finfo(h.dtype).min)
        return (torch.softmax(scores, -1) @ h) * mask[..., None]  # (B, L, d)


class BcLstm(nn.Module):
    """bc-LSTM: one context LSTM a stream, then Linear, ReLU, dropout, Linear.

    widths: d_m a stream. Hidden 100 a direction, classifier hidden 100, dropout 0.25, as in the original. With one
    100-wide stream and six classes it has 423,906 parameters.
    """

    native = "early"

    def __init__(
        self, widths: Mapping[str, int], speakers: int = 2, *, hidden: int = 100, dropout: float = 0.25
    ) -> None:
        super().__init__()
        self.hidden, self.dropout = hidden, dropout
        self.context = nn.ModuleDict({m: ContextLstm(d, hidden, dropout) for m, d in widths.items()})
        self.d_out = {m: lstm.d_out for m, lstm in self.context.items()}

    def forward(self, streams: Mapping[str, Tensor], speaker: Tensor, mask: Tensor) -> dict[str, Tensor]:
        return {m: self.context[m](x, mask) for m, x in streams.items()}  # (B, L, 2 hidden) each

    def classifier(self, width: int, outputs: int) -> nn.Module:
        """Linear to 100, ReLU, dropout, Linear to the outputs."""
        return nn.Sequential(
            nn.Linear(width, self.hidden), nn.ReLU(), nn.Dropout(self.dropout), nn.Linear(self.hidden, outputs)
        )


class BcLstmAttention(BcLstm):
    """bc-LSTM+Att: self-attention over each stream's context; 40,200 parameters more a stream."""

    def __init__(
        self, widths: Mapping[str, int], speakers: int = 2, *, hidden: int = 100, dropout: float = 0.25
    ) -> None:
        super().__init__(widths, speakers, hidden=hidden, dropout=dropout)
        self.attention = nn.ModuleDict({m: MatchingSelfAttention(d) for m, d in self.d_out.items()})

    def forward(self, streams: Mapping[str, Tensor], speaker: Tensor, mask: Tensor) -> dict[str, Tensor]:
        context = super().forward(streams, speaker, mask)
        return {m: self.attention[m](h, mask) for m, h in context.items()}
