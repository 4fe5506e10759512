"""How long a training epoch of every backbone takes on a CPU.

`python -m lmam_book.bench.epochs` writes `data/epochs.csv`.
"""

from __future__ import annotations

import dataclasses
import platform
import time

import numpy as np
import pandas as pd
import torch

from lmam_book.bench.seals import write
from lmam_book.plans.arms import STARRED, TABLE_SIX
from lmam_core import paths
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.names import arm, title
from lmam_core.runs.provenance import code_version
from lmam_core.runs.run import build, prepared
from lmam_core.runs.training import _epoch

LIMIT = 20.0
"""Seconds that an epoch of the slowest backbone may take on IEMOCAP with two threads."""
EPOCHS = 3
"""How many epochs are timed, after one more that warms up."""
THREADS = {"iemocap": (2, 1)}
"""What is measured on how many threads: text and audio of IEMOCAP's 120 training dialogues. The book's runs use one."""


def experiments(dataset: str) -> list[Experiment]:
    """Every backbone of Table VI with its own fusion, then with LMAM in the way of `STARRED` where it has one.

    In batches of 32 conversations, as the originals have them.
    """
    arms = []
    for name in TABLE_SIX:
        base = Experiment(dataset, backbone=name, protocol="protocol1")
        arms.append(dataclasses.replace(base, fusion="concat"))
        arms += [dataclasses.replace(base, embedding=STARRED[name])] if name in STARRED else []
    return [arm.resolved() for arm in arms]


def measured(experiment: Experiment, threads: int) -> dict[str, object]:
    """Median seconds of an epoch over all training dialogues, without a validation split, and where it was measured."""
    data = prepared(dataclasses.replace(experiment, protocol="released"))
    model = build(experiment, data)
    optimizer = torch.optim.Adam(model.parameters(), experiment.learning_rate, weight_decay=experiment.weight_decay)
    order, device = torch.Generator().manual_seed(experiment.seed), torch.device("cpu")
    assert experiment.batch_size is not None  # of a resolved experiment nothing is open
    before, seconds = torch.get_num_threads(), []
    torch.set_num_threads(threads)
    for _ in range(EPOCHS + 1):
        started = time.perf_counter()
        _epoch(model, data, experiment.batch_size, optimizer, order, device, weight=None, padded=False)
        seconds.append(time.perf_counter() - started)
    torch.set_num_threads(before)
    return {
        "dataset": experiment.dataset,
        "backbone": title(experiment.backbone),
        "arm": arm(experiment),
        "modalities": "+".join(experiment.modalities),
        "dialogues": len(data.splits["train"]),
        "threads": threads,
        "epochs": EPOCHS,
        "seconds": round(float(np.median(seconds[1:])), 3),
        "torch": torch.__version__,
        "code": code_version(),
        "machine": f"{platform.machine()}, {platform.system()}",
        "date": time.strftime("%Y-%m-%d"),
    }


def measure() -> pd.DataFrame:
    """One row per dataset, backbone, arm and number of threads; each is printed as soon as it is measured."""
    rows = []
    for dataset, counts in THREADS.items():
        for experiment in experiments(dataset):
            for threads in counts:
                rows.append(row := measured(experiment, threads))
                print(dataset, row["backbone"], row["arm"], f"{threads} threads: {row['seconds']} s", flush=True)
    return pd.DataFrame(rows)


def table() -> pd.DataFrame:
    """The measured table that comes with the book."""
    return pd.read_csv(paths.data("epochs.csv"))


def origin(times: pd.DataFrame) -> str:
    """Where and when the rows were measured: what most share, and in brackets the backbones that were timed again."""
    places = times.torch.radd("torch ") + ", " + times.machine + ", code " + times.code + ", " + times.date
    most = places.value_counts().index[0]
    again = times.backbone[places != most].groupby(places, sort=False).unique()
    others = "; ".join(f"{', '.join(names)}: {place}" for place, names in again.items())
    return f"{most} ({others})" if others else most


def slowest(times: pd.DataFrame) -> pd.Series:
    """The row that `LIMIT` is about: the longest epoch on IEMOCAP at two threads."""
    mine = times[(times.dataset == "iemocap") & (times.threads == 2)]
    return mine.loc[mine.seconds.idxmax()]


if __name__ == "__main__":
    write(measure(), "epochs.csv", "lmam_book.bench.epochs")
