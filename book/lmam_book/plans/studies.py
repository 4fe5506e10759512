"""The measured arms of the book's headline: which are compared, on what, and what is left to run.

Every arm is searched alike (`search`) and then measured with `SEEDS`. A study's arms have the same encoders in the same
place. Where LMAM's place is late they differ in the fusion alone; elsewhere LMAM with its residual stands in front of a
model that is the other arm.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from lmam_book.plans import search
from lmam_book.plans.arms import RANKS, methods, starred
from lmam_core.errors import unknown
from lmam_core.models.backbones import BACKBONES, backbone
from lmam_core.runs.experiment import BUDGETS, Experiment
from lmam_core.runs.run import Run
from lmam_core.runs.store import Store
from lmam_core.runs.sweep import sweep

SEEDS = tuple(range(10))
FIRST = 5
"""How many seeds every cell gets before any cell gets the rest."""

DATASETS = ("iemocap", "mosi", "meld")
"""Each with text and audio, whose features have seen no label of the dataset."""
TABLES = ("iemocap", "meld")
"""The datasets of Tables V, IX, X and XI."""
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
MORE = {"all": {"readings": "keys=all"}, "concatenated": {"readings": "keys=concatenated"}}
"""Readings that no claim is held against: the abstract's *both*, where each modality attends to all, itself among them,
and Sec. IV-D's one stream of all modalities concatenated."""
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
        arms += [plain, *(dataclasses.replace(lmam, **(READINGS | MORE)[reading]) for reading in readings)]
    return arms


FIRST_READINGS = ("own", "released")
"""Of the expensive backbones, before the third."""


def products(name: str) -> list[Experiment]:
    """Table IX's fusion methods by products on IEMOCAP, where the modalities' contexts meet; concatenation and LMAM."""
    late = dataclasses.replace(base("iemocap", name), embedding="late")
    return [dataclasses.replace(late, fusion=fusion) for fusion in ("concat", *PRODUCTS, "lmam")]


def context(name: str) -> list[Experiment]:
    """A backbone on text alone, without and with LMAM as printed: what LMAM gains where there is nothing to fuse."""
    return [dataclasses.replace(arm, modalities=("text",)) for arm in headline(name, DATASETS, ["own"])]


def attention() -> list[Experiment]:
    """bc-LSTM+Att with one LSTM per modality, as bc-LSTM has them where LMAM's place is late."""
    return [dataclasses.replace(base(dataset, "bc_lstm_att"), embedding="late") for dataset in DATASETS]


def grid(name: str, datasets: Sequence[str]) -> list[Experiment]:
    """Table IX: every fusion method where the modalities' contexts meet, and LMAM's other variants."""
    arms = []
    for dataset in datasets:
        late = dataclasses.replace(base(dataset, name), embedding="late")
        arms += [dataclasses.replace(late, fusion=fusion) for fusion in methods()]
        arms += [dataclasses.replace(late, fusion="lmam", variant=variant) for variant in ("algorithm1", "released")]
    return arms


def ranks() -> list[Experiment]:
    """Fig. 5: LMAM behind bc-LSTM on IEMOCAP at every rank, and with the weight that the factors stand for."""
    late = dataclasses.replace(base("iemocap", "bc_lstm"), fusion="lmam")
    factored = [dataclasses.replace(late, rank=rank) for rank in RANKS]
    return [*factored, dataclasses.replace(late, readings="weight=full")]


def subsets() -> list[Experiment]:
    """Table X: bc-LSTM without and with LMAM on text, on audio, and on both with audio shuffled.

    There also with keys of the other modality, as what two modalities tell only together needs them.
    """
    arms = []
    for pair in (headline("bc_lstm", [dataset], ["own"]) for dataset in DATASETS):
        arms += [dataclasses.replace(arm, modalities=(m,)) for m in ("text", "audio") for arm in pair]
        others = dataclasses.replace(pair[-1], **READINGS["others"])
        arms += [dataclasses.replace(arm, shuffled="audio") for arm in (*pair, others)]
    return arms


