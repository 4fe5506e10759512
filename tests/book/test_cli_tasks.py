"""The command line on a task that has no conversations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lmam_book.cli import main
from lmam_core.runs.store import Store
from lmam_core.tasks.recommendation import asked
from lmam_core.tasks.recommendation.sessions import beginnings, clicks, prepare

TASK = ["--task", "recommendation", "--epochs", "1", "--fraction", "1", "--width", "8"]


@pytest.fixture(autouse=True)
def shop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A few sessions in the place of Diginetica."""
    rng = np.random.default_rng(0)
    few = [[int(i) for i in rng.integers(0, 9, 4)] for _ in range(40)]
    found = prepare(clicks(few[:30]), beginnings(*clicks(few[30:])), 1, True, 0, "few")
    monkeypatch.setattr(asked, "load", lambda *_: found)
    monkeypatch.chdir(tmp_path)


def test_a_run_is_kept_and_not_repeated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["run", *TASK, "--fusion", "lmam", "--rank", "4", "--streams", "hops", "--store", "mine"]
    for said in ("kept in", "The store holds this run already"):
        assert main(command) == 0
        told = capsys.readouterr().out
        assert said in told
        assert "P@20" in told
    (run,) = Store(tmp_path / "mine")
    assert run.experiment.arm == "lmam.hops.r4"
    assert main(["results", *TASK[:2], "--store", "mine"]) == 0
    assert "lmam.hops.r4" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["run", *TASK, "--embedding", "late"], "The task recommendation has no --embedding."),
        (["run", "--streams", "hops"], "The task conversation has no --streams."),
        (["run", "--task", "music"], "There is no task 'music'"),
        (["run", "--dataset", "diginetica"], "it is for `lmam run --task recommendation`"),
        (["sweep", *TASK[:2], "--line", "trained,both", "--seeds", "0"], "no line 'both'"),
    ],
)
def test_a_mistake_is_one_sentence(command: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1
