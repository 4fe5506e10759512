"""Carrying out many experiments: several processes, resumable, safe beside another sweep on the same store."""

from __future__ import annotations

import multiprocessing
import os
import queue
import tempfile
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lmam_core.errors import LmamError, StoreError
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.store import Store

POLL_SECONDS = 1.0
"""How often a worker with nothing left to claim looks whether another process's runs have arrived."""


def sweep(experiments: Sequence[Experiment], store: Store, jobs: int | None = None, device: str = "cpu") -> list[str]:
    """Carry out what the store does not hold yet; returns one sentence for each experiment that failed.

    `jobs` processes (default: one a core on the CPU, one on a GPU) share the list without a queue: each walks it and
    claims what is neither held nor claimed. A process that dies frees its claim, so another one takes the run over.
    Raises StoreError where the store cannot be written: before anything runs, or as soon as a run cannot be kept.
    """
    experiments = list(dict.fromkeys(e.resolved() for e in experiments))
    open_ = [e for e in experiments if e not in store]
    if not open_:
        print(f"All {len(experiments)} runs are in the store.", flush=True)
        return []
    with store.claim(open_[0]):
        pass  # a folder that cannot be written is told before anything is trained
    jobs = max(1, min(jobs or (1 if device.startswith("cuda") else os.cpu_count() or 1), len(open_)))
    print(f"{len(open_)} of {len(experiments)} runs to do, {jobs} at a time.", flush=True)
    # Spawned rather than forked: torch's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    failures = context.Queue()
    with tempfile.TemporaryDirectory() as failed:
        given = (experiments, store, device, Path(failed), failures)
        workers = [context.Process(target=_work, args=given) for _ in range(jobs)]
        for worker in workers:
            worker.start()
        found: list[tuple[bool, str]] = []
        while any(worker.is_alive() for worker in workers) or not failures.empty():
            # Read while they run: a full pipe would stop a worker from ending.
            with suppress(queue.Empty):
                found.append(failures.get(timeout=0.2))
        missing = sum(e not in store and not _mark(e, Path(failed)).exists() for e in experiments)
    if fatal := [sentence for ends, sentence in found if ends]:
        raise StoreError(fatal[0])
    ended = [f"{missing} runs are missing because a worker was ended; run the same command again."] if missing else []
    return sorted({sentence for _, sentence in found}) + ended


def _mark(e: Experiment, failed: Path) -> Path:
    """The empty file by which a worker tells the others that an experiment failed, so that none tries it again."""
    return failed / e.key


def _work(experiments: Sequence[Experiment], store: Store, device: str, failed: Path, failures: object) -> None:
    """Puts (whether it ends the sweep, sentence) into `failures`."""
    try:
        while open_ := [e for e in experiments if e not in store and not _mark(e, failed).exists()]:
            done = False
            for e in open_:
                # A worker whose sweep was killed finishes the run in flight and stops.
                if not multiprocessing.parent_process().is_alive():
                    return
                done |= _attempt(e, experiments, store, device, failed, failures)
            if not done:
                time.sleep(POLL_SECONDS)
    except StoreError as error:
        failures.put((True, str(error)))
    except KeyboardInterrupt:
        failures.put((False, "Interrupted; the same command goes on where it stopped."))


def _attempt(
    e: Experiment,
    experiments: Sequence[Experiment],
    store: Store,
    device: str,
    failed: Path,
    failures: object,
) -> bool:
    """Run one experiment unless it is held or claimed elsewhere; whether anything was done."""
    from lmam_core.runs.run import run

    named = f"{e.dataset} {e.backbone} {e.arm} seed {e.seed}"
    with store.claim(e) as mine:
        if not mine or e in store or _mark(e, failed).exists():
            return False
        try:
            result = run(e, device)
            store.add(result)
        except StoreError:
            raise
        except LmamError as error:
            _mark(e, failed).touch()
            failures.put((False, f"{named}: {error}"))
            return True
        except Exception:
            _mark(e, failed).touch()
            traceback.print_exc()
            failures.put((False, f"{named}: an error of the program, shown above."))
            return True
    held = sum(other in store for other in experiments)
    scores = result.metrics or {"validation": result.training.best_score}
    name, value = next(iter(scores.items()))
    print(
        f"[{held}/{len(experiments)}] {e.dataset} {e.backbone} {e.arm} {e.protocol} seed {e.seed} "
        f"rate {e.learning_rate:g}: {name} {value:.3f}, {result.seconds:.0f} s",
        flush=True,
    )
    return True
