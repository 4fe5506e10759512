"""The audit on generated tables: planted truths are found, planted errors are found, and nothing else is."""

import numpy as np
import pandas as pd
import pytest

from lmam_book.forensics import audit
from lmam_book.forensics.averages import best_weights, largest_difference, near_supports
from lmam_book.forensics.completion import completed
from lmam_book.forensics.counts import READINGS
from lmam_book.forensics.error_rates import error_rates
from lmam_book.forensics.simulated import chance, plant, simulated, table
from lmam_book.paper.printed import TEST_SUPPORT

IEMOCAP, MELD = TEST_SUPPORT["IEMOCAP"], TEST_SUPPORT["MELD"]
SMALL = {"A": 60, "B": 90, "C": 31}


@pytest.fixture(scope="module", params=READINGS)
def correct(request):
    """A correct table of Table II's size, the counts behind it, its reading, and its audit."""
    made, counts = table(IEMOCAP, request.param, 15, seed=READINGS.index(request.param))
    return made, counts, request.param, audit(made, IEMOCAP)


def test_a_correct_table_has_no_impossible_cell_and_its_reading_is_found(correct):
    _, _, reading, found = correct
    assert set(found.pairs["verdict"]) == {"possible"}
    assert set(found.rows["reading"]) == {reading}
    assert set(found.rows["supports"]) == {"given"}
    assert set(found.cells["verdict"]) == {"possible", "agrees"}
    assert found.rows["matrix"].all()
    assert not found.findings["kind"].isin(["no reading", "impossible pair", "beyond every bound", "completed"]).any()


def test_the_accuracy_behind_a_correct_table_is_found(correct):
    _, counts, reading, found = correct
    exact = 100 * np.trace(counts[:, 0], axis1=1, axis2=2) / sum(IEMOCAP.values())
    assert (found.rows["accuracy_low"] <= exact + 1e-9).all()
    assert (exact <= found.rows["accuracy_high"] + 1e-9).all()
    if reading == "precision":  # its average is not the accuracy
        assert (abs(found.rows["printed_average"] - exact) > 0.05).any()


def test_planted_errors_are_found_and_nothing_else(correct):
    made, _, _, _ = correct
    spoiled, where = plant(made, IEMOCAP, 7, seed=3)
    assert len(where) == 7
    pairs = audit(spoiled, IEMOCAP).pairs
    bad = pairs[pairs["verdict"].str.startswith("impossible")]
    assert set(zip(bad["row"], bad["class"], strict=True)) == set(where)


def test_supports_are_found_without_being_told():
    made, _ = table(MELD, "precision", 15, seed=4)
    found = audit(made)
    (only,) = found.sets
    assert (only.name, only.n, only.total) == ("searched (precision)", MELD, 2610)
    assert set(found.pairs["verdict"]) == {"possible"}


def test_other_supports_than_the_stated_ones_are_found():
    true = {"Happy": 135, "Sad": 229, "Neutral": 379, "Angry": 168, "Excited": 295, "Frustrated": 358}
    made, _ = table(true, "recall", 15, seed=5)
    found = audit(made, IEMOCAP)
    assert [(s.name, s.n) for s in found.sets] == [("given", IEMOCAP), ("searched (recall)", true)]
    assert set(found.rows["supports"]) == {"searched (recall)"}
    assert set(found.pairs["verdict"]) == {"possible"}


@pytest.mark.parametrize("n", [270, 271])
def test_a_support_is_not_mistaken_for_a_part_of_itself(n: int):
    """270 = 2 · 135: about a quarter of its counts exist on 135 as well, which is no reason to halve it."""
    true = {**IEMOCAP, "Happy": n}
    for seed in range(5):
        made, _ = table(true, "precision", 8, seed=seed)
        found = audit(made, total=sum(true.values())).searched["precision"].set_index("class")
        assert found.n.to_dict() == true


def test_supports_that_are_too_many_together_are_not_audited_and_that_is_said():
    true = {"Happy": 135, "Sad": 229, "Neutral": 379, "Angry": 168, "Excited": 295, "Frustrated": 358}
    made, _ = table(true, "recall", 15, seed=5)
    small = {**dict.fromkeys(true, 10), "Neutral": 450}  # the printed numbers are of more utterances than these 500
    found = audit(made, small)
    assert [s.name for s in found.sets] == ["given"]
    said = found.findings[found.findings.kind == "supports"].finding
    assert said.str.contains("together 1,564 utterances, more than there are: no row is audited with them").sum() == 1


def test_a_row_whose_numbers_imply_no_predictions_is_no_error():
    made, _ = table({"a": 40, "b": 60, "c": 80}, "recall", 1, seed=3)
    made.loc[made.index[0], ("a", "Acc")], made.loc[made.index[0], ("a", "F1")] = "5.00", "12.00"
    found = audit(made, {"a": 40, "b": 60, "c": 80}).findings
    assert "implied predictions" not in set(found.kind)
    assert "beyond every bound" in set(found.kind)


def test_arbitrary_numbers_have_no_reading():
    rng = np.random.default_rng(6)
    columns = pd.MultiIndex.from_product([IEMOCAP, ["Acc", "F1"]])
    made = pd.DataFrame(rng.uniform(40, 80, (15, 12)), columns=columns).map(lambda x: f"{x:.2f}")
    found = audit(made, IEMOCAP)
    assert set(found.rows["reading"]) == {"none"}
    assert (found.pairs["verdict"].str.startswith("impossible")).mean() > 0.9
    assert not any(found.searched[r]["named"].any() for r in found.searched)


