"""Builds the book: runs the chapters that are stale, has Jupyter Book make pages of them, and checks what came out.

`_build/manifest.json` holds, for every chapter, the hashes of all that its outputs depend on. A chapter is stale when
one of them changed. Chapters run headlessly into `_build/stage`, which mirrors the sources' relative paths; the pages
are made from there and move to `_build/html` only when the check finds them whole.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import yaml
from filelock import FileLock, Timeout

from lmam_core.errors import LmamError

ROOT = Path(__file__).resolve().parents[1]
PARAMETERS = {"profile": "quick"}
MEMORY_PER_NOTEBOOK = 2 * 2**30  # bytes: what a quick-profile chapter may need
HEARTBEAT = 15  # seconds between two signs of life of a long step
SKIPPED_FOLDERS = {"__pycache__", ".locks", ".ipynb_checkpoints"}
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def build(root: Path = ROOT, jobs: int | None = None, force: bool = False) -> None:
    """Bring `_build/html` up to date; raise LmamError, after printing each failure, when that fails.

    Safe to interrupt at any moment: each chapter that was finished stays finished. A second build waits for the first.
    """
    if not (root / "_toc.yml").is_file():
        raise LmamError(f"There is no _toc.yml in {root}: run this in a clone of the repository.")
    if jobs is not None and jobs < 1:
        raise LmamError(f"jobs is {jobs}: give the number of notebooks that run at once, at least 1.")
    (root / "_build").mkdir(exist_ok=True)
    lock = _lock(root)
    try:
        _build_locked(root, jobs, force)
    finally:
        lock.release()


def _build_locked(root: Path, jobs: int | None, force: bool) -> None:
    begun = time.monotonic()
    html = root / "_build" / "html"
    chapters = [source for source in toc_sources(root) if source.endswith(".ipynb")]
    now = fingerprints(root, chapters)
    reasons = stale(root, now, force)
    run_chapters(root, now, reasons, jobs)

    inputs = html_fingerprint(root, now)
    if not reasons and read_manifest(root).get("html") == inputs and not missing_pages(root, html):
        _say(f"The book is up to date: nothing changed in {len(now)} notebooks, the package, the data or the pages.")
    else:
        build_html(root)
        write_manifest(root, {**read_manifest(root), "html": inputs})
        _say(f"The book is built: {len(toc_sources(root))} pages in {time.monotonic() - begun:.0f} s.")
    _say(f"Open {(html / 'index.html').as_uri()}")
    _say(f"  or serve it: python -m http.server --directory {html.relative_to(root)}, then http://localhost:8000")


def _lock(root: Path) -> FileLock:
    """Return the build's lock, held; another build of the same tree is waited for, and the wait is said."""
    lock = FileLock(root / "_build" / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        _say("Another build of this book is running; waiting for it.")
        lock.acquire()
    return lock


# What the book consists of, and what is stale ------------------------------------------------------------------------


def toc_sources(root: Path) -> list[str]:
    """List the sources of all pages of `_toc.yml` in reading order, with suffix; raise for a page without a source."""
    sources = []
    for name in _page_names(yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))):
        found = [name + suffix for suffix in (".md", ".ipynb") if (root / (name + suffix)).is_file()]
        if len(found) != 1:
            raise LmamError(f"_toc.yml names {name}, which must be one file: {name}.md or {name}.ipynb.")
        sources += found
    return sources


def _page_names(node) -> Iterator[str]:
    """Walk the table of contents and yield the pages that it names."""
    if isinstance(node, list):
        for child in node:
            yield from _page_names(child)
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from [value] if key in ("root", "file") else _page_names(value)


def fingerprints(root: Path, chapters: list[str]) -> dict[str, dict[str, str]]:
    """Hash, for every chapter, all that its outputs depend on, by kind."""
    shared = {
        "package": tree_hash(root / "lmam_core"),
        "data": tree_hash(root / "data" / "results", root / "data" / "paper"),
        "parameters": _digest(PARAMETERS),
        "versions": _digest([file_hash(root / "requirements.lock"), sys.version]),
        "real data": "present" if os.environ.get("LMAM_DATA") else "absent",
    }
    return {chapter: {"notebook": notebook_hash(root / chapter), **shared} for chapter in chapters}


