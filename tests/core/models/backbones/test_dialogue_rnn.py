"""DialogueRNN: its sizes, both loops against naive ones with dropout, party states that follow the speakers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lmam_core.batch import Turns
from lmam_core.errors import LmamError
from lmam_core.models.backbones.dialogue_rnn import DialogueRnn, DialogueRnnStream
from lmam_core.models.embedded import embed
from lmam_core.models.fusion import build
from lmam_core.models.kernels.party_loop import PartyLoop
from lmam_core.models.kernels.recurrence import GruLoop
from tests.core.models.backbones.cases import equals_its_reference

SMALL = {"d_global": 4, "d_party": 3, "d_emotion": 2, "d_hidden": 2}


def turns(lengths: list[int], speakers: int, L: int | None = None, seed: int = 0) -> Turns:
    L = L or max(lengths)
    mask = torch.arange(L)[None] < torch.tensor(lengths)[:, None]
    speaker = torch.randint(speakers, (len(lengths), L), generator=torch.Generator().manual_seed(seed)) * mask
    return Turns(speaker, mask, torch.tensor(lengths))


@pytest.mark.parametrize(
    ("width", "outputs", "options", "expected"),
    [
        (100, 6, {}, 8_880_406),
        (712, 6, {}, 13_164_406),
        (900, 7, {"d_global": 150, "d_party": 150, "d_emotion": 100, "d_hidden": 100}, 2_666_607),
    ],
)
def test_sizes_are_the_originals(width: int, outputs: int, options: dict, expected: int) -> None:
    model = DialogueRnn({"fused": width}, 2, **options)
    counted = sum(
        p.numel() for part in (model, model.classifier(model.d_out["fused"], outputs)) for p in part.parameters()
    )
    assert counted == expected


def test_sizes_that_reach_the_papers_figure() -> None:
    """Table VI prints 14.47 M; 900-wide features with the default states give 14.48 M."""
    model = embed({"text": 900}, 6, DialogueRnn, lambda w: build("concat", w), "early")
    assert sum(p.numel() for p in model.parameters()) == 14_480_406


def plain(stream: DialogueRnnStream, x: Tensor, turns: Turns, k: int, masks: tuple[Tensor, ...] | None) -> Tensor:
    """The emotion states of direction k by its reference, with dropout's masks at their time-major places."""
    order, outputs = torch.argsort(turns.lengths, descending=True, stable=True).tolist(), []
    for b, n in enumerate(turns.lengths.tolist()):
        at = [sum(int((turns.lengths > step).sum()) for step in range(t)) + order.index(b) for t in range(n)]
        way = range(n) if k == 0 else range(n - 1, -1, -1)
        said, drop = turns.speaker[b, list(way)].tolist(), tuple(m[k, at] for m in masks) if masks else None
        outputs.append(stream.directions[k].reference(x[b, list(way)], said, stream.speakers, drop)[list(way)])
    return torch.cat(outputs)


@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("speakers", [2, 9])
def test_states_and_gradients_equal_a_loop_of_cells(dropout: bool, speakers: int, monkeypatch) -> None:
    torch.manual_seed(0)
    stream = DialogueRnnStream(5, 4, 3, 2, 0.4, speakers).double().train(dropout)
    said = turns([4, 9, 1, 6], speakers)
    x = torch.randn(4, 9, 5, dtype=torch.float64, requires_grad=True)
    N = int(said.mask.sum())
    masks = tuple(nn.functional.dropout(torch.ones(2, N, d, dtype=torch.float64), 0.4) for d in (4, 3, 2))
    left = list(masks)
    monkeypatch.setattr(stream, "_drop", lambda like, width: left.pop(0) if dropout else None)
    got = stream._emotions(x, said)[said.mask]  # (N, 4)
    expected = torch.cat([plain(stream, x, said, k, masks if dropout else None) for k in range(2)], -1)
    torch.testing.assert_close(got, expected)
    seed = torch.randn_like(got)
    wanted = [x, *stream.directions.parameters()]
    ours = torch.autograd.grad((got * seed).sum(), wanted, retain_graph=True)
    theirs = torch.autograd.grad((expected * seed).sum(), wanted)
    for mine, reference in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, reference)


def test_the_model_equals_its_reference() -> None:
    torch.manual_seed(0)
    made, said = DialogueRnn({"text": 5, "audio": 4}, 3, **SMALL).double().eval(), turns([4, 9, 0, 1], 3, L=10)
    x = {m: torch.randn(4, 10, d, dtype=torch.float64) for m, d in (("text", 5), ("audio", 4))}
    equals_its_reference(made, x, said)


def test_gradients_of_the_loop_pass_a_finite_difference_check() -> None:
    torch.manual_seed(0)
    counts, N, G, P = [3, 2, 2, 1], 8, 3, 2

    def some(*shape: int) -> Tensor:
        return torch.randn(2, *shape, dtype=torch.float64, requires_grad=True)

    speaker = torch.randint(3, (2, N))
    arguments = (some(N, 3 * G), some(N, 3 * P), some(N, G), some(3 * G + 3 * P, P), some(3 * G, G), some(3 * P, G))
    biases = (some(3 * G), some(3 * P))
    assert torch.autograd.gradcheck(
        lambda *a: PartyLoop.apply(*a, None, None, speaker, 3, counts), (*arguments, *biases)
    )
    drop = torch.rand(2, N, G, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda *a: GruLoop.apply(*a, drop, counts), (some(N, 3 * G), some(3 * G, G), some(3 * G))
    )


def test_a_second_derivative_is_refused_by_the_loop_and_computed_by_the_reference() -> None:
    torch.manual_seed(0)
    made, said = DialogueRnn({"fused": 5}, 2, **SMALL).double().eval(), turns([3, 2], 2)
    x = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True)
    with pytest.raises(LmamError, match="no second derivative"):
        torch.autograd.grad(made({"fused": x}, said)["fused"].sum(), x, create_graph=True)
    (first,) = torch.autograd.grad(made.reference({"fused": x}, said)["fused"].sum(), x, create_graph=True)
    assert torch.autograd.grad(first.square().sum(), x)[0].abs().max() > 0


def test_party_states_follow_the_speakers() -> None:
    torch.manual_seed(0)
    model = DialogueRnn({"fused": 5}, 3, **SMALL).double().eval()
    x, said = {"fused": torch.randn(2, 6, 5, dtype=torch.float64)}, turns([6, 4], 3)
    out = model(x, said)["fused"]
    renamed = torch.tensor([2, 0, 1])[said.speaker] * said.mask
    torch.testing.assert_close(model(x, Turns(renamed, said.mask, said.lengths))["fused"], out)
    other = Turns((said.speaker + torch.arange(6) % 2) % 3 * said.mask, said.mask, said.lengths)
    assert (model(x, other)["fused"] - out)[said.mask].abs().max() > 1e-3
