"""Carrying out many experiments: several processes or a cluster, resumable, safe beside another sweep on the store."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from lmam_core.errors import LmamError, StoreError
from lmam_core.runs.record import Record, arm
from lmam_core.runs.run import Run
from lmam_core.runs.store import Store

POLL_SECONDS = 1.0
"""How often a sweep looks whether runs that another one has claimed are there, or free again."""
IDLE_SECONDS = 20
"""How long workers outlive a sweep: the next one of the same process finds them warm."""

Submit = Callable[[Record, str, bool], "Future[Run | str]"]
"""Has an experiment carried out on a device, with its predictions or without, somewhere else."""


def sweep(
    experiments: Sequence[Record],
    store: Store,
    jobs: int | None = None,
    device: str = "cpu",
    cluster: str | None = None,
    predictions: bool = False,
) -> list[str]:
    """Carry out what the store does not hold yet; returns one sentence for each experiment that failed.

    `jobs` at a time (default: one per core on the CPU, one on a GPU), each in a process of its own; with the address of
    a Dask scheduler as `cluster` on its workers, one on each at a time; with `predictions` the store keeps those of
    every run. This process alone claims and writes. Ctrl-C and SIGTERM end it as KeyboardInterrupt, without a process
    or a claim left behind.

    Raises StoreError where the store cannot be written: before anything runs, or as soon as a run cannot be kept; and
    LmamError for a cluster that does not answer.
    """
    store.tidy()
    experiments = list(dict.fromkeys(e.resolved() for e in experiments))
    waiting = [e for e in experiments if not store.complete(e, predictions)]
    if not waiting:
        print(f"All {len(experiments)} runs are in the store.", flush=True)
        return []
    with store.claim(waiting[0]):
        pass  # a folder that cannot be written is told before anything is started
    jobs = jobs if cluster else jobs or (1 if device.startswith("cuda") else os.cpu_count())
    jobs = min(jobs or len(waiting), len(waiting))
    # SIGTERM is how Slurm, `timeout` and `docker stop` end a process.
    ended = _on_signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with ended, ExitStack() as claims, _on(cluster) if cluster else _here(jobs) as (submit, workers):
            jobs = min(jobs, workers())
            print(f"{len(waiting)} of {len(experiments)} runs to do, {jobs} at a time.", flush=True)
            return _Sweep(experiments, waiting, store, device, predictions).carry_out(
                submit, lambda: min(jobs, workers()), claims
            )
    finally:
        store.tidy()  # Ctrl-C may come between a lock's file and the lock


class _Sweep:
    """What waits, what runs under which claim, and what failed."""

    def __init__(
        self,
        experiments: Sequence[Record],
        waiting: list[Record],
        store: Store,
        device: str,
        predictions: bool,
    ) -> None:
        self.experiments, self.waiting, self.store, self.device = experiments, waiting, store, device
        self.predictions = predictions
        self.running: dict[Future[Run | str], tuple[Record, ExitStack]] = {}
        self.lost: list[Record] = []  # whose worker was ended, by them or by what ran beside them
        self.failures: list[str] = []

    def carry_out(self, submit: Submit, jobs: Callable[[], int], claims: ExitStack) -> list[str]:
        """Keep `jobs` experiments running until none is left; `claims` frees what runs when the sweep is ended."""
        claims.callback(self._free)
        alone = None
        while self.waiting or self.running or self.lost:
            if not self.waiting and not self.running:  # what was lost runs by itself, so that the culprit is known
                self.waiting = [alone := self.lost.pop()]
            self._start(submit, jobs)
            if not self.running:
                time.sleep(POLL_SECONDS if self.waiting else 0)
                continue
            for future in wait(self.running, POLL_SECONDS, FIRST_COMPLETED).done:
                e, claim = self.running.pop(future)
                with claim:
                    self._finish(e, future, e is alone)
        return sorted(self.failures)

    def _free(self) -> None:
        for _, claim in self.running.values():
            claim.close()

    def _start(self, submit: Submit, jobs: Callable[[], int]) -> None:
        """Start what is neither stored nor claimed elsewhere, as long as there is room for it."""
        for e in list(self.waiting):
            if len(self.running) >= jobs():
                return
            with ExitStack() as claim:
                if not claim.enter_context(self.store.claim(e)):
                    continue
                self.waiting.remove(e)
                if not self.store.complete(e, self.predictions):
                    self.running[submit(e, self.device, self.predictions)] = e, claim.pop_all()

    def _finish(self, e: Record, future: Future[Run | str], alone: bool) -> None:
        """Keep what came out of an experiment, or the sentence why nothing did."""
        named = f"{e.dataset} {e.backbone} {arm(e)} seed {e.seed}"
        try:
            result = future.result()
        except Exception as error:  # of the worker: `_carry_out` itself raises nothing
            if alone:
                self.failures.append(f"{named}: its worker was ended ({' '.join(str(error).split())[:200]}).")
            else:
                self.lost.append(e)
            return
        if isinstance(result, str):
            if result.startswith("Traceback"):
                print(result, file=sys.stderr)
                result = "an error of the program, shown above."
            self.failures.append(f"{named}: {result}")
            return
        try:
            self.store.add(result)
        except StoreError:
            raise
        except LmamError as error:  # its dataset was built anew meanwhile
            self.failures.append(f"{named}: {error}")
            return
        done = sum(self.store.complete(other, self.predictions) for other in self.experiments)
        name, value = next(iter((result.metrics or {"validation": result.training.best_score}).items()))
        print(
            f"[{done}/{len(self.experiments)}] {e.dataset} {e.backbone} {arm(e)} {e.protocol} seed {e.seed} "
            f"rate {e.learning_rate:g}: {name} {value:.3f}, {result.seconds:.0f} s"
            + (f" ({result.caution})" if result.caution else ""),
            flush=True,
        )


_ALONE = threading.Lock()
"""Runs of one process would draw from one stream of random numbers: a cluster's worker has threads."""


