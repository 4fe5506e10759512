"""The chapter From recordings to predictions: short, true with other parameters, and honest about its encoder."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from tests.notebooks.here import NOTEBOOKS, execute, small_samples


def test_it_is_short() -> None:
    cells = nbformat.read(NOTEBOOKS / "21-predictions.ipynb", 4).cells
    prose = " ".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert len(prose.split()) < 900


def test_it_goes_the_whole_way_with_other_parameters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # and back, after a page that goes elsewhere
    small_samples(monkeypatch, 6, 3)
    shown = execute("21-predictions", {"rank": 3, "seed": 5, "text": "roberta768"}, monkeypatch)
    found = pd.read_csv("predictions.csv")  # the page's own folder
    assert list(found.prediction.unique()) == [c for c in found.prediction.unique() if f"p_{c}" in found]
    assert f"Of {len(found)} new utterances the model gets" in shown
    assert "stands: random encoder of text." in shown
    assert "$ lmam predict model new --to predictions.csv" in shown
    assert "lmam.early.paper.r3." in shown
    assert "{'text': 'roberta768'" in shown
    right, low, high = (
        int(n) for n in re.findall(r"\*\*(\d+)%\*\* right \(95 % interval over dialogues (\d+)% to (\d+)", shown)[0]
    )
    assert low <= right <= high
    assert re.search(r"nothing missing 9 .* audio 9 ", shown)