def test_means_over_runs_are_not_called_impossible_for_means():
    made, _ = table(IEMOCAP, "recall", 15, runs=5, seed=7)
    verdicts = audit(made, IEMOCAP).pairs["verdict"]
    assert "impossible for means" not in set(verdicts)
    assert (verdicts == "impossible").mean() > 0.8
    assert chance("impossible", 5, tuple(IEMOCAP.values()), "recall", 5) > 0.8
    assert chance("impossible", 1, tuple(IEMOCAP.values()), "recall", 1) == 0


def test_an_f1_beyond_the_bound_of_means_is_found():
    made, _ = table(IEMOCAP, "recall", 3, seed=8)
    made.loc["method 2", ("Sad", "Acc")], made.loc["method 2", ("Sad", "F1")] = "5.14", "20.09"
    found = audit(made, IEMOCAP)
    verdict = found.pairs.set_index(["row", "class"])["verdict"]
    assert verdict["method 2", "Sad"] == "impossible for means"
    (finding,) = found.findings[found.findings["kind"] == "beyond every bound"].to_dict("records")
    assert "F1 20.09 is higher than Acc. 5.14 allows" in finding["finding"]


@pytest.mark.parametrize("metric", ["Acc", "F1"])
def test_one_changed_digit_is_put_right_by_the_rest_of_its_row(metric):
    made, counts = table(IEMOCAP, "precision", 15, seed=9)
    changed = made.copy()
    was = made.loc["method 1", ("Neutral", metric)]
    changed.loc["method 1", ("Neutral", metric)] = f"{float(was) + 0.2:.2f}"
    found = audit(changed, IEMOCAP)
    completion = completed(found, 0)
    assert (completion.metric, f"{completion.follows:.2f}") == (metric, was)
    matrix = counts[0, 0]
    assert (completion.hits, completion.predictions) == (matrix[2, 2], matrix[:, 2].sum())
    assert completion.joined.realised == (np.trace(matrix),)
    assert completed(found, 1) is None


def test_a_missing_number_is_not_made_up():
    made, _ = table(IEMOCAP, "precision", 5, seed=9)
    made.loc["method 1", ("Neutral", "Acc")] = ""
    found = audit(made, IEMOCAP)
    assert found.fits[0].named
    assert completed(found, 0) is None
    assert found.row_matrices(0) is None


def test_a_shifted_average_disagrees():
    made, _ = table(IEMOCAP, "recall", 4, seed=10)
    made.loc["method 3", ("Average(w)", "F1")] = f"{float(made.loc['method 3', ('Average(w)', 'F1')]) + 0.03:.2f}"
    cells = audit(made, IEMOCAP).cells
    wrong = cells[cells["verdict"] == "disagrees"]
    assert wrong[["row", "column", "metric"]].to_numpy().tolist() == [["method 3", "Average(w)", "F1"]]


def test_the_weights_of_averages_are_found():
    true = SMALL | {"B": 89}
    made, _ = table(true, "recall", 12, seed=11)
    found = audit(made, SMALL)
    weights, least = best_weights(found.table)
    assert weights == pytest.approx(np.array([60, 89, 31]) / 180, abs=5e-4)
    assert least < 0.01 < largest_difference(found.table, np.array([60, 90, 31]) / 181)
    assert (60, 89, 31) in near_supports(found.table, found.sets[0])
    assert (60, 90, 31) not in near_supports(found.table, found.sets[0])


def test_truncated_digits_need_the_truncated_mode():
    made, _ = table(SMALL, "recall", 8, places=6, seed=12)
    cut = made.map(lambda x: x[: x.index(".") + 3])
    assert set(audit(cut, SMALL, rounding="truncated").pairs["verdict"]) == {"possible"}
    assert (audit(cut, SMALL).pairs["verdict"] != "possible").any()


def test_simulated_correct_rows_are_within_rounding():
    found = simulated(tuple(IEMOCAP.values()), "recall", 1)
    assert len(found) == 600
    assert (found["impossible"] == 0).all()
    assert (found["off"] <= 1).all()
    assert (found["implied"] - 1).abs().max() < 1e-3


def test_error_rates_of_the_audit_count_no_false_alarm_and_no_miss():
    found = error_rates(SMALL, rows=12, tables=2, planted=3)
    assert list(found["Acc. is"]) == ["recall", "precision"]
    assert (found["false_alarms"] == 0).all()
    assert (found[["reading_found", "found", "accuracy_found", "supports_found"]] == 1).all(axis=None)


def test_without_supports_and_with_one_row_nothing_is_said_of_the_cells():
    made, _ = table(IEMOCAP, "recall", 1, seed=13)
    found = audit(made)
    assert found.sets == []
    assert set(found.cells["verdict"]) == {"not checkable"}
    assert set(found.findings["kind"]) == {"supports"}


def test_findings_are_the_same_every_time():
    made, _ = table(SMALL, "precision", 5, seed=14)
    pd.testing.assert_frame_equal(audit(made, SMALL).findings, audit(made, SMALL).findings)
