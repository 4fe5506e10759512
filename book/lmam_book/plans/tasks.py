"""The measured arms of the tasks besides conversations: one training budget for all arms of a plan, no search."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from lmam_core.errors import unknown
from lmam_core.runs.record import Record
from lmam_core.runs.run import Run
from lmam_core.runs.store import Store
from lmam_core.runs.sweep import sweep
from lmam_core.tasks.humour.experiment import Humour
from lmam_core.tasks.recommendation.experiment import Recommendation

SEEDS = tuple(range(5))
BASE = "DHCN"
BEST = "best on test"
SESSIONS = {
    BASE: Recommendation(),
    "LMAM, channels": Recommendation(fusion="lmam"),
    "LMAM, hops": Recommendation(fusion="lmam", streams="hops"),
    "DHCN, line channel trains items": Recommendation(line="trained"),
    "concatenation, channels": Recommendation(fusion="concat"),
    f"DHCN, {BEST}": Recommendation(protocol="best_on_test"),
    f"LMAM, channels, {BEST}": Recommendation(fusion="lmam", protocol="best_on_test"),
}
"""DHCN with and without LMAM on the last 64th of the training sessions of Diginetica; Table XIII is of all."""


def _whole() -> dict[str, Recommendation]:
    return {name: dataclasses.replace(arm, fraction=1) for name, arm in list(SESSIONS.items())[:3]}


CMFN = {"C-MFN(P)": "punchline", "C-MFN(C)": "context", "C-MFN": "both"}
"""Rows of Table XIV, and what each reads of a segment; those with LMAM have a star behind their name."""
SUBSETS = {
    "T": ("text",),
    "A+V": ("audio", "video"),
    "T+A": ("text", "audio"),
    "T+V": ("text", "video"),
    "T+A+V": ("text", "audio", "video"),
}
"""Columns of Table XIV."""
EARLY = "C-MFN*, early + residual"
CONCAT = "C-MFN, concatenation in LMAM's place"


def humour(subsets: Iterable[str] = SUBSETS, **given: Any) -> dict[str, Humour]:
    """C-MFN with and without LMAM in the cells of Table XIV: `C-MFN(P)*, T+A`."""
    return {
        f"{row}{star}, {subset}": Humour(setting=setting, modalities=SUBSETS[subset], fusion=fusion, **given)
        for row, setting in CMFN.items()
        for subset in subsets
        for star, fusion in (("", "none"), ("*", "lmam"))
    }


def _generated() -> dict[str, Humour]:
    both = Humour(modalities=SUBSETS["T+A+V"])
    others = {
        f"{EARLY}, T+A+V": dataclasses.replace(both, fusion="lmam", embedding="early_residual"),
        f"{CONCAT}, T+A+V": dataclasses.replace(both, fusion="concat"),
    }
    return humour() | others


PLANS: dict[str, Callable[[], Mapping[str, Record]]] = {
    "sessions": lambda: SESSIONS,
    "sessions_full": _whole,
    "humour": _generated,
    "humour_text": lambda: humour(["T"], dataset="mustard", learning_rate=1e-3, batch_size=32),
    "humour_full": lambda: humour(dataset="ur-funny", learning_rate=1e-3, batch_size=64, epochs=20, width=32),
}
"""Arms by name. `sessions_full` is Table XIII's size, for a GPU: 648,000 sequences per epoch. `humour` is on generated
segments, `humour_text` on MUStARD's text, `humour_full` on UR-FUNNY, for who has its files."""


def experiments(name: str) -> list[Record]:
    """Every run of a plan, one seed of each arm before the next; raises LmamError where there is no such plan."""
    if name not in PLANS:
        raise unknown("There is no plan of a task", name, PLANS)
    return [_seeded(arm, seed) for seed in SEEDS for arm in PLANS[name]().values()]


def _seeded(arm: Record, seed: int) -> Record:
    return cast("Record", dataclasses.replace(cast("Any", arm), seed=seed))


def stored_runs(name: str, store: Store) -> dict[str, list[Run]]:
    """The runs of each arm of a plan that the store has, by seed."""
    seeds = {arm: [_seeded(e, seed) for seed in SEEDS] for arm, e in PLANS[name]().items()}
    return {arm: [store.get(e) for e in runs if e in store] for arm, runs in seeds.items()}


def carry_out(
    names: Iterable[str], store: Store, jobs: int | None = None, device: str = "cpu", cluster: str | None = None
) -> list[str]:
    """Measure plans, or go on where they stopped; returns one sentence for each failure."""
    return [failure for name in names for failure in sweep(experiments(name), store, jobs, device, cluster)]
