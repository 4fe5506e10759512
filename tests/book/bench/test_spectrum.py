"""Effective rank, energy rank and truncation, on matrices whose singular values are known."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from lmam_book.bench import spectrum
from lmam_core.errors import LmamError
from lmam_core.models.lmam import FactorWeight, FullWeight, VectorWeight


def test_equal_values_count_each_and_unequal_ones_count_less() -> None:
    assert spectrum.effective_rank(torch.ones(7)) == pytest.approx(7)
    assert spectrum.effective_rank(torch.tensor([5.0, 0, 0])) == pytest.approx(1)
    p = (0.75, 0.25)
    by_hand = math.exp(-sum(x * math.log(x) for x in p))
    assert spectrum.effective_rank(torch.tensor([3.0, 1.0, 0.0])) == pytest.approx(by_hand)


@pytest.mark.parametrize(("share", "rank"), [(0.0, 0), (0.5, 1), (0.9, 2), (0.99, 2), (0.995, 3), (1.0, 3)])
def test_energy_is_counted_in_squares(share: float, rank: int) -> None:
    s = torch.tensor([3.0, 1.0, 0.3, 0.0])  # squares 9, 1, 0.09: shares 0.892, 0.991, 1
    assert spectrum.energy_rank(s, share) == rank


def test_a_zero_matrix_has_rank_zero() -> None:
    s = spectrum.singular_values(torch.zeros(4, 3))
    assert spectrum.effective_rank(s) == 0
    assert spectrum.energy_rank(s) == 0


def test_a_share_outside_zero_to_one_is_refused() -> None:
    with pytest.raises(LmamError, match=r"0\.\.1; got 99"):
        spectrum.energy_rank(torch.ones(2), 99)


@given(values=st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=8), scale=st.floats(1e-3, 1e3))
def test_bounds_and_scale(values: list[float], scale: float) -> None:
    s = torch.tensor(sorted(values, reverse=True), dtype=torch.float64)
    found = spectrum.effective_rank(s)
    assert 1 - 1e-9 <= found <= len(s) + 1e-9
    assert spectrum.effective_rank(scale * s) == pytest.approx(found)
    assert spectrum.energy_rank(s, 1.0) == len(s) or s[-1] ** 2 < 1e-12 * (s**2).sum()


def test_singular_values_are_those_that_went_in() -> None:
    torch.manual_seed(0)
    u, v = (torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64)).Q for _ in range(2))
    s = torch.tensor([4.0, 2.0, 1.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    found = spectrum.singular_values(u @ s.diag() @ v.T)
    assert torch.allclose(found, s)
    assert (found[3:] == 0).all()


@pytest.mark.parametrize("kind", ["factors", "full"])
def test_the_matrix_gives_the_scores(kind: str) -> None:
    torch.manual_seed(0)
    d, x = 5, torch.randn(2, 4, 5)
    weight = FactorWeight(d, 3) if kind == "factors" else FullWeight(d)
    xi = F.pad(x, (1, 0), value=1.0).double()
    W = spectrum.matrix(weight)
    assert W.shape == (1 + d, 1 + d)
    scores = xi @ W @ xi.mT
    if kind == "factors":
        b = torch.cat([weight.V.bias[-1:], weight.V.weight[-1]]).double()
        scores = scores + (xi @ b)[:, None]
        assert int((spectrum.singular_values(W) > 0).sum()) == 3
    expected = (weight.query(x) @ weight.key(x).mT).double()
    assert torch.allclose(scores, expected, atol=1e-5)


def test_other_weights_have_no_spectrum() -> None:
    with pytest.raises(LmamError, match="VectorWeight"):
        spectrum.matrix(VectorWeight(5, 2))


@torch.no_grad()
def test_truncation_keeps_the_largest_and_at_rank_d_everything() -> None:
    torch.manual_seed(0)
    d, x, full = 6, torch.randn(1, 3, 6), FullWeight(6)

    def scores(weight: FactorWeight | FullWeight) -> torch.Tensor:
        return weight.query(x) @ weight.key(x).mT

    assert torch.allclose(scores(spectrum.truncated(full, d)), scores(full), atol=1e-5)
    s = torch.linalg.svdvals(full.W.weight)  # without the row that meets the ones
    for rank in range(d):
        low = spectrum.truncated(full, rank)
        lost = full.W.weight.T - low.U.weight.T @ torch.tensor(_keys(low))
        assert float(lost.norm()) == pytest.approx(float(s[rank:].square().sum().sqrt()), rel=1e-4)
    rows = scores(spectrum.truncated(full, 0))[0]
    assert torch.allclose(rows, rows[:1].expand_as(rows))  # the same for every query


def _keys(low: FactorWeight) -> list[list[float]]:
    """V^T without b, (r, 1 + d)."""
    return torch.cat([low.V.bias[:-1, None], low.V.weight[:-1]], 1).tolist()
