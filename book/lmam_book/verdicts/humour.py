"""Table XIV: C-MFN with LMAM against C-MFN, by cell and over all cells, and the best that a generated set allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from lmam_book.paper import printed
from lmam_book.plans import tasks
from lmam_book.verdicts.effects import Effect, contrast
from lmam_book.verdicts.rule import corrected
from lmam_core.data.sources.synthetic_humour import DEFAULT, generate, oracle
from lmam_core.runs.run import Run

METRIC = "accuracy"
CELLS = tuple((row, subset) for row in tasks.CMFN for subset in tasks.SUBSETS)
HEADLINE = "C-MFN", "T+A+V"
"""The cell that reads all there is: of it is the claim."""

Runs = Mapping[str, Sequence[Run]]


def gain(runs: Runs, cells: Sequence[tuple[str, str]], level: float = 0.95) -> Effect | None:
    """How much better C-MFN* is than C-MFN, in points of accuracy, the mean over some cells of Table XIV.

    None where the arms of these cells share fewer than two seeds.
    """
    plain, starred = ([runs.get(f"{row}{star}, {subset}", ()) for row, subset in cells] for star in ("", "*"))
    return difference(plain, starred, level)


def difference(a: Sequence[Sequence[Run]], b: Sequence[Sequence[Run]], level: float = 0.95) -> Effect | None:
    """The mean of arms b minus the mean of arms a; None where they share fewer than two seeds."""
    seeds = [{run.experiment.seed for run in arm} for arm in (*a, *b)]
    return contrast(a, b, METRIC, level) if len(set.intersection(*seeds)) > 1 else None


def by_cell(runs: Runs, cells: Sequence[tuple[str, str]] = CELLS) -> dict[tuple[str, str], Effect]:
    """The gain of each cell that has runs, each interval wide enough for as many as there are."""
    level = corrected(len(cells))
    return {cell: effect for cell in cells if (effect := gain(runs, [cell], level)) is not None}


def reported(cells: Sequence[tuple[str, str]]) -> float:
    """The mean gain of Table XIV over some cells."""
    gains = [printed.cell(14, f"{row}*", subset, "Acc") - printed.cell(14, row, subset, "Acc") for row, subset in cells]
    return float(np.mean(gains))


def mean(runs: Sequence[Run]) -> float:
    """The mean accuracy over seeds; NaN without runs."""
    return float(np.mean([run.metrics[METRIC] for run in runs])) if runs else float("nan")


@lru_cache
def best(row: str, subset: str) -> float:
    """The accuracy in percent of Bayes' rule on the generated test segments: the best that a cell allows on average."""
    arrays = generate(DEFAULT)
    right = (oracle(DEFAULT, arrays, tasks.SUBSETS[subset], tasks.CMFN[row]) > 0.5) == arrays["label"]
    return float(100 * right[arrays["split"] == 2].mean())
