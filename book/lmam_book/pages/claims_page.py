"""What chapters show of claims "this arm beats that one by so much": sentences, the table that decides, the figure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from IPython.display import HTML
from matplotlib.figure import Figure

from lmam_book.pages import style as reporting
from lmam_book.pages.figures.gains import Gain, forest
from lmam_book.plans.plans import FIRST, PLANS, command
from lmam_book.verdicts import beside_paper
from lmam_book.verdicts.cells import Cells
from lmam_book.verdicts.effects import Effect
from lmam_book.verdicts.rule import TOO_FEW


@dataclass(frozen=True)
class Claim:
    """An arm against a baseline, in points of a dataset's headline metric.

    `gain` is ours, None below two shared seeds; `reported` the paper's, NaN where it prints none; `word` is empty where
    the paper reports no gain above 0, so that there is nothing to reproduce.
    """

    where: str
    arm: str
    baseline: str
    gain: Effect | None
    reported: float
    word: str


def claim(cells: Cells, arm: str, baseline: str, dataset: str) -> Claim:
    """The claim "`arm` beats `baseline`" on a dataset, from stored runs and the paper's cells."""
    metric = beside_paper.HEADLINE[dataset]
    reported = cells.printed(arm, dataset, metric) - cells.printed(baseline, dataset, metric)
    gain = cells.gain(arm, dataset, metric, baseline) if cells.runs else None
    decided = TOO_FEW if gain is None else beside_paper.word(cells.frame, dataset, baseline, arm, reported)
    return Claim(cells.where, arm, baseline, gain, reported, decided if reported > 0 else "")


def measured(claims: Iterable[Claim]) -> list[Effect]:
    """The gains of the claims that have one."""
    return [claim.gain for claim in claims if claim.gain is not None]


def span(values: Iterable[float]) -> str:
    """`+1.3 to +8.1`: the smallest and the largest of some numbers, which must be there."""
    known = sorted(value for value in values if np.isfinite(value))
    return f"{known[0]:+.1f} to {known[-1]:+.1f}"


def words(claims: Iterable[Claim]) -> str:
    """`3 undecided, 1 excluded`, as badges."""
    counts = pd.Series([claim.word for claim in claims if claim.word]).value_counts()
    return ", ".join(f"{n} {reporting.badge(str(word))}" for word, n in counts.items())


def seeds(claims: Iterable[Claim]) -> str:
    """`5 seeds` or `5 to 10 seeds`: over how many the gains are."""
    many = sorted({gain.seeds for gain in measured(claims)})
    return f"{many[0]} seeds" if len(many) == 1 else f"{many[0]} to {many[-1]} seeds"


def table(claims: Sequence[Claim], caption: str) -> HTML:
    """One row per claim: the arms, our gain with its interval and seeds, the paper's, the word."""
    rows = [
        {
            "backbone": c.where,
            "arm": c.arm,
            "over": c.baseline,
            "ours": beside_paper.signed(c.gain),
            "seeds": c.gain.seeds if c.gain else 0,
            "paper": f"{c.reported:+.1f}" if np.isfinite(c.reported) else "–",
            "word": reporting.badge(c.word) if c.word else "–",
        }
        for c in claims
    ]
    return reporting.table(pd.DataFrame(rows), caption)


def figure(panels: Mapping[str, Sequence[Claim]], axis: str) -> Figure | None:
    """The gains of each panel's claims, a row per backbone; None without runs."""
    drawn = {
        title: {c.where: Gain(c.gain, c.reported) for c in claims if c.gain is not None}
        for title, claims in panels.items()
    }
    drawn = {title: rows for title, rows in drawn.items() if rows}
    return forest(drawn, axis) if drawn else None


def missing(some: Iterable[Cells], dataset: str) -> str:
    """Which comparisons lack seeds, and the commands that make them; empty where none does."""
    lacking = [(cells, few) for cells in some if (few := cells.lacking(dataset))]
    if not lacking:
        return ""
    commands = {
        f"`{command(plan, cells.store)}`": None
        for cells, few in lacking
        for plan in cells.plans
        if any(e.dataset == dataset and cells.label(e) in few for e in PLANS[plan].arms())
    }
    told = f"Fewer than {FIRST} seeds in some arm of {', '.join(cells.where for cells, _ in lacking)}: "
    return f"{told}{' and '.join(commands)} {'make' if len(commands) > 1 else 'makes'} the runs."
