"""What the feature chapter draws: sound with its pitch, frames of a face, features in the plane, words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import HTML
from markupsafe import Markup
from matplotlib.figure import Figure

from lmam_book.pages.style import COLOURS, untex
from lmam_core.features.encoders.acoustic import track
from lmam_core.features.extract import EXTRACTORS, Extracted
from lmam_core.features.media import RATE, blocks, frames, parse

EMOTIONS = {"neutral": "baseline", "happy": "video", "sad": "text", "angry": "lmam"}
"""The colour of each of the sample's emotions, by its name in `style.COLOURS`."""
HEARD = {
    "pitch_mean": "mean pitch, semitones above 27.5 Hz",
    "pitch_std": "its deviation, semitones",
    "level_peaks": "peaks of the level per s",
    "level_mean": "level, dB",
}
"""Four of the 96 numbers of `acoustic96`, and what they measure."""


def banner(features: Mapping[str, Extracted]) -> HTML:
    """What the numbers below came from: a generated sample, and which of the extractors, by name, are untrained."""
    random = [name for name, x in features.items() if x.random]
    words = f"A tiny random encoder stands in for {' and '.join(random)}: right shapes, values without meaning. "
    sources = f"Weights: {'; '.join(f'{name}: {x.weights}' for name, x in features.items())}." if features else ""
    opened = "<div class='synthetic-note'><strong>Synthetic sample. </strong>Generated voices, faces and words. "
    return HTML(Markup(opened + "{}{}</div>").format(words if random else "", sources))


def registry() -> pd.DataFrame:
    """Every extractor: name, modality, width, what it is, where its numbers come from, who names it."""
    sources = {"hub": "trained, from the hub", "layer": "random layer, or your file", "none": "none needed"}
    rows = [(e.name, e.modality, e.width, e.about, sources[e.weights], e.paper) for e in EXTRACTORS.values()]
    return pd.DataFrame(rows, columns=["name", "modality", "width", "what it is", "weights", "named by"])


def sounds(items: Mapping[str, str | Path]) -> Figure:
    """Recordings side by side on equal scales: the waveform, and under it the pitch where there is a voice."""
    figure, axes = plt.subplots(2, len(items), sharex="col", sharey="row", figsize=(7.4, 3.2), squeeze=False)
    for (top, bottom), (title, item) in zip(axes.T, items.items(), strict=True):
        heard = np.concatenate(list(blocks(parse(item))))
        step = RATE // 200  # lows and highs of 5 ms
        whole = heard[: len(heard) // step * step].reshape(-1, step)
        at = np.arange(len(whole)) * step / RATE
        top.fill_between(at, whole.min(1), whole.max(1), color=COLOURS["audio"], lw=0)
        top.set_title(untex(title), fontsize=9)
        hertz = 27.5 * 2 ** (track(heard)["pitch"] / 12)  # one per 10 ms, NaN without a voice
        bottom.plot(np.arange(len(hertz)) / 100, hertz, ".", ms=3, color=COLOURS["audio"])
        bottom.set(xlabel="seconds", ylim=(50, 700), yscale="log")
        bottom.set_yticks([60, 120, 240, 480], ["60", "120", "240", "480"])
        bottom.minorticks_off()
    axes[0][0].set_ylabel("amplitude")
    axes[1][0].set_ylabel("pitch, Hz")
    return figure


def film(items: Mapping[str, str | Path], count: int = 5) -> Figure:
    """`count` frames of each video, one row per video, under the titles that are the keys."""
    figure, axes = plt.subplots(len(items), count, figsize=(1.25 * count, 1.3 * len(items)), squeeze=False)
    for row, (title, item) in zip(axes, items.items(), strict=True):
        for ax, picture in zip(row, frames(parse(item), count), strict=True):
            ax.imshow(picture)
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        row[0].set_ylabel(untex(title))
    return figure


def planes(features: Mapping[str, Extracted], labels: Sequence[str]) -> Figure:
    """Each modality's features on their first two principal components, one dot per utterance in its emotion's colour.

    A modality's utterances without features are left out.
    """
    figure, axes = plt.subplots(1, len(features), figsize=(2.6 * len(features), 2.9), squeeze=False)
    emotions = np.array(labels)
    for ax, (title, x) in zip(axes[0], features.items(), strict=True):
        good = np.isfinite(x.values).all(1)
        values = x.values[good]
        values = (values - values.mean(0)) / np.maximum(values.std(0), 1e-8)
        u, s, _ = np.linalg.svd(values, full_matrices=False)
        for emotion, colour in EMOTIONS.items():
            ax.scatter(*(u * s)[emotions[good] == emotion, :2].T, s=9, color=COLOURS[colour], label=emotion)
        ax.set(title=title, xticks=[], yticks=[], xlabel="1st component")
    axes[0][0].set_ylabel("2nd component")
    axes[0][-1].legend(fontsize=7, handletextpad=0.1, loc="best")
    return figure


def words(text: str, effects: Sequence[float], title: str = "") -> Figure:
    """One bar per word: how far the log odds of the prediction fall without it."""
    figure, ax = plt.subplots(figsize=(7, 2.2))
    colours = [COLOURS["lmam" if e > 0 else "text"] for e in effects]
    ax.bar(range(len(effects)), effects, color=colours, width=0.6)
    ax.axhline(0, color=COLOURS["baseline"], lw=0.8)
    ax.set_xticks(range(len(effects)), untex(text).split())
    ax.set(ylabel="fall of the log odds\nwithout the word", title=untex(title))
    return figure
