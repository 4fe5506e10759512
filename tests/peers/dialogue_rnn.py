"""DialogueRNN beside declare-lab/conv-emotion, `DialogueRNN/model.py`."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lmam_core.batch import Conversations
from lmam_core.models.backbones.dialogue_rnn import DialogueRnn
from lmam_core.models.embedded import embed
from lmam_core.models.fusion import build
from tests.peers import LENGTHS, Peer, Shapes, load, rename, theirs_qmask

RENAMED = {
    "backbone.streams.fused.directions.0.attention": "dialog_rnn_f.dialogue_cell.attention.transform",
    "backbone.streams.fused.directions.1.attention": "dialog_rnn_r.dialogue_cell.attention.transform",
    "backbone.streams.fused.directions.0": "dialog_rnn_f.dialogue_cell",
    "backbone.streams.fused.directions.1": "dialog_rnn_r.dialogue_cell",
    "backbone.streams.fused.match.transform": "matchatt.transform",
    "classifier.0": "linear",
    "classifier.3": "smax_fc",
}


def ours(shapes: Shapes) -> nn.Module:
    """Our model with concatenation before it."""
    return embed(shapes.widths, shapes.outputs, DialogueRnn, lambda w: build("concat", w), "early", shapes.speakers)


def theirs(shapes: Shapes) -> nn.Module:
    """Their model in the widths of its IEMOCAP script."""
    module = load("conv-emotion", "DialogueRNN/model.py")
    made = module.BiModel(
        sum(shapes.widths.values()), 500, 500, 300, 300, shapes.outputs, False, "general", 100, 0.1, 0.1
    )
    made.speakers = shapes.speakers
    return made


def call(model: nn.Module, some: Conversations) -> Tensor:
    """Their log-probabilities, (B, L, C)."""
    U = torch.cat(list(some.features.values()), -1).transpose(0, 1)  # (L, B, D_m)
    return model(U, theirs_qmask(some, model.speakers), some.mask.to(U.dtype))[0].transpose(0, 1)


def weights(found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors under the names of theirs."""
    return {rename(name, RENAMED): value for name, value in found.items()}


PEERS = {
    "dialogue_rnn": Peer(
        ours,
        theirs,
        call,
        weights,
        Shapes({"text": 6, "audio": 3}, LENGTHS, speakers=3),
        Shapes({"text": 100, "audio": 100, "video": 512}, (0,) * 30),
        2.0,
    ),
}
