"""Claims, their rules, and pages that cannot say more than the runs: with runs that come and go."""

from __future__ import annotations

import dataclasses
import re
import shutil

import nbformat
import numpy as np
import pandas as pd
import pytest

from lmam_book.bench import split_sizes as splits
from lmam_book.build import generated
from lmam_book.paper import consistency
from lmam_book.paper import printed as paper
from lmam_book.plans import plans, search, studies, tasks
from lmam_book.plans.arms import STARRED
from lmam_book.verdicts import beside_paper, claims, headline, rule, scoreboard
from lmam_book.verdicts.claims import RULES, Evidence, Finding, counted, judge, measured, ranked, read
from lmam_core import paths
from lmam_core.errors import LmamError
from lmam_core.models import fusion
from lmam_core.runs import names as run_names
from lmam_core.runs import store as results
from lmam_core.runs.store import Store
from lmam_core.runs.training import Training
from tests.book.verdicts.test_beside_paper import RIGHT, made

ALL = read()


def fill(store: Store, name: str, right: dict[str, float], seeds: int = 6, dataset: str = "iemocap") -> None:
    """Tuning and measured runs of a plan's arms: those that `right` names, by `run_names.arm` or by rank."""
    plan = plans.plan(name)
    every = [a for a in plan.arms() if a.dataset == dataset]
    for e in plans.tuning(plan, every):
        if e not in store:
            store.add(dataclasses.replace(made(e, 0.5), metrics={}, outcomes={}))
    for e in plans.measured(plan, every, store, range(seeds)):
        share = right.get(run_names.arm(e), right.get(f"rank {e.rank}"))
        if share is not None and e not in store:
            store.add(made(e, share))


def searched(store: Store, arms: list, share) -> None:
    """Searched and measured runs of arms of protocol 2, six seeds each, by the share that each recognises."""
    for arm in arms:
        while missing := search.needed(arm, store):
            for e in missing:
                score = e.learning_rate * (e.learning_rate < 3e-3)
                inside = Training(1, score, [1.0], [score], 0.1, 600)
                store.add(dataclasses.replace(made(e, 0.5), metrics={}, outcomes={}, training=inside))
        for e in studies.measured(arm, store, range(6)):
            if e not in store:
                store.add(made(e, share(e)))


def measure(store: Store, name: str, right: dict[str, float], seeds: int = 6, dataset: str = "iemocap") -> None:
    """Searched and measured runs of a study of protocol 2: the arms that `right` names, by `headline.reading`."""
    for arm in (a for a in studies.study(name) if a.dataset == dataset and headline.reading(a) in right):
        while missing := search.needed(arm, store):
            for e in missing:
                score = e.learning_rate * (e.learning_rate < 3e-3)
                inside = Training(1, score, [1.0], [score], 0.1, 600)
                store.add(dataclasses.replace(made(e, 0.5), metrics={}, outcomes={}, training=inside))
        for e in studies.measured(arm, store, range(seeds)):
            if e not in store:
                store.add(made(e, right[headline.reading(arm)]))


def verdict_of(store: Store, name: str) -> Finding:
    claim = next(c for c in ALL if c.id == name)
    return RULES[claim.rule](Evidence(store), **claim.arguments)


def test_every_backbone_dataset_table_and_statement_has_its_claims() -> None:
    ids = {c.id for c in ALL}
    assert {f"improves_{b}_{d}" for b in STARRED for d in ("iemocap", "meld", "mosi", "pom")} <= ids
    assert {c.paper for c in ALL} == {"LMAM", "LMCM"}
    for numeral in paper.ROMAN:
        assert any(numeral in c.where.replace(",", " ").replace(";", " ").split() for c in ALL), numeral
    methods = {c.arguments["method"] for c in ALL if "method" in c.arguments}
    assert methods == set(paper.table(9).row) - {"LMAM"}
    assert not any(c.claim.endswith(".") for c in ALL)


def test_an_empty_store_decides_nothing_that_is_measured(store: Store) -> None:
    rows = judge(store).set_index("id")
    assert rows.reason.str.len().min() > 10
    measured = rows[rows.kind == "measured"]
    assert set(measured.verdict) == {"too few runs", "not testable"}
    named = measured.reason.str.contains("lmam sweep|no such runs|No runs are planned|none are planned")
    # Of these two other things are missing: files, and a measure.
    named &= ~measured.index.isin(["humour_detection", "low_rank_loses"])
    assert set(measured.index[named]) == set(measured.index[measured.verdict == "too few runs"])
    # Whole numbers settle less than half of the rows, and sizes of test sets are counted in runs.
    open_ = {"average_accuracy_iemocap", "class_accuracy_meld", "average_accuracy_meld", "one_test_set_meld"}
    open_ |= {"size_iemocap", "size_meld", "size_mosi"}
    assert set(rows[(rows.kind != "measured") & (rows.verdict == "not testable")].index) == open_
    command = f"`lmam sweep headline_bc_lstm --store {store.root}`"
    assert rows.loc["improves_bc_lstm_iemocap", "reason"] == f"Not run yet: {command}."


