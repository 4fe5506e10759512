"""The transcription of the LMAM paper, and the exact list of printed numbers that disagree with one another."""

import copy

import pytest

from lmam_book.paper import consistency
from lmam_book.paper import printed as paper
from lmam_core import paths
from lmam_core.errors import LmamError

CELLS = {1: 16, 2: 308, 3: 352, 4: 176, 5: 60, 6: 75, 7: 48, 8: 56, 9: 48, 10: 28, 11: 32, 12: 4, 13: 12, 14: 30}

SPOTS = [
    (1, "MELD", "test", "utterances", "count", "2610"),
    (1, "POM", "train+val", "dialogues", "count", "N/A"),
    (2, "IEMOCAP", "bc-LSTM*", "Happy", "Acc", "86.67"),
    (2, "IEMOCAP", "EmoCaps", "Average(w)", "F1", "70.06"),
    (2, "IEMOCAP", "DialogueGCN delta", "Frustrated", "F1", "-8.6"),
    (3, "MELD", "TextCNN*", "Fear", "F1", "0.00"),
    (3, "MELD", "M2FNet delta", "Neutral", "Acc", "-4.48"),
    (3, "MELD", "EmoCaps*", "Average(w)", "Acc", "64.93"),
    (4, "CMU-MOSI", "EmoCaps*", "overall", "Corr", "0.89"),
    (4, "CMU-MOSI", "M2FNet delta", "overall", "MAE", "0"),
    (4, "POM", "bc-LSTM+Att", "overall", "Corr", "0.30"),
    (5, "all", "MM-DFN◇", "overall", "params_M", "2.83"),
    (5, "IEMOCAP", "EmoCaps", "overall", "F1", "71.06"),
    (6, "all", "bc-LSTM+Att", "overall", "params_M", "4.7"),
    (6, "POM", "EmoCaps*", "overall", "running_time_s", "3.06"),
    (7, "IEMOCAP", "TextCNN", "Happy", "p", "9.8e-10"),
    (7, "IEMOCAP", "DialogueRNN", "Sad", "p", "3.4e-2"),
    (8, "MELD", "EmoCaps", "Sadness", "p", "4.7e-2"),
    (9, "MELD", "Add", "overall", "F1", "64.0"),
    (9, "IEMOCAP", "LoRA◇", "overall", "Acc", "60.7"),
    (10, "MELD", "V+A", "overall", "Acc", "61.0"),
    (11, "IEMOCAP", "M2FNet*", "overall", "F1", "57.96"),
    (11, "MELD", "MM-DFN*(R)", "overall", "Acc", "68.02"),
    (12, "unstated", "Self-attention", "overall", "params_M", "3.42"),
    (13, "Diginetica", "DHCN*", "overall", "MRR@20", "18.69"),
    (14, "UR-FUNNY", "C-MFN(P)*", "T+V", "Acc", "66.59"),
]

# (table, backbone, column, metric): (printed, recomputed)
WRONG_DELTAS = {
    (2, "TextCNN delta", "Frustrated", "Acc"): (-3.87, -3.93),
    (2, "TextCNN delta", "Frustrated", "F1"): (3.29, 3.38),
    (2, "DialogueGCN delta", "Average(w)", "F1"): (0.51, 0.50),
    (2, "MM-DFN delta", "Average(w)", "Acc"): (1.16, 1.17),
    (2, "MM-DFN delta", "Average(w)", "F1"): (1.48, 1.49),
    (3, "TextCNN delta", "Average(w)", "F1"): (1.47, 1.46),
    (3, "M2FNet delta", "Neutral", "Acc"): (-4.48, -0.48),
    (3, "M2FNet delta", "Average(w)", "Acc"): (0.50, 0.49),
    (3, "EmoCaps delta", "Disgust", "F1"): (-0.84, -0.64),
    (3, "EmoCaps delta", "Average(w)", "F1"): (0.97, 0.91),
}

