"""What it is worth that originals let padding in."""

from __future__ import annotations

import pandas as pd

from lmam_book.plans.arms import STARRED
from lmam_book.plans.plans import stored_runs
from lmam_book.verdicts import beside_print as plugin
from lmam_core.models.backbones import backbone as backbone_class
from lmam_core.runs import names as run_names
from lmam_core.runs.store import Store

LEAKING = ("faithful_bc_lstm", "faithful")
"""The plans of backbones that let padding in."""


def padding(store: Store) -> pd.DataFrame:
    """What a backbone's own fusion gains when padding leaks in as in its original, one row a backbone and dataset.

    `rates` are the learning rates that tuning chose without and with the leak, by as many tuning seeds each.
    """
    leaking, rows = [r for name in LEAKING for r in stored_runs(name, store)], []
    for name in STARRED:
        mine = [r for r in leaking if r.experiment.backbone == name]
        own = [r for r in stored_runs(name, store) if run_names.arm(r.experiment) == "concatenation"]
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
                        "gain from the leak": plugin.signed(found),
                        "n": found.n,
                        "rates": " and ".join(rates),
                        "what leaks": backbone_class(name).leak,
                    }
                )
    return pd.DataFrame(rows)
