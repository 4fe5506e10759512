"""Each chapter with other values of all its parameters; `python -m tests.parameters` changes one at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import parameters
from tests.notebooks.here import NOTEBOOKS


def test_every_parameter_of_every_chapter_is_tried_with_another_value() -> None:
    chapters = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
    assert chapters == list(parameters.OTHER)
    for chapter in chapters:
        usual, asked = parameters.defaults(chapter), parameters.OTHER[chapter]
        assert set(usual) == set(asked), chapter
        assert not [name for name in usual if usual[name] == asked[name]], chapter


@pytest.mark.parametrize("chapter", parameters.OTHER)
def test_a_page_names_what_was_asked_for_and_says_nothing_that_holds_for_the_default_alone(
    chapter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters.place(tmp_path)
    monkeypatch.chdir(tmp_path)
    asked = parameters.OTHER[chapter]
    usual = {"store": "none"} if "store" in asked else {}
    usual |= {"epochs": 1} if "epochs" in asked else {}  # five take ten seconds
    before, after = (parameters.outputs(chapter, given, monkeypatch) for given in (usual, asked))
    assert list(parameters.faults(chapter, asked, before, after)) == []
