"""Whether two arms differ: every pair of a setting, tested in what seeds vary and in what resampling dialogues varies.

A setting is what two arms must share to be compared: dataset, feature sets (and so modalities), and backbone. The
functions take runs from anywhere: a plan's (`plans.stored_runs`), or all of a store of your own
(`list(Store("my-runs"))`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from baycomp.single import Posterior
from scipy import stats

from lmam_book.plans.arms import STARRED
from lmam_book.plans.plans import PLANS, stored_runs
from lmam_book.verdicts import beside_paper
from lmam_book.verdicts import paper_tables as tables
from lmam_book.verdicts.intervals import Comparison, Interval, compare
from lmam_book.verdicts.resampling import draws, resampled, stacked
from lmam_core.data import catalogue
from lmam_core.models.backbones import backbone
from lmam_core.runs import names as run_names
from lmam_core.runs.experiment import BUDGETS, EPOCHS, Experiment
from lmam_core.runs.metrics import per_class
from lmam_core.runs.run import Run
from lmam_core.runs.store import Store

MARGIN = {"accuracy": 1.0, "weighted_f1": 1.0, "macro_f1": 1.0, "acc2": 1.0, "f1": 1.0, "acc7": 1.0, "mae": 0.01}
"""Differences smaller than this count as equivalent: one percentage point, or 0.01 of mean absolute error."""


@dataclass(frozen=True)
class Tested:
    """A difference over seeds and what tests say of it; NaN where a test has nothing to work on.

    `p_t` is of the paired t-test, `p_flip` of the exact paired permutation test, which flips signs and needs no normal
    differences; `better`, `equivalent` and `worse` are the posterior probabilities that the mean difference lies above
    the margin, within it, or below (Student's posterior, Benavoli et al. 2017, without their correction for
    overlapping test sets: seeds share one).
    """

    comparison: Comparison
    p_t: float
    p_flip: float
    better: float
    equivalent: float
    worse: float


def paired(a: dict[int, float], b: dict[int, float], margin: float) -> Tested:
    """The difference b minus a and its tests, one value per seed, over the seeds that both have.

    Fewer than two shared seeds: everything NaN. Equal values everywhere: p = 1. A difference that is the same in every
    seed: `p_t` is NaN, as it has no deviation to be compared with; `p_flip` is what flipping signs gives.
    """
    comparison = compare(a, b)
    seeds = sorted(a.keys() & b.keys())
    if len(seeds) < 2:
        return Tested(comparison, *[np.nan] * 5)
    d = np.array([b[s] - a[s] for s in seeds])  # (n,)
    deviation = d.std(ddof=1)
    # The last digits of a difference that is meant to be constant differ.
    constant = deviation < 1e-9 * max(1.0, np.abs(d).max())
    if constant:
        p_t = np.nan if abs(d.mean()) > 1e-9 else 1.0
    else:
        p_t = float(stats.ttest_rel([b[s] for s in seeds], [a[s] for s in seeds]).pvalue)
    posterior = Posterior(d.mean(), 0.0 if constant else deviation**2 / len(d), len(d) - 1, margin)
    worse, equivalent, better = (float(p) for p in posterior.probs())
    return Tested(comparison, p_t, sign_flip_p(d), better, equivalent, worse)


def sign_flip_p(d: np.ndarray) -> float:
    """The two-sided p of the exact paired permutation test of mean difference 0, for differences (n,).

    Every one of the 2^n patterns of signs is tried up to n = 12, 10,000 random ones beyond.
    """
    resamples = np.inf if len(d) <= 12 else 9999
    test = stats.permutation_test(
        (d,), np.mean, permutation_type="samples", n_resamples=resamples, rng=np.random.default_rng(0)
    )
    return float(test.pvalue)


def label(e: Experiment) -> str:
    """What an arm is called beside all others of its setting."""
    if e.fusion in ("lmam", "concat"):
        name = run_names.arm(e)
    else:
        name = tables.called(e.fusion)
        name += "" if e.embedding == backbone(e.backbone).native else f" {e.embedding}"
    if e.rank and e.rank != 45:
        name += f", rank {e.rank}"
    name += ", widened" if e.width else ""
    usual = (BUDGETS.get(e.protocol) or EPOCHS)["patience"]
    name += f", patience {e.patience}" if e.patience != usual else ""
    return name + (f", {e.shuffled} shuffled" if e.shuffled else "")


def setting(e: Experiment) -> str:
    """What arms share: `mosi · text, audio, video · bc-LSTM`."""
    name = e.backbone.removesuffix("_att")
    sets = ", ".join(pair.split("=")[1] for pair in e.features.split(","))
    return f"{e.dataset} · {sets} · {run_names.title(name)}"


def settings(runs: Sequence[Run]) -> dict[str, dict[str, list[Run]]]:
    """Runs by setting and arm; of arms that would share a name, the later ones say what they are and their key.

    A run that is given twice counts once; tuning runs and those of the released protocol are left out.
    """
    by_setting: dict[str, dict[str, list[Run]]] = {}
    names: dict[Experiment, str] = {}
    for e, run in {r.experiment: r for r in runs if r.experiment.protocol in ("honest", "protocol1")}.items():
        arm, arms = dataclasses.replace(e, seed=0), by_setting.setdefault(setting(e), {})
        if arm not in names:
            name = label(e)
            names[arm] = f"{name} ({e.learning_rate:g}, {e.arm}, {arm.key[:6]})" if name in arms else name
        arms.setdefault(names[arm], []).append(run)
    return by_setting


def of_the_book(store: Store) -> dict[str, dict[str, list[Run]]]:
    """The settings of all plans of the book."""
    runs = {r.experiment: r for name in PLANS for r in stored_runs(name, store)}
    return settings(list(runs.values()))


def pairs(arms: dict[str, list[Run]], metric: str) -> pd.DataFrame:
    """Every pair of arms of one setting, `other` minus `baseline`, positive where `other` is better.

    Columns: `n` shared seeds; `gain` with its 95 % interval over seeds (`low`, `high`) and `effect` (pooled standard
    deviations); `p_t`, `p_flip` and both corrected over the table by Holm's method; `better`, `equivalent`, `worse`
    (see `Tested`, margin `MARGIN`); and `dialogues_low`, `dialogues_high`, the 95 % interval of the gain, averaged
    over shared seeds, over resamples of test conversations. Raises LmamError for arms on different conversations.
    """
    stacked([runs[0] for runs in arms.values()])
    sign, margin = beside_paper.sign(metric), MARGIN.get(metric, 1.0)
    values = {name: {r.experiment.seed: sign * _metric(r, metric) for r in runs} for name, runs in arms.items()}
    drawn = draws(len(next(iter(arms.values()))[0].outcomes))
    samples = {name: sign * resampled(runs, metric, drawn) for name, runs in arms.items()}  # (S, R) each
    rows = []
    for baseline, other in combinations(arms, 2):
        tested = paired(values[baseline], values[other], margin)
        dialogues = _over_dialogues(arms, samples, baseline, other)
        rows.append({"baseline": baseline, "other": other} | _row(tested, dialogues))
    return corrected(pd.DataFrame(rows, columns=["baseline", "other", *COLUMNS]))


def class_tests(baseline: Sequence[Run], other: Sequence[Run]) -> pd.DataFrame:
    """The pair of arms, class by class: as `pairs`, in F1 of each class and at last in weighted F1 (`all classes`).

    Without intervals over dialogues; `seeds` holds each seed's gain. Holm's correction is over the classes: weighted F1
    is made of them, and has the p-values that it had.
    """
    rows = []
    nowhere = Interval(np.nan, np.nan, np.nan, 0)
    for metric in [*(f"f1:{name}" for name in baseline[0].classes or ()), "weighted_f1"]:
        a, b = ({r.experiment.seed: _metric(r, metric) for r in runs} for runs in (baseline, other))
        name = metric.removeprefix("f1:") if metric.startswith("f1:") else "all classes"
        gains = [b[s] - a[s] for s in sorted(a.keys() & b.keys())]
        rows.append({"class": name, "seeds": gains} | _row(paired(a, b, MARGIN["f1"]), nowhere))
    table = pd.DataFrame(rows)
    alone = table[-1:].assign(p_t_holm=table.p_t, p_flip_holm=table.p_flip)
    return pd.concat([corrected(table[:-1].copy()), alone], ignore_index=True)


COLUMNS = (
    "n",
    "gain",
    "low",
    "high",
    "effect",
    "p_t",
    "p_flip",
    "better",
    "equivalent",
    "worse",
    "dialogues_low",
    "dialogues_high",
)


def corrected(table: pd.DataFrame) -> pd.DataFrame:
    """The table with `p_t_holm` and `p_flip_holm`, Holm's correction over its rows; NaN stays and is not counted."""
    for name in ("p_t", "p_flip"):
        p = table[name].to_numpy(float)
        there = np.isfinite(p)
        adjusted = np.full(len(p), np.nan)
        adjusted[there] = holm(p[there])
        table[f"{name}_holm"] = adjusted
    return table


