"""What the comparing chapters show of their `Cells`: tables, figures and sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from IPython.display import HTML, Markdown
from markupsafe import Markup
from matplotlib.figure import Figure

from lmam_book.pages import style as reporting
from lmam_book.pages.figures import common as figures
from lmam_book.plans.plans import PLANS, SEEDS
from lmam_book.verdicts import beside_print as plugin
from lmam_book.verdicts.cells import Cells, trimmed
from lmam_book.verdicts.intervals import interval
from lmam_book.verdicts.rule import FEW


def counts(words: pd.Series) -> Markup:
    """`2 reproduced, 5 undecided`, as badges."""
    found = words.value_counts().items()
    return Markup(", ").join(Markup("{} {}").format(n, reporting.badge(str(word))) for word, n in found)


def accuracy(some: Iterable[Cells], dataset: str) -> HTML:
    """The accuracies that the paper prints beside F1, and ours, folded away; nothing where it prints none."""
    rows = []
    for cells in some:
        found = plugin.values(cells.frame, dataset, "accuracy") if cells.runs else {}
        for arm in cells.arms(dataset):
            number, ours = cells.printed(arm, dataset, "accuracy"), interval(list(found.get(arm, {}).values()))
            if np.isfinite(number):
                row = {"comparison": cells.where, "arm": arm, "n": ours.n, "paper": str(number)}
                rows.append(row | {"ours": plugin.spread(ours, 1) if ours.n else "–"})
    if not rows:
        return HTML("")
    found = pd.DataFrame(rows)
    if found.comparison.nunique() == 1:
        found = found.drop(columns="comparison")
    shown = reporting.table(found, f"{dataset}, {plugin.TITLES['accuracy']}, 95 % intervals of the mean")
    return HTML(f"<details><summary>Accuracy, which the paper's table prints as well</summary>{shown.data}</details>")


def progress(some: Iterable[Cells], datasets: Sequence[str]) -> HTML:
    """What comparisons still lack, folded away: `missing` of each that lacks seeds, one sentence for the rest."""
    every = [(cells, dataset) for cells in some for dataset in datasets]
    said = [missing(cells, dataset).data for cells, dataset in every if cells.lacking(dataset)]
    full = ", ".join(f"{cells.where} on {dataset}" for cells, dataset in every if not cells.lacking(dataset))
    said += [f"<p>At least five seeds in every cell: {full}.</p>"] if full else []
    return HTML(f"<details><summary>How far the runs are</summary>{''.join(said)}</details>")


def missing(cells: Cells, dataset: str) -> HTML:
    """How many cells of a dataset have at least five seeds, and the command that makes what is missing."""
    arms, lacking = cells.arms(dataset), cells.lacking(dataset)
    said = f"{cells.title}: {len(arms) - len(lacking)} of {len(arms)} cells on {dataset} have at least five seeds"
    empty = list(lacking.values()).count(0)
    said += f", {empty} have none yet" if empty else ""
    few = lacking or cells.lacking(dataset, len(SEEDS))
    if not few:
        return HTML(f"<p>{cells.title}: all {len(arms)} cells on {dataset} have {len(SEEDS)} seeds.</p>")
    wanted = lambda e: e.dataset == dataset and cells.label(e) in few  # noqa: E731
    plans = [name for name in cells.plans if any(map(wanted, PLANS[name].arms()))]
    commands = " and ".join(f"<code>lmam sweep {name}</code>" for name in plans)
    rest = ("goes" if len(plans) == 1 else "go") + (" on" if lacking else f" on to {len(SEEDS)}")
    return HTML(f"<p>{said}; {commands} {rest}.</p>")


def table(cells: Cells, dataset: str) -> HTML:
    """`Cells.beside` as a page shows it, `trimmed`: the arms that were run, or that the paper prints a number for."""
    found, metric = cells.beside(dataset), plugin.HEADLINE[dataset]
    found = found[(found.n > 0) | (found.paper != "–")]
    if found.empty:
        return HTML("")
    caption = f"{cells.title}, {dataset}: {plugin.TITLES[metric]}; ours is the mean over n seeds, "
    caption += f"gains are over {cells.baseline}; at limit: runs that might have gone on when the epochs ran out"
    found = trimmed(found)
    if "one class" in found:
        caption += "; one class: runs that give every utterance the same class"
        caption += " of the two that Acc-2 counts" if metric == "acc2" else ""
    return reporting.table(found, caption)


def answer(cells: Cells, other: str, datasets: Sequence[str]) -> Markdown | HTML:
    """The words on "`other` beats this arm", counted, and where it stands in each dataset.

    Of the first nothing is said where the paper makes no such claim.
    """
    rows = cells.verdicts(other, datasets).verdict
    lines = [f"{cells.title}, {other} against the others: {counts(rows)}."] if len(rows) else []
    lines += [line for dataset in datasets if (line := _standing(cells, other, dataset))]
    return reporting.prose("\n".join(f"- {line}" for line in lines))


def _standing(cells: Cells, other: str, dataset: str) -> str:
    """The place of an arm by its mean among those with five seeds, over the seeds that all of them have.

    Variants of the arm itself, whose names go on behind a comma, are no rivals and are left out. Rivals that were
    stopped before they had learned are named.
    """
    metric = plugin.HEADLINE[dataset]
    scores = plugin.values(cells.frame, dataset, metric) if cells.runs else {}
    rivals = {arm: v for arm, v in scores.items() if len(v) >= FEW and not arm.startswith(f"{other}, ")}
    seeds = sorted(set.intersection(*map(set, rivals.values()))) if rivals else []
    if other not in rivals or len(rivals) < 3 or len(seeds) < FEW:
        return ""
    means = {arm: float(np.mean([v[seed] for seed in seeds])) for arm, v in rivals.items()}
    order = sorted(means, key=lambda arm: -means[arm])
    gains = [gain for arm in order if arm != other and (gain := cells.gain(other, dataset, metric, arm))]
    ahead, behind = sum(gain.low > 0 for gain in gains), sum(gain.high < 0 for gain in gains)
    unit = plugin.TITLES[metric].split(" %")[0]
    place = order.index(other) + 1
    text = f"{cells.title}, {plugin.PLACES[dataset][1]}: {other} is number {place} of {len(order)} by mean "
    text += f"({means[other]:.1f} {unit}, {len(seeds)} seeds), reliably ahead of {ahead} and behind {behind}."
    text += "" if place == 1 else f" The best is {order[0]} ({means[order[0]]:.1f})."
    stopped = [arm for arm in order if plugin.shortfall(cells.frame, dataset, arm)]
    return text + (f" Stopped before they had learned, so perhaps better: {', '.join(stopped)}." if stopped else "")


def seeds(cells: Cells, dataset: str, axis: str) -> Figure | None:
    """Every run as a dot beside the paper's numbers; None without runs."""
    metric = plugin.HEADLINE[dataset]
    found = plugin.values(cells.frame, dataset, metric) if cells.runs else {}
    if not found:
        return None
    numbers = {arm: cells.printed(arm, dataset, metric) for arm in found}
    known = {arm: number for arm, number in numbers.items() if np.isfinite(number)}
    return figures.seeds({arm: list(v.values()) for arm, v in found.items()}, known, axis)


def trade(cells: Cells, dataset: str, costs: Mapping[str, float], axis: str) -> HTML | None:
    """The headline metric against a cost, one dot an arm that has both, which says its numbers; None below two."""
    metric = plugin.HEADLINE[dataset]
    found = plugin.values(cells.frame, dataset, metric) if cells.runs else {}
    points = {arm: (costs[arm], interval(list(v.values()))) for arm, v in found.items() if arm in costs}
    return figures.trade(points, axis, plugin.TITLES[metric]) if len(points) > 1 else None
