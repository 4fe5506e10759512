"""LMAM in three lines in models that nobody here wrote: a graph network of PyTorch Geometric, two of transformers."""

from __future__ import annotations

import torch
from torch import nn

from lmam_core import LMAM
from lmam_core.features.encoders.torchvision_fix import prepare_torchvision


def test_a_graph_network_hands_over_its_nodes() -> None:
    from torch_geometric.data import Batch, Data
    from torch_geometric.nn import GCN
    from torch_geometric.utils import to_dense_batch

    torch.manual_seed(0)
    path = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]])
    graphs = [
        Data(text=torch.randn(n, 12), audio=torch.randn(n, 7), edge_index=path[:, : n - 1], num_nodes=n) for n in (5, 3)
    ]
    data = Batch.from_data_list(graphs)
    nets = nn.ModuleDict({"text": GCN(12, 16, 2), "audio": GCN(7, 16, 2, out_channels=10)})
    fuse = LMAM({"text": 16, "audio": 10}, rank=4)

    def forward(data: Batch) -> torch.Tensor:
        dense = {m: to_dense_batch(net(data[m], data.edge_index), data.batch) for m, net in nets.items()}
        return fuse({m: x for m, (x, _) in dense.items()}, dense["text"][1])

    out = forward(data)
    assert out.shape == (2, 5, 26)
    torch.testing.assert_close(out[1, :3], forward(Batch.from_data_list(graphs[1:]))[0], rtol=0, atol=1e-5)
    assert (out[1, 3:] == 0).all()
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in (*nets.parameters(), *fuse.parameters()))


def test_encoders_hand_over_tokens_and_frames() -> None:
    """With masks as a tokenizer makes them, whole numbers, and as many frames as a recording has."""
    prepare_torchvision()
    from transformers import BertConfig, BertModel, Wav2Vec2Config, Wav2Vec2Model

    torch.manual_seed(0)
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    text = BertModel(BertConfig(vocab_size=40, **small)).eval()
    sound = {"conv_dim": (8, 8), "conv_stride": (5, 4), "conv_kernel": (10, 8), "num_feat_extract_layers": 2}
    audio = Wav2Vec2Model(Wav2Vec2Config(num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2, **small, **sound))
    fuse = LMAM({"text": 16, "audio": 16}, rank=4, keys="others")

    tokens = {"input_ids": torch.randint(40, (2, 6)), "attention_mask": torch.tensor([[1] * 6, [1, 1, 1, 0, 0, 0]])}
    states, frames = text(**tokens).last_hidden_state, audio.eval()(torch.randn(2, 400)).last_hidden_state
    out = fuse.each({"text": states, "audio": frames}, {"text": tokens["attention_mask"]})

    assert frames.shape[1] > 6
    assert {m: x.shape for m, x in out.items()} == {"text": states.shape, "audio": frames.shape}
    assert (out["text"][1, 3:] == 0).all()
    short = text(tokens["input_ids"][1:, :3]).last_hidden_state
    alone = fuse.each({"text": short, "audio": frames[1:]})
    torch.testing.assert_close(out["text"][1, :3], alone["text"][0], rtol=0, atol=1e-5)
    torch.testing.assert_close(out["audio"][1], alone["audio"][0], rtol=0, atol=1e-5)
    together = fuse({"text": states, "audio": states}, tokens["attention_mask"])
    assert together.shape == (2, 6, 32)
    together.sum().backward()
    assert text.embeddings.word_embeddings.weight.grad is not None