def holm(p: np.ndarray) -> np.ndarray:
    """P-values (n,) after Holm's correction: the k-th smallest times n - k + 1, never below a smaller one's, at most 1.

    Our own three lines, because statsmodels' function collects garbage at every call, which takes longer than the rest
    of a table; a test holds the two together.
    """
    order = np.argsort(p)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return adjusted


def _row(tested: Tested, dialogues: Interval) -> dict[str, float]:
    difference = tested.comparison.difference
    values = [difference.n, difference.mean, difference.low, difference.high, tested.comparison.effect]
    values += (tested.p_t, tested.p_flip, tested.better, tested.equivalent, tested.worse, dialogues.low, dialogues.high)
    return dict(zip(COLUMNS, values, strict=True))


def _metric(run: Run, metric: str) -> float:
    if metric in run.metrics:
        return run.metrics[metric]
    return float(resampled([run], metric, np.ones((1, len(run.outcomes))))[0, 0])


def _over_dialogues(arms: dict[str, list[Run]], samples: dict[str, np.ndarray], baseline: str, other: str) -> Interval:
    """The percentile interval of the gain, averaged over shared seeds, over samples of conversations."""
    seeds = [[r.experiment.seed for r in arms[name]] for name in (baseline, other)]
    shared = sorted(set(seeds[0]) & set(seeds[1]))
    if not shared:
        return Interval(np.nan, np.nan, np.nan, 0)
    a, b = (samples[name][[s.index(k) for k in shared]] for name, s in zip((baseline, other), seeds, strict=True))
    gain = (b - a).mean(0)  # (R,)
    low, high = np.percentile(gain, [2.5, 97.5])
    return Interval(float(gain.mean()), float(low), float(high), len(shared))


