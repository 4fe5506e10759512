"""MELD out of its three tables of transcripts; GloVe vectors from Speech_Emotion_Recognition.

The additional file comes out of SpeechCueLLM's three tables of measures.
"""

from __future__ import annotations

import csv
import re
from typing import Any

import numpy as np

from lmam_core.data.fetching.recipe import UNSTATED, Arrays, Originals, Recipe, pick, recorded
from lmam_core.data.fetching.recipes import glove, praat8
from lmam_core.data.sources import iemocap
from lmam_core.data.sources.base import public_files
from lmam_core.data.sources.meld import CLASSES, RECORD
from lmam_core.errors import LmamError

TABLES = ("train_sent_emo.csv", "dev_sent_emo.csv", "test_sent_emo.csv")
MEASURES = ("meld_train_audio_features.csv", "meld_dev_audio_features.csv", "meld_test_audio_features.csv")
SENTIMENTS = ("neutral", "positive", "negative")
PLAIN = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "…": "...", "—": "-"})
"""Typographic signs of the tables, and what stands for them in `text`."""


def arrays(originals: Originals) -> Arrays:
    """13,708 utterances in the order of the tables; a dialogue is a run of rows of one number in one table.

    Times are seconds into the episode; speakers are numbered by their names in alphabetical order.
    """
    rows = _rows(originals)
    key = [(r["split"], int(r["Dialogue_ID"])) for r in rows]
    start = [i for i in range(len(key)) if i == 0 or key[i] != key[i - 1]]
    length = np.diff([*start, len(key)])
    names = sorted({r["Speaker"] for r in rows})
    text = [r["Utterance"].translate(PLAIN) for r in rows]
    mean, known = glove.mean_vectors(text, originals, np.float32)

    def column(name: str, dtype: type) -> np.ndarray:
        return np.array([int(r[name]) for r in rows], dtype)

    return {
        "dialogue_split": np.array([key[i][0] for i in start], np.int8),
        "dialogue_orig_id": np.array([key[i][1] for i in start], np.int16),
        "dialogue_start": np.array(start, np.int32),
        "dialogue_len": length.astype(np.int32),
        "utt_dialogue": np.repeat(np.arange(len(start)), length).astype(np.int16),
        "utt_id": column("Utterance_ID", np.int16),
        "utt_split": np.array([s for s, _ in key], np.int8),
        "label": np.array([CLASSES.index(r["Emotion"]) for r in rows], np.int8),
        "sentiment": np.array([SENTIMENTS.index(r["Sentiment"]) for r in rows], np.int8),
        "speaker": np.array([names.index(r["Speaker"]) for r in rows], np.int16),
        "speaker_names": np.array(names),
        "text": np.array(text),
        "season": column("Season", np.int8),
        "episode": column("Episode", np.int8),
        "start_time": np.array([_seconds(r["StartTime"]) for r in rows], np.float32),
        "end_time": np.array([_seconds(r["EndTime"]) for r in rows], np.float32),
        "text_glove200_mean": mean,
        "text_glove200_coverage": known,
    }


def texts(_: Originals, arrays: Arrays) -> list[str]:
    """The utterances with plain signs, in the order of the arrays."""
    return arrays["text"].tolist()


def extra(originals: Originals) -> Arrays:
    """`audio_praat8` in the order of the tables of transcripts, joined by split, dialogue and number of the utterance.

    Four clips of dev and five of test are of no utterance in the tables and are left out.
    """
    keys = [(r["split"], int(r["Dialogue_ID"]), int(r["Utterance_ID"])) for r in _rows(originals)]
    measures: dict[tuple[int, ...], list[float]] = {}
    for code, name in enumerate(MEASURES):
        of_split = praat8.table(originals[name], lambda row: _clip(row["filename"]))
        measures |= {(code, *clip): values for clip, values in of_split.items()}
    split, dialogue, utterance = zip(*keys, strict=True)
    return {
        "utt_split": np.array(split, np.int8),
        "utt_dialogue_id": np.array(dialogue, np.int16),
        "utt_id": np.array(utterance, np.int16),
        **praat8.arrays(measures, keys),
    }


def _clip(filename: str) -> tuple[int, ...]:
    """Dialogue and utterance of `dia36_utt11.wav`."""
    if (match := re.fullmatch(r"dia(\d+)_utt(\d+)\.wav", filename)) is None:
        raise LmamError(f"'{filename}' is not named as MELD's clips are; take the published tables of measures.")
    return tuple(map(int, match.groups()))


def _rows(originals: Originals) -> list[dict[str, Any]]:
    """The rows of the three tables; `split` is 0, 1, 2."""
    rows: list[dict[str, Any]] = []
    for split, name in enumerate(TABLES):
        with originals[name].open(encoding="utf-8", newline="") as stream:
            rows += [{**row, "split": split} for row in csv.DictReader(stream)]
    return rows


def _seconds(clock: str) -> float:
    """Seconds of `HH:MM:SS,mmm`."""
    hours, minutes, rest = clock.split(":")
    seconds, thousandths = rest.split(",")
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds) + int(thousandths) / 1000


EXTRA = Recipe(
    name="meld_extra",
    files=(*pick(RECORD.sources, *TABLES), *public_files("meld_extra")),
    licences={
        "declare-lab/MELD": "GPL-3.0",
        "zehuiwu/SpeechCueLLM": UNSTATED,
    },
    arrays=extra,
    sha256=recorded("meld_extra"),
)

RECIPE = Recipe(
    name="meld",
    files=(*pick(RECORD.sources, *TABLES), *pick(iemocap.RECORD.sources, *glove.FILES)),
    licences={
        "declare-lab/MELD": "GPL-3.0",
        "MrCrowbar/Speech_Emotion_Recognition": UNSTATED,
    },
    arrays=arrays,
    sha256=recorded("meld"),
    texts=texts,
    sample=(
        (-0.1359, -0.0123, 0.0144, -0.0684),
        (-0.0672, -0.0489, -0.0638, -0.0324),
        (0.0387, -0.0644, 0.0226, -0.0038),
        (-0.1009, -0.0103, 0.0554, -0.0192),
    ),
    extra=EXTRA,
)
