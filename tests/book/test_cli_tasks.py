"""The command line on a task that has no conversations."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from lmam_book.cli import main
from lmam_core.data.sources.synthetic_humour import Incongruity, generate
from lmam_core.runs.run import run
from lmam_core.runs.store import Store
from lmam_core.tasks.humour import experiment as humour
from lmam_core.tasks.humour.experiment import Humour
from lmam_core.tasks.humour.segments import checked
from lmam_core.tasks.recommendation import experiment
from lmam_core.tasks.recommendation.sessions import beginnings, clicks, prepare

TASK = ["--task", "recommendation", "--epochs", "1", "--fraction", "1", "--width", "8"]


@pytest.fixture(autouse=True)
def shop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A few sessions in the place of Diginetica."""
    rng = np.random.default_rng(0)
    few = [[int(i) for i in rng.integers(0, 9, 4)] for _ in range(40)]
    found = prepare(clicks(few[:30]), beginnings(*clicks(few[30:])), 1, True, 0, "few")
    monkeypatch.setattr(experiment, "load", lambda *_: found)
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


def test_humour_runs_and_sweeps_into_one_store(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = checked(
        "few", generate(Incongruity(sizes={"train": 40, "test": 20})), ("no", "yes"), caution="synthetic data"
    )
    monkeypatch.setattr(humour, "load", lambda name: few)
    shared = ["--task", "humour", "--epochs", "1", "--width", "4", "--modalities", "text+audio", "--store", "mine"]
    assert main(["run", *shared, "--fusion", "lmam", "--rank", "2", "--setting", "context"]) == 0
    told = capsys.readouterr().out
    assert "accuracy" in told
    assert "(synthetic data)" in told
    swept: list[Humour] = []
    monkeypatch.setattr("lmam_core.runs.sweep.sweep", lambda experiments, *_, **__: swept.extend(experiments) or [])
    assert main(["sweep", *shared, "--setting", "context,both", "--fusion", "none,lmam", "--seeds", "0-1"]) == 0
    assert {(e.setting, e.fusion, e.seed) for e in swept} == {
        (setting, method, seed) for setting in ("context", "both") for method in ("none", "lmam") for seed in (0, 1)
    }
    store = Store(tmp_path / "mine")
    for seed in (0, 1):
        for method in ("none", "lmam"):
            e = dataclasses.replace(swept[0], setting="context", fusion=method, rank=None, seed=seed).resolved()
            store.add(run(e))
    assert {run.experiment.arm for run in store} == {
        "context.T+A.none",
        "context.T+A.lmam.late.r2",
        "context.T+A.lmam.late.r4",
    }
    capsys.readouterr()
    assert main(["results", "--task", "humour", "--store", "mine"]) == 0
    table = capsys.readouterr().out
    assert "accuracy" in table
    gains = [line for line in table.splitlines() if "lmam.late.r4" in line]
    assert "[" in gains[0].rsplit("]", 2)[1], "its gain over C-MFN without fusion"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["run", *TASK, "--embedding", "late"], "The task recommendation has no --embedding."),
        (["run", "--streams", "hops"], "The task conversation has no --streams."),
        (["run", "--task", "music"], "There is no task 'music'"),
        (["run", "--dataset", "diginetica"], "it is for `lmam run --task recommendation`"),
        (["sweep", *TASK[:2], "--line", "trained,both", "--seeds", "0"], "no line 'both'"),
        (["run", "--task", "humour", "--line", "trained"], "The task humour has no --line."),
        (["run", "--task", "humour", "--modalities", "text+smell"], "has no modality 'smell'"),
        (["run", "--dataset", "mustard"], "it is for `lmam run --task humour`"),
    ],
)
def test_a_mistake_is_one_sentence(command: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1
