"""Our fusion methods give the numbers of public implementations, recorded by `python -m tests.peers.fusions golden`."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch

from lmam_core.results import DEFAULT
from tests.peers import batch, fill, loss, probe
from tests.peers.fusions import fusion_peers, read

GOLDEN = sorted((Path(__file__).parents[1] / "golden" / "fusions").glob("*.json"))
PEERS = fusion_peers()


def test_every_compared_peer_has_its_numbers() -> None:
    assert {path.stem for path in GOLDEN} == {name for name, peer in PEERS.items() if peer.golden.lengths}


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_outputs_and_gradients_are_the_originals(path: Path) -> None:
    recorded, peer = json.loads(path.read_text()), PEERS[path.stem]
    assert recorded["output_difference"] <= 1e-6
    assert recorded["gradient_difference"] <= 1e-6
    ours = peer.ours(peer.golden).double().eval()
    fill(ours)
    some = batch(peer.golden)
    scores = read(ours(some), peer.golden.outputs)
    loss(scores, some).backward()
    expected = torch.tensor(recorded["read"], dtype=torch.float64)
    torch.testing.assert_close(scores[some.mask], expected, rtol=0, atol=1e-6)
    gradients = peer.weights({n: p.grad for n, p in ours.named_parameters()})
    assert gradients.keys() == recorded["gradients"].keys()
    for name, values in recorded["gradients"].items():
        assert probe(gradients[name]) == pytest.approx(values, rel=1e-6, abs=1e-9), name
        assert values[0] > 1e-5, "a gradient too small to tell models apart"
    assert (expected.std(0) > 1e-3).all(), "the case is too flat to tell models apart"


def test_originals_are_close_and_not_faster() -> None:
    """What was measured once, in one run: outputs and gradients equal where both compute the same, ours no slower."""
    found = pd.read_csv(DEFAULT.parent / "fusion_peers.csv")
    assert set(found.method + "." + found.peer) == PEERS.keys()
    differences = found[["output_difference", "gradient_difference"]]
    compared = (found.method + "." + found.peer).isin([path.stem for path in GOLDEN])
    assert (differences[compared] <= 1e-6).all().all()
    assert differences[~compared].isna().all().all()
    assert (found.ratio >= found.target).all()
    assert (found.target >= 1).all()
    assert (found.utterances >= 2560).all()
