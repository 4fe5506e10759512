"""What a notebook says when its parameters are wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lmam_book.pages.parameters import check_parameters, check_rank
from lmam_core.errors import LmamError
from lmam_core.runs.experiment import Experiment

GOOD = {"rank": 30, "dataset": "mosi", "rate": 1, "profile": "quick", "device": "cpu", "store": "book"}
RULES = {
    "rank": range(1, 101),
    "dataset": ("mosi", "iemocap"),
    "rate": float,
    "profile": str,
    "device": ("cpu", "cuda"),
    "store": str,
}


def test_good_parameters_pass_and_other_names_do_not_matter() -> None:
    check_parameters(GOOD | {"In": ["", "x = 1", "# Parameters\nrank = 30\n"], "x": 1}, **RULES)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"rank": 0}, r"rank must lie in 1\.\.100; got 0"),
        ({"rank": 101}, r"rank must lie in 1\.\.100"),
        ({"rank": "30"}, "rank must be a whole number"),
        ({"rank": True}, "rank must be a whole number"),
        ({"rank": 3.0}, "rank must be a whole number"),
        ({"dataset": "mosei"}, r"dataset must be one of mosi, iemocap; got 'mosei' \(did you mean 'mosi'"),
        ({"rate": "fast"}, "rate must be of type float"),
        ({"profile": 3}, "profile must be of type str"),
        ({"store": "nowhere"}, "There is no folder of runs nowhere; store is 'book' or the path of one"),
        ({"store": 3}, "store must be of type str"),
        ({"device": "gpu"}, "There is no device 'gpu'; use auto, cpu or cuda"),
        ({"device": "cuda"}, "There is no CUDA device 'cuda' here"),
        ({"In": ["", "# Parameters\nrnak = 30\n"]}, "no parameter 'rnak' .did you mean 'rank'"),
        ({"In": ["", "# Parameters\nzzz = 30\n"]}, "no parameter 'zzz'; it has rank, dataset"),
    ],
)
def test_a_mistake_is_one_sentence(change: dict, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(LmamError, match=sentence):
        check_parameters(GOOD | change, **RULES)


SMALL = {"dataset": "synthetic-iemocap", "dialogues": 6}


@pytest.mark.parametrize(
    ("backbone", "way", "largest"),
    [("bc_lstm", "early", 100), ("bc_lstm", "late", 200), ("emocaps", "early_residual", 100), ("emocaps", "late", 100)],
)
def test_a_rank_beyond_the_narrowest_width_is_one_sentence_with_the_largest(
    backbone: str, way: str, largest: int
) -> None:
    e = Experiment(**SMALL, backbone=backbone, embedding=way, rank=largest)
    check_rank(e)
    with pytest.raises(LmamError, match=rf"rank must lie in 1\.\.{largest} for LMAM {way} in {backbone} on .*; got"):
        check_rank(e, replace(e, rank=largest + 1))


def test_what_has_no_rank_of_lmam_is_not_asked() -> None:
    for asked in ({"variant": "released"}, {"fusion": "concat"}, {"readings": "weight=full"}, {"fusion": "lmf"}):
        check_rank(Experiment(**SMALL, embedding="late", rank=999, **asked))


def test_a_notebook_shows_the_sentence_in_place_of_a_traceback() -> None:
    assert LmamError("rank is wrong.")._render_traceback_() == ["LmamError: rank is wrong."]
