"""Tensor fusion methods against the tensors that they never build."""

from __future__ import annotations

import itertools

import pytest
import tensorly
import torch
from torch import Tensor

from lmam_core.models.fusion.add import Add
from lmam_core.models.fusion.att_lmf import AttLmf
from lmam_core.models.fusion.dual_lmf import DualLmf
from lmam_core.models.fusion.lmf import Lmf, LowRankProduct
from lmam_core.models.fusion.subnets import SubNet
from lmam_core.models.fusion.tfn import Tfn
from tests.core.models.backbones.cases import WIDTHS, streams, turns


def padded(x: Tensor) -> Tensor:
    return torch.cat([x.new_ones(*x.shape[:-1], 1), x], -1)


def normalised(x: Tensor) -> Tensor:
    return (x - x.mean(-1, keepdim=True)) / (x.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()


def test_a_sub_network_is_a_norm_over_features_and_three_maps_with_relu() -> None:
    torch.manual_seed(0)
    made, plain = SubNet(7, 16).double(), SubNet(7, 16, normalise=False).double()
    plain.load_state_dict(made.state_dict())
    x = torch.randn(5, 7, dtype=torch.float64)
    h = normalised(x)
    for layer in list(made)[::2]:
        h = (h @ layer.weight.T + layer.bias).clamp(min=0)
    torch.testing.assert_close(made(x), h)
    torch.testing.assert_close(plain(normalised(x)), h)  # what golden numbers compare is the rest


def outer(vectors: list[Tensor]) -> Tensor:
    found = vectors[0]
    for v in vectors[1:]:
        found = found[..., None] * v
    return found


@pytest.mark.parametrize("names", [("text",), ("audio", "text"), ("text", "audio", "video")], ids="+".join)
def test_factors_and_the_tensor_they_stand_for_give_the_same(names: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    widths = {m: WIDTHS[m] for m in names}
    product = LowRankProduct(widths, rank=3, out=4).double()
    z = {m: torch.randn(5, d, dtype=torch.float64) for m, d in widths.items()}
    full = product.tensor()
    assert full.shape == (*(d + 1 for d in widths.values()), 4)
    got = product(z)
    for n in range(5):
        expected = torch.tensordot(outer([padded(x[n]) for x in z.values()]), full, len(widths)) + product.bias
        torch.testing.assert_close(got[n], expected)


def test_the_tensor_is_the_one_of_tensorly() -> None:
    """Each output of LMF is a CP tensor: weights s, factors (1 + d_m, rank)."""
    torch.manual_seed(0)
    product = LowRankProduct(WIDTHS, rank=3, out=4).double()
    full = product.tensor().numpy()
    for k in range(4):
        factors = []
        for factor in product.factors.values():
            rows = torch.cat([factor.bias[None], factor.weight.T]).detach().view(-1, 3, 4)  # (1 + d, rank, out)
            factors.append(rows[:, :, k].numpy())
        expected = tensorly.cp_to_tensor((product.share.detach().numpy(), factors))
        assert abs(full[..., k] - expected).max() < 1e-12


def test_lmf_is_sub_networks_and_the_product() -> None:
    torch.manual_seed(0)
    module, who = Lmf(WIDTHS, rank=3).double(), turns(3, 2)
    got, given = module(streams(who), who), streams(who)
    z = {m: module.subnets[m](x) for m, x in given.items()}
    torch.testing.assert_close(got[who.mask], module.product(z)[who.mask])


@pytest.mark.parametrize("names", [("text",), ("audio", "video"), ("text", "audio", "video")], ids="+".join)
def test_tfn_is_the_outer_product_through_one_matrix(names: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    widths, who = {m: WIDTHS[m] for m in names}, turns(2, 1)
    module = Tfn(widths).double()
    given = streams(who, widths=widths)
    got = module(given, who)
    h = {m: padded(module.subnets[m](x)) for m, x in given.items()}
    for b, n in enumerate((2, 1)):
        for t in range(n):
            z = outer([h[m][b, t] for m in (module.widest, *module.others)]).flatten()
            first = torch.relu(z @ module.tensor.flatten(0, 1) + module.bias)
            torch.testing.assert_close(got[b, t], torch.relu(module.post(first)))


def test_dual_lmf_weighs_every_combination_of_nearby_utterances() -> None:
    torch.manual_seed(0)
    widths = {"text": 7, "audio": 5}
    module, who = DualLmf(widths, rank=2, time_rank=3, reach=1).double(), turns(4, 2)
    given = streams(who, widths=widths)
    got, P = module(given, who), module.product
    h = {m: module.subnets[m](x) for m, x in given.items()}
    for b, n in enumerate((4, 2)):
        for t in range(n):
            total = 0
            for j, k in itertools.product((-1, 0, 1), repeat=2):
                if not (0 <= t + j < n and 0 <= t + k < n):
                    continue
                w = (module.time_share * module.time["text"][:, j + 1] * module.time["audio"][:, k + 1]).sum()
                pair = P({"text": h["text"][b, t + j], "audio": h["audio"][b, t + k]}) - P.bias
                total = total + w * pair
            torch.testing.assert_close(got[b, t], total + P.bias * module.time_share.sum())


def test_att_lmf_attends_within_the_conversation_before_the_product() -> None:
    torch.manual_seed(0)
    module, who = AttLmf(WIDTHS, rank=2).double(), turns(3, 2)
    given = streams(who)
    got = module(given, who)
    for b, n in enumerate((3, 2)):
        z = {}
        for m, x in given.items():
            h = module.subnets[m](x[b, :n])
            q, k, v = module.maps[m](h).chunk(3, -1)
            z[m] = h + torch.softmax(q @ k.T / h.shape[1] ** 0.5, -1) @ v
        torch.testing.assert_close(got[b, :n], module.product(z))


def test_add_adds() -> None:
    torch.manual_seed(0)
    equal, who = {"text": 5, "audio": 5}, turns(2)
    given = streams(who, widths=equal)
    torch.testing.assert_close(Add(equal)(given, who), given["text"] + given["audio"])
    module, given = Add(WIDTHS).double(), streams(who)
    mapped = [given[m] @ module.project[m].weight.T + module.project[m].bias for m in ("text", "audio")]
    torch.testing.assert_close(module(given, who), given["video"] + sum(mapped))
