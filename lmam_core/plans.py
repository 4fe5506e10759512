"""The measured runs of the book, by chapter: which arms, which learning rates are tried, how many seeds.

Every arm of a plan gets the same budget: each of `RATES` is tried with each of `TUNING_SEEDS` under the tuning
protocol (the test set is never touched), the rate with the best mean validation score is taken, and the arm is then run
with `SEEDS`, which are other seeds, under the honest protocol.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from lmam_core.errors import LmamError
from lmam_core.experiment import Experiment, Run
from lmam_core.results import Store
from lmam_core.sweep import sweep

RATES = (3e-4, 1e-3, 3e-3)
TUNING_SEEDS = (1000, 1001)
SEEDS = tuple(range(10))


def bc_lstm() -> list[Experiment]:
    """bc-LSTM with concatenation early and late, bc-LSTM+Att, LMAM in the three ways, the released variant, and LMAM
    matched with the other modalities.

    The late concatenation has the late LMAM's LSTMs, one a modality, so that the two differ in the fusion alone.
    """
    mosi = Experiment(dataset="mosi", modalities=("text", "audio", "video"))
    return _bc_lstm_arms(mosi) + _bc_lstm_arms(Experiment(dataset="iemocap", modalities=("text", "audio")))


def bc_lstm_clean() -> list[Experiment]:
    """The arms of `bc_lstm` on MOSI without its video features, which were trained on training labels (`probes`)."""
    return _bc_lstm_arms(Experiment(dataset="mosi", modalities=("text", "audio")))


def _bc_lstm_arms(base: Experiment) -> list[Experiment]:
    arms = [
        dataclasses.replace(base, fusion="concat"),
        dataclasses.replace(base, fusion="concat", embedding="late"),
        dataclasses.replace(base, fusion="concat", backbone="bc_lstm_att"),
        dataclasses.replace(base, embedding="early"),
        dataclasses.replace(base, embedding="early_residual"),
        dataclasses.replace(base, embedding="late"),
        dataclasses.replace(base, embedding="late", variant="released"),
        dataclasses.replace(base, embedding="late", readings="keys=others"),
    ]
    return [arm.resolved() for arm in arms]


PLANS: dict[str, Callable[[], list[Experiment]]] = {"bc_lstm": bc_lstm, "bc_lstm_clean": bc_lstm_clean}


def plan(name: str) -> list[Experiment]:
    """The arms of a plan; raises LmamError where there is none of this name."""
    if name not in PLANS:
        raise LmamError(f"There is no plan '{name}'; choose one of {', '.join(PLANS)}.")
    return PLANS[name]()


def tuning(arms: Sequence[Experiment]) -> list[Experiment]:
    """The runs that choose each arm's learning rate."""
    return [
        dataclasses.replace(arm, protocol="tuning", learning_rate=rate, seed=seed).resolved()
        for seed in TUNING_SEEDS
        for rate in RATES
        for arm in arms
    ]


def tuned(arm: Experiment, store: Store) -> Experiment:
    """The arm with its best learning rate by mean validation score; raises LmamError while tuning runs are missing."""
    sign = -1 if store.get(tuning([arm])[0]).classes is None else 1

    def score(rate: float) -> float:
        tried = [e for e in tuning([arm]) if e.learning_rate == rate]
        return sign * float(np.mean([store.get(e).training.best_score for e in tried]))

    return dataclasses.replace(arm, learning_rate=max(RATES, key=score))


def measured(arms: Sequence[Experiment], store: Store, seeds: Sequence[int] = SEEDS) -> list[Experiment]:
    """Every arm at its tuned rate with every seed, breadth first: one seed of each arm before the next seed."""
    chosen = [tuned(arm, store) for arm in arms]
    return [dataclasses.replace(arm, seed=seed) for seed in seeds for arm in chosen]


def held(name: str, store: Store, seeds: Sequence[int] = SEEDS) -> list[Run]:
    """A plan's measured runs that the store holds, in the plan's order; arms that are not tuned yet have none."""
    runs = []
    for arm in plan(name):
        if all(e in store for e in tuning([arm])):
            runs += [store.get(e) for e in measured([arm], store, seeds) if e in store]
    return runs


def carry_out(name: str, store: Store, jobs: int | None = None, device: str = "cpu") -> list[str]:
    """Tune and measure a plan, or go on where it stopped; returns one sentence for each failure."""
    arms = plan(name)
    return sweep(tuning(arms), store, jobs, device) or sweep(measured(arms, store), store, jobs, device)
