"""Where training starts: no fusion method makes utterances nearly equal, or hides them from what stands in front."""

from __future__ import annotations

from functools import cache, partial
from statistics import median

import pytest
import torch
from torch import Tensor, nn

from lmam_core.batch import Conversations
from lmam_core.models.backbones import BACKBONES
from lmam_core.models.embedded import embed
from lmam_core.models.fusion import FUSIONS, build
from lmam_core.models.fusion.subnets import HIDDEN, SubNet
from lmam_core.models.layers.context import Classifier
from lmam_core.models.layers.initialisation import he, unit_gain
from tests.core.models.backbones.cases import turns
from tests.core.models.fusion.test_contract import fuse

WIDTHS = {"text": 200, "audio": 47, "video": 100}
LENGTHS = (40, 25, 31, 12)
SIZES = (1.0, 0.3, 0.05)
"""How far inputs deviate: features are standardised; an LSTM's contexts start at 0.04 to 0.07."""
METHODS = [name for name, method in FUSIONS.items() if not method.base and name != "lmcm_plain"]
"""Without `lmcm_plain`: LMCM without its residuals is an average over the conversation, which is what it is for."""
PRODUCTS = ["tfn", "lmf", "dual_lmf", "att_lmf", "lmf_mult"]


def inputs(size: float, draw: int, mean: Tensor) -> dict[str, Tensor]:
    """Utterances around a mean as large as their deviation, as a context's are; another draw has the same mean."""
    made = torch.Generator().manual_seed(draw)
    offsets = mean.split(list(WIDTHS.values()))
    return {
        m: size * (torch.randn(len(LENGTHS), max(LENGTHS), d, generator=made) + (size < 1) * offset)
        for (m, d), offset in zip(WIDTHS.items(), offsets, strict=True)
    }


@cache
def started(name: str, size: float, seed: int) -> tuple[float, float, dict[str, float]]:
    """Deviation of the output between utterances, RMS gradient into all inputs, and into each modality.

    The deviation is that between other utterances in the same places, so that encodings of places do not count.
    """
    torch.manual_seed(seed)
    module, who = build(name, WIDTHS).eval(), turns(*LENGTHS)
    head = Classifier(module.d_out, 100, 6, 0.0)
    mean, label = torch.randn(sum(WIDTHS.values())), torch.randint(6, (int(who.mask.sum()),))
    given = {m: x.requires_grad_() for m, x in inputs(size, 1, mean).items()}
    out = fuse(module, given, who)
    nn.functional.cross_entropy(head(out, who)[who.mask], label).backward()
    each = {m: x.grad[who.mask].square().mean().sqrt().item() for m, x in given.items()}
    whole = torch.cat([x.grad[who.mask] for x in given.values()], -1).square().mean().sqrt().item()
    with torch.no_grad():
        change = (out - fuse(module, inputs(size, 2, mean), who))[who.mask]
    return change.square().mean().sqrt().item() / 2**0.5, whole, each


def typical(name: str, size: float, k: int) -> float:
    """The median over five starts."""
    return median(started(name, size, seed)[k] for seed in range(5))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", METHODS)
def test_utterances_stay_apart(name: str, size: float) -> None:
    """A tenth of the inputs' deviation at least, and at most ten times that of standardised features."""
    assert 0.1 * size <= typical(name, size, 0) <= 10


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", METHODS)
def test_gradients_reach_what_stands_in_front(name: str, size: float) -> None:
    """Within ten of concatenation's; a norm of small inputs gives more, by as much as they are smaller."""
    ours = typical(name, size, 1) / typical("concat", size, 1)
    assert 0.1 <= ours <= 10 / size


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PRODUCTS)
def test_products_let_every_modality_learn(name: str, size: float) -> None:
    for m in WIDTHS:
        ours, theirs = (median(started(n, size, seed)[2][m] for seed in range(5)) for n in (name, "concat"))
        assert 0.1 <= ours / theirs <= 20 / size, m


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_do_not_feel_the_size_of_their_inputs(name: str) -> None:
    torch.manual_seed(0)
    module, who = build(name, WIDTHS).double().eval(), turns(*LENGTHS)
    given = {m: x.double() for m, x in inputs(1.0, 1, torch.zeros(sum(WIDTHS.values()))).items()}
    small = fuse(module, {m: 0.3 * x + 3 for m, x in given.items()}, who)
    torch.testing.assert_close(small, fuse(module, given, who), rtol=0, atol=0.01)  # but for the norm's epsilon


@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize("backbone", ["bc_lstm", "text_cnn", "m2fnet", "emocaps"])
def test_behind_a_backbone_utterances_stay_apart(name: str, backbone: str) -> None:
    """The late way, standardised features in: at least a tenth of what concatenation's contexts deviate by."""
    who = turns(*LENGTHS)
    features = inputs(1.0, 1, torch.zeros(sum(WIDTHS.values())))
    some = Conversations(features, who.speaker, who.mask, torch.zeros_like(who.speaker))
    found: dict[str, list[float]] = {name: [], "concat": []}
    for method, seen in found.items():
        for seed in range(3):
            torch.manual_seed(seed)
            made = embed(WIDTHS, 6, BACKBONES[backbone], partial(build, method), "late").eval()
            with torch.no_grad():
                out = fuse(made.fusion, made.fusion_inputs(some), who)
            seen.append(out[who.mask].std(0).square().mean().sqrt().item())
    assert 0.1 * median(found["concat"]) <= median(found[name]) <= 10


def test_a_sub_network_keeps_the_mean_square_and_looks_at_one_utterance() -> None:
    x = 0.02 * torch.randn(4, 50, 100, generator=torch.Generator().manual_seed(0)) - 0.01
    squares = []
    for seed in range(20):
        torch.manual_seed(seed)
        subnet = SubNet(100, HIDDEN["text"])
        squares.append(subnet(x).square().mean().item())
        torch.testing.assert_close(subnet(x)[2, 7], subnet(x[2, 7]))
    assert 0.7 < sum(squares) / len(squares) < 1.3
    assert sum(p.numel() for p in subnet.parameters()) == 101 * 64 + 2 * 65 * 64  # the norm learns nothing


def test_a_single_feature_is_not_normalised_away() -> None:
    torch.manual_seed(0)
    out = SubNet(1, 16)(torch.linspace(-2, 2, 9)[:, None])
    assert (out.std(0) > 0.1).any()


def test_starts_have_the_gain_that_they_say() -> None:
    torch.manual_seed(0)
    x = torch.randn(2000, 500)
    assert torch.relu(he(nn.Linear(500, 300))(x)).square().mean().item() == pytest.approx(1, abs=0.05)
    assert unit_gain(nn.Linear(500, 300))(x).square().mean().item() == pytest.approx(1, abs=0.05)
    assert not he(nn.Linear(500, 300)).bias.any()
