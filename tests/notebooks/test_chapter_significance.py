"""The chapter on significance, from runs made up for the test: its figures, its tables, and a store without runs."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from lmam_book.pages.figures import significance as figures
from lmam_book.paper import p_values as implied
from lmam_book.plans import plans
from lmam_book.plans.arms import STARRED
from lmam_book.verdicts import error_rates, headline, significance
from lmam_book.verdicts.effects import Effect
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.store import Store
from tests.book.verdicts.test_beside_paper import made
from tests.notebooks.here import execute
from tests.notebooks.test_chapters import pictures, prose, said

CHAPTER = "17-significance"


@pytest.fixture
def filled(store: Store) -> Store:
    """Both arms of TextCNN on IEMOCAP with four seeds; LMAM recognises more."""
    plan = plans.plan("text_cnn")
    arms = [a for a in plan.arms() if a.dataset == "iemocap"]
    for e in plans.tuning(plan, arms):
        store.add(dataclasses.replace(made(e, 0.5), metrics={}, outcomes={}))
    for e in plans.measured(plan, arms, store, range(4)):
        store.add(made(e, 0.5 if e.fusion == "concat" else 0.7))
    return store


def test_the_spread_of_each_class_is_that_of_its_paired_differences(filled: Store) -> None:
    found = significance.deviations(filled).set_index("class")
    assert set(found.row) == {"TextCNN"}
    assert list(found.index) == ["Happy", "Sad", "Neutral", "Angry", "Excited", "Frustrated"]
    runs = plans.stored_runs("text_cnn", filled)
    f1 = {}
    for r in runs:
        confusion = r.total.reshape(6, 6)
        f1[r.experiment.fusion, r.experiment.seed] = (
            200 * confusion[1, 1] / (confusion[1].sum() + confusion[:, 1].sum())
        )
    differences = [f1["lmam", s] - f1["concat", s] for s in range(4)]
    assert found.loc["Sad", "deviation"] == pytest.approx(np.std(differences, ddof=1))
    assert (found.n == 4).all()
    assert len(implied.beside(significance.deviations(filled))) == 6


def test_an_empty_store_has_no_spreads_and_no_settings(store: Store) -> None:
    assert significance.deviations(store).empty
    assert significance.of_the_book(store) == {}
    assert implied.beside(significance.deviations(store)).empty


def _text(e: Experiment) -> Experiment:
    return dataclasses.replace(e, modalities=("text",), features="")


def test_only_settings_with_both_arms_and_enough_seeds_are_plugged(filled: Store) -> None:
    settings = significance.of_the_book(filled)
    ((name, (key, pair)),) = significance.plugged(settings, 4).items()
    assert name == "iemocap · minilm384, gemaps47 · TextCNN"
    assert key == "text_cnn"
    assert list(pair) == ["concatenation", "LMAM late"]
    assert significance.plugged(settings, 5) == {}
    alone = {a: [dataclasses.replace(r, experiment=_text(r.experiment)) for r in runs] for a, runs in pair.items()}
    assert significance.plugged({"iemocap · minilm384 · TextCNN": alone}) == {}
    del settings[name]["LMAM late"]
    assert significance.plugged(settings) == {}


def test_every_seed_is_a_dot_above_three_intervals() -> None:
    gain = Effect(2.0, 3, 31, of_seeds=0.5, of_conversations=1.0, values=(1.0, 2.0, 3.0))
    ax = figures.forest({"a": gain}, {"a": 5.0}, "gain").axes[0]
    dots = [c.get_offsets()[:, 0].tolist() for c in ax.collections]
    assert [1.0, 2.0, 3.0] in dots
    assert [5.0] in dots
    seeds, conversations, both = [line.get_xdata() for line in ax.lines[1:4]]
    assert seeds == pytest.approx(stats.t.interval(0.95, 2, 2.0, 0.5))
    assert conversations == pytest.approx(stats.t.interval(0.95, 30, 2.0, 1.0))
    assert both == pytest.approx((gain.low, gain.high))
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a (n=3)"]
    plt.close("all")


def test_implied_and_measured_spreads_stand_on_one_axis() -> None:
    a = pd.DataFrame({"row": ["x", "x", "y"], "spread": [0.1, 0.0, 2.0]})
    b = pd.DataFrame({"row": ["x"], "deviation": [3.0]})
    ax = figures.spreads(a, b).axes[0]
    assert ax.get_xscale() == "log"
    drawn = np.concatenate([c.get_offsets()[:, 0].filled(np.nan) for c in ax.collections if len(c.get_offsets())])
    assert set(drawn[np.isfinite(drawn)].round(3)) == {0.1, 0.05, 2.0, 3.0}
    plt.close("all")


def test_classes_are_coloured_by_where_their_interval_lies() -> None:
    rows = [("happy", 3, 1, 5, [2.5, 3.5]), ("sad", -3, -5, -1, [-3.0]), ("angry", 0, -1, 1, [])]
    frame = pd.DataFrame(rows, columns=["class", "gain", "low", "high", "seeds"])
    ax = figures.classes({"TextCNN": frame}, {"TextCNN": {"happy": 7.0}}).axes[0]
    colours = [line.get_color() for line in ax.lines[1:]]
    assert colours == [figures.COLOURS[c] for c in ("lmam", "text", "baseline")]
    assert any(7.0 in c.get_offsets()[:, 0] for c in ax.collections)
    assert any(c.get_offsets()[:, 0].tolist() == [2.5, 3.5] for c in ax.collections)  # no bar without its seeds
    plt.close("all")


def test_power_grows_with_seeds() -> None:
    powers = [implied.power(1.0, 1.0, n) for n in (3, 5, 10, 20)]
    assert powers == sorted(powers)
    certain = [implied.power(5.0, 1.78, n) for n in range(2, 31)]  # statsmodels has NaN for some of these
    assert certain == pytest.approx(sorted(certain), abs=1e-12)
    assert certain[-1] == pytest.approx(1)
    assert [implied.power(d, 2.0, 7) for d in (0, 1, -2)] == pytest.approx(
        [TTestPower().power(d / 2, 7, 0.05) for d in (0, 1, 2)]
    )
    ax = figures.power({"1 point": dict(zip((3, 5, 10, 20), powers, strict=True))}, "IEMOCAP").axes[0]
    assert ax.lines[0].get_ydata().tolist() == powers
    assert set(STARRED) <= set(plans.PLANS)
    plt.close("all")


def test_the_answer_has_the_tables_and_the_stores_numbers(stage: Path) -> None:
    text = said(stage / f"{CHAPTER}.ipynb").replace("**", "").replace("*", "")
    printed, store = implied.printed(), Store()
    assert f"Of {len(printed)} changes that the paper calls significant, {(printed.gain < 0).sum()} are losses" in text
    tests = [
        significance.class_tests(*pair.values())[:-1]
        for name, (_, pair) in significance.plugged(significance.of_the_book(store), 5).items()
        if name.startswith("iemocap")
    ]
    sure = [(t.gain[t.p_t < 0.05] > 0).tolist() for t in tests]
    gains, losses = (sum(side is up for t in sure for up in t) for side in (True, False))
    assert (
        f"Of {sum(map(len, tests))} pairs of class and backbone {gains} gain and {losses} lose at p below 0.05" in text
    )
    rates = error_rates.table().query("readings == 3")
    assert f"reproduced in up to {rates[rates.true == 0].reproduced.max():.1f} % of cases" in text
    half = rates[rates.true == rates.printed / 2]
    assert f"it does so in up to {half.reproduced.max():.0f} %, and would in up to {half.unlowered.max():.0f} %" in text
    sure = headline.certainties(headline.cells(store), 1.0)
    assert f"correlate by {sure.pairing.median():.2f} in the median" in text
    assert f"in {(sure.equivalent < 0.05).sum()} of {len(sure)} comparisons for the best reading" in text.replace(
        "\n", " "
    )
    assert pictures(stage / f"{CHAPTER}.ipynb") == 4


def test_answers_of_the_exercises_are_computed() -> None:
    text = prose(f"{CHAPTER}.ipynb")
    assert f"is {implied.statistic(0.001):.2f}, so" in text
    assert f"= {implied.spread(2.0, 0.001):.2f}$ points" in text
    assert implied.sign_test(5) > 0.05 > implied.sign_test(6)
    assert implied.sign_test(10) > 0.001 > implied.sign_test(11)


def test_over_an_empty_store_of_ones_own_only_the_paper_speaks(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.root.mkdir()
    text = execute(CHAPTER, {"store": str(store.root), "difference": 3.0}, monkeypatch)
    assert "42 are losses" in text
    assert "not yet five seeds" in text
    assert "no runs of the second protocol" in text
    assert re.search(r"14 of 14 claims wait for runs", text)