def notebook_hash(path: Path) -> str:
    """Hash what a notebook says: its cells' kind, source and tags, not its outputs, counters or editor's metadata."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (json.JSONDecodeError, KeyError) as error:
        raise LmamError(f"{path.name} is not a notebook ({error}): restore it from git.") from error
    said = [[c["cell_type"], "".join(c["source"]), sorted(c["metadata"].get("tags", []))] for c in cells]
    return _digest(said)


def tree_hash(*folders: Path) -> str:
    """Hash names and contents of all files under the folders; a folder that does not exist counts as empty."""
    files = [
        [path.relative_to(folder.parent).as_posix(), file_hash(path)]
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not SKIPPED_FOLDERS & set(path.parts)
    ]
    return _digest(files)


def file_hash(path: Path) -> str:
    """Hash a file's content; a file that does not exist counts as empty."""
    return hashlib.sha256(path.read_bytes() if path.exists() else b"").hexdigest()


def html_fingerprint(root: Path, chapters: dict[str, dict[str, str]]) -> str:
    """Hash all that the pages are made from."""
    return _digest([chapters, tree_hash(root / "book"), file_hash(root / "_config.yml"), file_hash(root / "_toc.yml")])


def stale(root: Path, now: dict[str, dict[str, str]], force: bool) -> dict[str, str]:
    """Return the chapters that have to run, each with the reason."""
    then, reasons = read_manifest(root).get("notebooks", {}), {}
    for chapter, kinds in now.items():
        changed = [kind for kind in kinds if then.get(chapter, {}).get(kind) != kinds[kind]]
        if force:
            reasons[chapter] = "forced"
        elif chapter not in then or not (root / "_build" / "stage" / chapter).is_file():
            reasons[chapter] = "never run"
        elif changed:
            reasons[chapter] = " and ".join(changed) + " changed"
    return reasons


def read_manifest(root: Path) -> dict:
    """Read the manifest; one that is missing or damaged counts as empty, so that everything is stale."""
    try:
        manifest = json.loads((root / "_build" / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return {}
    return manifest if isinstance(manifest, dict) else {}


def write_manifest(root: Path, manifest: dict) -> None:
    """Write the manifest so that a reader finds the old one or the new one, never a part."""
    path = root / "_build" / "manifest.json"
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def _digest(value) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


# Running the chapters ------------------------------------------------------------------------------------------------


class Run:
    """One chapter that runs in a process of its own."""

    def __init__(self, root: Path, chapter: str, label: str, environment: dict[str, str]):
        self.root, self.chapter, self.label = root, chapter, label
        self.output = root / "_build" / "running" / chapter
        self.log = (root / "_build" / "logs" / chapter).with_suffix(".log")
        for path in (self.output, self.log):
            path.parent.mkdir(parents=True, exist_ok=True)
        self.output.unlink(missing_ok=True)
        self.begun = self.beaten = time.monotonic()
        command = [sys.executable, "-c", "import sys; from lmam_core.book import run_one; run_one(*sys.argv[1:])"]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*command, root / chapter, self.output],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches the build alone, which then ends its runs
            )

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.begun

    def beat(self) -> None:
        """Name the cell at work when the last sign of life was a while ago."""
        if time.monotonic() - self.beaten < HEARTBEAT:
            return
        self.beaten = time.monotonic()
        _say(f"{self.label} {self.chapter}: {self.seconds:.0f} s, {self._place(self._last_cell())}")

    def end(self) -> None:
        """End the run and its kernel: the process stops when its standard input closes."""
        self.process.stdin.close()
        self.process.wait()

    def failure(self) -> str:
        """Tell which cell failed with which error, and where the whole story is."""
        cell = self._last_cell()
        log = ANSI.sub("", self.log.read_text(errors="replace")).strip().splitlines() or ["it ended without a word"]
        error, story = log[-1], log[-15:]  # when the kernel died, or the notebook never began
        for output in cell.get("outputs", []):
            if output["output_type"] == "error":
                error = f"{output['ename']}: {output['evalue']}"
                story = ANSI.sub("", "\n".join(output["traceback"])).splitlines()[-25:]
        lines = [
            f"FAILED  {self.chapter}",
            f"  at     {self._place(cell)}",
            f"  error  {error}",
            f"  log    {self.log.relative_to(self.root).as_posix()}",
        ]
        return "\n".join(lines if story == [error] else lines + ["  " + line for line in story])

    def _last_cell(self) -> dict:
        """Return the cell that began last, which is the one at work or the one that failed, or {} before any began."""
        try:
            cells = json.loads(self.output.read_text(encoding="utf-8"))["cells"]
        except (OSError, json.JSONDecodeError):  # papermill has not written it yet, or is writing it
            return {}
        return next((c for c in reversed(cells) if c["metadata"].get("papermill", {}).get("start_time")), {})

    def _place(self, cell: dict) -> str:
        """Name a cell as the reader of the source counts it, with its first line of code."""
        if not cell:
            return "before its first cell"
        first = next((line.strip() for line in "".join(cell["source"]).splitlines() if line.strip()), "")
        ids = [c.get("id") for c in json.loads((self.root / self.chapter).read_text(encoding="utf-8"))["cells"]]
        number = f"{ids.index(cell['id']) + 1} of {len(ids)}" if cell.get("id") in ids else "of parameters"
        return f"cell {number}: {first}"


