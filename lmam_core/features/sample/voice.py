"""A speech-like voice: formant synthesis (a pulse and noise through resonators) whose prosody follows an emotion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.signal import lfilter

from lmam_core.features.media import RATE

FRAME = 80
"""Samples over which the resonators stay as they are: 5 ms at 16 kHz."""


@dataclass(frozen=True)
class Prosody:
    """How an emotion sounds against a speaker's neutral voice.

    `pitch` multiplies the mean f0, `span` is the accents' height in semitones, `rate` multiplies the speed, `level` is
    in dB, `tilt` in 0..1 darkens the source. Directions as summed up for acted speech by Juslin and Laukka (2003);
    the sizes are ours.
    """

    pitch: float
    span: float
    rate: float
    level: float
    tilt: float


PROSODY = {
    "neutral": Prosody(1.0, 3.0, 1.0, -24.0, 0.6),
    "happy": Prosody(1.45, 8.0, 1.15, -20.0, 0.4),
    "sad": Prosody(0.85, 1.2, 0.72, -31.0, 0.9),
    "angry": Prosody(1.2, 5.5, 1.3, -13.0, 0.1),
}

# First three formants in Hz of a letter, its length in ms, and how much voice and noise it has.
VOWELS = {"a": (730, 1090, 2440), "e": (530, 1840, 2480), "i": (300, 2250, 3000), "o": (570, 840, 2410)}
VOWELS |= {"u": (320, 870, 2240), "y": (350, 2000, 2800)}
VOICED, HISSING = "bdgjlmnrvwz", "cfhkpqstx"
PAUSE = 40.0


Sound = tuple[tuple[int, int, int], float, float, float]
"""Formants in Hz, ms, voice and noise in 0..1."""


def letters(text: str) -> list[Sound]:
    """The sounds of a text, one per letter; other signs are pauses."""
    sounds = []
    for sign, following in zip(text.lower(), text.lower()[1:] + " ", strict=True):
        if sign in VOWELS:
            sounds.append((VOWELS[sign], 65.0 if following in VOWELS else 115.0, 1.0, 0.02))
        elif sign in VOICED:
            sounds.append(((250, 1200, 2300), 55.0, 0.3, 0.02))
        elif sign in HISSING:
            sounds.append(((1500, 2800, 4500), 60.0, 0.0, 0.12))
        else:
            sounds.append(((500, 1500, 2500), PAUSE, 0.0, 0.0))
    return sounds


def speak(text: str, emotion: str, f0: float, rng: np.random.Generator) -> np.ndarray:
    """The text spoken in an emotion by a voice of `f0` Hz: float32 (n,), mono, 16 kHz, within -1..1.

    Not intelligible, but with vowels, consonants, accents and a falling pitch, as speech has. `rng` varies pitch,
    accents, speed and level a little from utterance to utterance.
    """
    p, sounds = PROSODY[emotion], letters(text)
    speed = p.rate * rng.uniform(0.94, 1.06)
    counts = [max(1, round(ms / speed / 1000 * RATE / FRAME)) for _, ms, _, _ in sounds]
    track = np.repeat(np.array([[*f, v, n] for f, _, v, n in sounds], float), counts, 0)  # (frames, 5)
    kernel = np.hanning(9) / np.hanning(9).sum()  # articulators glide
    track = np.stack([np.convolve(np.pad(c, 4, "edge"), kernel, "valid") for c in track.T], 1)
    pitch = _pitch(sounds, counts, p, f0 * rng.uniform(0.97, 1.03), rng)  # (frames,)
    source = _source(np.repeat(pitch, FRAME), np.repeat(track[:, 3:], FRAME, 0), p.tilt, rng)
    sound = _resonate(source, track[:, :3] * rng.uniform(0.97, 1.03))
    level = p.level + rng.uniform(-1.0, 1.0)
    sound *= 10 ** (level / 20) / np.sqrt(np.mean(sound**2))
    edge = np.zeros(round(0.06 * RATE))
    # A soft limit, so that a loud peak bends where clipping would crack.
    return np.tanh(np.concatenate([edge, sound, edge])).astype(np.float32)


def _pitch(sounds: Sequence[Sound], counts: list[int], p: Prosody, f0: float, rng: np.random.Generator) -> np.ndarray:
    """f0 in Hz of each frame: it falls by a few semitones, and every other vowel or so has an accent."""
    frames = sum(counts)
    at = np.arange(frames)
    semitones = np.linspace(0.12, -0.12, frames) * p.span
    centres = np.cumsum(counts) - np.array(counts) / 2
    accents = [c for c, (_, _, voice, _) in zip(centres, sounds, strict=True) if voice == 1.0][::2]
    for centre in accents:
        semitones = semitones + p.span * rng.uniform(0.5, 1.0) * np.exp(-0.5 * ((at - centre) / 14) ** 2)
    semitones -= semitones.mean()
    return f0 * p.pitch * 2 ** (semitones / 12) * (1 + 0.004 * rng.standard_normal(frames))


def _source(pitch: np.ndarray, amount: np.ndarray, tilt: float, rng: np.random.Generator) -> np.ndarray:
    """Glottal pulses and noise, sample by sample; `tilt` is the pole of a low-pass over the pulses."""
    phase = np.cumsum(pitch / RATE)
    pulse = np.diff(np.floor(phase), prepend=0.0) - pitch / RATE  # one impulse per period, no mean
    pulse = lfilter([1.0 - tilt], [1.0, -tilt], lfilter([1.0], [1.0, -0.95], pulse))
    noise = rng.standard_normal(len(phase))
    return amount[:, 0] * pulse + 0.25 * amount[:, 1] * noise


def _resonate(source: np.ndarray, formants: np.ndarray) -> np.ndarray:
    """Three resonators in cascade (Klatt, 1980), whose frequencies change every 5 ms.

    Windows of 10 ms are filtered one by one, as products of spectra, and added where they overlap by half.
    """
    r = np.exp(-np.pi * np.array([80.0, 110.0, 170.0]) / RATE)  # poles of these bandwidths in Hz, (3,)
    c = 2 * r * np.cos(2 * np.pi * formants / RATE)  # (frames, 3)
    size = 1024  # 2 FRAME of window, and room for 54 ms of ringing
    z = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)  # (bins,)
    below = 1 - c[..., None] * z + (r * r)[:, None] * z**2  # (frames, 3, bins)
    response = np.prod((1 - c + r * r)[..., None] / below, 1)  # (frames, bins)
    window = 0.5 - 0.5 * np.cos(np.pi * np.arange(2 * FRAME) / FRAME)
    pieces = sliding_window_view(np.pad(source, FRAME // 2), 2 * FRAME)[::FRAME][: len(c)] * window
    filtered = np.fft.irfft(np.fft.rfft(pieces, size) * response, size)  # (frames, size)
    sound = np.zeros(len(c) * FRAME + size)
    for n, piece in enumerate(filtered):
        sound[n * FRAME : n * FRAME + size] += piece
    return sound[FRAME // 2 : FRAME // 2 + len(source)]
