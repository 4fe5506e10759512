"""What the comparing chapters show of their `Cells`: tables, figures and sentences."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from IPython.display import HTML
from markupsafe import Markup
from matplotlib.figure import Figure

from lmam_book.pages import style as reporting
from lmam_book.pages.figures import common as figures
from lmam_book.plans.plans import PLANS, SEEDS, command
from lmam_book.verdicts import beside_paper
from lmam_book.verdicts.cells import Cells, without_empty_columns
from lmam_book.verdicts.intervals import interval
from lmam_book.verdicts.rule import FEW
from lmam_core.runs.run import Run


def accuracy(some: Iterable[Cells], dataset: str) -> HTML:
    """The accuracies that the paper prints beside F1, and ours, folded away; nothing where it prints none."""
    rows = []
    for cells in some:
        scores = beside_paper.values(cells.frame, dataset, "accuracy") if cells.runs else {}
        for arm in cells.arms(dataset):
            number, ours = cells.printed(arm, dataset, "accuracy"), interval(list(scores.get(arm, {}).values()))
            if np.isfinite(number):
                row = {"comparison": cells.where, "arm": arm, "n": ours.n, "paper": str(number)}
                rows.append(row | {"ours": beside_paper.spread(ours, 1) if ours.n else "–"})
    if not rows:
        return HTML("")
    frame = pd.DataFrame(rows)
    if frame.comparison.nunique() == 1:
        frame = frame.drop(columns="comparison")
    shown = reporting.table(
        frame, f"{beside_paper.PLACES[dataset][1]}, {beside_paper.TITLES['accuracy']}, 95 % intervals of the mean"
    )
    return reporting.fold("Accuracy, which the paper's table prints as well", shown)


def progress(some: Iterable[Cells], datasets: Sequence[str]) -> HTML:
    """What comparisons still lack, folded away: `missing` of each that lacks seeds, one sentence for the rest."""
    every = [(cells, dataset) for cells in some for dataset in datasets]
    sentences = [missing(cells, dataset) for cells, dataset in every if cells.lacking(dataset)]
    full = ", ".join(
        f"{cells.where} on {beside_paper.PLACES[dataset][1]}" for cells, dataset in every if not cells.lacking(dataset)
    )
    sentences += [HTML(f"<p>At least five seeds in every cell: {full}.</p>")] if full else []
    return reporting.fold("How far the runs are", *sentences)


def missing(cells: Cells, dataset: str) -> HTML:
    """How many cells of a dataset have at least five seeds, and the command that makes what is missing."""
    arms, lacking, where = cells.arms(dataset), cells.lacking(dataset), beside_paper.PLACES[dataset][1]
    text = f"{cells.title}: {len(arms) - len(lacking)} of {len(arms)} cells on {where} have at least five seeds"
    empty = list(lacking.values()).count(0)
    text += f", {empty} have none yet" if empty else ""
    few = lacking or cells.lacking(dataset, len(SEEDS))
    if not few:
        return HTML(f"<p>{cells.title}: all {len(arms)} cells on {where} have {len(SEEDS)} seeds.</p>")
    wanted = lambda e: e.dataset == dataset and cells.label(e) in few  # noqa: E731
    plans = [name for name in cells.plans if any(map(wanted, PLANS[name].arms()))]
    commands = " and ".join(str(Markup("<code>{}</code>").format(command(name, cells.store))) for name in plans)
    rest = ("goes" if len(plans) == 1 else "go") + (" on" if lacking else f" on to {len(SEEDS)}")
    return HTML(f"<p>{text}; {commands} {rest}.</p>")


def table(cells: Cells, dataset: str) -> HTML:
    """`Cells.beside` as a page shows it, `trimmed`: the arms that were run, or that the paper prints a number for."""
    beside, metric = cells.beside(dataset), beside_paper.HEADLINE[dataset]
    beside = beside[(beside.n > 0) | (beside.paper != "–")]
    if beside.empty:
        return HTML("")
    caption = f"{cells.title}, {beside_paper.PLACES[dataset][1]}: {beside_paper.TITLES[metric]}; "
    caption += f"ours is the mean over n seeds, gains are over {cells.baseline}; "
    caption += "at limit: runs that might have gone on when the epochs ran out"
    beside = without_empty_columns(beside)
    if "one class" in beside:
        caption += "; one class: runs that give every utterance the same class"
        caption += " of the two that Acc-2 counts" if metric == "acc2" else ""
    return reporting.table(beside, caption)


def standing(cells: Cells, other: str, dataset: str) -> str:
    """The place of an arm by its mean among those with five seeds, over the seeds that all of them have.

    Variants of the arm itself, whose names go on behind a comma, are no rivals and are left out. Rivals that were
    stopped before they had learned are named (`Cells.short`).
    """
    metric = beside_paper.HEADLINE[dataset]
    scores = beside_paper.values(cells.frame, dataset, metric) if cells.runs else {}
    rivals = {arm: v for arm, v in scores.items() if len(v) >= FEW and not arm.startswith(f"{other}, ")}
    seeds = sorted(set.intersection(*map(set, rivals.values()))) if rivals else []
    if other not in rivals or len(rivals) < 3 or len(seeds) < FEW:
        return ""
    means = {arm: float(np.mean([v[seed] for seed in seeds])) for arm, v in rivals.items()}
    order = sorted(means, key=lambda arm: -means[arm])
    stopped = [arm for arm in order if arm in cells.short(dataset)]
    learned = [arm for arm in order if arm not in (other, *stopped)]
    gains = [gain for arm in learned if (gain := cells.gain(other, dataset, metric, arm))]
    ahead, behind = sum(gain.low > 0 for gain in gains), sum(gain.high < 0 for gain in gains)
    unit = beside_paper.TITLES[metric].split(" %")[0]
    place = order.index(other) + 1
    text = f"{cells.title}, {beside_paper.PLACES[dataset][1]}: {other} is number {place} of {len(order)} by mean"
    text += ", its variants left out " if any(arm.startswith(f"{other}, ") for arm in scores) else " "
    text += f"({means[other]:.1f} {unit} over the {len(seeds)} seeds that all have), reliably ahead of {ahead} and "
    text += f"behind {behind}{f' of the {len(learned)} others that learned' if stopped else ''}."
    text += "" if place == 1 else f" The best is {order[0]} ({means[order[0]]:.1f})."
    return text + (f" Stopped before they had learned, so perhaps better: {', '.join(stopped)}." if stopped else "")


def seeds(cells: Cells, dataset: str, axis: str, alone: Sequence[Run] = ()) -> Figure | None:
    """Every run as a dot, and a line at the mean of runs that fuse nothing, which stand first; None without runs.

    The best arm stands above the others. Variants of an arm are left out; arms that fell short are named and not drawn.
    """
    metric, short = beside_paper.HEADLINE[dataset], cells.short(dataset)
    scores = {arm: list(v.values()) for arm, v in beside_paper.values(cells.frame, dataset, metric).items()}
    scores = {arm: values for arm, values in scores.items() if arm not in short and ", " not in arm}
    if not scores:
        return None
    axis += f"\nnot drawn, as they did not learn: {', '.join(short)}" if short else ""
    rows = {"text alone": [run.metrics[metric] for run in alone]} if alone else {}
    rows |= dict(sorted(scores.items(), key=lambda row: -np.mean(row[1])))
    figure = figures.seeds(rows, axis)
    ax = figure.axes[0]
    ax.set_xlim(left=max(0, ax.get_xlim()[0]))  # an interval may reach below what a score can be
    if alone:
        ax.axvline(float(np.mean(rows["text alone"])), color=reporting.INK, lw=0.9, ls=":")
    return figure


def claims(cells: Cells, other: str, dataset: str, later: Collection[str] = ()) -> HTML:
    """One row per arm: the paper's number and ours, and of "`other` beats this arm" both gains and the word.

    Of arms in `later` the word is that of newer runs, which another table has: this one refers to it.
    """
    beside = cells.beside(dataset).set_index("arm")
    words = cells.verdicts(other, [dataset])
    words = words.set_index(words.claim.str.removeprefix(f"{other} beats "))
    rows = []
    for arm, row in beside[(beside.n > 0) | (beside.paper != "–")].iterrows():
        gain = (
            cells.gain(other, dataset, beside_paper.HEADLINE[dataset], str(arm))
            if cells.runs and arm != other
            else None
        )
        shown = {
            "arm": arm,
            "n": row.n,
            "paper": row.paper,
            "ours": row.ours,
            f"{other} over it": beside_paper.signed(gain),
        }
        known = words.loc[arm] if arm in words.index else None
        shown |= {"paper's gain": "–" if known is None else known.paper}
        word = "–" if known is None else reporting.badge(known.verdict)
        rows.append(shown | {"word": "second protocol, above" if known is not None and arm in later else word})
    if not rows:
        return HTML("")
    metric = beside_paper.TITLES[beside_paper.HEADLINE[dataset]]
    caption = f"{cells.title}, {beside_paper.PLACES[dataset][1]}, {metric}, first protocol"
    return reporting.table(pd.DataFrame(rows), caption)


def trade(cells: Cells, dataset: str, costs: Mapping[str, float], axis: str) -> HTML | None:
    """The headline metric against a cost, one dot per arm that has both, which says its numbers; None below two.

    Arms that were stopped before they had learned are left out.
    """
    metric = beside_paper.HEADLINE[dataset]
    scores = beside_paper.values(cells.frame, dataset, metric) if cells.runs else {}
    points = {arm: (costs[arm], interval(list(v.values()))) for arm, v in scores.items() if arm in costs}
    points = {arm: point for arm, point in points.items() if arm not in cells.short(dataset)}
    return figures.trade(points, axis, beside_paper.TITLES[metric]) if len(points) > 1 else None
