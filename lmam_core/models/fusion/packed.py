"""What most fusion methods are built on: utterances packed one behind the other."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from lmam_core.batch import Turns
from lmam_core.errors import LmamError
from lmam_core.models.contracts.fusion import Fusion
from lmam_core.models.layers.transformer import Places


class Packed(Fusion):
    """A fusion method that never sees padding: a subclass fuses packed features (N, d_m) to (N, d_out) in `fuse`.

    The result is zero where no utterance stands. Raises LmamError for a batch that lacks a modality.
    """

    def __init__(self, widths: Mapping[str, int], d_out: int) -> None:
        super().__init__()
        self.modalities, self.d_out = tuple(widths), d_out

    def forward(self, features: Mapping[str, Tensor], turns: Turns) -> Tensor:
        places = Places.of(turns)
        return places.pad(self.fuse(self.packed(features, places), places, turns))  # (B, L, d_out)

    def packed(self, features: Mapping[str, Tensor], places: Places) -> dict[str, Tensor]:
        """The features that the method was built for, (N, d_m) each."""
        if missing := [m for m in self.modalities if m not in features]:
            raise LmamError(f"The fusion was built for {', '.join(self.modalities)}; {', '.join(missing)} is missing.")
        return {m: places.pack(features[m]) for m in self.modalities}

    def fuse(self, x: Mapping[str, Tensor], places: Places, turns: Turns) -> Tensor:
        """(N, d_m) per modality to (N, d_out)."""
        raise NotImplementedError


def matched(widths: Mapping[str, int], width: int) -> nn.ModuleDict:
    """Linear maps that bring modalities to one width, none for those that have it."""
    return nn.ModuleDict({m: nn.Linear(d, width) if d != width else nn.Identity() for m, d in widths.items()})
