"""Runs of one's own on a page: the command that makes them, then gain, interval, seeds and word, as `results` has."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lmam_book.cli import main
from lmam_book.pages import own_runs
from lmam_book.pages.backbone_page import Card
from lmam_book.verdicts import rule
from lmam_book.verdicts.effects import effect
from lmam_book.verdicts.own_backbone import own_runs as judged
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.run import run
from lmam_core.runs.store import Store
from tests import parameters
from tests.notebooks.here import execute

SHORT: dict[str, Any] = {"updates": 8, "patience": 8, "learning_rate": 1e-2}


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A card's parameters on a folder of one's own, beside an empty store of one's own."""
    parameters.place(tmp_path)
    monkeypatch.chdir(tmp_path)
    asked = {"profile": "quick", "dataset": "mine", "rank": 4, "embedding": "late", "seed": 0}
    return asked | {"device": "cpu", "store": "my-runs"}


def made(*experiments: Experiment, seeds: int = 5) -> None:
    for e in experiments:
        for seed in range(seeds):
            Store("my-runs").add(run(dataclasses.replace(e, seed=seed, **SHORT)))


def test_a_card_names_the_command_that_makes_ones_runs_and_then_shows_what_results_say(
    names: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    page = Card("text_cnn", names)
    text = page.answer().data
    command = re.search(r"yet, .*: `lmam (.*?)` makes 5", text)[1]  # type: ignore[index]
    assert shlex.split(command)[1:] == shlex.split(
        "--dataset mine --backbone text_cnn --fusion concat,lmam --rank 4 --embedding late --seeds 0-4 --store my-runs"
    )
    assert main([*shlex.split(command), "--updates", "8", "--learning-rate", "0.01", "--jobs", "1"]) == 0
    capsys.readouterr()
    (one,) = judged(Store("my-runs"), "./mine", ["text_cnn"])  # another spelling of the path
    gain = f"{one.gain.mean:+.1f} ({one.gain.low:+.1f} to {one.gain.high:+.1f}) weighted F1 %, 5 seeds, 3 test"
    text = page.answer().data
    assert f"**Your runs on `mine`**, LMAM late, rank 4: {gain} conversations" in text
    assert f"verdict-{rule.slug(one.word)}" in text
    assert "have no runs" not in text
    assert page.gains().axes[0].get_yticklabels()[0].get_text() == "LMAM late, rank 4 (n=5)"
    assert [label.get_text() for label in page.classes().axes[0].get_yticklabels()] == [
        f"{name} (n=5)" for name in ("calm", "glad", "sad")
    ]
    assert main(["results", "--store", "my-runs"]) == 0
    assert f"{one.gain.mean:+.2f} [{one.gain.low:+.2f}, {one.gain.high:+.2f}]" in capsys.readouterr().out


def test_the_word_is_the_rules_with_nothing_reported(planted: Callable[[float], list[Any]]) -> None:
    better, worse = (
        effect(planted(0.3), planted(0.8), "weighted_f1"),
        effect(planted(0.8), planted(0.3), "weighted_f1"),
    )
    assert (rule.own(better), rule.own(worse)) == ("better", "worse")
    assert rule.own(better, rule.Baseline(0.0, 1.0)) == rule.NOT_WORKING
    assert rule.own(worse, trained=False) == rule.UNDECIDED
    assert rule.own(dataclasses.replace(better, seeds=4)) == rule.TOO_FEW


@pytest.fixture
def planted() -> Callable[[float], list[Any]]:
    from tests.book.verdicts.test_beside_paper import made as runs

    return lambda right: [runs(Experiment(seed=s), right) for s in range(6)]


def test_the_place_of_the_concatenation_is_that_of_the_same_encoders() -> None:
    places = {
        ("bc_lstm", "early_residual"): "early",
        ("bc_lstm", "early"): "early",
        ("bc_lstm", "late"): "late",
        ("emocaps", "early_residual"): "late",
        ("emocaps", "late"): "late",
    }
    for (backbone, way), place in places.items():
        plain, lmam = own_runs.pair(Experiment(backbone=backbone, embedding=way, rank=4))
        assert (plain.fusion, plain.rank, plain.embedding, lmam.embedding) == ("concat", None, place, way)


def test_the_books_own_store_shows_none_of_ones_runs_and_asks_for_them_only_on_ones_own_data(
    names: dict[str, Any],
) -> None:
    assert own_runs.answer("book", own_runs.pair(Experiment()), {}) == ""
    text = own_runs.answer("book", own_runs.pair(Experiment("mine", backbone="bc_lstm", embedding="late")), {})
    assert "--store my-runs` makes 5, and `store = 'my-runs'` shows" in text
    (blank,) = own_runs.commands("my runs", own_runs.pair(Experiment("mine", embedding="late")))
    assert "--store 'my runs'" in blank


def test_chapters_show_ones_runs_beside_those_of_strangers_and_other_tasks(
    names: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    late = Experiment("mine", backbone="bc_lstm", embedding="late", rank=4)
    made(*own_runs.pair(late), dataclasses.replace(late, rank=2), dataclasses.replace(late, fusion="tfn", rank=None))
    path = next(Store("my-runs").root.rglob("*.json"))
    path.with_name("other.json").write_text(path.read_text().replace('"backbone": "bc_lstm"', '"backbone": "mine"'))
    given = {"dataset": "mine", "store": "my-runs"}
    pairs = execute("17-significance", given | {"backbone": "bc_lstm"}, monkeypatch)
    assert re.search(r"mine-\w{8} · \w+40, \w+30, \w+20 · bc-LSTM: \d of 6 pairs at p < 0\.05", pairs)
    ranks = execute("15-rank", given | {"rank": 4}, monkeypatch, slice(0, 8))
    for arm in ("LMAM late, rank 2", "LMAM late, rank 4", "TFN"):
        assert re.search(rf"\*\*Your runs on `mine`\*\*, {arm}[^:]*: [+-]\d+\.\d \([+-]\d+\.\d to [+-]\d+\.\d\)", ranks)
