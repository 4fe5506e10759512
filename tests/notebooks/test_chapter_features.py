"""The chapter on features, with openSMILE and without it."""

from __future__ import annotations

import sys

import pytest

from lmam_core.errors import LmamError
from tests.notebooks.here import execute, small_samples

CHAPTER = "19-features"


def test_the_chapter_needs_no_opensmile(monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as sound goes: what stands below trains on features."""
    monkeypatch.setitem(sys.modules, "opensmile", None)
    small_samples(monkeypatch, 6, 4)
    text = execute(CHAPTER, {}, monkeypatch, slice(0, 22))
    assert "mean pitch, semitones above 27.5 Hz" in text
    assert "openSMILE's mean pitch" not in text
    assert "audio acoustic96 24 x 96" in text
    assert "broken.mp4 cannot be decoded" in text


def test_with_opensmile_its_pitch_stands_beside_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("opensmile")
    text = execute(CHAPTER, {}, monkeypatch, slice(0, 14))
    assert (
        "mean pitch asked for, semitones openSMILE's mean pitch, semitones mean pitch, semitones above 27.5 Hz" in text
    )
    rows = text[text.index("peaks of the level per s level, dB") :].split()
    for emotion in ("angry", "happy", "neutral", "sad"):
        asked, theirs, ours = map(float, rows[rows.index(emotion) + 1 :][:3])
        assert theirs == pytest.approx(asked, abs=2.5)
        assert ours == pytest.approx(asked, abs=2.5)


def test_a_set_of_opensmiles_is_refused_at_once_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opensmile", None)
    with pytest.raises(LmamError, match="opensmile100 needs openSMILE"):
        execute(CHAPTER, {"audio": "opensmile100"}, monkeypatch, slice(0, 4))
