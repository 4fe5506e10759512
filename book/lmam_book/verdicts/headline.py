"""The headline: LMAM against concatenation with the same encoders in the same place, one row per backbone and dataset.

Everything here is a function of the runs of `plans.studies` in a store, of `data/paper` and of the linear probes.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.meta_analysis import combine_effects

from lmam_book.plans import search, studies
from lmam_book.plans.studies import READINGS, measured, stored_runs, study
from lmam_book.verdicts import beside_paper
from lmam_book.verdicts.beside_paper import probe_score
from lmam_book.verdicts.effects import LEVEL, Effect, by_sample, effect
from lmam_book.verdicts.intervals import interval
from lmam_book.verdicts.rule import (
    EXCLUDED,
    FEW,
    NOT_WORKING,
    POSITIVE,
    REPRODUCED,
    TOO_FEW,
    UNDECIDED,
    WORDS,
    Baseline,
    corrected,
    lowered,
    word,
    would_decide,
)
from lmam_core.models.fusion import method
from lmam_core.runs import names
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.run import Run
from lmam_core.runs.store import Store

DATASETS = {"iemocap": "IEMOCAP", "mosi": "CMU-MOSI", "meld": "MELD"}
TITLES = DATASETS | {"pom": "POM"}
"""What every dataset with cells is called; those of `DATASETS` are the headline's."""
PROBE = "a linear probe on single utterances"
SINGLE = ("context_text_cnn", "subsets_bc_lstm")
"""The studies that have a backbone on each modality alone."""
UNITS = {"weighted_f1": "weighted F1", "acc2": "Acc-2", "accuracy": "accuracy"}


@dataclass(frozen=True)
class Cell:
    """One backbone on one dataset: its baseline, the readings of LMAM that were run, and what the paper reports.

    `runs` maps `concatenation` and each reading to the runs that the store holds; `reported` is its gain in the
    dataset's headline metric; `alone` has the runs of the baseline on each modality alone, as far as they are measured.
    """

    backbone: str
    dataset: str
    runs: Mapping[str, Sequence[Run]]
    reported: float
    alone: Mapping[str, Sequence[Run]] = field(default_factory=dict)

    @property
    def metric(self) -> str:
        """The metric that decides."""
        return beside_paper.HEADLINE[self.dataset]

    @property
    def bar(self) -> float:
        """What the baseline must reach: a linear probe, and itself on each modality alone."""
        return max([probe_score(self.dataset), *self._alone().values()])

    @property
    def bar_of(self) -> str:
        """What has the `bar`, as part of a sentence."""
        means = self._alone()
        best = max(means, key=lambda m: means[m], default="")
        return f"itself on {best} alone" if best and means[best] > probe_score(self.dataset) else PROBE

    def _alone(self) -> dict[str, float]:
        """The baseline's mean on each modality alone, where it has five seeds."""
        ready = {m: runs for m, runs in self.alone.items() if len(runs) >= FEW}
        return {m: float(np.mean([run.metrics[self.metric] for run in runs])) for m, runs in ready.items()}

    def mean(self, name: str, seeds: set[int]) -> float:
        """The mean of an arm over some seeds; NaN without runs."""
        scores = [run.metrics[self.metric] for run in self.runs[name] if run.experiment.seed in seeds]
        return float(np.mean(scores)) if scores else np.nan

    def shared(self, name: str) -> set[int]:
        """The seeds that a reading and the baseline both have."""
        return set.intersection(*({r.experiment.seed for r in self.runs[n]} for n in ("concatenation", name)))

    def effects(self, level: float | None = None) -> dict[str, Effect]:
        """The effect of each reading that shares two seeds with the baseline.

        Without a `level` each interval is corrected for the number of readings that are planned.
        """
        names = [name for name in self.runs if name != "concatenation"]
        level = level or corrected(len(names))
        base = self.runs["concatenation"]
        return {name: effect(base, self.runs[name], self.metric, level) for name in names if len(self.shared(name)) > 1}


