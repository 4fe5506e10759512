"""Attention of the encoders against torch's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from lmam_core.models.layers.transformer import Places, attend
from tests.core.models.backbones.cases import streams, turns


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
