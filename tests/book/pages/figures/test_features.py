"""The chapter's pictures draw what they were given, and its banners say what was at work."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from lmam_book.pages.figures import features as show
from lmam_core.features.extract import EXTRACTORS, Extracted
from lmam_core.features.sample.face import EXPRESSIONS
from lmam_core.features.sample.sample import F0
from lmam_core.features.sample.voice import PROSODY

VALUES = np.random.default_rng(0).standard_normal((8, 5)).astype(np.float32)


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def test_a_banner_names_what_is_random():
    random, layer = Extracted(VALUES, {}, "random (tiny, seed 0)"), Extracted(VALUES, {}, "random (layer, seed 0): x")
    said = show.banner({"text": random, "audio": layer}).data
    assert "Synthetic sample" in said
    assert "A tiny random encoder stands in for text: right shapes" in said
    assert "audio: random (layer, seed 0)" in said
    assert "tiny" not in show.banner({"audio": layer}).data


def test_the_table_lists_every_extractor():
    table = show.registry()
    assert list(table.name) == list(EXTRACTORS)
    assert list(table.width) == [e.width for e in EXTRACTORS.values()]
    assert set(table.weights) == {"trained, from the hub", "random layer, or your file", "none needed"}


def test_the_pitch_drawn_is_the_pitch_spoken(sample):
    folder, table = sample
    row = table[table.speaker == 0].iloc[0]
    wave, pitch = show.sounds({"a voice": folder / row.file}).axes
    hertz = pitch.lines[0].get_ydata()
    assert np.nanmedian(hertz) == pytest.approx(F0[0] * PROSODY[row.label].pitch, rel=0.15)
    assert np.isnan(hertz).any()  # pauses and hissing have none
    assert wave.get_title() == "a voice"
    assert wave.collections


def test_film_has_a_row_a_video_and_a_column_a_frame(sample):
    folder, table = sample
    figure = show.film({f: folder / f for f in table.file[:2]}, 3)
    assert len(figure.axes) == 6
    first, last = (figure.axes[i].images[0].get_array() for i in (0, 2))
    assert first.shape == (128, 128, 3)
    assert not np.array_equal(first, last)


def test_planes_have_a_dot_an_utterance_that_did_not_fail():
    values = VALUES.copy()
    values[3] = np.nan
    labels = [*EXPRESSIONS] * 2
    (ax,) = show.planes({"text": Extracted(values, {3: "broken."}, "")}, labels).axes
    assert sum(len(c.get_offsets()) for c in ax.collections) == 7


def test_words_have_a_bar_each():
    (ax,) = show.words("not a word", [0.5, -0.1, 0.0]).axes
    assert [p.get_height() for p in ax.patches] == [0.5, -0.1, 0.0]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["not", "a", "word"]
