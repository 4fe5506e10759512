"""Matching for long conversations: memory grows with their length L instead of L^2.

tanh bounds every score by 1, so softmax needs no maximum first, and one pass over blocks of keys adds up both sums of

    O_t = Σ_s e^{tanh(q_t k_s)} v_s / Σ_s e^{tanh(q_t k_s)}

A block of scores lives only while it is used, and the backward pass computes it once more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask

LONG = 2048
"""Utterances from which LMAM matches in blocks instead of with a whole α.

The shortest length in `data/crossover.csv`, measured by `lmam_book.bench.crossover`, from which on blocks need less
memory on a CPU and are not slower.
"""

LONG_ON_GPU = LONG_ON_THREADS = 8192
"""The same on a GPU and on several threads of a CPU, where a whole α is faster: the shortest measured length at which
it needs over 2 GB. Threads gain little from blocks of this size."""

BLOCK = 512
"""Queries, and keys, of one block, whose scores stay in a CPU's cache; `data/crossover.csv` has other sizes, too."""

COLUMNS = 128
"""Columns of the values that a GPU's kernel takes at once: an H200 took 250 s to compile it with 512, 9 s with 128."""


def is_long(L: int, device: torch.device) -> bool:
    """Whether conversations of L utterances are matched in blocks on this device; not within an exported program."""
    return not is_traced() and not torch.compiler.is_exporting() and shortest(device) <= L


def is_traced() -> bool:
    """Whether `torch.jit.trace` is at work, in whose programs no value decides anything."""
    return bool(torch.jit.is_tracing())  # type: ignore[no-untyped-call, attr-defined]


def shortest(device: torch.device) -> int:
    """`LONG` as this device and this many threads have it."""
    if device.type == "cuda":
        return LONG_ON_GPU
    return LONG if torch.get_num_threads() == 1 else LONG_ON_THREADS


def matched(
    q: Tensor, keys: Sequence[Tensor], values: Sequence[Tensor], mask: Tensor, seen: Sequence[Tensor]
) -> Tensor:
    """A of Eq. 6, O above: queries in rank space against the keys of n modalities under one softmax.

    q (B, L, r), over √d_k already, and its mask (B, L); keys (B, L_j, r), values (B, L_j, d) and their masks (B, L_j)
    of each modality. Returns (B, L, d), zero where masked or where a conversation has no key. Half precision, as under
    autocast, is summed in float32.
    """
    with torch.autocast(q.device.type, enabled=False):
        k, v, keep = torch.cat(tuple(keys), 1), torch.cat(tuple(values), 1), torch.cat(tuple(seen), 1)  # (B, S, ...)
        exact = torch.promote_types(v.dtype, torch.float32)
        q, k, v, dtype = q.to(exact), k.to(exact), v.to(exact), v.dtype
        # FlexAttention keeps its sums in float32, whatever its inputs are.
        if q.is_cuda and exact != torch.float64:
            return (_flex(q, k, v, keep) * mask[..., None]).to(dtype)  # (B, L, d)
        queries, lengths = mask.sum(1).tolist(), keep.sum(1).tolist()
        each = zip(q[mask].split(queries), k[keep].split(lengths), v[keep].split(lengths), strict=True)
        O = torch.cat([_blocked(*one) for one in each])  # (all utterances, d)
        return v.new_zeros(*mask.shape, v.shape[2]).masked_scatter(mask[..., None], O).to(dtype)  # (B, L, d)


