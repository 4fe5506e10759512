"""The chapter on the reported tables: its answer beside the audit's own numbers, its exercise, its other table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lmam_book import forensics
from tests.notebooks.here import assert_folds_are_labelled, execute
from tests.notebooks.test_chapters import cells_of, pictures, prose, said

AUDIT = "18-forensic-audit"


def test_the_answer_has_the_audits_numbers(stage: Path) -> None:
    text = said(stage / f"{AUDIT}.ipynb").replace("**", "")
    rows, missing = forensics.audited("IEMOCAP").rows, forensics.without_dialogues()
    assert set(rows[rows.row.str.endswith("*")].reading) == {"precision"}
    assert "its precision in all 7 rows with LMAM" in text
    fitting = rows[rows.utterances == 1623 - missing.missing.sum()]
    assert set(rows.row[rows.row.str.endswith("*")]) - set(fitting.row) == {"TextCNN*"}
    assert "The row EmoCaps and every row with LMAM but TextCNN" in text
    assert f"{(fitting.exist == fitting.of).sum()} of these {len(fitting)} in all pairs" in text
    assert forensics.fitting_rows().averages_follow_all.all()
    assert f"the averages of all {len(fitting)} follow the complete test set" in text
    assert f"A test set without {missing.sets[0][0]}?" in text
    assert f"with a chance of {missing.chance:.0e}" in text
    for name in ("IEMOCAP", "MELD"):
        verdict = forensics.audited(name).pairs.verdict
        bad, checked = verdict.str.startswith("impossible").sum(), (verdict != "not checkable").sum()
        assert f"{bad} of {checked} in Table" in text
    alarms = re.findall(r"(?:recall|precision) 1 15 1\.00 ([\d.]+) 1\.00 1\.00", text)
    assert [float(alarm) for alarm in alarms] == [0] * 4
    assert pictures(stage / f"{AUDIT}.ipynb") == 3


def test_the_exercise_is_the_pair_that_the_page_shows() -> None:
    found = forensics.pair("30.56", "35.63", n=144, total=1623).set_index("reading")
    hits, predictions = found.loc["recall", "counts"].split(" of ")
    assert f"so {hits} hits" in prose(f"{AUDIT}.ipynb")
    assert f"$p = {predictions}$" in prose(f"{AUDIT}.ipynb")


def test_the_other_table_is_shown_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = next(k for k, cell in enumerate(cells_of(f"{AUDIT}.ipynb")) if "table of the rows" in str(cell.metadata))
    text = execute(AUDIT, {"table": 3}, monkeypatch, slice(rows + 1))
    assert "bc-LSTM+Att precision public 2,610 5 of 5" in text
    assert re.search(r"bc-LSTM\+Att, Neutral: .* N = 2610", text)


@pytest.mark.parametrize("chapter", [AUDIT, "17-significance", "15-rank"])
def test_these_chapters_are_short_and_read_well_where_myst_is_not_rendered(chapter: str) -> None:
    cells = cells_of(f"{chapter}.ipynb")
    assert len(prose(f"{chapter}.ipynb").split()) <= 1200
    assert ":::" not in prose(f"{chapter}.ipynb")
    assert_folds_are_labelled(cells)
