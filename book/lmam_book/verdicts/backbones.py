"""All backbones side by side: the paper's gains beside ours, and what the originals' padding is worth."""

from __future__ import annotations

import pandas as pd

from lmam_book.plans.arms import STARRED
from lmam_book.plans.plans import FIRST, held
from lmam_book.verdicts import beside_print as plugin
from lmam_book.verdicts.intervals import Interval
from lmam_core.models.backbones import backbone as backbone_class
from lmam_core.runs import names as run_names
from lmam_core.runs.store import Store

LEAKING = ("faithful_bc_lstm", "faithful")
"""The plans of backbones that let padding in."""


def frames(store: Store) -> dict[str, pd.DataFrame]:
    """Each backbone's measured runs, by name in the paper's order; a backbone without any is left out."""
    meld, found = held("meld", store), {}
    for name in STARRED:
        runs = held(name, store) + [r for r in meld if r.experiment.backbone == name]
        if runs:
            found[name] = plugin.frame(runs)
    return found


def starred(store: Store) -> pd.DataFrame:
    """The claim "LMAM beats the backbone's own fusion", one row a backbone, dataset and headline metric."""
    rows = []
    for name, table in frames(store).items():
        claims = plugin.verdicts(table, name)
        main = claims[(claims.metric == claims.dataset.map(plugin.HEADLINE)) & (claims["where"] == "Tables II to IV")]
        main = main[main.claim == f"{plugin.starred(name)} beats concatenation"]
        rows.append(main.assign(backbone=run_names.title(name), key=name))
    return pd.concat(rows, ignore_index=True)


def gains(store: Store, dataset: str, seeds: int = FIRST) -> tuple[dict[str, Interval], dict[str, float]]:
    """Our gains on a dataset by backbone, with at least so many seeds, and the paper's."""
    ours, paper, tables = {}, {}, frames(store)
    for row in starred(store).itertuples():
        if row.dataset == dataset and row.n >= seeds:
            found = plugin.gain(tables[row.key], dataset, row.metric, "concatenation", plugin.starred(row.key))
            ours[row.backbone], paper[row.backbone] = found.difference, float(row.paper)
    return ours, paper


def padding(store: Store) -> pd.DataFrame:
    """What a backbone's own fusion gains when padding leaks in as in its original, one row a backbone and dataset.

    `rates` are the learning rates that tuning chose without and with the leak, by as many tuning seeds each.
    """
    leaking, rows = [r for name in LEAKING for r in held(name, store)], []
    for name in STARRED:
        mine = [r for r in leaking if r.experiment.backbone == name]
        own = [r for r in held(name, store) if run_names.arm(r.experiment) == "concatenation"]
        if not mine or not own:
            continue
        table = plugin.frame(own + mine)
        for dataset in sorted({r.experiment.dataset for r in mine}):
            metric = plugin.HEADLINE[dataset]
            found = plugin.gain(table, dataset, metric, "concatenation", "concatenation, faithful")
            if found:
                mine = table[table.dataset == dataset]
                rates = [
                    f"{mine[mine.arm == name].learning_rate.iloc[0]:g}"
                    for name in ("concatenation", "concatenation, faithful")
                ]
                rows.append(
                    {
                        "backbone": run_names.title(name),
                        "dataset": dataset,
                        "metric": plugin.TITLES[metric],
                        "gain from the leak": plugin.spread(found.difference, 2, "+"),
                        "n": found.difference.n,
                        "rates": " and ".join(rates),
                        "what leaks": backbone_class(name).leak,
                    }
                )
    return pd.DataFrame(rows)
