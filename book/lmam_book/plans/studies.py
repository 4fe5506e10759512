"""The measured arms of the book's headline: which are compared, on what, and what is left to run.

Every arm is searched alike (`search`) and then measured with `SEEDS`. A study's arms have the same encoders in the same
place. Where LMAM's place is late they differ in the fusion alone; elsewhere LMAM with its residual stands in front of a
model that is the other arm.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lmam_book.plans import search
from lmam_book.plans.arms import starred
from lmam_core.errors import unknown
from lmam_core.models.backbones import BACKBONES, backbone
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.run import Run
from lmam_core.runs.store import Store
from lmam_core.runs.sweep import sweep

SEEDS = tuple(range(10))
FIRST = 5
"""How many seeds every cell gets before any cell gets the rest."""

DATASETS = ("iemocap", "mosi", "meld")
"""Each with text and audio, whose features have seen no label of the dataset."""
READINGS: dict[str, dict[str, Any]] = {
    "own": {},
    "released": {"variant": "released"},
    "others": {"readings": "keys=others"},
}
"""The versions of LMAM that a claim is held against: the equations as printed, the authors' code, and the introduction,
where a modality's keys are those of the others."""
MODALITIES = {"pom": ("audio", "video")}
"""Of datasets that have no text; all others are compared on text and audio."""
NARROWEST = {"meld": 10, "pom": 42}
"""The narrowest features of datasets where they are narrower than LMAM's rank, which may be no larger."""
ALL_KEYS = {"readings": "keys=all"}
"""The abstract's *both*: each modality attends to all modalities, itself among them. No claim is held against it."""
PRODUCTS = ("tfn", "lmf", "dual_lmf", "att_lmf")


def base(dataset: str, name: str) -> Experiment:
    """A backbone on a dataset's text and audio (`MODALITIES`), with concatenation in LMAM's place."""
    late = starred(name) == "late"
    way = "late" if late else backbone(name).native
    modalities = MODALITIES.get(dataset, ("text", "audio"))
    return Experiment(dataset, modalities=modalities, backbone=name, fusion="concat", embedding=way)


def headline(name: str, datasets: Sequence[str], readings: Iterable[str]) -> list[Experiment]:
    """A backbone with concatenation and with each reading of LMAM in the way of `arms.STARRED`."""
    arms = []
    for dataset in datasets:
        plain = base(dataset, name)
        rank = None if starred(name) == "late" else NARROWEST.get(dataset)
        lmam = dataclasses.replace(plain, fusion="lmam", embedding=starred(name), rank=rank)
        arms += [plain, *(dataclasses.replace(lmam, **(READINGS | {"all": ALL_KEYS})[reading]) for reading in readings)]
    return arms


def products(name: str) -> list[Experiment]:
    """Table IX's fusion methods by products on IEMOCAP, where the modalities' contexts meet; concatenation and LMAM."""
    late = dataclasses.replace(base("iemocap", name), embedding="late")
    return [dataclasses.replace(late, fusion=fusion) for fusion in ("concat", *PRODUCTS, "lmam")]


def context(name: str) -> list[Experiment]:
    """A backbone on text alone, without and with LMAM as printed: what LMAM gains where there is nothing to fuse."""
    return [dataclasses.replace(arm, modalities=("text",)) for arm in headline(name, DATASETS, ["own"])]


STUDIES: dict[str, Callable[[], list[Experiment]]] = {
    "headline_text_cnn": lambda: headline("text_cnn", DATASETS, READINGS),
    "headline_bc_lstm": lambda: headline("bc_lstm", DATASETS, READINGS),
    "context_text_cnn": lambda: context("text_cnn"),
    "readings_text_cnn": lambda: headline("text_cnn", DATASETS, ["all"]),
    "headline_dialogue_gcn": lambda: headline("dialogue_gcn", DATASETS, READINGS),
    "readings_bc_lstm": lambda: headline("bc_lstm", DATASETS, ["all"]),
    "products_bc_lstm": lambda: products("bc_lstm"),
    "headline_emocaps": lambda: headline("emocaps", DATASETS, READINGS),
    "headline_mm_dfn": lambda: headline("mm_dfn", DATASETS[:2], ("own", "released")),
    "headline_m2fnet": lambda: headline("m2fnet", DATASETS[:2], ("own", "released")),
    "products_emocaps": lambda: products("emocaps"),
    "readings_emocaps": lambda: headline("emocaps", DATASETS[:2], ["all"]),
    "headline_dialogue_rnn": lambda: headline("dialogue_rnn", DATASETS[:2], ("own", "released")),
    "traits_text_cnn": lambda: headline("text_cnn", ("pom",), ("own",)),
    "traits_bc_lstm": lambda: headline("bc_lstm", ("pom",), ("own",)),
    "traits_bc_lstm_att": lambda: [base("pom", "bc_lstm_att")],
    "traits_dialogue_gcn": lambda: headline("dialogue_gcn", ("pom",), ("own",)),
    "traits_m2fnet": lambda: headline("m2fnet", ("pom",), ("own",)),
    "traits_mm_dfn": lambda: headline("mm_dfn", ("pom",), ("own",)),
    "traits_emocaps": lambda: headline("emocaps", ("pom",), ("own",)),
    "traits_dialogue_rnn": lambda: headline("dialogue_rnn", ("pom",), ("own",)),
}
"""In the order in which they are carried out, the quick ones first; those of POM's traits are searched less
(`search.SMALL`)."""
CONVERSATIONS = [name for name in STUDIES if not name.startswith("traits_")]
"""The studies of conversations."""


