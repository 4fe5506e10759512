"""The measured runs of the first protocol: which arms, which learning rates are tried, how many seeds.

Every arm of a plan gets the same budget: each of the plan's rates is tried with each of its tuning seeds under
`tuning1` (the test set is never touched), the rate with the best mean validation score is taken, and the arm is then
run with `SEEDS`, which are other seeds, under `protocol1`. `studies` has the plans of the protocol that replaced it.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable, Iterable, Sequence
from functools import cache

import numpy as np

from lmam_book.plans import search
from lmam_book.plans.arms import (
    CLEAN,
    IEMOCAP,
    MOSI,
    bc_lstm,
    bc_lstm_clean,
    equal,
    faithful,
    fusions,
    fusions_patient,
    lmcm,
    meld,
    modalities,
    plugged,
    ranks,
    ways,
)
from lmam_core import paths
from lmam_core.errors import unknown
from lmam_core.models.backbones import BACKBONES
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.run import Run
from lmam_core.runs.store import Store
from lmam_core.runs.sweep import sweep

RATES = (3e-4, 1e-3, 3e-3)
SEEDS = tuple(range(10))
FIRST = 5
"""How many seeds every cell of the book gets before any cell gets the rest."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """Arms that share a tuning budget; `listed` makes them."""

    listed: Callable[[], list[Experiment]]
    tuning_seeds: tuple[int, ...] = (1000,)
    rates: tuple[float, ...] = RATES

    def arms(self) -> list[Experiment]:
        """The plan's arms, resolved."""
        return [arm.resolved() for arm in self.listed()]


PLANS: dict[str, Plan] = {
    "text_cnn": Plan(plugged("text_cnn")),
    "bc_lstm": Plan(bc_lstm, tuning_seeds=(1000, 1001)),
    "bc_lstm_clean": Plan(bc_lstm_clean, tuning_seeds=(1000, 1001)),
    "dialogue_gcn": Plan(plugged("dialogue_gcn")),
    "emocaps": Plan(plugged("emocaps")),
    "m2fnet": Plan(plugged("m2fnet")),
    "mm_dfn": Plan(plugged("mm_dfn")),
    "dialogue_rnn": Plan(plugged("dialogue_rnn")),
    "meld": Plan(meld),
    "faithful_bc_lstm": Plan(faithful("bc_lstm"), tuning_seeds=(1000, 1001)),
    "faithful": Plan(faithful("dialogue_gcn", "mm_dfn")),
    "modalities": Plan(modalities, tuning_seeds=(1000, 1001)),
    "equal_bc_lstm": Plan(equal("bc_lstm"), tuning_seeds=(1000, 1001)),
    # Of the first 18 arms 14 took the largest of three rates, so that a fourth was added, for all of them.
    "ranks": Plan(ranks, tuning_seeds=(1000, 1001), rates=(*RATES, 1e-2)),
    "fusions_bc_lstm": Plan(fusions("bc_lstm", MOSI, IEMOCAP), tuning_seeds=(1000, 1001)),
    "fusions_bc_lstm_clean": Plan(fusions("bc_lstm", CLEAN), tuning_seeds=(1000, 1001)),
    "fusions_patient": Plan(fusions_patient, tuning_seeds=(1000, 1001)),
    "fusions_emocaps": Plan(fusions("emocaps", MOSI, IEMOCAP)),
    "equal": Plan(equal("m2fnet", "emocaps", "mm_dfn")),
    "ways": Plan(ways),
    "lmcm": Plan(lmcm, tuning_seeds=(1000, 1001)),
}
"""Every plan of the book: `all` carries them out in this order.

Within a plan all tune alike. Between plans the budget differs where it says so here: bc-LSTM's arms have two tuning
seeds and the other backbones' one, `ranks` a fourth rate, `fusions_patient` more patience. So a backbone's level beside
bc-LSTM's, or a rank beside another fusion method, compares budgets as well.
"""


def plan(name: str) -> Plan:
    """The plan of this name, which may be that of any backbone; raises LmamError where there is none."""
    if name not in PLANS and name in BACKBONES:
        return Plan(plugged(name))
    if name not in PLANS:
        raise unknown("There is no plan", name, [*PLANS, "all"])
    return PLANS[name]


