"""Arms of several plans beside a table of the paper, on runs that were made up for the test."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
import pytest

from lmam_book.pages import cells_page, live_runs
from lmam_book.pages.figures import common as figures
from lmam_book.pages.style import look
from lmam_book.plans import plans
from lmam_book.verdicts import beside_paper
from lmam_book.verdicts import cells as comparison
from lmam_book.verdicts import paper_tables as tables
from lmam_book.verdicts.cells import Cells
from lmam_book.verdicts.effects import effect
from lmam_book.verdicts.intervals import interval
from lmam_book.verdicts.paper_tables import called, printed
from lmam_core.models.fusion import FUSIONS, Method
from lmam_core.models.fusion.add import Add
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.run import Run
from lmam_core.runs.store import Store
from lmam_core.runs.training import Training
from tests.book.verdicts.test_beside_paper import made

OF = (np.mean, np.median)
RIGHT = {"concat": 0.5, "tfn": 0.5, "lmf": 0.4, "lmam": 0.6}


def label(e: Experiment) -> str | None:
    return called(e.fusion) if e.fusion in RIGHT and e.embedding == "late" and not e.readings else None


def filled(store: Store, run_of: Callable[[Experiment], Run]) -> Cells:
    """bc-LSTM on IEMOCAP with four methods and six seeds."""
    for name in ("bc_lstm", "fusions_bc_lstm"):
        plan = plans.plan(name)
        arms = [a for a in plan.arms() if a.dataset == "iemocap" and a.variant in (None, "paper") and label(a)]
        for e in plans.tuning(plan, arms):
            store.add(dataclasses.replace(made(e, 0.5), metrics={}, outcomes={}))
        for e in plans.measured(plan, arms, store, range(6)):
            store.add(run_of(e))
    printed_ = lambda arm, dataset, metric: printed(9, arm, dataset, metric)  # noqa: E731
    kept = lambda e: label(e) if e.variant in (None, "paper") else None  # noqa: E731
    return Cells("behind bc-LSTM", ("bc_lstm", "fusions_bc_lstm"), kept, "Concatenate", printed_, store)


@pytest.fixture
def cells(store: Store) -> Cells:
    """LMAM gains ten points over concatenation, LFM loses ten."""
    return filled(store, lambda e: made(e, RIGHT[e.fusion]))


def test_arms_of_two_plans_stand_in_one_table(cells: Cells) -> None:
    table = cells.beside("iemocap").set_index("arm")
    assert list(table.index) == ["Concatenate", "LMAM", "TFN", "LFM"]
    assert table.loc["LFM", "paper"] == "71.7"
    assert table.loc["LMAM", "paper"] == "73.0"  # as printed
    assert table.loc["Concatenate", "gain"] == "–"
    assert float(table.loc["LMAM", "gain"].split(" (")[0]) > 5
    assert float(table.loc["LFM", "gain"].split(" (")[0]) < -5
    assert (table.n == 6).all()


def test_the_answer_says_where_an_arm_stands(cells: Cells) -> None:
    place = cells_page.standing(cells, "TFN", "iemocap")
    assert cells_page.standing(cells, "TFN", "mosi") == ""  # nothing was run
    best = np.mean([r.metrics["weighted_f1"] for r in cells.runs if r.experiment.fusion == "lmam"])
    # Alike but for the runs' noise: LMAM is ten points above, LFM ten below.
    assert re.search(
        r"Behind bc-LSTM, IEMOCAP: TFN is number [23] of 4 by mean \([\d.]+ weighted F1 over the 6 ", place
    )
    assert place.endswith(f"reliably ahead of 1 and behind 1. The best is LMAM ({best:.1f}).")


def test_places_are_over_the_seeds_that_all_arms_have(store: Store) -> None:
    """A seed that LMAM alone has, and in which it is far below, moves its mean and not its place."""
    cells = filled(store, lambda e: made(e, RIGHT[e.fusion]))
    e = next(r.experiment for r in cells.runs if r.experiment.fusion == "lmam")
    store.add(made(dataclasses.replace(e, seed=6), 0.0))
    again = dataclasses.replace(cells)
    assert again.beside("iemocap").set_index("arm").n.to_dict() == {"Concatenate": 6, "LMAM": 7, "TFN": 6, "LFM": 6}
    assert re.search(
        r"LMAM is number 1 of 4 by mean .* over the 6 seeds", cells_page.standing(again, "LMAM", "iemocap")
    )


@pytest.mark.parametrize(
    ("where", "title"), [("behind bc-LSTM, text", "Behind bc-LSTM, text"), ("bc-LSTM with LMAM", "bc-LSTM with LMAM")]
)
def test_a_sentence_begins_with_a_capital_and_a_name_stays_as_it_is(cells: Cells, where: str, title: str) -> None:
    named = dataclasses.replace(cells, where=where)
    assert named.title == title
    assert cells_page.missing(named, "iemocap").data.startswith(f"<p>{title}: ")


def test_accuracy_stands_beside_the_papers_where_it_prints_one(cells: Cells) -> None:
    said = cells_page.accuracy([cells], "iemocap").data
    ours = interval([r.metrics["accuracy"] for r in cells.runs if r.experiment.fusion == "tfn"])
    number = printed(9, "TFN", "iemocap", "accuracy")
    row = re.search(r"<td>.*?TFN.*?</tr>", said, re.S)[0]
    assert f"<td>{number}</td>" in row
    assert f"<td>{beside_paper.spread(ours, 1)}</td>" in row
    assert cells_page.accuracy([cells], "mosi").data == ""


def test_variants_of_an_arm_are_no_rivals_of_it(cells: Cells) -> None:
    named = dataclasses.replace(cells, label=lambda e: "TFN, less" if (n := cells.label(e)) == "LFM" else n)
    said = cells_page.standing(named, "TFN", "iemocap")
    assert re.search("TFN is number [23] of 3 by mean, its variants left out ", said)
    assert "of 4 by mean" in cells_page.standing(named, "LMAM", "iemocap")


def test_a_run_that_collapsed_moves_the_mean_and_not_the_median_and_the_limit_is_counted(store: Store) -> None:
    def run_of(e: Experiment) -> Run:
        run = made(e, 0.05 if (e.fusion, e.seed) == ("tfn", 2) else RIGHT[e.fusion])
        if e.fusion != "lmf" or e.seed > 3:
            return run
        return dataclasses.replace(run, training=Training(60, 50.0, [1.0] * 60, [50.0] * 60, 0.1))

    cells = filled(store, run_of)
    table = cells.beside("iemocap").set_index("arm")
    assert float(table.loc["TFN", "median"]) > float(table.loc["TFN", "ours"].split(" ± ")[0]) + 4
    assert table["at limit"].to_dict() == {"Concatenate": 0, "LMAM": 0, "TFN": 0, "LFM": 4}
    assert set(table["one class"]) == {0}
    assert "one class" not in cells_page.table(cells, "iemocap").data
    said = cells_page.standing(cells, "TFN", "iemocap")
    assert re.search("TFN is number [34] of 4 by mean", said)
    assert said.endswith("Stopped before they had learned, so perhaps better: LFM.")


def test_columns_without_anything_in_them_are_left_out(cells: Cells) -> None:
    rows = cells.beside("iemocap")
    assert set(rows) - set(comparison.without_empty_columns(rows)) == {"one class"}
    bare = comparison.without_empty_columns(rows.assign(paper="–", **{"starred row": "–"}))
    assert set(rows) - set(bare) == {"one class", "paper"}
    assert "starred row" not in bare
    kept = comparison.without_empty_columns(
        rows.assign(**{"starred row": ["–", "–", "60.29", "–"], "one class": [0, 2, "–", 0]})
    )
    assert {"paper", "starred row", "one class"} <= set(kept)


def test_runs_that_never_left_one_class_are_counted_and_nothing_is_decided_against_them(store: Store) -> None:
    stuck = lambda e: e.fusion == "lmf" and e.seed in (1, 4)  # noqa: E731
    cells = filled(store, lambda e: made(e, 0.0 if stuck(e) else RIGHT[e.fusion]))
    table = cells.beside("iemocap").set_index("arm")
    assert table["one class"].to_dict() == {"Concatenate": 0, "LMAM": 0, "TFN": 0, "LFM": 2}
    assert "one class: runs that give every utterance the same class" in cells_page.table(cells, "iemocap").data
    verdicts = cells.verdicts("LMAM", ["iemocap"]).set_index("claim").verdict
    assert verdicts["LMAM beats LFM"] == "baseline not working"
    assert verdicts["LMAM beats Concatenate"] == "reproduced"
    said = cells_page.standing(cells, "LMAM", "iemocap")
    assert said.endswith("Stopped before they had learned, so perhaps better: LFM.")


def test_cells_that_were_not_run_show_dashes_and_are_counted(cells: Cells) -> None:
    table = cells.beside("mosi").set_index("arm")
    assert (table.n == 0).all()
    assert (table.ours == "–").all()
    assert (
        "0 of 4 cells on CMU-MOSI have at least five seeds, 4 have none yet" in cells_page.missing(cells, "mosi").data
    )
    one, two = (f"<code>lmam sweep {name} --store {cells.store.root}</code>" for name in ("bc_lstm", "fusions_bc_lstm"))
    both = f"{one} and {two} go on."
    assert both in cells_page.missing(cells, "mosi").data
    six = cells_page.missing(cells, "iemocap").data
    assert f"4 of 4 cells on IEMOCAP have at least five seeds; {one} and" in six
    assert six.endswith("go on to 10.</p>")
    assert cells_page.table(cells, "mosi").data == ""  # Table IX prints nothing for MOSI either
    assert cells_page.table(cells, "iemocap").data.count("<tr") == 5
    assert cells_page.seeds(cells, "mosi", "x") is None
    assert cells_page.trade(cells, "mosi", cells.parameters("mosi"), "x") is None


def test_verdicts_follow_the_runs(cells: Cells) -> None:
    rows = cells.verdicts("LMAM", ["iemocap", "mosi"]).set_index(["claim", "dataset"])
    assert rows.loc[("LMAM beats Concatenate", "iemocap"), "verdict"] == "reproduced"
    assert rows.loc[("LMAM beats LFM", "iemocap"), "paper"] == "+1.30"
    assert ("LMAM beats Concatenate", "mosi") not in rows.index  # Table IX prints nothing for MOSI
    for path in cells.store.root.glob("iemocap/bc_lstm/lmam.late*.honest.*"):
        path.unlink()
    again = dataclasses.replace(cells)
    assert set(again.verdicts("LMAM", ["iemocap"]).verdict) == {"too few runs"}


def test_against_a_broken_arm_nothing_is_decided_and_no_figure_shows_it(cells: Cells) -> None:
    broken = dataclasses.replace(cells, broken=frozenset({"LFM"}))
    for known, word in ((cells, "reproduced"), (broken, "baseline not working")):
        assert known.verdicts("LMAM", ["iemocap"]).set_index("claim").verdict["LMAM beats LFM"] == word
    assert broken.short("iemocap") == ["LFM"]
    (ax,) = cells_page.seeds(broken, "iemocap", "weighted F1 %").axes
    assert "LFM" not in " ".join(t.get_text() for t in ax.get_yticklabels())
    assert ax.get_xlabel().endswith("not drawn, as they did not learn: LFM")
    assert "LFM" not in cells_page.trade(broken, "iemocap", cells.parameters("iemocap"), "parameters").data


def test_a_word_of_newer_runs_is_referred_to(cells: Cells) -> None:
    said = cells_page.claims(cells, "LMAM", "iemocap", later={"TFN"}).data
    assert said.count("second protocol, above") == 1
    assert said.count("reproduced") == 4


def test_gains_over_other_runs_wait_for_five_seeds_and_leave_variants_out(cells: Cells) -> None:
    alone = cells.of("TFN", "iemocap")
    assert len(alone) == 6
    gains = comparison.gains_over(cells, alone, "iemocap")
    assert list(gains) == ["Concatenate", "LMAM", "TFN", "LFM"]
    assert gains["TFN"].mean == 0
    assert gains["LFM"].high < 0 < gains["LMAM"].low
    assert comparison.gains_over(cells, alone[:4], "iemocap") == {}
    varied = dataclasses.replace(cells, label=lambda e: f"{name}, again" if (name := cells.label(e)) == "LFM" else name)
    assert "LFM, again" not in comparison.gains_over(varied, alone, "iemocap")


def test_how_much_larger_a_gain_is_here_is_the_difference_of_the_gains(cells: Cells) -> None:
    concat, lmam, tfn, lfm = (cells.of(arm, "iemocap") for arm in ("Concatenate", "LMAM", "TFN", "LFM"))
    more = comparison.gain_difference((concat, lmam), (tfn, lfm), "weighted_f1")
    here, there = effect(concat, lmam, "weighted_f1"), effect(tfn, lfm, "weighted_f1")
    assert more.mean == pytest.approx(here.mean - there.mean)
    assert more.values == pytest.approx(np.subtract(here.values, there.values))
    assert more.of_seeds == pytest.approx(np.std(more.values, ddof=1) / len(more.values) ** 0.5)
    again = comparison.gain_difference((concat, lmam), (concat, lmam), "weighted_f1")
    assert again.mean == pytest.approx(0)
    assert again.of_conversations == pytest.approx(0, abs=1e-9)
    assert comparison.gain_difference((concat, lmam), (tfn, lfm[:1]), "weighted_f1") is None


def test_claims_stand_in_one_row_with_both_gains_and_the_word(cells: Cells) -> None:
    said = cells_page.claims(cells, "LMAM", "iemocap").data
    row = re.search(r"<td>.*?Concatenate.*?</tr>", said, re.S)[0]
    gain = beside_paper.signed(cells.gain("LMAM", "iemocap", "weighted_f1", "Concatenate"))
    assert gain in row
    assert "+4.90" in row
    assert "reproduced" in row
    assert said.count("<tr") == 5
    assert cells_page.claims(cells, "LMAM", "mosi").data == ""


def test_figures_draw_every_arm(cells: Cells) -> None:
    figure = cells_page.seeds(cells, "iemocap", "weighted F1 %")
    assert len(figure.axes[0].get_yticklabels()) == 4
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names[0].startswith("LMAM")  # the best first
    beside = cells_page.seeds(cells, "iemocap", "weighted F1 %", cells.of("TFN", "iemocap"))
    assert beside.axes[0].get_yticklabels()[0].get_text() == "text alone (n=6)"
    low = np.array([beside_paper.values(cells.frame, "iemocap", "weighted_f1")["LFM"][seed] for seed in range(6)])
    assert 0 <= figure.axes[0].get_xlim()[0] < low.min()
    drawn = cells_page.trade(cells, "iemocap", cells.parameters("iemocap"), "parameters").data
    assert drawn.count('<g class="lmam-dot" tabindex="0" role="img" aria-label="') == 8  # wide, and for a phone
    ids = re.findall(r' id="([^"]*)"', drawn)
    assert len(ids) == len(set(ids))
    by_arm = cells.frame[cells.frame.dataset == "iemocap"].groupby("arm").parameters.first()
    assert cells.parameters("iemocap") == by_arm.to_dict()
    assert cells_page.trade(cells, "iemocap", {"LFM": 7.0, "never run": 1.0}, "seconds") is None  # nothing to compare
    one = cells_page.trade(cells, "iemocap", {"LFM": 7.0, "TFN": 9.0, "never run": 1.0}, "seconds\nof a step").data
    dot, again = re.findall(r'role="img" aria-label="(LFM[^"]*)"', one)
    assert dot == again
    assert re.fullmatch(r"LFM; weighted F1 %: [\d.]+ \[.*\] \(n = 6\); seconds: 7", dot)
    # What is said is also drawn, where the dot is.
    one = one[one.index(dot) :]
    assert re.findall("<tspan[^>]*>([^<]*)</tspan>", one)[:3] == dot.split("; ")
    ring = re.search('<circle cx="([^"]*)" cy="([^"]*)"', one)
    marker = re.search('<circle .*?<use [^>]*x="([^"]*)" y="([^"]*)"', one, re.DOTALL)
    assert [*map(float, ring.groups())] == [*map(float, marker.groups())]
    assert "never run" not in one
    assert "</svg>" in drawn


def test_names_of_crowded_dots_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with plt.rc_context(look()):
        crowd(monkeypatch)


def crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six methods close to each other, and one that has its axes for itself."""
    drawn = []
    monkeypatch.setattr(figures.plt, "close", drawn.append)
    points = {f"method {k}": (100.0 + k % 2, interval([70 + k / 10, 70.4 + k / 10])) for k in range(6)}
    figures.trade(points | {"run once": (140.0, interval([72.0]))}, "parameters", "weighted F1 %")
    (ax,) = drawn[0].axes
    boxes = {text.get_text(): text.get_window_extent() for text in ax.texts}
    assert boxes.keys() == {*points, "run once"}
    dots = [ax.transData.transform((cost, found.mean)) for cost, found in points.values()]
    for name, box in boxes.items():
        assert not any(box.overlaps(other) for title, other in boxes.items() if title != name)
        assert not any(box.contains(*dot) for dot in dots)
    assert all(line.get_linestyle() == ":" for line in ax.lines[len(points) :])
    figures.trade({"alone": (321.0, interval([61.0, 62.0]))}, "ms", "weighted F1 %")
    (ax,) = drawn[2].axes
    assert ax.viewLim.width > 20  # as wide as the dot alone makes it
    assert ax.bbox.padded(2).contains(*ax.texts[0].get_window_extent().min)


