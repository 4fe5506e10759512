"""Our backbones give the numbers of their originals, recorded by `python -m tests.peers golden`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.peers import all_peers, batch, fill, loss, probe

GOLDEN = sorted((Path(__file__).parents[3] / "golden").glob("*.json"))
PEERS = all_peers()


def test_every_peer_has_its_numbers() -> None:
    assert {path.stem for path in GOLDEN} == PEERS.keys()


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_outputs_and_gradients_are_the_originals(path: Path) -> None:
    recorded, peer = json.loads(path.read_text()), PEERS[path.stem]
    assert recorded["output_difference"] <= 1e-6
    assert recorded["gradient_difference"] <= 1e-6
    ours = peer.ours(peer.golden).double().eval()
    fill(ours)
    some = batch(peer.golden)
    output = ours(some)
    loss(output, some).backward()
    expected = torch.tensor(recorded["log_probabilities"], dtype=torch.float64)
    torch.testing.assert_close(torch.log_softmax(output, -1)[some.mask], expected, rtol=0, atol=1e-6)
    gradients = peer.weights({n: p.grad for n, p in ours.named_parameters()})
    assert gradients.keys() >= recorded["gradients"].keys()
    for name, values in recorded["gradients"].items():
        assert probe(gradients[name]) == pytest.approx(values, rel=1e-6, abs=1e-6), name
    spread = expected.exp().std(0)
    assert (spread > 1e-4).any(), "the case is too flat to tell models apart"
