"""Types are checked strictly in every module, and the core says so to whoever installs it."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]


def test_mypy_is_asked_strictly_about_all_modules() -> None:
    settings = PROJECT["mypy"]
    assert settings["strict"]
    assert settings["files"] == ["lmam_core", "book/lmam_book"]
    assert not any(part.get("ignore_errors") for part in settings["overrides"])


def test_the_core_says_that_it_is_typed() -> None:
    assert (ROOT / "lmam_core" / "py.typed").is_file()
    assert "py.typed" in PROJECT["setuptools"]["package-data"]["lmam_core"]
