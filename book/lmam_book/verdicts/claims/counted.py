"""Rules that count parameters and operations from closed formulas (`lmam_book.bench.cost`)."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import numpy as np
import torch.nn.functional as F
from torch import nn

from lmam_book.bench.cost import (
    full_parameters,
    lmam_multiply_adds,
    lmam_parameters,
    self_attention_multiply_adds,
    self_attention_parameters,
)
from lmam_book.paper import printed as paper
from lmam_book.plans.arms import STARRED
from lmam_book.verdicts import paper_tables as tables
from lmam_book.verdicts.claims import COUNTED_KIND, RECOMPUTED, Evidence, Finding, rule
from lmam_book.verdicts.rule import DOES_NOT_HOLD, HOLDS, IN_PART, counted
from lmam_core.batch import Conversation, Conversations, collate
from lmam_core.models import fusion
from lmam_core.models.backbones import backbone
from lmam_core.models.embedded import Embedded, embed
from lmam_core.models.lmam import LMAM

WIDTHS = (100, 100, 512)
"""Text, audio and video, Sec. III-B."""
RANK = 45
LENGTH = 110
"""Utterances of IEMOCAP's longest dialogue."""


@rule(COUNTED_KIND)
def a_third(evidence: Evidence, decomposed: str) -> Finding:
    """LMAM has at most a third of self-attention's parameters, W whole or decomposed; less than all: in part.

    Both sides alike: LMAM with the linear layer of Eq. 7 against self-attention with an output layer, and both
    without. The worse of the two decides.
    """

    def count(output: bool) -> int:
        return lmam_parameters(WIDTHS, RANK, output) if decomposed == "yes" else full_parameters(WIDTHS, output)

    shares = [Fraction(count(output), self_attention_parameters(WIDTHS, output)) for output in (True, False)]
    most = max(shares)
    word = HOLDS if most <= Fraction(1, 3) else IN_PART if most < 1 else DOES_NOT_HOLD
    reason = f"Counted at widths {_widths()}; {float(shares[0]):.3f} with an output layer on both sides (that of Eq. "
    reason += f"7), {float(shares[1]):.3f} with none on either. LMAM's norm is counted."
    return Finding(word, "1/3", f"{float(most):.3f}", 0, reason)


def _widths() -> str:
    return ", ".join(map(str, WIDTHS))


@rule(COUNTED_KIND)
def query_weights(evidence: Evidence, module: str) -> Finding:
    """How many square query weights a module over three modalities of one width holds (Fig. 1), no output layers."""
    d = WIDTHS[2]
    unit, equal = d * d + d, (d, d, d)
    if module == "self_attention":
        layer = nn.MultiheadAttention(d, 1, device="meta")  # torch's own
        count = 3 * (layer.in_proj_weight.numel() + layer.in_proj_bias.numel()) / unit
        with_output = 3 * sum(p.numel() for p in layer.parameters()) / unit
        reason = "Counted in torch's own layer: W^Q, W^K and W^V of each modality. With its output layers it is "
        reason += f"{with_output:g}."
        return Finding(HOLDS if count == 9 else DOES_NOT_HOLD, "9", f"{count:g}", 0, reason)
    whole, count = lmam_parameters(equal, RANK) / unit, lmam_parameters(equal, RANK, output=False) / unit
    reason = f"At width {d} and rank {RANK}, counted like the nine of self-attention, without an output layer; with "
    reason += f"the linear layer of Eq. 7 it is {whole:.2f}."
    return Finding(HOLDS if count < 3 else DOES_NOT_HOLD, "below 3", f"{count:.2f}", 0, reason)


@rule(COUNTED_KIND)
def table_12_parameters(evidence: Evidence, row: str) -> Finding:
    """Table XII's parameters, counted at the paper's widths and rank; within 5 % or, in part, 20 %."""
    printed = paper.cell(12, row, "overall", "params_M")
    ours = lmam_parameters(WIDTHS, RANK) if row == "LMAM" else self_attention_parameters(WIDTHS)
    off = abs(ours / 1e6 / printed - 1)
    word = HOLDS if off <= 0.05 else IN_PART if off <= 0.2 else DOES_NOT_HOLD
    reason = f"Counted at the features' widths {_widths()}: {100 * off:.0f} % off what is printed. Table XII names "
    reason += "EmoCaps and no widths."
    return Finding(word, f"{printed:g} M", f"{ours / 1e6:.2f} M", 0, reason)


