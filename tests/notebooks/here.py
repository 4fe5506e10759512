"""A chapter's cells in this process: no kernel to start, nothing to import once more, and training can be left out.

The built book runs every chapter in a kernel, as a reader does; these runs are about what a chapter makes of another
store, dataset or parameter.
"""

from __future__ import annotations

import ast
import contextlib
import html
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import nbformat
import pytest
from matplotlib.text import Text

from lmam_book.pages import style as reporting
from lmam_core.features.sample import sample

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


@dataclass
class Figure:
    """What stands in a figure that a cell showed."""

    words: str


def execute(chapter: str, given: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch, cells: slice = slice(None)) -> str:
    """All text that the cells of `notebooks/<chapter>.ipynb` put out, markup removed, with parameters as papermill sets
    them; without the bootstrap cell."""
    outputs = run(chapter, given, monkeypatch, cells)
    return plain("\n".join(_text(thing) for _, shown in outputs for thing in shown))


def run(
    chapter: str, given: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch, cells: slice = slice(None)
) -> Iterator[tuple[nbformat.NotebookNode, list[object]]]:
    """Each code cell of a chapter but the bootstrap cell, and what it showed, one after the other."""
    shown: list[object] = []
    monkeypatch.setattr("IPython.display.display", lambda *things, **_: shown.extend(things))
    monkeypatch.setattr(reporting, "style", lambda: None)  # it would start a shell
    monkeypatch.setattr(plt, "show", lambda: shown.extend(_drawn()))
    names: dict[str, Any] = {"In": [""]}
    for cell in nbformat.read(NOTEBOOKS / f"{chapter}.ipynb", 4).cells[cells]:
        tags = cell.metadata.get("tags", [])
        if cell.cell_type != "code" or "bootstrap" in tags:
            continue
        _run(cell.source, chapter, names, shown)
        if "parameters" in tags:
            names |= given
            names["In"].append("\n".join(["# Parameters", *(f"{name} = {value!r}" for name, value in given.items())]))
        yield cell, list(shown)
        shown.clear()
    plt.close("all")


def plain(markup: str) -> str:
    """Text without its tags, on one line."""
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[/a-zA-Z!][^>]*>", " ", markup)))


def words(shown: list[object]) -> str:
    """What a cell showed as text, that of its figures included."""
    return plain("\n".join(thing.words if isinstance(thing, Figure) else _text(thing) for thing in shown))


def _drawn() -> list[Figure]:
    figures = [plt.figure(number) for number in plt.get_fignums()]
    plt.close("all")
    return [Figure("; ".join(t.get_text() for t in f.findobj(Text) if t.get_text())) for f in figures]


def _run(source: str, chapter: str, names: dict[str, Any], shown: list[object]) -> None:
    """Run a cell; what it prints and what its last line is worth are shown, as in a notebook."""
    *lines, last = ast.parse(source).body
    value = ast.Expression(last.value) if isinstance(last, ast.Expr) and not source.rstrip().endswith(";") else None
    body = ast.Module(lines if value else [*lines, last], [])
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(body, chapter, "exec"), names)
        result = eval(compile(value, chapter, "eval"), names) if value else None
    shown.extend(thing for thing in (said.getvalue(), result) if thing is not None and thing != "")


def _text(thing: object) -> str:
    """What a page shows of an output: its HTML, its Markdown, its text; nothing of a figure."""
    if isinstance(thing, str):
        return thing
    data = getattr(thing, "data", None)
    if isinstance(data, str):
        return data
    return thing._repr_html_() if hasattr(thing, "_repr_html_") else ""


def small_samples(monkeypatch: pytest.MonkeyPatch, dialogues: int, turns: int) -> None:
    """The recordings that a chapter makes are fewer: what it says of them counts, not how well anything learns."""
    make = sample.make_sample
    monkeypatch.setattr(sample, "make_sample", lambda folder, seed, *_: make(folder, seed, dialogues, turns))


def assert_folds_are_labelled(cells):
    """Code that the book folds is hidden in JupyterLab too, but for the parameters, and says what it does."""
    folded = [cell for cell in cells if {"hide-input", "remove-cell"} & set(cell.metadata.get("tags", []))]
    for cell in folded:
        editable = "parameters" in cell.metadata.tags
        assert cell.metadata.get("jupyter", {}).get("source_hidden", False) != editable
        label = cell.metadata.get("mystnb", {}).get("code_prompt_show", "")
        assert re.match("Code: .|Parameters", label) or "remove-cell" in cell.metadata.tags
