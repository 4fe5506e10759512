"""Live training goes to the device that was asked for, and its model comes back to the CPU."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from lmam_book.pages import live_runs
from lmam_book.pages.backbone_page import Card
from lmam_core.errors import LmamError
from lmam_core.runs import device as run_device
from lmam_core.runs import run as live
from lmam_core.runs import training
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.run import _fit


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A machine that seems to have two; the devices on which a model was asked to train."""
    asked = []

    def trains_here(experiment: Experiment, device: str, progress: object = None) -> tuple:
        asked.append(device)
        model, data, training = _fit(experiment, "cpu", progress)
        model.cpu = lambda: asked.append("back") or model
        return model, data, training

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(live, "_fit", trains_here)
    return asked


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_comparison_trains_where_it_is_told(device: str, two_gpus: list[str], quick: Experiment) -> None:
    found = live_runs.train({"LMAM": quick}, device)
    assert two_gpus == [device, "back"]
    assert list(found) == ["LMAM"]


def test_a_card_trains_where_it_is_told(two_gpus: list[str]) -> None:
    names = {"profile": "quick", "dataset": "synthetic-iemocap", "rank": 4, "embedding": "late", "seed": 0}
    page = Card("text_cnn", names | {"device": "cuda", "store": "book"}, epochs=1, dialogues=8, batch_size=4)
    assert "trained on cuda" in page.live().data
    assert two_gpus == ["cuda", "back"] * 2
    assert "device=cuda" in page.footer().data


def test_the_device_is_found_where_none_is_named(two_gpus: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for there, expected in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert run_device.usable("auto") == expected


def test_an_interrupted_training_ends_in_a_sentence(quick: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    monkeypatch.setattr(live_runs.DisplayHandle, "update", lambda self, html: shown.append(html.data))

    def interrupted(batch: object, *more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "step", interrupted)
    with pytest.raises(LmamError, match="interrupted; run the cell again"):
        live_runs.train({"LMAM": quick})
    assert shown[-1] == ""


def test_a_line_says_how_far_training_is(quick: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    monkeypatch.setattr(live_runs.DisplayHandle, "update", lambda self, html: shown.append(html.data))
    live_runs.train({"first": quick, "second": replace(quick, seed=1)})
    assert [line.split(",")[0] for line in shown] == ["<p>training 1 of 2: first", "<p>training 2 of 2: second", ""]


def test_what_is_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert [run_device.usable(name) for name in ("cpu", "cuda", "cuda:0")] == ["cpu", "cuda", "cuda:0"]
    with pytest.raises(LmamError, match="no CUDA device 'cuda:1' here"):
        run_device.usable("cuda:1")
    with pytest.raises(LmamError, match="no device 'gpu'; use auto, cpu or cuda"):
        run_device.usable("gpu")
    with pytest.raises(LmamError, match="no device '0'"):
        run_device.usable(0)


def test_a_comparison_trains_on_the_cpu_by_itself(quick: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    made = SimpleNamespace(cpu=lambda: made)
    monkeypatch.setattr(live, "_fit", lambda e, device, progress: asked.append(device) or (made, None, None))
    assert live.trained(quick)[0] is made
    assert asked == ["cpu"]
