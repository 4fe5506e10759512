"""Sweeps: what is done once, what a failure costs, and how they end, here and on a cluster.

That a killed one goes on where it stopped is tried at random moments in `tests.hostile`.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from lmam_book.cli import main
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.run import run
from lmam_core.runs.store import Store
from lmam_core.runs.sweep import sweep

QUICK = ["--embedding", "early", "--rank", "4", "--dialogues", "12"]
Start = Callable[..., subprocess.Popen]
LONG = ["--epochs", "100000", "--patience", "100000", "--updates", "100000"]


@pytest.fixture
def start() -> Iterator[Start]:
    """`lmam sweep` of quick runs, two at a time, as a process with a group of its own, ended with the test."""
    started = []

    def start(root: Path, *options: str, prepare: Callable[[], object] = lambda: None) -> subprocess.Popen:
        def before() -> None:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background process does not hear
            prepare()

        command = [
            sys.executable,
            "-m",
            "lmam_book.cli",
            "sweep",
            *QUICK,
            "--store",
            str(root),
            "--jobs",
            "2",
            *options,
        ]
        how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
        started.append(subprocess.Popen(command, preexec_fn=before, **how))
        return started[-1]

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def files(root: Path) -> dict[Path, int]:
    """The runs of a store, and when each was written."""
    return {path: path.stat().st_mtime_ns for path in root.glob("*/*/*.json")}


def until(what: Callable[[], object], seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.2)  # each look goes through all processes of the machine


def trainers(process: psutil.Process) -> list[psutil.Process]:
    """The workers of a sweep that train: the others of its children use no processor to speak of."""
    return [child for child in process.children(recursive=True) if child.cpu_times().user > 3]


def leftovers(pid: int) -> list[Path]:
    """What the pool of a process leaves behind where it does: semaphores and folders for shared arrays."""
    places = [place for place in (Path("/dev/shm"), Path(tempfile.gettempdir())) if place.exists()]
    names = (f"*loky-{pid}-*", f"joblib_*_{pid}_*")
    return [path for place in places for name in names for path in place.glob(name)]


def test_two_sweeps_on_one_store_share_the_work(store: Store, start: Start) -> None:
    both = [start(store.root, "--epochs", "2", "--seeds", "0-5", "--jobs", "1") for _ in range(2)]
    outputs = [p.communicate(timeout=180)[0] for p in both]
    assert [p.returncode for p in both] == [0, 0]
    done = [line for text in outputs for line in text.splitlines() if line.startswith("[") and "seed" in line]
    assert len(done) == 6, "some run was carried out twice or not at all"
    assert any("[6/6] synthetic-iemocap bc_lstm lmam.early.paper.r4 honest seed" in line for line in done)
    assert len(list(store)) == 6
    assert list((store.root / ".locks").iterdir()) == []


def test_a_failing_experiment_costs_itself_alone(store: Store, quick: Experiment) -> None:
    failures = sweep([dataclasses.replace(quick, rank=500), quick], store, jobs=1)
    assert len(failures) == 1
    assert failures[0].startswith("synthetic-iemocap bc_lstm lmam.early.paper.r500 seed 0: ")
    assert "from 1 to 100" in failures[0]
    assert quick in store


def test_nothing_left_to_do_starts_nothing(store: Store, quick: Experiment, capsys: pytest.CaptureFixture[str]) -> None:
    store.add(run(quick))
    assert sweep([quick], store) == []
    assert "All 1 runs are in the store" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform != "linux", reason="a file-size limit is how Linux plays a full disk")
def test_a_run_that_cannot_be_kept_ends_the_sweep(store: Store, start: Start) -> None:
    """Whatever it trained next would be lost as well."""
    import resource

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))

    full = start(store.root, "--epochs", "1", "--seeds", "0-99", "--jobs", "1", prepare=limited)
    _, error = full.communicate(timeout=60)
    assert full.returncode == 2
    assert "could not be written" in error
    assert error.count("\n") == 1
    assert files(store.root) == {}


@pytest.mark.parametrize(("how", "jobs"), [("SIGTERM", 1), ("SIGHUP", 1), ("Ctrl-C", 2), ("SIGKILL", 1)])
def test_an_ended_sweep_keeps_what_is_finished_and_leaves_nothing_behind(
    store: Store, start: Start, how: str, jobs: int
) -> None:
    store.add(run(Experiment(embedding="early", rank=4, dialogues=12, epochs=1, seed=7)))
    held = files(store.root)
    going = start(store.root, *LONG, "--seeds", "0-3", "--jobs", str(jobs))
    parent = psutil.Process(going.pid)
    until(lambda: len(trainers(parent)) == jobs)
    children = trainers(parent)
    assert leftovers(going.pid) or sys.platform != "linux"
    if how == "Ctrl-C":  # the terminal tells everyone
        os.killpg(going.pid, signal.SIGINT)
    else:
        going.send_signal(getattr(signal, how))
    _, alive = psutil.wait_procs(children, timeout=5)
    assert alive == [], "a worker goes on"
    _, error = going.communicate(timeout=30)
    until(lambda: leftovers(going.pid) == [], 5)
    assert files(store.root) == held
    if how != "SIGKILL":
        assert (going.returncode, error) == (130, "lmam: interrupted; the same command goes on where it stopped.\n")
        assert list((store.root / ".locks").iterdir()) == []


def test_ctrl_c_while_workers_start_is_one_sentence(store: Store, start: Start) -> None:
    going = start(store.root, *LONG, "--seeds", "0-3")
    assert going.stdout.readline() == "4 of 4 runs to do, 2 at a time.\n"
    time.sleep(0.5)
    os.killpg(going.pid, signal.SIGINT)
    _, error = going.communicate(timeout=30)
    assert error == "lmam: interrupted; the same command goes on where it stopped.\n"


def test_a_worker_that_is_ended_costs_no_run(store: Store, start: Start) -> None:
    going = start(store.root, "--epochs", "25", "--seeds", "0-1")
    until(lambda: trainers(psutil.Process(going.pid)))
    trainers(psutil.Process(going.pid))[0].kill()
    out, error = going.communicate(timeout=180)
    assert (going.returncode, error) == (0, "")
    assert "[2/2]" in out


def test_an_experiment_that_ends_its_workers_is_named(store: Store, start: Start) -> None:
    """For want of memory, say: it is tried again by itself, and given up then."""
    going = start(store.root, *LONG, "--seeds", "3")
    parent, killed = psutil.Process(going.pid), set()
    for _ in range(2):
        until(lambda: set(trainers(parent)) - killed)
        (worker,) = set(trainers(parent)) - killed
        worker.kill()
        killed.add(worker)
    _, error = going.communicate(timeout=60)
    assert going.returncode == 1
    assert error.startswith("lmam: synthetic-iemocap bc_lstm lmam.early.paper.r4 seed 3: its worker was ended (")
    assert error.count("\n") == 1


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a scheduler with two workers, of two threads each as `dask worker` has them by default."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=None, silence_logs=50) as started:
        yield started.scheduler_address


def test_a_cluster_gives_the_same_numbers_once(
    store: Store,
    quick: Experiment,
    tmp_path: Path,
    cluster: str,
    start: Start,
) -> None:
    asked = [dataclasses.replace(quick, seed=seed, epochs=3) for seed in range(6)]
    here = Store(tmp_path / "here")
    for e in asked:
        here.add(run(e))
    store.add(here.get(asked[1]))  # from a sweep that was ended
    held = files(store.root)
    with store.claim(asked[2].resolved()) as mine:  # by somebody else, who will have done it in a while
        assert mine
        going = start(store.root, "--epochs", "3", "--seeds", "0-5", "--cluster", cluster)
        until(lambda: len(files(store.root)) == 5)
        time.sleep(2)
        assert going.poll() is None
        assert asked[2] not in store
        store.add(here.get(asked[2]))
    out, error = going.communicate(timeout=60)
    assert (going.returncode, error) == (0, "")
    assert "5 of 6 runs to do, 2 at a time." in out
    assert out.count(" seed ") == 4
    assert held.items() <= files(store.root).items()
    for e in asked:
        there, same = store.get(e), here.get(e)
        assert there.metrics == same.metrics
        assert there.training.train_loss == same.training.train_loss
        assert all(np.array_equal(there.outcomes[k], same.outcomes[k]) for k in same.outcomes)


def test_a_clusters_failures_are_as_here(store: Store, quick: Experiment, cluster: str) -> None:
    failures = sweep([dataclasses.replace(quick, rank=500), quick], store, cluster=cluster)
    assert [f.split(": ")[0] for f in failures] == ["synthetic-iemocap bc_lstm lmam.early.paper.r500 seed 0"]
    assert quick in store
    (failure,) = sweep([dataclasses.replace(quick, seed=1)], store, device="cuda:99", cluster=cluster)
    assert "no CUDA device 'cuda:99'" in failure


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense://x", "here"])
def test_a_cluster_that_does_not_answer_is_one_sentence(
    store: Store, address: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from distributed import Client

    monkeypatch.setattr("distributed.Client", lambda *at, **how: Client(*at, **how | {"timeout": 1}))  # of ten seconds
    assert main(["sweep", *QUICK, "--store", str(store.root), "--cluster", address]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"lmam: No Dask scheduler answers at {address}")
    assert error.count("\n") == 1
