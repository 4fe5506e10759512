"""The rows of a store's runs, kept beside them, so that a table of all runs does not read thousands of files again."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

NAME = Path(".locks") / "index.sqlite"
"""In the store's folder, beside the locks, ignored by git; it may be deleted at any time."""


def rows(
    root: Path,
    paths: Sequence[Path],
    make: Callable[[Path], dict[str, Any]],
    lasting: Callable[[dict[str, Any]], bool] = lambda row: True,
) -> list[dict[str, Any]]:
    """`make(path)` for every path, in order; a file that is as it was when it was last asked for is not read.

    A file counts as unchanged while its time of change, its size and the code that makes rows are the same. A row that
    is not `lasting`, because something beside its file was missing, is made anew the next time. Where the index cannot
    be written, or is damaged, everything is read.
    """
    status = {str(p.relative_to(root)): (p.stat().st_mtime_ns, p.stat().st_size) for p in paths}
    version = _version()
    known = _known(root / NAME, version)
    texts, new = {}, []
    for path, name in zip(paths, status, strict=True):
        changed, size = status[name]
        if known.get(name, ())[:2] == (changed, size):
            texts[name] = known[name][2]
        else:
            made = make(path)
            texts[name] = json.dumps(made)
            if lasting(made):
                new.append((name, changed, size, version, texts[name]))
    gone = [(name,) for name in known.keys() - status.keys()]
    if new or gone:
        _keep(root / NAME, new, gone)
    return json.loads(f"[{','.join(texts.values())}]")


def _known(file: Path, version: str) -> dict[str, tuple[int, int, str]]:
    if not file.exists():
        return {}
    try:
        with closing(sqlite3.connect(file, timeout=30)) as index:
            found = index.execute("select path, changed, size, row from rows where version = ?", (version,))
            return {path: (changed, size, row) for path, changed, size, row in found}
    except sqlite3.Error:
        return {}


def _keep(file: Path, new: Sequence[tuple], gone: Sequence[tuple]) -> None:
    # A store on a disk that cannot be written is only slower to read.
    with suppress(sqlite3.Error, OSError):
        file.parent.mkdir(exist_ok=True)
        with closing(sqlite3.connect(file, timeout=30)) as index, index:
            _write(index, new, gone)


def _write(index: sqlite3.Connection, new: Sequence[tuple], gone: Sequence[tuple]) -> None:
    index.execute("create table if not exists rows (path primary key, changed, size, version, row)")
    index.executemany("insert or replace into rows values (?, ?, ?, ?, ?)", new)
    index.executemany("delete from rows where path = ?", gone)


def _version() -> str:
    """A hash of the code that decides what a row holds."""
    here = Path(__file__).parent
    code = b"".join((here / name).read_bytes() for name in ("index.py", "store.py", "experiment.py", "run.py"))
    return hashlib.sha256(code).hexdigest()
