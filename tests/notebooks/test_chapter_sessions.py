"""The chapter on sessions, as built."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat

from tests.notebooks.here import NOTEBOOKS
from tests.notebooks.test_chapters import said

CHAPTER = "22-sessions"


def test_the_chapter_answers_from_the_store_and_both_models_learn_live(stage: Path) -> None:
    text = said(stage / f"{CHAPTER}.ipynb")
    assert re.search(r"The paper reports \+0\.52 points of P@20\.|No five seeds of both arms", text)
    live = text[text.index("Generated sessions; LMAM of rank") :]
    for arm in ("counting", "DHCN", "LMAM, channels"):
        (p_at_5,) = re.findall(rf" {arm} ([\d.]+)", live)
        assert 50 < float(p_at_5) < 92, "by chance 8 %, at most 90 % but for luck"


def test_the_chapter_is_short() -> None:
    cells = nbformat.read(NOTEBOOKS / f"{CHAPTER}.ipynb", 4).cells
    assert sum(len(c.source.split()) for c in cells if c.cell_type == "markdown") <= 900