def _carry_out(e: Record, device: str, predictions: bool) -> Run | str:
    """In a worker: the run, or why there is none, a sentence or a traceback."""
    from lmam_core.runs.device import usable
    from lmam_core.runs.run import run

    with _ALONE:
        try:
            return run(e, usable(device), predictions=predictions)
        except LmamError as error:
            return str(error)
        except Exception:
            return traceback.format_exc()


@contextmanager
def _here(jobs: int) -> Iterator[tuple[Submit, Callable[[], int]]]:
    """Processes of this machine, by loky, the pool that joblib is built on.

    Not by `joblib.Parallel`, which takes experiments, and here claims, before a worker is free for them, and whose Dask
    backend waits for ever where a worker was ended.
    """
    from joblib.externals.loky import get_reusable_executor

    def pool() -> Any:  # the same one, or another one where a worker's end broke it
        return get_reusable_executor(jobs, timeout=IDLE_SECONDS, initializer=_end_with, initargs=(os.getpid(),))

    def submit(e: Record, device: str, predictions: bool) -> Future[Run | str]:
        # The terminal tells Ctrl-C to workers as well, also to those that are just being born: they do not hear it.
        with _on_signal(signal.SIGINT, signal.SIG_IGN):
            future: Future[Run | str] = pool().submit(_carry_out, e, device, predictions)
            return future

    try:
        yield submit, lambda: jobs
    except BaseException:
        pool().shutdown(kill_workers=True)
        raise


@contextmanager
def _on(address: str) -> Iterator[tuple[Submit, Callable[[], int]]]:
    """The workers of a Dask cluster."""
    try:
        from distributed import Client
    except ImportError:
        raise LmamError("A cluster needs Dask: `pip install lmam-book[cluster]`.") from None
    try:
        client = Client(address, timeout=10, set_as_default=False)
    except (OSError, ValueError) as error:
        raise LmamError(f"No Dask scheduler answers at {address} ({error}).") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=30)
        except TimeoutError:
            none = f"The Dask scheduler at {address} has no workers; start some: `dask worker {address} --nthreads 1`."
            raise LmamError(none) from None
        executor = client.get_executor(pure=False)
        yield lambda *asked: executor.submit(_carry_out, *asked), lambda: len(client.nthreads())


def _end_with(sweep: int) -> None:
    """In a worker: end with the process of the sweep, however that ended."""
    import psutil

    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(sweep)
            while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                time.sleep(POLL_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _on_signal(number: int, handler: Any) -> Iterator[None]:
    """Another answer to a signal, in the main thread, which alone may give one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)
