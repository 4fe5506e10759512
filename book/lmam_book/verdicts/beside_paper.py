"""The paper beside ours for a backbone's chapter: arms, printed cells, gains and words.

Everything here is a function of a plan's runs in the store (`plans.stored_runs`) and of `data/paper`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from lmam_book.bench import linear_probes
from lmam_book.paper import printed as paper
from lmam_book.plans import arms
from lmam_book.plans.plans import at_edge
from lmam_book.verdicts import rule
from lmam_book.verdicts.effects import Effect, effect
from lmam_book.verdicts.intervals import Interval, interval
from lmam_core.errors import LmamError
from lmam_core.runs.metrics import SUMS, TRAIT_SUMS, traits
from lmam_core.runs.names import WAYS, arm, title
from lmam_core.runs.run import Run
from lmam_core.runs.store import row

METRICS: dict[str, tuple[str, ...]] = {
    "mosi": ("acc2", "f1", "mae", "corr", "acc7"),
    "iemocap": ("accuracy", "weighted_f1"),
    "meld": ("accuracy", "weighted_f1"),
    "pom": ("mae", "accuracy", "corr"),
}
"""What the paper prints for a dataset, in its order; the first named in `HEADLINE` decides a claim."""
HEADLINE = {"mosi": "acc2", "iemocap": "weighted_f1", "meld": "weighted_f1", "pom": "accuracy"}
PRINTED = {
    "accuracy": "Acc",
    "weighted_f1": "F1",
    "acc2": "Acc-2",
    "f1": "F1",
    "mae": "MAE",
    "corr": "Corr",
    "acc7": "Acc-7",
}
"""Our names of metrics and the paper's."""
TITLES = {
    "accuracy": "accuracy %",
    "weighted_f1": "weighted F1 %",
    "acc2": "Acc-2 %",
    "f1": "F1 %",
    "mae": "MAE (less is better)",
    "corr": "correlation",
    "acc7": "Acc-7 %",
}
PLACES = {
    "iemocap": (2, "IEMOCAP", "Average(w)"),
    "mosi": (4, "CMU-MOSI", "overall"),
    "meld": (3, "MELD", "Average(w)"),
    "pom": (4, "POM", "overall"),
}
"""The main table of a dataset: its number, the dataset's and the column's printed names."""


def frame(runs: Sequence[Run]) -> pd.DataFrame:
    """One row per run with its `arm` under the name that tables use, in the order of the plan.

    `at_limit` and `one_class` say that a run may have stopped too early: see `shortfall`; `largest_share` is the share
    of test utterances in its most frequent class; `run` is the run itself. Raises LmamError where there are none.
    """
    if not runs:
        raise LmamError("The store holds no measured runs of this plan yet; make them with `lmam sweep` and its name.")
    rows = []
    for run in runs:
        share = _largest_share(run)
        ended = {"at_limit": _at_limit(run), "one_class": share == 1, "largest_share": share}
        rows.append(row(run) | {"arm": arm(run.experiment), "run": run} | ended)
    return pd.DataFrame(rows)