def test_a_claim_changes_its_word_when_runs_come_and_go(store: Store) -> None:
    name = "improves_bc_lstm_iemocap"
    measure(store, "headline_bc_lstm", {"concatenation": 0.5, "own": 0.7})
    finding = verdict_of(store, name)
    assert (finding.verdict, finding.n, finding.paper, finding.protocol) == ("reproduced", 6, "+5.33", 2)
    assert re.fullmatch(r"\+[\d.]+ \(\+[\d.]+ to \+[\d.]+\)", finding.ours)
    runs = sorted(store.root.glob("iemocap/bc_lstm/lmam.late.paper.r45.honest*.json"))
    kept = [path.read_bytes() for path in runs]
    for path in runs[3:]:
        path.unlink()
    assert verdict_of(store, name).verdict == "too few runs"
    assert "3 of the five seeds" in verdict_of(store, name).reason
    for path, content in zip(runs, kept, strict=True):
        path.write_bytes(content)
    assert verdict_of(store, name).verdict == "reproduced"


def test_a_loss_is_excluded_and_a_baseline_below_the_probe_decides_nothing(store: Store) -> None:
    worse = {"concatenation": 0.7, "own": 0.5, "released": 0.5}
    measure(store, "headline_bc_lstm", worse)
    finding = verdict_of(store, "improves_bc_lstm_iemocap")
    assert finding.verdict == "undecided"  # the third reading may still be as reported
    assert finding.reason.endswith(" Not measured yet: others.")
    measure(store, "headline_bc_lstm", worse | {"others": 0.5})
    assert verdict_of(store, "improves_bc_lstm_iemocap").verdict == "excluded"
    measure(store, "headline_text_cnn", {"concatenation": 0.2, "own": 0.7})
    finding = verdict_of(store, "improves_text_cnn_iemocap")
    assert finding.verdict == "baseline not working"
    assert f"which has {beside_paper.probe_score('iemocap'):.1f}." in finding.reason


def test_an_attention_that_could_go_on_is_no_baseline(store: Store) -> None:
    fill(store, "bc_lstm", RIGHT | {"self-attention": 0.6})
    assert verdict_of(store, "beats_attention_iemocap").verdict == "reproduced"
    for path in store.root.glob("iemocap/bc_lstm_att/*honest*.json"):
        text = path.read_text().replace('"best_epoch": 1,', '"best_epoch": 60,')
        path.write_text(text.replace('"train_loss": [1.0]', f'"train_loss": {[1.0] * 60}'))
    finding = verdict_of(store, "beats_attention_iemocap")
    assert (finding.verdict, finding.protocol) == ("baseline not working", 1)
    assert "limit of their budget" in finding.reason


def test_self_attention_with_the_same_encoders_takes_the_place_of_the_first_protocol_s(store: Store) -> None:
    fill(store, "bc_lstm", RIGHT | {"self-attention": 0.6})
    assert verdict_of(store, "beats_attention_iemocap").protocol == 1
    measure(store, "headline_bc_lstm", {"own": 0.7, "released": 0.5, "others": 0.5})
    measure(store, "attention_bc_lstm", {"concatenation": 0.6})
    finding = verdict_of(store, "beats_attention_iemocap")
    assert (finding.verdict, finding.protocol, finding.n) == ("reproduced", 2, 6)
    assert verdict_of(store, "beats_attention_meld").reason == (
        f"Not run yet: `lmam sweep attention_bc_lstm --store {store.root}`."
    )


def test_runs_of_the_second_protocol_take_the_place_of_the_first_and_back(store: Store) -> None:
    name = "residual_m2fnet_iemocap"
    shares = {"early": 0.6, "early_residual": 0.8}
    for plan in ("m2fnet", "ways"):
        run_all(store, plan, lambda e: shares.get(e.embedding) if e.fusion == "lmam" else None)
    assert (verdict_of(store, name).verdict, verdict_of(store, name).protocol) == ("reproduced", 1)
    ways = {"early": 0.8, "early_residual": 0.6}
    for study in ("headline_m2fnet", "ways_m2fnet"):
        plain = [a for a in studies.study(study) if a.fusion == "lmam" and a.variant == "paper" and not a.readings]
        searched(
            store, [a for a in plain if a.dataset == "iemocap" and a.embedding in ways], lambda e: ways[e.embedding]
        )
    assert (verdict_of(store, name).verdict, verdict_of(store, name).protocol) == ("excluded", 2)
    for path in store.root.glob("iemocap/m2fnet/lmam.early.*honest*.json"):
        if results.read(path).experiment.protocol == "honest":
            path.unlink()
    assert (verdict_of(store, name).verdict, verdict_of(store, name).protocol) == ("reproduced", 1)


@pytest.mark.parametrize(
    "name", ["equal_m2fnet_meld", "fusion_tfn_meld", "text_over_audio_meld", "residual_bc_lstm_meld"]
)
def test_what_waits_on_meld_names_the_study_that_decides_it(store: Store, name: str) -> None:
    study = re.search(r"lmam sweep (\w+) --store", verdict_of(store, name).reason)[1]
    arms = [arm for arm in studies.study(study) if arm.dataset == "meld"]
    right = lambda e: 0.8 if e.embedding == "early_residual" or e.fusion == "lmam" else 0.5  # noqa: E731
    extra = "headline_m2fnet" if name.startswith("equal") else "headline_bc_lstm"
    searched(store, [*arms, *(a for a in studies.study(extra) if a.dataset == "meld")], right)
    finding = verdict_of(store, name)
    assert (finding.protocol, finding.n) == (2, 6)
    assert finding.verdict not in ("not testable", "too few runs")


