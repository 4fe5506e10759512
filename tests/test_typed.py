"""The list of modules that are not typed yet only gets shorter."""

from __future__ import annotations

import tomllib

import pytest

from tests.typed import ROOT, judge, listed, module, strict

WRONG = "lmam_core/a.py:3: error: no  [misc]"


def test_the_list_names_modules_that_are_there() -> None:
    names = listed()
    assert len(names) == len(set(names))
    for name in names:
        file = ROOT.joinpath(*(["book"] if name.startswith("lmam_book") else []), *name.split("."))
        assert file.with_suffix(".py").is_file() or (file / "__init__.py").is_file(), name


@pytest.mark.parametrize(
    ("exempt", "said"),
    [
        ([], WRONG),
        (["lmam_core.a", "lmam_core.b"], "mypy finds nothing wrong with lmam_core.b: take it from the list"),
        (["lmam_core.a"], ""),
    ],
)
def test_errors_outside_of_the_list_and_idle_entries_are_wrong(exempt: list[str], said: str) -> None:
    wrong = judge([WRONG], exempt)
    assert len(wrong) == bool(said)
    assert all(said in line for line in wrong)


def test_mypy_is_asked_about_all_modules_and_strictly_where_others_build_on() -> None:
    settings = tomllib.loads(strict())["tool"]["mypy"]
    assert settings["strict"]
    assert settings["files"] == ["lmam_core", "book/lmam_book"]
    assert not any(part.get("ignore_errors") for part in settings["overrides"])
    kept = {"lmam_core.batch", "lmam_core.errors", "lmam_core.paths", "lmam_core.runs.store", "lmam_core.runs.training"}
    assert not kept & set(listed())
    assert module("book/lmam_book/bench/__init__.py") == "lmam_book.bench"


def test_the_core_says_that_it_is_typed() -> None:
    assert (ROOT / "lmam_core" / "py.typed").is_file()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["setuptools"]["package-data"]["lmam_core"] == ["py.typed"]
