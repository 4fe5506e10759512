"""Table XIII: DHCN with LMAM against DHCN, from the runs of the plan `sessions`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lmam_book.bench import counting
from lmam_book.paper import printed
from lmam_book.plans import tasks
from lmam_book.verdicts.effects import Effect, effect
from lmam_book.verdicts.rule import Baseline, corrected, word
from lmam_core.runs.run import Run
from lmam_core.runs.store import Store
from lmam_core.tasks.recommendation import ranking

READINGS = ("LMAM, channels", "LMAM, hops")
HEADLINE = "P@20"
METRICS = ranking.METRICS


@dataclass(frozen=True)
class Decided:
    """The rule's word on one metric of Table XIII, the effect of each reading, the reported gain, counting's score."""

    metric: str
    word: str
    effects: dict[str, Effect]
    reported: float
    bar: float

    @property
    def best(self) -> str:
        """The reading with the largest mean."""
        return max(self.effects, key=lambda name: self.effects[name].mean)


def gain(runs: dict[str, list[Run]], a: str, b: str, metric: str, level: float = 0.95) -> Effect | None:
    """How much better arm b is than arm a; None where they share fewer than two seeds."""
    shared = {r.experiment.seed for r in runs[a]} & {r.experiment.seed for r in runs[b]}
    return effect(runs[a], runs[b], metric, level) if len(shared) > 1 else None


def decide(store: Store, metric: str = HEADLINE) -> Decided:
    """DHCN* against DHCN in one metric: the better of both readings, each interval corrected for two.

    The baseline works where it is at least what counting reaches on the same training sessions.
    """
    runs = tasks.stored_runs("sessions", store)
    level = corrected(len(READINGS))
    effects = {name: e for name in READINGS if (e := gain(runs, tasks.BASE, name, metric, level)) is not None}
    reported = reported_gain(metric)
    bar = counting.mean(runs_fraction(), metric)
    verdict = word(list(effects.values()), reported, Baseline(mean(runs[tasks.BASE], metric), bar))
    return Decided(metric, verdict, effects, reported, bar)


def runs_fraction() -> int:
    """Of how many parts of the training sessions the runs keep the last."""
    return tasks.SESSIONS[tasks.BASE].fraction


def reported_gain(metric: str) -> float:
    """What the paper's Table XIII gains in a metric."""
    return printed.cell(13, "DHCN*", "overall", metric) - printed.cell(13, "DHCN", "overall", metric)


def mean(runs: list[Run], metric: str) -> float:
    """The mean over seeds; NaN without runs."""
    return float(np.mean([r.metrics[metric] for r in runs])) if runs else float("nan")
