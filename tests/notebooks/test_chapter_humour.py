"""The chapter on humour, as built and over an empty store."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from tests.notebooks.here import NOTEBOOKS, assert_folds_are_labelled, execute
from tests.notebooks.test_chapters import said

CHAPTER = "24-humour"


def test_the_chapter_answers_from_the_store_and_both_models_learn_live(stage: Path) -> None:
    text = said(stage / f"{CHAPTER}.ipynb")
    answer = text[: text.index("Generated segments")]
    assert "not testable" in answer
    assert "synthetic" in answer
    assert len(re.findall(r"C-MFN(?:\([PC]\))?, [TAV+]+ ", text)) >= 15
    live = text[text.index("(synthetic data): both, text") :]
    scores = [
        float(re.findall(rf" {name} ([\d.]+)", live)[0]) for name in ("C-MFN", "C-MFN with LMAM", "best possible")
    ]
    assert min(scores[:2]) > 70 > 56, "by the larger class 56 %"
    assert max(scores[:2]) < scores[2] + 4


def test_the_chapter_says_what_is_not_run_of_an_empty_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = execute(CHAPTER, {"store": str(tmp_path)}, monkeypatch, slice(0, 20))
    assert "No runs are stored yet: `lmam sweep humour" in text
    assert "fewer than two seeds" in text


def test_the_chapter_is_short_and_its_folds_are_labelled() -> None:
    cells = nbformat.read(NOTEBOOKS / f"{CHAPTER}.ipynb", 4).cells
    assert sum(len(c.source.split()) for c in cells if c.cell_type == "markdown") <= 1200
    assert_folds_are_labelled(cells)
