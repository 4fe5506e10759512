"""The command line: what it prints, its exit codes, and that a mistake is one sentence and never a traceback."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
import torch

import lmam_core
from lmam_book.cli import lmam, main
from lmam_book.cli import options as shared
from lmam_book.cli.sweep import numbered
from lmam_book.plans import studies
from lmam_book.verdicts.effects import effect
from lmam_core import paths
from lmam_core.data import catalogue
from lmam_core.data.stored import Utterances, write
from lmam_core.features.sample.sample import write_wav
from lmam_core.models.backbones import BACKBONES
from lmam_core.models.embedded import EMBEDDINGS
from lmam_core.models.fusion import FUSIONS
from lmam_core.models.lmam import VARIANTS
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.record import TASKS, record
from lmam_core.runs.store import Store
from lmam_core.runs.training import PROTOCOLS

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


def arms(out: str) -> list[list[str]]:
    """The rows of `lmam results`: name and seeds."""
    return [line.split()[:2] for line in out.splitlines() if re.match(r"  \S+ +\d+ ", line)]


def test_what_is_left_of_every_study_is_told_in_core_hours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "all", "--plan-cost", "--store", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["study", "dataset", "arms", "measured"]
    assert list(dict.fromkeys(line.split()[0] for line in lines[1:-1])) == list(studies.STUDIES)
    assert all("not timed yet" in line for line in lines[1:-1])
    assert lines[-1] == "0.0 core-hours left of what was timed, for 5 seeds of each arm; 0.0 more for 10."
    assert list(tmp_path.iterdir()) == []


def test_results_keep_questions_apart_that_differ_in_more_than_the_seed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for modalities in ("text", "text+audio"):
        assert main(["run", *QUICK, "--modalities", modalities, "--store", str(tmp_path)]) == 0
    capsys.readouterr()
    assert main(["results", "--store", str(tmp_path)]) == 0
    assert arms(capsys.readouterr().out) == [["lmam.early.paper.r4", "1"]] * 2


def test_results_keep_runs_on_different_data_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *QUICK, "--store", str(tmp_path)]) == 0
    (path,) = tmp_path.glob("*/*/*.json")
    other = path.read_text().replace('"seed": 0', '"seed": 1')
    before = json.loads(path.read_text())["provenance"]["data_sha256"]
    path.with_name("other.json").write_text(other.replace(before, "0" * 64))
    capsys.readouterr()
    assert main(["results", "--store", str(tmp_path)]) == 0
    assert arms(capsys.readouterr().out) == [["lmam.early.paper.r4", "1"]] * 2


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with concatenation and LMAM at two ranks, six seeds of one and fewer of the others."""
    root = tmp_path_factory.mktemp("several")
    quick = ["--epochs", "1", "--dialogues", "8", "--embedding", "early", "--jobs", "1", "--store", str(root)]
    assert main(["sweep", "--fusion", "concat,lmam", "--rank", "4", "--seeds", "0-5", *quick]) == 0
    assert main(["sweep", "--rank", "30", "--seeds", "0-1", *quick]) == 0
    return root


def test_results_are_means_with_intervals_gains_and_words(several: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["results", "--store", str(several)]) == 0
    out = capsys.readouterr().out
    assert "\n  (synthetic data)\n" in out
    assert arms(out) == [["concat.early", "6"], ["lmam.early.paper.r4", "6"], ["lmam.early.paper.r30", "2"]]
    plain, four, thirty = (line for line in out.splitlines() if re.match(r"  \S+ +\d ", line))
    number = r"[+-]?\d+\.\d\d"
    assert re.fullmatch(rf"  concat\.early +6  {number} \[{number}, {number}\]", plain)
    assert re.search(rf"\[{number}, {number}\] +[+-]\S+ \[{number}, {number}\] +(better|worse|undecided)$", four)
    assert thirty.endswith("too few seeds")
    by_arm = {run.arm: [] for run in Store(several)}
    for run in Store(several):
        by_arm[run.arm].append(run)
    gain = effect(by_arm["concat.early"], by_arm["lmam.early.paper.r4"], "weighted_f1")
    assert f"{gain.mean:+.2f} [{gain.low:+.2f}, {gain.high:+.2f}]" in four


