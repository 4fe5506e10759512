"""IEMOCAP out of GCNet (dialogues, labels), deep_mlp_ser, Speech_Emotion_Recognition and Thesis-EmotionRecognition.

The additional file comes out of SpeechCueLLM's table of measures.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lmam_core.data.fetching.recipe import UNSTATED, Arrays, Originals, Recipe, flat, pick, recorded, unpickled
from lmam_core.data.fetching.recipes import glove, praat8
from lmam_core.data.sources.base import public_files
from lmam_core.data.sources.iemocap import RECORD

LIBROSA = ("sig_mean", "sig_std", "rmse_mean", "rmse_std", "silence", "harmonic", "auto_corr_max", "auto_corr_std")
NOT_IN_NONVERBAL = ("Ses03F_impro07_M029", "Ses03M_impro03_M001")
"""The two of all 10,039 recordings of which the tables of `nonverbal11` have no row."""


def arrays(originals: Originals) -> Arrays:
    """151 dialogues sorted by id, 7,433 utterances in GCNet's order within a dialogue.

    `feat_ws_3.npy` has a row for each of all 10,039 recordings, sorted by id. The tables GP and exDN have 10,037,
    improvised dialogues first, then scripted ones, each sorted by id. Rows that a table lacks are zeros, False in the
    mask. Transcripts enter `text_glove200_mean` and stay out of the result.
    """
    ids, label, speaker, text, _, test = unpickled(originals["IEMOCAP_features_raw_6way.pkl"])
    dialogues = sorted(ids)
    length = np.array([len(ids[d]) for d in dialogues])
    split = np.array([d in test for d in dialogues], np.int8)
    utterances = flat(ids[d] for d in dialogues)
    actor = [u[:5] + u.rsplit("_", 1)[1][0] for u in utterances]  # Ses01F
    actors = sorted(set(actor))
    times = _by_id(originals["df_iemocap.csv"], ("start_time", "end_time"))
    recordings = sorted(times)
    librosa, has_librosa = _rows(_by_id(originals["audio_features.csv"], LIBROSA), utterances)
    nonverbal, has_nonverbal = _rows(_nonverbal(originals, recordings), utterances)
    gemaps = dict(zip(recordings, np.load(originals["feat_ws_3.npy"], allow_pickle=False), strict=True))
    mean, known = glove.mean_vectors(flat(text[d] for d in dialogues), originals, np.float64)
    return {
        "dialogue_id": np.array(dialogues),
        "dialogue_split": split,
        "dialogue_start": (np.cumsum(length) - length).astype(np.int32),
        "dialogue_len": length.astype(np.int32),
        "utt_id": np.array(utterances),
        "utt_dialogue": np.repeat(np.arange(len(dialogues)), length).astype(np.int16),
        "utt_split": np.repeat(split, length),
        "label": np.array(flat(label[d] for d in dialogues), np.int8),
        "speaker_dyad": np.array([s == "F" for s in flat(speaker[d] for d in dialogues)], np.int8),
        "speaker_actor": np.array([actors.index(a) for a in actor], np.int8),
        "start_time": np.array([times[u][0] for u in utterances], np.float32),
        "end_time": np.array([times[u][1] for u in utterances], np.float32),
        "audio_gemaps47": np.array([gemaps[u] for u in utterances], np.float32),
        "audio_librosa8": librosa,
        "audio_librosa8_mask": has_librosa,
        "nonverbal11": nonverbal,
        "nonverbal11_mask": has_nonverbal,
        "text_glove200_mean": mean,
        "text_glove200_coverage": known,
    }


def texts(originals: Originals, _: Arrays) -> list[str]:
    """The transcripts, in the order of the arrays; they are read for the embedding and written nowhere."""
    _, _, _, text, _, _ = unpickled(originals["IEMOCAP_features_raw_6way.pkl"])
    return flat(text[d] for d in sorted(text))


def extra(originals: Originals) -> Arrays:
    """`audio_praat8` in the order of `arrays`; a row of the table names dialogue, speaker and number of the turn."""
    ids, *_, test = unpickled(originals["IEMOCAP_features_raw_6way.pkl"])
    utterances = flat(ids[d] for d in sorted(ids))
    measures = praat8.table(
        originals["iemocap_audio_features.csv"],
        lambda row: f"{row['video_id']}_{row['gender']}{int(row['segment_id']):03d}",
    )
    return {
        "utt_id": np.array(utterances),
        "utt_split": np.array(flat([d in test] * len(ids[d]) for d in sorted(ids)), np.int8),
        **praat8.arrays(measures, utterances),
    }


def _by_id(path: Path, columns: tuple[str, ...]) -> dict[str, list[float]]:
    """These columns of a table, by the name of the recording."""
    with path.open(encoding="utf-8", newline="") as stream:
        return {row["wav_file"]: [float(row[c]) for c in columns] for row in csv.DictReader(stream)}


def _nonverbal(originals: Originals, recordings: list[str]) -> dict[str, np.ndarray]:
    """The eleven numbers of every recording that has them."""
    tables = [np.loadtxt(originals[f"IEMOCAP_{t}.csv"], delimiter=",", ndmin=2) for t in ("GP", "exDN")]
    order = sorted((r for r in recordings if r not in NOT_IN_NONVERBAL), key=lambda r: ("script" in r, r))
    return dict(zip(order, np.concatenate(tables, axis=1), strict=True))


def _rows(table: Mapping[str, Sequence[float] | np.ndarray], utterances: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Rows (N, d) float32 of the utterances, zeros where there is none, and the mask (N,) of those there."""
    empty = np.zeros(len(next(iter(table.values()))))
    there = np.array([u in table for u in utterances])
    return np.array([table.get(u, empty) for u in utterances], np.float32), there


NOTICE = (
    "IEMOCAP's recordings and transcripts are under the release form of the University of Southern California: "
    "have it signed before you use what is made from them."
)

EXTRA = Recipe(
    name="iemocap_extra",
    files=(*pick(RECORD.sources, "IEMOCAP_features_raw_6way.pkl"), *public_files("iemocap_extra")),
    licences={
        "zeroQiaoba/GCNet": UNSTATED,
        "zehuiwu/SpeechCueLLM": UNSTATED,
    },
    arrays=extra,
    sha256=recorded("iemocap_extra"),
    notice=NOTICE,
)

RECIPE = Recipe(
    name="iemocap",
    files=pick(
        RECORD.sources,
        "IEMOCAP_features_raw_6way.pkl",
        "feat_ws_3.npy",
        "df_iemocap.csv",
        "audio_features.csv",
        *glove.FILES,
        "IEMOCAP_GP.csv",
        "IEMOCAP_exDN.csv",
    ),
    licences={
        "zeroQiaoba/GCNet": UNSTATED,
        "bagustris/deep_mlp_ser": "Its readme puts the source code under BSD-3-Clause and says nothing of the data.",
        "MrCrowbar/Speech_Emotion_Recognition": UNSTATED,
        "tianleimin/Thesis-EmotionRecognition": UNSTATED,
    },
    arrays=arrays,
    sha256=recorded("iemocap"),
    texts=texts,
    sample=(
        (0.0059, -0.0339, -0.0268, -0.0202),
        (-0.0230, -0.0721, 0.0694, -0.0632),
        (-0.0223, 0.0281, 0.0484, -0.0148),
        (0.0403, 0.0082, -0.0178, -0.0051),
    ),
    notice=NOTICE,
    extra=EXTRA,
)
