"""The three ways to put a fusion module into a backbone (paper, Section IV-D and Fig. 4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from lmam_core.data.conversations import Conversations
from lmam_core.errors import LmamError

EMBEDDINGS = ("early", "early_residual", "late")


class Embedded(nn.Module):
    """A backbone with a fusion module in it; maps a batch to (B, L, outputs).

    * `early` (Fig. 4a): fuse the modalities, then encode the fused stream.
    * `early_residual` (Fig. 4b): as early, with the concatenated modalities added to the fused stream; where the
      fusion's output has another width, a linear map without bias brings it to theirs.
    * `late` (Fig. 4c): encode each modality, then fuse the contexts.

    `fusion` makes the fusion module from the widths that it will see.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        outputs: int,
        backbone: type[nn.Module],
        fusion: Callable[[Mapping[str, int]], nn.Module],
        embedding: str,
        speakers: int = 2,
    ) -> None:
        super().__init__()
        if embedding not in EMBEDDINGS:
            raise LmamError(f"There is no embedding way '{embedding}'; choose one of {', '.join(EMBEDDINGS)}.")
        self.modalities, self.embedding = tuple(widths), embedding
        self.match: nn.Module = nn.Identity()
        if embedding == "late":
            self.backbone = backbone(widths, speakers)
            self.fusion = fusion(self.backbone.d_out)
            width = self.fusion.d_out
        else:
            self.fusion = fusion(widths)
            stream, total = self.fusion.d_out, sum(widths.values())
            if embedding == "early_residual" and stream != total:
                self.match, stream = nn.Linear(stream, total, bias=False), total
            self.backbone = backbone({"fused": stream}, speakers)
            width = self.backbone.d_out["fused"]
        self.classifier = self.backbone.classifier(width, outputs)

    def forward(self, batch: Conversations) -> Tensor:
        """Logits, or the regression value, for each utterance."""
        features = self._features(batch)
        mask, speaker = batch.mask, batch.speaker
        if self.embedding == "late":
            return self.classifier(self.fusion(self.backbone(features, speaker, mask), mask))  # (B, L, outputs)
        fused = self.fusion(features, mask)  # (B, L, d)
        if self.embedding == "early_residual":
            fused = self.match(fused) + torch.cat(list(features.values()), -1)  # (B, L, Σ d_m)
        return self.classifier(self.backbone({"fused": fused}, speaker, mask)["fused"])  # (B, L, outputs)

    def fusion_inputs(self, batch: Conversations) -> dict[str, Tensor]:
        """What the fusion module sees: the features themselves, or in the late way the modalities' contexts."""
        features = self._features(batch)
        return self.backbone(features, batch.speaker, batch.mask) if self.embedding == "late" else features

    def _features(self, batch: Conversations) -> dict[str, Tensor]:
        missing = [m for m in self.modalities if m not in batch.features]
        if missing:
            raise LmamError(f"The model was built for {', '.join(self.modalities)}; the batch lacks {missing[0]}.")
        return {m: batch.features[m] for m in self.modalities}
