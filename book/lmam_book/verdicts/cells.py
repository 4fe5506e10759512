"""Arms of several plans beside a table of the paper: what the chapters of Tables V, IX, X, XI and Fig. 5 show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
from IPython.display import HTML, Markdown
from matplotlib.figure import Figure

from lmam_book.pages import style as reporting
from lmam_book.pages.figures import common as figures
from lmam_book.plans.plans import FIRST, PLANS, SEEDS, held
from lmam_book.verdicts import beside_print as plugin
from lmam_book.verdicts.intervals import FEW, Comparison, interval, verdict
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.run import Run
from lmam_core.runs.store import Store


@dataclass(frozen=True)
class Cells:
    """The stored runs of plans, as the arms of one comparison.

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

    @property
    def title(self) -> str:
        """`where` as the beginning of a sentence: "Behind bc-LSTM"; what begins with a name stays as it is."""
        first, *rest = self.where.split(" ")
        return " ".join([first.capitalize() if first.islower() else first, *rest])

    @cached_property
    def runs(self) -> list[Run]:
        """The runs that have an arm, in the order of the plans; one that two plans hold counts once."""
        found = {r.experiment: r for name in self.plans for r in held(name, self.store) if self.label(r.experiment)}
        return list(found.values())

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row a run with its `arm`."""
        if not self.runs:
            return pd.DataFrame(columns=["dataset", "arm", "seed"])
        return plugin.frame(self.runs).assign(arm=[self.label(r.experiment) for r in self.runs])

    def asked(self, dataset: str) -> dict[str, Experiment]:
        """The experiment of every arm of the plans on a dataset, whether it was run or not; the first with its name."""
        found: dict[str, Experiment] = {}
        for e in (e for name in self.plans for e in PLANS[name].arms() if e.dataset == dataset):
            if name := self.label(e):
                found.setdefault(name, e)
        return found

    def arms(self, dataset: str) -> list[str]:
        """The names of `asked`."""
        return list(self.asked(dataset))

    def lacking(self, dataset: str, wanted: int = FIRST) -> dict[str, int]:
        """The arms with fewer than so many seeds on a dataset, and how many they have."""
        counts = self.frame[self.frame.dataset == dataset].groupby("arm").seed.nunique()
        return {arm: n for arm in self.arms(dataset) if (n := int(counts.get(arm, 0))) < wanted}

    def missing(self, dataset: str) -> HTML:
        """How many cells of a dataset have at least five seeds, and the command that makes what is missing."""
        cells, lacking = self.arms(dataset), self.lacking(dataset)
        said = f"{self.title}: {len(cells) - len(lacking)} of {len(cells)} cells on {dataset} have at least five seeds"
        empty = list(lacking.values()).count(0)
        said += f", {empty} have none yet" if empty else ""
        few = lacking or self.lacking(dataset, len(SEEDS))
        if not few:
            return HTML(f"<p>{self.title}: all {len(cells)} cells on {dataset} have {len(SEEDS)} seeds.</p>")
        wanted = lambda e: e.dataset == dataset and self.label(e) in few  # noqa: E731
        plans = [name for name in self.plans if any(map(wanted, PLANS[name].arms()))]
        commands = " and ".join(f"<code>lmam sweep {name}</code>" for name in plans)
        rest = ("goes" if len(plans) == 1 else "go") + (" on" if lacking else f" on to {len(SEEDS)}")
        return HTML(f"<p>{said}; {commands} {rest}.</p>")

    def gain(self, arm: str, dataset: str, metric: str, baseline: str = "") -> Comparison | None:
        """How much better an arm is than the baseline, paired by seed; None where one of them was not run."""
        return plugin.gain(self.frame, dataset, metric, baseline or self.baseline, arm)

    def beside(self, dataset: str) -> pd.DataFrame:
        """One row an arm: seeds, the headline metric of the paper and ours, our gain, parameters.

        `ours` is a mean, which one run that went wrong can move, and `median` is not moved by it. `at limit` counts the
        runs that were still within patience of their best epoch when the epochs ran out: with more they might be
        better. `one class` counts those that give every utterance the same class; either may mean that the arm is not
        trained out (`plugin.shortfall`). `parameters` are all that were trained, `of the fusion` those of the method.
        Rows without runs show dashes. The seconds of stored runs have no column: they were made at different times,
        under different load.
        """
        metric = plugin.HEADLINE[dataset]
        found, rows = plugin.values(self.frame, dataset, metric) if self.runs else {}, []
        for arm in self.arms(dataset):
            values = interval(list(found.get(arm, {}).values()))
            number = self.printed(arm, dataset, metric)
            row = {"arm": arm, "n": values.n, "paper": str(number) if np.isfinite(number) else "–"}
            columns = ("ours", "median", "gain", "at limit", "one class", "parameters", "of the fusion")
            row |= dict.fromkeys(columns, "–")
            if values.n:
                mine = self.frame[(self.frame.arm == arm) & (self.frame.dataset == dataset)]
                gain = self.gain(arm, dataset, metric)
                row |= {
                    "ours": plugin.spread(values, 1),
                    "median": f"{np.median(values.values):.1f}",
                    "gain": plugin.spread(gain.difference, 2, "+") if gain and arm != self.baseline else "–",
                    "at limit": int(mine.at_limit.sum()),
                    "one class": int(mine.one_class.sum()),
                    "parameters": f"{int(mine.parameters.iloc[0]):,}",
                    "of the fusion": f"{int(mine.fusion_parameters.iloc[0]):,}",
                }
            rows.append(row)
        return pd.DataFrame(rows)

    def table(self, dataset: str) -> HTML:
        """`beside` as a page shows it, `trimmed`: the arms that were run, or that the paper prints a number for."""
        found, metric = self.beside(dataset), plugin.HEADLINE[dataset]
        found = found[(found.n > 0) | (found.paper != "–")]
        if found.empty:
            return HTML("")
        caption = f"{self.title}, {dataset}: {plugin.TITLES[metric]}; ours is the mean over n seeds, "
        caption += f"gains are over {self.baseline}; at limit: runs that might have gone on when the epochs ran out"
        found = trimmed(found)
        if "one class" in found:
            caption += "; one class: runs that give every utterance the same class"
            caption += " of the two that Acc-2 counts" if metric == "acc2" else ""
        return reporting.table(found, caption)

    def verdicts(self, other: str, datasets: Sequence[str]) -> pd.DataFrame:
        """One row a claim "`other` beats this arm" that the paper's numbers make, in each dataset's headline metric."""
        rows = []
        for dataset in datasets:
            metric = plugin.HEADLINE[dataset]
            for arm in (a for a in self.arms(dataset) if a != other):
                claimed = self.printed(other, dataset, metric) - self.printed(arm, dataset, metric)
                if not np.isfinite(claimed) or claimed <= 0:
                    continue
                ours = self.gain(other, dataset, metric, arm) if self.runs else None
                ended = plugin.trained_out(self.frame, dataset, arm, other) if self.runs else []
                rows.append(
                    {
                        "claim": f"{other} beats {arm}",
                        "verdict": verdict(claimed, ours, *ended),
                        "dataset": dataset,
                        "paper": f"{claimed:+.2f}",
                        "ours": plugin.spread(ours.difference, 2, "+") if ours and ours.difference.n else "–",
                        "n": ours.difference.n if ours else 0,
                    }
                )
        return pd.DataFrame(rows, columns=["claim", "verdict", "dataset", "paper", "ours", "n"])

    def answer(self, other: str, datasets: Sequence[str]) -> Markdown | HTML:
        """How the verdicts on "`other` beats this arm" are spread, and where it stands in each dataset.

        Of the first nothing is said where the paper makes no such claim.
        """
        found = self.verdicts(other, datasets).verdict.value_counts()
        said = ", ".join(f"{n} {reporting.badge(word)}" for word, n in found.items())
        spread = f"{self.title}, {other} against the others: {said}" if said else ""
        lines = [spread, *(self._standing(other, d) for d in datasets)]
        return reporting.prose("\n".join(f"- {line}" for line in lines if line))

    def _standing(self, other: str, dataset: str) -> str:
        """The places of an arm by mean and median among those with five seeds, the best, and how many differences lie
        beside 0. Places are over the seeds that all have.

        Variants of the arm itself, whose names go on behind a comma, are no rivals and are named. Arms that were not
        trained out are named with the reason, since their place may be worse than they are.
        """
        metric = plugin.HEADLINE[dataset]
        found = plugin.values(self.frame, dataset, metric) if self.runs else {}
        many = {arm: v for arm, v in found.items() if len(v) >= FEW}
        variants = [arm for arm in many if arm.startswith(f"{other}, ")]
        enough = {arm: v for arm, v in many.items() if arm not in variants}
        if other not in enough or len(enough) < 3:
            return ""
        seeds = sorted(set.intersection(*map(set, enough.values())))
        if len(seeds) < FEW:
            return ""
        known = {arm: [v[seed] for seed in seeds] for arm, v in enough.items()}
        mean, median = (1 + sum(of(x) > of(known[other]) for x in known.values()) for of in (np.mean, np.median))
        gains = [self.gain(other, dataset, metric, arm).difference for arm in known if arm != other]
        above, below = sum(d.low > 0 for d in gains), sum(d.high < 0 for d in gains)
        said = f"{self.title} on {dataset}, {other} has place {mean} by mean and {median} by median "
        without = f" ({' and '.join(variants)} left out)" if variants else ""
        said += f"of {len(known)} arms over the {len(seeds)} seeds that all have{without}; "
        best = " and ".join(
            f"{arm} by {word} ({value:.1f})"
            for word, of in (("mean", np.mean), ("median", np.median))
            for value, arm in [max((float(of(x)), arm) for arm, x in known.items())]
        )
        said += f"the best is {best}; "
        said += f"of the {len(gains)} paired differences, {above} have an interval above zero and {below} one below."
        why = {arm: plugin.shortfall(self.frame, dataset, arm) for arm in known}
        short = ", ".join(f"{arm} (of its runs {reason})" for arm, reason in why.items() if reason)
        return said + (f" Not trained out, and so perhaps better than they look: {short}." if short else "")

    def seeds(self, dataset: str, axis: str) -> Figure | None:
        """Every run as a dot beside the paper's numbers; None without runs."""
        metric = plugin.HEADLINE[dataset]
        found = plugin.values(self.frame, dataset, metric) if self.runs else {}
        if not found:
            return None
        numbers = {arm: self.printed(arm, dataset, metric) for arm in found}
        known = {arm: number for arm, number in numbers.items() if np.isfinite(number)}
        return figures.seeds({arm: list(v.values()) for arm, v in found.items()}, known, axis)

    def parameters(self, dataset: str) -> dict[str, float]:
        """The parameters that each arm with runs trained."""
        mine = self.frame[self.frame.dataset == dataset]
        return mine.groupby("arm", sort=False).parameters.first().astype(float).to_dict() if self.runs else {}

    def trade(self, dataset: str, costs: Mapping[str, float], axis: str) -> HTML | None:
        """The headline metric against a cost, one dot an arm that has both, which says its numbers; None below two."""
        metric = plugin.HEADLINE[dataset]
        found = plugin.values(self.frame, dataset, metric) if self.runs else {}
        points = {arm: (costs[arm], interval(list(v.values()))) for arm, v in found.items() if arm in costs}
        return figures.trade(points, axis, plugin.TITLES[metric]) if len(points) > 1 else None


def trimmed(beside: pd.DataFrame) -> pd.DataFrame:
    """Rows of `Cells.beside` without printed numbers where there are none, and without `one class` where no run is."""
    empty = [c for c in ("paper", "starred row") if c in beside and set(beside[c]) == {"–"}]
    return beside.drop(columns=empty + ([] if set(beside["one class"]) - {0, "–"} else ["one class"]))
