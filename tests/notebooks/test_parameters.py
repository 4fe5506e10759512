"""Each chapter with other values of all its parameters; `python -m tests.parameters` changes one at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmam_core import paths
from lmam_core.errors import LmamError
from lmam_core.runs import run
from tests import parameters
from tests.notebooks.here import NOTEBOOKS, execute


def test_every_parameter_of_every_chapter_is_tried_with_another_value() -> None:
    chapters = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
    assert chapters == list(parameters.OTHER)
    for chapter in chapters:
        usual, asked = parameters.defaults(chapter), parameters.OTHER[chapter]
        assert set(usual) == set(asked) | {name for c, name in parameters.UNTRIED if c == chapter}
        assert not [name for name in asked if usual[name] == asked[name]], chapter


@pytest.mark.parametrize("chapter", parameters.OTHER)
def test_a_page_names_what_was_asked_for_and_says_nothing_that_holds_for_the_default_alone(
    chapter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters.place(tmp_path)
    monkeypatch.chdir(tmp_path)
    asked = parameters.OTHER[chapter]
    named = set(asked) - set(parameters.RECORDED)  # where their values stand the page has changed
    before = [] if named else parameters.outputs(chapter, {"store": "none"}, monkeypatch)
    after = parameters.outputs(chapter, asked, monkeypatch)
    assert "\n".join(parameters.faults(chapter, asked, before, after)) == ""


CHECKED = slice(0, 4)
"""A chapter up to the first cell after its parameters."""


@pytest.mark.parametrize("chapter", [c for c in parameters.OTHER if "rank" in parameters.OTHER[c]])
def test_a_rank_beyond_the_width_is_told_in_the_first_cell(chapter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LmamError, match=r"rank must (lie in 1\.\.(16|96|100|200|512)|not exceed width)"):
        execute(chapter, {"rank": 513 if chapter == "02-deriving-lmam" else 512}, monkeypatch, CHECKED)


@pytest.mark.parametrize(
    "chapter", [c for c in parameters.OTHER if parameters.OTHER[c].get("dataset") == parameters.OWN]
)
def test_a_file_that_is_missing_is_told_in_the_first_cell_with_what_gathers_it(
    chapter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMAM_DATA", str(tmp_path))
    monkeypatch.setattr(paths, "CACHE", tmp_path)
    run._prepared.cache_clear()
    store = {"store": str(tmp_path)} if "store" in parameters.OTHER[chapter] else {}
    with pytest.raises(LmamError, match=r"needs the file mosi\.npz .*; `lmam data fetch mosi` gathers it"):
        execute(chapter, {"dataset": "mosi"} | store, monkeypatch, CHECKED)
