"""M2FNet (Chudasama et al., CVPRW 2022, arXiv 2206.02187): encoders per modality, then fusion attention.

Re-implemented from Section 3.2.2 and Fig. 3 of that paper; its authors published no code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from lmam_core.batch import Turns
from lmam_core.models.contracts.backbone import Backbone, register
from lmam_core.models.contracts.parts import ModuleDict, ModuleList
from lmam_core.models.layers.context import Classifier
from lmam_core.models.layers.transformer import Attention, Encoder, Places


class FusionAttention(nn.Module):
    """M2FNet's fusion attention module, on packed (N, d) utterances: text, and text as each other modality attends it.

    Queries and values are text; keys are the other modality, one attention each. A linear map takes the concatenation
    of text and the attended texts back to d.

    Five of these one behind the other, without a skip, start with text 80 times weaker than audio. He's start with ReLU
    before and after the map, as a community's code has (iosonopersia/Multimodal-Emotion-Recognition, 28d3422), makes
    them alike, and a gain of 1 without ReLU does; both trained worse on IEMOCAP than this, so that it stays.
    """

    def __init__(self, others: int, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.ModuleList(Attention(width, heads) for _ in range(others))
        self.output, self.dropout = nn.Linear((1 + others) * width, width), nn.Dropout(dropout)

    def forward(self, text: Tensor, others: Sequence[Tensor], places: Places) -> Tensor:
        attended = [a(text, x, text, places) for a, x in zip(self.attention, others, strict=True)]  # (N, d) each
        return self.dropout(self.output(torch.cat([text, *attended], -1)))  # (N, d)


@register("m2fnet")
class M2FNet(Backbone):
    """M2FNet: Transformer encoders per modality, then fusion attention modules that carry the others into text.

    widths: d_m per modality. From the M2FNet paper: attention over the utterances of the conversation, a skip around
    each encoder, h + Encoder(h); fusion with text as query and value and the others as keys, text going into its linear
    map as well; 5 encoders, 5 fusion modules, dropout 0.4. With streams of 100, 100 and 512, late concatenation and six
    classes it has 8,474,056 parameters. What that paper leaves open is decided in `book/paper-vs-code.md`.
    """

    title = "M2FNet"
    widened = "ffn"
    multimodal = True

    def __init__(
        self,
        widths: Mapping[str, int],
        speakers: int = 2,
        *,
        width: int = 200,
        heads: int = 4,
        ffn: int = 600,
        encoders: int = 5,
        fusions: int = 5,
        hidden: int = 150,
        dropout: float = 0.4,
    ) -> None:
        super().__init__()
        self.hidden, self.dropout = hidden, dropout
        self.input = nn.ModuleDict({m: nn.Linear(d, width) for m, d in widths.items()})
        self.encoders = ModuleDict(
            {m: ModuleList(Encoder(width, heads, ffn, dropout) for _ in range(encoders)) for m in widths}
        )
        self.text = "text" if "text" in widths else next(iter(widths))
        self.others = [m for m in widths if m != self.text]
        self.fusions = nn.ModuleList(
            FusionAttention(len(self.others), width, heads, dropout) for _ in range(fusions if self.others else 0)
        )
        self.d_out = {m: width for m in widths}

    def forward(self, streams: Mapping[str, Tensor], turns: Turns) -> dict[str, Tensor]:
        places, h = Places.of(turns), {}
        for m, x in streams.items():
            h[m] = self.input[m](places.pack(x))  # (N, d)
            for encoder in self.encoders[m]:
                h[m] = h[m] + encoder(h[m], places)  # (N, d)
        others = [h[m] for m in self.others]
        for fusion in self.fusions:
            h[self.text] = fusion(h[self.text], others, places)  # (N, d)
        return {m: places.pad(x) for m, x in h.items()}  # (B, L, d) each

    def classifier(self, width: int, outputs: int) -> nn.Module:
        """Linear to 150, ReLU, dropout, Linear to the outputs."""
        return Classifier(width, self.hidden, outputs, self.dropout)