# (method, dataset, metric, place, other place): (value, other value)
WRONG_ACROSS = {
    ("EmoCaps", "IEMOCAP", "F1", "Table II", "Table V"): (70.06, 71.06),
    ("bc-LSTM*", "IEMOCAP", "Acc", "Table II", "Table XI"): (65.55, 59.49),
    ("bc-LSTM*", "IEMOCAP", "F1", "Table II", "Table XI"): (60.29, 59.16),
    ("MM-DFN*", "IEMOCAP", "Acc", "Table II", "Table XI"): (69.94, 67.93),
    ("MM-DFN*", "IEMOCAP", "F1", "Table II", "Table XI"): (69.69, 67.15),
    ("M2FNet*", "IEMOCAP", "Acc", "Table II", "Table XI"): (70.31, 68.35),
    ("M2FNet*", "IEMOCAP", "F1", "Table II", "Table XI"): (70.07, 57.96),
    ("EmoCaps*", "IEMOCAP", "Acc", "Table II", "Table XI"): (73.67, 71.49),
    ("EmoCaps*", "IEMOCAP", "F1", "Table II", "Table XI"): (73.01, 71.01),
    ("bc-LSTM*", "MELD", "Acc", "Table III", "Table XI"): (54.97, 57.69),
    ("bc-LSTM*", "MELD", "F1", "Table III", "Table XI"): (56.85, 55.47),
    ("MM-DFN*", "MELD", "Acc", "Table III", "Table XI"): (60.65, 63.28),
    ("MM-DFN*", "MELD", "F1", "Table III", "Table XI"): (59.62, 61.12),
    ("M2FNet*", "MELD", "Acc", "Table III", "Table XI"): (64.13, 67.47),
    ("M2FNet*", "MELD", "F1", "Table III", "Table XI"): (60.97, 66.59),
    ("EmoCaps*", "MELD", "Acc", "Table III", "Table XI"): (64.93, 65.03),
    ("EmoCaps*", "MELD", "F1", "Table III", "Table XI"): (63.88, 64.22),
    ("bc-LSTM*", "IEMOCAP", "Acc", "Table II", "Table XI (R)"): (65.55, 61.77),
    ("bc-LSTM*", "IEMOCAP", "F1", "Table II", "Table XI (R)"): (60.29, 60.49),
    ("MM-DFN*", "IEMOCAP", "Acc", "Table II", "Table XI (R)"): (69.94, 69.82),
    ("MM-DFN*", "IEMOCAP", "F1", "Table II", "Table XI (R)"): (69.69, 69.68),
    ("M2FNet*", "IEMOCAP", "Acc", "Table II", "Table XI (R)"): (70.31, 70.27),
    ("bc-LSTM*", "MELD", "Acc", "Table III", "Table XI (R)"): (54.97, 59.56),
    ("bc-LSTM*", "MELD", "F1", "Table III", "Table XI (R)"): (56.85, 57.49),
    ("MM-DFN*", "MELD", "Acc", "Table III", "Table XI (R)"): (60.65, 68.02),
    ("MM-DFN*", "MELD", "F1", "Table III", "Table XI (R)"): (59.62, 65.24),
    ("M2FNet*", "MELD", "Acc", "Table III", "Table XI (R)"): (64.13, 68.34),
    ("M2FNet*", "MELD", "F1", "Table III", "Table XI (R)"): (60.97, 67.25),
    ("LMAM", "IEMOCAP", "Acc", "Table IX", "Sec. V-E"): (73.7, 73.0),
    ("LMAM", "MELD", "Acc", "Table IX", "Sec. V-E"): (64.9, 65.4),
    ("LMAM", "MELD", "F1", "Table IX", "Sec. V-E"): (63.9, 64.9),
    ("LMAM - Add", "IEMOCAP", "Acc", "Table IX", "Sec. V-E"): (2.4, 1.7),
    ("LMAM - Add", "MELD", "Acc", "Table IX", "Sec. V-E"): (0.6, 1.1),
    ("LMAM - Add", "MELD", "F1", "Table IX", "Sec. V-E"): (-0.1, 0.9),
    ("LMAM - Concatenate", "IEMOCAP", "Acc", "Table IX", "Sec. V-E"): (4.8, 4.1),
    ("LMAM - Concatenate", "MELD", "Acc", "Table IX", "Sec. V-E"): (2.3, 2.8),
    ("LMAM - Concatenate", "MELD", "F1", "Table IX", "Sec. V-E"): (2.8, 3.8),
}


@pytest.fixture(scope="module")
def deltas():
    return consistency.audit_deltas()


@pytest.fixture(scope="module")
def averages():
    return consistency.audit_averages()


@pytest.fixture(scope="module")
def across():
    return consistency.audit_cross_table()


