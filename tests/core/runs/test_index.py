"""The index of a store: the same rows as without it, and nothing is read twice that did not change."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from lmam_core.runs import index
from lmam_core.runs.index import NAME, rows


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    found = []
    for k in range(4):
        path = tmp_path / "iemocap" / f"{k}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"k": k, "none": None, "share": k / 3}))
        found.append(path)
    return found


class Reader:
    """Reads files and remembers which."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def __call__(self, path: Path) -> dict:
        self.read.append(path.name)
        return json.loads(path.read_text())


def test_rows_come_in_order_and_are_read_once(tmp_path: Path, paths: list[Path]) -> None:
    first, second = Reader(), Reader()
    found = rows(tmp_path, paths, first)
    assert [r["k"] for r in found] == [0, 1, 2, 3]
    assert first.read == ["0.json", "1.json", "2.json", "3.json"]
    assert rows(tmp_path, paths[::-1], second) == found[::-1]
    assert second.read == []


def test_only_what_changed_is_read_again_and_what_is_gone_goes(tmp_path: Path, paths: list[Path]) -> None:
    rows(tmp_path, paths, Reader())
    paths[1].write_text(json.dumps({"k": 111}))
    paths[2].unlink()
    again = Reader()
    assert [r["k"] for r in rows(tmp_path, [paths[0], paths[1], paths[3]], again)] == [0, 111, 3]
    assert again.read == ["1.json"]
    with sqlite3.connect(tmp_path / NAME) as found:
        assert found.execute("select count(*) from rows").fetchone() == (3,)


def test_a_row_that_does_not_last_is_made_again(tmp_path: Path, paths: list[Path]) -> None:
    rows(tmp_path, paths, Reader(), lambda row: row["k"] != 2)
    again = Reader()
    assert [r["k"] for r in rows(tmp_path, paths, again, lambda row: row["k"] != 2)] == [0, 1, 2, 3]
    assert again.read == ["2.json"]


def test_other_code_reads_everything_again(tmp_path: Path, paths: list[Path], monkeypatch) -> None:
    rows(tmp_path, paths, Reader())
    monkeypatch.setattr(index, "_version", lambda: "later")
    again = Reader()
    rows(tmp_path, paths, again)
    assert len(again.read) == 4


def test_a_damaged_or_unwritable_index_is_only_slower(tmp_path: Path, paths: list[Path]) -> None:
    (tmp_path / NAME).parent.mkdir()
    (tmp_path / NAME).write_text("no database")
    assert len(rows(tmp_path, paths, Reader())) == 4
    (tmp_path / NAME).unlink()
    (tmp_path / NAME).mkdir()
    assert len(rows(tmp_path, paths, Reader())) == 4