def _at_limit(run: Run) -> bool:
    """Whether a run used its whole budget and its best epoch was within patience of the last: it might have gone on."""
    e, training = run.experiment, run.training
    epochs = len(training.train_loss)
    waited, patience = epochs - training.best_epoch, e.patience or 0
    if e.updates is None:
        return epochs == e.epochs and waited < patience
    return training.updates >= e.updates and waited * (training.updates // epochs) < patience


def _largest_share(run: Run) -> float:
    """The share of the test utterances in the class that a run gives most; of a regression, of the two of Acc-2.

    Of traits 1 where no trait's predictions differ between videos, else NaN.
    """
    if run.classes is None and (k := traits(run.total.size)):
        sums = dict(zip(TRAIT_SUMS, run.total.reshape(k, -1).T, strict=True))
        variance = sums["prediction_squared"] / sums["count"] - (sums["prediction"] / sums["count"]) ** 2
        return float("nan") if variance.max() > 1e-4 else 1.0
    if run.classes is None:
        first = SUMS.index("negative_as_negative")
        counts = run.total[first : first + 4].reshape(2, 2)
    else:
        counts = run.total.reshape(len(run.classes), -1)
    return float(counts.sum(0).max() / counts.sum())


def printed(backbone: str, name: str, dataset: str, metric: str) -> float:
    """The paper's number for an arm of a backbone; NaN where it prints none.

    The way of `arms.STARRED` stands beside the row marked * of Tables II to IV; another early way beside Table XI,
    which names them.
    """
    number, printed_dataset, column = PLACES[dataset]
    rows = {"concatenation": "", "self-attention": "+Att", starred(backbone): "*"}
    if name in rows:
        place = (number, title(backbone) + rows[name], column)
    elif name in ("LMAM early", "LMAM early + residual"):
        place = (11, title(backbone) + ("*(R)" if "residual" in name else "*"), "overall")
    else:
        return np.nan
    try:
        return paper.cell(*place, PRINTED[metric], printed_dataset)
    except LmamError:
        return np.nan


def starred(backbone: str) -> str:
    """The arm that stands for a backbone's row with LMAM in Tables II to IV, which the paper marks with *."""
    return WAYS[arms.starred(backbone)]


def values(frame: pd.DataFrame, dataset: str, metric: str) -> dict[str, dict[int, float]]:
    """The metric by seed, for each arm in the order of the plan."""
    grouped = frame[frame.dataset == dataset].groupby("arm", sort=False)
    return {name: dict(zip(rows.seed.astype(int), rows[metric], strict=True)) for name, rows in grouped}


def beside(frame: pd.DataFrame, backbone: str, dataset: str) -> pd.DataFrame:
    """One row per arm: n, and for each metric the paper's number and our mean with its 95 % interval over seeds.

    `at limit` counts the runs that were still within patience of their best epoch when the epochs ran out.

    The columns have two levels, the metric above `paper` and `ours`.
    """
    rows: dict[str, dict[tuple[str, str], object]] = {}
    for metric in METRICS[dataset]:
        digits = 3 if metric in ("mae", "corr") else 1
        for name, by_seed in values(frame, dataset, metric).items():
            ours = interval(list(by_seed.values()))
            at_limit = int(frame[(frame.dataset == dataset) & (frame.arm == name)].at_limit.sum())
            cells = rows.setdefault(name, {("", "arm"): name, ("", "n"): ours.n, ("", "at limit"): at_limit})
            number = printed(backbone, name, dataset, metric)
            cells[TITLES[metric], "paper"] = str(number) if np.isfinite(number) else "–"
            cells[TITLES[metric], "ours"] = spread(ours, digits)
    shown = pd.DataFrame(rows.values())
    return shown.set_axis(pd.MultiIndex.from_tuples(shown.columns), axis=1)


def spread(score: Interval, digits: int) -> str:
    """`64.2 ± 0.7`: the mean and half the width of its 95 % interval; the mean alone for one seed."""
    half = f" ± {score.high - score.mean:.{digits}f}" if score.n > 1 else ""
    return f"{score.mean:.{digits}f}{half}"


def signed(gain: Effect | None, digits: int = 1) -> str:
    """`+0.5 (-0.3 to +1.3)`: a gain with its interval; a dash where there is none."""
    if gain is None:
        return "–"
    return f"{gain.mean:+.{digits}f} ({gain.low:+.{digits}f} to {gain.high:+.{digits}f})"


def sign(metric: str) -> int:
    """1 where more is better, -1 where less is."""
    return -1 if metric == "mae" else 1


def gain(frame: pd.DataFrame, dataset: str, metric: str, baseline: str, other: str) -> Effect | None:
    """How much better `other` is than `baseline`, over seeds and test conversations; None below two shared seeds."""
    mine = frame[frame.dataset == dataset]
    arms = [mine[mine.arm == name] for name in (baseline, other)]
    if len(set(arms[0].seed) & set(arms[1].seed)) < 2:
        return None
    without, with_ = (list(rows.run) for rows in arms)
    return effect(without, with_, metric)


def probe_score(dataset: str, modality: str = "") -> float:
    """What a linear probe has on a dataset's test set, in its headline metric.

    Of the probes on text, on audio and on both, with their default features, the one that is best on validation, or
    that on a `modality`, as `text+audio`.
    """
    probes = linear_probes.table()
    column = "test" if HEADLINE[dataset] == "acc2" else "test_weighted_f1"
    mine = probes[(probes.dataset == dataset) & probes.modality.isin(["text", "audio", "text+audio"])]
    defaults = mine.drop_duplicates("modality")  # the default features of a modality stand first
    defaults = defaults[defaults.modality == modality] if modality else defaults
    return float(defaults.loc[defaults.validation.idxmax(), column])


def word(frame: pd.DataFrame, dataset: str, baseline: str, other: str, reported: float) -> str:
    """The word on "`other` beats `baseline` by `reported`" in a dataset's headline metric (`rule.word`)."""
    metric = HEADLINE[dataset]
    ours = gain(frame, dataset, metric, baseline, other)
    if ours is None:
        return rule.TOO_FEW
    mean = float(_runs(frame, dataset, baseline)[metric].mean())
    trained = [not shortfall(frame, dataset, name) for name in (baseline, other)]
    edges = [edge(_runs(frame, dataset, name).run, metric) for name in (baseline, other)]
    return rule.word(
        [ours], reported, rule.Baseline(mean, probe_score(dataset), trained[0], edges[0]), trained[1], edges[1]
    )


def shortfall(frame: pd.DataFrame, dataset: str, name: str) -> str:
    """Why an arm may be better than its runs, as the end of "of its runs ..."; empty for one that was trained.

    An arm is short if any run gives every utterance the same class, or if most ended at the limit of their epochs or
    updates while still within patience of their best one. A model begins with nearly one class; where an epoch has few
    updates, some stay there for longer than patience lasts while their loss still falls, and one such run moves a mean
    by more than any method does.
    """
    mine = _runs(frame, dataset, name)
    return _short(list(mine.one_class), list(mine.at_limit))


def short(runs: Sequence[Run]) -> str:
    """`shortfall` of the runs of one arm."""
    return _short([_largest_share(run) == 1 for run in runs], [_at_limit(run) for run in runs])


def _short(one_class: Sequence[bool], at_limit: Sequence[bool]) -> str:
    if n := sum(one_class):
        return f"{n} give{'s' if n == 1 else ''} every utterance the same class"
    most = sum(at_limit) > len(at_limit) / 2
    return "most ended at the limit of their budget while still improving" if most else ""


def edge(runs: Iterable[Run], metric: str) -> float:
    """How much better an arm might be, in a metric's unit, if its rate is the smallest or largest that was tried."""
    unit = 0.01 if metric in ("mae", "corr") else 1.0
    return rule.EDGE * unit * any(at_edge(run.experiment) for run in runs)


def _runs(frame: pd.DataFrame, dataset: str, name: str) -> pd.DataFrame:
    return frame[(frame.dataset == dataset) & (frame.arm == name)]
