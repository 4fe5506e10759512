"""A few tries of each kind of `tests.hostile`; its long form is run by hand."""

from __future__ import annotations

import sys

import pytest

from tests import hostile


@pytest.mark.skipif(sys.platform == "win32", reason="signals are Unix's")
@pytest.mark.parametrize("name", hostile.KINDS)
def test_nothing_is_lost_nothing_hangs_nothing_lies(name: str) -> None:
    tries = 1 if "killed" in name else 10
    assert hostile.main(tries, names=[name]) == {name: (tries, tries)}