def test_without_any_run_a_page_still_says_what_there_is(store: Store) -> None:
    empty = Cells("behind EmoCaps", ("fusions_emocaps",), lambda e: called(e.fusion), "Concatenate", store=store)
    assert "have none yet" in cells_page.missing(empty, "mosi").data
    assert set(empty.beside("mosi").ours) == {"–"}
    assert set(empty.verdicts("LMAM", ["mosi"]).columns) >= {"claim", "verdict"}
    assert cells_page.trade(empty, "mosi", empty.parameters("mosi"), "x") is None


def test_what_the_paper_does_not_print_is_nan() -> None:
    assert printed(9, "TFN", "iemocap", "weighted_f1") == 70.1
    assert np.isnan(printed(9, "TFN", "mosi", "acc2"))
    assert np.isnan(printed(9, "nothing", "iemocap", "accuracy"))


def test_a_live_comparison_trains_its_arms() -> None:
    arms = {
        name: live_runs.quick(Experiment(fusion=name), "quick", epochs=1, dialogues=6, batch_size=3)
        for name in ("add", "lmf")
    }
    trained = live_runs.train(arms)
    rows = [live_runs.scored(name, *parts) for name, parts in trained.items()]
    assert [row["arm"] for row in rows] == ["add", "lmf"]
    assert all(row["weighted_f1"] > 0 for row in rows)
    assert "would take about" in live_runs.full(trained, batch_size=3)
    assert live_runs.quick(Experiment(), "full").updates == 2000