def deviations(store: Store) -> pd.DataFrame:
    """The measured deviations that `p_values.beside` sets beside the implied ones, one row per printed row and class.

    `deviation` is the standard deviation over shared seeds of the paired differences in a class's F1, with LMAM minus
    without; for `bc-LSTM+Att` minus self-attention, as Tables VII and VIII have it. Rows need at least three seeds.
    """
    rows = []
    for name in STARRED:
        title = run_names.title(name)
        runs = stored_runs(name, store) + [r for r in stored_runs("meld", store) if r.experiment.backbone == name]
        baselines = {title: "concatenation"} | ({"bc-LSTM+Att": "self-attention"} if name == "bc_lstm" else {})
        for dataset in ("iemocap", "meld"):
            for row, baseline in baselines.items():
                arms = [_arm(runs, dataset, arm) for arm in (baseline, beside_paper.starred(name))]
                rows += [{"dataset": dataset, "row": row, **of_class} for of_class in _class_deviations(*arms)]
    return pd.DataFrame(rows, columns=["dataset", "row", "class", "deviation", "n"])


def _arm(runs: Sequence[Run], dataset: str, arm: str) -> dict[int, Run]:
    """An arm's runs by seed."""
    return {
        r.experiment.seed: r for r in runs if r.experiment.dataset == dataset and run_names.arm(r.experiment) == arm
    }


def _class_deviations(baseline: dict[int, Run], other: dict[int, Run]) -> list[dict[str, object]]:
    seeds = sorted(baseline.keys() & other.keys())
    if len(seeds) < 3:
        return []
    a, b = (np.array([_f1(arm[s]) for s in seeds]) for arm in (baseline, other))  # (n, C) each
    deviation = (b - a).std(0, ddof=1)  # (C,)
    names = baseline[seeds[0]].classes or ()
    return [{"class": c.title(), "deviation": s, "n": len(seeds)} for c, s in zip(names, deviation, strict=True)]


def _f1(run: Run) -> np.ndarray:
    """F1 of each class in percent, (C,)."""
    C = len(run.classes or ())
    return per_class(run.total.reshape(C, C))["f1"]


def plugged(by_setting: dict[str, dict[str, list[Run]]], seeds: int = 2) -> dict[str, tuple[str, dict[str, list[Run]]]]:
    """The settings with a backbone's concatenation and LMAM in its `STARRED` way, `seeds` each: its key, both arms.

    Settings without text, or without the sound that their dataset has, belong to the chapter on modalities.
    """
    keys = {run_names.title(key): key for key in STARRED}
    with_lmam = {}
    for name, arms in by_setting.items():
        if (key := keys.get(name.split(" · ")[-1])) is None:
            continue
        pair = {a: arms.get(a, []) for a in ("concatenation", beside_paper.starred(key))}
        if min(map(len, pair.values())) >= seeds and _whole(pair["concatenation"][0].experiment):
            with_lmam[name] = key, pair
    return with_lmam


def _whole(e: Experiment) -> bool:
    wanted = {"text"} if e.dataset == "meld" else {"text", "audio"}  # the plan `meld` is older than MELD's sound here
    return wanted & set(catalogue.entry(e.dataset).feature_sets) <= set(e.modalities)
