"""Builds the book: runs the chapters that are stale, has Jupyter Book make pages of them, and checks what came out.

`_build/manifest.json` holds, for every chapter, the hashes of all that its outputs depend on: the notebook, the modules
and files that its last run read, libraries and parameters. A chapter is stale when one of them changed. Chapters run
headlessly into `_build/executed`; with the prose as it is now they go to `_build/stage`, which mirrors the sources'
relative paths. The pages are made from there and move to `_build/html` only when the check finds them whole.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from lmam_book.build.chapters import run_chapters
from lmam_book.build.manifest import Tree, fingerprints, say, stale, toc_sources
from lmam_core import paths
from lmam_core.errors import LmamError
from lmam_core.limits import CHAPTER_MINUTES as MINUTES

ROOT = paths.CHECKOUT


def build(root: Path | None = None, jobs: int | None = None, force: bool = False, minutes: float = MINUTES) -> None:
    """Bring `_build/html` up to date, of this checkout unless given another; raise LmamError when that fails.

    Every failure is printed before.

    Safe to interrupt at any moment: each chapter that was finished stays finished. A second build waits for the first.
    """
    root = root or ROOT or paths.checkout()
    if not (root / "_toc.yml").is_file():
        raise LmamError(f"There is no _toc.yml in {root}: run this in a clone of the repository.")
    if jobs is not None and jobs < 1:
        raise LmamError(f"jobs is {jobs}: give the number of notebooks that run at once, at least 1.")
    if not minutes > 0:
        raise LmamError(f"minutes is {minutes:g}: give the time that a notebook may run, more than 0.")
    try:
        (root / "_build").mkdir(exist_ok=True)
        with _lock(root):
            _build_locked(root, jobs, force, minutes)
    except OSError as error:
        cause = f"{error.filename}: {error.strerror}" if error.filename else error
        raise LmamError(f"The book could not be built ({cause}); what was built before is as it was.") from error


def _build_locked(root: Path, jobs: int | None, force: bool, minutes: float) -> None:
    from lmam_book.build.pages import build_html  # with torch, which the processes of chapters do not need to start

    begun = time.monotonic()
    html = root / "_build" / "html"
    sources = toc_sources(root)
    tree = Tree(root)
    now = fingerprints(tree, [source for source in sources if source.endswith(".ipynb")])
    run_chapters(tree, now, stale(root, now, force), jobs, minutes)
    if build_html(root):
        say(f"The book is built: {len(sources)} pages in {time.monotonic() - begun:.0f} s.")
    else:
        say(f"The book is up to date: nothing changed in what {len(now)} notebooks read, nor in the pages.")
    say(f"Open {(html / 'index.html').as_uri()}")
    say("  or serve it, and see every change: lmam book --serve")


@contextmanager
def _lock(root: Path) -> Iterator[None]:
    """Hold the build's lock; another build of the same tree is waited for, and the wait is said."""
    lock = FileLock(root / "_build" / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say("Another build of this book is running; waiting for it.")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
