"""LSTMs and GRUs over conversations as autograd functions, both directions at once.

Written out by hand because of where the time goes. A loop of layers under autograd adds up the gradient of every weight
matrix once per utterance, and fills an array of all utterances at every step; that moves more memory than all the rest.
Here the loops only carry states, and each weight gets its gradient from one product at the end. Both directions share
the products of a step, and a step has no rows for conversations that have ended.

Layout: `N` utterances of all conversations, time-major: step t holds the conversations that are longer than t, longest
first, so `counts[t]` rows. Index 0 of the first axis is the forward direction, 1 the backward one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F

from lmam_core.errors import LmamError


def derived_once(backward: Callable[..., Any]) -> Callable[..., Any]:
    """A backward pass written by hand, which raises LmamError where its own gradient may be asked for.

    torch's `once_differentiable` notices only where the gradient that comes in depends on something: that of a sum
    does not, and what was saved then counted as constant.
    """

    @wraps(backward)
    def once(ctx: Any, *gradients: Tensor) -> Any:
        if torch.is_grad_enabled():
            raise LmamError(
                "The gradients of recurrences are written by hand and have no second derivative (create_graph=True); "
                "on a CPU a backbone's `reference`, where it has one, is derived by torch."
            )
        return backward(ctx, *gradients)

    return once


def time_major(lengths: Tensor, L: int) -> tuple[list[int], Tensor]:
    """How many conversations are longer than t, for each t, and where their utterances stand in a flat (B L) batch.

    The places are (2, N): forwards, then backwards from each conversation's last utterance. Longest conversations come
    first. An empty one counts one utterance, its first position: a loop needs a step, and `mask` hides the result.
    """
    lengths = lengths.clamp(min=1)
    order = torch.argsort(lengths, descending=True, stable=True)
    t, kept = torch.arange(int(lengths.max()))[:, None], lengths[order][None]
    there = t < kept  # (longest, B)
    places = torch.stack([order * L + t, order * L + (kept - 1 - t)])[:, there]  # (2, N)
    return there.sum(1).tolist(), places


def bidirectional(rnn: nn.RNNBase, x: Tensor, lengths: Tensor, dropout: float) -> Tensor:
    """What a bidirectional `nn.LSTM` or `nn.GRU` gives on packed sequences, (B, L, width) to (B, L, 2 hidden).

    `rnn` holds the weights, `dropout` acts between its layers. Places behind a sequence's length are 0; an empty
    sequence is read as if it were 1 long.
    """
    B, L, _ = x.shape
    counts, places = time_major(lengths, L)  # (2, N)
    # The utterance that stands as far from the other end of its conversation.
    mirror = torch.empty(B * L, dtype=torch.long)
    mirror[places[0]] = torch.arange(places.shape[1])
    place, mirror = (i.to(x.device, non_blocking=True) for i in (places[0], mirror[places[1]]))  # (N,)
    h = x.flatten(0, 1).index_select(0, place)  # (N, width)
    loop = _lstm if isinstance(rnn, nn.LSTM) else _gru
    for layer in range(rnn.num_layers):
        if layer and dropout:
            h = F.dropout(h, dropout)
        W, U, b, c = (
            torch.stack([getattr(rnn, f"{name}_l{layer}{way}") for way in ("", "_reverse")])
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        both = loop(torch.stack([h, h.index_select(0, mirror)]), W, U, b, c, counts)  # (2, N, hidden)
        h = torch.cat([both[0], both[1].index_select(0, mirror)], -1)  # (N, 2 hidden)
    return h.new_zeros(B * L, h.shape[-1]).index_copy(0, place, h).view(B, L, -1)


def _gru(x: Tensor, W: Tensor, U: Tensor, b: Tensor, c: Tensor, counts: list[int]) -> Tensor:
    """A GRU layer in both directions, (2, N, width) to (2, N, hidden)."""
    return gru_loop(torch.baddbmm(b[:, None], x, W.transpose(1, 2)), U, c, None, counts)


def _lstm(x: Tensor, W: Tensor, U: Tensor, b: Tensor, c: Tensor, counts: list[int]) -> Tensor:
    """An LSTM layer in both directions, (2, N, width) to (2, N, hidden)."""
    # torch stacks the gates i, f, g, o; the loop takes g first.
    W, U, b = (w.unflatten(1, (4, -1))[:, [2, 0, 1, 3]].flatten(1, 2) for w in (W, U, b + c))
    return lstm_loop(torch.baddbmm(b[:, None], x, W.transpose(1, 2)), U, counts)


class LstmLoop(Function):
    """LSTMs over each conversation, from zero states.

    g = tanh(i_g + h_g), and i, f, o likewise with σ; c' = f c + i g; h' = o tanh(c'), with h_· = W h.
    `apply(i, W, counts)`: what the gates get from the inputs and both biases, i (2, N, 4 D), and W (2, 4 D, D), the
    gates stacked in the order g, i, f, o; returns the states h (2, N, D).
    """

    @staticmethod
    def forward(ctx: Any, i: Tensor, W: Tensor, counts: list[int]) -> Tensor:
        N, D = i.shape[1], W.shape[-1]
        gates, Wt = torch.empty_like(i), W.transpose(1, 2)
        states, cells, bent = (i.new_empty(2, N, D) for _ in range(3))  # h, c and tanh c
        h = c = i.new_zeros(2, counts[0], D)
        for n, i_t, gates_t, h_t, c_t, bent_t in zip(
            counts, *_steps(counts, i, gates, states, cells, bent), strict=True
        ):
            torch.baddbmm(i_t, h[:, :n], Wt, out=gates_t)  # (2, n, 4 D)
            g, opened = gates_t.split([D, 3 * D], -1)
            into, keep, out = opened.sigmoid_().chunk(3, -1)
            torch.mul(keep, c[:, :n], out=c_t).addcmul_(into, g.tanh_())
            torch.mul(out, torch.tanh(c_t, out=bent_t), out=h_t)
            h, c = h_t, c_t
        ctx.save_for_backward(W, gates, states, cells, bent)
        ctx.counts = counts
        return states

    @staticmethod
    @derived_once
    def backward(ctx: Any, d_states: Tensor) -> tuple[Tensor | None, ...]:
        W, gates, states, cells, bent = ctx.saved_tensors
        counts, D = ctx.counts, W.shape[-1]
        g, into, keep, out = gates.chunk(4, -1)  # (2, N, D) each
        # All that does not wait for the later steps: how much of d c and d h each gate, and d c of d h, will get.
        slope = torch.cat([into * (1 - g * g), g * into * (1 - into), _before(cells, counts) * keep * (1 - keep)], -1)
        slope_out, slope_c = bent * out * (1 - out), out * (1 - bent * bent)
        d_i = torch.empty_like(gates)
        d_h, d_c = (gates.new_zeros(2, counts[0], D) for _ in range(2))
        steps = _steps(counts, d_states, d_i, slope, slope_out, slope_c, keep)
        for n, d_t, d_i_t, slope_t, out_t, c_t, keep_t in reversed(list(zip(counts, *steps, strict=True))):
            d = d_t + d_h[:, :n]
            d_cell = torch.addcmul(d_c[:, :n], d, c_t)
            three = d_i_t[..., : 3 * D].unflatten(-1, (3, D))
            torch.mul(slope_t.unflatten(-1, (3, D)), d_cell.unsqueeze(2), out=three)
            torch.mul(out_t, d, out=d_i_t[..., 3 * D :])
            torch.mul(d_cell, keep_t, out=d_c[:, :n])
            torch.bmm(d_i_t, W, out=d_h[:, :n])
        return d_i, torch.bmm(d_i.transpose(1, 2), _before(states, counts)), None


lstm_loop: Callable[[Tensor, Tensor, list[int]], Tensor] = LstmLoop.apply


def _steps(counts: list[int], *arrays: Tensor) -> list[tuple[Tensor, ...]]:
    """Each array's views of the steps, (2, n, ...) each."""
    return [x.split(counts, 1) for x in arrays]


def _before(states: Tensor, counts: list[int]) -> Tensor:
    """For every utterance the state of the one before it in its conversation, 0 for the first, (2, N, D)."""
    steps = states.split(counts, 1)
    first = states.new_zeros(2, counts[0], states.shape[-1])
    return torch.cat([first, *(h[:, :n] for h, n in zip(steps, counts[1:], strict=False))], 1)


def cell(i: Tensor, hidden: Tensor, h: Tensor) -> tuple[Tensor, ...]:
    """A GRU cell from its gates, (2, n, 3 D) each, and its state (2, n, D): the new state, then r, z, n and h_n.

    r = σ(i_r + h_r), z = σ(i_z + h_z), n = tanh(i_n + r h_n), h' = n + z (h - n), with i = W_i x + b_i and
    h_· = W_h h + b_h, the gates stacked in the order r, z, n.
    """
    i_r, i_z, i_n = i.chunk(3, -1)
    h_r, h_z, h_n = hidden.chunk(3, -1)
    r, z = torch.sigmoid(i_r + h_r), torch.sigmoid(i_z + h_z)
    n = torch.tanh(torch.addcmul(i_n, r, h_n))
    return torch.lerp(n, h, z), r, z, n, h_n  # (2, n, D) each


def cell_backward(d: Tensor, h: Tensor, r: Tensor, z: Tensor, n: Tensor, h_n: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """From the gradient of the new state to those of i and of the hidden gates, and the part of h's that passes z."""
    d_n = d * (1 - z) * (1 - n * n)
    d_r = d_n * h_n * r * (1 - r)
    d_z = d * (h - n) * z * (1 - z)
    return torch.cat([d_r, d_z, d_n], -1), torch.cat([d_r, d_z, d_n * r], -1), d * z


class GruLoop(Function):
    """GRUs over each conversation, from zero states, the state dropped out at every step.

    `apply(i, W, b, drop, counts)`: input gates i (2, N, 3 D), W (2, 3 D, D), b (2, 3 D), `drop` (2, N, D) or None;
    returns the states (2, N, D). The cell is that of `cell`.
    """

    @staticmethod
    def forward(ctx: Any, i: Tensor, W: Tensor, b: Tensor, drop: Tensor | None, counts: list[int]) -> Tensor:
        N, D = i.shape[1], W.shape[-1]
        states, news = (i.new_empty(2, N, D) for _ in range(2))  # h' and n
        gates = torch.empty_like(i)  # r, z and h_n
        h, b, Wt = i.new_zeros(2, counts[0], D), b[:, None], W.transpose(1, 2)
        masks = [None] * len(counts) if drop is None else drop.split(counts, 1)
        steps = _steps(counts, i, gates, news, states)
        for n, drop_t, i_t, gates_t, n_t, h_t in zip(counts, masks, *steps, strict=True):
            h = h[:, :n]
            torch.baddbmm(b, h, Wt, out=gates_t)  # (2, n, 3 D)
            opened, h_n = gates_t.split([2 * D, D], -1)
            r, z = opened.add_(i_t[..., : 2 * D]).sigmoid_().chunk(2, -1)
            torch.addcmul(i_t[..., 2 * D :], r, h_n, out=n_t).tanh_()
            h = torch.lerp(n_t, h, z, out=h_t)
            if drop_t is not None:
                h.mul_(drop_t)
        ctx.save_for_backward(W, gates, news, states, drop)
        ctx.counts = counts
        return states

    @staticmethod
    @derived_once
    def backward(ctx: Any, d_states: Tensor) -> tuple[Tensor | None, ...]:
        W, gates, news, states, drop = ctx.saved_tensors
        counts, D = ctx.counts, W.shape[-1]
        before = _before(states, counts)  # (2, N, D)
        r, z, h_n = gates.chunk(3, -1)
        # What the gates get of each state's gradient, which no later step decides.
        slope_n = (1 - z) * (1 - news * news)
        slope = torch.cat([slope_n * h_n * r * (1 - r), (before - news) * z * (1 - z), slope_n * r], -1)  # (2, N, 3 D)
        d, d_hidden = torch.empty_like(states), torch.empty_like(gates)
        carried = states.new_zeros(2, counts[0], D)
        masks = [None] * len(counts) if drop is None else drop.split(counts, 1)
        steps = _steps(counts, d_states, d, d_hidden, slope, z)
        for n, drop_t, one, d_t, hidden_t, slope_t, z_t in reversed(list(zip(counts, masks, *steps, strict=True))):
            torch.add(one, carried[:, :n], out=d_t)
            if drop_t is not None:
                d_t.mul_(drop_t)
            torch.mul(slope_t.unflatten(-1, (3, D)), d_t.unsqueeze(2), out=hidden_t.unflatten(-1, (3, D)))
            torch.baddbmm(d_t * z_t, hidden_t, W, out=carried[:, :n])
        d_i = torch.cat([d_hidden[..., : 2 * D], d * slope_n], -1)
        return d_i, torch.bmm(d_hidden.transpose(1, 2), before), d_hidden.sum(1), None, None


gru_loop: Callable[[Tensor, Tensor, Tensor, Tensor | None, list[int]], Tensor] = GruLoop.apply