def test_an_arm_at_the_edge_of_the_rates_that_were_tried_might_be_better(store: Store) -> None:
    """M2FNet's LMAM with the residual is 3 points behind what would refute half of the reported gain."""
    inside = dataclasses.replace(plans.plan("m2fnet").arms()[0], protocol="protocol1", learning_rate=1e-3)
    assert not plans.at_edge(inside)
    assert plans.at_edge(dataclasses.replace(inside, learning_rate=3e-3))
    tried_further = next(a for a in plans.plan("ranks").arms() if a.rank == 45)
    assert not plans.at_edge(dataclasses.replace(tried_further, learning_rate=3e-3, seed=4))
    assert plans.at_edge(dataclasses.replace(tried_further, learning_rate=1e-2))
    searched_on = dataclasses.replace(tried_further, protocol="honest", learning_rate=1.2e-2)
    assert not plans.at_edge(searched_on)
    assert plans.at_edge(dataclasses.replace(searched_on, dataset="pom", learning_rate=3.4e-4))


RANKS = (1, 5, 15, 30, 55, 65, 100, 200)


def ranks(store: Store, shares: dict[int, float], noise: dict[int, float] | None = None) -> None:
    """Six seeds of each rank: a share of right answers, above and below by `noise` from seed to seed."""
    plan = plans.plan("ranks")
    every = [a for a in plan.arms() if a.dataset == "iemocap" and a.rank in shares]
    for e in plans.tuning(plan, every):
        store.add(dataclasses.replace(made(e, 0.5), metrics={}, outcomes={}))
    for e in plans.measured(plan, every, store, range(6)):
        store.add(made(e, shares[e.rank] + (noise or {}).get(e.rank, 0.0) * (-1) ** e.seed))


def test_a_best_rank_with_worse_and_less_stable_ones_above(store: Store) -> None:
    names = ("best_rank", "worse_above_45", "less_stable_above_55", "lower_ranks_better")
    assert {verdict_of(store, name).verdict for name in names} == {"too few runs"}
    shares = {45: 0.7} | {r: 0.5 if r < 45 else 0.3 for r in RANKS}
    ranks(store, shares, {100: 0.1, 200: 0.1})
    assert {r.experiment.rank for r in plans.stored_runs("ranks", store)} == {45, *RANKS}
    found = {name: verdict_of(store, name) for name in names}
    assert {f.verdict for f in found.values()} == {"reproduced"}
    assert {f.n for f in found.values()} == {6}
    assert found["best_rank"].ours == "rank 45"
    assert "0 have a higher mean. Reliably better: none; reliably worse: 1, 5" in found["best_rank"].reason
    assert "4 of 4 higher ranks" in found["worse_above_45"].reason


def test_the_ranks_of_the_rules_are_those_that_the_paper_states() -> None:
    said = paper.statements().set_index("id").value
    assert int(said["best_rank"]) == ranked.BEST
    ends = (ranked.STABLE[0], ranked.STABLE[-1])
    assert ends == (int(said["stable_from_rank"]), int(said["stable_to_rank"]))
    assert ends[1] == int(said["unstable_above_rank_caption"])


def test_ranks_that_rise_refute_all_that_is_said_of_them(store: Store) -> None:
    ranks(store, {45: 0.4} | {r: 0.4 + (r - 45) / 1000 for r in RANKS}, {30: 0.05, 55: 0.05})
    found = verdict_of(store, "best_rank")
    assert found.verdict == "excluded"
    assert found.ours.startswith("rank 200: +")
    assert found.ours.endswith(" over 45")
    for name in ("worse_above_45", "less_stable_above_55", "lower_ranks_better"):
        assert verdict_of(store, name).verdict == "excluded", name
    spread = lambda ranks: np.mean([by_rank[r].var(ddof=1) for r in ranks]) ** 0.5  # noqa: E731  # six seeds each
    by_rank = beside_paper.frame(plans.stored_runs("ranks", store)).groupby("rank").weighted_f1
    by_rank = {r: np.array(values) for r, values in by_rank}
    expected = f"s = {spread((30, 45, 55)):.2f} at 30 to 55; s = {spread((65, 100, 200)):.2f} above"
    assert verdict_of(store, "less_stable_above_55").ours == expected


@pytest.mark.parametrize(("gain", "side"), [(0.2, "lies above 0"), (-0.2, "lies below 0")])
def test_the_weight_left_whole_is_set_against_rank_45_and_decides_nothing(store: Store, gain: float, side: str) -> None:
    run_all(store, "ranks", lambda e: 0.6 + gain if e.readings else 0.6 if e.rank == 45 else None)
    found = verdict_of(store, "low_rank_loses")
    assert (found.verdict, found.n) == ("not testable", 6)
    assert f"over rank 45: The interval {side}" in found.reason


