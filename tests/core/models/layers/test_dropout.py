"""Dropout from few random bits: its share, its mean, no bond between values, the seed."""

from __future__ import annotations

import pytest
import torch

from lmam_core.models.layers.dropout import Dropout


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
