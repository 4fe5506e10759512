"""C-MFN as its equations are written: one segment, one sentence, one word after the other, and no dropout."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from lmam_core.batch import Turns
from lmam_core.models.layers.transformer import Encoder, Places, sinusoids
from lmam_core.tasks.humour.cmfn import CMFN, Fused, System
from lmam_core.tasks.humour.segments import Batch

Words = dict[str, Tensor]  # of one sentence, (T, d_m) each


def reference(model: CMFN, batch: Batch) -> Tensor:
    """The logits (B,) that `model(batch)` gives in `eval` mode."""
    logits, first = [], 0
    for b, (T, N) in enumerate(zip(batch.punchline.turns.lengths, batch.turns.lengths, strict=True)):
        joke = {m: batch.punchline.features[m][b, :T] for m in model.widths}
        context = [
            {m: batch.context.features[m][n, : batch.context.turns.lengths[n]] for m in model.widths}
            for n in range(first, first + int(N))  # the sentence right before the punchline first
        ]
        first += int(N)
        logits.append(_segment(model, joke, context))
    return torch.cat(logits)


def _segment(model: CMFN, joke: Words, context: list[Words]) -> Tensor:
    M, D, d_u = len(model.widths), model.hidden, model.remembered
    zeros = next(iter(joke.values())).new_zeros
    cells, u = zeros(M, D), zeros(d_u)
    if model.setting != "punchline":
        h = zeros(M, model.context, D)
        for n, sentence in enumerate(context):
            h[:, n] = _states(model.sentences, _early(model, sentence), zeros(M, D))[0][-1]
        H = h.transpose(0, 1).flatten(1)[: len(context)]  # (N, M D)
        if model.late_context is not None and context:
            H = H + _fused(model.late_context, dict(zip(model.widths, h[:, : len(context)], strict=True)))
        if context:
            mask = torch.ones(1, len(context), dtype=torch.bool)
            H = H + sinusoids(Places(mask, torch.arange(len(context))), M * D).to(H.dtype)
        for layer in model.encoder:
            H = _encoded(cast("Encoder", layer), H) if context else H
        cells = torch.stack([model.cell[m](h[k].flatten()) for k, m in enumerate(model.widths)])
        u = model.memory(torch.cat([H.flatten(), zeros((model.context - len(context)) * M * D)]))
    last = cells
    if model.setting != "context":
        states, kept = _states(model.words, _early(model, joke), cells)
        for before, c in zip([cells, *kept], kept, strict=False):
            both = torch.cat([before.flatten(), c.flatten()])
            attended = torch.softmax(model.gated.attention(both), 0) * both
            new = torch.tanh(model.gated.update(attended))
            gates = torch.sigmoid(model.gated.retain(attended)), torch.sigmoid(model.gated.write(attended))
            u = gates[0] * u + gates[1] * new
        last = states[-1]
        if model.late_words is not None:
            by_modality = dict(zip(model.widths, torch.stack(states).transpose(0, 1), strict=True))
            last = last.flatten() + _fused(model.late_words, by_modality).mean(0)
    return model.classifier(torch.cat([u, last.flatten()]))


def _states(system: System, words: Words, c: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """h and c (M, D) after every word."""
    h, states, cells = torch.zeros_like(c), [], []
    for t in range(len(next(iter(words.values())))):
        rows = []
        for k, m in enumerate(words):
            i, f, g, o = (system.inputs[m](words[m][t]) + h[k] @ system.recurrent[k]).chunk(4)
            new = torch.sigmoid(f) * c[k] + torch.sigmoid(i) * torch.tanh(g)
            rows.append((torch.sigmoid(o) * torch.tanh(new), new))
        h, c = (torch.stack(x) for x in zip(*rows, strict=True))
        states.append(h)
        cells.append(c)
    return states, cells


def _encoded(layer: Encoder, x: Tensor) -> Tensor:
    """A layer of the Transformer on N sentences (N, d), head by head."""
    a, heads = layer.attention, []
    d = x.shape[1] // a.heads
    for k in range(a.heads):
        q, key, v = (f(x)[:, k * d : (k + 1) * d] for f in (a.query, a.key, a.value))
        heads.append(torch.softmax(q @ key.T / d**0.5, -1) @ v)
    x = layer.norm1(x + a.output(torch.cat(heads, -1)))
    return layer.norm2(x + layer.ffn(x))


def _early(model: CMFN, words: Words) -> Words:
    if model.early is None:
        return words
    added = _fused(model.early, words).split(list(model.widths.values()), -1)
    return {m: x + more for (m, x), more in zip(words.items(), added, strict=True)}


def _fused(fused: Fused, streams: Words) -> Tensor:
    """A fusion of streams (L, d_m) that are alone in their batch, (L, width)."""
    L = len(next(iter(streams.values())))
    turns = Turns(torch.zeros(1, L, dtype=torch.long), torch.ones(1, L, dtype=torch.bool), torch.tensor([L]))
    return fused.match(fused.fusion({m: x[None] for m, x in streams.items()}, turns))[0]
