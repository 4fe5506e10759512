"""Closed forms against real modules: registered parameters, and multiply-adds as torch counts them."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lmam_book.bench import cost
from lmam_core import LMAM
from lmam_core.errors import LmamError
from lmam_core.models.fusion import FUSIONS, build
from lmam_core.models.fusion.concat import Concat
from lmam_core.models.fusion.subnets import HIDDEN
from lmam_core.models.lmam import READINGS, VARIANTS

WIDTHS = {"text": 20, "audio": 11, "video": 32}
L = 9


def registered(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def counted(module: nn.Module, widths: dict[str, int]) -> dict[str, int]:
    """Multiply-adds by operation; torch counts two operations for each."""
    features = {m: torch.randn(1, L, d) for m, d in widths.items()}
    with FlopCounterMode(display=False) as counter:
        module(features)
    return {str(op): count // 2 for op, count in counter.get_flop_counts()["Global"].items()}


class SelfAttention(nn.Module):
    """Eq. 1 and 2 for each modality."""

    def __init__(self, widths: dict[str, int]) -> None:
        super().__init__()
        self.qkv = nn.ModuleDict({m: nn.ModuleList(nn.Linear(d, d) for _ in range(3)) for m, d in widths.items()})

    def forward(self, features: dict[str, torch.Tensor]) -> list[torch.Tensor]:
        out = []
        for m, projections in self.qkv.items():
            q, k, v = (p(features[m]) for p in projections)
            out.append(torch.softmax(q @ k.transpose(1, 2) / k.shape[-1] ** 0.5, -1) @ v)
        return out


@pytest.mark.parametrize("output", [True, False])
@pytest.mark.parametrize("rank", [1, 4, 11])
def test_parameters_are_those_that_are_registered(rank: int, output: bool) -> None:
    low = LMAM(WIDTHS, rank=rank, output=output)
    full = LMAM(WIDTHS, weight="full", output=output)
    assert cost.lmam_parameters(WIDTHS, rank, output) == registered(low)
    assert cost.full_parameters(WIDTHS, output) == registered(full)


def test_parameters_of_the_peers_are_those_that_are_registered() -> None:
    assert cost.self_attention_parameters(WIDTHS) == registered(SelfAttention(WIDTHS))
    heads = [nn.MultiheadAttention(d, 1) for d in WIDTHS.values()]  # which adds an output layer of its own
    assert cost.self_attention_parameters(WIDTHS) == sum(registered(h) - registered(h.out_proj) for h in heads)
    released = LMAM(dict.fromkeys(WIDTHS, 24), variant="released")
    assert cost.released_parameters(24) == registered(released.weights)
    assert cost.released_parameters(512) == 262_656


def test_parameters_of_variants_and_of_the_vector_reading_are_those_of_their_formulas() -> None:
    assert registered(LMAM(WIDTHS, 4, "algorithm1")) == sum(2 * 4 * (1 + d) + 1 + d for d in WIDTHS.values())
    D = max(WIDTHS.values())  # the released variant brings every modality to the widest
    projections = sum(d * D + D for d in WIDTHS.values())
    assert registered(LMAM(WIDTHS, variant="released")) == projections + cost.released_parameters(D)
    around = sum(2 * d + d * d + d for d in WIDTHS.values())  # norm and linear layer of Eq. 7
    gates = sum(4 * (1 + d) + 1 + d for d in WIDTHS.values())
    assert registered(LMAM(WIDTHS, 4, weight="vector")) == gates + around
    assert registered(Concat(WIDTHS)) == 0


def test_widths_may_come_as_a_mapping_or_as_numbers() -> None:
    assert cost.lmam_parameters(list(WIDTHS.values()), 4) == cost.lmam_parameters(WIDTHS, 4)
    assert cost.lmam_multiply_adds((20, 11, 32), 4, L) == cost.lmam_multiply_adds(WIDTHS, 4, L)


@pytest.mark.parametrize("output", [True, False])
@pytest.mark.parametrize(
    ("formula", "options"),
    [
        (lambda output: cost.lmam_multiply_adds(WIDTHS, 4, L, output), {"rank": 4}),
        (lambda output: cost.full_multiply_adds(WIDTHS, L, output), {"weight": "full"}),
    ],
    ids=["factors", "full"],
)
def test_multiply_adds_are_those_that_torch_counts(formula, options: dict, output: bool) -> None:
    terms = formula(output)
    operations = counted(LMAM(WIDTHS, output=output, **options), WIDTHS)
    assert tuple(terms) == cost.TERMS
    assert sum(operations.values()) == sum(terms.values())
    assert operations["aten.addmm"] == terms["projections"] + terms["output"]  # linear layers


def test_multiply_adds_of_self_attention_are_those_that_torch_counts() -> None:
    terms = cost.self_attention_multiply_adds(WIDTHS, L)
    operations = counted(SelfAttention(WIDTHS), WIDTHS)
    assert operations["aten.addmm"] == terms["projections"]
    assert operations["aten.bmm"] == terms["scores"] + terms["values"]
    assert terms["output"] == 0


def test_multiply_adds_of_the_released_module_are_those_that_torch_counts() -> None:
    module = LMAM(dict.fromkeys(WIDTHS, 24), variant="released")
    entry = 3 * L * 24 * 24  # the linear layers that bring each modality to one width
    operations = counted(module, dict.fromkeys(WIDTHS, 24))
    # Three modalities: a projection L d^2 each, scores and values L^2 d each, and no output layer.
    assert sum(operations.values()) - entry == 3 * (L * 24**2 + 2 * L**2 * 24)


OPERATIONS = {
    "concat": lambda w, L, r: 0,
    "self_attention": lambda w, L, r: sum(cost.self_attention_multiply_adds(w, L).values()),
    "lmam": lambda w, L, r: sum(cost.lmam_multiply_adds(w, r, L).values()),
    # Σ_m d_m 128 into P branches of four maps 128 wide, scores and values.
    "lmcm": lambda w, L, r: (
        L * 128 * sum(w.values()) + max(len(w) * (len(w) - 1), 1) * (4 * L * 128**2 + 2 * L * L * 128)
    ),
    # Σ_m sub-networks, factors of rank r to 64, their product's sum.
    "lmf": lambda w, L, r: (
        sum(L * (d * HIDDEN[m] + 2 * HIDDEN[m] ** 2) for m, d in w.items())
        + L * r * 64 * (sum(HIDDEN[m] for m in w) + 1)
    ),
}


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("kept", [("text",), ("video",), ("audio", "video"), ("text", "audio", "video")], ids="+".join)
def test_multiply_adds_of_a_fusion_are_those_of_its_formula(name: str, kept: tuple[str, ...]) -> None:
    for sizes in (WIDTHS, {"text": 100, "audio": 100, "video": 512}):
        widths = {m: sizes[m] for m in kept}
        for length, rank in ((1, 1), (L, 5), (80, 11)):
            given = rank if FUSIONS[name].options else None
            assert cost.multiply_adds(name, widths, length, given) == OPERATIONS[name](widths, length, given)


def test_every_fusion_but_lora_has_both() -> None:
    for name, method in FUSIONS.items():
        if method.base:
            with pytest.raises(LmamError, match="a way to train a whole model"):
                cost.parameters(name, WIDTHS)
            continue
        rank = 3 if method.options else None
        assert cost.multiply_adds(name, WIDTHS, L, rank) >= 0
        assert cost.parameters(name, WIDTHS, rank) == registered(build(name, WIDTHS, rank=rank))


@pytest.mark.parametrize("widths", [WIDTHS, {"text": 20, "audio": 20}], ids=["unequal", "equal"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_formula_of_lmams_size_holds_for_every_reading(variant: str, widths: dict[str, int]) -> None:
    open_ = READINGS if variant != "released" else {}
    for values in itertools.product(*open_.values()):
        for more in ({}, {"width": 24}, {"output": False}):
            options = {"rank": 3, "variant": variant} | dict(zip(open_, values, strict=True)) | more
            assert LMAM.size(widths, **options) == registered(LMAM(widths, **options)), options


@given(width=st.integers(1, 3000))
def test_break_even_rank_is_the_last_that_saves(width: int) -> None:
    rank = cost.break_even_rank(width)
    assert 2 * rank * (1 + width) < (1 + width) ** 2
    assert 2 * (rank + 1) * (1 + width) >= (1 + width) ** 2


@given(width=st.integers(1, 1000), length=st.integers(1, 500))
def test_break_even_rank_of_multiply_adds_is_the_last_that_saves(width: int, length: int) -> None:
    def total(rank: int) -> int:
        return sum(cost.lmam_multiply_adds([width], rank, length, output=False).values())

    full = sum(cost.full_multiply_adds([width], length, output=False).values())
    rank = cost.break_even_rank_multiply_adds(width, length)
    assert rank < width
    assert rank == 0 or total(rank) < full
    assert total(rank + 1) >= full


@given(widths=st.lists(st.integers(1, 600), min_size=1, max_size=4), rank=st.integers(1, 600), output=st.booleans())
def test_parameters_add_up_over_modalities_and_grow_linearly_with_rank(widths: list, rank: int, output: bool) -> None:
    whole = cost.lmam_parameters(widths, rank, output)
    assert whole == sum(cost.lmam_parameters([d], rank, output) for d in widths)
    step = cost.lmam_parameters(widths, rank + 1, output) - whole
    assert step == 2 * sum(1 + d for d in widths)


@given(width=st.integers(1, 600), rank=st.integers(1, 600), length=st.integers(1, 300))
def test_twice_the_length_is_four_times_the_scores_and_values(width: int, rank: int, length: int) -> None:
    once, twice = (cost.lmam_multiply_adds([width], rank, n) for n in (length, 2 * length))
    growth = {term: twice[term] // once[term] for term in cost.TERMS}
    assert growth == {"projections": 2, "scores": 4, "values": 4, "output": 2}
