"""Running the stale chapters, several at once, each in a process of its own."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from lmam_book.build.kernel import END_WITH_BUILD, LIGHT, TOLD, environment
from lmam_book.build.manifest import Json, Tree, executed, file_hash, read_manifest, say, traced, write_manifest
from lmam_core.errors import LmamError
from lmam_core.limits import CHAPTER_MEMORY as MEMORY
from lmam_core.limits import CHAPTER_MINUTES as MINUTES

HEARTBEAT = 15  # seconds between two signs of life of a long step
ANSI = re.compile(r"\x1b\[[0-9;]*m")


class Run:
    """One chapter that runs in a process of its own."""

    def __init__(self, root: Path, chapter: str, label: str, environment: dict[str, str], minutes: float):
        self.root, self.chapter, self.label, self.minutes = root, chapter, label, minutes
        self.late = False
        self.output = root / "_build" / "running" / chapter
        self.notes = self.output.with_suffix(".trace")
        self.log = (root / "_build" / "logs" / chapter).with_suffix(".log")
        for path in (self.output, self.log):
            path.parent.mkdir(parents=True, exist_ok=True)
        for path in (self.output, self.notes):
            path.unlink(missing_ok=True)
        self.begun = self.beaten = time.monotonic()
        command = [
            sys.executable,
            "-c",
            END_WITH_BUILD + LIGHT + "from lmam_book.build.runner import run_one; run_one(*sys.argv[1:])",
        ]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*command, root / chapter, self.output, self.notes, root.resolve()],
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
        """End a run that takes too long; name the cell at work when the last sign of life was a while ago."""
        if self.seconds > 60 * self.minutes:
            self.late = True
            self.end()
        elif time.monotonic() - self.beaten >= HEARTBEAT:
            self.beaten = time.monotonic()
            say(f"{self.label} {self.chapter}: {self.seconds:.0f} s, {self._place(self._last_cell())}")

    def end(self) -> None:
        """End the run and its kernel: the process stops when its standard input closes, or is killed."""
        with suppress(psutil.NoSuchProcess):
            left = psutil.Process(self.process.pid).children(recursive=True)
            if self.process.stdin is not None:
                self.process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
            for process in [*left, self.process]:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        self.process.wait()

    def failure(self) -> str:
        """Tell which cell failed with which error, and where the whole story is."""
        cell = self._last_cell()
        log = ANSI.sub("", self.log.read_text(errors="replace")).strip().splitlines() or ["it ended without a word"]
        error, story = log[-1], log[-15:]  # when the notebook never began
        for output in cell.get("outputs", []):
            if output["output_type"] == "error":
                error = f"{output['ename']}: {output['evalue']}"
                story = ANSI.sub("", "\n".join(output["traceback"])).splitlines()[-25:]
        reasons = [line.removeprefix(TOLD) for line in log if line.startswith(TOLD)]
        if self.late:
            reasons = [f"It ran for more than {self.minutes:g} minutes; `lmam book --minutes` gives it more."]
        elif self.process.returncode < 0:
            reasons = [f"Its process was ended by {signal.Signals(-self.process.returncode).name}."]
        if reasons:
            error, story = reasons[0], reasons
        lines = [
            f"FAILED  {self.chapter}",
            f"  at     {self._place(cell)}",
            f"  error  {error}",
            f"  log    {self.log.relative_to(self.root).as_posix()}",
        ]
        return "\n".join(lines if story == [error] else lines + ["  " + line for line in story])

    def _last_cell(self) -> Json:
        """Return the cell that began last, which is the one at work or the one that failed, or {} before any began."""
        try:
            cells = json.loads(self.output.read_text(encoding="utf-8"))["cells"]
        except (OSError, json.JSONDecodeError):  # papermill has not written it yet, or is writing it
            return {}
        return next((c for c in reversed(cells) if c["metadata"].get("papermill", {}).get("start_time")), {})

    def _place(self, cell: Json) -> str:
        """Name a cell as the reader of the source counts it, with its first line of code."""
        if not cell:
            return "before its first cell"
        first = next((line.strip() for line in "".join(cell["source"]).splitlines() if line.strip()), "")
        ids = [c.get("id") for c in json.loads((self.root / self.chapter).read_text(encoding="utf-8"))["cells"]]
        number = f"{ids.index(cell['id']) + 1} of {len(ids)}" if cell.get("id") in ids else "of parameters"
        return f"cell {number}: {first}"


def run_chapters(
    tree: Tree, now: dict[str, Json], reasons: dict[str, str], jobs: int | None = None, minutes: float = MINUTES
) -> None:
    """Run the stale chapters, several at once, and record each as it ends; raise at the end when one failed.

    What a chapter read is recorded as `tree` has it, which was made before the run: a file that was edited while the
    chapter ran makes it stale.
    """
    if not reasons:
        return
    root = tree.root
    jobs = min(jobs or default_jobs(), len(reasons))
    say(f"{len(reasons)} of {len(now)} notebooks to run, {jobs} at once.")
    failed = []
    for run in _finished(root, reasons, jobs, minutes):
        if run.process.returncode:
            failed.append(run.chapter)
            say(f"{run.label} {run.chapter} failed after {run.seconds:.0f} s\n\n{run.failure()}\n")
            continue
        say(f"{run.label} {run.chapter} done in {run.seconds:.0f} s")
        read = {name: tree.hash(name) for name in traced(run.notes)}
        final = executed(root, run.chapter)
        final.parent.mkdir(parents=True, exist_ok=True)
        output = file_hash(run.output)
        os.replace(run.output, final)
        manifest = read_manifest(root)
        manifest.setdefault("notebooks", {})[run.chapter] = {**now[run.chapter], "read": read, "output": output}
        write_manifest(root, manifest)
    if failed:
        raise LmamError(f"{len(failed)} of {len(reasons)} notebooks failed: {', '.join(failed)}; see above for each.")


def default_jobs() -> int:
    """Return how many chapters this machine runs at once."""
    return max(1, min(os.cpu_count() or 1, psutil.virtual_memory().available // MEMORY))


def _finished(root: Path, reasons: dict[str, str], jobs: int, minutes: float) -> Iterator[Run]:
    """Run the chapters, `jobs` at a time, and yield each when it has ended; end all of them when the caller stops."""
    variables = environment(root)
    waiting = deque(enumerate(reasons.items(), 1))
    running: list[Run] = []
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                number, (chapter, reason) = waiting.popleft()
                label = f"[{number}/{len(reasons)}]"
                say(f"{label} {chapter} started ({reason})")
                running.append(Run(root, chapter, label, variables, minutes))
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
