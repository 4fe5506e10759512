"""The rule: effects over seeds and conversations against naive loops, words at their borders, error rates as stated."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.weightstats import DescrStatsW

from lmam_book.pages import headline_page
from lmam_book.plans import search, studies
from lmam_book.verdicts import effects, error_rates, findings, headline, resampling, rule
from lmam_book.verdicts.effects import Effect, effect
from lmam_book.verdicts.rule import Baseline, needed, word
from lmam_core.errors import LmamError
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.metrics import outcomes, summarise
from lmam_core.runs.run import Run
from lmam_core.runs.store import Store
from lmam_core.runs.training import Training
from tests.book.verdicts.test_significance import arms, made


def found(mean: float, low: float, seeds: int = 10, of_conversations: float = 0.0) -> Effect:
    """An effect with a mean and the lower end of its interval; what conversations do not vary, seeds do."""
    made_up = Effect(mean, seeds, 31, 1.0, of_conversations)
    for _ in range(50):  # the quantile hangs on the parts
        standard_error = made_up.standard_error * (mean - low) / made_up.half
        made_up = dataclasses.replace(made_up, of_seeds=max(standard_error**2 - of_conversations**2, 0) ** 0.5)
    return made_up


def test_an_effect_is_the_mean_difference_and_its_parts_those_of_a_naive_loop(monkeypatch) -> None:
    monkeypatch.setattr(effects, "draws", lambda n: resampling.draws(n, 60))
    both = arms({"a": 0.5, "b": 0.65}, seeds=4)
    got = effect(both["a"], both["b"], "weighted_f1", level=0.8)
    gains = [b.metrics["weighted_f1"] - a.metrics["weighted_f1"] for a, b in zip(both["a"], both["b"], strict=True)]
    assert got.mean == pytest.approx(np.mean(gains))
    assert got.of_seeds == pytest.approx(stats.sem(gains))
    assert (got.seeds, got.conversations, got.level) == (4, 12, 0.8)

    values, wins = [], []
    for counted in resampling.draws(12, 60):
        score = {}
        for name, runs in both.items():
            totals = [sum(n * x for n, x in zip(counted, r.outcomes.values(), strict=True)) for r in runs]
            score[name] = np.array([summarise(total, 3)["weighted_f1"] for total in totals])
        wins.append((score["b"] > score["a"]).mean())
        values.append((score["b"] - score["a"]).mean())
    assert got.of_conversations == pytest.approx(np.std(values, ddof=1))
    assert got.better == pytest.approx(np.mean(wins))
    assert effects.by_sample(both["a"], both["b"], "weighted_f1") == pytest.approx(values)
    s, c = got.of_seeds, got.of_conversations
    freedom = (s**2 + c**2) ** 2 / (s**4 / 3 + c**4 / 11)
    low, high = stats.t.interval(0.8, freedom, loc=got.mean, scale=np.hypot(s, c))
    assert (got.low, got.high) == pytest.approx((low, high))
    assert got.p == pytest.approx(stats.t.sf(got.mean / np.hypot(s, c), freedom))


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
    assert (got.mean, got.low, got.high, got.better, got.p) == (0, 0, 0, 0.5, 0.5)
    assert got.pairing == pytest.approx(1)


def test_one_conversation_leaves_the_seeds_alone() -> None:
    runs = [made(Experiment(seed=s).resolved(), share, conversations=1) for s in range(4) for share in (0.4, 0.8)]
    got = effect(runs[::2], runs[1::2], "accuracy")
    assert (got.conversations, got.of_conversations) == (1, 0)
    assert got.low < got.mean < got.high


@pytest.mark.parametrize(
    ("readings", "printed", "said"),
    [
        ([found(2.0, 0.1)], 4.0, rule.REPRODUCED),
        ([found(1.99, 0.1)], 3.9, rule.REPRODUCED),
        ([found(1.99, 0.1)], 4.0, rule.POSITIVE),
        ([found(2.0, -0.1)], 4.0, rule.UNDECIDED),
        ([found(-1.0, -4.5)], 4.0, rule.UNDECIDED),
        ([found(1.0, 0.1)], 4.0, rule.EXCLUDED),  # positive, and yet not what was reported
        ([found(-3.0, -5.0)], 4.0, rule.EXCLUDED),
        ([found(1.0, 0.1), found(0.0, -3.0)], 4.0, rule.POSITIVE),  # another reading may still be as reported
        ([found(1.0, 0.1), found(3.0, 1.0)], 4.0, rule.REPRODUCED),
        ([found(1.0, 0.1), found(2.2, 1.0)], 4.0, rule.POSITIVE),  # as the best of two its mean is too high
        ([found(2.2, 1.0)], 4.0, rule.REPRODUCED),
        ([found(3.0, 1.0, seeds=4)], 4.0, rule.TOO_FEW),
        ([], 4.0, rule.TOO_FEW),
    ],
)
def test_words_at_their_borders(readings: list[Effect], printed: float, said: str) -> None:
    assert word(readings, printed) == said


def test_a_baseline_below_the_probe_decides_nothing() -> None:
    low, at = Baseline(53.1, 53.2), Baseline(53.2, 53.2)
    gain = found(4.0, 2.0)
    assert word([gain], 5.0, low) == rule.NOT_WORKING
    assert word([gain], 5.0, at) == rule.REPRODUCED
    assert word([dataclasses.replace(gain, seeds=3)], 5.0, low) == rule.TOO_FEW


def test_an_arm_at_an_edge_needs_more() -> None:
    edge = 3.0
    baseline, gain = Baseline(60.0, 50.0, edge=edge), found(5.0, 2.0)
    assert word([gain], 5.0, Baseline(60.0, 50.0)) == rule.REPRODUCED
    assert word([gain], 5.0, baseline) == rule.POSITIVE
    assert word([found(5.0, 3.1)], 5.0, baseline) == rule.REPRODUCED
    assert word([found(-3.0, -5.0)], 4.0) == rule.EXCLUDED
    assert word([found(-3.0, -5.0)], 4.0, edge=edge) == rule.UNDECIDED
    assert word([found(-3.0, -5.0)], 8.0, edge=edge) == rule.EXCLUDED


@pytest.mark.parametrize("shared", [0.0, 0.5])
@pytest.mark.parametrize("of", [2, 3])
def test_the_lowered_mean_of_the_best_is_too_high_in_half_of_all_cases_at_most(of: int, shared: float) -> None:
    """Equal readings, the worst case: exactly half without a common part of their errors, less with one."""
    rng, high, unlowered = np.random.default_rng(1), 0, 0
    for _ in range(1500):
        errors = shared**0.5 * rng.normal() + (1 - shared) ** 0.5 * rng.normal(size=of)
        best = Effect(float(errors.max()), 1000, 31, 1.0, 0.0)
        high += rule.lowered(best, of) > 0
        unlowered += best.mean > 0
    assert high / 1500 == pytest.approx(0.5, abs=0.04) if not shared else high / 1500 < 0.47
    assert unlowered / 1500 > 0.6
    assert rule.lowered(best, 1) == best.mean


@pytest.mark.parametrize("mean", [2.05, 2.5])
def test_the_best_of_three_needs_more_seeds_than_a_single_one(mean: float) -> None:
    open_ = Effect(mean, 5, 31, 0.7, 0.0)
    few, many = needed(open_, 4.0).seeds, needed(open_, 4.0, of=3).seeds
    enough = dataclasses.replace(open_, seeds=many, of_seeds=0.7 * (5 / many) ** 0.5 * 0.95)
    assert rule.lowered(enough, 3) >= 2
    assert many >= few


@pytest.mark.parametrize("mean", [0.5, 1.5, 2.5])
def test_what_would_decide_is_what_makes_the_word_another(mean: float) -> None:
    """With the number of seeds that it names the rule decides, with many fewer it does not; the half is 2."""
    open_ = Effect(mean, 5, 31, 1.6, 0.1)
    assert word([open_], 4.0) == rule.UNDECIDED
    more = needed(open_, 4.0)
    assert more.conversations is None
    # Student's quantile asks for some more than the normal one.
    fewer, enough = (
        word([dataclasses.replace(open_, seeds=n, of_seeds=1.6 * (5 / n) ** 0.5)], 4.0)
        for n in (more.seeds // 2, more.seeds * 11 // 10 + 4)
    )
    assert fewer not in (rule.REPRODUCED, rule.EXCLUDED)
    assert enough == (rule.REPRODUCED if mean > 2 else rule.EXCLUDED)
    hopeless = needed(Effect(1.5, 5, 31, 0.3, 0.9), 4.0)
    assert hopeless.seeds is None
    assert 1.96 * 0.9 * (31 / hopeless.conversations) ** 0.5 == pytest.approx(0.5, rel=0.02)


def test_the_equivalence_test_is_two_one_sided_ones() -> None:
    gains = np.random.default_rng(3).normal(0.2, 0.4, 8)
    mine = Effect(float(gains.mean()), 8, 31, float(stats.sem(gains)), 0.0)
    for margin in (0.1, 0.5, 1.0):
        assert mine.equivalent(margin) == pytest.approx(DescrStatsW(gains).ttost_mean(-margin, margin)[0])
    assert Effect(0.5, 5, 31, 0.0, 0.0).equivalent(1.0) == 0
    assert Effect(1.5, 5, 31, 0.0, 0.0).equivalent(1.0) == 1


def test_what_a_null_result_makes_sure_of(store: Store) -> None:
    sure = headline.certainties(headline.cells(store), 1.0).set_index("comparison")
    assert len(sure) == 3
    row = next(row for name, row in sure.iterrows() if name.startswith("bc-LSTM, IEMOCAP"))
    (cell,) = (c for c in headline.cells(store) if (c.backbone, c.dataset) == ("bc_lstm", "iemocap"))
    best = max(cell.effects().values(), key=lambda e: e.mean)
    assert (row.better, row.excluded, row.pairing) == (best.better, best.high, best.pairing)
    assert row["at once"] >= row.equivalent == best.equivalent(1.0)
    assert headline.certainties([], 1.0).empty


def test_partial_conjunction_against_its_definition() -> None:
    assert headline.at_least([0.001, 0.001, 0.001]) == 3
    assert headline.at_least([0.001, 0.02, 0.9]) == 2  # (3 - 2 + 1) 0.02 = 0.04
    assert headline.at_least([0.001, 0.03, 0.9]) == 1
    assert headline.at_least([0.02, 0.02, 0.02]) == 0  # 3 times 0.02 is more than 0.05


def test_the_rule_errs_as_seldom_as_the_committed_simulation_says() -> None:
    table = error_rates.table()
    nothing = table[table.true == 0]
    assert (nothing.reproduced + nothing["positive, undecided"] <= 5).all()
    whole = table[table.true == table.printed]
    assert (whole.excluded <= 5).all()
    # The interval of the best of three has the level that one reading has.
    assert (table.covered >= 92.5).all()
    # A chosen mean is not too high in more than half of all cases, where it would be in up to seven of eight.
    assert (table["too high"] <= 53).all()
    half = table[(table.true == table.printed / 2) & (table.readings == 3)]
    assert (half.reproduced <= 53).all()
    assert half.unlowered.max() > 60
    # A part of the committed table, simulated again.
    rng, asked = np.random.default_rng(7), {"setting": "seeds rule", "printed": 5.0, "true": 5.0, "seeds": 5}
    asked["gaining"] = "all"
    row = table[(table[list(asked)] == pd.Series(asked)).all(axis=1) & (table.readings == 3)].iloc[0]
    said = [word(error_rates.simulated([5.0] * 3, "seeds rule", 5, rng), 5.0) for _ in range(300)]
    assert said.count(rule.REPRODUCED) / 3 == pytest.approx(row.reproduced, abs=8)


def test_a_simulated_effect_is_that_of_stored_runs() -> None:
    """The simulation has a difference per seed and conversation, the store counts: the same numbers by both ways."""
    both = arms({"a": 0.5, "b": 0.65}, seeds=5)
    got = effect(both["a"], both["b"], "accuracy")
    count = np.array([o.sum() for o in both["a"][0].outcomes.values()])
    right = {
        name: np.array([[np.trace(o.reshape(3, 3)) for o in run.outcomes.values()] for run in runs])
        for name, runs in both.items()
    }
    # Accuracy is a mean over utterances, nearly that over conversations where these are about as long.
    crossed = error_rates.crossed(100 * (right["b"] - right["a"]) / count.mean(), 0.95)
    assert crossed.mean == pytest.approx(got.mean)
    assert crossed.of_seeds == pytest.approx(got.of_seeds)
    assert crossed.of_conversations == pytest.approx(got.of_conversations, rel=0.35)


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


def fill(store: Store, study: str, dataset: str, share: Callable[[Experiment], float]) -> None:
    """Searches and measured runs of a study's arms, whose share of right answers is given."""
    for arm in (arm for arm in studies.study(study) if arm.dataset == dataset):
        while missing := search.needed(arm, store):
            for e in missing:
                score = Training(1, e.learning_rate * (e.learning_rate < 3e-3), [1.0], [50.0], 0.1, 600)
                store.add(Run(e, {}, {}, tuple("abcdef"), score, 1, 1, 1.0, 1.0))
        for e in studies.measured(arm, store, range(5)):
            if e not in store:
                store.add(run_of(e, share(e)))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three backbones on IEMOCAP, searched and measured: TextCNN gains much, bc-LSTM and DialogueGCN nothing."""
    made_up = Store(tmp_path)
    for backbone, concat, lmam in (("text_cnn", 0.57, 0.7), ("bc_lstm", 0.652, 0.65), ("dialogue_gcn", 0.651, 0.65)):
        values = {"concat": concat, "lmam": lmam}
        fill(made_up, f"headline_{backbone}", "iemocap", lambda e, values=values: values[e.fusion])
    return made_up


def test_context_is_told_from_fusion(store: Store) -> None:
    assert headline.context(store) == {}
    assert findings.context(store) == headline.context_or_fusion(store) == ""
    fill(store, "context_text_cnn", "iemocap", lambda e: {"concat": 0.5, "lmam": 0.62}[e.fusion])
    gains = headline.context(store)
    assert gains["text"].mean == pytest.approx(12, abs=3)
    assert gains["text + audio"].mean == pytest.approx(13, abs=3)
    assert f"**{gains['text'].mean:+.1f} points on IEMOCAP's text alone**" in findings.context(store)
    assert f"| IEMOCAP | {gains['text'].mean:+.1f}" in headline.context_or_fusion(store)


def test_the_headline_follows_the_runs_without_a_hand_on_the_text(store: Store) -> None:
    cells = headline.cells(store)
    rows = headline.table(cells).set_index(["backbone", "dataset"])
    assert rows.of.max() == 3
    gains = rows.loc[("text_cnn", "iemocap")]
    assert gains.word == rule.REPRODUCED
    assert (gains.of, gains.seeds, gains.conversations) == (3, 5, 20)
    assert gains["margin over probe"] == pytest.approx(gains.concatenation - headline.probe_score("iemocap"))
    assert gains.LMAM - gains.concatenation == pytest.approx(gains.gain)
    assert rows.loc[("bc_lstm", "iemocap")].word in (rule.UNDECIDED, rule.EXCLUDED)
    assert rows.loc[("emocaps", "mosi")].word == rule.TOO_FEW
    every = headline.arms(store)
    text = headline.page(cells, every)
    assert text.startswith("**Of 21 comparisons 3 are measured so far; 1 reproduces the reported gain.** 1 ")
    assert "over 3 backbones" in text
    assert f"Every measured arm ({len(every)})" in text
    plain = every[(every.backbone == "text_cnn") & every.arm.str.startswith("concat")].iloc[0]
    assert plain["margin over probe"] == pytest.approx(gains["margin over probe"])
    assert (plain.seeds, plain.learning_rate) == (5, 2e-3)
    assert every["margin over probe"].is_monotonic_increasing
    for run in list(store):
        if run.experiment.backbone == "text_cnn" and run.experiment.fusion == "lmam" and run.outcomes:
            store.path(run.experiment).unlink()
    fewer = headline.page(headline.cells(store), headline.arms(store))
    assert fewer.startswith("**Of 21 comparisons 2 are measured so far; none reproduces")
    row = re.compile(r"^\| TextCNN, IEMOCAP \| \+.* \| 5 \| reproduced \|$", re.M)
    assert row.search(text)
    assert "TextCNN, IEMOCAP |" not in fewer


def test_a_cell_waits_with_excluded_until_every_reading_is_measured(store: Store) -> None:
    for e in [run.experiment for run in store if run.outcomes]:
        if (e.backbone, e.readings) == ("bc_lstm", "keys=others") and e.seed > 1:
            store.path(e).unlink()
    row = headline.table(headline.cells(store)).set_index(["backbone", "dataset"]).loc[("bc_lstm", "iemocap")]
    assert (row.seeds, row.of, row.waiting) == (5, 2, "others")  # a reading with two seeds is no reason to know nothing
    assert row.word == rule.UNDECIDED


def test_a_model_that_is_better_on_text_alone_is_no_baseline(store: Store) -> None:
    place = ("text_cnn", "iemocap")
    assert headline.table(headline.cells(store)).set_index(["backbone", "dataset"]).word[place] == rule.REPRODUCED
    fill(store, "context_text_cnn", "iemocap", lambda e: {"concat": 0.68, "lmam": 0.7}[e.fusion])
    (cell,) = (c for c in headline.cells(store) if (c.backbone, c.dataset) == place)
    assert headline.row(cell)["word"] == rule.NOT_WORKING
    assert cell.bar == pytest.approx(68, abs=3)
    assert cell.bar_of == "itself on text alone"
    assert "because the model without LMAM is too weak" in headline.answer([cell])
    said = headline_page.answer([cell])
    assert f"decides nothing on IEMOCAP: it is below itself on text alone, which has {cell.bar:.1f}." in said


def test_runs_that_ended_at_their_limit_decide_nothing(store: Store) -> None:
    for run in list(store):
        e = run.experiment
        if (e.backbone, e.fusion) == ("text_cnn", "concat") and run.outcomes:
            store.path(e).unlink()
            going_on = Training(20, 50.0, [1.0] * 20, [50.0] * 20, 0.1, 2000)
            store.add(dataclasses.replace(run, training=going_on))
    row = headline.table(headline.cells(store)).set_index(["backbone", "dataset"]).loc[("text_cnn", "iemocap")]
    assert (row.word, row.short) == (rule.NOT_WORKING, "most ended at the limit of their budget while still improving")
    assert "of its runs most ended at the limit" in headline_page.answer(headline.cells(store))


def test_every_arm_of_the_studies_has_a_name_of_its_own() -> None:
    arms = {arm for name in studies.CONVERSATIONS for arm in studies.study(name)}
    assert len({(e.backbone, e.dataset, headline._arm(e)) for e in arms}) == len(arms)


def test_without_runs_the_answer_says_so_and_no_more(tmp_path: Path) -> None:
    assert headline.answer(headline.cells(Store(tmp_path))) == "**None of the 21 comparisons has been measured yet.**"


def test_a_mean_at_the_border_is_decided_by_nothing() -> None:
    assert rule.would_decide(found(0.0, -1.0), 0.0) == "too near 0 for any test set to decide"


def test_a_model_that_does_not_reach_the_probe_decides_nothing(store: Store, monkeypatch) -> None:
    monkeypatch.setattr(headline, "probe_score", lambda dataset: 99.0)
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
    assert got.backbones == 3
    assert got.at_least <= 3
    # Conversations move both backbones together: that part of the variance does not shrink with their number.
    runs = [(c.runs["concatenation"], c.runs["own"]) for c in cells if c.runs["own"]]
    samples = np.array([effects.by_sample(*pair, "weighted_f1") for pair in runs])
    together = (weight / weight.sum() @ samples).std(ddof=1)
    assert got.high - got.mean >= stats.t.ppf(0.975, 2) * np.hypot(together, weight.sum() ** -0.5) * 0.999


def test_backbones_that_do_not_reach_the_probe_are_not_pooled(store: Store, monkeypatch) -> None:
    monkeypatch.setattr(headline, "probe_score", lambda dataset: 99.0)
    assert headline.pooled([c for c in headline.cells(store) if c.dataset == "iemocap"]) is None
