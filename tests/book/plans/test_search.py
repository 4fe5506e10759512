"""The search of an arm: the same trials for all, halving by validation scores alone, rates that end inside."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lmam_book.plans import plans, search, studies
from lmam_book.plans.arms import STARRED, methods
from lmam_book.plans.search import TRIALS, Trial, needed, tuned
from lmam_core.errors import LmamError
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.run import Run
from lmam_core.runs.store import Store
from lmam_core.runs.training import Training

ARM = Experiment("synthetic-iemocap", fusion="concat", embedding="late").resolved()


def made(e: Experiment, score: float, classes: tuple[str, ...] | None = ("a", "b")) -> Run:
    return Run(e, {}, {}, classes, Training(1, score, [1.0], [score], 0.5, 10), 1, 1, 1.0, 1.0)


def carried_out(
    arm: Experiment, store: Store, score: Callable[[Experiment], float], classes: tuple[str, ...] | None = ("a", "b")
) -> list[list[Experiment]]:
    """Run a search to its end with made-up validation scores; the rounds that it asked for."""
    rounds = []
    while missing := needed(arm, store):
        rounds.append(missing)
        for e in missing:
            store.add(made(e, score(e), classes))
    return rounds


def trial(e: Experiment) -> Trial:
    return Trial(e.learning_rate, e.dropout, e.weight_decay)


def test_what_leaves_a_plan_is_resolved() -> None:
    lists = []
    for plan in plans.PLANS.values():
        arms = plan.arms()
        lists += [arms, plans.tuning(plan, arms)]
    for name in studies.STUDIES:
        for arm in (arms := studies.study(name)):
            lists += [search.first_round(arm), search.second_round(arm, TRIALS[:1])]
        lists.append(arms)
    assert all(e == e.resolved() for experiments in lists for e in experiments)


def test_trials_cover_each_pair_of_thirds_once() -> None:
    """The ranges of the docstring, cut in three by the scale that each was drawn on."""
    rate, dropout, decay = (np.array(column) for column in zip(*TRIALS, strict=True))
    place = [
        np.log(rate / 2e-4) / np.log(30),
        (dropout - 0.05) / 0.55,
        np.log(decay / 1e-6) / np.log(1000),
    ]
    thirds = [np.clip(3 * p, 0, 2.99).astype(int) for p in place]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert len(set(zip(thirds[i], thirds[j], strict=True))) == 9


def test_the_best_two_go_on_and_the_best_mean_over_seeds_is_taken(tmp_path: Path) -> None:
    store = Store(tmp_path)
    best, second = TRIALS[4], TRIALS[2]

    def score(e: Experiment) -> float:
        if e.updates == search.SHORT:
            return {best: 70.0, second: 69.0}.get(trial(e), 50.0)
        # The second of the first round is better on two of three seeds, and in the mean.
        return 71.0 if trial(e) == best else {1000: 60.0, 1001: 80.0, 1002: 80.0}[e.seed]

    first, last = carried_out(ARM, store, score)
    assert [trial(e) for e in first] == list(TRIALS)
    assert {(e.protocol, e.seed, e.updates) for e in first} == {("tuning", 1000, search.SHORT)}
    assert [(trial(e), e.seed) for e in last] == [(t, s) for t in (best, second) for s in search.SEEDS]
    found = tuned(ARM, store)
    assert trial(found) == second
    assert (found.protocol, found.seed, found.updates) == ("honest", 0, 2000)


def test_a_best_rate_at_the_edge_is_extended_until_it_lies_inside(tmp_path: Path) -> None:
    fastest = max(TRIALS, key=lambda t: t.learning_rate)
    store = Store(tmp_path)
    rounds = carried_out(ARM, store, lambda e: -abs(np.log(e.learning_rate / 1.2e-2)))
    tried = [sorted({e.learning_rate for e in missing}) for missing in rounds[1:]]
    assert tried == [[3.5e-3, 5.8e-3], [1.2e-2], [2.4e-2]]
    assert trial(tuned(ARM, store)) == fastest._replace(learning_rate=1.2e-2)


def test_a_regression_is_chosen_by_the_smaller_error(tmp_path: Path) -> None:
    store = Store(tmp_path)
    carried_out(ARM, store, lambda e: 0.5 if trial(e) == TRIALS[1] else 0.9, classes=None)
    assert trial(tuned(ARM, store)) == TRIALS[1]


def test_an_arm_whose_search_is_not_over_is_not_measured(tmp_path: Path) -> None:
    with pytest.raises(LmamError, match="still needs 9 runs"):
        tuned(ARM, Store(tmp_path))


def test_studies_compare_arms_that_differ_in_the_fusion_alone() -> None:
    kept = ("dataset", "features", "modalities", "backbone", "protocol", "batch_size", "updates", "patience")
    for name in studies.STUDIES:
        arms = studies.study(name)
        assert len(set(arms)) == len(arms)
        if name.startswith(("attention", "subsets", "rank", "widened", "ways")):  # beside the headline's arms
            continue
        for dataset in {a.dataset for a in arms}:
            mine = [a for a in arms if a.dataset == dataset]
            assert len({tuple(getattr(a, field) for field in kept) for a in mine}) == 1
            assert sum(a.fusion == "concat" for a in mine) == 1
            # A late LMAM has the late concatenation's encoders, an early one with a residual those of the native way.
            late = {a.embedding == "late" for a in mine if a.fusion != "concat"}
            assert late != {True} or all(a.embedding == "late" for a in mine)


def pretended(asked: list[Experiment]) -> Callable[..., list[str]]:
    """A sweep that notes what it is asked for and makes it up: the best rate is the largest below 3e-3."""

    def sweep(experiments: list[Experiment], store: Store, *_: object) -> list[str]:
        for e in (e for e in experiments if e not in store):
            asked.append(e)
            store.add(made(e, 50.0 + e.learning_rate * (e.learning_rate < 3e-3)))
        return []

    return sweep


def test_a_study_goes_breadth_first_and_says_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, asked = Store(tmp_path), []
    arms = [ARM, dataclasses.replace(ARM, fusion="lmam").resolved()]
    monkeypatch.setitem(studies.STUDIES, "headline_bc_lstm", lambda: arms)

    monkeypatch.setattr(studies, "sweep", pretended(asked))
    before = studies.cost(["headline_bc_lstm"], store)
    assert before.updates.item() == 2 * (9 * 300 + 6 * 600 + 5 * studies.TYPICAL)
    assert np.isnan(before.core_hours.item())
    assert studies.carry_out(["headline_bc_lstm"], store) == []
    honest = [e for e in asked if e.protocol == "honest"]
    assert [(e.seed, e.fusion) for e in honest] == [(s, f) for s in range(10) for f in ("concat", "lmam")]
    after = studies.cost(["headline_bc_lstm"], store, seeds=10)
    assert after.updates.item() == after.core_hours.item() == 0
    assert len(studies.stored_runs("headline_bc_lstm", store)) == 20


def test_the_studies_hold_everything_that_is_to_be_measured() -> None:
    """Each backbone on each dataset in each reading; two more readings of three; Tables V, IX, X, XI and Fig. 5."""
    arms = {arm for name in studies.STUDIES for arm in studies.study(name)}

    def some(**fields: object) -> bool:
        return any(all(getattr(arm, k) == v for k, v in fields.items()) for arm in arms)

    for backbone, dataset in itertools.product(STARRED, studies.DATASETS):
        place = {"backbone": backbone, "dataset": dataset, "modalities": ("text", "audio")}
        for readings in ("", "keys=others"):
            assert some(**place, fusion="lmam", embedding=STARRED[backbone], variant="paper", readings=readings)
        assert some(**place, fusion="lmam", embedding=STARRED[backbone], variant="released")
        if backbone in ("bc_lstm", "text_cnn", "emocaps"):
            assert some(**place, fusion="lmam", readings="keys=all")
            assert some(**place, fusion="lmam", readings="keys=concatenated", embedding=STARRED[backbone])
    fused = [("bc_lstm", dataset) for dataset in studies.DATASETS] + [("emocaps", d) for d in studies.TABLES]
    for (backbone, dataset), method in itertools.product(fused, methods()):
        assert some(backbone=backbone, dataset=dataset, embedding="late", fusion=method)
    for backbone, dataset in itertools.product(("bc_lstm", "mm_dfn", "m2fnet", "emocaps"), studies.TABLES):
        assert some(backbone=backbone, dataset=dataset, width=studies.WIDENED[backbone][dataset])
        for way in ("early", "early_residual", "late"):
            assert some(backbone=backbone, dataset=dataset, fusion="lmam", embedding=way, variant="paper")
    for dataset in studies.DATASETS:
        assert some(backbone="bc_lstm_att", dataset=dataset, embedding="late")
    for dataset, m in itertools.product(studies.TABLES, ("text", "audio")):
        assert some(backbone="emocaps", dataset=dataset, fusion="lmam", modalities=(m,))


def test_the_later_studies_wait_until_the_others_have_every_seed(tmp_path: Path, monkeypatch) -> None:
    store, asked = Store(tmp_path), []
    later = dataclasses.replace(ARM, fusion="add").resolved()
    monkeypatch.setitem(studies.STUDIES, "headline_bc_lstm", lambda: [ARM])
    monkeypatch.setitem(studies.STUDIES, "ways_bc_lstm", lambda: [ARM, later])

    monkeypatch.setattr(studies, "sweep", pretended(asked))
    studies.carry_out(["ways_bc_lstm", "headline_bc_lstm"], store)
    assert [e.fusion for e in asked if e.protocol == "honest"] == ["concat"] * 10 + ["add"] * 10


def test_an_arm_of_two_studies_costs_once_and_epochs_of_the_first_protocol_are_a_measure(tmp_path: Path) -> None:
    store = Store(tmp_path)
    names = ["first_mm_dfn", "headline_mm_dfn"]
    once, again = (studies.cost(part, store).set_index(["study", "dataset"]) for part in ([names[0]], names))
    assert np.isnan(again.core_hours.iloc[0])
    shared = again.loc[("first_mm_dfn", "iemocap")], again.loc[("headline_mm_dfn", "iemocap")]
    assert [row.arms for row in shared] == [3, 4]
    assert shared[1].updates * 3 == shared[0].updates == once.updates.iloc[0]
    # An epoch of the first protocol took 6 seconds; one of 8 conversations has 12 updates there.
    first = dataclasses.replace(studies.base("iemocap", "mm_dfn"), protocol="protocol1").resolved()
    slow = Training(1, 50.0, [1.0], [50.0], 6.0)
    store.add(dataclasses.replace(made(first, 50.0), training=slow))
    other = studies.base("iemocap", "bc_lstm").resolved()
    store.add(dataclasses.replace(made(other, 50.0), training=Training(1, 50.0, [1.0], [50.0], 1.0, 12)))
    timed = studies.cost(names, store).set_index(["study", "dataset"])
    seconds = studies.SLOWER * 6 / 12
    assert timed.core_hours.iloc[0] == pytest.approx(once.updates.iloc[0] * seconds / 3600, abs=0.01)
    assert np.isnan(timed.loc[("first_mm_dfn", "mosi")].core_hours)
