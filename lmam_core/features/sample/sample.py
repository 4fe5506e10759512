"""A generated conversation with real media files, so that the way from media to features needs no download."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from fractions import Fraction
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from lmam_core.errors import LmamError
from lmam_core.features.media import RATE
from lmam_core.features.sample import face, voice
from lmam_core.features.sample.sentences import SENTENCES

EMOTIONS = ("neutral", "happy", "sad", "angry")
FPS = 12
F0 = (115.0, 205.0)
"""Hz of the two speakers' neutral voices."""
COLUMNS = ("dialogue", "turn", "speaker", "text", "file", "label")


def make_sample(folder: str | Path, seed: int = 0, dialogues: int = 12, turns: int = 8) -> pd.DataFrame:
    """Write `utterances.csv` and for each utterance a `.mp4` (picture and sound) and a `.wav`; returns the table.

    Columns: dialogue, turn (from 0), speaker (0 or 1), text, file (the .mp4, relative to `folder`; the .wav stands
    beside it), label. Two speakers take turns; each keeps its emotion from one turn to the next with a probability of
    one half. Face and voice follow the emotion; the words do in two thirds of the utterances. The same seed and
    numbers give the same text, sound and pictures. Raises LmamError for fewer than one dialogue or turn.
    """
    if dialogues < 1 or turns < 1:
        raise LmamError(f"A sample needs at least 1 dialogue of 1 turn; got {dialogues} of {turns}.")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    rows = []
    for d in range(dialogues):
        mood = rng.choice(len(EMOTIONS), 2)
        for t in range(turns):
            speaker = t % 2
            if t > 1 and rng.random() < 0.5:
                mood[speaker] = rng.choice(len(EMOTIONS))
            emotion = EMOTIONS[mood[speaker]]
            text = str(rng.choice(SENTENCES[emotion if rng.random() < 2 / 3 else "any"]))
            file = f"dialogue{d:02d}_turn{t:02d}.mp4"
            sound = voice.speak(text, emotion, F0[speaker], rng)
            write_wav(folder / file.replace(".mp4", ".wav"), sound)
            write_mp4(folder / file, filmed(sound, emotion, speaker, rng), sound)
            rows.append((d, t, speaker, text, file, emotion))
    with (folder / "utterances.csv").open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    return pd.DataFrame(rows, columns=COLUMNS)


def filmed(sound: np.ndarray, emotion: str, speaker: int, rng: np.random.Generator) -> np.ndarray:
    """The frames of an utterance, uint8 (T, 128, 128, 3), 12 per second; the expression builds up within 0.3 s."""
    step = RATE // FPS
    count = max(1, len(sound) // step)
    power = np.sqrt(np.mean(sound[: count * step].reshape(count, -1) ** 2, 1))
    jaw = np.clip(power / (power.max() + 1e-9), 0, 1)
    strength = rng.uniform(0.8, 1.1) * np.clip(0.4 + np.arange(count) / (0.5 * FPS), 0, 1)
    sway = 0.06 * np.sin(2 * np.pi * (0.5 * np.arange(count) / FPS + rng.random()))
    return np.stack([face.draw(emotion, speaker, *p) for p in zip(jaw, strength, sway, strict=True)])


def write_wav(path: Path, sound: np.ndarray, rate: int = RATE) -> None:
    """16-bit PCM; `sound` is (n,) or (n, channels) within -1..1."""
    import soundfile

    soundfile.write(path, sound, rate, subtype="PCM_16")


def write_mp4(path: Path, pictures: Iterable[np.ndarray] | None, sound: np.ndarray | None, fps: int = FPS) -> None:
    """MPEG-4 video of uint8 frames (H, W, 3) and AAC sound (n,), mono, 16 kHz; None leaves a stream out."""
    import av

    with av.open(str(path), "w") as out:
        if pictures is not None:
            pictures = iter(pictures)
            first = next(pictures)
            video = out.add_stream("mpeg4", rate=fps)
            video.height, video.width = first.shape[:2]
            video.pix_fmt, video.bit_rate = "yuv420p", 800_000
            video.codec_context.thread_count = 1  # the same bytes wherever it runs
        if sound is not None:
            audio = out.add_stream("aac", rate=RATE, layout="mono", options={"aac_coder": "fast"})
        if pictures is not None:
            for picture in chain([first], pictures):
                out.mux(video.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
            out.mux(video.encode())
        if sound is not None:
            for start in range(0, len(sound), 1024):
                frame = av.AudioFrame.from_ndarray(sound[None, start : start + 1024], format="fltp", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
                out.mux(audio.encode(frame))
            out.mux(audio.encode())
