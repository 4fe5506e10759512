"""IEMOCAP out of GCNet (dialogues, labels), deep_mlp_ser, Speech_Emotion_Recognition and Thesis-EmotionRecognition.

The additional file comes out of SpeechCueLLM's table of measures.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from lmam_core.data.fetching.recipe import UNSTATED, Arrays, Originals, Recipe, flat, pick, unpickled
from lmam_core.data.fetching.recipes import glove, praat8
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


def _rows(table: dict, utterances: list[str]) -> tuple[np.ndarray, np.ndarray]:
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
    bytes={
        "IEMOCAP_features_raw_6way.pkl": 708_892,
        "iemocap_audio_features.csv": 2_284_108,
    },
    files=(*pick(RECORD.sources, "IEMOCAP_features_raw_6way.pkl"), *RECORD.extra.sources),
    licences={
        "zeroQiaoba/GCNet": UNSTATED,
        "zehuiwu/SpeechCueLLM": UNSTATED,
    },
    arrays=extra,
    sha256={
        "utt_id": "4a720a3eabe2f9d09b953c296f93e26fcf820b35f1f98f5f0c1444fd544143f5",
        "utt_split": "c8e2472f31a5668c5da45a8f7206095618a3d9a31bcd5ffb90b0d2eeaa00f5f5",
        "audio_praat8": "a2d3ec4b61c40c9723836e61520d9cca3e1805e58a1c5602172361c42d05d034",
        "audio_praat8_mask": "10caad424727d1c72fabedbccda67dd80cb6c2aa623a66fa9a9b279db83bc4a5",
    },
    notice=NOTICE,
)

RECIPE = Recipe(
    name="iemocap",
    bytes={
        "IEMOCAP_features_raw_6way.pkl": 708_892,
        "feat_ws_3.npy": 3_774_792,
        "df_iemocap.csv": 528_393,
        "audio_features.csv": 1_525_147,
        "vocab.pkl": 56_645,
        "saved_200d_word_embeddings.pkl": 2_796_961,
        "IEMOCAP_GP.csv": 269_236,
        "IEMOCAP_exDN.csv": 206_649,
    },
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
    sha256={
        "dialogue_id": "8fa17ccbedb21886e82c23814921e9adf4e2cdb9c297db299f45231b2e526051",
        "dialogue_split": "0aebf01d0e69a5e3b8b57f7b7724b759b10e972c332038f35bee039e7a9eafe0",
        "dialogue_start": "1790259e5450e53e6dacc6f952fbf8efdbb72949090e6fb55b79ca89754acd71",
        "dialogue_len": "c5cd39ae02a2f574f0b0aa2ab97e0e200dc65f0f7e6b7f1778b8dcea28be48aa",
        "utt_id": "4a720a3eabe2f9d09b953c296f93e26fcf820b35f1f98f5f0c1444fd544143f5",
        "utt_dialogue": "3c9a17450145c5651f4f3752ceb0e12e5a53beaa4e79b0606dcab29fe4b224eb",
        "utt_split": "c8e2472f31a5668c5da45a8f7206095618a3d9a31bcd5ffb90b0d2eeaa00f5f5",
        "label": "f840be08bd9a9b269264e25201185e61d02a4c674d625dc051d36abf0b4ebe11",
        "speaker_dyad": "76da73b11abbf37c4326b9980c781b619d9c3700ae4763f6ceff9a85b0a5a241",
        "speaker_actor": "d3eb2a510d86b307217647a907ed81f36e4bfcaf73525f9c19aa8a1b614c08b0",
        "start_time": "1f2f6d703062c35f1ee6bcd0f501a457179b73d5b53930fa6559a80f71ad7a04",
        "end_time": "a9aa32fb084fe405811e36a6b1f291707afbb5bc8ed2c614011eeb36749d0182",
        "audio_gemaps47": "52a5a5b8744c73835ede4af1b4f47bedb8ed85dcac9fbfa9afc1486690fadf37",
        "audio_librosa8": "851bc887068cc52b12abe920a813c8d50b9dfb06e25864ee3c4c010591ee6128",
        "audio_librosa8_mask": "9d3012813eb72b117039739288c993f421b6ea68ae889f666a72457d7a755de0",
        "nonverbal11": "d4543933245f9aa91597c6e687a60f74e3593b7f5103c60d5be12871189b8dab",
        "nonverbal11_mask": "9f99e2283bee4f82d3fc7ebb7b67d2ecec64fee8730b08dc53cbf2f120742700",
        "text_glove200_mean": "d7b1a3b4da082861716dc040c6a6c77b4e14c349b02455a3e5fddb923fc3814e",
        "text_glove200_coverage": "1ecbb2d137667b31c9cb14c15e370fa4c3a95e7affc27ada59b8f68f9e5e48e6",
        "text_minilm384": "45309b2e6dc061680d098da8c307cad3626007116d58b0a81e5022c7d0ad6156",
    },
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
