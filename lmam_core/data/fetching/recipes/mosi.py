"""CMU-MOSI out of contextual-multimodal-fusion (features, transcripts) and GCNet (real-valued labels, SDK split)."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from lmam_core.data.fetching.recipe import UNSTATED, Arrays, Originals, Recipe, recorded, unpickled
from lmam_core.data.sources.mosi import RECORD

STREAMS = {"text": "text100", "audio": "audio73", "video": "video100"}


def arrays(originals: Originals) -> Arrays:
    """93 videos, the 62 of train first; within a split sorted by video id and by the number of the segment.

    Row k of `audio_train0.csv` is the utterance whose row in `transcripts.csv` is the first column of row k of
    `text_train.csv`; its last column is the two-way label. Real-valued labels and the SDK's split are GCNet's.
    """
    rows: list[tuple[int, str, str]] = []
    streams: dict[str, list[np.ndarray]] = {m: [] for m in STREAMS}
    spoken = _transcripts(originals)
    for code, part in enumerate(("train", "test")):
        index = _table(originals[f"text_{part}.csv"])[:, 0].astype(int)  # (N,)
        order = sorted(range(len(index)), key=lambda k: _place(spoken[index[k]][0]))
        rows += [(code, *spoken[index[k]]) for k in order]
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
    files=RECORD.sources,
    licences={
        "soujanyaporia/contextual-multimodal-fusion": "MIT",
        "zeroQiaoba/GCNet": UNSTATED,
    },
    arrays=arrays,
    sha256=recorded("mosi"),
    texts=texts,
    sample=(
        (-0.1170, -0.0328, 0.0285, -0.0652),
        (-0.1060, -0.0034, -0.0271, -0.0195),
        (-0.0052, -0.0048, 0.0423, -0.0813),
        (-0.0630, -0.0447, -0.0069, 0.0021),
    ),
)
