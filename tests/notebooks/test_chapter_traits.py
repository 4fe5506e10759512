"""The chapter on traits, as built, with other parameters and without runs."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from lmam_book.bench import trait_probes
from lmam_core.errors import LmamError
from tests.notebooks.here import NOTEBOOKS, assert_folds_are_labelled, execute
from tests.notebooks.test_chapters import said

CHAPTER = "25-traits"


def test_the_chapter_answers_from_the_store(stage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    constant = trait_probes.table().set_index("of").accuracy_16["most frequent"]
    asked = {"backbone": "dialogue_gcn", "metric": "mae"}
    for text in (said(stage / f"{CHAPTER}.ipynb"), execute(CHAPTER, asked, monkeypatch)):
        assert f"{constant:.1f} % accuracy" in text
        assert "POM, 203 test videos, means over 16 traits" in text


def test_without_runs_it_says_which_command_makes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = execute(CHAPTER, {"store": str(tmp_path)}, monkeypatch)
    assert f"No runs are stored yet: `lmam sweep traits --store {tmp_path}` makes them." in text


def test_a_backbone_that_table_iv_does_not_have_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LmamError, match=r"backbone must be one of text_cnn, bc_lstm, .*; got 'utterance'"):
        execute(CHAPTER, {"backbone": "utterance"}, monkeypatch, slice(0, 5))


def test_the_chapter_is_short_and_its_folds_are_labelled() -> None:
    cells = nbformat.read(NOTEBOOKS / f"{CHAPTER}.ipynb", 4).cells
    assert sum(len(c.source.split()) for c in cells if c.cell_type == "markdown") <= 1200
    assert_folds_are_labelled(cells)