@pytest.mark.parametrize(("number", "count"), CELLS.items())
def test_table_holds_every_cell_once(number, count):
    cells = paper.table(number)
    assert len(cells) == count
    assert not cells.duplicated(paper.KEY).any()
    assert set(cells["table"]) == {number}
    assert set(cells["value"][cells["number"].isna()]) <= {"N/A"}


@pytest.mark.parametrize(("number", "dataset", "row", "column", "metric", "value"), SPOTS)
def test_spot_cells(number, dataset, row, column, metric, value):
    printed = paper.table(number).set_index(paper.KEY)["value"]
    assert printed[dataset, row, column, metric] == value
    expected = float("nan") if value == "N/A" else float(value)
    assert paper.cell(number, row, column, metric, dataset) == pytest.approx(expected, nan_ok=True)


def test_every_table_has_a_spot_cell():
    assert {spot[0] for spot in SPOTS} == set(CELLS)


@pytest.mark.parametrize("number", CELLS)
def test_rows_are_complete(number):
    cells = paper.table(number)
    assert cells.groupby(["dataset", "row"]).size().groupby("dataset").nunique().eq(1).all()


def test_values_lie_where_their_metric_lives():
    import pandas as pd

    cells = pd.concat([paper.table(number) for number in CELLS])
    cells = cells[~cells["row"].str.endswith(paper.DELTA)].dropna(subset="number")
    percent = cells["metric"].isin(["Acc", "F1", "Acc-2", "Acc-7"]) | cells["metric"].str.contains("@")
    assert cells.loc[percent, "number"].between(0, 100).all()
    assert cells.loc[cells["metric"].isin(["p", "Corr"]), "number"].between(0, 1).all()
    assert (cells.loc[~percent, "number"] > 0).all()


@pytest.mark.parametrize("number", [2, 3, 4])
def test_change_rows_carry_an_arrow_and_have_their_rows(number):
    cells = paper.table(number)
    change = cells["row"].str.endswith(paper.DELTA)
    assert (change == (cells["arrow"] != "")).all()
    assert (cells["number"][cells["arrow"] == "down"] < 0).all()
    assert (cells["number"][cells["arrow"] == "up"] >= 0).all()
    rows = set(cells["row"])
    for row in set(cells["row"][change]):
        backbone = row.removesuffix(paper.DELTA)
        assert {backbone, f"{backbone}*"} <= rows


def test_only_tables_2_to_4_print_changes():
    assert {n for n in CELLS if (paper.table(n)["arrow"] != "").any()} == {2, 3, 4}


@pytest.mark.parametrize("number", [2, 3])
def test_bold_marks_the_best_of_each_backbone(number):
    cells = paper.table(number)
    cells = cells[~cells["row"].str.endswith(paper.DELTA)]
    backbone = cells["row"].str.removesuffix("*").str.removesuffix("+Att")
    best = cells.groupby([backbone, cells["column"], cells["metric"]])["number"].transform("max")
    zero_tie = (cells["number"] == 0) & (best == 0)
    assert ((cells["number"] == best) == cells["bold"])[~zero_tie].all()


def test_cell_needs_the_dataset_only_where_it_is_ambiguous():
    assert paper.cell(12, "LMAM", "overall", "params_M") == 0.62
    with pytest.raises(LmamError, match="several datasets; name one of IEMOCAP, MELD"):
        paper.cell(9, "LMAM", "overall", "F1")


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ((15, "LMAM", "overall", "F1"), "no table 15"),
        ((9, "LMF", "overall", "F1"), "row 'LMF' is not one of Add, "),
        ((9, "LMAM", "Happy", "F1"), "column 'Happy'"),
        ((9, "LMAM", "overall", "AUC"), "metric 'AUC'"),
        ((9, "LMAM", "overall", "F1", "POM"), "dataset 'POM' is not one of IEMOCAP, MELD"),
    ],
)
def test_unknown_address_is_told_in_a_sentence(address, sentence):
    with pytest.raises(LmamError, match=sentence):
        paper.cell(*address)


def test_missing_data_is_told_in_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "CHECKOUT", tmp_path)
    with pytest.raises(LmamError, match=r"table_01.csv is missing"):
        paper.table(1)
    monkeypatch.setattr(paths, "CHECKOUT", None)
    with pytest.raises(LmamError, match="needs the book's repository: clone it"):
        paper.table(1)