def alone(name: str) -> list[Experiment]:
    """Table X's own backbone, with LMAM on text and on audio, on the two datasets of that table."""
    arms = (headline(name, [dataset], ["own"])[-1] for dataset in TABLES)
    return [dataclasses.replace(arm, modalities=(m,)) for arm in arms for m in ("text", "audio")]


WIDENED = {
    "bc_lstm": {"iemocap": 107, "meld": 107},
    "mm_dfn": {"iemocap": 108, "meld": 106},
    "m2fnet": {"iemocap": 647, "meld": 639},
    "emocaps": {"iemocap": 1793, "meld": 1777},
}
"""The widths that `widen.matching` finds for Table V's backbones; written down, as finding them needs the data."""


def widened(name: str) -> list[Experiment]:
    """Table V: a backbone without LMAM, widened until it has as many parameters as with it."""
    return [dataclasses.replace(base(dataset, name), width=WIDENED[name][dataset]) for dataset in TABLES]


def ways(name: str) -> list[Experiment]:
    """Table XI and Fig. 4: LMAM in the ways that the headline does not have."""
    arms = []
    for dataset in TABLES:
        lmam = dataclasses.replace(base(dataset, name), fusion="lmam", rank=NARROWEST.get(dataset))
        others = [way for way in ("early", "early_residual", "late") if way != starred(name)]
        arms += [dataclasses.replace(lmam, embedding=way, rank=None if way == "late" else lmam.rank) for way in others]
    return arms


STUDIES: dict[str, Callable[[], list[Experiment]]] = {
    "headline_text_cnn": lambda: headline("text_cnn", DATASETS, READINGS),
    "headline_bc_lstm": lambda: headline("bc_lstm", DATASETS, READINGS),
    "context_text_cnn": lambda: context("text_cnn"),
    "attention_bc_lstm": attention,
    "readings_text_cnn": lambda: headline("text_cnn", DATASETS, MORE),
    "headline_dialogue_gcn": lambda: headline("dialogue_gcn", DATASETS, READINGS),
    "readings_bc_lstm": lambda: headline("bc_lstm", DATASETS, MORE),
    "products_bc_lstm": lambda: products("bc_lstm"),
    "headline_emocaps": lambda: headline("emocaps", DATASETS, READINGS),
    "first_mm_dfn": lambda: headline("mm_dfn", DATASETS[:2], FIRST_READINGS),
    "first_m2fnet": lambda: headline("m2fnet", DATASETS[:2], FIRST_READINGS),
    "products_emocaps": lambda: products("emocaps"),
    "readings_emocaps": lambda: headline("emocaps", DATASETS, MORE),
    "first_dialogue_rnn": lambda: headline("dialogue_rnn", DATASETS[:2], FIRST_READINGS),
    "headline_mm_dfn": lambda: headline("mm_dfn", DATASETS, READINGS),
    "headline_m2fnet": lambda: headline("m2fnet", DATASETS, READINGS),
    "headline_dialogue_rnn": lambda: headline("dialogue_rnn", DATASETS, READINGS),
    "traits_text_cnn": lambda: headline("text_cnn", ("pom",), ("own",)),
    "traits_bc_lstm": lambda: headline("bc_lstm", ("pom",), ("own",)),
    "traits_bc_lstm_att": lambda: [base("pom", "bc_lstm_att")],
    "traits_dialogue_gcn": lambda: headline("dialogue_gcn", ("pom",), ("own",)),
    "traits_m2fnet": lambda: headline("m2fnet", ("pom",), ("own",)),
    "traits_mm_dfn": lambda: headline("mm_dfn", ("pom",), ("own",)),
    "traits_emocaps": lambda: headline("emocaps", ("pom",), ("own",)),
    "traits_dialogue_rnn": lambda: headline("dialogue_rnn", ("pom",), ("own",)),
    "methods_bc_lstm": lambda: grid("bc_lstm", DATASETS),
    "methods_emocaps": lambda: grid("emocaps", ["iemocap"]),
    "rank_bc_lstm": ranks,
    "subsets_bc_lstm": subsets,
    "subsets_emocaps": lambda: alone("emocaps"),
    **{f"widened_{name}": partial(widened, name) for name in WIDENED},
    **{f"ways_{name}": partial(ways, name) for name in WIDENED},
    "methods_emocaps_meld": lambda: grid("emocaps", ["meld"]),
}
"""In the order in which they are carried out, the quick ones first; those of POM's traits are searched less
(`search.SMALL`). A study of `first` is the part of a headline that comes before the rest of it."""
CONVERSATIONS = [name for name in STUDIES if not name.startswith("traits_")]
"""The studies of conversations."""
LATER = CONVERSATIONS[CONVERSATIONS.index("methods_bc_lstm") :]
"""The studies that wait until all others have every seed."""


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

    Each study is searched and measured with the first seeds, then each with the rest; then those of `LATER`. What fails
    is left out, with what depends on it, and everything else goes on. Raises LmamError where the store cannot be
    written.
    """
    names = list(names)
    parts = [[study(name) for name in names if (name in LATER) == later] for later in (False, True)]
    failures: list[str] = []
    for by_study, seeds in itertools.product(parts, (SEEDS[:FIRST], SEEDS)):
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

    Updates times the median seconds of one (`_pace`): NaN where nothing like it was timed. A search is counted without
    extensions of its rates, a measured run with `TYPICAL` updates, an arm of several studies with the first.
    """
    pace, counted = _pace(store), set[Experiment]()
    rows: dict[tuple[str, str], dict[str, float]] = {}
    for name in names:
        for arm in study(name):
            row = rows.setdefault((name, arm.dataset), dict.fromkeys(("arms", "measured", "updates", "core_hours"), 0))
            row["arms"] += 1
            if search.needed(arm, store):
                updates = _search_left(arm, store) + seeds * TYPICAL
            else:
                left = [e for e in measured(arm, store, range(seeds)) if e not in store]
                updates = len(left) * TYPICAL
                row["measured"] += seeds - len(left)
            if arm in counted or not updates:
                continue
            counted.add(arm)
            row["updates"] += updates
            place = (arm.dataset, arm.backbone)
            seconds = pace.get((*place, arm.fusion), pace.get((*place, ""), np.nan))
            row["core_hours"] += updates * seconds / 3600
    table = pd.DataFrame([{"study": n, "dataset": d} | row for (n, d), row in rows.items()])
    return table.round({"core_hours": 2})


