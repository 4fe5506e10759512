"""TextCNN as the LMAM paper uses it: a 1D-CNN over the utterances of a conversation, one per modality.

The paper says that TextCNN puts the utterance features of text, audio and video into a 1D-CNN (Section V), and that it
has 0.23 M parameters (Table VI). No multimodal original exists to compare with; the sizes are inferred from that count.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lmam_core.batch import Turns
from lmam_core.models.contracts.backbone import Backbone, register
from lmam_core.models.layers.context import Classifier


@register("text_cnn")
class TextCnn(Backbone):
    """TextCNN: one convolution over the conversation per stream, then Linear, ReLU, dropout, Linear.

    widths: d_m per stream. Decided by us, since the paper gives no size:

    * the convolution runs over the utterances of a conversation: an utterance is one feature vector here, so there is
      nothing else to run over;
    * 100 filters that see `kernel` = 3 utterances, zeros beyond the ends, ReLU, classifier hidden 50, dropout 0.5. With
      streams of 100, 100 and 512, late concatenation and six classes that makes 229,256 parameters, the paper's
      0.23 M; other sizes would do so too.

    With `kernel=1` an utterance sees no other, as in the authors' released code.
    """

    title = "TextCNN"
    widened = "filters"

    def __init__(
        self,
        widths: Mapping[str, int],
        speakers: int = 2,
        *,
        filters: int = 100,
        kernel: int = 3,
        hidden: int = 50,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.hidden, self.dropout = hidden, dropout
        self.convolution = nn.ModuleDict(
            {m: nn.Conv1d(d, filters, kernel, padding="same") for m, d in widths.items()},
        )
        self.d_out = {m: filters for m in widths}

    def forward(self, streams: Mapping[str, Tensor], turns: Turns) -> dict[str, Tensor]:
        outside, out = ~turns.mask[..., None], {}
        for m, x in streams.items():
            # Padding is set to the zeros that the convolution puts beyond the longest conversation.
            x = x.masked_fill(outside, 0).transpose(1, 2)  # (B, d_m, L)
            h = torch.relu(self.convolution[m](x)).transpose(1, 2)  # (B, L, filters)
            out[m] = h.masked_fill(outside, 0)
        return out

    def classifier(self, width: int, outputs: int) -> nn.Module:
        """Linear to 50, ReLU, dropout, Linear to the outputs."""
        return Classifier(width, self.hidden, outputs, self.dropout)
