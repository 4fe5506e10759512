"""The book's findings for the front page, one sentence each with its number; computed, never typed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sized
from dataclasses import dataclass

import torch

from lmam_book import forensics
from lmam_book.bench import linear_probes, spectra
from lmam_book.bench.cost import lmam_parameters
from lmam_book.paper.p_values import printed as p_values
from lmam_book.verdicts import headline
from lmam_book.verdicts import paper_tables as tables
from lmam_book.verdicts.beside_paper import signed
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
    """How far apart two attention weights can be; how many predictions change without LMAM's trained matrix."""
    changed = 100 - spectra.cuts_table().query("kept == 0").set_index(["dataset", "seed"]).same
    means = changed.groupby("dataset").mean()
    return (
        f"LMAM's tanh keeps every attention weight within a factor of {math.e**2:.1f} of every other. Setting the "
        f"trained matrix to 0, its bias kept, **changes {means['iemocap']:.1f} % of bc-LSTM's predictions** on IEMOCAP "
        f"and {means['mosi']:.1f} % on CMU-MOSI (first protocol)."
    )


def video_leak(store: Store) -> str:
    """What CMU-MOSI's public video features know of the labels."""
    probe = linear_probes.table().query("dataset == 'mosi' and modality == 'video'").iloc[0]
    return (
        "CMU-MOSI's public **video features seem to have been made with the training labels**: logistic regression "
        f"on them is right on {probe.validation:.1f} % of held-out training utterances and {probe.test:.1f} % of test "
        "utterances."
    )


def text_alone(store: Store) -> str:
    """How many fusions of text and audio are reliably better than text alone, behind bc-LSTM on IEMOCAP.

    The correction for those that learned is the milder one, so that the one for all that were run stands beside it.
    """
    every = tables.gains_over_text(store)
    gains = tables.fusions_over_text(store)
    if not gains:
        return ""
    better = {arm: gain for arm, gain in gains.items() if gain.low > 0}
    strict = sum(dataclasses.replace(gain, level=corrected(len(every))).low > 0 for gain in gains.values())
    named = ", ".join(f"{arm} by {signed(gain)}" for arm, gain in better.items()).replace("*", r"\*")
    text = (
        f"Of the {len(gains)} ways to fuse text with audio that learned behind bc-LSTM on IEMOCAP, **{_count(better)} "
        f"reliably better than text alone**{': ' if named else ''}{named}; intervals corrected for {len(gains)}"
    )
    if strict < len(better):
        text += f" (for all {len(every)} that were run, {_count(range(strict))})"
    return f"{text}. First protocol, {min(gain.seeds for gain in gains.values())} seeds."


def over_itself(store: Store) -> str:
    """How much better LMAM on text and audio is than on text alone, as it is a layer for one modality too."""
    gain = tables.modality_sets("LMAM late", store).gain("T+A", "iemocap", "weighted_f1")
    return f"LMAM over LMAM on text alone: {signed(gain)} at 95 %." if gain else ""


def _count(some: Sized) -> str:
    """How many are: `none is`, `1 is`, `2 are`."""
    return f"{len(some) or 'none'} {'are' if len(some) > 1 else 'is'}"


def context(store: Store) -> str:
    """Whether TextCNN gains with LMAM where there is nothing to fuse."""
    effects = headline.context(store)
    if not effects or effects["text"].low <= 0:
        return ""
    alone, both = effects["text"], effects["text + audio"]
    return (
        f"LMAM raises TextCNN by **{alone.mean:+.1f} points on IEMOCAP's text alone**, where there is nothing to fuse, "
        f"and by {both.mean:+.1f} on text and audio: such a gain needs no fusion."
    )


def precision(store: Store) -> str:
    """What "Acc." of a class is in the rows of Table II with LMAM, and that rows lack a dialogue."""
    rows = forensics.audited("IEMOCAP").rows
    starred = rows[rows.row.str.endswith("*")]
    right = int((starred.reading == "precision").sum())
    where = f"all {right}" if right == len(starred) else f"{right} of the {len(starred)}"
    sentence = f"In Table II **“Acc.” of a class is its precision** in {where} rows with LMAM."
    if not forensics.without_dialogues().sets:
        return sentence
    rows = forensics.fitting_rows()
    follow = int(rows.averages_follow_all.sum())
    averages = "their averages" if follow == len(rows) else f"the averages of {follow} of them"
    return (
        f"{sentence} {len(rows)} rows fit the test set without one of its dialogues; {averages} fit the complete one."
    )


def one_dialogue_less() -> str:
    """Which rows of Table II fit the public test set without whole dialogues, and what speaks against it."""
    missing, rows = forensics.without_dialogues(), forensics.fitting_rows()
    if not missing.sets:
        return ""
    named = {name.replace("*", r"\*"): name.endswith("*") for name in rows.row}
    starred = [name.replace("*", r"\*") for name in forensics.audited("IEMOCAP").rows.row if name.endswith("*")]
    lacking = [name for name in starred if name not in named]
    rest = "".join(f" but {name}" for name in lacking)
    which = [*(f"the row {name}" for name, lmam in named.items() if not lmam), f"every row with LMAM{rest}"]
    follow = int(rows.averages_follow_all.sum())
    return (
        f"{' and '.join(which)} fit the test set without one of its dialogues, {(rows.exist == rows.of).sum()} of "
        f"these {len(rows)} in all pairs of Acc. and F1; utterances left out at random would have its class sizes with "
        f"a chance of {missing.chance:.0e}. Against it speaks that the averages "
        f"{'of all' if follow == len(rows) else f'of {follow} of'} {len(rows)} follow the complete test set."
    ).replace("the row", "The row", 1)


def losses(store: Store) -> str:
    """Beside how many of the paper's p-values below 0.05 the paper reports no gain."""
    cells = p_values()
    significant = cells[cells.p < 0.05]
    down, same = int((significant.gain < 0).sum()), int((significant.gain == 0).sum())
    return (
        f"Of the paper's {len(significant)} p-values below 0.05, **{down} stand beside a loss** and {same} beside no "
        "change."
    )


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
