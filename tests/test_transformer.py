"""Dropout and attention of the encoders against torch's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from lmam_core.transformer import Dropout, Places, attend
from tests.backbones.cases import streams, turns


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_dropout_drops_a_share_of_values_that_know_nothing_of_each_other(p: float) -> None:
    torch.manual_seed(0)
    x = torch.ones(1_000_003, dtype=torch.float64, requires_grad=True)
    y = Dropout(p)(x)
    gone = (y == 0).double()
    assert gone.mean().item() == pytest.approx(p, abs=5 * (p * (1 - p) / len(x)) ** 0.5)
    assert y[y > 0].unique().item() == pytest.approx(1 / (1 - p), abs=1e-4)
    assert y.mean().item() == pytest.approx(1, abs=0.01)
    for k in range(1, 9):  # four values share a draw
        together = ((gone[k:] - p) * (gone[:-k] - p)).mean().item()
        assert abs(together) < 5 * p * (1 - p) / len(x) ** 0.5, k
    for k in range(4):
        assert gone[k::4].mean().item() == pytest.approx(p, abs=5 * (4 * p * (1 - p) / len(x)) ** 0.5)
    y.sum().backward()
    torch.testing.assert_close(x.grad, y.detach())


def test_dropout_follows_the_seed_and_stops_with_training() -> None:
    x, drop = torch.randn(3, 5), Dropout(0.5)
    torch.manual_seed(1)
    first = drop(x)
    torch.manual_seed(1)
    assert torch.equal(drop(x), first)
    assert not torch.equal(drop(x), first)
    assert drop(torch.empty(0, 5)).shape == (0, 5)
    assert torch.equal(drop.eval()(x), x)
    assert (Dropout(1.0)(x) == 0).all()


@pytest.mark.parametrize("width", [1, 5, 7, 8, 12])
def test_zeros_beside_narrow_heads_change_nothing(width: int) -> None:
    torch.manual_seed(0)
    given = [torch.randn(2, 3, 6, width, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    seen = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]], dtype=torch.bool)[:, None, None]
    results = []
    for attention in (attend, F.scaled_dot_product_attention):
        out = attention(*given, seen)
        results.append([out, *torch.autograd.grad(out.square().sum(), given)])
    torch.testing.assert_close(*results, rtol=0, atol=1e-12)


@pytest.mark.parametrize("lengths", [(4, 4), (4, 2), (1,), (3, 0)], ids=str)
def test_packing_and_padding_undo_each_other(lengths: tuple[int, ...]) -> None:
    who = turns(*lengths)
    places, x = Places.of(who), streams(who)["text"]
    packed = places.pack(x)
    assert places.full == (len(set(lengths)) == 1)
    assert torch.equal(packed, x[who.mask])
    assert torch.equal(places.pad(packed), x)
    assert torch.equal(places.pad(packed.expand(3, -1, -1)), x.expand(3, -1, -1, -1))
