"""A hostile week in short: sweeps and builds killed at random moments, files cut short and altered; what survived.

`python -m tests.hostile` tries each 50 times and prints a table; the suite tries a few.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import nbformat
import numpy as np
import psutil

from lmam_book.build import manifest, verify
from lmam_core.errors import LmamError
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.run import Run, run
from lmam_core.runs.store import Store, read

TRIES = 50
SEEDS = 6
ASKED = [Experiment(embedding="early", rank=4, dialogues=12, epochs=3, seed=seed) for seed in range(SEEDS)]
SWEEP = ["--embedding", "early", "--rank", "4", "--dialogues", "12", "--epochs", "3", "--seeds", f"0-{SEEDS - 1}"]
SENTENCES = ("", "lmam: interrupted; the same command goes on where it stopped.\n")

Start = Callable[[], subprocess.Popen[str]]


def started(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A Python process with a group of its own, as a terminal gives to what it starts."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str], how: str) -> str:
    """End a process as `how` says, wait for all that it started to be gone, and return its last words."""
    family = psutil.Process(process.pid).children(recursive=True)
    if how == "closed pipe":
        process.stdout.close()
    elif how == "Ctrl-C":  # the terminal tells everyone
        for one in [psutil.Process(process.pid), *family]:
            with suppress(psutil.NoSuchProcess):
                one.send_signal(signal.SIGINT)
    else:
        process.send_signal(getattr(signal, how))
    with suppress(psutil.NoSuchProcess):
        family += [one for one in psutil.Process(process.pid).children(recursive=True) if one not in family]
    limit = patience(60 if how == "closed pipe" else 5)  # that one goes on until it next writes
    _, alive = psutil.wait_procs([psutil.Process(process.pid), *family] if process.poll() is None else family, limit)
    assert not alive, f"{how}: {[' '.join(one.cmdline())[:80] for one in alive]} goes on"
    return process.stderr.read()


def patience(seconds: float) -> float:
    """As long as so many seconds are on a machine that does nothing else."""
    return seconds * max(1, os.getloadavg()[0] / (os.cpu_count() or 1))


def unfinished(store: Store) -> set[Path]:
    """Claims and half-written files."""
    return {*store.root.glob(".locks/*"), *store.root.glob("*/*/*.tmp")}


def same(a: Run, b: Run) -> bool:
    outcomes = all(np.array_equal(a.outcomes[k], b.outcomes[k]) for k in b.outcomes)
    return outcomes and a.metrics == b.metrics and a.training.train_loss == b.training.train_loss


def killed_sweeps(tries: int, rng: random.Random, folder: Path) -> Iterator[bool]:
    """One store after the other, killed until it is full: no run lost, changed or made twice, nothing left behind."""
    alone = {e.seed: read(Store(folder / "alone").add(run(e.resolved()))) for e in ASKED}
    code = "import sys; from lmam_book.cli import main; sys.exit(main(sys.argv[1:]))"
    begun = time.monotonic()
    assert started(code, "sweep", *SWEEP, "--store", folder / "whole", "--jobs", 2).communicate(timeout=900)[1] == ""
    seconds = time.monotonic() - begun
    for k in itertools.count():
        store = Store(folder / f"store{k}")
        start = lambda s=store: started(code, "sweep", *SWEEP, "--store", s.root, "--jobs", 2)  # noqa: E731
        for _ in range(4):
            before = {path: path.read_bytes() for path in store.paths()}
            stale = unfinished(store)  # of a SIGKILL before
            process = start()
            with suppress(subprocess.TimeoutExpired):
                process.wait(rng.uniform(0.02, 1) * seconds)
            if process.poll() is not None:  # it was faster
                process.communicate()
                break
            how = rng.choice(["SIGKILL", "SIGKILL", "SIGTERM", "SIGINT", "Ctrl-C", "closed pipe"])
            told = ended(process, how)
            assert all(path.read_bytes() == content for path, content in before.items()), "a finished run was changed"
            assert all(same(read(path), alone[read(path).experiment.seed]) for path in store.paths()), "a run differs"
            said = "" if how in ("closed pipe", "SIGKILL") else process.stdout.read()
            if how != "SIGKILL":  # which may come before the sweep has looked at its store
                left = unfinished(store) - {p for p in stale if p.suffix == ".tmp" or "runs to do" not in said}
                assert not left, f"{how} left {left}"
            if "runs to do" in said and f"[{SEEDS}/{SEEDS}]" not in said:  # as it starts and ends, Python has the word
                assert told in SENTENCES, f"{how}: {told}"
            yield True
            if (tries := tries - 1) == 0:
                break
        held = len(store.paths())
        out, error = start().communicate(timeout=900)
        assert error == "", error
        assert [same(store.get(e), alone[e.seed]) for e in ASKED] == [True] * SEEDS
        assert not list(store.root.glob(".locks/*")), "a killed sweep's lock stays behind"
        assert out.count(" seed ") == SEEDS - held, "a run was made twice, or not at all"
        if tries == 0:
            return


def tiny_book(root: Path) -> Callable[[int], None]:
    """A book of a page and a chapter, both of which tell the number that the function it returns writes."""
    for folder in ("book/_static", "notebooks", "lmam_core", "data/results"):
        (root / folder).mkdir(parents=True)
    (root / "_config.yml").write_text("title: tiny\nonly_build_toc_files: true\nexecute: {execute_notebooks: 'off'}\n")
    (root / "_toc.yml").write_text("format: jb-book\nroot: book/index\nchapters:\n- file: notebooks/a\n")
    (root / "requirements.lock").write_text("")
    code = f"from pathlib import Path\n\nprint('number', Path({str(root)!r}, 'data', 'number').read_text())"
    cells = [
        nbformat.v4.new_markdown_cell("# A"),
        nbformat.v4.new_code_cell("profile = ''"),
        nbformat.v4.new_code_cell(code),
    ]
    cells[1].metadata.tags = ["parameters"]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), root / "notebooks" / "a.ipynb")

    def write(number: int) -> None:
        (root / "data" / "number").write_text(str(number))
        (root / "book" / "index.md").write_text(f"# Tiny\n\nnumber {number}\n")

    return write


def numbers(root: Path) -> set[str]:
    """The numbers that the last good book tells: one, if it is whole."""
    html = root / "_build" / "html"
    html = html if html.exists() else html.with_name("html.former")  # between two renames; the next build ends it
    return {
        re.search(r"number (\d+)", (html / page).read_text())[1] for page in ("book/index.html", "notebooks/a.html")
    }


def of_the_book(root: Path) -> list[psutil.Process]:
    """The processes that a build of this book started, wherever they belong by now."""
    left = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if str(root) in process.environ().get("JUPYTER_PATH", "") and process.status() != psutil.STATUS_ZOMBIE:
                left.append(process)
    return left


def killed_builds(tries: int, rng: random.Random, folder: Path) -> Iterator[bool]:
    """At any moment the last good book is there and whole, no process is left, and the next build makes the new one."""
    write = tiny_book(folder)
    code = "import sys, pathlib; from lmam_book import build, cli; build.ROOT = pathlib.Path(sys.argv[1])"
    code += "; sys.exit(cli.main(['book']))"
    write(0)
    begun, whole = time.monotonic(), started(code, folder)
    assert (whole.communicate(timeout=600)[1], whole.returncode) == ("", 0)
    seconds, last = time.monotonic() - begun, "0"
    number = 0
    while tries:
        write(number := number + 1)
        process = started(code, folder)
        with suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(0.05, 1.1) * seconds)
        if process.poll() is not None:
            assert (process.communicate()[1], numbers(folder)) == ("", {last := str(number)})
            continue
        how = rng.choice(["SIGKILL", "SIGKILL", "SIGTERM", "SIGINT"])
        process.send_signal(getattr(signal, how))
        process.communicate(timeout=120)
        deadline = time.monotonic() + patience(5)
        while left := of_the_book(folder):
            assert time.monotonic() < deadline, f"{how} leaves {[' '.join(p.cmdline())[:80] for p in left]}"
            time.sleep(0.1)
        found = numbers(folder)
        assert found in ({last}, {str(number)}), f"the book tells {found} after {how}"
        (last,) = found
        tries -= 1
        yield True
    done = started(code, folder)
    assert (done.communicate(timeout=600)[1], done.returncode, numbers(folder)) == ("", 0, {str(number)})
    assert list(verify.built_book_is_fresh(Store(folder), folder)) == []


def cut_runs(tries: int, rng: random.Random, folder: Path) -> Iterator[bool]:
    """A run's file that ends early is named, and the others are shown."""
    store = Store(folder)
    good, bad = (store.add(run(ASKED[k].resolved())) for k in range(2))
    whole = bad.read_bytes()
    for _ in range(tries):
        bad.write_bytes(whole[: rng.randrange(len(whole) - 2)])
        named = any(sentence.startswith(str(bad)) for sentence in verify.runs_hold_together(store))
        yield named and list(store.frame().seed) == [read(good).experiment.seed]