def test_ranks_that_no_run_tells_apart_show_no_best_one(store: Store) -> None:
    """Noise alone: that most means happen to be lower than rank 45's says nothing."""
    shares = {45: 0.5} | {r: 0.49 for r in RANKS} | {r: 0.51 for r in (5, 65)}
    ranks(store, shares, dict.fromkeys(RANKS, 0.1))
    found = verdict_of(store, "best_rank")
    assert found.verdict == "undecided"
    assert "8 other ranks, 2 have a higher mean. Reliably better: none; reliably worse: none." in found.reason
    found = verdict_of(store, "worse_above_45")
    assert found.verdict == "undecided"
    assert "3 of 4 higher ranks have a lower mean than rank 45" in found.reason
    assert verdict_of(store, "less_stable_above_55").verdict == "undecided"  # equally unstable


def test_ranks_that_share_too_few_seeds_decide_nothing(store: Store) -> None:
    ranks(store, {45: 0.7} | dict.fromkeys(RANKS, 0.5))
    for path in (
        *store.root.glob("iemocap/bc_lstm/*r1.honest.s[0]*"),
        *store.root.glob("iemocap/bc_lstm/*r200.honest.s5*"),
    ):
        path.unlink()
    assert {len(seeds) for seeds in ranked._by_rank(Evidence(store), "iemocap").values()} == {5, 6}
    assert verdict_of(store, "lower_ranks_better").verdict == "too few runs"  # four seeds of all


def test_fusion_methods_are_judged_behind_emocaps_and_noted_behind_bc_lstm(store: Store) -> None:
    """`made` gives every concatenation the same name: the fusion decides the share here."""
    share = {"concat": 0.55, "tfn": 0.9, "lmam": 0.7}
    for name in ("bc_lstm", "fusions_bc_lstm", "emocaps", "ways", "fusions_emocaps"):
        plan = plans.plan(name)
        every = [
            a
            for a in plan.arms()
            if a.dataset == "iemocap" and a.embedding == "late" and a.fusion in share and a.variant in (None, "paper")
        ]
        for e in plans.tuning(plan, every):
            if e not in store:  # emocaps and fusions_emocaps share an arm
                store.add(dataclasses.replace(made(e, 0.5), metrics={}, outcomes={}))
        for e in plans.measured(plan, every, store, range(6)):
            if e not in store:
                store.add(made(e, share[e.fusion]))
    assert verdict_of(store, "fusion_concatenate_iemocap").verdict == "reproduced"
    lost = verdict_of(store, "fusion_tfn_iemocap")
    assert lost.verdict == "excluded"
    assert "Behind bc-LSTM: -" in lost.reason
    assert verdict_of(store, "fusion_lora_trained_iemocap").verdict == "too few runs"


def run_all(store: Store, name: str, share, dataset: str = "iemocap", seeds: int = 6) -> None:
    """Tuning and measured runs of those arms of a plan for which `share(experiment)` names the share recognised."""
    plan = plans.plan(name)
    every = [a for a in plan.arms() if a.dataset == dataset and share(a) is not None]
    for e in plans.tuning(plan, every):
        if e not in store:
            store.add(dataclasses.replace(made(e, 0.5), metrics={}, outcomes={}))
    for e in plans.measured(plan, every, store, range(seeds)):
        if e not in store:
            store.add(made(e, share(e)))


def behind_emocaps(store: Store, shares: dict[str, float]) -> None:
    """Runs of the late arms behind EmoCaps on IEMOCAP, by the share that each method recognises."""
    late = lambda e: e.embedding == "late" and e.backbone == "emocaps" and e.variant in (None, "paper")  # noqa: E731
    for plan in ("emocaps", "ways", "fusions_emocaps"):
        run_all(store, plan, lambda e: shares.get(e.fusion) if late(e) or e.fusion.startswith("lora") else None)


def test_a_method_of_which_a_run_gave_one_class_is_neither_beaten_nor_close(store: Store) -> None:
    behind_emocaps(store, {"lmf": 0.6, "tfn": 0.6, "lora_trained": 0.8, "lmam": 0.8})
    assert verdict_of(store, "fusion_lfm_iemocap").verdict == "reproduced"
    assert verdict_of(store, "fusion_lora_trained_iemocap").verdict == "reproduced"
    for name in ("lmf", "lora_trained"):
        (path,) = store.root.glob(f"iemocap/emocaps/{name}.*honest.s2.*.json")
        e = results.read(path).experiment
        path.unlink()
        store.add(made(e, 0.0))
    lost = verdict_of(store, "fusion_lfm_iemocap")
    assert lost.verdict == "baseline not working"
    assert lost.reason.startswith("Of the baseline's runs 1 gives every utterance the same class.")
    assert verdict_of(store, "fusion_tfn_iemocap").verdict == "reproduced"
    near = verdict_of(store, "fusion_lora_trained_iemocap")
    assert (near.verdict, near.n) == ("baseline not working", 6)
    assert near.reason == "Of the runs of LoRA* 1 gives every utterance the same class."


def test_what_is_known_behind_bc_lstm_stands_beside(store: Store) -> None:
    run_all(store, "bc_lstm", lambda e: 0.6 if run_names.arm(e) == "LMAM late" else None)
    run_all(store, "fusions_bc_lstm", lambda e: 0.0 if e.fusion == "lmf" else None)
    reason = verdict_of(store, "fusion_lfm_iemocap").reason
    assert re.search(r" Behind bc-LSTM: \+[^,]+, but of LFM's runs 6 give every utterance the same class\.$", reason)


