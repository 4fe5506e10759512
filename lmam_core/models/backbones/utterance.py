"""No backbone: every utterance is classified by itself, so that what a fusion method adds is all there is."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from lmam_core.batch import Turns
from lmam_core.models.contracts.backbone import Backbone, register
from lmam_core.models.layers.context import Classifier


@register("utterance")
class Utterance(Backbone):
    """Features as they are, then Linear, ReLU, dropout, Linear; no layer sees another utterance. Not of the paper.

    widths: d_m per stream. 100 hidden columns and dropout 0.5 are decided by us.
    """

    title = "utterance"

    def __init__(
        self, widths: Mapping[str, int], speakers: int = 2, *, hidden: int = 100, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.hidden, self.dropout = hidden, dropout
        self.d_out = dict(widths)

    def forward(self, streams: Mapping[str, Tensor], turns: Turns) -> dict[str, Tensor]:
        return dict(streams)

    def classifier(self, width: int, outputs: int) -> nn.Module:
        """Linear to `hidden`, ReLU, dropout, Linear to the outputs."""
        return Classifier(width, self.hidden, outputs, self.dropout)
