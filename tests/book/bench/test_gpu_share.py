"""The timed training steps train."""

from __future__ import annotations

import math

import pytest
import torch

from lmam_book.bench.gpu_share import WIDTHS, batch, busy, step
from lmam_core.models.backbones import BACKBONES


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_step_changes_the_weights(backbone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    monkeypatch.setattr(torch.optim.Adam, "step", lambda self: taken.append(self.param_groups[0]["params"]))
    step(backbone, batch((5, 3)), "cpu")()
    (parameters,) = taken
    assert all(p.grad is not None for p in parameters)
    assert sum(p.grad.abs().sum() for p in parameters) > 0


def test_the_batch_has_the_papers_widths_and_no_padding_is_an_utterance() -> None:
    some = batch()
    assert {m: x.shape[-1] for m, x in some.features.items()} == WIDTHS
    assert some.mask.sum() == some.lengths.sum() == 2688
    assert (some.features["text"][~some.mask] == 0).all()


def test_without_a_gpu_there_is_a_time_and_no_share() -> None:
    wall, share = busy(lambda: None, repeats=1)
    assert wall > 0
    assert torch.cuda.is_available() or math.isnan(share)