@pytest.mark.parametrize(("gain", "expected"), [(0.2, "reproduced"), (-0.2, "excluded")])
def test_the_residual_is_set_against_early_fusion_without_it(store: Store, gain: float, expected: str) -> None:
    shares = {"early": 0.6, "early_residual": 0.6 + gain}
    name = lambda e: shares.get(e.embedding) if e.fusion == "lmam" and e.backbone == "m2fnet" else None  # noqa: E731
    for plan in ("m2fnet", "ways"):
        run_all(store, plan, name)
    found = verdict_of(store, "residual_m2fnet_iemocap")
    assert (found.verdict, found.n, found.paper) == (expected, 6, "+12.11")


@pytest.mark.parametrize(("gain", "expected"), [(0.2, "reproduced"), (-0.2, "excluded")])
def test_the_widened_backbone_is_the_baseline_of_equal_parameters(store: Store, gain: float, expected: str) -> None:
    run_all(store, "bc_lstm", lambda e: 0.6 + gain if run_names.arm(e) == "LMAM late" else None)
    run_all(store, "equal_bc_lstm", lambda e: 0.6)
    found = verdict_of(store, "equal_bc_lstm_iemocap")
    assert (found.verdict, found.n, found.paper) == (expected, 6, "+8.10")


@pytest.mark.parametrize(("gain", "expected"), [(0.2, "reproduced"), (-0.2, "excluded")])
def test_self_attention_as_a_fusion_method_is_the_baseline_of_the_low_rank(store: Store, gain, expected) -> None:
    run_all(store, "bc_lstm", lambda e: 0.6 + gain if run_names.arm(e) == "LMAM late" else None)
    run_all(store, "fusions_bc_lstm", lambda e: 0.6 if e.fusion == "self_attention" else None)
    found = verdict_of(store, "low_rank_beats_attention")
    assert found.verdict == expected
    assert found.reason.endswith("are of another model.")


def test_what_concatenation_gains_over_self_attention_stands_beside(store: Store) -> None:
    run_all(store, "bc_lstm", lambda e: 0.7)
    run_all(store, "fusions_bc_lstm", lambda e: 0.6 if e.fusion == "self_attention" else None)
    assert (
        "Concatenation, which has no attention, over the same: +"
        in verdict_of(store, "low_rank_beats_attention").reason
    )


@pytest.mark.parametrize(("apart", "expected"), [(0.0, "reproduced"), (0.3, "excluded")])
def test_close_means_within_the_margin(store: Store, apart: float, expected: str) -> None:
    shares = {"lora_trained": 0.6, "lmam": 0.6 + apart}
    name = lambda e: shares.get(e.fusion) if e.embedding == "late" or "lora" in e.fusion else None  # noqa: E731
    for plan in ("ways", "fusions_emocaps"):
        run_all(store, plan, lambda e: name(e) if e.backbone == "emocaps" and e.variant in (None, "paper") else None)
    assert verdict_of(store, "fusion_lora_trained_iemocap").verdict == expected


def test_an_order_fails_with_its_first_wrong_step_and_waits_for_missing_modalities(store: Store) -> None:
    def share(better: str):
        late = lambda e: e.fusion == "lmam" and len(e.modalities) == 1 and not e.shuffled  # noqa: E731
        return lambda e: (0.7 if e.modalities == (better,) else 0.5) if late(e) else None

    run_all(store, "modalities", share("text"))
    found = verdict_of(store, "text_over_audio_iemocap")
    assert (found.verdict, found.n) == ("reproduced", 6)
    assert found.ours.startswith("T − A: +")
    waits = verdict_of(store, "audio_over_video_iemocap")
    assert waits.verdict == "not testable"
    assert waits.reason.startswith("IEMOCAP's video is given out on request only. Behind bc-LSTM")
    for path in store.root.glob("iemocap/bc_lstm/*honest*.json"):
        path.unlink()
    run_all(store, "modalities", share("audio"))
    found = verdict_of(store, "text_over_audio_iemocap")
    assert found.verdict == "excluded"
    assert "below 0: T over A" in found.reason


@pytest.mark.parametrize(("right", "expected"), [(0.8, "reproduced"), (0.2, "reproduced"), (0.5, "undecided")])
def test_every_class_has_to_differ(store: Store, right: float, expected: str) -> None:
    """`made` calls whatever is not recognised frustrated, so that every class gains when more is, or loses."""
    measure(store, "headline_text_cnn", {"concatenation": 0.5, "own": right})
    found = verdict_of(store, "significant_text_cnn_iemocap")
    assert found.verdict == expected
    assert found.ours == ("0 of 6" if right == 0.5 else "6 of 6")
    assert f"that lose: {6 if right < 0.5 else 0};" in found.reason


@pytest.mark.parametrize(("gap", "expected"), [(0.0, "undecided"), (30.0, "excluded"), (-30.0, "reproduced")])
def test_overfitting_is_how_far_test_lies_below_validation(store: Store, gap: float, expected: str) -> None:
    measure(store, "headline_text_cnn", {"concatenation": 0.5, "own": 0.5})
    for e in [r.experiment for r in store if r.outcomes and r.experiment.fusion == "lmam"]:
        run = store.get(e)
        store.path(e).unlink()
        best = dataclasses.replace(run.training, best_score=run.training.best_score + gap + e.seed % 2)
        store.add(dataclasses.replace(run, training=best))
    found = verdict_of(store, "reduces_overfitting")
    assert found.verdict == expected
    assert found.ours.startswith("TextCNN: ")


