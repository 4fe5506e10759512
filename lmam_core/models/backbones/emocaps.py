"""EmoCaps (Li et al., Findings of ACL 2022, arXiv 2203.13504): emotion vectors and the sentence vector as a capsule.

Re-implemented from descriptions, of which three kinds were available:

* the abstract of that paper: an Emoformer takes an emotion vector out of each modality; with the sentence vector they
  are the emotion capsule; a context model classifies it;
* its authors' software for IEMOCAP, in a copy (Jing-yilin/EmoCaps-FFN, commit 99787dd, no licence): the context model,
  on capsules of width 456 that were computed before. The Emoformer is not in it;
* recollection of the paper's text, not checked: what is inside the Emoformer.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lmam_core.batch import Turns
from lmam_core.models.contracts.backbone import Backbone, register
from lmam_core.models.layers.context import Classifier, Context
from lmam_core.models.layers.initialisation import he, unit_gain
from lmam_core.models.layers.transformer import Encoder, Places


class Emoformer(nn.Module):
    """From the features of a modality to its emotion vector, packed (N, features) to (N, vector).

    A linear map, Transformer encoders, the map's output added to theirs, then the mapping network: `mapping` linear
    maps with ReLU between, the last of which narrows to the emotion vector. These start with He's weights, the last
    with a gain of 1, so that the emotion vector deviates about as much as the features, which are standardised and
    stand beside it in the capsule. With torch's own start it deviated by 0.015, a 67th of the sentence vector.
    """

    def __init__(
        self, features: int, width: int, heads: int, ffn: int, encoders: int, mapping: int, vector: int, dropout: float
    ) -> None:
        super().__init__()
        self.input = nn.Linear(features, width)
        self.encoders = nn.ModuleList(Encoder(width, heads, ffn, dropout) for _ in range(encoders))
        hidden = [layer for _ in range(mapping - 1) for layer in (he(nn.Linear(width, width)), nn.ReLU())]
        self.mapping = nn.Sequential(*hidden, unit_gain(nn.Linear(width, vector)))

    def forward(self, x: Tensor, places: Places) -> Tensor:
        u = h = self.input(x)  # (N, width)
        for encoder in self.encoders:
            h = encoder(h, places)  # (N, width)
        return self.mapping(u + h)  # (N, vector)


class ContextModel(nn.Module):
    """EmoCaps' classifier: a two-layer bidirectional LSTM over the capsules, then Linear, ReLU, dropout, Linear."""

    def __init__(self, width: int, hidden: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.context = Context(width, hidden, dropout)
        self.output = Classifier(2 * hidden, hidden, outputs, dropout)

    def forward(self, x: Tensor, turns: Turns) -> Tensor:
        return self.output(self.context(x, turns), turns)  # (B, L, outputs)


@register("emocaps")
class EmoCaps(Backbone):
    """EmoCaps: one Emoformer per modality; the text stream carries the text too; a BiLSTM classifies the capsule.

    widths: d_m per modality. The output of text is its emotion vector followed by its features, the sentence vector, so
    that the outputs side by side are the capsule and any fusion can stand in the place of that concatenation.

    With streams of 100, 100 and 512, concatenation and six classes it has 12,721,274 parameters, and with `ffn=1706`
    12,739,724, Table VI's 12.74 M. What is the authors', what is recollected and what is ours: `book/paper-vs-code.md`.
    """

    title = "EmoCaps"
    widened = "ffn"
    multimodal = True

    def __init__(
        self,
        widths: Mapping[str, int],
        speakers: int = 2,
        *,
        width: int = 512,
        heads: int = 8,
        ffn: int = 1700,
        encoders: int = 1,
        mapping: int = 5,
        vector: int = 100,
        hidden: int = 100,
        dropout: float = 0.25,
    ) -> None:
        super().__init__()
        self.hidden, self.dropout = hidden, dropout
        self.emoformers = nn.ModuleDict(
            {m: Emoformer(d, width, heads, ffn, encoders, mapping, vector, dropout) for m, d in widths.items()}
        )
        self.d_out = {m: vector + d if m == "text" else vector for m, d in widths.items()}

    def forward(self, streams: Mapping[str, Tensor], turns: Turns) -> dict[str, Tensor]:
        places, out = Places.of(turns), {}
        for m, x in streams.items():
            x = places.pack(x)  # (N, d_m)
            emotion = self.emoformers[m](x, places)  # (N, vector)
            out[m] = places.pad(torch.cat([emotion, x], -1) if m == "text" else emotion)  # (B, L, d_out[m])
        return out

    def classifier(self, width: int, outputs: int) -> nn.Module:
        """The context model over the capsule."""
        return ContextModel(width, self.hidden, outputs, self.dropout)