TYPICAL = 800
"""Updates of a measured run: the least, and patience."""


def _search_left(arm: Experiment, store: Store) -> int:
    """Updates that the search of an arm has left, without extensions."""
    first = [e for e in search.first_round(arm) if e not in store]
    if first:
        second = 0 if arm.dataset in search.SMALL else search.KEPT * len(search.SEEDS) * 600
        return sum(e.updates or 0 for e in first) + second
    return sum(e.updates or 0 for e in search.needed(arm, store))


BATCH = BUDGETS["honest"]["batch_size"]
SLOWER = 1.3
"""What an epoch of batches of 8 conversations costs, in epochs of batches of 32: 1.0 to 1.55 in the pilots."""


def _pace(store: Store) -> dict[tuple[str, str, str], float]:
    """The median seconds of an update by dataset, backbone and fusion, and under "" over all fusions.

    From the store's runs that count updates; where it has none, from epochs of the first protocol.
    """
    seconds: dict[tuple[str, str, str], list[float]] = {}
    epochs: dict[tuple[str, str, str], list[float]] = {}
    per_epoch: dict[str, list[float]] = {}
    for run in store:
        t, e = run.training, run.experiment
        places = [(e.dataset, e.backbone, fusion) for fusion in (e.fusion, "")]
        for place in places:
            if t.updates:
                seconds.setdefault(place, []).append(t.seconds_per_epoch * len(t.train_loss) / t.updates)
            else:
                epochs.setdefault(place, []).append(t.seconds_per_epoch)
        if t.updates and e.batch_size == BATCH:
            per_epoch.setdefault(e.dataset, []).append(t.updates / len(t.train_loss))
    pace = {
        place: SLOWER * float(np.median(values)) / float(np.median(per_epoch[place[0]]))
        for place, values in epochs.items()
        if place[0] in per_epoch
    }
    return pace | {place: float(np.median(values)) for place, values in seconds.items()}
