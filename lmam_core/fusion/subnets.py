"""The sub-networks in front of the tensor fusion methods."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

HIDDEN = {"text": 64, "audio": 16, "video": 16, "nonverbal": 16}
"""Widths of the sub-networks in the public code of TFN and LMF."""


def subnets(widths: Mapping[str, int], hidden: Mapping[str, int] = HIDDEN) -> nn.ModuleDict:
    """Three linear maps with ReLU a modality, d_m to h_m: Σ_m (d_m + 1) h_m + 2 (h_m + 1) h_m parameters.

    From `SubNet` of Justin1904/TensorFusionNetworks (ef0e78b) and Low-rank-Multimodal-Fusion (ea47551), neither with a
    licence. Text has an LSTM over its words there; here it is one vector an utterance and has what the others have.
    Their batch norm is left out, since through it a conversation would feel the others of its batch; features come
    standardised. Their dropout is left to the backbone's classifier.
    """
    return nn.ModuleDict(
        {
            m: nn.Sequential(
                *(layer for a, b in ((d, h), (h, h), (h, h)) for layer in (nn.Linear(a, b), nn.ReLU())),
            )
            for m, d in widths.items()
            for h in (hidden[m],)
        }
    )
