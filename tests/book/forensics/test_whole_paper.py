"""What the audit finds in the LMAM paper's tables; a number here changes only with the tables or the arithmetic."""

import re

import pytest

from lmam_book import forensics
from lmam_book.forensics import other_tables as claims
from lmam_book.forensics.completion import completed
from lmam_book.forensics.counts import Digits
from lmam_book.forensics.pasted import in_units
from lmam_book.forensics.supports import search
from lmam_book.pages.figures import forensics as drawing
from lmam_book.paper import consistency
from lmam_book.paper import printed as paper

SEARCHED = {"Happy": 135, "Sad": 229, "Neutral": 379, "Angry": 168, "Excited": 295, "Frustrated": 358}
CELLS = 1245


@pytest.fixture(scope="module")
def found():
    return forensics.findings()


@pytest.fixture(scope="module")
def cells():
    return forensics.cells()


def test_every_row_of_both_classification_sets_is_audited():
    for dataset, rows in (("IEMOCAP", 15), ("MELD", 15)):
        assert len(forensics.audited(dataset).rows) == rows


def test_supports_that_serve_the_starred_rows_of_table_ii():
    public, searched = forensics.audited("IEMOCAP").sets
    assert (public.name, public.n) == ("public", paper.TEST_SUPPORT["IEMOCAP"])
    assert (searched.name, searched.n, searched.total) == ("searched (precision)", SEARCHED, 1564)
    assert len(forensics.audited("MELD").sets) == 1


def test_the_search_does_not_hang_on_one_row_or_on_the_numbers_drawn():
    """A row is tested on supports that the other rows find without it."""
    printed_table = forensics.frame("IEMOCAP")
    for row in printed_table.index:
        others = in_units(printed_table.drop(row))
        found = search(others, "precision", Digits(others.scale), 1623)
        assert found.set_index("class")["n"].to_dict() == SEARCHED, row
        assert found.named.all()
    whole = in_units(printed_table)
    for seed in range(20):
        found = search(whole, "precision", Digits(whole.scale), 1623, seed=seed)
        assert found.set_index("class")["n"].to_dict() == SEARCHED, seed


def test_readings_of_table_ii():
    rows = forensics.audited("IEMOCAP").rows.set_index("row")
    named = {r: (k["reading"], k["utterances"], k["exist"]) for r, k in rows.iterrows() if k["reading"] != "none"}
    assert named == {
        "TextCNN*": ("precision", 1623, 6),
        "bc-LSTM+Att": ("recall", 1623, 5),
        "bc-LSTM*": ("precision", 1564, 4),
        "DialogueRNN*": ("precision", 1564, 6),
        "DialogueGCN*": ("precision", 1564, 6),
        "MM-DFN*": ("precision", 1564, 6),
        "M2FNet*": ("precision", 1564, 5),
        "EmoCaps": ("precision", 1564, 4),
        "EmoCaps*": ("precision", 1564, 6),
    }


def test_readings_of_table_iii():
    rows = forensics.audited("MELD").rows.set_index("row")
    named = {r: (k["reading"], k["exist"], k["of"]) for r, k in rows.iterrows() if k["reading"] != "none"}
    assert named == {"bc-LSTM+Att": ("precision", 5, 5), "DialogueRNN*": ("precision", 5, 7)}


def test_accuracies_behind_the_rows_of_table_ii():
    rows = forensics.audited("IEMOCAP").rows.dropna(subset="accuracy_low").set_index("row")
    assert rows["matrix"].all()
    assert (rows["accuracy_low"] == rows["accuracy_high"]).all()
    assert all(p == (n, n) for p, n in zip(rows["predictions"], rows["utterances"], strict=True))
    assert rows["accuracy_low"].round(2).to_dict() == {
        "TextCNN*": 59.03,
        "DialogueRNN*": 66.18,
        "DialogueGCN*": 66.43,
        "MM-DFN*": 69.82,
        "EmoCaps*": 73.02,
    }


def test_completed_pairs():
    audit = forensics.audited("IEMOCAP")
    found = {n: completed(audit, k) for k, n in enumerate(audit.table.rows)}
    found = {n: (audit.table.classes[c.column], c.metric, round(c.follows, 2)) for n, c in found.items() if c}
    assert found == {"bc-LSTM+Att": ("Sad", "F1", 62.90), "M2FNet*": ("Happy", "Acc", 73.55)}


def test_counts_behind_table_ii_give_what_table_xi_prints(found):
    text = found[found["kind"] == "counts elsewhere"].set_index("row")["finding"]
    assert list(text.index) == ["MM-DFN*(R)", "M2FNet*(R)", "EmoCaps*(R)"]
    numbers = [re.findall(r"\d+\.\d\d", t) for t in text]
    assert numbers[0][:4] == ["69.82", "69.68", "69.82", "69.68"]
    assert numbers[1][:4] == ["70.27", "70.07", "70.27", "70.07"]
    assert numbers[2][:4] == ["73.02", "72.95", "73.67", "73.01"]


