"""Closed forms against real modules: registered parameters, and multiply-adds as torch counts them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from lmam_book.bench import cost
from lmam_core import LMAM
from lmam_core.batch import Turns
from lmam_core.models.fusion import FUSIONS, Concat, build

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


def counted_in_fusion(name: str, widths: dict[str, int], length: int, rank: int | None) -> int:
    """Multiply-adds of a fusion method, on tensors without values, and so without the zeros that a CPU's heads get."""
    with torch.device("meta"):
        module = build(name, widths, rank=rank)
        features = {m: torch.empty(1, length, d) for m, d in widths.items()}
        mask = torch.ones(1, length, dtype=torch.bool)
        turns = Turns(torch.zeros(1, length, dtype=torch.int64), mask, torch.tensor([length], device="cpu"))
    # A matrix times one vector, LMF's sum over its rank, is a product that torch does not count of itself.
    products = {torch.ops.aten.mv: lambda matrix, vector, out_shape: 2 * matrix.numel()}
    with FlopCounterMode(display=False, custom_mapping=products) as counter, sdpa_kernel(SDPBackend.MATH):
        module(features, turns if hasattr(module, "takes_turns") else mask)
    return counter.get_total_flops() // 2


@pytest.mark.parametrize("name", cost.MULTIPLY_ADDS)
@pytest.mark.parametrize("kept", [("text",), ("video",), ("audio", "video"), ("text", "audio", "video")], ids="+".join)
def test_multiply_adds_of_every_fusion_are_those_that_torch_counts(name: str, kept: tuple[str, ...]) -> None:
    for sizes in (WIDTHS, {"text": 100, "audio": 100, "video": 512}):
        widths = {m: sizes[m] for m in kept}
        for length, rank in ((1, 1), (L, 5), (80, 11)):
            given = rank if FUSIONS[name].options else None
            assert cost.multiply_adds(name, widths, length, given) == counted_in_fusion(name, widths, length, given)


def test_every_fusion_has_both_formulas() -> None:
    names = {name for name, method in FUSIONS.items() if not method.base}
    assert cost.MULTIPLY_ADDS.keys() == cost.PARAMETERS.keys() == names


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
