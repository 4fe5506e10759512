"""How much a backbone gains where padding leaks in, as in its original."""

from __future__ import annotations

import pandas as pd

from lmam_book.plans.arms import STARRED
from lmam_book.plans.plans import stored_runs
from lmam_book.verdicts import beside_paper
from lmam_core.models.backbones import backbone as backbone_class
from lmam_core.runs import names as run_names
from lmam_core.runs.store import Store

LEAKING = ("faithful_bc_lstm", "faithful")
"""The plans of backbones that let padding in."""
ARMS = ("concatenation", "concatenation, faithful")
"""Without the leak and with it."""


def padding(store: Store) -> pd.DataFrame:
    """What a backbone's own fusion gains when padding leaks in as in its original, one row per backbone and dataset.

    `rates` are the learning rates that tuning chose without and with the leak, by as many tuning seeds each.
    """
    leaking, rows = [r for name in LEAKING for r in stored_runs(name, store)], []
    for name in STARRED:
        faithful = [r for r in leaking if r.experiment.backbone == name]
        own = [r for r in stored_runs(name, store) if run_names.arm(r.experiment) == "concatenation"]
        if not faithful or not own:
            continue
        frame = beside_paper.frame(own + faithful)
        for dataset in sorted({r.experiment.dataset for r in faithful}):
            metric, mine = beside_paper.HEADLINE[dataset], frame[frame.dataset == dataset]
            if gain := beside_paper.gain(frame, dataset, metric, *ARMS):
                rows.append(
                    {
                        "backbone": run_names.title(name),
                        "dataset": dataset,
                        "metric": beside_paper.TITLES[metric],
                        "gain from the leak": beside_paper.signed(gain),
                        "n": gain.n,
                        "rates": " and ".join(f"{mine[mine.arm == arm].learning_rate.iloc[0]:g}" for arm in ARMS),
                        "what leaks": backbone_class(name).leak,
                    }
                )
    return pd.DataFrame(rows)