def cells(store: Store, names: Iterable[str] | None = None) -> list[Cell]:
    """One cell per backbone and dataset of some studies, by default the headline's, in their order, empty ones too."""
    by_place: dict[tuple[str, str], dict[str, Sequence[Run]]] = {}
    for name in studies.names("headline") if names is None else names:
        for arm in study(name):
            by_place.setdefault((arm.backbone, arm.dataset), {})[reading(arm)] = _runs(arm, store)
    alone: dict[tuple[str, str], dict[str, Sequence[Run]]] = {}
    for arm in (arm for name in SINGLE for arm in study(name)):
        if arm.fusion == "concat" and len(arm.modalities) == 1 and (arm.backbone, arm.dataset) in by_place:
            alone.setdefault((arm.backbone, arm.dataset), {})[arm.modalities[0]] = _runs(arm, store)
    return [Cell(*place, runs, reported_gain(*place), alone.get(place, {})) for place, runs in by_place.items()]


def reading(arm: Experiment) -> str:
    """What an arm of a headline study is called: `concatenation`, or the reading of LMAM."""
    if arm.fusion == "concat":
        return "concatenation"
    wanted = (arm.variant or "paper", arm.readings)
    return next(
        n for n, fields in READINGS.items() if (fields.get("variant", "paper"), fields.get("readings", "")) == wanted
    )


def table(cells: Sequence[Cell]) -> pd.DataFrame:
    """One row per cell: both means, the baseline's margin over the probe, the best reading, its effect and the word.

    `would decide` says how many seeds, or conversations, an open claim needs at the present mean. Unrun cells have a
    row, with the word "too few runs".
    """
    return pd.DataFrame([row(cell) for cell in cells])


def row(cell: Cell) -> dict[str, object]:
    """The row of `table` for one cell; without runs it ends with the word and 0 seeds."""
    effects = cell.effects()
    row: dict[str, object] = {
        "backbone": cell.backbone,
        "dataset": cell.dataset,
        "metric": cell.metric,
        "reported gain": cell.reported,
    }
    if not effects:
        return row | {"word": word([], cell.reported), "seeds": 0}
    best = best_of(effects)
    gain, seeds = effects[best], cell.shared(best)
    base, probe = cell.mean("concatenation", seeds), probe_score(cell.dataset)
    base_interval = interval([r.metrics[cell.metric] for r in cell.runs["concatenation"] if r.experiment.seed in seeds])
    ready = {name: e for name, e in effects.items() if e.seeds >= FEW} or effects
    short = {name: beside_paper.short(cell.runs[name]) for name in ("concatenation", *ready)}
    waiting = [name for name in cell.runs if name not in short]
    baseline = Baseline(base, cell.bar, not short.pop("concatenation"))
    decided = word(list(ready.values()), cell.reported, baseline, not waiting and not any(short.values()))
    return row | {
        "concatenation": base,
        "margin over probe": base - probe,
        "best reading": best,
        "of": len(ready),
        "waiting": ", ".join(waiting),
        "short": "" if baseline.trained else beside_paper.short(cell.runs["concatenation"]),
        "bar": cell.bar,
        "bar of": cell.bar_of,
        "half": base_interval.high - base_interval.mean,
        "LMAM": cell.mean(best, seeds),
        "gain": gain.mean,
        "lowered": lowered(gain, len(ready)),
        "low": gain.low,
        "high": gain.high,
        "seeds": gain.seeds,
        "conversations": gain.conversations,
        "better": gain.better,
        "pairing": gain.pairing,
        "word": decided,
        "would decide": would_decide(gain, cell.reported, len(ready)) if "undecided" in decided else "",
    }


def best_of(effects: Mapping[str, Effect]) -> str:
    """The reading with the highest mean, of those with five seeds if any has."""
    ready = [name for name, e in effects.items() if e.seeds >= FEW] or list(effects)
    return max(ready, key=lambda name: effects[name].mean)


def certainties(cells: Sequence[Cell], margin: float) -> pd.DataFrame:
    """What each comparison makes sure of, one row per measured cell, of its best reading.

    Columns: `comparison`, `seeds`; `pairing`, the correlation of both arms over seeds; `better`, the probability that
    LMAM is the better one with another seed on another sample of conversations; `excluded`, the gain above which the
    corrected interval excludes all; `equivalent`, the p-value of a gain within ± `margin`; `at once`, the same for all
    readings at once, which is that of the reading farthest from it.
    """
    rows = []
    for cell in cells:
        if effects := cell.effects():
            best = effects[best_of(effects)]
            rows.append(
                {
                    "comparison": f"{names.title(cell.backbone)}, {TITLES[cell.dataset]}, {best_of(effects)}",
                    "seeds": best.seeds,
                    "pairing": best.pairing,
                    "better": best.better,
                    "excluded": best.high,
                    "equivalent": best.equivalent(margin),
                    "at once": max(e.equivalent(margin) for e in effects.values()),
                }
            )
    return pd.DataFrame(rows)


