"""The recurrences written out by hand against torch's own, in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lmam_core.errors import LmamError
from lmam_core.models.kernels.recurrence import GruLoop, LstmLoop, time_major
from lmam_core.models.layers.context import Context
from tests.core.models.backbones.cases import turns


@pytest.mark.parametrize("cell", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize("faithful", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_a_context_equals_torchs_own(
    cell: type[nn.RNNBase], faithful: bool, training: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dropout included: the same seed drops the same states."""
    torch.manual_seed(0)
    layer, some = Context(4, 3, 0.4, cell, faithful).double().train(training), turns(5, 3, 5, 0, pad=2)
    x = torch.randn(4, 7, 4, dtype=torch.float64, requires_grad=True)
    found = []
    for on_gpu in (False, True):
        torch.manual_seed(1)
        with monkeypatch.context() as patch:
            patch.setattr(Tensor, "is_cuda", on_gpu)
            if not on_gpu:
                patch.setattr(Context, "_packed", None)  # so that it is the loop that runs
            out = layer(x, some)
        found.append((out, *torch.autograd.grad(out.sin().sum(), [x, *layer.parameters()])))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    padded = found[0][0][~some.mask].abs().max()
    assert padded > 1e-3 if faithful else padded == 0


def test_gradients_pass_a_finite_difference_check() -> None:
    torch.manual_seed(0)
    counts, N, D = [3, 2, 2, 1], 8, 3

    def some(*shape: int) -> Tensor:
        return torch.randn(2, *shape, dtype=torch.float64, requires_grad=True)

    assert torch.autograd.gradcheck(lambda *a: LstmLoop.apply(*a, counts), (some(N, 4 * D), some(4 * D, D)))
    drop = torch.rand(2, N, D, dtype=torch.float64)
    arguments = (some(N, 3 * D), some(3 * D, D), some(3 * D))
    assert torch.autograd.gradcheck(lambda *a: GruLoop.apply(*a, drop, counts), arguments)


@pytest.mark.parametrize("cell", [nn.LSTM, nn.GRU])
def test_a_second_derivative_is_refused_in_a_sentence(cell: type[nn.RNNBase]) -> None:
    """Of a plain sum as well, which torch's own check lets through."""
    layer, some = Context(4, 3, 0.0, cell), turns(5, 3)
    x = torch.randn(2, 5, 4, requires_grad=True)
    with pytest.raises(LmamError, match="no second derivative"):
        torch.autograd.grad(layer(x, some).sum(), x, create_graph=True)


def test_time_major_order_is_longest_first_and_backwards_from_the_last() -> None:
    counts, places = time_major(torch.tensor([2, 3, 0]), 4)
    assert counts == [3, 2, 1]  # the empty conversation counts one step
    assert places.tolist() == [[4, 0, 8, 5, 1, 6], [6, 1, 8, 5, 0, 4]]
