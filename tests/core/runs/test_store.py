"""The store: round trip, atomic, append-only, claimed by one process at a time."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
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
        {"a": np.array([2.0, 0.25, *[0] * 60]), "b": np.array([1, 3, *[0] * 60])},
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
    assert '  "a": [2, 0.25, 0' in text
    assert '  "b": [1, 3, 0' in text


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


def without(field: str) -> Callable[[Path], object]:
    def spoil(path: Path) -> None:
        fields = json.loads(path.read_text())
        del fields[field]
        path.write_text(json.dumps(fields))

    return spoil


def replaced(path: Path, other: Callable[[Path], object]) -> None:
    path.unlink()
    other(path)


ODD = {
    "truncated": lambda p: p.write_text(p.read_text()[:-40]),
    "empty": lambda p: p.write_bytes(b""),
    "binary": lambda p: p.write_bytes(bytes(range(256))),
    "a list": lambda p: p.write_text("[1, 2]"),
    "null": lambda p: p.write_text("null"),
    "nested too deep": lambda p: p.write_text("[" * 100_000),
    "an endless number": lambda p: p.write_text('{"classes": ' + "9" * 5000 + "}"),
    "UTF-16": lambda p: p.write_bytes(p.read_text().encode("utf-16")),
    "no outcomes": without("outcomes"),
    "no experiment": without("experiment"),
    "a field too many": lambda p: p.write_text(p.read_text().replace("{", '{"more": 1,', 1)),
    "outcomes of two lengths": lambda p: p.write_text(p.read_text().replace('"a": [', '"a": [1, ')),
    "outcomes of words": lambda p: p.write_text(p.read_text().replace('"a": [', '"a": ["x", ')),
    "a folder": lambda p: replaced(p, Path.mkdir),
    "a pipe": lambda p: replaced(p, os.mkfifo),
    "a device": lambda p: replaced(p, lambda p: p.symlink_to("/dev/zero")),
    "a link to nothing": lambda p: replaced(p, lambda p: p.symlink_to("nothing")),
    "a link to itself": lambda p: replaced(p, lambda p: p.symlink_to(p)),
    "4 GB": lambda p: os.truncate(p, 2**32),
}
"""Files that lie where a run should."""


@pytest.mark.skipif(sys.platform == "win32", reason="pipes and devices are Unix's")
@pytest.mark.parametrize("spoil", ODD.values(), ids=ODD)
def test_an_odd_file_is_named_and_the_rest_is_shown(
    store: Store, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path], object]
) -> None:
    good, bad = store.add(made(0)), store.add(made(1))
    spoil(bad)
    assert list(store.frame().seed) == [0]
    (sentence,) = [record.getMessage() for record in caplog.records]
    assert sentence.startswith(f"{bad} is not a run of this store (")
    assert "\n" not in sentence
    assert [path.name for path in store.paths()] == sorted([good.name, bad.name])


def test_a_field_of_the_wrong_kind_costs_its_run_alone(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever stands in whichever field: the other run is shown, and this one where it can be read."""
    path = store.add(made(1))
    store.add(made(0))
    whole = json.loads(path.read_text())
    places = [(whole, name) for name in whole]
    places += [(whole[part], name) for part in ("experiment", "training") for name in whole[part]]
    tried = 0
    for place, name in places:
        before = place[name]
        for value in (None, "x", [], {}, [[1]], {"x": "y"}, True, -1, 1e400, "\ud800"):
            place[name] = value
            path.write_text(json.dumps(whole))
            tried += 1
            assert len(store.frame()) in (1, 2)
        place[name] = before
    assert tried > 300
    named = {record.getMessage() for record in caplog.records}
    assert len(named) == len(caplog.records) > 30  # once for each reason


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


def test_what_killed_processes_left_is_removed_and_what_others_hold_stays(store: Store, quick: Experiment) -> None:
    path = store.add(made())
    old, new = (path.with_suffix(f".{k}.tmp") for k in (1, 2))
    for unfinished in (old, new):
        unfinished.write_text("{")
    os.utime(old, (0, 0))
    stale = store.root / ".locks" / "0123456789abcdef.lock"
    with store.claim(quick) as mine:
        assert mine
        stale.touch()
        store.tidy()
        assert [lock.name for lock in (store.root / ".locks").iterdir()] == [f"{quick.key}.lock"]
        with store.claim(quick) as again:
            assert not again
    assert (old.exists(), new.exists(), path.exists()) == (False, True, True)