def test_cells_beyond_every_bound(found):
    beyond = found[found["kind"] == "beyond every bound"]
    assert beyond[["dataset", "row", "column"]].to_numpy().tolist() == [
        ["MELD", "DialogueGCN", "Fear"],
        ["MELD", "MM-DFN*", "Fear"],
    ]


def test_rows_that_lie_near_a_reading(found):
    near = found[found["kind"] == "near a reading"]
    assert list(near["row"]) == ["TextCNN", "bc-LSTM", "DialogueRNN"]
    assert near["finding"].str.contains("as recall").all()


def test_averages_agree_with_the_audit_of_the_transcription(cells):
    theirs = consistency.audit_averages().set_index(["dataset", "row", "metric"])["agrees"]
    ours = cells[
        (cells["column"] == paper.AVERAGE) & cells["table"].isin([2, 3]) & ~cells["row"].str.endswith(paper.DELTA)
    ]
    assert (
        (ours.set_index(["dataset", "row", "metric"])["verdict"] == "agrees").sort_index().equals(theirs.sort_index())
    )


def test_every_disagreement_of_the_other_audits_is_a_finding(found):
    kinds = found["kind"].value_counts()
    assert kinds["change"] == (~consistency.audit_deltas()["agrees"]).sum() + 1
    assert kinds["two places"] == (~consistency.audit_cross_table()["agrees"]).sum()


def test_findings_are_complete_sentences_with_a_refutation(found):
    assert list(found.columns[:10]) == list(
        ("id", "table", "dataset", "row", "column", "kind", "finding", "tolerance", "refuted_by", "chance")
    )
    assert found["id"].is_unique
    assert found["finding"].str.endswith(".").all()
    assert (found["refuted_by"] != "").all()
    assert found["chance"].dropna().between(0, 1).all()
    assert not found["finding"].str.contains("nan|None|wrong|error|suspicious", regex=True).any()


def test_every_printed_cell_has_one_known_verdict(cells):
    assert len(cells) == CELLS
    assert not cells.duplicated(["table", *paper.KEY]).any()
    assert set(cells["verdict"]) <= set(forensics.WORDS)
    counts = cells.groupby(["table", "verdict"]).size()
    assert counts[2].to_dict() == {"agrees": 122, "disagrees": 6, "impossible": 84, "possible": 96}
    assert counts[3, "impossible for means"] == 4
    assert counts[11].to_dict() == {"agrees": 5, "disagrees": 27}


def test_a_second_place_is_marked_where_it_differs(cells):
    word = cells.set_index(["table", "dataset", "row", "column", "metric"])["verdict"]
    assert word[5, "IEMOCAP", "EmoCaps", "overall", "F1"] == "disagrees"
    assert word[9, "MELD", "LMAM", "overall", "F1"] == "agrees"
    assert word[11, "IEMOCAP", "EmoCaps*(R)", "overall", "Acc"] == "agrees"
    assert word[8, "MELD", "bc-LSTM+Att", "Fear", "p"] == "disagrees"


def test_claims_of_the_text_that_cells_do_not_bear_out(found):
    said = found[found["kind"] == "claim of the text"]
    against = said[said["finding"].str.contains("; not so")]
    assert list(zip(against["table"], against["dataset"], strict=True)) == [
        (4, "all"),
        (9, "IEMOCAP"),
        (9, "MELD"),
        (11, "all"),
    ]
    endings = ["MM-DFN POM Corr +0; M2FNet CMU-MOSI MAE +0.", "LoRA* 73 beside 73.", "Add 64 beside 63.9.", "MELD F1."]
    assert all(text.endswith(end) for text, end in zip(against["finding"], endings, strict=True))
    assert said["finding"].iloc[0] == (
        "Sec. V-H: training is unstable above rank 45; the caption of Fig. 5 says above rank 55."
    )
    held = said.drop(against.index)["finding"]
    for claim in (
        "below 0.05: 104 of 104",
        "as many parameters: 16 of 16",
        "pairs: 20 of 20",
    ):
        assert held.str.contains(claim).any()


def test_a_test_without_power_says_so(found):
    no_power = found[found["finding"].str.contains("no power")]
    assert set(no_power["table"]) == {9, 10}


def test_rounding_alone_explains_a_quarter_of_changes_one_unit_off_and_none_further():
    assert claims.rounding_of_changes(1) == pytest.approx(0.25, abs=0.01)
    assert claims.rounding_of_changes(2) == 0


def test_drawings_show_every_cell(cells):
    import matplotlib.pyplot as plt

    part = cells[cells["table"] == 2]
    figure = drawing.heat(part, "Table II")
    (ax,) = figure.axes
    assert len(ax.patches) == len(part)
    assert {t.get_text() for t in ax.texts} == set(part["value"])
    impossible = part.verdict.str.startswith("impossible")
    assert [bool(patch.get_hatch()) for patch in ax.patches] == list(impossible)  # red is told from green by more
    assert impossible.any()
    overview = drawing.overview(cells, paper.ROMAN)
    assert len(overview.axes[0].get_yticklabels()) == 14
    plt.close("all")
