"""DialogueGCN beside declare-lab/conv-emotion, `DialogueGCN/model.py`, on its context LSTM."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import ModuleType, SimpleNamespace

import numpy as np
import torch
from torch import Tensor, nn

from lmam_core.batch import Conversations
from lmam_core.models.backbones.dialogue_gcn import DialogueGcn
from lmam_core.models.embedded import embed
from lmam_core.models.fusion import build
from tests.peers import Peer, Shapes, load, rename, theirs_qmask

RENAMED = {
    "backbone.context.fused.rnn": "lstm",
    "backbone.graph.fused.query": "att_model.scalar.weight",
    "backbone.graph.fused.bases": "graph_net.conv1.basis",
    "backbone.graph.fused.shares": "graph_net.conv1.att",
    "backbone.graph.fused.root": "graph_net.conv1.root",
    "backbone.graph.fused.bias": "graph_net.conv1.bias",
    "backbone.graph.fused.own": "graph_net.conv2.lin",
    "backbone.graph.fused.others": "graph_net.conv2",
    "backbone.attention.fused.transform": "graph_net.matchatt.transform",
    "classifier.0": "graph_net.linear",
    "classifier.3": "graph_net.smax_fc",
}


class RelationalConvolution(nn.Module):
    """RGCNConv of PyTorch Geometric 1.3 and 1.4: every edge multiplies by a copy of its relation's weight."""

    def __init__(self, width: int, hidden: int, relations: int, num_bases: int) -> None:
        super().__init__()
        self.basis = nn.Parameter(torch.zeros(num_bases, width, hidden))
        self.att = nn.Parameter(torch.zeros(relations, num_bases))
        self.root = nn.Parameter(torch.zeros(width, hidden))
        self.bias = nn.Parameter(torch.zeros(hidden))
        for p in self.parameters():
            nn.init.uniform_(p, -((num_bases * width) ** -0.5), (num_bases * width) ** -0.5)

    def forward(self, x: Tensor, edge_index: Tensor, edge_type: Tensor, edge_norm: Tensor) -> Tensor:
        source, target = edge_index
        weight = (self.att @ self.basis.flatten(1)).view(-1, *self.basis.shape[1:])[edge_type]  # (E, d, hidden)
        sent = torch.bmm(x[source][:, None], weight)[:, 0] * edge_norm[:, None]  # (E, hidden)
        return torch.zeros_like(x @ self.root).index_add(0, target, sent) + x @ self.root + self.bias


class PlainConvolution(nn.Module):
    """GraphConv of PyTorch Geometric 1.3 and 1.4, which adds its neighbours up."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, hidden).uniform_(-(width**-0.5), width**-0.5))
        self.lin = nn.Linear(width, hidden)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        source, target = edge_index
        sent = x @ self.weight  # (N, hidden)
        return torch.zeros_like(sent).index_add(0, target, sent[source]) + self.lin(x)


def original() -> ModuleType:
    """Their file, with the two layers that it imports, and its edges as an index that today's torch reads as meant."""
    stub = ModuleType("torch_geometric.nn")
    stub.RGCNConv, stub.GraphConv = RelationalConvolution, PlainConvolution
    known = {name: sys.modules.get(name) for name in ("torch_geometric", "torch_geometric.nn")}
    sys.modules |= {"torch_geometric": ModuleType("torch_geometric"), "torch_geometric.nn": stub}
    try:
        module = load("conv-emotion", "DialogueGCN/model.py")
    finally:
        for name, value in known.items():
            if value is None:
                del sys.modules[name]
            else:
                sys.modules[name] = value
    # A (3, E) array once stood for three indices; today it is one, of whole slices.
    three = lambda rows: SimpleNamespace(transpose=lambda: tuple(np.array(rows).transpose()))  # noqa: E731
    module.np = SimpleNamespace(array=three, arange=np.arange)
    return module


def ours(shapes: Shapes, faithful: bool = True) -> nn.Module:
    concat = lambda widths: build("concat", widths)  # noqa: E731
    options = {"tanh": True, "faithful": faithful}  # ours is without tanh in nodal attention unless asked
    return embed(shapes.widths, shapes.outputs, DialogueGcn, concat, "early", shapes.speakers, **options)


def theirs(shapes: Shapes) -> nn.Module:
    sizes = {"D_m": sum(shapes.widths.values()), "D_g": 150, "D_p": 150, "D_e": 100, "D_h": 100, "D_a": 100}
    return original().DialogueGCNModel(
        "LSTM",
        **sizes,
        graph_hidden_size=100,
        n_speakers=shapes.speakers,
        max_seq_len=110,
        window_past=10,
        window_future=10,
        n_classes=shapes.outputs,
        dropout=0.5,
        no_cuda=True,
    )


def call(theirs: nn.Module, some: Conversations) -> Tensor:
    """Their log-probabilities, (B, L, C), which they give for the utterances one behind the other."""
    U = torch.cat(list(some.features.values()), -1).transpose(0, 1)  # (L, B, D_m)
    speakers = round((len(theirs.edge_type_mapping) / 2) ** 0.5)
    found = theirs(U, theirs_qmask(some, speakers), some.mask.to(U.dtype), some.lengths.tolist())[0]  # (N, C)
    return found.new_zeros(*some.mask.shape, found.shape[-1]).index_put((some.mask,), found)


def weights(ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors under the names, and in the shapes, of theirs."""
    found = {}
    for name, value in ours.items():
        value = value.T if "others" in name else value.flatten(0, 1) if name.endswith("shares") else value
        found[rename(name, RENAMED)] = value
    return found


GOLDEN = Shapes({"text": 6, "audio": 3}, (7, 26, 1, 15), speakers=3)
TIMED = Shapes({"text": 100, "audio": 100, "video": 512}, ())
PEERS = {"dialogue_gcn": Peer(ours, theirs, call, weights, GOLDEN, TIMED, 15.0)}
