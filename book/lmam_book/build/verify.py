"""`lmam verify`: recompute everything that pages and tables say, and name whatever the store does not bear out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from lmam_book.bench import epochs, linear_probes, seals, spectra, split_sizes
from lmam_book.build.generated import BLOCK, FIGURE, figure_in_step, generated_texts
from lmam_book.build.manifest import Tree, changes, executed, file_hash, fingerprints, read_manifest
from lmam_book.build.pages import altered
from lmam_book.plans.arms import STARRED, TABLE_SIX
from lmam_core import paths
from lmam_core.data import catalogue
from lmam_core.errors import LmamError
from lmam_core.runs.experiment import pairs
from lmam_core.runs.run import Run
from lmam_core.runs.store import Store, read

MEASURED = re.compile(r"\d+(?:\.\d+)? ± \d+(?:\.\d+)?|[+-]\d+\.\d+ \([+-]\d+\.\d+ to [+-]\d+\.\d+\)")
"""How measured numbers are written; in prose they are only allowed where code writes them."""


def verify(store: Store | None = None) -> list[str]:
    """One sentence for everything that is wrong; empty where pages, tables and store agree."""
    store = store or Store(paths.data("results"))
    wrong: list[str] = []
    for check in CHECKS:
        try:
            wrong += check(store)
        except Exception as error:
            if not wrong:
                raise
            wrong.append(f"With that, {check.__name__} cannot be checked ({type(error).__name__}: {error}).")
    return wrong


def runs_hold_together(store: Store) -> Iterator[str]:
    """A run's file is named after its question; its metrics follow from its outcomes, its score from its curve."""
    sources: dict[tuple[str, ...], str] = {}
    own = store.root.resolve() == paths.data("results").resolve()
    versions = set(_versions()) if own else set()
    for path in store.paths():
        try:
            run = read(path)
        except LmamError as error:
            yield str(error)
            continue
        if wrong := _wrong(run, path, store):
            yield f"{path.name} {wrong}; restore it from git."
        if not own:
            continue
        if (code := run.provenance.get("code", "")) and code not in versions:
            yield f"{path.name} was made by the code {code}, which data/code_versions.csv does not list."
        if sha256 := run.provenance.get("data_sha256"):
            sources.setdefault((run.experiment.dataset, getattr(run.experiment, "features", ""), sha256), path.name)
    for (dataset, features, sha256), name in sources.items():
        sets = pairs(features, "features")
        if sha256 != catalogue.fingerprint(dataset, sets, tuple(sets)):
            yield f"{name} and others like it were made from a {dataset} that is not the catalogue's."


def _versions() -> list[str]:
    return pd.read_csv(paths.data("code_versions.csv")).code.tolist()


def _wrong(run: Run, path: Path, store: Store) -> str:
    """What a run's file says that does not follow from the rest of it; empty where all does."""
    try:
        if store.place(run) != path:
            return "holds another run than its name says"
    except LmamError as error:
        return f"asks for what is not possible: {error}"
    best = run.training.selection_score[run.training.best_epoch - 1 : run.training.best_epoch]
    if not np.allclose(best or np.nan, run.training.best_score, rtol=0, atol=6e-6):  # curves have 5 decimals
        return "has a best_score that is not its best epoch's selection score"
    if not run.outcomes:
        return "has metrics and no outcomes that they could follow from" if run.metrics else ""
    recomputed = run.summarise(run.total)
    off = [m for m, v in recomputed.items() if not np.isclose(run.metrics.get(m, np.nan), v, rtol=1e-4, atol=1e-4)]
    off += [m for m in run.metrics if m not in recomputed]
    return f"has values of {', '.join(off)} that do not follow from its outcomes" if off else ""


def pages_in_step(store: Store) -> Iterator[str]:
    """Pages and committed tables say of the claims what the rules find."""
    root = paths.checkout()
    for path, text in generated_texts(store).items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            yield f"{path.relative_to(root)} says something else than the runs; `make verdicts` writes it anew."
    if not figure_in_step(store):
        yield f"{FIGURE} shows something else than the runs; `make verdicts` draws it anew."


def tables_are_as_measured(store: Store) -> Iterator[str]:
    """What was measured once, or transcribed, is as it was written, by code that is known."""
    yield from seals.broken()
    for row in seals.table().itertuples():
        for code in set(row.code.split()) - set(_versions()):
            yield f"data/{row.file} was measured with the code {code}, which data/code_versions.csv does not list."


