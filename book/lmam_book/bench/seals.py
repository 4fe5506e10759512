"""What committed tables contain, by hash: a number that somebody changed by hand is named by `lmam verify`.

`data/seals.csv` has for each table its sha256, the program that wrote it and the version of the code that it measured
with. A program seals what it writes; `python -m lmam_book.bench.seals FILE...` what was corrected by hand, as a table
that was transcribed from the paper.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from lmam_core import paths
from lmam_core.errors import LmamError
from lmam_core.hashing import sha256
from lmam_core.runs.provenance import code_version

FILE = "seals.csv"
TRANSCRIBED = "transcribed"
OPEN = ("seals.csv", "scoreboard.csv", "code_versions.csv")
"""Tables without a seal: this one, what `lmam verify` recomputes from the runs, and a list that is written by hand."""


def seal(path: Path, program: str) -> None:
    """Note what a table contains now, and that `program` wrote it with the present code, or that it was transcribed."""
    name = path.resolve().relative_to(paths.data().resolve()).as_posix()
    code = code_version() if program != TRANSCRIBED else ""
    row = {"file": name, "sha256": sha256(path), "program": program, "code": code}
    rows = pd.concat([table(), pd.DataFrame([row])]).drop_duplicates("file", keep="last").sort_values("file")
    rows.to_csv(paths.data(FILE), index=False)


def write(measured: pd.DataFrame, name: str, program: str, index: bool = False) -> None:
    """Write what `program` measured into the table `name` of `data/`, seal it, and print it."""
    path = paths.data(name)
    measured.to_csv(path, index=index)
    seal(path, program)
    print(path.read_text(encoding="utf-8"), end="")


def table() -> pd.DataFrame:
    """The seals: `file` under data/, `sha256`, `program`, `code`; without rows where nothing was sealed yet."""
    if not paths.data(FILE).is_file():
        return pd.DataFrame(columns=["file", "sha256", "program", "code"])
    return pd.read_csv(paths.data(FILE), dtype=str, keep_default_na=False)


def broken() -> Iterator[str]:
    """One sentence for each table that is not as its program left it."""
    sealed = table().set_index("file")
    files = [*paths.data().glob("*.csv"), *paths.data("paper").glob("*.csv")]
    names = {path.relative_to(paths.data()).as_posix() for path in files} - set(OPEN)
    for name in sorted(names | set(sealed.index)):
        if name not in names:
            yield f"data/{name} is missing; restore it from git."
        elif name not in sealed.index:
            yield f"data/{name} has no seal; `python -m lmam_book.bench.seals data/{name}` gives it one."
        elif sha256(paths.data(name)) != sealed.sha256[name]:
            yield f"data/{name} is not as it was sealed ({sealed.program[name]}); restore it from git, or seal it anew."


def main(names: list[str]) -> None:
    """Seal tables that were written by hand; raises LmamError for a file that does not exist."""
    for name in names:
        if not Path(name).is_file():
            raise LmamError(f"There is no table {name}.")
        seal(Path(name), TRANSCRIBED)


if __name__ == "__main__":
    main(sys.argv[1:])