def test_each_table_has_the_rows_of_the_papers_and_what_is_registered(store: Store, monkeypatch) -> None:
    nine = set(tables.fusion_methods("emocaps", store).arms("iemocap"))
    assert nine == set(tables.methods().values()) | {"LMAM, algorithm1", "LMAM, released"}
    assert nine == set(tables.fusion_methods("bc_lstm", store).arms("iemocap"))
    monkeypatch.setitem(FUSIONS, "sum_of_all", Method(Add, "the sum"))  # the plans and the table have it
    for backbone in ("bc_lstm", "emocaps"):
        assert "the sum" in tables.fusion_methods(backbone, store).arms("iemocap")
    for backbone in ("bc_lstm", "mm_dfn", "m2fnet", "emocaps"):
        ways = tables.embedding_ways(backbone, store)
        assert set(ways.arms("mosi")) == {"concatenation", "LMAM early", "LMAM early + residual", "LMAM late"}
        assert np.isfinite(ways.printed("LMAM early + residual", "iemocap", "weighted_f1"))
        equal = tables.equal_parameters(backbone, store)
        assert len(equal.arms("iemocap")) == 3
        assert all(np.isfinite(equal.printed(arm, "iemocap", "accuracy")) for arm in equal.arms("iemocap"))
    assert (
        tables.equal_parameters("bc_lstm", store).printed("concatenation, widened", "iemocap", "weighted_f1") == 52.19
    )
    ranks = tables.rank_sweep(store).arms("mosi")
    assert set(ranks) == {"full weight", *(f"rank {r}" for r in (1, 5, 15, 30, 45, 55, 65, 100, 200))}
    ten = tables.modality_sets("LMAM late", store)
    subsets = {"T", "A", "V", "T+A", "T+V", "A+V", "T+A+V"}
    assert {a for a in ten.arms("mosi") if "shuffled" not in a} == subsets
    assert all(np.isfinite(ten.printed(a, "iemocap", "weighted_f1")) for a in subsets)
    assert ten.printed("A+V", "iemocap", "weighted_f1") == 65.8
    assert "T+A+V, A+V shuffled" in ten.arms("mosi")
    assert set(tables.modality_sets("concatenation", store).arms("mosi")) == set(ten.arms("mosi"))


def test_what_is_missing_names_the_plan_that_makes_it_and_full_comparisons_share_a_sentence(cells: Cells) -> None:
    for path in cells.store.root.glob("iemocap/bc_lstm/tfn.*honest.s[1-5]*"):
        path.unlink()
    again = dataclasses.replace(cells)
    assert again.lacking("iemocap") == {"TFN": 1}
    said = cells_page.missing(again, "iemocap").data
    assert "3 of 4 cells on IEMOCAP have at least five seeds; " in said
    assert "</p>" in said
    assert re.findall("<code>(.*?)</code>", said) == [f"lmam sweep fusions_bc_lstm --store {cells.store.root}"]
    full = dataclasses.replace(cells, where="elsewhere", label=lambda e: cells.label(e) if e.fusion != "tfn" else None)
    folded = cells_page.progress([again, full, full], ["iemocap"]).data
    assert folded.startswith("<details>")
    assert folded.count("<p>") == 2
    assert "<p>At least five seeds in every cell: elsewhere on IEMOCAP, elsewhere on IEMOCAP.</p>" in folded
    assert "every cell" not in cells_page.progress([again], ["iemocap"]).data