def names(plan: str | None) -> list[str]:
    """The studies of a plan: one, `all` or None for all, or the first word of several, as `traits`."""
    if plan in (None, "all"):
        return list(STUDIES)
    several = [name for name in STUDIES if name.startswith(f"{plan}_") and plan not in STUDIES]
    return several or [str(plan)]


def study(name: str) -> list[Experiment]:
    """The arms of a study, resolved; of a backbone without one of its own, `headline_NAME` is the quick ones'.

    Raises LmamError where there is none of this name.
    """
    if name in STUDIES:
        arms = STUDIES[name]()
    elif (other := name.removeprefix("headline_")) in BACKBONES and other != name:
        arms = headline(other, DATASETS, READINGS)
    else:
        raise unknown("There is no plan", name, [*STUDIES, "all"])
    return [arm.resolved() for arm in arms]


def measured(arm: Experiment, store: Store, seeds: Sequence[int] = SEEDS) -> list[Experiment]:
    """The runs of a searched arm."""
    best = search.tuned(arm, store)
    return [dataclasses.replace(best, seed=seed) for seed in seeds]


def stored_runs(name: str, store: Store, seeds: Sequence[int] = SEEDS) -> list[Run]:
    """The measured runs of a study that the store has; an arm whose search is not over has none."""
    ready = [arm for arm in study(name) if not search.needed(arm, store)]
    return [store.get(e) for arm in ready for e in measured(arm, store, seeds) if e in store]


def carry_out(
    names: Iterable[str], store: Store, jobs: int | None = None, device: str = "cpu", cluster: str | None = None
) -> list[str]:
    """Search and measure studies, or go on where they stopped; returns one sentence for each failure.

    Each study is searched and measured with the first seeds, then each with the rest. What fails is left out, with what
    depends on it, and everything else goes on. Raises LmamError where the store cannot be written.
    """
    by_study = [study(name) for name in names]
    failures: list[str] = []
    for seeds in (SEEDS[:FIRST], SEEDS):
        for arms in by_study:
            tried: set[Experiment] = set()
            while missing := [e for arm in arms for e in search.needed(arm, store) if e not in tried]:
                tried.update(missing)
                failures += sweep(missing, store, jobs, device, cluster)
            ready = [arm for arm in arms if not search.needed(arm, store)]
            runs = [measured(arm, store, seeds) for arm in ready]
            # Breadth first: one seed of each arm before the next seed.
            failures += sweep(
                [e for one_seed in zip(*runs, strict=True) for e in one_seed], store, jobs, device, cluster
            )
    return list(dict.fromkeys(failures))


def cost(names: Iterable[str], store: Store, seeds: int = FIRST) -> pd.DataFrame:
    """What is left to run, one row per study and dataset, in core-hours of this machine's one thread.

    Updates times the median seconds of one, from stored runs on the same dataset and backbone: NaN where there is none.
    A search is counted without extensions of its rates, a measured run with `TYPICAL` updates.
    """
    pace = _pace(store)
    rows: dict[tuple[str, str], dict[str, float]] = {}
    for name in names:
        for arm in study(name):
            waiting = search.needed(arm, store)
            if waiting or any(e not in store for e in search.first_round(arm)):
                updates = _search_left(arm, store) + seeds * TYPICAL
                runs = 0
            else:
                left = [e for e in measured(arm, store, range(seeds)) if e not in store]
                updates, runs = len(left) * TYPICAL, seeds - len(left)
            row = rows.setdefault((name, arm.dataset), {"arms": 0, "measured": 0, "updates": 0})
            row["arms"] += 1
            row["measured"] += runs
            row["updates"] += updates
    table = pd.DataFrame([{"study": n, "dataset": d} | row for (n, d), row in rows.items()])
    seconds = [pace.get((d, study(n)[0].backbone), np.nan) for n, d in rows]
    return table.assign(core_hours=(table.updates * seconds / 3600).round(2))


TYPICAL = 800
"""Updates of a measured run: the least, and patience."""


def _search_left(arm: Experiment, store: Store) -> int:
    """Updates that the search of an arm has left, without extensions."""
    first = [e for e in search.first_round(arm) if e not in store]
    if first:
        second = 0 if arm.dataset in search.SMALL else search.KEPT * len(search.SEEDS) * 600
        return sum(e.updates or 0 for e in first) + second
    return sum(e.updates or 0 for e in search.needed(arm, store))


def _pace(store: Store) -> dict[tuple[str, str], float]:
    """The median seconds of an update by dataset and backbone, over the store's runs that count them."""
    seconds: dict[tuple[str, str], list[float]] = {}
    for run in store:
        t = run.training
        if t.updates:
            per_update = t.seconds_per_epoch * len(t.train_loss) / t.updates
            seconds.setdefault((run.experiment.dataset, run.experiment.backbone), []).append(per_update)
    return {place: float(np.median(values)) for place, values in seconds.items()}
