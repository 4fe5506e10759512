"""Our fusion methods give the numbers of other implementations, recorded by `python -m tests.peers.fusions golden`."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch

from lmam_core.models.fusion import FUSIONS
from lmam_core.runs.store import DEFAULT
from tests.peers import batch, fill, loss, probe
from tests.peers.fusions import PEERLESS, fusion_peers, read

FOLDER = Path(__file__).parents[3] / "golden" / "fusions"
GOLDEN = sorted(FOLDER.glob("*.json"))
PEERS = fusion_peers()
SPEED = pd.read_csv(DEFAULT.parent / "fusion_peers.csv").assign(name=lambda f: f.method + "." + f.peer)


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


def test_every_method_stands_beside_another_implementation_or_says_why_not() -> None:
    assert set(SPEED.name) == PEERS.keys()
    assert SPEED.name.is_unique
    assert set(SPEED.method) | PEERLESS.keys() <= FUSIONS.keys()
    assert not set(SPEED.method) & PEERLESS.keys()


@pytest.mark.parametrize("name", PEERS)
def test_every_peer_was_measured_and_ours_reaches_its_target(name: str) -> None:
    """The row of a peer is of a module as large as today's, of differences as recorded, on one thread."""
    (row,) = SPEED[SPEED.name == name].itertuples()
    peer = PEERS[name]
    assert row.ratio == pytest.approx(row.original_s / row.ours_s, abs=0.01)
    assert row.ratio >= row.target == peer.target
    assert (row.utterances, row.threads) == (sum(peer.timed.lengths), 1)
    assert row.code in set(pd.read_csv(DEFAULT.parent / "code_versions.csv").code)
    assert pd.Timestamp(row.date) > pd.Timestamp("2025")
    assert row.ours_parameters == sum(p.numel() for p in peer.ours(peer.timed).parameters())
    path = FOLDER / f"{name}.json"
    recorded = json.loads(path.read_text()) if path.exists() else {}
    for column in ("output_difference", "gradient_difference"):
        assert getattr(row, column) == pytest.approx(recorded.get(column, float("nan")), nan_ok=True)
