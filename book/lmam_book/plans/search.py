"""Choosing an arm's learning rate, dropout and weight decay: the same few trials for every arm, by successive halving.

Nothing here touches the test set. Every answer is a function of the store, so that a search goes on where it stopped.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from lmam_core.errors import LmamError
from lmam_core.runs.experiment import BUDGETS, Experiment
from lmam_core.runs.store import Store


class Trial(NamedTuple):
    """What is searched together."""

    learning_rate: float
    dropout: float
    weight_decay: float


TRIALS = (
    Trial(3.4e-4, 0.37, 3.7e-4),
    Trial(6.8e-4, 0.34, 3.2e-6),
    Trial(2.0e-3, 0.27, 4.0e-5),
    Trial(4.4e-4, 0.16, 1.6e-6),
    Trial(1.4e-3, 0.21, 6.1e-5),
    Trial(5.8e-3, 0.05, 1.3e-4),
    Trial(2.4e-4, 0.55, 1.3e-5),
    Trial(9.6e-4, 0.47, 6.7e-4),
    Trial(3.5e-3, 0.50, 9.7e-6),
)
"""Nine points of an orthogonal array, so that each third of a range meets each third of every other one once.

Drawn once by `scipy.stats.qmc.LatinHypercube(3, strength=2)` from seed 0: rates from 2e-4 to 6e-3 and weight decays
from 1e-6 to 1e-3 by their logarithm, dropout from 0.05 to 0.6. Written down, as the keys of stored runs depend on them.
"""
SEEDS = (1000, 1001, 1002)
"""The tuning seeds; arms are measured with others."""
SMALL = {"pom": (TRIALS[0], TRIALS[4], TRIALS[8])}
"""The trials of datasets whose arms are searched less, each once and in the first round alone, as a search of 15 runs
takes four core-hours there. A rate at the edge of three is kept."""
SHORT = 300
"""Updates of the first round, in which each trial has one seed."""
KEPT = 2
"""Trials of the first round that get the tuning protocol's usual budget and every tuning seed."""
STEP = 2.0
"""The factor by which rates are extended while the best one is the smallest or largest that was tried."""


def first_round(arm: Experiment) -> list[Experiment]:
    """One short run for each trial."""
    return [_tuning(arm, trial, SEEDS[0], SHORT) for trial in SMALL.get(arm.dataset, TRIALS)]


def second_round(arm: Experiment, trials: Iterable[Trial]) -> list[Experiment]:
    """A run for each of some trials and each tuning seed; of a small search those of the first round."""
    if arm.dataset in SMALL:
        return [_tuning(arm, trial, SEEDS[0], SHORT) for trial in trials]
    return [_tuning(arm, trial, seed) for trial in trials for seed in SEEDS]


def needed(arm: Experiment, store: Store) -> list[Experiment]:
    """The runs that the search of an arm waits for next; none once it is over."""
    if missing := [e for e in first_round(arm) if e not in store]:
        return missing
    return [e for e in second_round(arm, _candidates(arm, store)) if e not in store]


def tuned(arm: Experiment, store: Store) -> Experiment:
    """The arm with its best trial by the mean validation score over the tuning seeds; raises LmamError before that."""
    if missing := needed(arm, store):
        raise LmamError(f"The search of {arm.dataset} {arm.backbone} {arm.arm} still needs {len(missing)} runs.")
    return dataclasses.replace(arm, **_best(arm, _candidates(arm, store), store)._asdict())


def _tuning(arm: Experiment, trial: Trial, seed: int, updates: int = BUDGETS["tuning"]["updates"]) -> Experiment:
    return dataclasses.replace(arm, protocol="tuning", seed=seed, updates=updates, **trial._asdict())


def _candidates(arm: Experiment, store: Store) -> list[Trial]:
    """The trials of the second round as far as the store tells: the best of the first, then ever farther rates.

    A best rate at the edge of those tried is no choice yet: the next one beyond it, with its dropout and weight decay,
    joins the round until the best lies inside.
    """
    if arm.dataset in SMALL:
        return list(SMALL[arm.dataset])
    scores = [_score([e], store) for e in first_round(arm)]
    trials = [TRIALS[i] for i in np.argsort(scores)[::-1][:KEPT]]
    while all(e in store for e in second_round(arm, trials)):
        best, rates = _best(arm, trials, store), [t.learning_rate for t in (*TRIALS, *trials)]
        if best.learning_rate == max(rates):
            trials.append(best._replace(learning_rate=_rounded(best.learning_rate * STEP)))
        elif best.learning_rate == min(rates):
            trials.append(best._replace(learning_rate=_rounded(best.learning_rate / STEP)))
        else:
            break
    return trials


def _best(arm: Experiment, trials: Sequence[Trial], store: Store) -> Trial:
    return max(trials, key=lambda trial: _score(second_round(arm, [trial]), store))


def _score(experiments: Sequence[Experiment], store: Store) -> float:
    """The mean validation score, more for better; a regression is chosen by its error."""
    runs = [store.get(e) for e in experiments]
    return float(np.mean([run.training.best_score * (-1 if run.classes is None else 1) for run in runs]))


def _rounded(rate: float) -> float:
    return float(f"{rate:.1e}")