def altered_runs(tries: int, rng: random.Random, folder: Path) -> Iterator[bool]:
    """A digit more in a metric, an outcome or the chosen score is named."""
    store = Store(folder)
    path = store.add(run(ASKED[0].resolved()))
    whole = path.read_text()
    fields = json.loads(whole)
    for _ in range(tries):
        other = json.loads(whole)
        where = rng.choice(["metrics", "best_score", "outcomes"])
        if where == "metrics":
            name = rng.choice(list(fields["metrics"]))
            other["metrics"][name] += 0.01
        elif where == "best_score":
            other["training"]["best_score"] += 0.001
        else:
            counts = rng.choice(list(other["outcomes"].values()))
            counts[rng.randrange(len(counts))] += 1
        path.write_text(json.dumps(other))
        yield bool(list(verify.runs_hold_together(store)))


def damaged_manifests(tries: int, rng: random.Random, folder: Path) -> Iterator[bool]:
    """A manifest that is cut short, or has one byte another, counts as none: everything is stale."""
    (folder / "_build").mkdir(parents=True)
    manifest.write_manifest(
        folder, {"notebooks": {"a": {"read": {"b": "c" * 64}, "output": "d" * 64}}, "html": "e" * 64}
    )
    path = folder / "_build" / "manifest.json"
    whole = path.read_bytes()
    for k in range(tries):
        at = rng.randrange(len(whole) - 2)
        path.write_bytes(whole[:at] if k % 2 else whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with suppress(ValueError):
            if json.loads(path.read_bytes()) == json.loads(whole):  # white space
                yield True
                continue
        yield manifest.read_manifest(folder) == {}


KINDS = {
    "sweeps killed at random moments": killed_sweeps,
    "builds killed at random moments": killed_builds,
    "runs' files cut short": cut_runs,
    "numbers altered in runs' files": altered_runs,
    "manifests cut short or altered": damaged_manifests,
}


def main(tries: int = TRIES, seed: int = 0, names: list[str] | None = None) -> dict[str, tuple[int, int]]:
    """Try every kind and print a row for each; returns how often it was tried and how often it survived."""
    counted = {}
    print("| what | tried | survived |\n|---|---:|---:|", flush=True)
    for name, kind in KINDS.items():
        if names and not any(part in name for part in names):
            continue
        outcomes: list[bool] = []
        with tempfile.TemporaryDirectory() as folder:
            try:
                for survived in kind(tries, random.Random(seed), Path(folder) / "tried"):
                    outcomes.append(survived)
                    print(".x"[not survived], end="", file=sys.stderr, flush=True)
            except (AssertionError, LmamError, subprocess.TimeoutExpired):
                outcomes.append(False)
                traceback.print_exc()
        counted[name] = len(outcomes), sum(outcomes)
        print(f"| {name} | {len(outcomes)} | {sum(outcomes)} |", flush=True)
    return counted


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("names", nargs="*", help="words of the kinds to try (default: all)")
    parser.add_argument("--tries", type=int, default=TRIES, help=f"of each kind (default {TRIES})")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments and places")
    options = parser.parse_args()
    found = main(options.tries, options.seed, options.names)
    sys.exit(any(tried != survived for tried, survived in found.values()))