@pytest.mark.parametrize(("shuffled", "expected"), [(0.4, "reproduced"), (0.8, "excluded")])
def test_a_second_modality_counts_over_its_shuffle(store: Store, shuffled: float, expected: str) -> None:
    others = lambda e: e.readings == "keys=others"  # noqa: E731
    run_all(store, "bc_lstm", lambda e: 0.6 if others(e) else None)
    run_all(store, "modalities", lambda e: shuffled if others(e) and e.shuffled else None)
    assert verdict_of(store, "captures_both").verdict == expected


def test_the_size_of_the_test_set_is_counted_in_the_runs(store: Store, monkeypatch) -> None:
    fill(store, "bc_lstm", {"concatenation": 0.5})
    found = verdict_of(store, "size_iemocap")
    assert (found.verdict, found.ours) == ("does not hold", "10 / 600")  # `made` has ten conversations
    size = lambda *said: RULES["size_of_test_set"](Evidence(store), "iemocap", "bc_lstm", *said)  # noqa: E731
    assert size("10", "600").verdict == "holds"
    assert size("10", "601").verdict == "holds in part"
    sizes = {"a": (10, 601), "b": (10, 602)}
    monkeypatch.setattr(measured.splits, "size", lambda dataset, split: sizes[split])
    other = size("10", "601", "a")
    assert (other.verdict, other.ours, "which has 10 / 600" in other.reason) == ("holds", "10 / 601", True)
    assert size("10", "601", "b").verdict == "holds in part"


@pytest.mark.real_data
def test_a_splits_size_is_that_of_its_part() -> None:
    assert splits.size("mosi", "standard") == (31, 686)


def test_a_backbone_without_lmam_does_not_count_as_plugged_into(monkeypatch) -> None:
    counted._fitting.cache_clear()
    build = fusion.build
    monkeypatch.setattr(counted.fusion, "build", lambda name, widths, **more: build("concat", widths))
    assert RULES["plugs_into"](Evidence(Store("nowhere")), "7").ours == "0"
    counted._fitting.cache_clear()


def test_a_backbone_that_lmam_learns_nothing_in_does_not_count_as_plugged_into(monkeypatch) -> None:
    counted._fitting.cache_clear()
    build = fusion.build

    def frozen(name, widths, **more):
        made = build(name, widths, **more)
        made.register_forward_hook(lambda module, given, out: out.detach())
        return made

    monkeypatch.setattr(counted.fusion, "build", frozen)
    assert RULES["plugs_into"](Evidence(Store("nowhere")), "7").ours == "0"
    counted._fitting.cache_clear()


def test_what_the_paper_prints_stands_beside_what_cannot_be_tested() -> None:
    found = judge(Store("nowhere")).set_index("id").paper
    printed = {"improves_m2fnet_meld": "+0.10", "improves_bc_lstm_pom": "+4.30", "residual_emocaps_meld": "-0.34"}
    printed |= {"equal_emocaps_meld": "+1.77", "fusion_add_meld": "-0.10"}
    assert found[list(printed)].to_dict() == printed


