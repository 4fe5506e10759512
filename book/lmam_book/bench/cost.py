"""What the modules cost, in closed form: parameters, and multiply-adds of one forward pass.

Widths are d_m per modality, r is the rank, L the utterances of one conversation. Matching is within a modality
(`keys="own"`, Eq. 4 to 6). One multiply-add is one multiplication and one addition of a matrix product; norms,
softmax, tanh, biases and the residual are not counted, they grow with L d or L^2 only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from lmam_core.models.fusion.subnets import HIDDEN

Widths = Mapping[str, int] | Sequence[int]

TERMS = ("projections", "scores", "values", "output")
"""The matrix products of a forward pass: inputs to queries and keys, α, A = α V, and the linear layer of Eq. 7."""


def lmam_parameters(widths: Widths, rank: int, output: bool = True) -> int:
    """Parameters of `LMAM(widths, rank)`, whose W is U V^T.

    Σ_m 2 r (1 + d) for U and V, 1 + d for b, 2 d for the norm, and d^2 + d for the linear layer of Eq. 7 unless
    `output` is False. Source: Eq. 3 to 9.
    """
    return sum(2 * rank * (1 + d) + (1 + d) for d in _each(widths)) + _rest(widths, output)


def full_parameters(widths: Widths, output: bool = True) -> int:
    """Parameters of `LMAM(widths, weight="full")`, before Section IV-B decomposes W.

    Σ_m (1 + d)^2 for W and b, which share the row that meets the column of ones, 2 d for the norm, and d^2 + d for
    the linear layer of Eq. 7 unless `output` is False. Source: Eq. 3 to 7.
    """
    return sum((1 + d) ** 2 for d in _each(widths)) + _rest(widths, output)


def self_attention_parameters(widths: Widths, output: bool = False) -> int:
    """Parameters of one self-attention per modality: W^Q, W^K, W^V, each square and with a bias.

    Σ_m 3 (d^2 + d), nine projections for three modalities; no norm. Source: Eq. 1, Fig. 1. With `output` a fourth map a
    modality, which the paper does not count: the counterpart of LMAM's layer of Eq. 7.
    """
    return sum((3 + output) * (d * d + d) for d in _each(widths))


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


def parameters(method: str, widths: Mapping[str, int], rank: int | None = None) -> int:
    """Parameters of a fusion method of `lmam_core.models.fusion`, from its formula; `rank` where it has one.

    Raises KeyError for a method without a formula.
    """
    return PARAMETERS[method](widths, rank)


def multiply_adds(method: str, widths: Mapping[str, int], length: int, rank: int | None = None) -> int:
    """Multiply-adds of a fusion method of `lmam_core.models.fusion` on one conversation, from its formula.

    Every one of the length^2 pairs of utterances counts where attention sees only some, and what a method computes in
    training alone does not (AuxFormer's auxiliary networks). Raises KeyError for a method without a formula.
    """
    return MULTIPLY_ADDS[method](widths, length, rank)


def _subnets(widths: Mapping[str, int]) -> int:
    return sum((d + 1) * HIDDEN[m] + 2 * (HIDDEN[m] + 1) * HIDDEN[m] for m, d in widths.items())


def _stacks(count: int, width: int, layers: int) -> int:
    return count * (layers * (12 * width**2 + 13 * width) + 2 * width)


def _product(widths: Sequence[int], rank: int, out: int = 64) -> int:
    return sum(rank * (d + 1) * out for d in widths) + rank + out


def _lmf(widths: Mapping[str, int], rank: int) -> int:
    return _subnets(widths) + _product([HIDDEN[m] for m in widths], rank)


def _cmcf(widths: Mapping[str, int], rank: None, d: int = 100) -> int:
    M = len(widths)
    first = sum((w + 1) * d for w in widths.values()) + _stacks(M * (M - 1), d, 1)
    return first + (M * M * d + 1) * d + (d + 1) * d + 4 * d * d + _stacks(1, d, 1)


def _mult(widths: Mapping[str, int], rank: None, d: int = 30) -> int:
    M = len(widths)
    return d * sum(widths.values()) + _stacks(M * (M - 1), d, 5) + _stacks(M, max(M - 1, 1) * d, 5)


def _auxformer(widths: Mapping[str, int], rank: None, d: int = 50) -> int:
    M = len(widths)
    mlp = (d + 1) * 512 + 513 * 256 + 257 * d
    return d * sum(widths.values()) + (3 if M > 1 else 2) * _stacks(M, d, 5) + mlp


def _lmcm(widths: Mapping[str, int], branches: int = 2, norm: int = 257, d: int = 128) -> int:
    pairs = _lmcm_pairs(widths, branches)
    return sum((n + 1) * d for n in widths.values()) + len(widths) * norm + pairs * (4 * d * d + 3 * d)


def _lmcm_pairs(widths: Mapping[str, int], branches: int) -> int:
    M = len(widths)
    return max((M if branches == 2 else 1) * (M - 1), 1)


PARAMETERS: dict[str, Callable[[Mapping[str, int], int | None], int]] = {
    "add": lambda w, r: sum((d + 1) * max(w.values()) for d in w.values() if d != max(w.values())),
    "concat": lambda w, r: 0,
    "tfn": lambda w, r: _subnets(w) + (math.prod(HIDDEN[m] + 1 for m in w) + 1) * 32 + 33 * 32,
    "lmf": _lmf,
    "dual_lmf": lambda w, r: _lmf(w, r) + len(w) * 2 * 5 + 2,
    "att_lmf": lambda w, r: _lmf(w, r) + self_attention_parameters([HIDDEN[m] for m in w]),
    "lmf_mult": lambda w, r: 30 * sum(w.values()) + _product([30] * len(w), r, 30) + _stacks(2 * len(w), 30, 5),
    "auxformer": _auxformer,
    "cmcf_srnet": _cmcf,
    "self_attention": lambda w, r: self_attention_parameters(w),
    "cross_modal": _mult,
    "lmam": lambda w, r: lmam_parameters(w, r),
    "lmcm": lambda w, r: _lmcm(w),
    "lmcm_single": lambda w, r: _lmcm(w, branches=1),
    "lmcm_plain": lambda w, r: _lmcm(w),
    "lmcm_layer_norm": lambda w, r: _lmcm(w, norm=256),
}
"""Σ over modalities m of width d_m, sub-networks of width h_m, rank r; K encoders of width d and n layers take
K (n (12 d^2 + 13 d) + 2 d). Sources: the docstrings of the methods."""


def _subnets_adds(widths: Mapping[str, int], L: int) -> int:
    return sum(L * (d * HIDDEN[m] + 2 * HIDDEN[m] ** 2) for m, d in widths.items())


def _stacks_adds(count: int, width: int, layers: int, L: int, sources: int = 1) -> int:
    d, n = width, sources
    return count * layers * (10 * L * d * d + n * (2 * L * d * d + 2 * L * L * d))


def _product_adds(widths: Sequence[int], rank: int, L: int, out: int = 64) -> int:
    return L * rank * out * (sum(widths) + 1)


def _lmf_adds(widths: Mapping[str, int], L: int, rank: int) -> int:
    return _subnets_adds(widths, L) + _product_adds([HIDDEN[m] for m in widths], rank, L)


def _tfn_adds(widths: Mapping[str, int], L: int, rank: None, post: int = 32) -> int:
    h = sorted(HIDDEN[m] for m in widths)
    return _subnets_adds(widths, L) + L * math.prod(n + 1 for n in h) * post + L * post**2


def _dual_adds(widths: Mapping[str, int], L: int, r: int, Q: int = 2, span: int = 5, out: int = 64) -> int:
    factors = L * r * out * sum(HIDDEN[m] for m in widths)
    return _subnets_adds(widths, L) + factors + L * Q * out * (len(widths) * span * r + r + 1)


def _lmf_mult_adds(widths: Mapping[str, int], L: int, rank: int, d: int = 30) -> int:
    M = len(widths)
    return L * d * sum(widths.values()) + _product_adds([d] * M, rank, L, d) + _stacks_adds(2 * M, d, 5, L)


def _auxformer_adds(widths: Mapping[str, int], L: int, rank: None, d: int = 50) -> int:
    M = len(widths)
    cross = _stacks_adds(M, d, 5, L, M - 1) if M > 1 else 0
    return L * d * sum(widths.values()) + cross + _stacks_adds(M, d, 5, L)


def _cmcf_adds(widths: Mapping[str, int], L: int, rank: None, d: int = 100) -> int:
    M = len(widths)
    first = L * d * sum(widths.values()) + _stacks_adds(M * (M - 1), d, 1, L)
    graph = 4 * L * L * d + 5 * L * d * d
    return first + L * M * M * d * d + graph + _stacks_adds(1, d, 1, L)


def _mult_adds(widths: Mapping[str, int], L: int, rank: None, d: int = 30) -> int:
    M = len(widths)
    cross, own = _stacks_adds(M * (M - 1), d, 5, L), _stacks_adds(M, max(M - 1, 1) * d, 5, L)
    return L * d * sum(widths.values()) + cross + own


def _lmcm_adds(widths: Mapping[str, int], L: int, branches: int = 2, d: int = 128) -> int:
    return L * d * sum(widths.values()) + _lmcm_pairs(widths, branches) * (4 * L * d * d + 2 * L * L * d)


MULTIPLY_ADDS: dict[str, Callable[[Mapping[str, int], int, int | None], int]] = {
    "add": lambda w, L, r: sum(L * d * max(w.values()) for d in w.values() if d != max(w.values())),
    "concat": lambda w, L, r: 0,
    "tfn": _tfn_adds,
    "lmf": _lmf_adds,
    "dual_lmf": _dual_adds,
    "att_lmf": lambda w, L, r: (
        _lmf_adds(w, L, r) + sum(self_attention_multiply_adds([HIDDEN[m] for m in w], L).values())
    ),
    "lmf_mult": _lmf_mult_adds,
    "auxformer": _auxformer_adds,
    "cmcf_srnet": _cmcf_adds,
    "self_attention": lambda w, L, r: sum(self_attention_multiply_adds(w, L).values()),
    "cross_modal": _mult_adds,
    "lmam": lambda w, L, r: sum(lmam_multiply_adds(w, r, L).values()),
    "lmcm": lambda w, L, r: _lmcm_adds(w, L),
    "lmcm_single": lambda w, L, r: _lmcm_adds(w, L, branches=1),
    "lmcm_plain": lambda w, L, r: _lmcm_adds(w, L),
    "lmcm_layer_norm": lambda w, L, r: _lmcm_adds(w, L),
}
"""Of L utterances, otherwise as `PARAMETERS`; K encoders of width d and n layers, each query with s sources, take
K n (10 L d^2 + s (2 L d^2 + 2 L^2 d)). Sources: the docstrings of the methods."""


def _each(widths: Widths) -> tuple[int, ...]:
    return tuple(widths.values() if isinstance(widths, Mapping) else widths)


def _rest(widths: Widths, output: bool) -> int:
    """The parameters of Eq. 7: norm and linear layer."""
    return sum(2 * d + output * (d * d + d) for d in _each(widths))


def _shared(widths: Widths, L: int, output: bool) -> dict[str, int]:
    """The terms that no weight changes: A = α V and the linear layer of Eq. 7."""
    d = _each(widths)
    return {"values": sum(L * L * w for w in d), "output": output * sum(L * w * w for w in d)}