def tuning(plan: Plan, arms: Sequence[Experiment]) -> list[Experiment]:
    """The runs that choose each arm's learning rate."""
    return [
        dataclasses.replace(arm, protocol="tuning1", learning_rate=rate, seed=seed)
        for seed in plan.tuning_seeds
        for rate in plan.rates
        for arm in arms
    ]


def tuned(plan: Plan, arm: Experiment, store: Store) -> Experiment:
    """The arm with its best learning rate by mean validation score; raises LmamError while tuning runs are missing."""
    runs = [store.get(e) for e in tuning(plan, [arm])]
    sign = -1 if runs[0].classes is None else 1

    def score(rate: float) -> float:
        scores = [run.training.best_score for run in runs if run.experiment.learning_rate == rate]
        return sign * float(np.mean(scores))

    return dataclasses.replace(arm, learning_rate=max(plan.rates, key=score))


def measured(plan: Plan, arms: Sequence[Experiment], store: Store, seeds: Sequence[int] = SEEDS) -> list[Experiment]:
    """Every arm at its tuned rate with every seed, breadth first: one seed of each arm before the next seed."""
    best = [tuned(plan, arm, store) for arm in arms]
    return [dataclasses.replace(arm, seed=seed) for seed in seeds for arm in best]


@cache
def _tried() -> dict[Experiment, tuple[float, ...]]:
    """The rates that were tried for each arm of the first protocol, over all plans that hold it."""
    rates: dict[Experiment, tuple[float, ...]] = {}
    for one in PLANS.values():
        for arm in one.arms():
            rates[arm] = (*rates.get(arm, ()), *one.rates)
    return rates


def at_edge(e: Experiment) -> bool:
    """Whether the rate of a measured run is the smallest or largest that was tried for its arm.

    Never under protocol 2, whose searches go on until it lies inside (`search`), but for the datasets of `SMALL`.
    """
    if e.protocol == "protocol1":
        tried = _tried().get(dataclasses.replace(e, seed=0, learning_rate=Experiment.learning_rate), ())
    else:
        tried = tuple(trial.learning_rate for trial in search.SMALL.get(e.dataset, ()))
    return bool(tried) and e.learning_rate in (min(tried), max(tried))


def command(name: str, store: Store) -> str:
    """What makes a plan's runs where a page reads them: `lmam sweep bc_lstm --store book`."""
    book = paths.CHECKOUT is not None and store.root == paths.data("results")
    return f"lmam sweep {name} --store {'book' if book else shlex.quote(str(store.root))}"


def _ready(plan: Plan, arms: Sequence[Experiment], store: Store) -> list[Experiment]:
    """The arms whose tuning runs are all in the store."""
    return [arm for arm in arms if all(e in store for e in tuning(plan, [arm]))]


def stored_runs(name: str, store: Store, seeds: Sequence[int] = SEEDS) -> list[Run]:
    """A plan's measured runs that the store has, in the plan's order; arms that are not tuned yet have none."""
    this = plan(name)
    arms = _ready(this, this.arms(), store)
    return [store.get(e) for arm in arms for e in measured(this, [arm], store, seeds) if e in store]


def carry_out(
    names: Iterable[str], store: Store, jobs: int | None = None, device: str = "cpu", cluster: str | None = None
) -> list[str]:
    """Tune and measure plans, or go on where they stopped; returns one sentence for each failure.

    Each plan in turn is tuned and run with the first seeds, then each with the rest. What fails is left out, with the
    measured runs of its arm, and everything else goes on. Raises LmamError where the store cannot be written.
    """
    plans = [plan(name) for name in names]
    failures: list[str] = []
    for seeds in (SEEDS[:FIRST], SEEDS):
        for one in plans:
            arms = one.arms()
            failures += sweep(tuning(one, arms), store, jobs, device, cluster)
            failures += sweep(measured(one, _ready(one, arms, store), store, seeds), store, jobs, device, cluster)
    return list(dict.fromkeys(failures))
