"""The book's findings for the front page, one sentence each with its number; computed, never typed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from lmam_book import forensics
from lmam_book.bench import linear_probes, spectra
from lmam_book.bench.cost import lmam_parameters
from lmam_book.paper.p_values import printed as p_values
from lmam_book.verdicts import headline
from lmam_book.verdicts import paper_tables as tables
from lmam_book.verdicts.cells import gains_over
from lmam_book.verdicts.rule import corrected
from lmam_core.models.lmam import LMAM
from lmam_core.runs.store import Store


@dataclass(frozen=True)
class Link:
    """A sentence and the page that shows where it comes from, as a path from the repository's root."""

    text: str
    page: str


def findings(store: Store) -> Iterator[Link]:
    """Every finding that the data supports; one that needs runs is left out where they are missing."""
    for find, page in PAGES.items():
        if sentence := find(store):
            yield Link(sentence, page)


def no_crossing(store: Store) -> str:
    """Whether, as Eq. 3 to 9 are printed, a modality's output depends on another modality."""
    torch.manual_seed(0)
    widths = {"text": 6, "audio": 5, "video": 4}
    x = {m: torch.randn(1, 7, d, requires_grad=True) for m, d in widths.items()}
    fused = LMAM(widths, rank=3)(x, torch.ones(1, 7, dtype=torch.bool))  # (1, 7, 15)
    of_text = fused[..., : widths["text"]].sum()
    crossing = torch.autograd.grad(of_text, [x["audio"], x["video"]], allow_unused=True)
    if any(g is not None and bool(g.any()) for g in crossing):
        return ""
    return (
        "As the equations are printed, **no modality looks at another**: the derivative of text's output by audio is 0."
    )


def matrix_removed(store: Store) -> str:
    """How far apart two attention weights can be, and how many predictions stay when the trained matrix is deleted."""
    cut = spectra.cuts_table().query("kept == 0").groupby("dataset").same.mean()
    return (
        f"Tanh before softmax keeps every attention weight within a factor of {math.e**2:.1f} of every other, and "
        f"**deleting the trained matrix keeps {cut.min():.1f} % of predictions** or more."
    )


def video_leak(store: Store) -> str:
    """What CMU-MOSI's public video features know of the labels."""
    probe = linear_probes.table().query("dataset == 'mosi' and modality == 'video'").iloc[0]
    return (
        f"CMU-MOSI's public **video features know the answers**: a linear probe has {probe.validation:.1f} % on "
        f"held-out training videos and {probe.test:.1f} % on test videos."
    )


def text_alone(store: Store) -> str:
    """How many ways to fuse text and audio are reliably better than text alone, behind bc-LSTM on IEMOCAP."""
    fused = tables.fusion_methods("bc_lstm", store)
    gains = gains_over(fused, tables.modality_sets("concatenation", store).of("T", "iemocap"), "iemocap")
    if not gains:
        return ""
    level = corrected(len(gains))
    better = sum(dataclasses.replace(gain, level=level).low > 0 for gain in gains.values())
    return (
        f"Behind bc-LSTM on IEMOCAP **{better} of {len(gains)} ways to fuse text with audio are reliably better than "
        f"text alone** (first protocol; intervals corrected for {len(gains)} comparisons)."
    )


def context(store: Store) -> str:
    """Whether TextCNN, which sees three utterances, gains with LMAM where there is nothing to fuse."""
    effects = headline.context(store)
    if not effects or effects["text"].low <= 0:
        return ""
    alone, both = effects["text"], effects["text + audio"]
    return (
        f"**With nothing to fuse**, on IEMOCAP's text alone, LMAM adds {alone.mean:+.1f} points to TextCNN, which sees "
        f"three utterances; on text and audio {both.mean:+.1f}."
    )


def precision(store: Store) -> str:
    """What "Acc." of a class is in the rows of Table II with LMAM, and whether whole dialogues are missing."""
    rows = forensics.audited("IEMOCAP").rows
    starred = rows[rows.row.str.endswith("*") & (rows.reading != "none")]
    right = int((starred.reading == "precision").sum())
    sentence = (
        f"In Table II **“Acc.” of a class is its precision** in {right} of the {len(starred)} rows with LMAM that "
        "whole numbers settle"
    )
    if not forensics.without_dialogues().sets:
        return f"{sentence}."
    fitting = int((rows.utterances == forensics.audited("IEMOCAP").sets[-1].total).sum())
    return f"{sentence}; {fitting} rows fit a test set without one of its dialogues."


def losses(store: Store) -> str:
    """How many of the changes that the paper calls significant are losses."""
    cells = p_values()
    significant = cells[cells.p < 0.05]
    down = int((significant.gain < 0).sum())
    return f"Of {len(significant)} changes that the paper calls significant, **{down} are losses**."


def last_layer(store: Store) -> str:
    """Where LMAM's parameters are."""
    widths = (100, 100, 512)
    whole, inside = (lmam_parameters(widths, 45, output=output) for output in (True, False))
    return (
        f"LMAM is light until its last layer: **{100 * (1 - inside / whole):.0f} % of its parameters** are the output "
        "layer of Eq. 7."
    )


PAGES: dict[Callable[[Store], str], str] = {
    no_crossing: "notebooks/02-deriving-lmam",
    matrix_removed: "notebooks/15-rank",
    video_leak: "notebooks/23-video-that-knows",
    context: "book/headline.md",
    text_alone: "notebooks/14-fusion-methods",
    precision: "notebooks/18-forensic-audit",
    losses: "notebooks/17-significance",
    last_layer: "notebooks/13-cost",
}