def test_statements_are_complete_and_named_once():
    said = paper.statements()
    assert list(said.columns) == ["id", "section", "statement", "value", "unit", "refers_to"]
    assert len(said) == 113
    assert said["id"].is_unique
    assert said["id"].str.fullmatch(r"[a-z0-9_]+").all()
    assert (said[["section", "statement"]] != "").all(axis=None)
    value = said.set_index("id")["value"]
    assert value["best_rank"] == "45"
    assert (value["stable_from_rank"], value["stable_to_rank"]) == ("30", "55")
    assert (value["unstable_above_rank_text"], value["unstable_above_rank_caption"]) == ("45", "55")


def test_a_statement_that_points_nowhere_is_told(monkeypatch):
    said = paper.statements().head(1).assign(refers_to="table 9 | POM | LMAM | overall | Acc", value="1")
    monkeypatch.setattr(consistency, "statements", lambda: said)
    with pytest.raises(LmamError, match="no cell of its table"):
        consistency.audit_cross_table.__wrapped__()


def test_supports_add_up_to_the_printed_test_sets():
    for dataset, support in paper.TEST_SUPPORT.items():
        assert sum(support.values()) == paper.cell(1, "test", "utterances", "count", dataset)


def test_deltas_that_disagree(deltas):
    assert len(deltas) == 266
    wrong = deltas[~deltas["agrees"]].set_index(["table", "row", "column", "metric"])
    assert {key: (r["printed"], r["recomputed"]) for key, r in wrong.iterrows()} == WRONG_DELTAS
    assert (wrong["agrees_with"] == "").all()


def test_bc_lstm_changes_are_against_attention_except_two_averages(deltas):
    ours = deltas[(deltas["row"] == "bc-LSTM delta") & (deltas["agrees_with"] != "bc-LSTM+Att")]
    plain = ours[["table", "column", "metric", "agrees_with"]].to_records(index=False).tolist()
    assert plain == [(2, "Average(w)", "Acc", "bc-LSTM"), (2, "Average(w)", "F1", "bc-LSTM")]


def test_every_other_change_has_one_base(deltas):
    others = deltas[deltas["row"] != "bc-LSTM delta"]
    assert (others["base"] == others["row"].str.removesuffix(paper.DELTA)).all()


def test_averages_that_disagree(averages):
    assert len(averages) == 60
    iemocap = averages[averages["dataset"] == "IEMOCAP"]
    wrong = iemocap[~iemocap["agrees"]]
    assert list(zip(wrong["row"], wrong["metric"], strict=True)) == [("bc-LSTM+Att", "F1")]
    assert wrong["difference"].iloc[0] == pytest.approx(0.0129, abs=5e-5)


def test_no_average_of_meld_agrees_and_all_lie_low(averages):
    meld = averages[averages["dataset"] == "MELD"]
    assert len(meld) == 30
    assert not meld["agrees"].any()
    assert meld["difference"].between(-0.034, -0.0119).all()
    assert meld["difference"].mean() == pytest.approx(-0.0212, abs=5e-4)


def test_cross_table_cells_that_disagree(across):
    assert len(across) == 97
    wrong = across[~across["agrees"]].set_index(["method", "dataset", "metric", "place", "other_place"])
    assert {key: (r["value"], r["other_value"]) for key, r in wrong.iterrows()} == WRONG_ACROSS


def test_cross_table_differences_are_of_the_printed_values(across):
    assert across["difference"].to_numpy() == pytest.approx((across["other_value"] - across["value"]).to_numpy())
    assert set(across["place"]) == {f"Table {number}" for number in ("I", "II", "III", "V", "IX")}
    later = {f"Table {number}" for number in ("V", "VI", "IX", "X", "XI", "XI (R)")}
    assert set(across["other_place"]) == later | {"Sec. V-A", "Sec. V-E"}


def test_a_printed_number_reads_as_it_was_printed_and_counts_as_a_number() -> None:
    found = paper.cell(9, "LMAM", "overall", "F1", "IEMOCAP")
    assert (str(found), f"{found}", found, found - 1) == ("73.0", "73.0", 73, 72)
    assert str(paper.cell(2, "MM-DFN", "Average(w)", "F1", "IEMOCAP")) == "68.20"
    assert str(copy.deepcopy(found)) == "73.0"