BACKBONES_POOLED = 3
"""Backbones below which nothing is pooled."""


@dataclass(frozen=True)
class Pooled:
    """The mean gain over backbones with its 95 % interval, the deviation between backbones, and the reported mean.

    `between` is the standard deviation of true gains (τ); `at_least` the number of backbones of which it can be said
    with 95 % confidence that LMAM improves them; `backbones` how many there are.
    """

    mean: float
    low: float
    high: float
    between: float
    reported: float
    at_least: int
    backbones: int


def pooled(cells: Sequence[Cell], name: str = "own") -> Pooled | None:
    """The gain of one reading over all backbones of one dataset whose baseline works, by a random-effects mean.

    Weights by Paule and Mandel; the variance is that of Hartung and Knapp, at least what the weights say, plus what the
    choice of test conversations moves all backbones by together, from samples that all of them share. Student's
    interval. None for fewer than `BACKBONES_POOLED` with five seeds: of two it would be 25 standard errors wide.
    """
    ready = []
    for cell in cells:
        e = cell.effects(LEVEL).get(name)
        if e is not None and e.seeds >= FEW and cell.mean("concatenation", cell.shared(name)) >= cell.bar:
            ready.append((cell, e))
    if len(ready) < BACKBONES_POOLED:
        return None
    gain = np.array([e.mean for _, e in ready])
    combined = combine_effects(gain, np.array([e.standard_error**2 for _, e in ready]), method_re="iterated")
    weights = np.asarray(combined.weights_rel_re)
    samples = np.array([by_sample(cell.runs["concatenation"], cell.runs[name], cell.metric) for cell, _ in ready])
    together = float((weights @ samples).std(ddof=1))
    between = max(float(combined.sd_eff_w_re_hksj), float(combined.sd_eff_w_re))
    mean, k = float(combined.mean_effect_re), len(ready)
    half = float(stats.t.ppf((1 + LEVEL) / 2, k - 1) * np.hypot(between, together))
    return Pooled(
        mean=mean,
        low=mean - half,
        high=mean + half,
        between=float(np.sqrt(max(combined.tau2, 0))),
        reported=float(np.mean([cell.reported for cell, _ in ready])),
        at_least=at_least([e.p for _, e in ready]),
        backbones=k,
    )


def at_least(p: Sequence[float], level: float = 0.05) -> int:
    """In how many comparisons at least there is a gain, by partial conjunction (Benjamini and Heller, 2008).

    For u of n the p-value is (n - u + 1) p_(u), after which the answer is the largest u with all p-values up to it at
    most `level`.
    """
    ordered, n = np.sort(p), len(p)
    rejected = [(n - u + 1) * ordered[u - 1] <= level for u in range(1, n + 1)]
    return int(np.cumprod(rejected).sum())


def _runs(arm: Experiment, store: Store) -> list[Run]:
    if search.needed(arm, store):
        return []
    return [store.get(e) for e in measured(arm, store) if e in store]


def reported_gain(backbone: str, dataset: str, baseline: str = "concatenation", metric: str | None = None) -> float:
    """What the paper's Tables II to IV gain with LMAM over a baseline, positive for better.

    In the dataset's headline metric, or in another one.
    """
    names, metric = (baseline, beside_paper.starred(backbone)), metric or beside_paper.HEADLINE[dataset]
    without, with_ = (beside_paper.printed(backbone, name, dataset, metric) for name in names)
    return beside_paper.sign(metric) * (with_ - without)


