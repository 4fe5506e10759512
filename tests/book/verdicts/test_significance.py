"""Pairs of arms: what seeds vary and what resampling dialogues varies, against known answers and naive loops."""

from __future__ import annotations

import dataclasses
import math

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from lmam_book.plans.arms import bc_lstm
from lmam_book.verdicts import significance
from lmam_book.verdicts.resampling import draws, resampled
from lmam_book.verdicts.significance import class_tests, corrected, holm, paired, pairs, settings, sign_flip_p
from lmam_core.errors import LmamError
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.metrics import outcomes, summarise
from lmam_core.runs.run import Run
from lmam_core.runs.training import Training

CLASSES = ("happy", "sad", "neutral")


def made(e: Experiment, right: float, conversations: int = 12, regression: bool = False) -> Run:
    """A run that gets the share `right` of its utterances right, more in some conversations than in others."""
    rng = np.random.default_rng([e.seed, int(1000 * right)])
    found = {}
    for c in range(conversations):
        n = 10 + c
        if regression:
            label = np.random.default_rng(c).uniform(-3, 3, n)
            found[f"c{c}"] = outcomes(label, right * label + rng.normal(0, 0.3, n), None)
        else:
            label = np.random.default_rng(c).integers(0, 3, n)
            found[f"c{c}"] = outcomes(label, np.where(rng.random(n) < right, label, c % 3), 3)
    kept = None if regression else CLASSES
    metrics = summarise(sum(found.values()), None if regression else 3)
    return Run(e.resolved(), metrics, found, kept, Training(1, 50.0, [1.0], [50.0], 0.1), 10, 1, 1.0, 99.0)


def arms(right: dict[str, float], seeds: int = 6, **more: bool) -> dict[str, list[Run]]:
    base = Experiment(dataset="synthetic-iemocap", embedding="early")
    return {
        name: [made(dataclasses.replace(base, seed=s), share, **more) for s in range(seeds)]
        for name, share in right.items()
    }


@pytest.mark.parametrize("metric", ["accuracy", "weighted_f1", "macro_f1"])
def test_a_sample_that_is_the_test_set_gives_the_metrics_of_the_run(metric: str) -> None:
    runs = arms({"a": 0.6}, 3)["a"]
    found = resampled(runs, metric, np.ones((1, 12)))
    assert found[:, 0] == pytest.approx([r.metrics[metric] for r in runs])


@pytest.mark.parametrize("metric", ["mae", "corr", "acc2", "f1", "acc7"])
def test_regression_metrics_are_those_of_summarise_on_any_sample(metric: str) -> None:
    runs = arms({"a": 0.6}, 2, regression=True)["a"]
    drawn = draws(12, 5)
    found = resampled(runs, metric, drawn)
    for s, run in enumerate(runs):
        for r, sample in enumerate(drawn):
            total = sum(k * run.outcomes[f"c{c}"] for c, k in enumerate(sample))
            assert found[s, r] == pytest.approx(summarise(total, None)[metric])


def test_f1_of_a_class_is_that_of_its_counts() -> None:
    run = arms({"a": 0.6}, 1)["a"][0]
    confusion = run.total.reshape(3, 3)
    naive = 200 * confusion[1, 1] / (confusion[1].sum() + confusion[:, 1].sum())
    assert resampled([run], "f1:sad", np.ones((1, 12)))[0, 0] == pytest.approx(naive)


def test_samples_have_the_size_of_the_test_set_and_are_the_same_for_all_arms() -> None:
    drawn = draws(31, 500)
    assert (drawn.sum(1) == 31).all()
    assert (drawn == draws(31, 500)).all()
    assert abs(drawn.mean() - 1) < 1e-12
    assert (drawn == 0).any(axis=1).all()  # a sample that draws each once is as good as impossible


def test_runs_on_other_conversations_are_refused() -> None:
    runs = arms({"a": 0.6}, 1)["a"]
    base = dataclasses.replace(runs[0].experiment, seed=3)
    with pytest.raises(LmamError, match="other conversations"):
        resampled([*runs, made(base, 0.5, conversations=4)], "accuracy", np.ones((1, 12)))


