"""The rule: effects over seeds and conversations against naive loops, words at their borders, error rates as stated."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lmam_book.plans import search, studies
from lmam_book.verdicts import effects, error_rates, headline, resampling, rule
from lmam_book.verdicts.effects import Effect, effect
from lmam_book.verdicts.rule import Baseline, needed, word
from lmam_core.errors import LmamError
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.metrics import outcomes, summarise
from lmam_core.runs.run import Run
from lmam_core.runs.store import Store
from lmam_core.runs.training import Training
from tests.book.verdicts.test_significance import arms, made


def found(mean: float, low: float, high: float, **more: float) -> Effect:
    base = Effect(mean, low, high, 10, 31, 0.3, 0.4, 0.9, 0.0)
    return dataclasses.replace(base, **more)


def test_an_effect_is_the_mean_difference_and_its_interval_that_of_a_naive_loop(monkeypatch) -> None:
    monkeypatch.setattr(effects, "RESAMPLES", 60)
    both = arms({"a": 0.5, "b": 0.65}, seeds=4)
    got = effect(both["a"], both["b"], "weighted_f1", level=0.8)
    gains = [b.metrics["weighted_f1"] - a.metrics["weighted_f1"] for a, b in zip(both["a"], both["b"], strict=True)]
    assert got.mean == pytest.approx(np.mean(gains))
    assert got.of_seeds == pytest.approx(stats.sem(gains))
    assert (got.seeds, got.conversations, got.level) == (4, 12, 0.8)

    seeds, talks = resampling.draws(4, 60, seed=1), resampling.draws(12, 60)
    values, wins = [], []
    for drawn, counted in zip(seeds, talks, strict=True):
        score = {}
        for name, runs in both.items():
            totals = [sum(n * x for n, x in zip(counted, r.outcomes.values(), strict=True)) for r in runs]
            score[name] = np.array([summarise(total, 3)["weighted_f1"] for total in totals])
        wins.append((score["b"] > score["a"]).mean())
        values.append(((score["b"] - score["a"]) * drawn).sum() / 4)
    assert (got.low, got.high) == pytest.approx(np.quantile(values, [0.1, 0.9]))
    assert got.better == pytest.approx(np.mean(wins), abs=0.03)


def test_an_error_counts_the_other_way_round_and_seeds_are_paired_by_number() -> None:
    runs = arms({"a": 0.2, "b": 0.9}, seeds=3, regression=True)
    assert effect(runs["a"], runs["b"], "mae").mean > 0
    assert effect(runs["b"], runs["a"], "mae").high < 0
    shuffled = [runs["b"][k] for k in (2, 0, 1)]
    assert effect(runs["a"], shuffled, "mae") == effect(runs["a"], runs["b"], "mae")
    assert effect(runs["a"], runs["b"][1:], "mae").seeds == 2
    with pytest.raises(LmamError, match="share 1 seeds"):
        effect(runs["a"], runs["b"][:1], "mae")
    other = [made(r.experiment, 0.9, conversations=11, regression=True) for r in runs["b"]]
    with pytest.raises(LmamError, match="other conversations"):
        effect(runs["a"], [*runs["b"][:1], *other[1:]], "mae")


def test_arms_that_are_equal_have_an_effect_of_exactly_nothing() -> None:
    a = arms({"a": 0.6}, seeds=5)["a"]
    got = effect(a, a, "accuracy")
    assert (got.mean, got.low, got.high, got.better) == (0, 0, 0, 0.5)
    assert got.pairing == pytest.approx(1)


@pytest.mark.parametrize(
    ("effect_", "printed", "said"),
    [
        (found(2.0, 0.1, 3.9), 4.0, rule.REPRODUCED),
        (found(1.99, 0.1, 3.9), 4.0, rule.POSITIVE),
        (found(2.0, 0.0, 4.0), 4.0, rule.UNDECIDED),
        (found(-1.0, -3.0, 2.0), 4.0, rule.UNDECIDED),
        (found(1.0, 0.1, 1.9), 4.0, rule.EXCLUDED),  # positive, and yet not what was reported
        (found(-3.0, -5.0, -1.0), 4.0, rule.EXCLUDED),
        (found(3.0, 1.0, 5.0, seeds=4), 4.0, rule.NOT_TESTABLE),
        (None, 4.0, rule.NOT_TESTABLE),
    ],
)
def test_words_at_their_borders(effect_: Effect | None, printed: float, said: str) -> None:
    assert word(effect_, printed) == said


def test_a_baseline_below_the_probe_decides_nothing() -> None:
    low, at = Baseline(53.1, 53.2, "probe"), Baseline(53.2, 53.2, "probe")
    gain = found(4.0, 2.0, 6.0)
    assert word(gain, 5.0, low) == rule.NOT_WORKING
    assert word(gain, 5.0, at) == rule.REPRODUCED
    assert word(dataclasses.replace(gain, seeds=3), 5.0, low) == rule.NOT_TESTABLE


def test_what_would_decide_is_what_makes_the_interval_narrow_enough() -> None:
    open_ = found(1.5, -0.4, 3.4, of_seeds=0.9, of_conversations=0.4, seeds=5)
    more = needed(open_, 4.0)
    assert more.conversations is None
    for seeds, decided in ((more.seeds, True), (more.seeds - 1, False)):
        half = 1.96 * np.hypot(0.9 * (5 / seeds) ** 0.5, 0.4)
        assert (half <= 1.5) == decided
    above = needed(found(1.5, 0.2, 2.8, of_seeds=0.6, of_conversations=0.1), 4.0)  # the half is 2
    assert 1.96 * np.hypot(0.6 * (10 / above.seeds) ** 0.5, 0.1) <= 0.5
    hopeless = needed(found(1.5, -0.4, 3.4, of_conversations=0.9), 4.0)
    assert hopeless.seeds is None
    assert 1.96 * 0.9 * (31 / hopeless.conversations) ** 0.5 == pytest.approx(1.5, rel=0.02)


def test_partial_conjunction_against_its_definition() -> None:
    assert headline.at_least([0.001, 0.001, 0.001]) == 3
    assert headline.at_least([0.001, 0.02, 0.9]) == 2  # (3 - 2 + 1) 0.02 = 0.04
    assert headline.at_least([0.001, 0.03, 0.9]) == 1
    assert headline.at_least([0.02, 0.02, 0.02]) == 0  # 3 times 0.02 is more than 0.05


def test_the_rule_errs_as_seldom_as_the_committed_simulation_says() -> None:
    table = error_rates.table()
    nothing = table[table.true == 0]
    assert (nothing.reproduced <= 5).all()
    whole = table[table.true == table.printed]
    assert (whole.excluded <= 1).all()
    # A part of the committed table, simulated again.
    rng, asked = np.random.default_rng(7), dict(printed=5.0, true=0.0, seeds=5, readings=3)
    row = table[(table[list(asked)] == pd.Series(asked)).all(axis=1)].iloc[0]
    said = []
    for _ in range(150):
        drawn = error_rates.simulated(0.0, 5, 3, rng)
        said.append(word(drawn[rule.best_of(drawn)], 5.0))
    assert 100 * said.count(rule.EXCLUDED) / 150 == pytest.approx(row.excluded, abs=15)
    assert said.count(rule.REPRODUCED) <= 15


def run_of(e: Experiment, share: float) -> Run:
    """A run whose share of right answers differs a little from seed to seed."""
    rng = np.random.default_rng([e.seed, int(1000 * share)])
    got = {}
    for c in range(20):
        label = np.random.default_rng(c).integers(0, 6, 30)
        wrong = (label + 1 + rng.integers(0, 5, 30)) % 6
        got[f"c{c}"] = outcomes(label, np.where(rng.random(30) < share, label, wrong), 6)
    classes = tuple("abcdef")
    return Run(e, summarise(sum(got.values()), 6), got, classes, Training(1, 50.0, [1.0], [50.0], 0.1, 600), 1, 1, 1, 1)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """TextCNN and bc-LSTM on IEMOCAP, searched and measured: the first gains much, the second nothing."""
    made_up = Store(tmp_path)
    share = {("text_cnn", "concat"): 0.57, ("text_cnn", "lmam"): 0.7, ("bc_lstm", "concat"): 0.652}
    for arm in (a for name in share for a in studies.study(f"headline_{name[0]}") if a.dataset == "iemocap"):
        while missing := search.needed(arm, made_up):
            for e in missing:
                score = Training(1, e.learning_rate * (e.learning_rate < 3e-3), [1.0], [50.0], 0.1, 600)
                made_up.add(Run(e, {}, {}, tuple("abcdef"), score, 1, 1, 1.0, 1.0))
        for e in studies.measured(arm, made_up, range(5)):
            if e not in made_up:
                made_up.add(run_of(e, share.get((e.backbone, e.fusion), 0.65)))
    return made_up


def test_the_headline_follows_the_runs_without_a_hand_on_the_text(store: Store) -> None:
    cells = headline.cells(store)
    rows = headline.table(cells).set_index(["backbone", "dataset"])
    gains = rows.loc[("text_cnn", "iemocap")]
    assert gains.word == rule.REPRODUCED
    assert (gains.of, gains.seeds, gains.conversations) == (3, 5, 20)
    assert gains["margin over probe"] == pytest.approx(gains.concatenation - headline.bar("iemocap"))
    assert rows.loc[("bc_lstm", "iemocap")].word in (rule.UNDECIDED, rule.EXCLUDED)
    assert rows.loc[("emocaps", "mosi")].word == rule.NOT_TESTABLE
    text = headline.page(cells)
    assert "Of 18 cells 2 have runs: 1 reproduced, 1 " in text
    assert "over 2 backbones" in text
    for run in list(store):
        if run.experiment.backbone == "text_cnn" and run.experiment.fusion == "lmam" and run.outcomes:
            store.path(run.experiment).unlink()
    fewer = headline.page(headline.cells(store))
    assert "Of 18 cells 1 have runs" in fewer
    assert "TextCNN" not in fewer


def test_a_model_that_does_not_reach_the_probe_decides_nothing(store: Store, monkeypatch) -> None:
    monkeypatch.setattr(headline, "bar", lambda dataset: 99.0)
    words = headline.table(headline.cells(store)).query("seeds > 0").word
    assert set(words) == {rule.NOT_WORKING}


def test_the_pooled_effect_is_the_field_s_random_effects_mean(store: Store) -> None:
    cells = [c for c in headline.cells(store) if c.dataset == "iemocap"]
    got = headline.pooled(cells)
    effects_ = [c.effects(0.95)["own"] for c in cells if c.runs["own"]]
    gain, variance = (np.array(x) for x in zip(*((e.mean, e.standard_error**2) for e in effects_), strict=True))
    weight = 1 / (variance + got.between**2)
    assert got.mean == pytest.approx((weight * gain).sum() / weight.sum())
    # Paule and Mandel: the weighted squares about the mean are what their degrees of freedom say.
    assert (weight * (gain - got.mean) ** 2).sum() == pytest.approx(len(gain) - 1, rel=1e-3)
    assert got.low < got.mean < got.high
    assert got.backbones == 2
    assert all(a >= b for a, b in pairwise([got.backbones, got.at_least]))
