"""The command line: what it prints, its exit codes, and that a mistake is one sentence and never a traceback."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pandas as pd
import pytest

from lmam_book.cli import _seeds, main

QUICK = ["--rank", "4", "--epochs", "1", "--dialogues", "12"]


def test_run_keeps_its_result_and_does_not_repeat_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["run", *QUICK, "--store", str(tmp_path)]
    assert main(command) == 0
    assert "weighted_f1" in (first := capsys.readouterr().out)
    assert "kept in" in first
    assert "happy" in first
    assert main(command) == 0
    assert "holds this run already" in capsys.readouterr().out
    assert main(["results", "--csv", "--store", str(tmp_path)]) == 0
    frame = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert len(frame) == 1
    assert frame.loc[0, "rank"] == 4
    assert main(["results", "--store", str(tmp_path)]) == 0
    assert "lmam.early.paper.r4" in capsys.readouterr().out


def test_sweep_takes_every_combination(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [
        "sweep",
        "--rank",
        "2,3",
        "--embedding",
        "early,late",
        "--epochs",
        "1",
        "--dialogues",
        "12",
        "--seeds",
        "0",
    ]
    assert main([*command, "--jobs", "2", "--store", str(tmp_path)]) == 0
    assert len(list(tmp_path.glob("*/*/*.json"))) == 4


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (["run", "--dataset", "iemocpa"], "no dataset 'iemocpa'"),
        (["run", "--rank", "0"], "rank must be at least 1"),
        (["run", *QUICK, "--rank", "101"], "from 1 to 100"),
        (["run", "--modalities", "smell"], "no modality 'smell'"),
        (["run", "--device", "abacus"], "no device 'abacus'"),
        (["run", "--device", "mps"], "no device 'mps'"),
        (["run", "--dataset", "iemocap", "--features", "nonverbal=nonverbal11"], "Features are chosen for nonverbal"),
        (["sweep", "bc_lsmt"], "no plan 'bc_lsmt'"),
        (["sweep", "bc_lstm", "--rank", "3"], "A plan fixes its experiments"),
        (["sweep", "--rank", "a"], "--rank takes whole numbers"),
        (["sweep", "bc_lstm", "--seeds", "0-1"], "A plan fixes its experiments; leave out --seeds"),
        (["sweep", "--seeds", "few"], "--seeds is written like"),
        (["sweep", "--seeds", "4-0"], "--seeds is written like"),
        (["sweep", "--seeds", "0-2-5"], "--seeds is written like"),
        (["sweep", "--jobs", "0"], "--jobs must be at least 1"),
        (["results"], "holds no runs yet"),
        (["run", "--device", "cuda:99"], "no CUDA device 'cuda:99'"),
    ],
)
def test_a_mistake_is_one_sentence(
    command: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--store", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert list(tmp_path.rglob("*.json")) == []


def test_a_store_that_cannot_be_written_is_told_before_training(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("run", "sweep"):
        assert main([command, *QUICK, "--store", "/dev/null/results"]) == 2
        error = capsys.readouterr().err
        assert "cannot be written" in error
        assert error.count("\n") == 1


def test_results_keep_questions_apart_that_differ_in_more_than_the_seed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for modalities in ("text", "text+audio"):
        assert main(["run", *QUICK, "--modalities", modalities, "--store", str(tmp_path)]) == 0
    capsys.readouterr()
    assert main(["results", "--store", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines[-2:]] == ["1", "1"]


def test_results_keep_runs_on_different_data_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *QUICK, "--store", str(tmp_path)]) == 0
    (path,) = tmp_path.glob("*/*/*.json")
    other = path.read_text().replace('"seed": 0', '"seed": 1')
    before = json.loads(path.read_text())["provenance"]["data_sha256"]
    path.with_name("other.json").write_text(other.replace(before, "0" * 64))
    capsys.readouterr()
    assert main(["results", "--store", str(tmp_path)]) == 0
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()[-2:]] == ["1", "1"]


def test_a_dataset_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LMAM_DATA", str(tmp_path))
    monkeypatch.setattr("lmam_core.paths.CACHE", tmp_path)
    assert main(["run", "--dataset", "mosi", "--store", str(tmp_path / "results")]) == 2
    assert "needs the file mosi.npz" in capsys.readouterr().err


def test_data_lists_every_dataset(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data"]) == 0
    out = capsys.readouterr().out
    for name in ("mosi", "iemocap", "meld", "synthetic-iemocap", "minilm384"):
        assert name in out


def test_seeds_are_written_as_ranges_and_lists() -> None:
    assert _seeds("0-2,7") == [0, 1, 2, 7]
