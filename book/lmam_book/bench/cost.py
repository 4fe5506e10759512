"""What the modules cost: parameters, and multiply-adds of one forward pass.

Widths are d_m per modality, r is the rank, L the utterances of one conversation. Matching is within a modality
(`keys="own"`, Eq. 4 to 6). One multiply-add is one multiplication and one addition of a matrix product; norms,
softmax, tanh, biases and the residual are not counted, they grow with L d or L^2 only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from lmam_core.batch import Turns
from lmam_core.errors import LmamError
from lmam_core.models import fusion
from lmam_core.models.fusion import Method
from lmam_core.models.fusion.self_attention import SelfAttention
from lmam_core.models.lmam import LMAM

Widths = Mapping[str, int] | Sequence[int]

TERMS = ("projections", "scores", "values", "output")
"""The matrix products of a forward pass: inputs to queries and keys, α, A = α V, and the linear layer of Eq. 7."""


def lmam_parameters(widths: Widths, rank: int, output: bool = True) -> int:
    """Parameters of `LMAM(widths, rank)`, whose W is U V^T.

    Σ_m 2 r (1 + d) for U and V, 1 + d for b, 2 d for the norm, and d^2 + d for the linear layer of Eq. 7 unless
    `output` is False. Source: Eq. 3 to 9.
    """
    return LMAM.size(_named(widths), rank, output=output)


def full_parameters(widths: Widths, output: bool = True) -> int:
    """Parameters of `LMAM(widths, weight="full")`, before Section IV-B decomposes W.

    Σ_m (1 + d)^2 for W and b, which share the row that meets the column of ones, 2 d for the norm, and d^2 + d for
    the linear layer of Eq. 7 unless `output` is False. Source: Eq. 3 to 7.
    """
    return LMAM.size(_named(widths), weight="full", output=output)


def self_attention_parameters(widths: Widths, output: bool = False) -> int:
    """Parameters of one self-attention per modality: W^Q, W^K, W^V, each square and with a bias.

    Σ_m 3 (d^2 + d), nine projections for three modalities; no norm. Source: Eq. 1, Fig. 1. With `output` a fourth map
    per modality, which the paper does not count: the counterpart of LMAM's layer of Eq. 7.
    """
    return SelfAttention.size(_named(widths)) + output * sum(d * d + d for d in _each(widths))


def released_parameters(width: int) -> int:
    """Parameters of the released module's one weight, which all modalities share: d^2 + d.

    The linear layers that bring each modality to `width` are not in it. Source: the authors' code.
    """
    return width * width + width


def lmam_multiply_adds(widths: Widths, rank: int, length: int, output: bool = True) -> dict[str, int]:
    """Multiply-adds of `LMAM(widths, rank)` on one conversation of L utterances, by term.

    Σ_m projections L d r + L d (r + 1) for M U and K [V, b]; scores L^2 (r + 1); values L^2 d; output L d^2.
    """
    r, L = rank, length
    return {
        "projections": sum(L * d * (2 * r + 1) for d in _each(widths)),
        "scores": sum(L * L * (r + 1) for _ in _each(widths)),
        **_shared(widths, L, output),
    }


def full_multiply_adds(widths: Widths, length: int, output: bool = True) -> dict[str, int]:
    """Multiply-adds of `LMAM(widths, weight="full")` on one conversation of L utterances, by term.

    Σ_m projections L d (1 + d); scores L^2 (1 + d); values L^2 d; output L d^2.
    """
    L = length
    return {
        "projections": sum(L * d * (1 + d) for d in _each(widths)),
        "scores": sum(L * L * (1 + d) for d in _each(widths)),
        **_shared(widths, L, output),
    }


def self_attention_multiply_adds(widths: Widths, length: int) -> dict[str, int]:
    """Multiply-adds of one self-attention (Eq. 1 and 2) per modality on L utterances, by term.

    Σ_m projections 3 L d^2; scores L^2 d; values L^2 d; output 0, it has no output layer.
    """
    L = length
    return {
        "projections": sum(3 * L * d * d for d in _each(widths)),
        "scores": sum(L * L * d for d in _each(widths)),
        **_shared(widths, L, output=False),
    }


def break_even_rank(width: int) -> int:
    """The largest r for which U and V together are smaller than W, 2 r (1 + d) < (1 + d)^2; 0 where no r is.

    r < (1 + d) / 2, so d // 2. Source: Eq. 4 and 8, each with b beside it.
    """
    return width // 2


def break_even_rank_multiply_adds(width: int, length: int) -> int:
    """The largest r for which scores in rank space take fewer multiply-adds than scores through W; 0 where none does.

    L d (2 r + 1) + L^2 (r + 1) < L d (1 + d) + L^2 (1 + d), that is r < d (d + L) / (2 d + L): about d / 2 for short
    conversations, towards d for long ones.
    """
    d, L = width, length
    return (d * (d + L) - 1) // (2 * d + L)


def parameters(name: str, widths: Mapping[str, int], rank: int | None = None) -> int:
    """Parameters of a fusion method, from the formula beside its equation; `rank` where it has one.

    Raises LmamError for LoRA, whose size is that of the model that it adapts.
    """
    method = _module(name)
    return method.size(widths, **({} if rank is None else {"rank": rank}))


def multiply_adds(name: str, widths: Mapping[str, int], length: int, rank: int | None = None) -> int:
    """Multiply-adds of a fusion method on one conversation of `length` utterances, as torch counts them.

    On tensors without values, and so without the zeros that a CPU's heads get. Every one of the length^2 pairs of
    utterances counts where attention sees only some, and what a method computes in training alone does not (AuxFormer's
    auxiliary networks). Raises LmamError for LoRA.
    """
    method = _module(name)
    with torch.device("meta"):
        module = method.build(widths, **({} if rank is None else {"rank": rank}))
        features = {m: torch.empty(1, length, d) for m, d in widths.items()}
        mask = torch.ones(1, length, dtype=torch.bool)
        turns = Turns(torch.zeros(1, length, dtype=torch.int64), mask, torch.tensor([length], device="cpu"))
    # A matrix times one vector, LMF's sum over its rank, is a product that torch does not count of itself.
    products = {torch.ops.aten.mv: lambda matrix, vector, out_shape: 2 * matrix.numel()}
    with FlopCounterMode(display=False, custom_mapping=products) as counter, sdpa_kernel(SDPBackend.MATH):
        module(features, turns)
    return counter.get_total_flops() // 2  # torch counts a multiplication and an addition


def _module(name: str) -> Method:
    method = fusion.method(name)
    if method.base:
        raise LmamError(f"'{name}' is a way to train a whole model; it has no size of its own.")
    return method


def _each(widths: Widths) -> tuple[int, ...]:
    return tuple(widths.values() if isinstance(widths, Mapping) else widths)


def _named(widths: Widths) -> dict[str, int]:
    return {str(k): d for k, d in enumerate(_each(widths))}


def _shared(widths: Widths, L: int, output: bool) -> dict[str, int]:
    """The terms that no weight changes: A = α V and the linear layer of Eq. 7."""
    d = _each(widths)
    return {"values": sum(L * L * w for w in d), "output": output * sum(L * w * w for w in d)}
