"""What the comparing chapters show of their `Cells`: tables, figures and sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from IPython.display import HTML, Markdown
from matplotlib.figure import Figure

from lmam_book.pages import style as reporting
from lmam_book.pages.figures import common as figures
from lmam_book.plans.plans import PLANS, SEEDS
from lmam_book.verdicts import beside_print as plugin
from lmam_book.verdicts.cells import Cells, trimmed
from lmam_book.verdicts.intervals import FEW, interval


def counts(verdicts: pd.Series) -> str:
    """`2 reproduced, 5 not reproduced`, as badges."""
    found: Mapping[str, int] = verdicts.value_counts().to_dict()
    return ", ".join(f"{n} {reporting.badge(word)}" for word, n in found.items())


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
    """How the verdicts on "`other` beats this arm" are spread, and where it stands in each dataset.

    Of the first nothing is said where the paper makes no such claim.
    """
    found = cells.verdicts(other, datasets).verdict.value_counts()
    said = ", ".join(f"{n} {reporting.badge(word)}" for word, n in found.items())
    spread = f"{cells.title}, {other} against the others: {said}" if said else ""
    lines = [spread, *(_standing(cells, other, d) for d in datasets)]
    return reporting.prose("\n".join(f"- {line}" for line in lines if line))


def _standing(cells: Cells, other: str, dataset: str) -> str:
    """The places of an arm by mean and median among those with five seeds, the best, and what differs from 0.

    Places are over the seeds that all have. Variants of the arm itself, whose names go on behind a comma, are no
    rivals and are named. Arms that were not trained out are named with the reason: their place may be worse than they.
    """
    metric = plugin.HEADLINE[dataset]
    found = plugin.values(cells.frame, dataset, metric) if cells.runs else {}
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
    gains = [cells.gain(other, dataset, metric, arm).difference for arm in known if arm != other]
    above, below = sum(d.low > 0 for d in gains), sum(d.high < 0 for d in gains)
    said = f"{cells.title} on {dataset}, {other} has place {mean} by mean and {median} by median "
    without = f" ({' and '.join(variants)} left out)" if variants else ""
    said += f"of {len(known)} arms over the {len(seeds)} seeds that all have{without}; "
    best = " and ".join(
        f"{arm} by {word} ({value:.1f})"
        for word, of in (("mean", np.mean), ("median", np.median))
        for value, arm in [max((float(of(x)), arm) for arm, x in known.items())]
    )
    said += f"the best is {best}; "
    said += f"of the {len(gains)} paired differences, {above} have an interval above zero and {below} one below."
    why = {arm: plugin.shortfall(cells.frame, dataset, arm) for arm in known}
    short = ", ".join(f"{arm} (of its runs {reason})" for arm, reason in why.items() if reason)
    return said + (f" Not trained out, and so perhaps better than they look: {short}." if short else "")


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