class _Blocked(torch.autograd.Function):
    """O for one conversation without padding; q (L, r), k (S, r), v (S, d) to (L, d), 0 without keys.

    tanh x = 2 σ(2x) - 1: torch computes σ faster on a CPU, and softmax does not see the constant. So blocks hold
    p = σ(2 q k^T), weights are e^{2p}, and the slope 1 - tanh^2 is 4 p (1 - p). Where a gradient is to be derived again
    it comes from a whole α.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        O, Z = v.new_zeros(len(q), v.shape[1]), v.new_zeros(len(q), 1)
        for q_t, O_t, Z_t in _blocks(q, O, Z):
            for k_s, v_s in _blocks(k, v):
                E = torch.mm(2 * q_t, k_s.T).sigmoid_().exp_().square_()  # (T, S)
                Z_t += E.sum(1, keepdim=True)
                O_t.addmm_(E, v_s)
        O /= Z.clamp_(min=1)  # every key weighs at least 1
        ctx.save_for_backward(q, k, v, O, Z)
        return O

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, O, Z = ctx.saved_tensors
        if torch.is_grad_enabled():
            inputs = [x for x, needed in zip((q, k, v), ctx.needs_input_grad, strict=True) if needed]
            whole = torch.softmax(torch.tanh(q @ k.T), -1) @ v
            grads = iter(torch.autograd.grad(whole, inputs, g, create_graph=True))
            return tuple(next(grads) if needed else None for needed in ctx.needs_input_grad)
        with torch.autocast(q.device.type, enabled=False):
            return _Blocked.first(q, k, v, O, Z, g, ctx.needs_input_grad[2])

    @staticmethod
    def first(
        q: Tensor, k: Tensor, v: Tensor, O: Tensor, Z: Tensor, g: Tensor, needs_v: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The gradients of q, k and v."""
        dq, dk, dv = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
        g = g / Z  # (L, d)
        through_Z = -(g * O).sum(1, keepdim=True)  # (L, 1)
        for k_s, v_s, dk_s, dv_s in _blocks(k, v, dk, dv):
            for q_t, g_t, z_t, dq_t in _blocks(q, g, through_Z, dq):
                p = torch.mm(2 * q_t, k_s.T).sigmoid_()  # (T, S)
                E = p.exp().square_()  # (T, S)
                if needs_v:  # features as they were read need none, and it is one product of five
                    dv_s.addmm_(E.T, g_t)
                slope = p.addcmul_(p, p, value=-1)  # (T, S)
                dX = torch.addmm(z_t, g_t, v_s.T).mul_(E).mul_(slope)  # (T, S)
                dq_t.addmm_(dX, k_s, alpha=4)
                dk_s.addmm_(dX.T, q_t, alpha=4)
        return dq, dk, dv


_blocked: Callable[[Tensor, Tensor, Tensor], Tensor] = _Blocked.apply


def _blocks(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    return zip(*(x.split(BLOCK) for x in tensors), strict=True)


def _flex(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """O as one fused kernel, on a GPU; q (B, L, r), k (B, S, r), v (B, S, d), mask (B, S) to (B, L, d).

    Values go through it in heads of `COLUMNS`, each with the same scores. Without a GPU, tests hold score, mask and
    heads against whole α on a CPU, where FlexAttention has no gradients.
    """
    heads = -(-v.shape[2] // COLUMNS)
    each = F.pad(v, (0, -v.shape[2] % heads)).unflatten(2, (heads, -1)).transpose(1, 2)  # (B, heads, S, d / heads)
    q, k, wide = (_widened(x) for x in (q[:, None], k[:, None], each))  # a power of two of columns
    q, k = (x.expand(-1, heads, -1, -1) for x in (q, k))
    out = _kernel()(q, k, wide, score_mod=_score, block_mask=_block_mask(mask, q.shape[2]), scale=1.0)
    return out[..., : each.shape[3]].transpose(1, 2).flatten(2)[..., : v.shape[2]]


def _score(score: Tensor, *_: Tensor) -> Tensor:
    return torch.tanh(score)


def _widened(x: Tensor) -> Tensor:
    """Zeros up to a power of two from 16: the kernel takes no fewer columns and rounds their number up itself."""
    width = 1 << max(4, (x.shape[-1] - 1).bit_length())
    return F.pad(x, (0, width - x.shape[-1]))


def _block_mask(mask: Tensor, L: int) -> BlockMask:
    """The blocks of 128 keys that hold an utterance, the same for every block of queries.

    `create_block_mask` would write out (L, S); this needs one number for 128 x 128 scores and waits for no GPU.
    """
    from torch.nn.attention.flex_attention import BlockMask

    occupied = F.pad(mask, (0, -mask.shape[1] % 128)).unflatten(1, (-1, 128)).any(2)  # (B, S / 128)
    count = occupied.sum(1, dtype=torch.int32)[:, None, None]  # (B, 1, 1)
    first = occupied.int().argsort(dim=1, descending=True, stable=True).int()[:, None, None]  # (B, 1, 1, S / 128)
    rows = -(-L // 128)
    return BlockMask.from_kv_blocks(
        count.repeat(1, 1, rows),
        first.repeat(1, 1, rows, 1),
        BLOCK_SIZE=128,
        mask_mod=lambda b, h, t, s: mask[b, s],
        seq_lengths=(L, mask.shape[1]),
    )


@cache
def _kernel() -> Callable[..., Tensor]:
    from torch.nn.attention.flex_attention import flex_attention  # takes seconds to import

    return torch.compile(flex_attention)
