"""The layers of MM-DFN's gated graph as an autograd function.

Written out by hand for the reason given in `recurrence`: beside the products, time goes into moving memory. Here sums
and slopes are written in place, the gates of a layer come from one product with [q, g], and weights and edges add up
their gradients in the products that make them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from lmam_core.models.layers.dropout import kept

sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
tanh_backward = torch.ops.aten.tanh_backward.grad_input


class GatedLoop(Function):
    """From q_0 to q_layers: a memory g, c that runs over the layers, the graph Â, and a gated residual.

        g_l, c_l = LSTM(q_{l-1}, (g_{l-1}, c_{l-1})), q_l = q_{l-1} + m_l relu(s_l + Â g_l W_l)

    `apply(q, starts, inside, across, gates, bias, W, p)`: q_0 (B, M, L, D); what each layer adds to its sum, starts
    (layers, B, M, L, D); the edges of Â as in `mm_dfn.Graph`; gates (4 D, 2 D) from [q, g] to an LSTM's gates, stacked
    in torch's order i, f, g, o, and bias (4 D,), the sum of its two; W (layers, D, D); p the probability of the dropout
    m_l, 0 for none. Returns q_layers, which without layers is q_0.
    """

    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        starts: Tensor,
        inside: Tensor,
        across: Tensor,
        gates: Tensor,
        bias: Tensor,
        W: Tensor,
        p: float,
    ) -> Tensor:
        shape, D = q.shape, q.shape[-1]
        q = q.reshape(-1, D)  # (N, D)
        now, c = torch.cat([q, torch.zeros_like(q)], -1), torch.zeros_like(q)  # [q, g] and c
        turned, added, saved = gates.t(), torch.empty_like(q), []
        for start, W_l in zip(starts.flatten(1, 3), W, strict=True):
            opened = torch.addmm(bias, now, turned)  # (N, 4 D)
            into, keep, new, out = opened.chunk(4, -1)
            opened[:, : 2 * D].sigmoid_(), _tanh(new, new), out.sigmoid_()
            after, before = torch.empty_like(now), c
            c = (keep * c).addcmul_(into, new)
            bent = _tanh(c, torch.empty_like(c))
            torch.mul(out, bent, out=after[:, D:])
            near = _spread(inside, across, after[:, D:].view(shape)).flatten(0, 2)  # (N, D)
            torch.addmm(start, near, W_l, out=added)
            slope = kept(q, tuple(q.shape), p).mul_(added > 0) if p else (added > 0).to(q.dtype)
            torch.addcmul(now[:, :D], added, slope, out=after[:, :D])
            saved += [now, opened, before, bent, near, slope]
            now = after
        ctx.save_for_backward(inside, across, gates, W, now, *saved)
        return now[:, :D].reshape(shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_q: Tensor) -> tuple[Tensor | None, ...]:
        inside, across, gates, W, after, *saved = ctx.saved_tensors
        shape, D = d_q.shape, d_q.shape[-1]
        d_q = d_q.reshape(-1, D)  # (N, D)
        d = torch.cat([d_q, torch.zeros_like(d_q)], -1)  # of [q_l, g_l]
        d_starts, d_W = d_q.new_empty(len(W), *d_q.shape), torch.empty_like(W)
        d_gates, d_bias = torch.zeros_like(gates), gates.new_zeros(4 * D)
        d_inside, d_across = torch.zeros_like(inside), torch.zeros_like(across)
        d_opened, d_near, d_c, some = d_q.new_empty(len(d), 4 * D), *(torch.zeros_like(d_q) for _ in range(3))
        d_into, d_keep, d_new, d_out = d_opened.chunk(4, -1)
        d_g = d[:, D:]
        for l in reversed(range(len(W))):
            now, opened, c, bent, near, slope = saved[6 * l : 6 * l + 6]
            torch.mul(d[:, :D], slope, out=d_starts[l])
            torch.mm(near.t(), d_starts[l], out=d_W[l])
            torch.mm(d_starts[l], W[l].t(), out=d_near)
            x, d_x = after[:, D:].view(shape), d_g.view(shape)
            _spread_backward(inside, across, x, d_near.view(shape), d_x, d_inside, d_across)
            into, keep, new, out = opened.chunk(4, -1)
            sigmoid_backward(torch.mul(d_g, bent, out=some), out, grad_input=d_out)
            d_c.add_(tanh_backward(torch.mul(d_g, out, out=some), bent, grad_input=some))
            sigmoid_backward(torch.mul(d_c, new, out=some), into, grad_input=d_into)
            sigmoid_backward(torch.mul(d_c, c, out=some), keep, grad_input=d_keep)
            tanh_backward(torch.mul(d_c, into, out=some), new, grad_input=d_new)
            d_c.mul_(keep)
            d_gates.addmm_(d_opened.t(), now)
            d_bias.add_(d_opened.sum(0))
            d_g.zero_()
            d.addmm_(d_opened, gates)
            after = now
        d_starts = d_starts.unflatten(1, shape[:3])
        return d[:, :D].reshape(shape), d_starts, d_inside, d_across, d_gates, d_bias, d_W, None


def _tanh(x: Tensor, y: Tensor) -> Tensor:
    """tanh x = 2 σ(2 x) - 1 into y; within 2e-7 in float32, in a quarter of the time of torch's own on a CPU."""
    return torch.mul(x, 2, out=y).sigmoid_().mul_(2).sub_(1)


def _meetings(M: int) -> list[tuple[int, int, int]]:
    """Which modality hears which across, and the place of their edges in `across`."""
    return [(k, m, (m + k + 1) % M) for k in range(M - 1) for m in range(M)]


def _spread(inside: Tensor, across: Tensor, x: Tensor) -> Tensor:
    """`mm_dfn.Graph.spread` of x (B, M, L, D)."""
    y = inside @ x
    for k, m, other in _meetings(x.shape[1]):
        y[:, m].addcmul_(across[k, :, m, :, None], x[:, other])
    return y


def _spread_backward(
    inside: Tensor, across: Tensor, x: Tensor, d_y: Tensor, d_x: Tensor, d_inside: Tensor, d_across: Tensor
) -> None:
    """Add what d_y (B, M, L, D) says of x and of the edges to d_x, d_inside and d_across."""
    edges, into, out = (t.flatten(0, 1) for t in (inside, x, d_y))  # (B M, ...)
    d_x.flatten(0, 1).baddbmm_(edges.transpose(1, 2), out)
    d_inside.view_as(edges).baddbmm_(out, into.transpose(1, 2))
    for k, m, other in _meetings(x.shape[1]):
        d_x[:, other].addcmul_(across[k, :, m, :, None], d_y[:, m])
        d_across[k, :, m].add_((d_y[:, m] * x[:, other]).sum(-1))
