"""Committed tables are sealed: whatever digit is changed in whichever of them, `lmam verify` names it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from lmam_book.bench import seals
from lmam_book.build.verify import CHECKS, tables_are_as_measured
from lmam_core import paths
from lmam_core.errors import LmamError
from lmam_core.runs.provenance import code_version
from lmam_core.runs.store import Store


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The committed tables, where a test may spoil them."""
    for table in [*paths.data().glob("*.csv"), *paths.data("paper").glob("*.csv")]:
        copy = tmp_path / "data" / table.relative_to(paths.data())
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(table, copy)
    monkeypatch.setattr(paths, "CHECKOUT", tmp_path)
    return tmp_path / "data"


def test_a_digit_in_any_table_is_named(data: Path) -> None:
    assert tables_are_as_measured in CHECKS
    tables = list(data.glob("**/*.csv"))
    assert len(tables) > 20
    for table in tables:
        name = table.relative_to(data).as_posix()
        if name in seals.OPEN:
            continue
        content = table.read_text()
        *_, last = re.finditer(r"\d", content)
        table.write_text(content[: last.start()] + str((int(last[0]) + 1) % 10) + content[last.end() :])
        (sentence,) = tables_are_as_measured(Store(data / "results"))
        assert sentence.startswith(f"data/{name} is not as it was sealed (")
        table.unlink()
        assert list(seals.broken()) == [f"data/{name} is missing; restore it from git."]
        table.write_text(content)
    assert list(tables_are_as_measured(Store(data / "results"))) == []


def test_a_table_without_a_seal_is_named_and_gets_one(data: Path) -> None:
    table = data / "more.csv"
    table.write_text("n\n1\n")
    gives = "`python -m lmam_book.bench.seals data/more.csv` gives it one."
    assert list(seals.broken()) == [f"data/more.csv has no seal; {gives}"]
    for content in ("n\n1\n", "n\n2\n"):
        table.write_text(content)
        seals.main([str(table)])
        assert list(seals.broken()) == []
    seals.seal(table, "tests")
    assert seals.table().set_index("file").code["more.csv"] == code_version()
    with pytest.raises(LmamError, match="no table"):
        seals.main([str(data / "absent.csv")])


def test_a_seal_of_unknown_code_is_named(data: Path) -> None:
    (data / seals.FILE).write_text((data / seals.FILE).read_text().replace("24c3941384fa", "0123456789ab"))
    (sentence,) = tables_are_as_measured(Store(data / "results"))
    assert "data/probes.csv was measured with the code 0123456789ab" in sentence