def test_results_are_filtered_and_gains_stay(several: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def shown(*filters: str) -> list[str]:
        assert main(["results", "--store", str(several), *filters]) == 0
        return [name for name, _ in arms(capsys.readouterr().out)]

    assert shown("--fusion", "concat") == ["concat.early"]
    assert shown("--rank", "4,30") == ["lmam.early.paper.r4", "lmam.early.paper.r30"]
    assert shown("--dataset", "synthetic-iemocap", "--backbone", "bc_lstm", "--modalities", "video+text+audio") != []
    assert main(["results", "--store", str(several), "--fusion", "lmam"]) == 0
    assert re.search("better|worse|undecided", capsys.readouterr().out.split("Mean")[0])
    assert main(["results", "--store", str(several), "--rank", "30", "--csv"]) == 0
    frame = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert (frame["rank"].tolist(), set(frame.caution)) == ([30, 30], {"synthetic data"})
    for wrong, sentence in (
        (["--backbone", "spine"], "no run with backbone spine; it has bc_lstm"),
        (["--dataset", "mosi"], "no run with dataset mosi; it has synthetic-iemocap"),
        (["--rank", "few"], "--rank takes whole numbers"),
        (["--metric", "beauty"], "have no beauty; they have accuracy"),
    ):
        assert main(["results", "--store", str(several), *wrong]) == 2
        assert sentence in capsys.readouterr().err


def test_results_of_the_book_fit_a_terminal_and_show_no_hash(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["results", "--dataset", "mosi", "--backbone", "bc_lstm,emocaps"]) == 0
    out = capsys.readouterr().out
    assert len(out.splitlines()) > 20
    assert max(map(len, out.splitlines())) <= 100
    assert not re.search(r"[0-9a-f]{12}", out)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small dataset of one's own, whose encoder of sound was random."""
    rng = np.random.default_rng(0)
    N, D = 36, 12
    return write(
        tmp_path_factory.mktemp("data") / "talks",
        Utterances(
            name="talks",
            about="talks: own recordings.",
            dialogues=[f"d{i}" for i in range(D)],
            splits=["train"] * 8 + ["test"] * 4,
            owner=np.repeat(np.arange(D), N // D),
            speaker=np.tile(np.arange(N // D) % 2, D),
            label=np.arange(N) % 2,
            classes=("calm", "loud"),
            features={"text": {"minilm384": rng.normal(size=(N, 6))}, "audio": {"mine": rng.normal(size=(N, 5))}},
            weights={"minilm384": "hub: m@1", "mine": "random (tiny, seed 0)"},
        ),
    )


def test_one_folder_under_several_spellings_is_one_dataset(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(own.parent)
    monkeypatch.setenv("HOME", str(own.parent))
    spellings = (
        "talks",
        "./talks",
        "talks/",
        str(own),
        "../" + own.parent.name + "/talks",
        "~/talks",
        "talks/dataset.npz",
    )
    quick = ["--rank", "2", "--updates", "2", "--store", str(tmp_path)]
    assert main(["run", "--dataset", "talks", *quick]) == 0
    assert "(random encoder of audio)" in capsys.readouterr().out
    for spelling in spellings:
        assert main(["run", "--dataset", spelling, *quick]) == 0
        assert "holds this run already" in capsys.readouterr().out, spelling
        assert main(["results", "--dataset", spelling, "--store", str(tmp_path)]) == 0
        assert arms(capsys.readouterr().out) == [["lmam.early.paper.r2", "1"]]
    assert len(Store(tmp_path).paths()) == 1


def test_a_folder_whose_name_has_a_comma_is_one_dataset_of_a_sweep(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(own, "talks, old")
    quick = ["--updates", "2", "--jobs", "1", "--seeds", "0", "--store", "runs", "--rank", "2"]
    assert main(["sweep", "--dataset", "talks, old,synthetic-meld", "--dialogues", "8", *quick]) == 0
    assert sorted(run.dataset.rpartition("-")[0] for run in Store("runs")) == ["synthetic", "talks"]
    capsys.readouterr()
    assert main(["sweep", "--dataset", "talks, odl", *quick]) == 2
    assert "There is no dataset 'talks'" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["run", "sweep"])
@pytest.mark.parametrize(
    ("option", "given", "meant"),
    [
        ("dataset", "moci", "mosi"),
        ("backbone", "bc_lst", "bc_lstm"),
        ("fusion", "Lmaam", "lmam"),
        ("embedding", "erly", "early"),
        ("variant", "algorithm", "algorithm1"),
        ("protocol", "onest", "honest"),
    ],
)
def test_a_misspelt_value_is_told_with_the_one_that_was_meant(
    command: str, option: str, given: str, meant: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, f"--{option}", given, "--store", str(tmp_path)]) == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    assert f"'{given}' (did you mean '{meant}'?)" in sentence


def test_a_study_goes_to_ones_own_store_unless_the_books_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stores: list[Path] = []
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", "headline_emocap"]) == 2
    assert "There is no plan 'headline_emocap' (did you mean 'headline_emocaps'?)" in capsys.readouterr().err
    monkeypatch.setattr(studies, "carry_out", lambda names, store, *where: stores.append(store.root) or [])
    for store in ([], ["--store", "book"]):
        assert main(["sweep", "headline_emocaps", *store]) == 0
    assert stores == [paths.MINE, paths.data("results")]


def test_results_do_not_ask_where_the_data_are(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ranks and embedding ways stay apart when the folder is renamed, and a copied store says the same."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(own, "talks")
    quick = ["--dataset", "talks", "--updates", "2", "--jobs", "1", "--seeds", "0-1"]
    assert main(["sweep", *quick, "--rank", "2,5", "--embedding", "early,late", "--store", "runs"]) == 0
    capsys.readouterr()

    def told(store: str) -> list[str]:
        said = []
        for form in ((), ("--csv",)):
            assert main(["results", "--store", store, *form]) == 0
            said.append(capsys.readouterr().out)
        return said

    before = told("runs")
    assert arms(before[0]) == [[f"lmam.{way}.paper.r{r}", "2"] for way in ("early", "late") for r in (2, 5)]
    assert "(random encoder of audio)" in before[0]
    assert len(set(pd.read_csv(io.StringIO(before[1])).run)) == 8
    Path("talks").rename("renamed")
    assert told("runs") == before
    shutil.copytree("runs", "elsewhere/copied")
    assert told("elsewhere/copied") == before
    assert main(["verify", "--store", "elsewhere/copied"]) == 0
    assert "The runs of elsewhere/copied agree." in capsys.readouterr().out
    assert (
        main(["run", "--dataset", "renamed", "--rank", "2", "--updates", "2", "--embedding", "late", "--store", "runs"])
        == 0
    )
    assert "holds this run already" in capsys.readouterr().out


def test_verify_of_a_store_of_ones_own(several: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(several, tmp_path / "mine")
    assert main(["verify", "--store", str(tmp_path / "mine")]) == 0
    path = Store(tmp_path / "mine").paths()[0]
    told = json.loads(path.read_text())
    path.write_text(path.read_text().replace(f'"accuracy": {told["metrics"]["accuracy"]}', '"accuracy": 99.0'))
    assert main(["verify", "--store", str(tmp_path / "mine")]) == 1
    done = capsys.readouterr()
    assert "values of accuracy that do not follow from its outcomes" in done.err
    assert "1 disagreements." in done.out


def test_predictions_are_kept_on_request_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["run", *QUICK, "--store", str(tmp_path)]
    assert main(command) == 0
    assert list(tmp_path.rglob("*.csv")) == []
    (path,) = tmp_path.glob("*/*/*.json")
    before = path.read_bytes()
    capsys.readouterr()
    assert main([*command, "--predictions"]) == 0  # of a run that is there
    (kept,) = tmp_path.glob("*/*/*.predictions.csv")
    assert f"predictions in {kept}" in capsys.readouterr().out
    assert path.read_bytes() == before
    frame, run = pd.read_csv(kept), Store(tmp_path).get(next(iter(Store(tmp_path))).experiment)
    assert len(frame) == run.total.sum()
    assert 100 * (frame.label == frame.prediction).mean() == pytest.approx(run.metrics["accuracy"])
    assert main([*command, "--predictions"]) == 0
    assert "holds this run already" in capsys.readouterr().out
    sweep = ["sweep", *QUICK, "--seeds", "0-1", "--jobs", "1", "--store", str(tmp_path), "--predictions"]
    assert main(sweep) == 0
    assert "1 of 2 runs to do" in capsys.readouterr().out
    assert len(list(tmp_path.rglob("*.predictions.csv"))) == 2
    assert len(list(Store(tmp_path))) == 2
    kept.unlink()
    other = json.loads(before)
    changed = before.decode().replace(
        json.dumps(next(iter(other["outcomes"].values()))), json.dumps([0] * 35 + [999]), 1
    )
    path.write_text(changed)
    assert main([*command, "--predictions"]) == 2
    assert "came out otherwise, so that its predictions are not kept" in capsys.readouterr().err
    assert main([*command, "--protocol", "tuning", "--predictions"]) == 2
    assert "leaves the test set alone" in capsys.readouterr().err


def test_from_a_folder_of_wavs_to_predictions_in_three_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("labelled", "new"):
        Path(name).mkdir()
        rows = [
            {"dialogue": d, "turn": t, "speaker": t % 2, "file": f"{d}-{t}.wav"} for d in range(4) for t in range(3)
        ]
        table = pd.DataFrame(rows).assign(label=["high", "low", "high", "low", "high", "low"] * 2)
        for k, row in table.iterrows():
            tone = 0.3 * np.sin(np.arange(16_000) * (0.3 if row.label == "high" else 0.1) * (1 + k / 100))
            write_wav(Path(name, row.file), tone)
        table.drop(columns=["label"] if name == "new" else []).to_csv(Path(name, "utterances.csv"), index=False)
    assert main(["data", "build", "labelled", "--text", "", "--video", ""]) == 0
    assert main(["run", "--dataset", "labelled", "--rank", "4", "--updates", "4", "--save", "model"]) == 0
    assert "apply it with `lmam predict model RECORDINGS" in capsys.readouterr().out
    assert main(["predict", "model", "new", "--to", "predictions.csv"]) == 0
    assert "12 utterances of 4 dialogues in predictions.csv" in capsys.readouterr().out
    frame = pd.read_csv("predictions.csv")
    assert list(frame.columns[:6]) == ["line", "dialogue", "turn", "speaker", "missing", "prediction"]
    assert len(frame) == 12
    assert main(["run", "--dataset", "labelled", "--rank", "4", "--updates", "4", "--save", "again"]) == 0
    assert "trained again for its model" in capsys.readouterr().out
    first, second = (Path(name, "model.safetensors").read_bytes() for name in ("model", "again"))
    assert first == second
    for wrong, sentence in (
        (["nothing", "new", "--to", "p.csv"], "nothing is no model"),
        (["model", "new", "--to", "there/is/none.csv"], "must be a file in a folder that is there"),
        (["model", "iemocap", "--to", "p.csv"], "has no audio features"),
        (["model", "nowhere/new", "--to", "p.csv"], "is not a dataset"),
        (["model", "new"], "Missing option '--to'"),
    ):
        assert main(["predict", *wrong]) == 2
        assert sentence in (error := capsys.readouterr().err)
        assert error.count("\n") == 1
    assert main(["run", *QUICK, "--save", "new"]) == 2
    assert "holds something that is no model" in capsys.readouterr().err


def test_an_empty_store_is_no_store(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["run"], ["sweep"], ["results"], ["verify"]):
        assert main([*command, "--store", ""]) == 2
        assert "--store is empty" in capsys.readouterr().err


COMMANDS = [[], *([name] for name in lmam.commands), *(["data", way] for way in ("build", "read", "fetch"))]


def alone(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    code = (
        "import sys; from lmam_book.cli import main; code = main(sys.argv[1:])\n"
        "print(*sys.modules, file=sys.stderr); sys.exit(code)"
    )
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_is_quick_and_tells_every_option(command: list[str]) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = alone(*command, "--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0
    assert not {"torch", "pandas", "numpy", "scipy"} & set(done.stderr.split())
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.3
    assert max(map(len, done.stdout.splitlines())) <= 80
    for option in re.findall(r"^  (?:-h, )?(--[a-z-]+)(?: [A-Z|\[\]a-z_]+)?(.*)", done.stdout, re.M):
        assert re.search(r"[a-z]{3}", option[1]) or f"{option[0]} " in done.stdout, option


def test_every_option_has_a_meaning() -> None:
    commands = [*lmam.commands.values(), *lmam.commands["data"].commands.values()]
    for command in commands:
        for option in (p for p in command.params if isinstance(p, click.Option)):
            assert re.search(r"[a-z]{3}", option.help or ""), (command.name, option.name)


def test_options_are_the_fields_of_the_tasks_records() -> None:
    """They are written down, since reading them off would load torch. What several tasks have, conversations tell."""
    there = {f.name: f for f in dataclasses.fields(Experiment)}
    for task in TASKS:
        there |= {f.name: f for f in dataclasses.fields(record(task)) if f.name not in there}
    assert list(there) == [*shared.FIELDS]
    for name, (kind, told) in shared.FIELDS.items():
        assert str(there[name].type).removesuffix(" | None") in (kind.__name__, "tuple[str, ...]")
        if (default := there[name].default) not in ("", None, (), False):
            assert f"(default {default}" in told, name
    assert shared.names("dataset") == catalogue.names()
    assert shared.names("embedding") == list(EMBEDDINGS)
    assert shared.names("variant") == list(VARIANTS)
    assert shared.names("protocol") == list(PROTOCOLS)


@pytest.mark.parametrize(("field", "register"), [("fusion", FUSIONS), ("backbone", BACKBONES)])
def test_names_are_those_of_the_register_before_it_is_loaded(
    field: str, register: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shared.names(field) == list(register)
    monkeypatch.delitem(sys.modules, shared._REGISTERS[field])
    assert sorted(shared.names(field)) == sorted(register)


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (["rnu"], "No such command 'rnu'. Did you mean 'run'?"),
        (["run", "--bakbone", "x"], "No such option '--bakbone'. Did you mean '--backbone'?"),
        (["run", "--rank", "few"], "'few' is not a valid integer"),
        (["data", "biuld", "x"], "No such command 'biuld'. Did you mean 'build'?"),
        (["bench", "--only", "atention"], "'atention' is not one of 'attention', 'released'"),
        (["bench", "--repeats", "0"], "--repeats must be at least 1"),
        (["predict"], "Missing argument 'MODEL'"),
        (["run", "stray"], "unexpected extra argument (stray)"),
    ],
)
def test_a_slip_of_the_pen_gets_a_hint(command: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.startswith("lmam: ")
    assert error.count("\n") == 1


def test_alone_it_prints_help_and_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    alone_ = capsys.readouterr().out
    assert main(["--help"]) == 0
    assert capsys.readouterr().out == alone_
    assert all(f"  {name}" in alone_ for name in lmam.commands)
    assert "..." not in alone_.split("Commands:")[1]
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"lmam {lmam_core.__version__}\n"


def test_a_shell_completes_commands_options_and_names() -> None:
    def completed(words: str) -> list[str]:
        asked = {"_LMAM_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
        return [line.partition(",")[2] for line in alone(**asked).stdout.splitlines()]

    assert completed("lmam re") == ["results"]
    assert completed("lmam run --lea") == ["--learning-rate"]
    assert completed("lmam run --backbone dialogue_") == ["dialogue_gcn", "dialogue_rnn"]
    assert completed("lmam sweep --fusion concat,lma") == ["concat,lmam"]
    assert "_lmam_completion" in alone(_LMAM_COMPLETE="bash_source").stdout


def test_an_interrupted_bench_says_what_was_not_measured() -> None:
    """Not that it would go on where it stopped: it keeps nothing."""
    code = "import sys; from lmam_book.cli import main; sys.exit(main(['bench', '--only', 'long', '--repeats', '99']))"
    going = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert going.stdout.readline().startswith("torch ")
    going.send_signal(signal.SIGINT)
    _, error = going.communicate(timeout=60)
    assert (going.returncode, error) == (130, "lmam: interrupted; what is not shown above was not measured.\n")


def test_a_closed_pipe_is_no_mistake(several: Path) -> None:
    for command in (["--help"], ["results", "--csv", "--store", str(several)]):
        code = f"import sys; from lmam_book.cli import main; sys.exit(main({command}))"
        going = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        going.stdout.close()
        assert (going.stderr.read(), going.wait()) == (b"", 0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there it takes minutes")
def test_bench_measures_what_is_asked_for_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--only", "gpu"]) == 0
    head, rest = capsys.readouterr().out.split("\n\n")
    assert head.startswith("torch ")
    assert rest == "On a CPU a training step is at work all the time.\n"


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
    assert numbered("0-2,7") == [0, 1, 2, 7]
