"""Arms of several plans beside a table of the paper: the numbers of the chapters of Tables V, IX, X, XI and Fig. 5.

`pages.cells_page` shows them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd

from lmam_book.plans import studies
from lmam_book.plans.plans import FIRST, PLANS, stored_runs
from lmam_book.verdicts import beside_paper
from lmam_book.verdicts.effects import Effect, contrast, effect
from lmam_book.verdicts.intervals import interval
from lmam_book.verdicts.rule import FEW, TOO_FEW
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.run import Run
from lmam_core.runs.store import Store


@dataclass(frozen=True)
class Cells:
    """The stored runs of plans, under protocol 2 of studies, as the arms of one comparison.

    `where` says in words what all arms share; `label(experiment)` names the arm of a run, None leaves it out;
    `printed(arm, dataset, metric)` is the paper's number beside it, NaN where it prints none; gains are counted from
    the arm `baseline`.
    """

    where: str
    plans: Sequence[str]
    label: Callable[[Experiment], str | None]
    baseline: str
    printed: Callable[[str, str, str], float] = lambda arm, dataset, metric: np.nan
    store: Store = field(default_factory=Store)
    protocol: int = 1

    @property
    def title(self) -> str:
        """`where` as the beginning of a sentence: "Behind bc-LSTM"; what begins with a name stays as it is."""
        first, *rest = self.where.split(" ")
        return " ".join([first.capitalize() if first.islower() else first, *rest])

    @cached_property
    def runs(self) -> list[Run]:
        """The runs that have an arm, in the order of the plans; one that two plans hold counts once."""
        stored = stored_runs if self.protocol == 1 else studies.stored_runs
        runs = {r.experiment: r for name in self.plans for r in stored(name, self.store) if self.label(r.experiment)}
        return list(runs.values())

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row per run with its `arm`."""
        if not self.runs:
            return pd.DataFrame(columns=["dataset", "arm", "seed"])
        return beside_paper.frame(self.runs).assign(arm=[self.label(r.experiment) for r in self.runs])

    def of(self, arm: str, dataset: str) -> list[Run]:
        """The runs of an arm on a dataset."""
        return list(self.frame[(self.frame.dataset == dataset) & (self.frame.arm == arm)].run) if self.runs else []

    def arms(self, dataset: str) -> list[str]:
        """The name of every arm of the plans on a dataset, whether it was run or not."""
        planned = (PLANS[name].arms() if self.protocol == 1 else studies.study(name) for name in self.plans)
        names = (self.label(e) for arms in planned for e in arms if e.dataset == dataset)
        return [name for name in dict.fromkeys(names) if name]

    def ready(self, dataset: str, arms: Iterable[str]) -> bool:
        """Whether each of these arms has the seeds that a word needs."""
        return all(len(self.of(arm, dataset)) >= FEW for arm in arms)

    def lacking(self, dataset: str, wanted: int = FIRST) -> dict[str, int]:
        """The arms with fewer than so many seeds on a dataset, and how many they have."""
        counts = self.frame[self.frame.dataset == dataset].groupby("arm").seed.nunique()
        return {arm: n for arm in self.arms(dataset) if (n := int(counts.get(arm, 0))) < wanted}

    def gain(self, arm: str, dataset: str, metric: str, baseline: str = "") -> Effect | None:
        """How much better an arm is than the baseline; None below two shared seeds."""
        return beside_paper.gain(self.frame, dataset, metric, baseline or self.baseline, arm)

    def beside(self, dataset: str) -> pd.DataFrame:
        """One row per arm: seeds, the headline metric of the paper and ours, our gain, parameters.

        `ours` is a mean, which one run that went wrong can move, and `median` is not moved by it. `at limit` counts the
        runs that were still within patience of their best epoch when the epochs ran out: with more they might be
        better. `one class` counts those that give every utterance the same class; either may mean that the arm needs
        more training (`beside_paper.shortfall`). `parameters` are all that were trained, `of the fusion` those of the
        method. Rows without runs show dashes. Seconds have no column: stored runs were timed under different load.
        """
        metric = beside_paper.HEADLINE[dataset]
        scores, rows = beside_paper.values(self.frame, dataset, metric) if self.runs else {}, []
        for arm in self.arms(dataset):
            values = interval(list(scores.get(arm, {}).values()))
            number = self.printed(arm, dataset, metric)
            row = {"arm": arm, "n": values.n, "paper": str(number) if np.isfinite(number) else "–"}
            columns = ("ours", "median", "gain", "at limit", "one class", "parameters", "of the fusion")
            row |= dict.fromkeys(columns, "–")
            if values.n:
                mine = self.frame[(self.frame.arm == arm) & (self.frame.dataset == dataset)]
                gain = self.gain(arm, dataset, metric)
                row |= {
                    "ours": beside_paper.spread(values, 1),
                    "median": f"{np.median(values.values):.1f}",
                    "gain": beside_paper.signed(gain if arm != self.baseline else None),
                    "at limit": int(mine.at_limit.sum()),
                    "one class": int(mine.one_class.sum()),
                    "parameters": f"{int(mine.parameters.iloc[0]):,}",
                    "of the fusion": f"{int(mine.fusion_parameters.iloc[0]):,}",
                }
            rows.append(row)
        return pd.DataFrame(rows)

    def verdicts(self, other: str, datasets: Sequence[str]) -> pd.DataFrame:
        """One row per claim "`other` beats this arm" of the paper's numbers, in each dataset's headline metric."""
        rows = []
        for dataset in datasets:
            metric = beside_paper.HEADLINE[dataset]
            for arm in (a for a in self.arms(dataset) if a != other):
                claimed = self.printed(other, dataset, metric) - self.printed(arm, dataset, metric)
                if not np.isfinite(claimed) or claimed <= 0:
                    continue
                ours = self.gain(other, dataset, metric, arm) if self.runs else None
                word = beside_paper.word(self.frame, dataset, arm, other, claimed) if ours else TOO_FEW
                row: dict[str, object] = {"claim": f"{other} beats {arm}", "verdict": word, "dataset": dataset}
                row |= {"paper": f"{claimed:+.2f}", "ours": beside_paper.signed(ours), "n": ours.seeds if ours else 0}
                rows.append(row)
        return pd.DataFrame(rows, columns=["claim", "verdict", "dataset", "paper", "ours", "n"])

    def parameters(self, dataset: str) -> dict[str, float]:
        """The parameters that each arm with runs trained."""
        mine = self.frame[self.frame.dataset == dataset]
        return mine.groupby("arm", sort=False).parameters.first().astype(float).to_dict() if self.runs else {}


