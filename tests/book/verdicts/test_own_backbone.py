"""`compare`: the word on planted data, the same runs on a second call, an edited model anew, and errors."""

from __future__ import annotations

import dataclasses
import doctest
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from torch import Tensor, nn

import lmam_book
from lmam_book.cli import main
from lmam_book.plans import search
from lmam_book.verdicts import own_backbone, rule
from lmam_book.verdicts.effects import effect
from lmam_core.data import catalogue, synthetic
from lmam_core.errors import LmamError
from lmam_core.models.backbones import BACKBONES
from lmam_core.runs import experiment
from lmam_core.runs.store import Store
from tests.planted import GAIN, NEAR, Graph

compare = lmam_book.compare
QUICK: dict[str, Any] = {"rank": 4, "learning_rate": 2e-2, "updates": 150, "patience": 6, "device": "cpu"}


@pytest.fixture(autouse=True)
def _planted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    records = (*catalogue._RECORDS, *map(synthetic._record, (GAIN, NEAR)))
    monkeypatch.setattr(catalogue, "_RECORDS", records)
    with mock.patch.dict(BACKBONES):
        yield


class Linear(nn.Module):
    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.net = nn.Linear(width, outputs)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.net(x)


def test_a_planted_gain_is_found_in_a_graph_network_and_nothing_is_run_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compared = compare(Graph, GAIN.name, store=tmp_path, **QUICK)
    assert (compared.word, compared.why) == ("better", "")
    assert compared.baseline.works
    assert compared.gain.low > 0
    assert compared.gain == effect(compared.plain, compared.fused, "weighted_f1")
    assert [r.experiment.seed for r in compared.plain] == [r.experiment.seed for r in compared.fused] == list(range(5))
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in told] == [f"[{i}/10]" for i in range(1, 11)]
    for part in ("LMAM early + residual instead of concatenation in Graph", "(synthetic data)", "5 seeds and 30 test"):
        assert part in str(compared)
    again = compare(Graph, GAIN.name, store=tmp_path, **QUICK)
    assert (again.gain, again.word) == (compared.gain, compared.word)
    assert capsys.readouterr().out == ""
    # Whoever reads the store later does not have the model.
    BACKBONES.pop(compared.folder.name)
    assert main(["results", "--store", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "better" in shown
    assert f"{compared.gain.mean:+.2f} [{compared.gain.low:+.2f}, {compared.gain.high:+.2f}]" in shown


def test_where_nothing_is_to_be_gained_lmam_is_not_called_better(tmp_path: Path) -> None:
    compared = compare(Graph, NEAR.name, store=tmp_path, **QUICK)
    assert compared.baseline.works
    assert compared.word in ("worse", rule.UNDECIDED)
    assert compared.gain.low < 0
    assert ("would" in compared.why or "too near 0" in compared.why) == (compared.word == rule.UNDECIDED)


def test_a_model_below_a_linear_probe_decides_nothing_and_few_seeds_have_no_word(tmp_path: Path) -> None:
    untrained = QUICK | {"updates": 4, "patience": 1}
    compared = compare(Linear, NEAR.name, store=tmp_path, **untrained)
    assert compared.word == rule.NOT_WORKING
    assert compared.baseline.score < compared.baseline.bar
    assert compare(Linear, NEAR.name, store=tmp_path, seeds=[3, 4], **untrained).word == rule.TOO_FEW
    assert {r.experiment.seed for r in Store(tmp_path)} == {0, 1, 2, 3, 4}


def test_an_edited_model_is_trained_anew_and_a_registered_one_is_named(tmp_path: Path) -> None:
    class Edited(Linear):
        def forward(self, x: Tensor, mask: Tensor) -> Tensor:
            return self.net(x.clamp(-1, 1))

    Edited.__name__ = "Linear"
    short = QUICK | {"updates": 2, "patience": 1, "seeds": 2, "store": tmp_path}
    first, second = compare(Linear, GAIN.name, **short), compare(Edited, GAIN.name, **short)
    assert first.folder != second.folder
    assert first.plain[0].metrics != second.plain[0].metrics
    named = compare("utterance", GAIN.name, variant="released", embedding="late", **short | {"rank": None})
    assert (named.folder.name, named.fused[0].experiment.variant) == ("utterance", "released")
    assert {r.experiment.embedding for r in (*named.plain, *named.fused)} == {"late"}


def test_a_search_is_the_same_for_both_arms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "TRIALS", search.TRIALS[:3])
    monkeypatch.setattr(search, "SEEDS", search.SEEDS[:1])
    monkeypatch.setattr(search, "SHORT", 4)
    monkeypatch.setitem(experiment.BUDGETS, "tuning", {"batch_size": 8, "updates": 8, "patience": 8})
    compared = compare(Linear, GAIN.name, seeds=2, rank=4, updates=8, search=True, store=tmp_path, device="cpu")
    tried = [r.experiment for r in Store(tmp_path) if r.experiment.protocol == "tuning"]
    for arm in (compared.plain, compared.fused):
        mine = {(e.learning_rate, e.dropout, e.weight_decay) for e in tried if e.fusion == arm[0].experiment.fusion}
        assert set(search.TRIALS) <= mine
        chosen = arm[0].experiment
        assert (chosen.learning_rate, chosen.dropout, chosen.weight_decay) in mine
    assert "each arm searched alike, 3 trials" in compared.recipe


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"seeds": 1}, "An interval needs two seeds, and a word 5; got 1"),
        ({"seeds": [3, 3]}, "got 1"),
        ({"dataset": "planted-gian"}, "There is no dataset 'planted-gian'"),
        ({"model": "bc_lstn"}, "There is no backbone 'bc_lstn'"),
        ({"rank": 13}, "from 1 to 12, the narrowest width; got 13"),
        ({"embedding": "middle"}, "no embedding way 'middle'"),
        ({"modalities": ("text",)}, "With text alone there is nothing to fuse"),
        ({"learning_rat": 1.0}, "A recipe has no 'learning_rat'; did you mean 'learning_rate'"),
        ({"search": True}, "A search chooses learning_rate"),
        ({"protocol": "tuning"}, "leaves the test set alone"),
        ({"device": "tpu"}, "tpu"),
    ],
)
def test_what_cannot_be_compared_is_told_before_anything_runs(
    given: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(LmamError, match=sentence):
        compare(**{"model": Linear, "dataset": GAIN.name, "store": tmp_path} | QUICK | given)
    assert not list(Store(tmp_path))


def test_an_interrupted_comparison_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = QUICK | {"updates": 2, "patience": 1, "seeds": 2, "store": tmp_path}
    done: list[int] = []
    train = own_backbone.run

    def interrupted(*given: Any) -> Any:
        done.append(1)
        if len(done) == 3:
            raise KeyboardInterrupt
        return train(*given)

    monkeypatch.setattr(own_backbone, "run", interrupted)
    with pytest.raises(LmamError, match="the same call goes on from there"):
        compare(Linear, GAIN.name, **short)
    assert len(list(Store(tmp_path))) == 2
    compare(Linear, GAIN.name, **short)
    assert len(done) == 3 + 2


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (example,) = doctest.DocTestFinder().find(compare, "compare", module=False, globs={"compare": compare})
    wrong: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=wrong.append)
    assert "".join(wrong) == ""
    assert len(list(Store("my-runs"))) == 4


def test_real_numbers_are_held_against_a_ridge_regression(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = synthetic.generate(NEAR)
    splits = {
        split: [dataclasses.replace(c, label=c.label.astype(np.float32) + 1) for c in talks]
        for split, talks in data.splits.items()
    }
    numbers = dataclasses.replace(data, name="planted-numbers", classes=None, splits=splits)
    record = synthetic._record(NEAR)
    record = dataclasses.replace(record, name=numbers.name, build=lambda arrays, features: numbers)
    monkeypatch.setattr(catalogue, "_RECORDS", (*catalogue._RECORDS, record))
    compared = compare(Linear, numbers.name, store=tmp_path, seeds=2, **QUICK)
    y = np.concatenate([c.label for c in splits["test"]])
    assert compared.metric == "mae"
    assert 0.1 < -compared.baseline.bar < np.abs(y - np.median(y)).mean()
    assert compared.baseline.score == pytest.approx(-np.mean([r.metrics["mae"] for r in compared.plain]))
    assert f"{-compared.baseline.bar:.3f} of a linear probe" in str(compared)
