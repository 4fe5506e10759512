"""The benchmark's programs compute the same thing, and its lines say whether a target was met."""

from __future__ import annotations

import pytest
import torch

from lmam_book.bench.modules import MODALITIES, ReleasedLoop, SelfAttention, _inputs, _line, seconds
from lmam_core.models.lmam import LMAM


def test_the_loop_over_time_equals_the_closed_form() -> None:
    torch.manual_seed(0)
    features, mask = _inputs(3, 7, 16, "cpu")
    mask[1, 4:] = False
    closed = LMAM(dict.fromkeys(MODALITIES, 16), variant="released")
    torch.testing.assert_close(ReleasedLoop(closed)(features, mask), closed(features, mask), atol=1e-5, rtol=0)


def test_self_attention_has_nine_projections() -> None:
    assert sum(p.numel() for p in SelfAttention(16).parameters()) == 9 * (16 * 16 + 16)
    features, mask = _inputs(2, 5, 16, "cpu")
    assert SelfAttention(16)(features, mask).shape == (2, 5, 48)


def test_a_missed_target_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert _line("fast enough", 4.0, 1.0, 3.3)
    assert not _line("too slow", 3.0, 1.0, 3.3)
    lines = capsys.readouterr().out.splitlines()
    assert "MISSED" not in lines[0]
    assert "= 3.00  (at least 3.3: MISSED)" in lines[1].replace("  3.00", " 3.00")


def test_programs_are_timed_by_their_median() -> None:
    x = torch.randn(4, 4, requires_grad=True)
    times = seconds({"a": lambda: x * 2, "b": lambda: x @ x}, repeats=3)
    assert set(times) == {"a", "b"}
    assert all(t > 0 for t in times.values())