@pytest.mark.parametrize("metric", ["roc", "corr"])
def test_a_metric_that_cannot_be_resampled_is_named(metric: str) -> None:
    with pytest.raises(LmamError, match=metric):
        resampled(arms({"a": 0.6}, 1)["a"], metric, np.ones((1, 12)))


@given(st.lists(st.floats(-5, 5).map(lambda v: round(v, 3)), min_size=2, max_size=7))
def test_flipping_signs_counts_the_patterns_that_are_as_far_from_0(d: list[float]) -> None:
    signs = np.array(np.meshgrid(*[[-1, 1]] * len(d))).reshape(len(d), -1)
    means = np.abs((signs * np.array(d)[:, None]).mean(0))
    assert sign_flip_p(np.array(d)) == pytest.approx((means >= abs(np.mean(d)) - 1e-9).mean())


def test_a_pair_is_tested_over_shared_seeds() -> None:
    a = {0: 60.0, 1: 61.0, 2: 62.0, 3: 61.5, 9: 1.0}
    b = {0: 62.0, 1: 62.5, 2: 64.5, 3: 63.0, 8: 99.0}
    found = paired(a, b, 1.0)
    d = np.array([2.0, 1.5, 2.5, 1.5])
    assert found.comparison.difference.n == 4
    assert found.p_t == pytest.approx(stats.ttest_1samp(d, 0).pvalue)
    assert found.p_flip == pytest.approx(2 / 16)
    scale = d.std(ddof=1) / 2
    assert found.better == pytest.approx(stats.t.sf((1 - d.mean()) / scale, 3))
    assert found.worse == pytest.approx(stats.t.cdf((-1 - d.mean()) / scale, 3))
    assert found.better + found.equivalent + found.worse == pytest.approx(1)


def test_a_pair_without_two_shared_seeds_has_no_tests() -> None:
    found = paired({0: 1.0}, {0: 2.0, 1: 3.0}, 1.0)
    assert found.comparison.difference.n == 1
    assert all(math.isnan(p) for p in (found.p_t, found.p_flip, found.better, found.equivalent, found.worse))


def test_equal_runs_are_equivalent_and_a_constant_difference_has_no_t() -> None:
    same = {s: 60.0 + s for s in range(5)}
    equal = paired(same, same, 1.0)
    assert (equal.p_t, equal.p_flip, equal.equivalent) == (1.0, 1.0, 1.0)
    shifted = paired(same, {s: v + 2.1 for s, v in same.items()}, 1.0)
    assert math.isnan(shifted.p_t)
    assert shifted.p_flip == pytest.approx(2 / 32)
    assert shifted.better == 1.0


def test_holm_is_over_the_rows_that_have_a_p() -> None:
    import pandas as pd

    table = corrected(pd.DataFrame({"p_t": [0.01, np.nan, 0.03], "p_flip": [0.5, 0.5, 0.5]}))
    assert table.p_t_holm.tolist()[::2] == pytest.approx([0.02, 0.03])
    assert math.isnan(table.p_t_holm[1])
    assert table.p_flip_holm.tolist() == [1.0, 1.0, 1.0]


@hypothesis.settings(max_examples=20, deadline=None)  # statsmodels takes a seventh of a second for each
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm_is_that_of_statsmodels(p: list[float]) -> None:
    assert holm(np.array(p)) == pytest.approx(multipletests(p, method="holm")[1])


def test_every_pair_of_a_setting_once_with_both_intervals() -> None:
    found = pairs(arms({"a": 0.5, "b": 0.5, "c": 0.8}), "accuracy").set_index(["baseline", "other"])
    assert list(found.index) == [("a", "b"), ("a", "c"), ("b", "c")]
    better = found.loc["a", "c"]
    assert better.gain > 10
    assert better.low < better.gain < better.high
    assert 0 < better.dialogues_low < better.gain < better.dialogues_high
    assert better.better > 0.99
    assert better.p_t < better.p_t_holm < 0.05
    # The same samples of conversations for both arms: the gain varies less than either arm alone does.
    a = resampled(arms({"a": 0.5})["a"], "accuracy", draws(12)).mean(0)
    c = resampled(arms({"c": 0.8})["c"], "accuracy", draws(12)).mean(0)
    assert better.dialogues_high - better.dialogues_low < np.ptp(np.percentile(a, [2.5, 97.5])) + np.ptp(
        np.percentile(c, [2.5, 97.5])
    )


