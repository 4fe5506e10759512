"""CMU-MOSI out of contextual-multimodal-fusion (features, transcripts) and GCNet (real-valued labels, SDK split)."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from lmam_core.data.fetching.recipe import UNSTATED, Arrays, Originals, Recipe, unpickled
from lmam_core.data.sources.mosi import RECORD

STREAMS = {"text": "text100", "audio": "audio73", "video": "video100"}


def arrays(originals: Originals) -> Arrays:
    """93 videos, the 62 of train first; within a split sorted by video id and by the number of the segment.

    Row k of `audio_train0.csv` is the utterance whose row in `transcripts.csv` is the first column of row k of
    `text_train.csv`; its last column is the two-way label. Real-valued labels and the SDK's split are GCNet's.
    """
    rows, streams = [], {m: [] for m in STREAMS}
    spoken = _transcripts(originals)
    for split, part in enumerate(("train", "test")):
        index = _table(originals[f"text_{part}.csv"])[:, 0].astype(int)  # (N,)
        order = sorted(range(len(index)), key=lambda k: _place(spoken[index[k]][0]))
        rows += [(split, *spoken[index[k]]) for k in order]
        for m in STREAMS:
            streams[m].append(_table(originals[f"{m}_{part}0.csv"])[order])
    split, utterance, transcript = zip(*rows, strict=True)
    x = {m: np.concatenate(parts) for m, parts in streams.items()}  # (N, d + 1)
    owner, segment = zip(*map(_place, utterance), strict=True)
    videos = list(dict.fromkeys(owner))
    of_split = dict(zip(owner, split, strict=True))
    ids, labels, *_, train, validation, _ = unpickled(originals["CMUMOSI_features_raw_2way.pkl"])
    label = {u: y for v in ids for u, y in zip(ids[v], labels[v], strict=True)}
    return {
        "video_id": np.array(videos),
        "video_split": np.array([of_split[v] for v in videos], np.int8),
        "video_standard_split": np.array([0 if v in train else 1 if v in validation else 2 for v in videos], np.int8),
        "utt_id": np.array(utterance),
        "utt_video": np.array([videos.index(v) for v in owner], np.int16),
        "segment": np.array(segment, np.int16),
        "utt_split": np.array(split, np.int8),
        "label": np.array([label[u] for u in utterance], np.float32),
        "label_binary": x["text"][:, -1].astype(np.int8),
        "transcript": np.array(transcript),
        **{name: x[m][:, :-1].astype(np.float32) for m, name in STREAMS.items()},
    }


def texts(_: Originals, arrays: Arrays) -> list[str]:
    """The transcripts, in the order of the arrays."""
    return arrays["transcript"].tolist()


def _transcripts(originals: Originals) -> list[tuple[str, str]]:
    """Utterance id and transcript of every row."""
    with originals["transcripts.csv"].open(encoding="utf-8", newline="") as stream:
        return [(row[0], row[1]) for row in csv.reader(stream)]


def _place(utterance: str) -> tuple[str, int]:
    """Video and number of the segment of `VIDEO_NUMBER`."""
    video, number = utterance.rsplit("_", 1)
    return video, int(number)


def _table(path: Path) -> np.ndarray:
    return np.loadtxt(path, delimiter=",", quotechar='"', ndmin=2)


RECIPE = Recipe(
    name="mosi",
    bytes={
        "transcripts.csv": 201_361,
        "text_train.csv": 1_689_050,
        "text_test.csv": 889_325,
        "text_train0.csv": 2_993_906,
        "text_test0.csv": 1_551_145,
        "audio_train0.csv": 1_343_911,
        "audio_test0.csv": 699_228,
        "video_train0.csv": 1_055_454,
        "video_test0.csv": 557_378,
        "CMUMOSI_features_raw_2way.pkl": 1_683_235,
    },
    files=RECORD.sources,
    licences={
        "soujanyaporia/contextual-multimodal-fusion": "MIT",
        "zeroQiaoba/GCNet": UNSTATED,
    },
    arrays=arrays,
    sha256={
        "video_id": "f638d0748f6ce4da12372473d82da765fd59b28a220ea7e57e3910fe5ed54d49",
        "video_split": "67ceb2f807401c26645054421fdf02860fdc0c53804837ad1e48df8dd1972727",
        "video_standard_split": "c4515f9c5f8cd70205b8a9b171f80952660d91bc46e88ee79ca9ce095f1808db",
        "utt_id": "d01dc448a1972b2d88a20cc0c27206a41d2059e1f480937851871b004891fd87",
        "utt_video": "ee81731017ce08b70c805266e7bd8aad8984172c758f9c13a418bc669252d93b",
        "segment": "d8def3275d88bcf79f5abaad1de8b1b93fe94ff7e6e246eac2dd8fc6fe945323",
        "utt_split": "ce9d01d0295c55f9f292533f0e4511c7e969565622f0a51704d7f8fd493e2f25",
        "label": "7afbc03d5d152884d13b27055b876e3c6772d14858bac4acd327b637dd0766de",
        "label_binary": "5868da442f1b4454bb94ddaa5370836b91de6dcd694a0d8485e27cc1e24e5789",
        "transcript": "0f2e3b1b38e585dc2e1fb0fb061ea5ddf49494be0032e0974ab1f4d1eb47d317",
        "text100": "fb66d6872136cff3cb90afe1a413ce70e47d43691918f1858199c99aedec7c0c",
        "audio73": "091efcac704adc98528e5f4e9c659b576381997d5f1c46022ca4cb552f26be34",
        "video100": "efa2a6107e1a1e949ba0f21cfb160a1a90a09fdc12fd12a22393589ad558a457",
        "text_minilm384": "0c0217a0a1dcb294f59ecfd8eff33c0cd7535c3755b9c376d43db6dc4ce81080",
    },
    texts=texts,
    sample=(
        (-0.1170, -0.0328, 0.0285, -0.0652),
        (-0.1060, -0.0034, -0.0271, -0.0195),
        (-0.0052, -0.0048, 0.0423, -0.0813),
        (-0.0630, -0.0447, -0.0069, 0.0021),
    ),
)
