"""The chapter on significance, from runs made up for the test: its figures, its tables, and a store without runs."""

from __future__ import annotations

import dataclasses

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.power import TTestPower

from lmam_book.pages.figures import significance as figures
from lmam_book.paper import p_values as implied
from lmam_book.plans import plans
from lmam_book.plans.arms import STARRED
from lmam_book.verdicts import significance
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.store import Store
from tests.book.verdicts.test_beside_print import made


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
    runs = plans.held("text_cnn", filled)
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


def test_every_seed_is_a_dot_beside_both_intervals() -> None:
    found = {"a": figures.Gain([1.0, 2.0, 3.0], (0.5, 3.5), (-1.0, 4.0), 5.0), "b": figures.Gain([1.0], (0, 0), (0, 0))}
    ax = figures.forest(found, "gain").axes[0]
    dots = [c.get_offsets()[:, 0].tolist() for c in ax.collections]
    assert [1.0, 2.0, 3.0] in dots
    assert [5.0] in dots
    assert [line.get_xdata()[0] for line in ax.lines[1:3]] == [0.5, -1.0]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a (n=3)", "b (n=1)"]
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
    ax = figures.power({"1 point": dict(zip((3, 5, 10, 20), powers, strict=True))}).axes[0]
    assert ax.lines[0].get_ydata().tolist() == powers
    assert set(STARRED) <= set(plans.PLANS)
    plt.close("all")
