"""The measured arms of the tasks besides conversations: one training budget for all arms of a plan, no search."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

from lmam_core.errors import LmamError
from lmam_core.runs.record import Record
from lmam_core.runs.run import Run
from lmam_core.runs.store import Store
from lmam_core.runs.sweep import sweep
from lmam_core.tasks.recommendation.asked import Recommendation

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


PLANS: dict[str, Callable[[], dict[str, Recommendation]]] = {"sessions": lambda: SESSIONS, "sessions_full": _whole}
"""Arms by name. `sessions_full` is Table XIII's size, for a GPU: 648,000 sequences per epoch."""


def asked(name: str) -> list[Record]:
    """Every run of a plan, one seed of each arm before the next; raises LmamError where there is no such plan."""
    if name not in PLANS:
        raise LmamError(f"There is no plan '{name}' of a task; choose one of {', '.join(PLANS)}.")
    return [dataclasses.replace(arm, seed=seed) for seed in SEEDS for arm in PLANS[name]().values()]


def stored_runs(name: str, store: Store) -> dict[str, list[Run]]:
    """The runs of each arm of a plan that the store has, by seed."""
    seeds = {arm: [dataclasses.replace(e, seed=seed) for seed in SEEDS] for arm, e in PLANS[name]().items()}
    return {arm: [store.get(e) for e in runs if e in store] for arm, runs in seeds.items()}


def carry_out(
    names: Iterable[str], store: Store, jobs: int | None = None, device: str = "cpu", cluster: str | None = None
) -> list[str]:
    """Measure plans, or go on where they stopped; returns one sentence for each failure."""
    return [failure for name in names for failure in sweep(asked(name), store, jobs, device, cluster)]