def gains_over(fused: Cells, alone: Sequence[Run], dataset: str) -> dict[str, Effect]:
    """The gain of each arm over other runs, from five shared seeds on; variants of an arm are left out."""
    arms = {arm: fused.of(arm, dataset) for arm in fused.arms(dataset) if ", " not in arm}
    seeds = {r.experiment.seed for r in alone}
    ready = {arm: runs for arm, runs in arms.items() if len(seeds & {r.experiment.seed for r in runs}) >= FEW}
    return {arm: effect(alone, runs, beside_paper.HEADLINE[dataset]) for arm, runs in ready.items()}


def gain_difference(
    here: tuple[Sequence[Run], Sequence[Run]], there: tuple[Sequence[Run], Sequence[Run]], metric: str
) -> Effect | None:
    """How much larger the gain of the second arm over the first is `here` than `there`, over seeds and conversations.

    (b - a) - (d - c) is twice the difference of the means of b, c and of a, d. None below two seeds that all four have.
    """
    (a, b), (c, d) = here, there
    if len(set.intersection(*({r.experiment.seed for r in runs} for runs in (a, b, c, d)))) < 2:
        return None
    half = contrast([a, d], [b, c], metric)
    return replace(
        half,
        mean=2 * half.mean,
        of_seeds=2 * half.of_seeds,
        of_conversations=2 * half.of_conversations,
        values=tuple(2 * value for value in half.values),
    )


def without_empty_columns(beside: pd.DataFrame) -> pd.DataFrame:
    """Rows of `Cells.beside` without printed numbers where there are none, and without `one class` where no run is."""
    empty = [c for c in ("paper", "starred row") if c in beside and set(beside[c]) == {"–"}]
    return beside.drop(columns=empty + ([] if set(beside["one class"]) - {0, "–"} else ["one class"]))