def test_counted_and_printed_claims_say_what_recounting_says() -> None:
    empty = Evidence(Store("nowhere"))
    assert RULES["query_weights"](empty, "self_attention").ours == "9"
    third, d = RULES["a_third"](empty, "no"), np.array([100, 100, 512])
    weights, output = ((1 + d) ** 2 + 2 * d).sum(), (d * d + d).sum()
    assert float(third.ours) == pytest.approx((weights + output) / (4 * output), abs=5e-4)
    assert f"{weights / (3 * output):.3f} with none on either" in third.reason
    low = RULES["a_third"](empty, "yes")
    assert (low.verdict, third.verdict) == ("holds", "holds in part")
    assert RULES["query_weights"](empty, "lmam").ours == "0.54"
    lighter = RULES["lighter_than_methods"](empty)
    assert "LMF-MuLT 0.37, TFN 0.63, CMCF-SRNet 1.06, AuxFormer 1.59. LMAM at rank 45 has 0.35." in lighter.reason
    assert (lighter.verdict, lighter.ours) == ("does not hold", "fewer than 4 of 9")
    assert "in millions: Concatenate 0.00, " in lighter.reason
    assert RULES["runs_faster"](empty).ours == "0 of 28"
    grown = RULES["grows_slightly"](empty, "params_M")
    assert grown.verdict == "holds in part"
    assert "270 %" in grown.reason  # TextCNN: 0.23 to 0.85
    assert RULES["grows_slightly"](empty, "params_M", "300").verdict == "holds"
    deltas = consistency.audit_deltas()
    off = (100 * (deltas.printed - deltas.recomputed)).round().abs()[deltas.table == 2]
    said = RULES["deltas_follow"](empty, "2").reason
    assert (
        f"the largest difference is {off.max() / 100:.2f}; not in agreement: {(off > 1).sum()} of {len(off)}." in said
    )
    alike = RULES["told_alike"](empty, "tables")
    assert (alike.ours, "11 in Table XI, 1 in Table V" in alike.reason) == ("52 agree", True)
    best = RULES["best_in_table"](empty, "9", "LMAM")
    assert "ties in IEMOCAP F1" in best.reason
    assert "behind in MELD F1" in best.reason
    values = [RULES["printed_p_values"](empty, table) for table in "78"]
    assert [v.ours for v in values] == ["48 agree", "54 agree"]
    assert "29 belong to a printed F1 that rises with LMAM and 19 to one that falls" in values[0].reason
    assert RULES["plugs_into"](empty, "7").verdict == "holds"
    assert RULES["plugs_into"](empty, "8").verdict == "does not hold"
    assert RULES["class_accuracy"](empty, "IEMOCAP").ours == "8 precision, 1 recall"
    assert "EmoCaps* 73.02, printed 73.67" in RULES["average_accuracy"](empty, "IEMOCAP").reason
    assert "1,564 in 7 rows" in RULES["one_test_set"](empty, "IEMOCAP").reason
    assert "in 2 of 15 rows" in RULES["one_test_set"](empty, "MELD").reason
    assert "They add up to 2,610 in 2." in RULES["one_test_set"](empty, "MELD").reason
    assert "In those it is: 2 precision." in RULES["class_accuracy"](empty, "MELD").reason
    cheaper = RULES["cheaper_than_self_attention"](empty)
    assert (cheaper.verdict, "the cost chapter measures" in cheaper.reason) == ("holds in part", True)
    eased = RULES["quadratic_eased"](empty)
    assert (eased.verdict, eased.ours) == ("does not hold", "× 4.00")
    assert RULES["low_rank_form"](empty).ours == "45% kept"
    split = RULES["eight_to_two"](empty, "IEMOCAP")
    assert (split.verdict, split.paper, split.ours) == ("does not hold", "1,298", "0 of 9 rows")


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("a,LMAM,f,C,w,guess,", "rule 'guess'"),
        ("a,LMAM,f,C,w,plugged,backbone=bc_lstm", "cannot call its rule 'plugged'"),
        ("a,LMAM,f,C,w,none,reason", "name=value"),
        ("a,LMAM,f,C,w,none,reason=x\na,LMAM,f,C,w,none,reason=x", "twice"),
    ],
)
def test_a_row_that_cannot_be_judged_is_named(tmp_path, monkeypatch, row: str, sentence: str) -> None:
    file = tmp_path / "claims.csv"
    file.write_text(",".join(claims.COLUMNS) + "\n" + row + "\n")
    monkeypatch.setattr(claims, "FILE", file)
    with pytest.raises(LmamError, match=sentence):
        read()


def test_a_word_of_another_kind_is_refused(store: Store, monkeypatch) -> None:
    claim = next(c for c in ALL if c.id == "quadratic_eased")
    monkeypatch.setitem(RULES, claim.rule, lambda evidence: Finding("reproduced", "", "", 0, ""))
    with pytest.raises(LmamError, match="no word for what is counted"):
        judge(store, [claim])


def test_what_waits_for_runs_is_told_from_what_waits_for_files(store: Store) -> None:
    measure(store, "headline_bc_lstm", {"concatenation": 0.5, "own": 0.7}, seeds=2)
    names = ("improves_bc_lstm_iemocap", "improves_emocaps_mosi", "significant_emocaps_iemocap", "text_over_audio_meld")
    missing = ("humour_detection", "audio_over_video_iemocap", "audio_over_video_meld", "lmcm_wa")
    for wanted, word in ((names, "too few runs"), (missing, "not testable")):
        assert set(judge(store, [c for c in ALL if c.id in wanted]).verdict) == {word}


def test_the_tallies_count_every_claim_once_and_never_add_kinds() -> None:
    rows = judge(Store("nowhere"))
    lines = scoreboard.tallies(rows).splitlines()[2:]
    assert [int(line.split("|")[2]) for line in lines] == [sum(rows.kind == kind) for kind in claims.KINDS]
    for line in lines:
        words = re.findall(r"(\d+) ([a-z][a-z ,]+?)(?: ·| \|)", line.split("|", 3)[3])
        assert sum(int(n) for n, _ in words) == int(line.split("|")[2])
    assert len(ALL) == len(rows)
    first = rows.assign(protocol=(rows.id == "best_rank").astype(int))
    assert "| Measured in runs of the first protocol, to be replaced | 1 | 1 too few runs |" in scoreboard.tallies(
        first
    )
    assert scoreboard.details(rows).count("\n## ") + 1 == rows.family.nunique()
    badge = (
        '<br><span class="verdict verdict-too-few-runs">too few runs</span> Not run yet: '
        "`lmam sweep headline_bc_lstm --store nowhere`"
    )
    assert badge in scoreboard.details(rows)
    assert rule.slug("positive, undecided") == "positive-undecided"
    back = pd.read_csv(pd.io.common.StringIO(scoreboard.csv(rows)), keep_default_na=False)
    assert back.id.tolist() == [c.id for c in ALL]


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """The pages and tables, and a small store, where a test may spoil them."""
    from lmam_book.build import verify

    root = tmp_path / "book root"
    for path in (
        "README.md",
        *(f"book/{n}.md" for n in ("index", "scoreboard", "headline", "data-statement")),
        generated.FIGURE,
        generated.TABLE,
    ):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(paths.checkout() / path, root / path)
    for table in paths.data().glob("*.csv"):
        shutil.copy(table, root / "data")
    shutil.copytree(paths.data("paper"), root / "data" / "paper")
    monkeypatch.setattr(paths, "CHECKOUT", root)
    store = Store(root / "data" / "results")
    measure(store, "headline_text_cnn", {"concatenation": 0.5, "own": 0.6})
    monkeypatch.setattr(generated, "Store", lambda: store)
    generated.main()
    return root, store, verify.verify


