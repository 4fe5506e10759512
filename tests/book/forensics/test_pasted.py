"""Pasted tables in the forms in which papers come, and what is wrong with one told in a sentence."""

import pandas as pd
import pytest

from lmam_book.forensics import audit, paste
from lmam_book.paper.printed import AVERAGE
from lmam_core.errors import LmamError

MARKDOWN = """
| Method | Joy | | Anger | | Weighted avg | |
|---|---|---|---|---|---|---|
| | Acc. | F1 | Acc. | F1 | Acc. | F1 |
| A [12] | **50.00** | 40.0 | 61.5% | 62.0 | 55.1 | 50.2 |
| B | 51.00 | - | 60.5 | 61.0 | 55.0 | 50.0 |
"""
TABS = "Methods\tJoy\tAnger\tAverage(w)\n\tAcc. F1\tAcc. F1\tAcc. F1\nA [12]\t<b>50.00</b> 40.0\t61.5 62.0\t55.1 50.2\n"
CSV = "Method,Joy Acc,Joy F1,Anger Acc,Anger F1\nA,50.00,40.0,61.5,62.0\nB,51.00,,60.5,61.0\n"


@pytest.mark.parametrize("text", [MARKDOWN, TABS, CSV])
def test_reads_the_forms_in_which_tables_come(text):
    found = paste(text)
    assert found.iloc[0].to_dict() | {} == {
        k: v
        for k, v in {
            ("Joy", "Acc"): "50.00",
            ("Joy", "F1"): "40.0",
            ("Anger", "Acc"): "61.5",
            ("Anger", "F1"): "62.0",
            (AVERAGE, "Acc"): "55.1",
            (AVERAGE, "F1"): "50.2",
        }.items()
        if text is not CSV or k[0] != AVERAGE
    }
    assert found.index[0].startswith("A")


def test_a_missing_cell_leaves_its_pair_unchecked():
    found = audit(paste(MARKDOWN), {"Joy": 20, "Anger": 26})
    cells = found.cells.set_index(["row", "column", "metric"])["verdict"]
    assert cells["B", "Joy", "Acc"] == cells["B", "Joy", "F1"] == "not checkable"
    assert cells["B", "Anger", "F1"] != "not checkable"
    assert ("B", AVERAGE, "F1") not in cells.index


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("no table here", "No table found"),
        ("a,b\n1,2", "class and which of Acc and F1"),
        ("x,Joy Acc,Joy F1\ny,Joy Acc,Joy F1\nz,Joy Acc,Joy F1\nA,1,2", "head of one or two lines"),
        (CSV.replace("61.5,62.0", "61.5"), "Row 'A' has 3 numbers where the head names 4"),
    ],
)
def test_what_is_no_table_is_told_in_a_sentence(text, sentence):
    with pytest.raises(LmamError, match=sentence):
        paste(text)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("50.00", "150.00"), "row 'A', Joy Acc: 150.00 is no percentage"),
        (("50.00", "-3"), "row 'A', Joy Acc: -3 is no percentage"),
        (("50.00", "high"), "row 'A', Joy Acc: 'high' is no number"),
        (("B,", "A,"), "'A' names two rows"),
        (("Joy F1", "Mirth F1"), "Class 'Joy' has no column 'F1'"),
    ],
)
def test_a_wrong_cell_is_told_in_a_sentence(change, sentence):
    with pytest.raises(LmamError, match=sentence):
        audit(paste(CSV.replace(*change)))


@pytest.mark.parametrize(
    ("support", "total", "sentence"),
    [
        ({"Joy": 20}, None, "no number for class 'Anger'"),
        ({"Joy": 20, "Anger": 0}, None, "The support of 'Anger' must be a whole number of at least 1; got 0"),
        ({"Joy": 20, "Anger": 26}, 50, "add up to 46, not to the total of 50"),
    ],
)
def test_wrong_supports_are_told_in_a_sentence(support, total, sentence):
    with pytest.raises(LmamError, match=sentence):
        audit(paste(CSV), support, total)


def test_a_table_with_nothing_to_test_and_a_flat_frame_are_told():
    with pytest.raises(LmamError, match="no pair of Acc and F1"):
        audit(paste("Method,Joy Acc,Joy F1\nA,0.00,0.00\n"))
    with pytest.raises(LmamError, match="must be pairs"):
        audit(pd.DataFrame({"Joy": [1.0]}))


def test_digits_come_from_the_table_as_printed():
    whole = audit(paste("Method,Joy Acc,Joy F1\nA,50,40\n"), {"Joy": 20}).table
    tenths = audit(paste("Method,Joy Acc,Joy F1\nA,50.0,40\n"), {"Joy": 20}).table
    assert (whole.scale, tenths.scale) == (1, 10)
    assert tenths.f1[0, 0] == 400
