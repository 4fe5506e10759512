"""The public names: each has an example that runs, and `help(lmam_core)` is a first page that is true."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pydoc
import re
from pathlib import Path

import pytest
import torch

import lmam_core


def examples(thing: object, name: str) -> list[doctest.DocTest]:
    """The examples of a docstring, with the names of its module at hand."""
    module = importlib.import_module(getattr(thing, "__module__", "lmam_core"))
    streams = {"t": torch.randn(2, 9, 100), "a": torch.randn(2, 9, 100), "v": torch.randn(2, 9, 512)}
    known = vars(module) | streams
    found = doctest.DocTestFinder(recurse=False).find(thing, name, module=False, globs=known)
    return [test for test in found if test.examples]


@pytest.mark.parametrize("name", ["lmam_core", *lmam_core.__all__])
def test_the_example_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    thing = lmam_core if name == "lmam_core" else getattr(lmam_core, name)
    (test,) = examples(thing, name)
    said: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=said.append)
    assert "".join(said) == ""


def test_the_first_page_names_every_public_name_and_every_part() -> None:
    page = pydoc.render_doc(lmam_core, renderer=pydoc.plaintext)
    names, rooms = (re.findall(r"^    (\w+)  +\S", part, re.M) for part in lmam_core.__doc__.split("The parts")[:2])
    assert sorted(names) == sorted(lmam_core.__all__)
    there = {
        path.stem for path in Path(lmam_core.__file__).parent.iterdir() if re.fullmatch(r"[a-z]\w*(\.py)?", path.name)
    }
    assert set(rooms) == there
    for line in lmam_core.__doc__.splitlines():
        assert line in page


def test_the_map_of_parts_is_in_the_order_of_the_rule_of_imports() -> None:
    """Whoever stands later in the map may import whoever stands before it, as in pyproject.toml."""
    import tomllib

    project = tomllib.loads((Path(lmam_core.__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    (layers,) = (c["layers"] for c in contracts if c.get("containers") == ["lmam_core"])
    allowed = [room for layer in reversed(layers) for room in layer.replace(" : ", " | ").split(" | ")]
    rooms = re.findall(r"^    (\w+)  +\S", inspect.getdoc(lmam_core).split("The parts")[1], re.M)
    assert rooms == [room for room in allowed if not room.startswith("(")]
