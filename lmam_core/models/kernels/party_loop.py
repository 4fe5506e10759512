"""The recurrence of DialogueRNN's global and party states as an autograd function, both directions at once.

Written out by hand for the reason given in `recurrence`, in its layout; index 0 of the first axis is the forward
direction, 1 the backward one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from lmam_core.models.kernels.recurrence import cell, cell_backward, derived_once


def product(x: Tensor, weight: Tensor) -> Tensor:
    """x W^T for each direction, (2, n, D) and (2, E, D) to (2, n, E)."""
    return torch.bmm(x, weight.transpose(1, 2))


class PartyLoop(Function):
    """The global states g and the party states q, which take turns feeding each other.

    At step t, with s the speaker, q_s that speaker's state and c the attention of the utterance over g_0 .. g_{t-1}:

        α_t = softmax_{s<t}(g_s · k_t), c_t = Σ α_ts g_s
        g_t = GRU_g([u_t, q_s], g_{t-1}),   q_s ← GRU_p([u_t, c_t], q_s)

    `apply(i_g, i_p, keys, W_q, W_g, W_c, b_g, b_p, drop_g, drop_q, speaker, parties, counts)`: the utterances' part of
    the input gates i_g (2, N, 3 G) and i_p (2, N, 3 P) and of the attention, keys k (2, N, G); W_q (2, 3 G + 3 P, P),
    what a party state gives to g's input gates and to its own hidden gates; W_g (2, 3 G, G) hidden; W_c (2, 3 P, G);
    hidden biases b_g (2, 3 G), b_p (2, 3 P); masks of dropout or None; speaker (2, N).
    Returns the speaker's new state at every utterance, (2, N, P). c_0 is zero.
    """

    @staticmethod
    def forward(
        ctx: Any,
        i_g: Tensor,
        i_p: Tensor,
        keys: Tensor,
        W_q: Tensor,
        W_g: Tensor,
        W_c: Tensor,
        b_g: Tensor,
        b_p: Tensor,
        drop_g: Tensor | None,
        drop_q: Tensor | None,
        speaker: Tensor,
        parties: int,
        counts: list[int],
    ) -> Tensor:
        N, G, P = i_g.shape[1], W_g.shape[-1], W_q.shape[-1]
        B, T = counts[0], len(counts)
        q = i_g.new_zeros(2, B, parties, P)
        g = i_g.new_zeros(2, B, G)
        history = i_g.new_zeros(B, 2, T, G)  # a row for each conversation and direction, as the attention reads it
        alpha = i_g.new_zeros(B, 2, T, T)
        K = torch.zeros_like(history)  # the keys in the same layout
        spoken, before_q = i_g.new_empty(2, N, P), i_g.new_empty(2, N, P)
        before_g, context = i_g.new_empty(2, N, G), i_g.new_zeros(2, N, G)
        gates_g, gates_p = i_g.new_empty(4, 2, N, G), i_g.new_empty(4, 2, N, P)
        side = torch.arange(2, device=q.device)[:, None]
        row = torch.arange(B, device=q.device)[None]
        start = 0
        for t, n in enumerate(counts):
            here = slice(start, start + n)
            place = (side, row[:, :n], speaker[:, here])
            mine, g = q[place], g[:, :n]  # (2, n, P), (2, n, G)
            before_q[:, here], before_g[:, here] = mine, g
            from_q = product(mine, W_q)  # (2, n, 3 G + 3 P)
            i_p_t = i_p[:, here]
            if t:
                k = keys[:, here].transpose(0, 1)  # (n, 2, G)
                K[:n, :, t] = k
                past = history[:n, :, :t].flatten(0, 1)  # (2 n, t, G), a view
                scores = torch.bmm(past, k.reshape(2 * n, G, 1))  # (2 n, t, 1)
                weights = torch.softmax(scores, 1)
                alpha[:n, :, t, :t] = weights.view(n, 2, t)
                c = torch.bmm(weights.transpose(1, 2), past).view(n, 2, G).transpose(0, 1)  # (2, n, G)
                context[:, here] = c
                i_p_t = torch.baddbmm(i_p_t, c, W_c.transpose(1, 2))
            g, *saved_g = cell(
                i_g[:, here] + from_q[..., : 3 * G], torch.baddbmm(b_g[:, None], g, W_g.transpose(1, 2)), g
            )
            new, *saved_p = cell(i_p_t, from_q[..., 3 * G :] + b_p[:, None], mine)
            if drop_g is not None and drop_q is not None:
                g, new = g * drop_g[:, here], new * drop_q[:, here]
            history[:n, :, t] = g.transpose(0, 1)
            q[place] = new
            spoken[:, here] = new
            for gate, (one, other) in enumerate(zip(saved_g, saved_p, strict=True)):
                gates_g[gate, :, here], gates_p[gate, :, here] = one, other
            start += n
        ctx.save_for_backward(
            W_q, W_g, W_c, drop_g, drop_q, speaker, history, alpha, K, before_q, before_g, context, gates_g, gates_p
        )
        ctx.counts, ctx.parties = counts, parties
        return spoken

    @staticmethod
    @derived_once
    def backward(ctx: Any, d_spoken: Tensor) -> tuple[Tensor | None, ...]:
        (
            W_q,
            W_g,
            W_c,
            drop_g,
            drop_q,
            speaker,
            history,
            alpha,
            K,
            before_q,
            before_g,
            context,
            gates_g,
            gates_p,
        ) = ctx.saved_tensors
        counts, G, N = ctx.counts, W_g.shape[-1], d_spoken.shape[1]
        B, T = counts[0], len(counts)
        d_q = d_spoken.new_zeros(2, B, ctx.parties, W_q.shape[-1])
        d_g = d_spoken.new_zeros(2, B, G)
        d_i_g, d_h_g = d_spoken.new_empty(2, N, 3 * G), d_spoken.new_empty(2, N, 3 * G)
        d_i_p, d_h_p = (d_spoken.new_empty(2, N, gates_p.shape[-1] * 3) for _ in range(2))
        d_context, d_scores = torch.zeros_like(history), torch.zeros_like(alpha)
        side = torch.arange(2, device=d_q.device)[:, None]
        row = torch.arange(B, device=d_q.device)[None]
        end = N
        for t in reversed(range(T)):
            n = counts[t]
            here = slice(end - n, end)
            place = (side, row[:, :n], speaker[:, here])
            d_new = d_spoken[:, here] + d_q[place]
            # g_t reached the next step, and every later attention as a key and as a value.
            d_now = d_g[:, :n]
            later = counts[t + 1] if t + 1 < T else 0
            if later:
                weight = alpha[:later, :, t + 1 :, t].reshape(2 * later, 1, -1)
                slope = d_scores[:later, :, t + 1 :, t].reshape(2 * later, 1, -1)
                pulled = torch.bmm(weight, d_context[:later, :, t + 1 :].flatten(0, 1))
                pulled = torch.baddbmm(pulled, slope, K[:later, :, t + 1 :].flatten(0, 1))  # (2 later, 1, G)
                d_now[:, :later] += pulled.view(later, 2, G).transpose(0, 1)
            if drop_g is not None:
                d_now, d_new = d_now * drop_g[:, here], d_new * drop_q[:, here]
            d_i_g[:, here], d_h_g[:, here], passed_g = cell_backward(d_now, before_g[:, here], *gates_g[:, :, here])
            d_i_p[:, here], d_h_p[:, here], passed_q = cell_backward(d_new, before_q[:, here], *gates_p[:, :, here])
            d_g[:, :n] = torch.baddbmm(passed_g, d_h_g[:, here], W_g)
            d_q[place] = torch.baddbmm(passed_q, torch.cat([d_i_g[:, here], d_h_p[:, here]], -1), W_q)
            if t:
                d_c = torch.bmm(d_i_p[:, here], W_c).transpose(0, 1)  # (n, 2, G)
                d_context[:n, :, t] = d_c
                past, weights = history[:n, :, :t].flatten(0, 1), alpha[:n, :, t, :t].reshape(2 * n, t, 1)
                d_weights = torch.bmm(past, d_c.reshape(2 * n, G, 1))  # (2 n, t, 1)
                slope = weights * (d_weights - (weights * d_weights).sum(1, keepdim=True))
                d_scores[:n, :, t, :t] = slope.view(n, 2, t)
            end -= n
        d_K = torch.matmul(d_scores, history)  # (B, 2, T, G)
        d_keys = torch.cat([d_K[:n, :, t].transpose(0, 1) for t, n in enumerate(counts)], 1)  # (2, N, G)
        d_W_q = torch.bmm(torch.cat([d_i_g, d_h_p], -1).transpose(1, 2), before_q)
        d_W_g = torch.bmm(d_h_g.transpose(1, 2), before_g)
        d_W_c = torch.bmm(d_i_p.transpose(1, 2), context)
        return d_i_g, d_i_p, d_keys, d_W_q, d_W_g, d_W_c, d_h_g.sum(1), d_h_p.sum(1), *[None] * 5


party_loop: Callable[..., Tensor] = PartyLoop.apply