@rule(COUNTED_KIND)
def cheaper_than_self_attention(evidence: Evidence) -> Finding:
    """LMAM trains in far less time than self-attention (Table XII): its operations decide it in part at most.

    In part where the fusion takes fewer operations. Seconds of whole models depend on the machine, and the cost
    chapter measures them.
    """
    seconds = [paper.cell(12, row, "overall", "training_time_s") for row in ("LMAM", "Self-attention")]
    lmam = sum(lmam_multiply_adds(WIDTHS, RANK, LENGTH).values())
    ratio = lmam / sum(self_attention_multiply_adds(WIDTHS, LENGTH).values())
    word = IN_PART if ratio < 1 else DOES_NOT_HOLD
    reason = f"Multiply-adds of the fusion alone, forward, at {LENGTH} utterances and rank {RANK}; the paper prints "
    reason += "seconds an epoch of a whole model, which the cost chapter measures."
    return Finding(word, f"{seconds[0] / seconds[1]:.2f} of the time", f"{ratio:.2f} of the operations", 0, reason)


@rule(COUNTED_KIND)
def quadratic_eased(evidence: Evidence) -> Finding:
    """Operations grow less than with the square of the length."""

    def total(length: int, attention: bool) -> int:
        terms = self_attention_multiply_adds(WIDTHS, length) if attention else lmam_multiply_adds(WIDTHS, RANK, length)
        return sum(terms.values())

    long = 10**6
    growth = {kind: total(2 * long, kind) / total(long, kind) for kind in (True, False)}
    share = total(long, False) / total(long, True)
    word = HOLDS if growth[False] < 3 else DOES_NOT_HOLD
    at_110 = total(LENGTH, False) / total(LENGTH, True)
    reason = f"Twice the utterances take {growth[False]:.2f} times the operations, for self-attention "
    reason += f"{growth[True]:.2f}: the growth is the same. LMAM takes {share:.2f} of self-attention's operations at a "
    reason += f"million utterances and {at_110:.2f} at {LENGTH}."
    return Finding(word, "eased", f"× {growth[False]:.2f}", 0, reason)


@rule(COUNTED_KIND)
def lighter_than_methods(evidence: Evidence) -> Finding:
    """LMAM has fewer parameters (our reading of "complexity") than each fusion method of Table IX; than most: in part.

    Each at its default size, that of its original where one is known, on the features' widths; without LoRA.
    """
    widths = dict(zip(("text", "audio", "video"), WIDTHS, strict=True))
    count = {
        title: sum(p.numel() for p in fusion.build(name, widths, rank=RANK if name == "lmam" else None).parameters())
        for name, title in tables.methods().items()
        if title in set(paper.table(9).row) and "LoRA" not in title
    }
    lmam = count.pop("LMAM")
    heavier = [title for title, n in count.items() if n > lmam]
    each = ", ".join(f"{title} {n / 1e6:.2f}" for title, n in sorted(count.items(), key=lambda item: item[1]))
    reason = f"Counted at the features' widths {_widths()}, methods without known sizes as read here; in millions: "
    reason += f"{each}. LMAM at rank {RANK} has {lmam / 1e6:.2f}."
    return Finding(counted(len(heavier), len(count)), "fewer", f"fewer than {len(heavier)} of {len(count)}", 0, reason)


@rule(COUNTED_KIND)
def low_rank_form(evidence: Evidence) -> Finding:
    """Every weight has a low-rank decomposition (Sec. IV-B): one that has none is enough to refute it.

    The best approximation of rank r keeps the r largest squared singular values (Eckart and Young, 1936).
    """
    d = WIDTHS[0]
    values = np.linalg.svd(np.eye(d), compute_uv=False)
    share = float((values[:RANK] ** 2).sum() / (values**2).sum())
    reason = f"The identity of width {d} has none: its best approximation of rank {RANK} keeps {share:.0%} of its "
    reason += "squared norm. An approximation is what Eq. 5 has; the rank chapter measures how good it is for trained "
    return Finding(DOES_NOT_HOLD if share < 1 else HOLDS, "every weight", f"{share:.0%} kept", 0, f"{reason}weights.")


