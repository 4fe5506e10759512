"""The measured runs of the book: which arms, which learning rates are tried, how many seeds.

Every arm of a plan gets the same budget: each of `RATES` is tried with each of the plan's tuning seeds under the tuning
protocol (the test set is never touched), the rate with the best mean validation score is taken, and the arm is then run
with `SEEDS`, which are other seeds, under the honest protocol.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from lmam_core.errors import LmamError
from lmam_core.experiment import Experiment, Run
from lmam_core.results import Store
from lmam_core.sweep import sweep

RATES = (3e-4, 1e-3, 3e-3)
SEEDS = tuple(range(10))
FIRST = 5
"""How many seeds every cell of the book gets before any cell gets the rest."""

STARRED = {
    "text_cnn": "late",
    "bc_lstm": "late",
    "dialogue_rnn": "early_residual",
    "dialogue_gcn": "early_residual",
    "mm_dfn": "early_residual",
    "m2fnet": "early_residual",
    "emocaps": "early_residual",
}
"""The embedding way that stands for the paper's starred row of a backbone.

Where a starred number of Tables II and III comes back in Table XI, Table XI says which way it is: MM-DFN, M2FNet and
EmoCaps are there with a residual (69.69 and 69.68, 70.07 and 70.07, 73.01 and 73.01 weighted F1 on IEMOCAP). The
released code adds LMAM to DialogueRNN as a residual branch, and puts it behind TextCNN's layers. bc-LSTM's starred
number is in no row of Table XI; its released code matches contexts. Nothing says which way DialogueGCN's is: the paper
"mainly" uses the residual and the late way, and in the residual way one graph sees all modalities, as in its original.
"""


@dataclasses.dataclass(frozen=True)
class Plan:
    """Arms that share a tuning budget; `arms` makes them, resolved."""

    arms: Callable[[], list[Experiment]]
    tuning_seeds: tuple[int, ...] = (1000,)


def bc_lstm() -> list[Experiment]:
    """bc-LSTM with concatenation early and late, bc-LSTM+Att, LMAM in the three ways, the released variant, and LMAM
    matched with the other modalities.

    The late concatenation has the late LMAM's LSTMs, one a modality, so that the two differ in the fusion alone.
    """
    return _bc_lstm_arms(MOSI) + _bc_lstm_arms(IEMOCAP)


def bc_lstm_clean() -> list[Experiment]:
    """The arms of `bc_lstm` on MOSI without its video features, which were trained on training labels (`probes`)."""
    return _bc_lstm_arms(Experiment(dataset="mosi", modalities=("text", "audio")))


def plugged(backbone: str) -> Callable[[], list[Experiment]]:
    """A backbone with its own fusion, and with LMAM in the way of its starred row, on MOSI and IEMOCAP."""
    return lambda: [arm for base in (MOSI, IEMOCAP) for arm in _pair(dataclasses.replace(base, backbone=backbone))]


def meld() -> list[Experiment]:
    """The backbones that work on one stream, on MELD's text, without and with LMAM.

    MM-DFN, M2FNet and EmoCaps relate modalities to each other: with one there is nothing of theirs to compare.
    """
    base = Experiment(dataset="meld", modalities=("text",))
    names = ("text_cnn", "bc_lstm", "dialogue_gcn", "dialogue_rnn")
    return [arm for name in names for arm in _pair(dataclasses.replace(base, backbone=name))]


def faithful() -> list[Experiment]:
    """What it is worth that recurrences of the originals run over padding: bc-LSTM, DialogueGCN and MM-DFN."""
    bases = (dataclasses.replace(base, fusion="concat", faithful=True) for base in (MOSI, IEMOCAP))
    names = ("bc_lstm", "dialogue_gcn", "mm_dfn")
    return [dataclasses.replace(base, backbone=name).resolved() for base in bases for name in names]


MOSI = Experiment(dataset="mosi", modalities=("text", "audio", "video"))
IEMOCAP = Experiment(dataset="iemocap", modalities=("text", "audio"))


def _pair(base: Experiment) -> list[Experiment]:
    arms = (
        dataclasses.replace(base, fusion="concat"),
        dataclasses.replace(base, embedding=STARRED[base.backbone]),
    )
    return [arm.resolved() for arm in arms]


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
    "faithful": Plan(faithful),
}
"""Every plan of the book, cheap ones first: `all` carries them out in this order."""


def plan(name: str) -> Plan:
    """The plan of this name; raises LmamError where there is none."""
    if name not in PLANS:
        raise LmamError(f"There is no plan '{name}'; choose one of {', '.join(PLANS)}, all.")
    return PLANS[name]


def tuning(chosen: Plan, arms: Sequence[Experiment]) -> list[Experiment]:
    """The runs that choose each arm's learning rate."""
    return [
        dataclasses.replace(arm, protocol="tuning", learning_rate=rate, seed=seed).resolved()
        for seed in chosen.tuning_seeds
        for rate in RATES
        for arm in arms
    ]


def tuned(chosen: Plan, arm: Experiment, store: Store) -> Experiment:
    """The arm with its best learning rate by mean validation score; raises LmamError while tuning runs are missing."""
    sign = -1 if store.get(tuning(chosen, [arm])[0]).classes is None else 1

    def score(rate: float) -> float:
        tried = [e for e in tuning(chosen, [arm]) if e.learning_rate == rate]
        return sign * float(np.mean([store.get(e).training.best_score for e in tried]))

    return dataclasses.replace(arm, learning_rate=max(RATES, key=score))


def measured(chosen: Plan, arms: Sequence[Experiment], store: Store, seeds: Sequence[int] = SEEDS) -> list[Experiment]:
    """Every arm at its tuned rate with every seed, breadth first: one seed of each arm before the next seed."""
    best = [tuned(chosen, arm, store) for arm in arms]
    return [dataclasses.replace(arm, seed=seed) for seed in seeds for arm in best]


def held(name: str, store: Store, seeds: Sequence[int] = SEEDS) -> list[Run]:
    """A plan's measured runs that the store holds, in the plan's order; arms that are not tuned yet have none."""
    chosen, runs = plan(name), []
    for arm in chosen.arms():
        if all(e in store for e in tuning(chosen, [arm])):
            runs += [store.get(e) for e in measured(chosen, [arm], store, seeds) if e in store]
    return runs


def carry_out(names: Iterable[str], store: Store, jobs: int | None = None, device: str = "cpu") -> list[str]:
    """Tune and measure plans, or go on where they stopped; returns one sentence for each failure.

    Each plan in turn is tuned and run with the first seeds, then each with the rest.
    """
    chosen = [plan(name) for name in names]
    for seeds in (SEEDS[:FIRST], SEEDS):
        for one in chosen:
            arms = one.arms()
            failures = sweep(tuning(one, arms), store, jobs, device)
            failures = failures or sweep(measured(one, arms, store, seeds), store, jobs, device)
            if failures:
                return failures
    return []
