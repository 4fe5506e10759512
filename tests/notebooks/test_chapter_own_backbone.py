"""The chapter Your own backbone: short, its answer the comparison's, true with other parameters."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from lmam_core import LMAM
from lmam_core.runs.store import Store
from tests.notebooks.here import NOTEBOOKS, assert_folds_are_labelled, execute

CHAPTER = "26-your-own-backbone"


def test_it_is_short_and_its_exercise_is_that_of_the_module() -> None:
    cells = nbformat.read(NOTEBOOKS / f"{CHAPTER}.ipynb", 4).cells
    prose = " ".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert len(prose.split()) <= 900
    assert f"{LMAM.size({'text': 100, 'audio': 100}, rank=20):,}" in prose
    assert_folds_are_labelled(cells)


def test_with_other_parameters_its_answer_is_that_of_its_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"rank": 3, "embedding": "late", "seeds": 2, "store": str(tmp_path)}
    text = execute(CHAPTER, given, monkeypatch)
    assert len(list(Store(tmp_path))) == 4
    (gain,) = re.findall(
        r"\*\*Answer\.\*\* One call says it\. Here the gain with LMAM is (\S+ \(.*?\)) weighted F1 % over 2", text
    )
    assert f"gain {gain} weighted F1 %" in text
    assert "**too few runs** (a word needs 5 seeds; there are 2). Beside these numbers stands: synthetic data." in text
    assert "LMAM late instead of concatenation in Window, synthetic-iemocap (synthetic data)" in text
    assert "Forgetful gives a conversation of" in text
