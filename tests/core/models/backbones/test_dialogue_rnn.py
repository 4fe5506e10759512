"""DialogueRNN: its sizes, both loops against naive ones with dropout, party states that follow the speakers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lmam_core.batch import Turns
from lmam_core.models.backbones.dialogue_rnn import DialogueRnn, DialogueRnnStream
from lmam_core.models.embedded import embed
from lmam_core.models.fusion import build
from lmam_core.models.kernels.party_loop import PartyLoop
from lmam_core.models.kernels.recurrence import GruLoop

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


def naive(stream: DialogueRnnStream, x: Tensor, turns: Turns, k: int, masks: tuple[Tensor, ...] | None) -> Tensor:
    """The emotion states of direction k, one conversation and utterance after the other, with torch's own cells."""
    one, outputs = stream.directions[k], []
    order = torch.argsort(turns.lengths, descending=True, stable=True).tolist()
    for b, n in enumerate(turns.lengths.tolist()):
        rank = order.index(b)
        q = x.new_zeros(stream.speakers, one.p_cell.hidden_size)
        g, e, history, rows = x.new_zeros(one.g_cell.hidden_size), x.new_zeros(one.e_cell.hidden_size), [], []
        for t in range(n):
            u, s = (x[b, t], turns.speaker[b, t]) if k == 0 else (x[b, n - 1 - t], turns.speaker[b, n - 1 - t])
            at = sum(int((turns.lengths > step).sum()) for step in range(t)) + rank  # its place in time-major order
            keep = [m[k, at] for m in masks] if masks else [1.0] * 3
            context = torch.zeros_like(g)
            if history:
                past = torch.stack(history)
                context = torch.softmax(past @ (one.attention.weight @ u), 0) @ past
            g = keep[0] * one.g_cell(torch.cat([u, q[s]])[None], g[None])[0]
            new = keep[1] * one.p_cell(torch.cat([u, context])[None], q[s][None])[0]
            q = q.clone()
            q[s] = new
            e = keep[2] * one.e_cell(new[None], e[None])[0]
            history.append(g)
            rows.append(e)
        outputs.append(torch.stack(rows if k == 0 else rows[::-1]))
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
    expected = torch.cat([naive(stream, x, said, k, masks if dropout else None) for k in range(2)], -1)
    torch.testing.assert_close(got, expected)
    seed = torch.randn_like(got)
    wanted = [x, *stream.directions.parameters()]
    ours = torch.autograd.grad((got * seed).sum(), wanted, retain_graph=True)
    theirs = torch.autograd.grad((expected * seed).sum(), wanted)
    for mine, reference in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, reference)


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


def test_party_states_follow_the_speakers() -> None:
    torch.manual_seed(0)
    model = DialogueRnn({"fused": 5}, 3, **SMALL).double().eval()
    x, said = {"fused": torch.randn(2, 6, 5, dtype=torch.float64)}, turns([6, 4], 3)
    out = model(x, said)["fused"]
    renamed = torch.tensor([2, 0, 1])[said.speaker] * said.mask
    torch.testing.assert_close(model(x, Turns(renamed, said.mask, said.lengths))["fused"], out)
    other = Turns((said.speaker + torch.arange(6) % 2) % 3 * said.mask, said.mask, said.lengths)
    assert (model(x, other)["fused"] - out)[said.mask].abs().max() > 1e-3
