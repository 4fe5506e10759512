"""MM-DFN beside zerohd4869/MM-DFN, `code/model.py:DialogueGNNModel`, as `script/run_train_ie.sh` builds it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import ModuleType
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from lmam_core.batch import Conversations
from lmam_core.models.backbones.mm_dfn import MmDfn
from lmam_core.models.embedded import embed
from lmam_core.models.fusion import build
from tests.peers import LENGTHS, Peer, Shapes, load, rename, theirs_qmask

LAYERS = 16
RENAMED = {
    "backbone.linear.text": "linear_l",
    "backbone.linear.audio": "linear_a",
    "backbone.linear.video": "linear_v",
    "backbone.context.rnn": "lstm_l",
    "backbone.parties.context.rnn": "rnn_parties",
    "backbone.graph.start": "graph_model.graph_net.fcs.0",
    "classifier.2": "smax_fc",
}


def _ours(shapes: Shapes, faithful: bool = True) -> nn.Module:
    concat = lambda widths: build("concat", widths)  # noqa: E731
    return embed(shapes.widths, shapes.outputs, MmDfn, concat, "late", shapes.speakers, faithful=faithful)


def _module() -> ModuleType:
    """Their `model.py` without torch_geometric, of which the model that we build uses nothing."""
    absent = ModuleType("torch_geometric.nn")
    absent.RGCNConv = absent.GraphConv = None
    with mock.patch.dict(sys.modules, {"torch_geometric": ModuleType("torch_geometric"), "torch_geometric.nn": absent}):
        return load("MM-DFN", "code/model.py")


class _ReLU(nn.ReLU):
    """They add to the result in place, which its gradient forbids where no dropout stands between, in eval mode."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y if self.training else y.clone()


def _theirs(shapes: Shapes) -> nn.Module:
    made = _module().DialogueGNNModel(
        "LSTM", shapes.widths["text"], 150, 150, 100, 100, 100, 100,
        n_speakers=shapes.speakers, max_seq_len=200, window_past=10, window_future=10, n_classes=shapes.outputs,
        dropout=0.4, no_cuda=True, graph_type="GDF", alpha=0.2, lamda=0.5, D_m_v=shapes.widths["video"],
        D_m_a=shapes.widths["audio"], modals="avl", att_type="concat_subsequently", Deep_GCN_nlayers=LAYERS,
        use_speaker=False, use_modal=False, reason_flag=True, use_crn_speaker=True, speaker_weights="3-0-1",
    )  # fmt: skip
    made.graph_model.graph_net.act_fn = _ReLU()
    return made


def call(theirs: nn.Module, some: Conversations) -> Tensor:
    """Their log-probabilities, (B, L, C), on a machine without a GPU and on a torch newer than 1.4."""
    put = torch.Tensor.__setitem__

    def put_pairs(tensor: Tensor, key: object, value: object) -> None:
        put(tensor, tuple(key) if isinstance(key, np.ndarray) else key, value)  # 1.4 took (2, n) as two indices

    x = {m: x.transpose(0, 1) for m, x in some.features.items()}  # (L, B, d_m)
    before = torch.get_default_dtype()
    torch.set_default_dtype(x["text"].dtype)  # of the graph's zeros
    try:
        with (
            mock.patch.object(torch.Tensor, "cuda", lambda tensor: tensor),
            mock.patch.object(torch.Tensor, "__setitem__", put_pairs),
        ):
            qmask, umask = theirs_qmask(some, theirs.n_speakers), some.mask.to(x["text"].dtype)
            found = theirs(x["text"], qmask, umask, some.lengths.tolist(), x["audio"], x["video"])[0]  # (N, C)
    finally:
        torch.set_default_dtype(before)
    return found.new_zeros(*some.mask.shape, found.shape[-1]).index_put((some.mask,), found)


def weights(ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors under the names of theirs."""
    found = {}
    for name, value in ours.items():
        if name == "backbone.graph.weight":
            found |= {f"graph_model.graph_net.convs.{l}.weight": w for l, w in enumerate(value)}
        elif name.startswith("backbone.graph.gate"):
            found[f"graph_model.graph_net.rnn{name.removeprefix('backbone.graph.gate')}_l0"] = value
        elif name == "classifier.2.weight":
            text, audio, video = value.chunk(3, 1)
            found["smax_fc.weight"] = torch.cat([audio, video, text], 1)
        else:
            found[rename(name, RENAMED)] = value
    return found


GOLDEN = Shapes({"text": 6, "audio": 3, "video": 4}, LENGTHS)
TIMED = Shapes({"text": 100, "audio": 100, "video": 512}, ())
PEERS = {"mm_dfn": Peer(_ours, _theirs, call, weights, GOLDEN, TIMED, 50.0)}
