"""bc-LSTM and bc-LSTM+Att beside declare-lab/conv-emotion, `bc-LSTM-pytorch/model.py`."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lmam_core.batch import Conversations
from lmam_core.models.backbones.bc_lstm import BcLstm, BcLstmAttention
from lmam_core.models.embedded import embed
from lmam_core.models.fusion import build
from tests.peers import LENGTHS, Peer, Shapes, load, rename, theirs_qmask

RENAMED = {
    "backbone.context.fused.rnn": "lstm",
    "backbone.attention.fused.transform": "matchatt.transform",
    "classifier.0": "linear",
    "classifier.3": "smax_fc",
}


def _ours(backbone: type[nn.Module]):
    def make(shapes: Shapes, faithful: bool = True) -> nn.Module:
        concat = lambda widths: build("concat", widths)  # noqa: E731
        return embed(shapes.widths, shapes.outputs, backbone, concat, "early", shapes.speakers, faithful=faithful)

    return make


def _theirs(attention: bool):
    def make(shapes: Shapes) -> nn.Module:
        module = load("conv-emotion", "bc-LSTM-pytorch/model.py")
        return module.LSTMModel(sum(shapes.widths.values()), 100, 100, shapes.outputs, 0.25, attention)

    return make


def call(theirs: nn.Module, some: Conversations) -> Tensor:
    """Their log-probabilities, (B, L, C)."""
    U = torch.cat(list(some.features.values()), -1).transpose(0, 1)  # (L, B, D_m)
    return theirs(U, theirs_qmask(some, 2), some.mask.to(U.dtype))[0].transpose(0, 1)


def weights(ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors under the names of theirs."""
    return {rename(name, RENAMED): value for name, value in ours.items()}


GOLDEN = Shapes({"text": 6, "audio": 3}, LENGTHS)
TIMED = Shapes({"text": 100, "audio": 100, "video": 512}, ())
PEERS = {
    "bc_lstm": Peer(_ours(BcLstm), _theirs(False), call, weights, GOLDEN, TIMED, 1.0),
    "bc_lstm_att": Peer(_ours(BcLstmAttention), _theirs(True), call, weights, GOLDEN, TIMED, 2.0),
}
