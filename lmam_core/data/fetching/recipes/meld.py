"""MELD out of its three tables of transcripts; GloVe vectors from Speech_Emotion_Recognition.

The additional file comes out of SpeechCueLLM's three tables of measures.
"""

from __future__ import annotations

import csv
import re

import numpy as np

from lmam_core.data.fetching.recipe import UNSTATED, Arrays, Originals, Recipe, pick
from lmam_core.data.fetching.recipes import glove, praat8
from lmam_core.data.sources import iemocap
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
    measures: praat8.Table = {}
    for split, name in enumerate(MEASURES):
        measures |= praat8.table(originals[name], lambda row, split=split: (split, *_clip(row["filename"])))
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


def _rows(originals: Originals) -> list[dict]:
    """The rows of the three tables; `split` is 0, 1, 2."""
    rows = []
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
    bytes={
        "train_sent_emo.csv": 1_119_290,
        "dev_sent_emo.csv": 121_640,
        "test_sent_emo.csv": 294_526,
        "meld_train_audio_features.csv": 1_476_996,
        "meld_dev_audio_features.csv": 163_108,
        "meld_test_audio_features.csv": 385_327,
    },
    files=(*pick(RECORD.sources, *TABLES), *RECORD.extra.sources),
    licences={
        "declare-lab/MELD": "GPL-3.0",
        "zehuiwu/SpeechCueLLM": UNSTATED,
    },
    arrays=extra,
    sha256={
        "utt_split": "3904323c685ce306772d1a12461efd745cddc82192d6d6d228e295fc777106bc",
        "utt_dialogue_id": "23b04f3976c4eb1bc7c9f0376f7650cc677f8a82c428d28e0386cf50cf354b5a",
        "utt_id": "b0b8afb9dc92f5761447efbf383131fa6b30d4334e130641842e2730f76f27d2",
        "audio_praat8": "f788909ac11311beae3af7a31c995580094baf83314bb4341779afc4ab0b7d92",
        "audio_praat8_mask": "3f75ee50bc7528f9655e126994cd5086ca2aa145ddbf7bb94bde00395d9e2bc4",
    },
)

RECIPE = Recipe(
    name="meld",
    bytes={
        "train_sent_emo.csv": 1_119_290,
        "dev_sent_emo.csv": 121_640,
        "test_sent_emo.csv": 294_526,
        "vocab.pkl": 56_645,
        "saved_200d_word_embeddings.pkl": 2_796_961,
    },
    files=(*pick(RECORD.sources, *TABLES), *pick(iemocap.RECORD.sources, *glove.FILES)),
    licences={
        "declare-lab/MELD": "GPL-3.0",
        "MrCrowbar/Speech_Emotion_Recognition": UNSTATED,
    },
    arrays=arrays,
    sha256={
        "dialogue_split": "fe2c1d1408ed1d4cb24f85000e61b2f82d8393d3a578a4f5801255c29243c99b",
        "dialogue_orig_id": "a6a50fe6e8b1daeac651bdb61f838f96b60b3f1869d071957adb3e496b6fbb90",
        "dialogue_start": "b76c17a60bf61e9970a7bc5cc6a9a3649e9d172ccecee6f0a632dec544cc0a2d",
        "dialogue_len": "8a454e8390c003c59bcaf2be4d972091271c5af6abe00a0f554ad92cdb7e126c",
        "utt_dialogue": "6a6dc9eaffe7a44e73f1cf3a9954808406c5a7cb673e651119f397eda08238f5",
        "utt_id": "b0b8afb9dc92f5761447efbf383131fa6b30d4334e130641842e2730f76f27d2",
        "utt_split": "3904323c685ce306772d1a12461efd745cddc82192d6d6d228e295fc777106bc",
        "label": "983b92fb8907f41c493b4d2b6e7fb1a657d9091a6855fd8c1c3bbf88ee73fbaf",
        "sentiment": "e35b31835c018e16fa09f6653dea84d3cb02374aa7838f016836b1a6af1a7216",
        "speaker": "f26342802bd755cac5c78f2dc6dc1e502a0092d2f13e955afdc2c2dbcf34de9a",
        "speaker_names": "100e4d5794ab3be56af28aa144093639a56c09049c66b2246d24be0fd913562e",
        "text": "12e8a6c30660212289979970a1cf1a9504267b6c15766398385c267e1054e577",
        "season": "6f680f3ccbc485b11a77d95a8d5ff33b74aa118e7639be3db6ec21ab96b0e3e8",
        "episode": "c2295b1462fafcef2cfce31bfee1ef4cafccf529d3ad5b9c655558bd8de711a4",
        "start_time": "77a254b0a809506ee6f538d85299f26828e6b575c3bd13edb29130d3342646ca",
        "end_time": "33675f41306a2e3f98d4468a5169492433abb2603c3de1b646c0475ae902455f",
        "text_glove200_mean": "fd27e56c01dc286dc0c3b38806b7d3446eceb5215baed0bbfd4d8476fbbef8f0",
        "text_glove200_coverage": "a2319e7b2fc01d5e5915215d40a31939be43e433d3311e8bd83c7ad10bf1dddc",
        "text_minilm384": "7d576d995d8a51b4ea9330ea1f82997b13074dc157dc9721967462bfa98fe358",
    },
    texts=texts,
    sample=(
        (-0.1359, -0.0123, 0.0144, -0.0684),
        (-0.0672, -0.0489, -0.0638, -0.0324),
        (0.0387, -0.0644, 0.0226, -0.0038),
        (-0.1009, -0.0103, 0.0554, -0.0192),
    ),
    extra=EXTRA,
)
