"""Prosody, voice quality and spectrum of an utterance in 96 numbers, by NumPy and SciPy alone.

The default for sound, because anyone may use it for anything: openSMILE's licence forbids commercial products,
Praat behind parselmouth is GPL, and librosa, which has no such limits, compiles for most of a minute at its first call.
The measures are those of the field: pitch and harmonicity as Boersma (1993) defines them, with a running median for
his search of the best path; mel-frequency cepstral coefficients as in HTK; the rest in the formulas below.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.fft import dct, irfft, rfft
from scipy.ndimage import median_filter
from scipy.signal import find_peaks
from scipy.signal.windows import hann

from lmam_core.features.media import RATE

HOP, LONG, SHORT = 160, 800, 400
"""Samples from frame to frame (10 ms), of a frame's window for pitch (50 ms), and of the one for all else (25 ms)."""
PITCHES = (60.0, 500.0)
"""Hz between which pitch is looked for; the window holds three periods of the lowest."""
VOICED, OCTAVE, QUIET = 0.45, 0.01, 0.03
"""Boersma's thresholds: autocorrelation of a voiced frame, cost per octave, peak against the recording's own peak."""
SMOOTH = 5
"""Frames of the running median of pitch, which takes out octave jumps and voices of fewer than three frames."""
FLOOR = 1e-10
"""Power that stands for digital silence: -100 dB."""
MELS, CEPSTRA = 26, 12

_BASE = 27.5  # Hz, the zero of the semitones
_MEASURES = (
    "level",
    "pitch",
    "harmonicity",
    "zero_crossings",
    "centroid",
    "bandwidth",
    "rolloff",
    "flatness",
    "flux",
    "slope",
    "alpha_ratio",
    *(f"mfcc{k}" for k in range(1, CEPSTRA + 1)),
)
_RHYTHM = ("voiced", "voiced_segments", "voiced_length", "level_peaks")
NAMES = (*(f"{m}_{f}" for m in _MEASURES for f in ("mean", "std", "p20", "p80")), *_RHYTHM)
"""What each of the 96 numbers is, in their order."""

Track = dict[str, np.ndarray]


def functionals(sound: np.ndarray) -> np.ndarray:
    """The numbers that `NAMES` names, float64 (96,), of sound (n,) at 16 kHz, n at least 800.

    Mean, standard deviation, 20th and 80th percentile of each measure of `track` over frames, of pitch and harmonicity
    over voiced frames (0 where there is none); the part of frames that are voiced; runs of voiced frames per s and
    their mean length in s; peaks of the level per s, each 3 dB above what surrounds it.
    """
    measures = track(sound)
    voiced = np.isfinite(measures["pitch"])  # (F,)
    values = []
    for name in _MEASURES:
        x = measures[name][voiced] if name in ("pitch", "harmonicity") else measures[name]
        values += [x.mean(), x.std(), *np.percentile(x, (20, 80))] if len(x) else [0.0] * 4
    seconds = len(voiced) * HOP / RATE
    runs = int((np.diff(voiced.astype(int), prepend=0) == 1).sum())
    peaks = len(find_peaks(measures["level"], prominence=3.0)[0])
    values += [voiced.mean(), runs / seconds, voiced.sum() * HOP / RATE / max(runs, 1), peaks / seconds]
    return np.array(values)


def track(sound: np.ndarray) -> Track:
    """Every measure of F frames, one per 10 ms, each (F,); P is a frame's power spectrum at f Hz, p = P / sum P.

    - level: 10 log10 of the mean square, dB below full scale; zero_crossings: per s.
    - pitch: semitones above 27.5 Hz, NaN in unvoiced frames; harmonicity: 10 log10(r / (1 - r)) dB with r the
      autocorrelation one period on, at most 40.
    - centroid: c = sum p f, Hz; bandwidth: sqrt(sum p (f - c)^2), Hz; rolloff: the f below which 85 % of P lies, Hz.
    - flatness: 10 log10 of P's geometric by its arithmetic mean, dB; flux: ||p_t - p_(t-1)||.
    - slope: of the regression of 10 log10 P on f, dB per kHz; alpha_ratio: 10 log10 of P in 50 to 1,000 Hz by P in 1
      to 5 kHz, dB.
    - mfcc1 to mfcc12: the orthonormal DCT-II of the log power in 26 triangular filters, equal in width on the mel scale
      2595 log10(1 + f / 700) from 0 to 8 kHz.
    """
    sound = np.asarray(sound, np.float64)
    starts = sliding_window_view(sound, LONG)[::HOP]  # (F, 800)
    loudest = np.abs(sound - sound.mean()).max()
    parts = [_frames(starts[i : i + 1000], loudest) for i in range(0, len(starts), 1000)]  # in bounded memory
    measures = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    p = measures.pop("spectrum")  # (F, K)
    pitch = median_filter(np.nan_to_num(measures["pitch"]), SMOOTH, mode="constant")  # 0 is unvoiced
    measures["pitch"] = np.where(pitch > 0, pitch, np.nan)
    measures["flux"] = np.linalg.norm(np.diff(p, axis=0, prepend=p[:1]), axis=1)
    return measures