def test_verify_names_what_the_runs_do_not_bear_out(copy) -> None:
    root, store, verify = copy
    page = root / "README.md"
    page.write_text(page.read_text().replace("measured claims", "proven claims"))
    assert ["README.md" in s for s in verify(store)] == [True]
    for one, text in generated.generated_texts(store).items():
        one.write_text(text)
    index = root / "book" / "index.md"
    index.write_text(index.read_text() + "\nWe measure +3.1 ± 0.2 points.\n")
    (root / "notebooks").mkdir()
    cells = [nbformat.v4.new_markdown_cell("We gain 2.5 ± 1.0."), nbformat.v4.new_code_cell("'9.9 ± 0.1'")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), root / "notebooks" / "one.ipynb")
    typed = "has a measured number typed into prose: "
    assert verify(store) == [f"book/index.md {typed}'3.1 ± 0.2'.", f"notebooks/one.ipynb {typed}'2.5 ± 1.0'."]


def test_verify_finds_nothing_where_all_agrees_and_runs_that_were_removed_changed_or_renamed(copy) -> None:
    from lmam_book.build.verify import runs_hold_together as verify_runs

    _, store, verify = copy
    assert verify(store) == []
    run = sorted(store.root.glob("iemocap/text_cnn/lmam*honest*.json"))[0]
    content = run.read_text()
    run.unlink()
    wrong = verify(store)
    assert any("scoreboard.csv" in s for s in wrong)
    assert any("forest.svg shows something else" in s for s in wrong)
    run.write_text(content.replace('"accuracy": ', '"accuracy": 1'))
    assert any("accuracy that do not follow from its outcomes" in s for s in verify_runs(store))
    for spoilt, why in (
        (re.sub(r'"best_score": [\d.]+', '"best_score": 99.0', content), "a best_score that is not its best epoch's"),
        (content.replace('"classes": ["', '"classes": ["more", "'), "an outcome is not"),
    ):
        run.write_text(spoilt)
        assert any(why in s for s in verify_runs(store))
    run.write_text(content)
    other = run.with_name("a-better-name.json")
    run.rename(other)
    assert any("a-better-name.json holds another run" in s for s in verify_runs(store))
    other.write_text("{")
    assert any("is not a run of this store" in s for s in verify_runs(store))


def test_verify_as_a_command(monkeypatch, capsys) -> None:
    from lmam_book import cli
    from lmam_book.build import verify

    monkeypatch.setattr(verify, "verify", lambda: [])
    assert cli.main(["verify"]) == 0
    monkeypatch.setattr(verify, "verify", lambda: ["README.md says something else."])
    assert cli.main(["verify"]) == 1
    assert "lmam: README.md says something else." in capsys.readouterr().err


def test_a_book_that_is_older_than_its_data_is_named(tmp_path) -> None:
    from lmam_book.build.manifest import Tree, executed, file_hash, fingerprints, write_manifest
    from lmam_book.build.verify import built_book_is_fresh

    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "one.ipynb").write_text('{"cells": []}')
    (tmp_path / "data").mkdir()
    (tmp_path / "_build" / "html").mkdir(parents=True)
    (tmp_path / "_build" / "html" / "index.html").touch()
    tree = Tree(tmp_path)
    (then,) = fingerprints(tree, ["notebooks/one.ipynb"]).values()
    then["read"] = {"data/results/": tree.hash("data/results/")}
    ran = executed(tmp_path, "notebooks/one.ipynb")
    ran.parent.mkdir(parents=True)
    ran.write_text("")
    pages = {"index.html": file_hash(tmp_path / "_build" / "html" / "index.html")}
    then["output"] = file_hash(ran)
    write_manifest(tmp_path, {"notebooks": {"notebooks/one.ipynb": then}, "pages": pages})
    assert list(built_book_is_fresh(Store(tmp_path), tmp_path)) == []
    (tmp_path / "data" / "results").mkdir()
    (tmp_path / "data" / "results" / "run.json").write_text("1")
    assert "older than its data/results/;" in next(built_book_is_fresh(Store(tmp_path), tmp_path))


def test_the_experiments_of_one_rule_are_those_of_its_plan() -> None:
    """Claims name plans in their advice; every one must exist."""
    found = judge(Store("nowhere"))
    named = set(found.reason.str.extractall(r"`lmam sweep (\w+) --store nowhere`")[0])
    assert named <= {*plans.PLANS, *studies.STUDIES, *tasks.PLANS, "all"}
    assert named >= {"headline_bc_lstm", "attention_bc_lstm", "ways_bc_lstm", "methods_emocaps_meld", "rank_bc_lstm"}
