"""bc-LSTM (Poria et al. 2017), with and without self-attention, in the widths of the PyTorch original.

Original: declare-lab/conv-emotion, `bc-LSTM-pytorch`, commit 6128ca2 (MIT licence). Re-implemented from its layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from lmam_core.batch import Turns
from lmam_core.models.contracts.backbone import Backbone, register
from lmam_core.models.contracts.parts import ModuleDict
from lmam_core.models.layers.context import Classifier, Context, MatchingSelfAttention


@register("bc_lstm")
class BcLstm(Backbone):
    """bc-LSTM: one context LSTM per stream, then Linear, ReLU, dropout, Linear.

    widths: d_m per stream. Hidden 100 per direction, classifier hidden 100, dropout 0.25, as in the original. With one
    100-wide stream and six classes it has 423,906 parameters. `faithful`: the LSTMs run over padding, as they do there.
    """

    title = "bc-LSTM"
    native = "early"
    leak = "The LSTMs run over the padding, where the backward direction starts."

    def __init__(
        self,
        widths: Mapping[str, int],
        speakers: int = 2,
        *,
        hidden: int = 100,
        dropout: float = 0.25,
        faithful: bool = False,
    ) -> None:
        super().__init__()
        self.hidden, self.dropout, self.faithful = hidden, dropout, faithful
        self.context = ModuleDict({m: Context(d, hidden, dropout, faithful=faithful) for m, d in widths.items()})
        self.d_out = {m: context.d_out for m, context in self.context.items()}

    def forward(self, streams: Mapping[str, Tensor], turns: Turns) -> dict[str, Tensor]:
        if self.faithful:
            streams = {m: x * turns.mask[..., None] for m, x in streams.items()}  # the original pads with zeros
        return {m: self.context[m](x, turns) for m, x in streams.items()}  # (B, L, 2 hidden) each

    def classifier(self, width: int, outputs: int) -> nn.Module:
        """Linear to 100, ReLU, dropout, Linear to the outputs."""
        return Classifier(width, self.hidden, outputs, self.dropout)


@register("bc_lstm_att")
class BcLstmAttention(BcLstm):
    """bc-LSTM+Att: self-attention over each stream's context; 40,200 parameters more per stream."""

    title = "bc-LSTM+Att"

    def __init__(self, widths: Mapping[str, int], speakers: int = 2, **options: Any) -> None:
        super().__init__(widths, speakers, **options)
        self.attention = nn.ModuleDict({m: MatchingSelfAttention(d) for m, d in self.d_out.items()})

    def forward(self, streams: Mapping[str, Tensor], turns: Turns) -> dict[str, Tensor]:
        return {m: self.attention[m](h, turns.mask) for m, h in super().forward(streams, turns).items()}
