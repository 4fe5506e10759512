"""Contextual memory fusion network, C-MFN (Hasan et al. 2019, arXiv 1904.06618, Section 4), with places for LMAM.

Symbols follow that paper and that of its memory fusion network (Zadeh et al. 2018, arXiv 1802.00927). A segment has
sentences n = 1..N of context and a punchline of T words; m is a modality.

    h_{m,n} = last state of LSTM_m over the words of sentence n                unimodal context network
    Ĥ = TransformerEncoder([h_{m,n}]_m over n)                                 multimodal context network
    c_m^0 = D_m(h_{m,1..N}),  u^0 = D(Ĥ)                                       what the memories start from
    h_m^t, c_m^t = LSTM_m(x_m^t, h_m^{t-1}, c_m^{t-1})                         system of LSTMs
    ĉ^t = softmax(D_a(c^{t-1,t})) ⊙ c^{t-1,t}                                  delta-memory attention
    u^t = σ(D_1(ĉ^t)) ⊙ u^{t-1} + σ(D_2(ĉ^t)) ⊙ tanh(D_u(ĉ^t))                 multi-view gated memory
    p(y = 1) = σ(MLP([u^T; h_m^T]_m))

c^{t-1,t} are the cells of all modalities at t - 1 and t side by side. The published code of that network also feeds
u^{t-1} to both gates; here they are as in its equations, so that only the cells have to wait for the word before:
attention and gates of all words are three products, and u^T = Σ_t (Π_{s>t} γ1_s) γ2_t û_t + (Π_s γ1_s) u^0 is one sum.

`reference` writes the same out word by word. LMAM sits in one of two places; its paper says neither what it fuses in
C-MFN nor where:

* `late`: behind the unimodal networks. In the context the sentences' h_{m,n} are fused and added to what the
  Transformer reads; in the punchline the words' h_m^t are fused, averaged and added to h_m^T.
* `early_residual`: ahead of them. The words' features are fused within each sentence and added to the features.

The map behind the fusion starts from 0: every model starts as C-MFN itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lmam_core.batch import Turns
from lmam_core.errors import LmamError
from lmam_core.models.contracts.fusion import Fusion
from lmam_core.models.kernels.recurrence import time_major
from lmam_core.models.layers.transformer import Encoder, Places, sinusoids
from lmam_core.tasks.humour.segments import Batch, Sentences

SETTINGS = ("punchline", "context", "both")
"""C-MFN (P), whose memories start from 0; C-MFN (C), which decides by c^0 and u^0 alone; C-MFN."""
EMBEDDINGS = ("late", "early_residual")

MakeFusion = Callable[[Mapping[str, int]], Fusion]


class System(nn.Module):
    """M LSTMs side by side, all D wide, one per modality: Σ_m 4 D (d_m + D + 1) parameters.

    The words of all sentences are packed, time-major, so that no step has rows for sentences that have ended, and a
    step of all modalities is one batched product.
    """

    def __init__(self, widths: Mapping[str, int], hidden: int) -> None:
        super().__init__()
        self.inputs = nn.ModuleDict({m: nn.Linear(d, 4 * hidden) for m, d in widths.items()})  # gates i, f, g, o
        self.recurrent = nn.Parameter(torch.empty(len(self.inputs), hidden, 4 * hidden))
        for p in self.parameters():  # as torch starts its LSTMs
            nn.init.uniform_(p, -(hidden**-0.5), hidden**-0.5)

    def forward(self, words: Mapping[str, Tensor], steps: Steps, cells: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """States and cells (M, N, D) of N packed words, from cells (M, S, D), or from 0."""
        i = torch.stack([self.inputs[m](x) for m, x in words.items()])  # (M, N, 4 D)
        M, D = self.recurrent.shape[:2]
        h = i.new_zeros(M, steps.counts[0], D)
        c = h if cells is None else cells.index_select(1, steps.order)
        states, kept = [], []
        for n, i_t in zip(steps.counts, i.split(steps.counts, 1), strict=True):
            into, keep, new, out = torch.baddbmm(i_t, h[:, :n], self.recurrent).chunk(4, -1)
            c = torch.sigmoid(keep) * c[:, :n] + torch.sigmoid(into) * torch.tanh(new)
            h = torch.sigmoid(out) * torch.tanh(c)
            states.append(h)
            kept.append(c)
        return torch.cat(states, 1), torch.cat(kept, 1)


class Steps:
    """The order of N packed words of S sentences: step t holds the sentences longer than t, longest first.

    `place` (N,) is a word's place in a flat (S T) batch, `order` (S,) the sentences from the longest on, `last` (S,)
    the packed place of each sentence's last word.
    """

    def __init__(self, sentences: Sentences) -> None:
        lengths, T = sentences.turns.lengths, sentences.turns.mask.shape[1]
        self.counts, places = time_major(lengths, T)
        order = places[0, : len(lengths)] // T
        starts = torch.tensor([0, *self.counts]).cumsum(0)
        last = starts[lengths.clamp(min=1) - 1] + order.argsort()
        device = sentences.turns.mask.device
        self.place, self.order, self.last = (x.to(device, non_blocking=True) for x in (places[0], order, last))
        self.shape = len(lengths), T

    def pack(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """(S, T, d_m) as (N, d_m)."""
        return {m: x.flatten(0, 1).index_select(0, self.place) for m, x in features.items()}

    def pad(self, x: Tensor) -> Tensor:
        """(..., N, d) as (..., S, T, d), 0 for padding."""
        S, T = self.shape
        flat = x.new_zeros(*x.shape[:-2], S * T, x.shape[-1]).index_copy(-2, self.place, x)
        return flat.unflatten(-2, (S, T))

    def before(self, c: Tensor, first: Tensor | None) -> Tensor:
        """Of every word what (..., N, D) is for the word before it; for the first one `first` (..., S, D), or 0."""
        start = (
            c.new_zeros(*c.shape[:-2], self.counts[0], c.shape[-1])
            if first is None
            else first.index_select(-2, self.order)
        )
        parts = c.split(self.counts, -2)
        return torch.cat([start, *(x[..., :n, :] for x, n in zip(parts, self.counts[1:], strict=False))], -2)


class GatedMemory(nn.Module):
    """Delta-memory attention and multi-view gated memory: cells (M, N, D) of packed words to u^T (S, d_u)."""

    def __init__(self, modalities: int, hidden: int, memory: int, dropout: float) -> None:
        super().__init__()
        width = 2 * modalities * hidden
        self.attention = connected(width, hidden, width, dropout)
        self.update = connected(width, hidden, memory, dropout)
        self.retain = connected(width, hidden, memory, dropout)
        self.write = connected(width, hidden, memory, dropout)

    def forward(self, c: Tensor, steps: Steps, cells: Tensor | None, memory: Tensor | None) -> Tensor:
        """u^T, from cells (M, S, D) and memory (S, d_u), or from 0."""
        both = torch.cat([steps.before(c, cells), c])  # (2 M, N, D)
        both = both.transpose(0, 1).flatten(1)  # (N, 2 M D), cells at t - 1 first
        attended = torch.softmax(self.attention(both), -1) * both
        kept = F.logsigmoid(self.retain(attended))  # log γ1
        written = torch.sigmoid(self.write(attended)) * torch.tanh(self.update(attended))
        kept, written = steps.pad(kept), steps.pad(written)  # (S, T, d_u); log 1 and 0 for padding
        upto = kept.cumsum(1)
        after = (upto[:, -1:] - upto).exp()  # Π of γ1 over the words behind each
        u = (after * written).sum(1)
        return u if memory is None else u + upto[:, -1].exp() * memory


class CMFN(nn.Module):
    """Logits of humour for segments, (B,); `widths[m]` is d_m.

    `context` K is how many sentences a context has at most, `hidden` D the width of all LSTMs, `memory` d_u that of the
    gated memory. With `fusion`, which makes a fusion module from the widths of what it meets, LMAM or another method
    sits where `embedding` says.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        setting: str = "both",
        fusion: MakeFusion | None = None,
        embedding: str = "late",
        context: int = 5,
        hidden: int = 16,
        memory: int = 16,
        layers: int = 2,
        heads: int = 4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if setting not in SETTINGS or embedding not in EMBEDDINGS:
            raise LmamError(
                f"C-MFN reads {', '.join(SETTINGS)} and fuses {', '.join(EMBEDDINGS)}; got {setting}, {embedding}."
            )
        self.widths, self.setting, self.context, self.hidden = dict(widths), setting, context, hidden
        self.remembered = memory
        M, total = len(widths), len(widths) * hidden
        if setting != "punchline":
            self.sentences = System(widths, hidden)
            self.encoder = nn.ModuleList(Encoder(total, heads, 2 * total, dropout) for _ in range(layers))
            self.cell = nn.ModuleDict({m: connected(context * hidden, hidden, hidden, dropout) for m in widths})
            self.memory = connected(context * total, memory, memory, dropout)
        if setting != "context":
            self.words = System(widths, hidden)
            self.gated = GatedMemory(M, hidden, memory, dropout)
        self.classifier = connected(memory + total, hidden, 1, dropout)
        self.early = self.late_context = self.late_words = None
        if fusion is not None and embedding == "early_residual":
            self.early = Fused(fusion, widths, sum(widths.values()))
        elif fusion is not None:
            states = dict.fromkeys(widths, hidden)
            self.late_context = None if setting == "punchline" else Fused(fusion, states, total)
            self.late_words = None if setting == "context" else Fused(fusion, states, total)

    def forward(self, batch: Batch) -> Tensor:
        """One logit per segment, (B,)."""
        for m in self.widths:
            if m not in batch.punchline.features:
                raise LmamError(f"The model was built for {', '.join(self.widths)}; the batch lacks {m}.")
        if self.setting == "punchline":
            decided = self._punchline(self._fused_early(batch.punchline))
        else:
            cells, memory = self._context(batch)  # (M, B, D), (B, d_u)
            decided = [memory, *cells]
            if self.setting == "both":
                decided = self._punchline(self._fused_early(batch.punchline), cells, memory)
        return self.classifier(torch.cat(decided, -1)).squeeze(-1)

    def _context(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """c_m^0 and u^0; those of an empty context come from sentences that are all 0."""
        B, K = batch.turns.mask.shape
        D = self.hidden
        if len(batch.place):
            sentences = self._fused_early(batch.context)
            steps = Steps(sentences)
            states, _ = self.sentences(steps.pack(sentences.features), steps)
            last = states.index_select(1, steps.last)  # (M, S, D)
            H = last.new_zeros(len(last), B * K, D).index_copy(1, batch.place, last).unflatten(1, (B, K))
        else:
            H = self.sentences.recurrent.new_zeros(len(self.widths), B, K, D)
        joined = H.permute(1, 2, 0, 3).flatten(2)  # (B, K, M D)
        if self.late_context is not None:
            joined = joined + self.late_context(dict(zip(self.widths, H, strict=True)), batch.turns)
        places = Places(batch.turns.mask, batch.place)
        if len(batch.place):
            x = places.pack(joined)
            x = x + sinusoids(places, x.shape[-1]).to(x.dtype)
            for layer in self.encoder:
                x = layer(x, places)
            joined = places.pad(x)
        cells = torch.stack([self.cell[m](h.flatten(1)) for m, h in zip(self.widths, H, strict=True)])
        return cells, self.memory(joined.flatten(1))

    def _punchline(self, words: Sentences, cells: Tensor | None = None, memory: Tensor | None = None) -> list[Tensor]:
        steps = Steps(words)
        h, c = self.words(steps.pack(words.features), steps, cells)
        last = torch.cat(list(h.index_select(1, steps.last)), -1)  # (B, M D)
        if self.late_words is not None:
            states = dict(zip(self.widths, steps.pad(h), strict=True))  # (B, T, D) each
            fused = self.late_words(states, words.turns)  # 0 for padding
            last = last + fused.sum(1) / words.turns.mask.sum(1, keepdim=True)
        return [self.gated(c, steps, cells, memory), last]

    def _fused_early(self, sentences: Sentences) -> Sentences:
        """Words with their fused features added, where fusion sits early."""
        features = {m: sentences.features[m] for m in self.widths}
        if self.early is not None:
            added = self.early(features, sentences.turns).split(list(self.widths.values()), -1)
            features = {m: x + more for (m, x), more in zip(features.items(), added, strict=True)}
        return Sentences(features, sentences.turns)


class Fused(nn.Module):
    """A fusion module and the map to the width of what it is added to, from 0; 0 for padding."""

    def __init__(self, fusion: MakeFusion, widths: Mapping[str, int], width: int) -> None:
        super().__init__()
        self.fusion = fusion(widths)
        self.match = nn.Linear(self.fusion.d_out, width, bias=False)
        nn.init.zeros_(self.match.weight)

    def forward(self, features: Mapping[str, Tensor], turns: Turns) -> Tensor:
        """(B, L, d_m) to (B, L, width)."""
        return self.match(self.fusion(features, turns)) * turns.mask[..., None]


def connected(inputs: int, hidden: int, outputs: int, dropout: float) -> nn.Sequential:
    """The fully connected network that every D of the equations is."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, outputs))