def arms(store: Store, among: Iterable[str] = studies.CONVERSATIONS) -> pd.DataFrame:
    """One row per measured arm of the studies: its mean with its interval over seeds, and its margin over the probe.

    Columns: `backbone`, `dataset`, `arm`, `seeds`, `mean`, `low`, `high`, `margin over probe`, and what its search
    chose, `learning_rate`, `dropout` and `weight_decay`. Worst margins first.
    """
    measured_arms: dict[Experiment, list[Run]] = {}
    for run in (run for name in among for run in stored_runs(name, store)):
        runs = measured_arms.setdefault(replace(run.experiment, seed=0), [])
        if all(other.experiment.seed != run.experiment.seed for other in runs):  # studies share arms
            runs.append(run)
    rows = []
    for e, runs in measured_arms.items():
        mean = interval([run.metrics[beside_paper.HEADLINE[e.dataset]] for run in runs])
        rows.append(
            {
                "backbone": e.backbone,
                "dataset": e.dataset,
                "arm": _arm(e),
                "seeds": mean.n,
                "mean": mean.mean,
            }
            | {"low": mean.low, "high": mean.high, "margin over probe": mean.mean - probe_score(e.dataset)}
            | {name: getattr(e, name) for name in ("learning_rate", "dropout", "weight_decay")}
        )
    return pd.DataFrame(rows).sort_values("margin over probe") if rows else pd.DataFrame()


def _arm(e: Experiment) -> str:
    """What an arm is called beside all others of its backbone and dataset."""
    parts = {
        f"rank {e.rank}": e.fusion == "lmam" and e.rank not in (None, method("lmam").rank),
        "widened": bool(e.width),
        f"{e.shuffled} shuffled": bool(e.shuffled),
        f"{e.modalities[0]} alone": len(e.modalities) == 1,
    }
    return ", ".join([names.arm(e), *(part for part, has in parts.items() if has)])


def arms_fold(rows: pd.DataFrame) -> str:
    """The table of `arms` as Markdown, folded; empty without rows."""
    if not len(rows):
        return ""
    lines = [
        f":::{{dropdown}} Every measured arm ({len(rows)}) over all its seeds, by its margin over the probe",
        "| backbone, data | arm | mean (interval over seeds) | over probe | seeds | rate, dropout, decay |",
        "|---|---|---:|---:|---:|---|",
    ]
    for r in rows.to_dict("records"):
        mean = f"{r['mean']:.1f} ({r['low']:.1f} to {r['high']:.1f})" if r["seeds"] > 1 else f"{r['mean']:.1f}"
        search = f"{r['learning_rate']:g}, {r['dropout']:g}, {r['weight_decay']:g}"
        shown = (_name(r), r["arm"], mean, f"{r['margin over probe']:+.1f}", r["seeds"], search)
        lines.append(f"| {' | '.join(str(part).replace(' ', '&nbsp;') for part in shown)} |")
    return "\n".join([*lines, ":::"])


def context(store: Store, backbone: str = "text_cnn", dataset: str = "iemocap") -> dict[str, Effect]:
    """What LMAM as printed gains a backbone on text alone, where there is nothing to fuse, and on text and audio.

    Keys `text` and `text + audio`; empty where five seeds of one of the four arms are missing.
    """
    metric, effects = beside_paper.HEADLINE[dataset], {}
    for title, name in {"text": f"context_{backbone}", "text + audio": f"headline_{backbone}"}.items():
        plain, lmam = (
            arm for arm in study(name) if arm.dataset == dataset and reading(arm) in ("concatenation", "own")
        )
        gain = effect(a, b, metric) if (a := _runs(plain, store)) and (b := _runs(lmam, store)) else None
        if gain is None or gain.seeds < FEW:
            return {}
        effects[title] = gain
    return effects


def context_or_fusion(store: Store, backbone: str = "text_cnn") -> str:
    """The effects of `context` per dataset, as a Markdown section; empty where no dataset has them."""
    rows = {title: context(store, backbone, dataset) for dataset, title in DATASETS.items()}
    lines = [
        f"| {title} | {' | '.join(f'{beside_paper.signed(e)} | {e.seeds}' for e in gains.values())} |"
        for title, gains in rows.items()
        if gains
    ]
    head = [
        "## Is it fusion?",
        "",
        "TextCNN sees three utterances; LMAM lets each of them see its conversation. On text alone there is nothing to",
        "fuse: what LMAM gains there is not fusion. Whether context or the output layer makes it, this cannot tell.",
        "",
        "| TextCNN, LMAM as printed | gain on text alone (95 %) | seeds | gain on text and audio (95 %) | seeds |",
        "|---|---:|---:|---:|---:|",
    ]
    return "\n".join([*head, *lines]) if lines else ""


