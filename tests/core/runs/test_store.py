"""The store: round trip, atomic, append-only, claimed by one process at a time."""

from __future__ import annotations

import dataclasses
import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lmam_core.errors import LmamError
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.run import Run, run
from lmam_core.runs.store import Store
from lmam_core.runs.training import Training


def made(seed: int = 0, **fields: object) -> Run:
    """A run that was never carried out, for tests of the store alone."""
    e = Experiment(dataset="mosi", fusion="concat", seed=seed).resolved()
    base = Run(
        e,
        {"mae": 0.8},
        {"a": np.array([2.0, 0.25]), "b": np.array([1, 3])},
        None,
        Training(1, 0.7, [1.0], [0.7], 0.1),
        10,
        0,
        1.0,
        99.0,
    )
    return dataclasses.replace(base, **fields)


def test_round_trip_and_frame(store: Store, quick: Experiment) -> None:
    found = run(quick)
    store.add(found)
    again = store.get(quick)
    assert again.experiment == found.experiment
    assert again.metrics == found.metrics
    assert all((again.outcomes[k] == found.outcomes[k]).all() for k in found.outcomes)
    row = store.frame().iloc[0]
    for name in ("dataset", "features", "modalities", "backbone", "fusion", "embedding", "variant", "rank", "protocol",
                 "seed", "accuracy", "parameters", "seconds_per_epoch", "code", "data_sha256", "device"):  # fmt: skip
        assert name in row, name
    assert row["run"] == quick.key


def test_a_file_is_one_line_a_conversation_and_holds_whole_numbers_as_such(store: Store) -> None:
    text = store.add(made()).read_text()
    assert '  "a": [2, 0.25]' in text
    assert '  "b": [1, 3]' in text


def test_runs_are_never_overwritten(store: Store) -> None:
    path = store.add(made())
    before = path.read_bytes()
    with pytest.raises(LmamError, match="never overwritten"):
        store.add(made(metrics={"mae": 0.1}))
    assert path.read_bytes() == before


def test_a_full_disk_leaves_the_store_as_it_was(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.add(made(0))
    before = sorted(p.name for p in store.root.rglob("*"))

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LmamError, match=r"No space left on device.*the store is as it was"):
        store.add(made(1))
    assert sorted(p.name for p in store.root.rglob("*")) == before


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full and small file systems are Linux's")
def test_a_really_full_disk_is_one_sentence_of_the_command_line(tmp_path: Path) -> None:
    """A file-size limit makes the kernel refuse the write, as a full disk does."""
    import resource

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))

    command = [
        sys.executable,
        "-m",
        "lmam_book.cli",
        "run",
        "--rank",
        "4",
        "--epochs",
        "1",
        "--dialogues",
        "12",
        "--store",
    ]
    done = subprocess.run([*command, str(tmp_path)], preexec_fn=limited, capture_output=True, text=True)
    assert done.returncode == 2
    assert "could not be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert [p for p in tmp_path.rglob("*.json*") if p.is_file()] == []


def test_a_damaged_file_is_named(store: Store) -> None:
    path = store.add(made())
    path.write_text(path.read_text()[:-40])
    with pytest.raises(LmamError, match=f"{path.name} is not a run of this store"):
        store.frame()


def test_a_claim_is_held_by_one_process_and_freed_by_death(store: Store, quick: Experiment) -> None:
    code = (
        "import sys, time; from lmam_core.runs.experiment import Experiment; from lmam_core.runs.store import Store\n"
        "e = Experiment(embedding='early', rank=4, epochs=1, dialogues=12)\n"
        "with Store(sys.argv[1]).claim(e) as mine: print(mine, flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(store.root)], stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline().strip() == "True"
    with store.claim(quick) as mine:
        assert not mine
    other.kill()
    other.wait()
    with store.claim(quick) as mine:
        assert mine
    assert list((store.root / ".locks").iterdir()) == []  # what the dead one left is gone as well


def test_a_run_on_a_folder_that_was_built_anew_is_not_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run_ = made()
    monkeypatch.setattr("lmam_core.data.catalogue.is_path", lambda name: True)
    monkeypatch.setattr("lmam_core.data.catalogue.fingerprint", lambda name: "0" * 64)
    with pytest.raises(LmamError, match="built anew while the run went on"):
        store.add(run_)
    assert list(store.paths()) == []