def _frames(long: np.ndarray, loudest: float) -> Track:
    """The measures of frames (F, 800), and their normalised spectra (F, K) for the flux."""
    short = long[:, (LONG - SHORT) // 2 : (LONG + SHORT) // 2]  # (F, 400)
    pitch, harmonicity = _pitch(long, loudest)
    f = np.fft.rfftfreq(512, 1 / RATE)  # (K,)
    P = np.abs(rfft(short * hann(SHORT, sym=False), 512)) ** 2 / SHORT + FLOOR  # (F, K)
    p = P / P.sum(1, keepdims=True)
    dB = 10 * np.log10(P)
    centroid = p @ f
    low, high = (f >= 50) & (f < 1000), (f >= 1000) & (f < 5000)
    measures = {
        "level": 10 * np.log10((short**2).mean(1) + FLOOR),
        "pitch": pitch,
        "harmonicity": harmonicity,
        "zero_crossings": (np.diff(np.signbit(short), axis=1) != 0).sum(1) * RATE / SHORT,
        "centroid": centroid,
        "bandwidth": np.sqrt(np.maximum(p @ f**2 - centroid**2, 0)),
        "rolloff": f[(p.cumsum(1) < 0.85).sum(1).clip(max=len(f) - 1)],
        "flatness": dB.mean(1) - 10 * np.log10(P.mean(1)),
        "slope": dB @ (f - f.mean()) / ((f - f.mean()) ** 2).sum() * 1000,
        "alpha_ratio": 10 * np.log10(P[:, low].sum(1) / P[:, high].sum(1)),
        "spectrum": p,
    }
    cepstra = dct(np.log(P @ _filters().T), norm="ortho")[:, 1 : CEPSTRA + 1]  # (F, 12)
    return measures | {f"mfcc{k + 1}": cepstra[:, k] for k in range(CEPSTRA)}


def _pitch(long: np.ndarray, loudest: float) -> tuple[np.ndarray, np.ndarray]:
    """Semitones, NaN where unvoiced, and harmonicity in dB, each (F,).

    The autocorrelation of the windowed frame over that of its window (Boersma 1993, Eq. 9), its highest peak after
    the cost per octave, and a parabola through the peak's neighbours.
    """
    window = hann(LONG, sym=False)
    r = _autocorrelation((long - long.mean(1, keepdims=True)) * window) / _autocorrelation(window)
    shortest, longest = round(RATE / PITCHES[1]), round(RATE / PITCHES[0])
    lags = np.arange(shortest, longest + 1)
    inside = r[:, shortest : longest + 1]  # (F, lags)
    peak = (inside > r[:, shortest - 1 : longest]) & (inside >= r[:, shortest + 1 : longest + 2])
    strength = np.where(peak, inside - OCTAVE * np.log2(PITCHES[0] * lags / RATE), -np.inf)
    rows, best = np.arange(len(r)), strength.argmax(1) + shortest  # (F,)
    a, b, c = r[rows, best - 1], r[rows, best], r[rows, best + 1]
    bend = np.minimum(a - 2 * b + c, -1e-12)
    shift = np.clip(0.5 * (a - c) / bend, -1, 1)
    r_peak = np.clip(b - 0.25 * (a - c) * shift, 1e-4, 1 - 1e-4)  # within 40 dB of 0
    loud = np.abs(long - long.mean(1, keepdims=True)).max(1) > max(QUIET * loudest, FLOOR**0.5)
    voiced = peak.any(1) & (r_peak > VOICED) & loud
    semitones = 12 * np.log2(RATE / (best + shift) / _BASE)
    return np.where(voiced, semitones, np.nan), 10 * np.log10(r_peak / (1 - r_peak))


def _autocorrelation(x: np.ndarray) -> np.ndarray:
    """Of x (..., 800) at lags 0 to 799, 1 at lag 0; 0 for silence."""
    r = irfft(np.abs(rfft(x, 2 * LONG)) ** 2, 2 * LONG)[..., :LONG]
    return r / np.maximum(r[..., :1], FLOOR)


@cache
def _filters() -> np.ndarray:
    """(26, 257): triangles whose feet are their neighbours' tops."""
    mel = np.linspace(0, 2595 * np.log10(1 + RATE / 2 / 700), MELS + 2)
    hertz = 700 * (10 ** (mel / 2595) - 1)  # (28,)
    f = np.fft.rfftfreq(512, 1 / RATE)
    rise = (f - hertz[:-2, None]) / np.diff(hertz)[:-1, None]
    fall = (hertz[2:, None] - f) / np.diff(hertz)[1:, None]
    return np.maximum(np.minimum(rise, fall), 0)