def test_less_error_is_a_gain() -> None:
    found = pairs(arms({"a": 0.5, "b": 0.9}, regression=True), "mae").iloc[0]
    assert found.gain > 0
    assert found.dialogues_low > 0


def test_arms_on_different_conversations_are_refused() -> None:
    chosen = arms({"a": 0.5, "b": 0.6})
    chosen["b"] = [made(r.experiment, 0.6, conversations=11) for r in chosen["b"]]
    with pytest.raises(LmamError, match="other conversations"):
        pairs(chosen, "accuracy")


def test_an_arm_that_shares_no_seed_is_a_row_with_n_0() -> None:
    chosen = arms({"a": 0.5, "b": 0.6})
    chosen["b"] = [made(dataclasses.replace(chosen["a"][0].experiment, seed=77), 0.6)]
    found = pairs(chosen, "accuracy").iloc[0]
    assert found.n == 0
    assert found[["gain", "p_t", "p_flip", "better", "dialogues_low", "p_t_holm"]].isna().all()


def test_a_single_arm_has_no_pairs() -> None:
    assert pairs(arms({"a": 0.5}), "accuracy").empty


def test_classes_are_tested_one_by_one_and_together() -> None:
    chosen = arms({"a": 0.5, "c": 0.8})
    found = class_tests(chosen["a"], chosen["c"]).set_index("class")
    assert list(found.index) == [*CLASSES, "all classes"]
    confusion = [r.total.reshape(3, 3) for r in chosen["c"]]
    f1 = [200 * c[0, 0] / (c[0].sum() + c[:, 0].sum()) for c in confusion]
    base = [r.total.reshape(3, 3) for r in chosen["a"]]
    f1_base = [200 * c[0, 0] / (c[0].sum() + c[:, 0].sum()) for c in base]
    assert found.loc["happy", "gain"] == pytest.approx(np.mean(f1) - np.mean(f1_base))
    assert found.loc["happy", "seeds"] == pytest.approx(np.array(f1) - np.array(f1_base))
    assert found.p_t_holm[CLASSES[0] : CLASSES[-1]].tolist() == pytest.approx(holm(found.p_t[:-1].to_numpy()).tolist())
    assert found.p_t_holm["all classes"] == found.p_t["all classes"]  # made of the classes, so not one of the tests
    weighted = np.mean([r.metrics["weighted_f1"] for r in chosen["c"]])
    assert found.loc["all classes", "gain"] == pytest.approx(
        weighted - np.mean([r.metrics["weighted_f1"] for r in chosen["a"]])
    )


def test_settings_keep_apart_what_cannot_be_compared() -> None:
    base = Experiment(dataset="synthetic-iemocap", embedding="early")
    runs = [made(dataclasses.replace(base, seed=s), 0.5) for s in range(2)]
    runs.append(made(dataclasses.replace(base, modalities=("text",)), 0.5))
    runs.append(made(dataclasses.replace(base, protocol="tuning"), 0.5))
    runs.append(made(dataclasses.replace(base, fusion="concat", backbone="bc_lstm_att"), 0.5))
    other = made(dataclasses.replace(base, learning_rate=0.1), 0.5).experiment
    small = [made(dataclasses.replace(other, batch_size=16, seed=s), 0.5) for s in range(2)]
    runs += [made(other, 0.5), *small, small[0]]  # the last is given twice
    found = settings(runs)
    assert len(found) == 2
    full, text = found.values()
    assert [len(r) for r in full.values()] == [2, 1, 1, 2]
    longer = [f"LMAM early (0.1, lmam.early.paper.r45, {e.key[:6]})" for e in (other, small[0].experiment)]
    assert list(full) == ["LMAM early", "self-attention", *longer]
    assert list(text) == ["LMAM early"]


def test_labels_are_told_apart_in_every_setting_of_the_book() -> None:
    from lmam_book.plans.plans import PLANS

    owners: dict[tuple[str, str], Experiment] = {}
    for plan in PLANS.values():
        for arm in plan.arms():
            e = dataclasses.replace(arm, learning_rate=1.0, seed=0)
            place = (significance.setting(e), significance.label(e))
            assert owners.setdefault(place, e) == e, place
    assert len(owners) > len(bc_lstm())
