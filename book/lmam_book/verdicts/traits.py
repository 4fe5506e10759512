"""POM's part of Table IV: LMAM against concatenation on audio and video, from the runs of the studies `traits_...`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lmam_book.bench import trait_probes
from lmam_book.plans import studies
from lmam_book.verdicts import beside_paper, headline
from lmam_book.verdicts.effects import Effect, effect
from lmam_book.verdicts.headline import Cell
from lmam_book.verdicts.rule import Baseline, word
from lmam_core.runs.metrics import per_trait, summarise
from lmam_core.runs.run import Run
from lmam_core.runs.store import Store

METRICS = beside_paper.METRICS["pom"]
ATTENTION = "bc_lstm_att"
DIGITS = {"mae": 3, "corr": 3}
"""Decimals of a metric's gains; one of the others."""


@dataclass(frozen=True)
class Decided:
    """The rule's word on one metric of a backbone, with the gain (None before runs) and the reported one.

    Both are positive for better. `without` and `with_` are means over the seeds that both arms have, NaN without any;
    `bar` is what the best probe has.
    """

    backbone: str
    metric: str
    word: str
    gain: Effect | None
    reported: float
    without: float
    with_: float
    bar: float


def cells(store: Store) -> dict[str, Cell]:
    """The cells of `all_traits` on the 16 traits that the paper speaks of: the words are about these."""
    return {name: without_sentiment(cell) for name, cell in all_traits(store).items()}


def all_traits(store: Store) -> dict[str, Cell]:
    """The cell of each of the paper's backbones, and under `ATTENTION` bc-LSTM with LMAM beside bc-LSTM+Att.

    On all 17 traits, which every run is trained on.
    """
    by_backbone = {cell.backbone: cell for cell in headline.cells(store, studies.names("traits"))}
    lmam, other = by_backbone["bc_lstm"], by_backbone[ATTENTION]
    runs = {"concatenation": other.runs["concatenation"], "own": lmam.runs["own"]}
    return by_backbone | {ATTENTION: Cell("bc_lstm", "pom", runs, np.nan)}


def decide(cell: Cell, metric: str = "accuracy", baseline: str = "concatenation") -> Decided:
    """LMAM against a baseline in one metric; the baseline works where it is no worse than the best probe."""
    a, b = cell.runs["concatenation"], cell.runs["own"]
    sign, seeds = beside_paper.sign(metric), cell.shared("own")
    gain = effect(a, b, metric) if len(seeds) > 1 else None
    reported = headline.reported_gain(cell.backbone, "pom", baseline, metric)
    without, with_ = (
        float(np.mean([r.metrics[metric] for r in runs if r.experiment.seed in seeds])) if seeds else np.nan
        for runs in (a, b)
    )
    bar = trait_probes.probe_score(metric)
    edges = [beside_paper.edge(runs, metric) for runs in (a, b)]
    working = Baseline(sign * without, sign * bar, not beside_paper.short(a), edges[0])
    decided = word([gain] if gain else [], reported, working, not beside_paper.short(b), edges[1])
    return Decided(cell.backbone, metric, decided, gain, reported, without, with_, bar)


def half_width_with(gain: Effect, seeds: int) -> float:
    """Half the width of a gain's interval if there were so many seeds, each varying as those that there are."""
    return replace(gain, seeds=seeds, of_seeds=gain.of_seeds * (gain.seeds / seeds) ** 0.5).half


def without_sentiment(cell: Cell) -> Cell:
    """The cell on the 16 traits that papers report (`trait_probes.without_sentiment`)."""

    def cut(run: Run) -> Run:
        outcomes = {c: trait_probes.without_sentiment(x) for c, x in run.outcomes.items()}
        shorter = replace(run, outcomes=outcomes)
        return replace(shorter, metrics=summarise(shorter.total, None))

    return replace(cell, runs={name: [cut(run) for run in runs] for name, runs in cell.runs.items()})


def by_trait(runs: Sequence[Run]) -> Mapping[str, np.ndarray]:
    """Each metric of each trait (17,), the mean over runs; raises ValueError without any."""
    by_run = [per_trait(run.total) for run in runs]
    return {name: np.mean([values[name] for values in by_run], 0) for name in by_run[0]}