@rule(COUNTED_KIND)
def plugs_into(evidence: Evidence, backbones: str) -> Finding:
    """LMAM can be put into so many backbones without changing them: each runs and learns with it in its `STARRED` way.

    A backbone counts where it gives an output for every utterance, and the loss reaches all that LMAM has.
    """
    fits = _fitting()
    word = HOLDS if len(fits) == int(backbones) else DOES_NOT_HOLD
    reason = "Each runs with LMAM where its features or its contexts meet, the rest as it was, and its loss reaches "
    reason += "every weight of LMAM; whether that helps is what the other claims are about."
    return Finding(word, f"{backbones} backbones", str(len(fits)), 0, reason)


@cache
def _fitting() -> tuple[str, ...]:
    """The backbones that run and learn with an LMAM at the paper's widths, on two conversations of random numbers."""
    widths = dict(zip(("text", "audio", "video"), WIDTHS, strict=True))
    models = {
        name: embed(widths, 6, backbone(name), lambda w: fusion.build("lmam", w, rank=RANK), way)
        for name, way in STARRED.items()
    }
    rng, talks = np.random.default_rng(0), []
    for length in (7, 4):
        x = {m: rng.standard_normal((length, d), np.float32) for m, d in widths.items()}
        talks.append(Conversation(str(length), x, np.arange(length) % 2, np.arange(length) % 6))
    return tuple(name for name, model in models.items() if _learns(model, collate(talks)))


def _learns(model: Embedded, batch: Conversations) -> bool:
    """Whether each utterance gets six finite logits, and every parameter of an LMAM in the model a gradient."""
    output = model(batch)  # (B, L, 6)
    if output.shape != (*batch.mask.shape, 6) or not output.isfinite().all():
        return False
    F.cross_entropy(output[batch.mask], batch.label[batch.mask]).backward()
    inside = [p for part in model.modules() if isinstance(part, LMAM) for p in part.parameters()]
    return bool(inside) and all(p.grad is not None and bool(p.grad.any()) for p in inside)


@rule(RECOMPUTED)
def grows_slightly(evidence: Evidence, metric: str, slight: str = "10") -> Finding:
    """Table VI's growth with LMAM is slight, at most so many percent, in every cell; in most: in part."""
    grown = _grown(metric)
    small = [g for g in grown if g <= float(slight)]
    word = counted(len(small), len(grown))
    reason = f"In Table VI as printed {len(small)} of {len(grown)} cells grow by at most {slight} %, which is where we "
    reason += f"draw the line; they grow by {min(grown):.0f} to {max(grown):.0f} %."
    return Finding(word, "slightly", f"{len(small)} of {len(grown)}", 0, reason)


@rule(RECOMPUTED)
def runs_faster(evidence: Evidence) -> Finding:
    """LMAM increases the running speed: Table VI's time is smaller with LMAM in every cell; in most: in part."""
    grown = _grown("running_time_s")
    faster = sum(g < 0 for g in grown)
    word = counted(faster, len(grown))
    times = paper.table(6).query("metric == 'running_time_s'").set_index(["row", "dataset"]).number
    lower = sum(times["bc-LSTM*"] < times["bc-LSTM+Att"])
    reason = f"Faster than what is not said. In Table VI as printed {faster} of {len(grown)} running times are lower "
    reason += f"with LMAM than without, and {lower} of {len(times['bc-LSTM*'])} lower than bc-LSTM's with "
    return Finding(word, "faster", f"{faster} of {len(grown)}", 0, f"{reason}self-attention.")


def _grown(metric: str) -> list[float]:
    """By how many percent each printed cell of Table VI grows when the backbone gets LMAM."""
    cells = paper.table(6)
    cells = cells[cells.metric == metric].set_index(["row", "dataset"]).number
    starred = {(row, dataset): value for (row, dataset), value in cells.items() if row.endswith("*")}
    return [100 * (v / cells[row.removesuffix("*"), dataset] - 1) for (row, dataset), v in starred.items()]