def tables_cover_what_the_book_compares(store: Store) -> Iterator[str]:
    """The measured tables have a row for whatever pages take from them, and pages repeat what they say."""
    times, arms = epochs.table(), len(TABLE_SIX) + len(STARRED)
    for dataset, counts in epochs.THREADS.items():
        for threads in counts:
            if (n := len(times.query("dataset == @dataset and threads == @threads"))) != arms:
                yield f"data/epochs.csv has {n} of {arms} arms on {dataset} with {threads} thread(s); measure anew."
    if epochs.slowest(times).seconds >= epochs.LIMIT:
        yield f"data/epochs.csv has an epoch of {epochs.LIMIT} s or more, which the sweeps are not planned for."
    probes = linear_probes.table()
    rows = set(probes[["dataset", "modality", "features"]].itertuples(index=False, name=None))
    known = {(d, m, f) for d in linear_probes.REAL for m, sets in catalogue.entry(d).feature_sets.items() for f in sets}
    if absent := sorted(known - rows):
        yield f"data/probes.csv has no row for {', '.join(' '.join(row) for row in absent)}; measure it anew."
    fallen = probes[probes.validation - probes.test > 10]
    if set(fallen.features) != {"cnn100", "cnn3d100"}:
        yield "data/probes.csv has other feature sets that know labels than book/data-statement.md names."
    here = not any(catalogue.absent(d) for d in linear_probes.REAL)
    if here and not split_sizes.measure().equals(pd.read_csv(paths.data("splits.csv"))):
        yield "data/splits.csv has other sizes than the data; `python -m lmam_book.bench.split_sizes`."
    meld = probes.query("dataset == 'meld' and features != 'glove200'").set_index("modality").test
    page = " ".join(paths.checkout().joinpath("book", "data-statement.md").read_text(encoding="utf-8").split())
    for m, end in {"text": " with text alone", "audio": " with `praat8` alone", "text+audio": " with both"}.items():
        if not re.search(rf"{meld[m]:.1f} % (of the test part )?{end.strip()}", page):
            yield f"book/data-statement.md does not say what data/probes.csv has for MELD's {m}, {meld[m]:.1f} %."
    trained = spectra.table()[["dataset", "arm", "seed", "learning_rate"]].itertuples(index=False, name=None)
    expected = {(e.dataset, spectra.name(e), e.seed, e.learning_rate) for e in spectra.experiments(store)}
    if expected - set(trained):
        yield "data/spectra.csv is of other learning rates than the stored runs; `python -m lmam_book.bench.spectra`."


def prose_types_no_numbers(store: Store) -> Iterator[str]:
    """Measured numbers stand in prose, that of pages and of chapters, only where code writes them."""
    root = paths.checkout()
    for path in [root / "README.md", *sorted(root.glob("book/*.md")), *sorted(root.glob("notebooks/*.ipynb"))]:
        for number in MEASURED.finditer(_prose(path)):
            yield f"{path.relative_to(root)} has a measured number typed into prose: '{number[0]}'."


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
    manifest = read_manifest(root)
    built = {c: then for c, then in manifest.get("notebooks", {}).items() if (root / c).is_file()}
    html = root / "_build" / "html"
    if not (html / "index.html").is_file():
        return
    if not built:
        yield "_build/manifest.json, which tells what the book was built from, is damaged; `make book` makes both anew."
        return
    now = fingerprints(Tree(root), list(built))
    changed = {name for c, then in built.items() for name in changes(then, now[c])} - {"versions", "runner"}
    if changed:
        yield f"The built book is older than its {' and '.join(sorted(changed))}; `make book` brings it up to date."
    edited = [f"_build/executed/{c}" for c, then in built.items() if file_hash(executed(root, c)) != then.get("output")]
    edited += [f"_build/html/{name}" for name in altered(html, manifest.get("pages"))]
    if edited:
        more = f" and {len(edited) - 3} more" if len(edited) > 3 else ""
        yield f"{', '.join(edited[:3])}{more}: not as the build left it; `make book` makes it anew."


CHECKS: tuple[Callable[[Store], Iterator[str]], ...] = (
    runs_hold_together,
    tables_are_as_measured,
    tables_cover_what_the_book_compares,
    pages_in_step,
    prose_types_no_numbers,
    built_book_is_fresh,
)
