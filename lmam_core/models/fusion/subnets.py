"""The sub-networks in front of the tensor fusion methods."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from lmam_core.models.layers.initialisation import he

HIDDEN = {"text": 64, "audio": 16, "video": 16, "nonverbal": 16}
"""Widths of the sub-networks in the public code of TFN and LMF."""


class SubNet(nn.Sequential):
    """Normalised features through three linear maps with ReLU, (..., width) to (..., hidden).

    From `SubNet` of Justin1904/TensorFusionNetworks (ef0e78b) and Low-rank-Multimodal-Fusion (ea47551), neither with a
    licence, which normalise what comes in over the batch. Through that a conversation would feel the others of its
    batch, so that here a layer norm stands in its place, each utterance over its own features. It learns nothing: scale
    and shift would go into the map behind it. Something must stand there. Features come standardised, but in the late
    way the sub-networks meet contexts, whose values lie about 0.05, and a product of two or three small vectors is
    smaller still.

    The maps start with He's weights, under which the mean square, over starts, stays 1 from the norm to the output;
    torch's own start divides the size by fifteen, before the product. Their dropout is left to the backbone's
    classifier.
    """

    def __init__(self, width: int, hidden: int, normalise: bool = True) -> None:
        sizes = ((width, hidden), (hidden, hidden), (hidden, hidden))
        super().__init__(*(layer for a, b in sizes for layer in (he(nn.Linear(a, b)), nn.ReLU())))
        self.normalise = normalise

    @staticmethod
    def size(widths: Mapping[str, int], hidden: Mapping[str, int] = HIDDEN) -> int:
        """Parameters of a `SubNet` per modality, Σ_m (d_m + 1) h_m + 2 (h_m + 1) h_m."""
        return sum((d + 1) * hidden[m] + 2 * (hidden[m] + 1) * hidden[m] for m, d in widths.items())

    def forward(self, x: Tensor) -> Tensor:
        x = normalised(x) if self.normalise else x
        for layer in self:
            x = layer(x)
        return x


def normalised(x: Tensor) -> Tensor:
    """Each utterance over its own features, (..., d); a single feature stays, since it would become 0."""
    return F.layer_norm(x, x.shape[-1:]) if x.shape[-1] > 1 else x


def subnets(widths: Mapping[str, int], hidden: Mapping[str, int] = HIDDEN, normalise: bool = True) -> nn.ModuleDict:
    """A `SubNet` per modality, d_m to h_m.

    In the originals text has an LSTM over its words; here it is one vector per utterance and has what the others have.
    """
    return nn.ModuleDict({m: SubNet(d, hidden[m], normalise) for m, d in widths.items()})
