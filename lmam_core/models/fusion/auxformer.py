"""AuxFormer (Goncalves and Busso, ICASSP 2022), from its code, with more than two modalities as our extension."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lmam_core.batch import Turns
from lmam_core.models.contracts.fusion import register
from lmam_core.models.fusion.packed import Packed
from lmam_core.models.layers.dropout import Dropout
from lmam_core.models.layers.transformer import Places, Stacks

WIDTH, HEADS, LAYERS = 50, 10, 5


@register("auxformer", title="AuxFormer")
class AuxFormer(Packed):
    """Each modality attends to the others, then to itself, (B, L, 50 M); with an auxiliary network per modality.

        p_m = P_m x_m;  z_m = Own_m(Cross_m(p_m, {p_j : j ≠ m}));  y = [z_1; ...; z_M]
        h_m = Alone_m(Alone_m(Alone_m(p_m)));  a_m = h_m + MLP(h_m)
        loss = the mean of the losses of classifier(y), H a_1, ..., H a_M

    Read off the code, as the paper's own equations were not available; encoders are MulT's (Tsai et al. 2019, Eq. 4).
    The original is ilucasgoncalves/AuxFormer (708ba72, MIT), `net/avmodel_AF.py`, for audio and video: a linear map to
    50, a cross-modal encoder (10 heads, 5 layers, with positions), an encoder of its own (without), side by side. The
    auxiliary network of a modality runs a third encoder three times over the same 50 columns, adds MLP 50-512-256-50,
    and predicts the labels with a head that all modalities share, as they share the MLP; the loss is the mean of the
    main and the auxiliary ones, a third each there. The rest of the network has no use for it after training.

    Ours: with three modalities each attends to the other two side by side, under one softmax, which leaves widths and
    parameters of two as they are; every utterance keeps its output and sees the whole conversation, where the original
    takes the last step and hides what follows unless told otherwise; its residual block is left to the backbone's
    classifier, and the learned factor in each layer of the encoder of its own, ten numbers, is left out. Dropout is 0.1
    behind attention and in the feed-forward layers of all encoders and in the MLP. A single modality has no cross-modal
    encoder.
    """

    d_auxiliary = WIDTH
    others: Tensor

    def __init__(self, widths: Mapping[str, int], dropout: float = 0.1) -> None:
        M = len(widths)
        super().__init__(widths, M * WIDTH)
        self.project = nn.ModuleDict({m: nn.Linear(d, WIDTH, bias=False) for m, d in widths.items()})
        others = [[j for j in range(M) if j != i] for i in range(M)]
        self.register_buffer("others", torch.tensor(others), persistent=False)  # (M, M - 1)
        self.cross = Stacks(M, WIDTH, HEADS, LAYERS, dropout) if M > 1 else None
        self.own = Stacks(M, WIDTH, HEADS, LAYERS, dropout, positions=False)
        self.alone = Stacks(M, WIDTH, HEADS, LAYERS, dropout, positions=False)
        self.mlp = nn.Sequential(
            nn.Linear(WIDTH, 512), nn.ReLU(), Dropout(dropout), nn.Linear(512, 256), nn.ReLU(), Dropout(dropout),
            nn.Linear(256, WIDTH),
        )  # fmt: skip

    @staticmethod
    def size(widths: Mapping[str, int], **unsized: float) -> int:
        M = len(widths)
        mlp = (WIDTH + 1) * 512 + 513 * 256 + 257 * WIDTH
        return WIDTH * sum(widths.values()) + (3 if M > 1 else 2) * Stacks.size(M, WIDTH, LAYERS) + mlp

    def fuse(self, x: Mapping[str, Tensor], places: Places, turns: Turns) -> Tensor:
        z = self._projected(x)
        if self.cross is not None:
            z = self.cross(z, places, z[self.others])  # (M, N, 50), from sources (M, M - 1, N, 50)
        return self.own(z, places).transpose(0, 1).flatten(1)  # (N, d_out)

    def auxiliary(self, features: Mapping[str, Tensor], turns: Turns) -> Tensor:
        """What the auxiliary networks predict from, (M, B, L, 50)."""
        places = Places.of(turns)
        h = self._projected(self.packed(features, places))  # (M, N, 50)
        for _ in range(3):
            h = self.alone(h, places)
        return places.pad(h + self.mlp(h))

    def _projected(self, x: Mapping[str, Tensor]) -> Tensor:
        return torch.stack([self.project[m](x[m]) for m in self.modalities])  # (M, N, 50)
