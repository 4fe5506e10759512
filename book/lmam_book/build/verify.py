"""`lmam verify`: recompute everything that pages and tables say, and name whatever the store does not bear out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from lmam_book.build.manifest import Tree, changes, fingerprints, read_manifest
from lmam_book.build.written import BLOCK, FIGURE, figure_in_step, written
from lmam_core import paths
from lmam_core.errors import LmamError
from lmam_core.runs.store import Store, read

MEASURED = re.compile(r"\d+(?:\.\d+)? ± \d+(?:\.\d+)?")
"""How measured numbers are written; in prose they are only allowed where code writes them."""


def verify(store: Store | None = None) -> list[str]:
    """One sentence for everything that is wrong; empty where pages, tables and store agree."""
    store = store or Store(paths.data("results"))
    return [sentence for check in CHECKS for sentence in check(store)]


def runs_hold_together(store: Store) -> Iterator[str]:
    """A run's file is named after its question, and its metrics follow from its outcomes by conversation."""
    for path in store.paths():
        try:
            run = read(path)
            if store.place(run) != path:
                yield f"{path.name} holds another run than its name says; restore it from git."
                continue
        except LmamError as error:
            yield str(error)
            continue
        if not run.outcomes:
            if run.metrics:
                yield f"{path.name} has metrics and no outcomes that they could follow from."
            continue
        recomputed = run.summarise(run.total)
        off = [m for m, v in recomputed.items() if not np.isclose(run.metrics.get(m, np.nan), v, rtol=1e-4, atol=1e-4)]
        if off:
            yield f"{path.name}: {', '.join(off)} do not follow from its outcomes; restore it from git."


def pages_in_step(store: Store) -> Iterator[str]:
    """Pages and committed tables say of the claims what the rules find."""
    root = paths.checkout()
    for path, text in written(store).items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            yield f"{path.relative_to(root)} says something else than the runs; `make verdicts` writes it anew."
    if not figure_in_step(store):
        yield f"{FIGURE} shows something else than the runs; `make verdicts` draws it anew."


def prose_types_no_numbers(store: Store) -> Iterator[str]:
    """Measured numbers stand in prose, that of pages and of chapters, only where code writes them."""
    root = paths.checkout()
    for path in [root / "README.md", *sorted(root.glob("book/*.md")), *sorted(root.glob("notebooks/*.ipynb"))]:
        for found in MEASURED.finditer(_prose(path)):
            yield f"{path.relative_to(root)} has a measured number typed into prose: '{found[0]}'."


def _prose(path: Path) -> str:
    """What somebody wrote there, without what code writes into it."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return BLOCK.sub("", text)
    cells = json.loads(text)["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def built_book_is_fresh(store: Store, root: Path | None = None) -> Iterator[str]:
    """If a book was built here, it was built from the notebooks, modules and data that are here now."""
    root = root or paths.checkout()
    built = {c: then for c, then in read_manifest(root).get("notebooks", {}).items() if (root / c).is_file()}
    if not (root / "_build" / "html" / "index.html").is_file() or not built:
        return
    now = fingerprints(Tree(root), list(built))
    changed = {name for c, then in built.items() for name in changes(then, now[c])} - {
        "parameters",
        "versions",
        "runner",
    }
    if changed:
        yield f"The built book is older than its {' and '.join(sorted(changed))}; `make book` brings it up to date."


CHECKS: tuple[Callable[[Store], Iterator[str]], ...] = (
    runs_hold_together,
    pages_in_step,
    prose_types_no_numbers,
    built_book_is_fresh,
)
