"""What every fusion method keeps to: padding, order, subsets, gradients, odd batches, counts, bad input."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lmam_book.bench import cost
from lmam_core.batch import Conversations, Turns
from lmam_core.errors import LmamError
from lmam_core.models.backbones import BACKBONES
from lmam_core.models.embedded import EMBEDDINGS, Embedded, embed
from lmam_core.models.fusion import FUSIONS, build
from tests.core.models.backbones.cases import WIDTHS, streams, turns
from tests.core.models.backbones.test_contract import batch
from tests.core.models.registered import fusions, ranked

MODULES = fusions()
NEW = [
    name for name in MODULES if name not in ("concat", "lmam")
]  # those two go through tests/core/models/backbones/test_contract.py
SUBSETS = [("text",), ("audio",), ("text", "video"), ("text", "audio", "video")]


def made(name: str, widths: dict[str, int] = WIDTHS, **options: object) -> nn.Module:
    torch.manual_seed(0)
    small = {"rank": 3} if "rank" in FUSIONS[name].options else {}
    return build(name, widths, **{**small, **options}).double().eval()


def fuse(module: nn.Module, given: dict[str, Tensor], who: Turns) -> Tensor:
    return module(given, who)


def embedded(name: str, backbone: str, embedding: str) -> Embedded:
    torch.manual_seed(0)
    options = {"rank": 3} if "rank" in FUSIONS[name].options else {}
    return embed(WIDTHS, 6, BACKBONES[backbone], lambda w: build(name, w, **options), embedding).double().eval()


@pytest.mark.parametrize("name", MODULES)
def test_padding_and_order_change_nothing(name: str) -> None:
    module, who, more = made(name), turns(6, 4, 1), turns(6, 4, 1, pad=5)
    out = fuse(module, streams(who), who)
    assert out.shape == (3, 6, module.d_out)
    assert name == "concat" or (out[~who.mask] == 0).all()
    padded = fuse(module, streams(more, fill=50.0), more)[:, :6]
    torch.testing.assert_close(padded[who.mask], out[who.mask], rtol=0, atol=1e-12)
    swapped = fuse(module, {m: x.flip(0) for m, x in streams(who).items()}, turns_flipped(who))
    torch.testing.assert_close(swapped.flip(0)[who.mask], out[who.mask], rtol=0, atol=1e-12)
    alone = fuse(module, {m: x[1:2, :4] for m, x in streams(who).items()}, turns(4))
    torch.testing.assert_close(alone[0], out[1, :4], rtol=0, atol=1e-12)


def turns_flipped(who: Turns) -> Turns:
    return Turns(who.speaker.flip(0), who.mask.flip(0), who.lengths.flip(0))


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("lengths", [(1,), (3, 0, 4), (0, 0)], ids=str)
def test_odd_batches_have_finite_outputs_and_gradients(name: str, lengths: tuple[int, ...]) -> None:
    module, who = made(name).train(), turns(*lengths, pad=1)
    given = {m: x.requires_grad_() for m, x in streams(who).items()}
    out = fuse(module, given, who)
    assert out.isfinite().all()
    out.square().sum().backward()
    assert all(x.grad is None or x.grad.isfinite().all() for x in [*given.values(), *module.parameters()])


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("kept", SUBSETS, ids="+".join)
def test_any_subset_of_modalities(name: str, kept: tuple[str, ...]) -> None:
    widths, who = {m: WIDTHS[m] for m in kept}, turns(4, 2)
    module = made(name, widths)
    assert fuse(module, streams(who, widths=widths), who).shape == (2, 4, module.d_out)


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("kept", SUBSETS, ids="+".join)
def test_parameters_are_those_of_the_formula(name: str, kept: tuple[str, ...]) -> None:
    """Registered parameters, not attributes: two well-known libraries lose their factors in a Python list."""
    widths = {m: {"text": 100, "audio": 40, "video": 512}[m] for m in kept}
    for rank in (1, 5) if "rank" in FUSIONS[name].options else (None,):
        module = build(name, widths, rank=rank)
        assert sum(p.numel() for p in module.parameters()) == cost.parameters(name, widths, rank)


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize(("backbone", "embedding"), [("bc_lstm", way) for way in EMBEDDINGS] + [("emocaps", "late")])
def test_every_parameter_gets_a_gradient(name: str, backbone: str, embedding: str) -> None:
    model, some = embedded(name, backbone, embedding).train(), batch()
    label = torch.tensor([0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4])
    outputs = model.outputs(some)
    sum(nn.functional.cross_entropy(o[some.mask], label) for o in outputs).backward()
    for parameter, p in model.named_parameters():
        assert p.grad is not None, parameter
        assert p.grad.abs().sum() > 0, parameter
    assert len(outputs) == (4 if name == "auxformer" else 1)


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("embedding", EMBEDDINGS)
def test_in_a_backbone_padding_changes_nothing(name: str, embedding: str) -> None:
    model, plain, padded = embedded(name, "emocaps", embedding), batch(), batch(pad=3, fill=50.0)
    out = model(plain)
    torch.testing.assert_close(model(padded)[:, :6][plain.mask], out[plain.mask], rtol=0, atol=1e-12)
    alone = Conversations({m: x[1:2, :4] for m, x in plain.features.items()}, *(
        x[1:2, :4] for x in (plain.speaker, plain.mask, plain.label)
    ))  # fmt: skip
    torch.testing.assert_close(model(alone)[0], out[1, :4], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", MODULES)
def test_who_speaks_matters_where_the_method_says_so(name: str) -> None:
    module, who = made(name), turns(5)
    other = who.speaker.clone()
    other[0, 1] = 1 - other[0, 1]
    change = fuse(module, streams(who), Turns(other, who.mask, who.lengths)) - fuse(module, streams(who), who)
    assert (change.abs().max() > 0) == module.knows_speakers


@pytest.mark.parametrize("name", ranked())
@pytest.mark.parametrize("rank", [0, -1, 2.5, True])
def test_a_rank_that_is_none_is_refused(name: str, rank: object) -> None:
    with pytest.raises(LmamError, match=r"rank .*must be a whole number from 1"):
        build(name, WIDTHS, rank=rank)


@pytest.mark.parametrize("name", NEW)
def test_a_missing_modality_is_named(name: str) -> None:
    module, who = made(name), turns(3)
    given = streams(who)
    del given["audio"]
    with pytest.raises(LmamError, match="audio is missing"):
        fuse(module, given, who)
