"""Our measures of sound against what is known of it: tones, noise of a known level, silence, the equations again."""

import numpy as np
import pytest

from lmam_core.features.encoders import acoustic
from lmam_core.features.encoders.acoustic import NAMES, functionals, track
from lmam_core.features.media import RATE

T = np.arange(RATE) / RATE


def voice(hertz: float, harmonics: int = 10) -> np.ndarray:
    """A second of a periodic sound whose harmonics fall with their number."""
    return 0.1 * sum(np.sin(2 * np.pi * hertz * k * T) / k for k in range(1, harmonics + 1) if k * hertz < RATE / 2)


@pytest.mark.parametrize("hertz", [65, 80, 110, 155.5, 220, 311, 440])
def test_pitch_is_the_period(hertz):
    found = track(voice(hertz))
    assert np.isfinite(found["pitch"][2:-2]).all()
    assert np.nanmedian(found["pitch"]) == pytest.approx(12 * np.log2(hertz / 27.5), abs=0.05)


@pytest.mark.parametrize("ratio", [0, 10, 20])
def test_harmonicity_is_the_ratio_of_tone_to_noise(ratio):
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(RATE) * np.sqrt(0.5 / 10 ** (ratio / 10))
    assert track(np.sin(2 * np.pi * 200 * T) + noise)["harmonicity"].mean() == pytest.approx(ratio, abs=1)


def test_noise_has_no_pitch_and_a_flat_spectrum():
    found = track(np.random.default_rng(0).standard_normal(RATE))
    assert not np.isfinite(found["pitch"]).any()
    assert found["level"].mean() == pytest.approx(0, abs=0.2)
    assert found["centroid"].mean() == pytest.approx(4000, rel=0.02)
    assert found["bandwidth"].mean() == pytest.approx(8000 / np.sqrt(12), rel=0.02)
    assert found["rolloff"].mean() == pytest.approx(0.85 * 8000, rel=0.02)
    assert found["slope"].mean() == pytest.approx(0, abs=0.1)
    # A power of two degrees of freedom: the logarithm's mean lies Euler's constant below the mean's.
    assert found["flatness"].mean() == pytest.approx(-10 * np.euler_gamma / np.log(10), abs=0.2)
    assert found["alpha_ratio"].mean() == pytest.approx(10 * np.log10(950 / 4000), abs=0.5)
    assert found["zero_crossings"].mean() == pytest.approx(RATE / 2, rel=0.02)


def test_a_tone_is_where_it_is():
    found = track(0.5 * np.sin(2 * np.pi * 1000 * T))
    assert found["centroid"].mean() == pytest.approx(1000, rel=0.01)
    assert found["rolloff"].mean() == pytest.approx(1000, abs=RATE / 512)
    assert found["zero_crossings"].mean() == pytest.approx(2000, rel=0.02)
    assert found["level"].mean() == pytest.approx(10 * np.log10(0.125), abs=0.01)
    assert found["flux"].max() < 0.01


def test_cepstra_are_those_of_the_formula():
    """One frame, filter by filter and cosine by cosine."""
    sound = np.random.default_rng(1).standard_normal(acoustic.LONG)
    short = sound[200:600] * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400))
    power = np.abs(np.fft.fft(np.pad(short, (0, 112)))[:257]) ** 2 / 400 + 1e-10
    edges = [700 * (10 ** (m / 2595) - 1) for m in np.arange(28) / 27 * 2595 * np.log10(1 + 8000 / 700)]
    logs = []
    for low, top, high in zip(edges, edges[1:], edges[2:], strict=False):
        hertz = np.arange(257) * RATE / 512
        weight = [max(0, min((h - low) / (top - low), (high - h) / (high - top))) for h in hertz]
        logs.append(np.log(np.dot(weight, power)))
    for k in range(1, 13):
        cosines = np.cos(np.pi * k * (np.arange(26) + 0.5) / 26)
        expected = np.sqrt(2 / 26) * np.dot(logs, cosines)
        assert track(sound)[f"mfcc{k}"] == pytest.approx([expected], rel=1e-9)


def test_functionals_by_name():
    """Half a second of voice, half a second of noise, and the voice again an octave higher."""
    rng = np.random.default_rng(0)
    sound = np.concatenate([voice(110)[: RATE // 2], 0.03 * rng.standard_normal(RATE // 2), voice(220)[: RATE // 2]])
    assert len(NAMES) == len(set(NAMES)) == len(functionals(sound)) == 96
    found = dict(zip(NAMES, functionals(sound), strict=True))
    assert found["pitch_mean"] == pytest.approx(30, abs=0.5)
    assert found["pitch_p20"] == pytest.approx(24, abs=0.2)
    assert found["pitch_p80"] == pytest.approx(36, abs=0.2)
    assert found["pitch_std"] == pytest.approx(6, abs=0.3)
    assert found["voiced"] == pytest.approx(2 / 3, abs=0.05)
    assert found["voiced_segments"] == pytest.approx(2 / 1.5, rel=0.05)
    assert found["voiced_length"] == pytest.approx(0.5, rel=0.1)
    bursts = np.where((T * 4) % 1 < 0.5, voice(200), 0.001 * voice(200))
    assert dict(zip(NAMES, functionals(bursts), strict=True))["level_peaks"] == pytest.approx(4, abs=1.1)


@pytest.mark.parametrize(
    "sound", [np.zeros(1600), np.ones(1600), np.zeros(800), 1e-6 * np.ones(5000), 1e4 * voice(100)]
)
def test_any_sound_has_finite_functionals(sound):
    assert np.isfinite(functionals(sound)).all()


def test_a_long_sound_is_measured_in_pieces():
    """Pieces of 1,000 frames change nothing."""
    sound = np.random.default_rng(0).standard_normal(12 * RATE)
    whole, end = track(sound), track(sound[-2 * RATE :])
    for name in whole:
        if name not in ("pitch", "flux"):
            np.testing.assert_allclose(whole[name][-len(end[name]) :], end[name], rtol=1e-9, atol=1e-9)


def test_pitch_agrees_with_opensmile():
    opensmile = pytest.importorskip("opensmile")
    from lmam_core.features.sample import voice as synthesis

    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)
    rng = np.random.default_rng(0)
    for emotion, hertz in (("neutral", 115.0), ("happy", 205.0), ("sad", 115.0), ("angry", 205.0)):
        sound = synthesis.speak("The meeting was moved to Thursday afternoon.", emotion, hertz, rng)
        theirs = smile.process_signal(sound, RATE)["F0semitoneFrom27.5Hz_sma3nz_percentile50.0"].item()
        assert np.nanmedian(track(sound)["pitch"]) == pytest.approx(theirs, abs=1)