def run_chapters(root: Path, now: dict[str, dict[str, str]], reasons: dict[str, str], jobs: int | None = None) -> None:
    """Run the stale chapters, several at once, and record each as it ends; raise at the end when one failed."""
    if not reasons:
        return
    jobs = min(jobs or default_jobs(), len(reasons))
    _say(f"{len(reasons)} of {len(now)} notebooks to run, {jobs} at once.")
    failed = []
    for run in _finished(root, reasons, jobs):
        if run.process.returncode:
            failed.append(run.chapter)
            _say(f"{run.label} {run.chapter} failed after {run.seconds:.0f} s\n\n{run.failure()}\n")
            continue
        _say(f"{run.label} {run.chapter} done in {run.seconds:.0f} s")
        staged = root / "_build" / "stage" / run.chapter
        staged.parent.mkdir(parents=True, exist_ok=True)
        os.replace(run.output, staged)
        manifest = read_manifest(root)
        manifest.setdefault("notebooks", {})[run.chapter] = now[run.chapter]
        write_manifest(root, manifest)
    if failed:
        raise LmamError(f"{len(failed)} of {len(reasons)} notebooks failed: {', '.join(failed)}; see above for each.")


def default_jobs() -> int:
    """Return how many chapters this machine runs at once."""
    import psutil

    return max(1, min(os.cpu_count() or 1, psutil.virtual_memory().available // MEMORY_PER_NOTEBOOK))


def _finished(root: Path, reasons: dict[str, str], jobs: int) -> Iterator[Run]:
    """Run the chapters, `jobs` at a time, and yield each when it has ended; end all of them when the caller stops."""
    environment = _environment(root)
    waiting, running = deque(enumerate(reasons.items(), 1)), []
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                number, (chapter, reason) = waiting.popleft()
                label = f"[{number}/{len(reasons)}]"
                _say(f"{label} {chapter} started ({reason})")
                running.append(Run(root, chapter, label, environment))
            time.sleep(0.1)
            for run in running[:]:
                if run.process.poll() is None:
                    run.beat()
                else:
                    running.remove(run)
                    yield run
    finally:
        for run in running:
            run.end()


def _environment(root: Path) -> dict[str, str]:
    """Return the environment of a run: this interpreter as kernel `python3`, no user settings, one thread.

    One thread whatever the number of runs: a chapter's numbers must not depend on how many others are stale.
    """
    kernels = root / "_build" / "jupyter"
    (kernels / "kernels" / "python3").mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": command, "display_name": "Python 3", "language": "python"}
    (kernels / "kernels" / "python3" / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    settings = {"JUPYTER_PATH": kernels, "IPYTHONDIR": root / "_build" / "ipython", "OMP_NUM_THREADS": 1}
    # A package that is not installed but lies beside this file (a plain checkout) is found by the runs as well.
    settings["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, **{name: str(value) for name, value in settings.items()}}


def end_with_build() -> None:
    """End this process when its standard input closes, so that it outlives its build in no case, not even SIGKILL."""
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(1)), daemon=True).start()


def run_one(source: str, output: str) -> None:
    """Execute one notebook in this process."""
    end_with_build()
    import nbformat
    import papermill

    place = {"kernel_name": "python3", "language": "python", "cwd": Path(source).parent}
    papermill.execute_notebook(source, output, PARAMETERS, **place, progress_bar=False)
    notebook = nbformat.read(output, as_version=4)
    for cell in notebook.cells:
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.metadata.tags.append("remove-cell")  # the reader sees the notebook's own parameters
    nbformat.write(notebook, output)


# Making the pages, and checking them ---------------------------------------------------------------------------------


def build_html(root: Path) -> None:
    """Make all pages from the staging tree, check them, and put them in place of the former ones."""
    stage, site = root / "_build" / "stage", root / "_build" / "site"
    fill_stage(root, stage)
    shutil.rmtree(site, ignore_errors=True)  # from nothing: every page carries the navigation of all others
    _run_jupyter_book(root, stage, site)
    problems = check_pages(root, stage, site / "_build" / "html")
    if problems:
        raise LmamError("The pages are not whole: " + "; ".join(problems) + ".")
    html = root / "_build" / "html"
    shutil.rmtree(html, ignore_errors=True)
    os.replace(site / "_build" / "html", html)


def fill_stage(root: Path, stage: Path) -> None:
    """Put configuration and prose beside the executed chapters, and take away chapters that are in the book no more."""
    sources = set(toc_sources(root))
    for chapter in stage.rglob("*.ipynb"):
        if chapter.relative_to(stage).as_posix() not in sources:
            chapter.unlink()
    stage.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(stage / "book", ignore_errors=True)
    shutil.copytree(root / "book", stage / "book")
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(root / name, stage / name)


def _run_jupyter_book(root: Path, stage: Path, site: Path) -> None:
    """Run Jupyter Book with warnings as errors; raise with its last words when it fails."""
    log = root / "_build" / "logs" / "jupyter-book.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    code = "from lmam_core.book import end_with_build; end_with_build(); from jupyter_book.cli.main import main; main()"
    command = [sys.executable, "-c", code, "build", stage, "--path-output", site, "-W", "-n", "--keep-going"]
    begun = time.monotonic()
    _say("jupyter-book started")
    with log.open("w") as stream:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=stream, stderr=stream, env=_environment(root), start_new_session=True
        )
    try:
        while process.poll() is None:
            try:
                process.wait(HEARTBEAT)
            except subprocess.TimeoutExpired:
                _say(f"jupyter-book: {time.monotonic() - begun:.0f} s")
    finally:
        process.stdin.close()
        process.wait()
    if process.returncode:
        said = ANSI.sub("", log.read_text(errors="replace")).splitlines()
        told = [line for line in said if "WARNING" in line or "ERROR" in line] or said[-30:]
        _say("\n".join(["FAILED  jupyter-book", *("  " + line.replace(f"{stage}/", "") for line in told)]))
        raise LmamError(f"jupyter-book failed with {len(told)} complaints, shown above; all of it is in {log}.")
    _say(f"jupyter-book done in {time.monotonic() - begun:.0f} s")


def missing_pages(root: Path, html: Path) -> list[str]:
    """List the pages of `_toc.yml`, and the front door, that did not come out."""
    pages = ["index.html", *(Path(source).with_suffix(".html").as_posix() for source in toc_sources(root))]
    return [f"{page} is missing" for page in pages if not (html / page).is_file()]


def check_pages(root: Path, stage: Path, html: Path) -> list[str]:
    """List what is wrong with the pages: missing ones, and chapters without outputs, with lost ones, with an error."""
    problems = missing_pages(root, html)
    for chapter in (source for source in toc_sources(root) if source.endswith(".ipynb")):
        page = (html / chapter).with_suffix(".html")
        if not page.is_file():
            continue
        cells = json.loads((stage / chapter).read_text(encoding="utf-8"))["cells"]
        kept = [c for c in cells if c.get("outputs") and not {"remove-cell", "remove-output"} & set(_tags(c))]
        shown = page.read_text(encoding="utf-8").count('<div class="cell_output ')
        if not kept:
            problems.append(f"{chapter} has no outputs")
        if shown < len(kept):
            problems.append(f"{page.name} shows {shown} of {len(kept)} outputs")
        if any(output["output_type"] == "error" for cell in kept for output in cell["outputs"]):
            problems.append(f"{chapter} shows an error")
    return problems


def _tags(cell: dict) -> list[str]:
    return cell["metadata"].get("tags", [])


def _say(line: str) -> None:
    print(line, flush=True)


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Build the book from the command line and return the exit status."""
    parser = argparse.ArgumentParser(prog="lmam book", description="Build the book, as far as it is not up to date.")
    parser.add_argument(
        "--jobs", type=int, help="notebooks that run at once (default: what processors and memory allow)"
    )
    parser.add_argument("--force", action="store_true", help="run every notebook, also those that are up to date")
    options = parser.parse_args(arguments)
    try:
        build(root, options.jobs, options.force)
    except LmamError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nInterrupted; the notebooks that were finished need not run again.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
