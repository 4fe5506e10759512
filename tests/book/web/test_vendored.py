"""What others wrote is what they published: the hashes of all vendored files."""

from __future__ import annotations

import hashlib

from tests.book.web.conftest import ROOT

LIST = ROOT / "book" / "_static" / "vendor" / "SHA256SUMS"


def test_each_vendored_file_is_in_the_list_with_its_hash():
    listed = dict(reversed(line.split(maxsplit=1)) for line in LIST.read_text(encoding="utf-8").splitlines())
    folders = [LIST.parent, ROOT / "tests" / "vendor"]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file() and path.name != "README.md"]
    found = {path.relative_to(ROOT).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    found.pop(LIST.relative_to(ROOT).as_posix())
    assert found == listed
