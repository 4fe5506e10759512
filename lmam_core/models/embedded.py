"""The three ways to put a fusion module into a backbone (paper, Section IV-D and Fig. 4)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from lmam_core.batch import Conversations
from lmam_core.errors import LmamError, unknown
from lmam_core.models.contracts.backbone import Backbone
from lmam_core.models.contracts.fusion import Fusion
from lmam_core.models.layers.dropout import Dropout

EMBEDDINGS = ("early", "early_residual", "late")


class Embedded(nn.Module):
    """A backbone with a fusion module in it; maps a batch to (B, L, outputs). `embed` makes the parts.

    * `early` (Fig. 4a): fuse the modalities, then encode the fused stream.
    * `early_residual` (Fig. 4b): as early, with the concatenated modalities added to the fused stream; where the
      fusion's output has another width, a linear map without bias brings it to theirs.
    * `late` (Fig. 4c): encode each modality, then fuse the contexts.

    A `multimodal` backbone relates the modalities to each other itself. The two early ways leave it whole: the fused
    stream, brought to the modalities' widths where it has others, is cut into one stream per modality again, and the
    contexts are concatenated as without LMAM. The paper does not say what else it could mean by a plug-in there.

    `match` is that linear map, an identity where none is needed; `auxiliary` the one linear map to the outputs that
    auxiliary networks of the fusion share. `input_dropout` acts on the features as they enter, each with a mask of its
    own. With a `centre` (outputs,) the conversation is judged as a whole: what comes out is the mean over its
    utterances plus the centre, (B, 1, outputs). So traits of 1 to 7 start from their training means; TextCNN that
    started from 0 had overfitted POM's 600 videos before it was there.
    """

    centre: Tensor | None

    backbone: Backbone
    fusion: Fusion

    def __init__(
        self,
        backbone: Backbone,
        fusion: Fusion,
        classifier: nn.Module,
        embedding: str,
        widths: Mapping[str, int],
        speakers: int = 2,
        *,
        match: nn.Module | None = None,
        auxiliary: nn.Module | None = None,
        input_dropout: float = 0.0,
        centre: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("centre", centre)
        self.embedding, self.widths, self.speakers = embedding, dict(widths), speakers
        self.dropout = Dropout(input_dropout)
        self.match = match or nn.Identity()
        # In the order in which a batch meets them, which is also that of the optimizer's sums.
        parts: dict[str, nn.Module] = {"fusion": fusion, "backbone": backbone}
        for name in reversed(parts) if embedding == "late" else parts:
            self.add_module(name, parts[name])
        self.classifier, self.auxiliary = classifier, auxiliary

    def forward(self, batch: Conversations) -> Tensor:
        """Logits, or the regression value, for each utterance, (B, L, outputs)."""
        return self._judged(self._decide(batch, self.fusion_inputs(batch)), batch)

    def outputs(self, batch: Conversations) -> list[Tensor]:
        """What is trained to predict the labels, each as `forward`: the model's output, then auxiliary networks'."""
        inputs = self.fusion_inputs(batch)
        outputs = [self._decide(batch, inputs)]
        if self.auxiliary is not None:
            outputs += self.auxiliary(self.fusion.auxiliary(inputs, batch.turns)).unbind(0)
        return [self._judged(output, batch) for output in outputs]

    def _judged(self, output: Tensor, batch: Conversations) -> Tensor:
        """(B, L, outputs) as it is or, with a centre, that and the mean over each conversation, (B, 1, outputs)."""
        if self.centre is None:
            return output
        inside = batch.mask[..., None]  # (B, L, 1)
        mean = output.masked_fill(~inside, 0).sum(1, keepdim=True) / inside.sum(1, keepdim=True).clamp(min=1)
        return self.centre + mean

    def _decide(self, batch: Conversations, inputs: Mapping[str, Tensor]) -> Tensor:
        turns = batch.turns
        fused = self.fusion(inputs, turns)
        if self.embedding == "late":
            return self.classifier(fused, turns)  # (B, L, outputs)
        fused = self.match(fused)  # (B, L, d)
        if self.embedding == "early_residual":
            fused = fused + torch.cat(list(inputs.values()), -1)  # (B, L, Σ d_m)
        streams = {"fused": fused}
        if self.backbone.multimodal:
            streams = dict(zip(self.widths, fused.split(list(self.widths.values()), -1), strict=True))
        context = torch.cat(list(self.backbone(streams, turns).values()), -1)  # (B, L, Σ d_out)
        return self.classifier(context, turns)  # (B, L, outputs)

    def fusion_inputs(self, batch: Conversations) -> dict[str, Tensor]:
        """What the fusion module sees: the features themselves, or in the late way the modalities' contexts."""
        features = self._features(batch)
        return self.backbone(features, batch.turns) if self.embedding == "late" else features

    def _features(self, batch: Conversations) -> dict[str, Tensor]:
        for m, width in self.widths.items():
            if m not in batch.features:
                raise LmamError(f"The model was built for {', '.join(self.widths)}; the batch lacks {m}.")
            if (d := batch.features[m].shape[-1]) != width:
                raise LmamError(f"The model was built for {m} of width {width}; the batch has width {d}.")
        if (last := int(batch.who.max())) >= self.speakers:
            raise LmamError(f"The model was built for {self.speakers} speakers; the batch has a speaker {last}.")
        return {m: self.dropout(batch.features[m]) for m in self.widths}


def embed(
    widths: Mapping[str, int],
    outputs: int,
    backbone: type[Backbone],
    fusion: Callable[[Mapping[str, int]], Fusion],
    embedding: str,
    speakers: int = 2,
    *,
    seed: int | None = None,
    input_dropout: float = 0.0,
    centre: Tensor | None = None,
    **options: bool | int | float,
) -> Embedded:
    """Make the parts of an `Embedded`, each as wide as what it meets.

    `fusion` makes the fusion module from the widths that it will see; `options` go to the backbone. With a `seed` each
    part starts from random numbers of its own, so that two models of one seed share the weights of the parts that they
    have in common. Raises LmamError for an unknown embedding way.
    """
    if embedding not in EMBEDDINGS:
        raise unknown("There is no embedding way", embedding, EMBEDDINGS)
    match = None
    if embedding == "late":
        seed_part(seed, "backbone")
        encoder = backbone(widths, speakers, **options)
        seed_part(seed, "fusion")
        fused = fusion(encoder.d_out)
        width = fused.d_out
    else:
        seed_part(seed, "fusion")
        fused = fusion(widths)
        stream, total = fused.d_out, sum(widths.values())
        if stream != total and (backbone.multimodal or embedding == "early_residual"):
            match, stream = nn.Linear(stream, total, bias=False), total
        seed_part(seed, "backbone")
        encoder = backbone(widths if backbone.multimodal else {"fused": stream}, speakers, **options)
        width = sum(encoder.d_out.values())
    seed_part(seed, "classifier")
    classifier = encoder.classifier(width, outputs)
    auxiliary = nn.Linear(fused.d_auxiliary, outputs) if fused.d_auxiliary else None
    return Embedded(
        encoder,
        fused,
        classifier,
        embedding,
        widths,
        speakers,
        match=match,
        auxiliary=auxiliary,
        input_dropout=input_dropout,
        centre=centre,
    )


def seed_part(seed: int | None, part: str) -> None:
    """Start torch's random numbers from a seed and the name of a part of a model; without a seed they go on."""
    if seed is not None:
        torch.manual_seed(int.from_bytes(hashlib.sha256(f"{seed} {part}".encode()).digest()[:7]))