def page(cells: Sequence[Cell], rows_of_arms: pd.DataFrame | None = None, section: str = "") -> str:
    """What the headline page says of the cells and, if given, of `arms` and `context_or_fusion`, as Markdown.

    Cells without runs are only counted.
    """
    rows = table(cells)
    ready = rows[rows.seeds > 0]
    parts = [answer(cells), pooled_sentences(cells)]
    if len(ready):
        parts += [_rows(ready), _open(ready), "" if rows_of_arms is None else arms_fold(rows_of_arms), section]
    return "\n\n".join(part for part in parts if part)


def pooled_sentences(cells: Sequence[Cell]) -> str:
    """The pooled gain of LMAM as printed, one Markdown line per dataset that has one."""
    lines = []
    for dataset, title in DATASETS.items():
        mine = [cell for cell in cells if cell.dataset == dataset]
        if (p := pooled(mine)) is None:
            continue
        lines.append(
            f"- **{title}**, LMAM as printed: {p.mean:+.1f} points of {UNITS[mine[0].metric]} on average over "
            f"{p.backbones} backbones (95 % interval {p.low:+.1f} to {p.high:+.1f}; deviation between backbones "
            f"{p.between:.1f}). The paper reports {p.reported:+.1f} for the same backbones. Improved with 95 % "
            f"confidence: at least {p.at_least} of {p.backbones}."
        )
    return "\n".join(lines)


def answer(cells: Sequence[Cell]) -> str:
    """What the comparisons say together, the answer first."""
    rows = table(cells)
    n = {word: int((rows.word == word).sum()) for word in WORDS}
    run = len(rows) - n[TOO_FEW]
    if not run:
        return f"**None of the {len(rows)} comparisons has been measured yet.**"
    reproduced = f"{n[REPRODUCED] or 'none'} reproduce{'' if n[REPRODUCED] > 1 else 's'} the reported gain"
    start = f"**Of {len(rows)} comparisons {run} {'is' if run == 1 else 'are'} measured so far; {reproduced}.**"
    if not n[TOO_FEW]:
        start = f"**Of {len(rows)} comparisons {reproduced}.**"
    weak = rows[rows.word == NOT_WORKING]
    probed = len(weak) and ((weak["bar of"] == PROBE) & (weak.short == "")).all()
    too_weak = "worse than a linear probe" if probed else "too weak"
    parts = {
        POSITIVE: ("shows a gain", "show gains", "of perhaps less than half the reported size"),
        UNDECIDED: ("is", "are", "undecided"),
        EXCLUDED: ("rules", "rule", "out even half of the reported gain"),
        NOT_WORKING: (
            "decides",
            "decide",
            f"nothing, because the model without LMAM is {too_weak}",
        ),
    }
    clauses = [
        f"{n[word]} {one if n[word] == 1 else more} {rest}" for word, (one, more, rest) in parts.items() if n[word]
    ]
    return f"{start} {_listed(clauses)}." if clauses else start


def _listed(parts: Sequence[str]) -> str:
    return ", ".join(parts[:-1]) + f"{',' * (len(parts) > 2)} and {parts[-1]}" if len(parts) > 1 else "".join(parts)


def _open(ready: pd.DataFrame) -> str:
    """What would decide each comparison that is undecided, one line each."""
    rows = [r for r in ready.to_dict("records") if r["would decide"]]
    return "\n".join(f"- {_name(r)}: {r['would decide']}." for r in rows)


def _name(row: Mapping[Hashable, object]) -> str:
    return f"{names.title(str(row['backbone']))}, {TITLES[str(row['dataset'])]}"


def _rows(ready: pd.DataFrame) -> str:
    lines = [
        "| backbone, data | gain (interval) | reported | without (over probe) | with LMAM | seeds | verdict |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for r in ready.to_dict("records"):
        shown = (
            _name(r),
            f"{r['gain']:+.1f} ({r['low']:+.1f} to {r['high']:+.1f})".replace(" ", "&nbsp;"),
            f"{r['reported gain']:+.1f}",
            f"{r['concatenation']:.1f} ({r['margin over probe']:+.1f})",
            f"{r['LMAM']:.1f}, {r['best reading']}",
            str(r["seeds"]),
            r["word"],
        )
        lines.append(f"| {' | '.join(shown)} |")
    return "\n".join(lines)
