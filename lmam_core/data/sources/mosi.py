"""CMU-MOSI: opinion videos with a sentiment in [-3, 3] per utterance."""

from __future__ import annotations

import numpy as np

from lmam_core.data.dataset import Dataset
from lmam_core.data.sources.base import Arrays, Record, by_split, conversations, public_files


def build(arrays: Arrays, features: dict[str, str]) -> Dataset:
    """A video is a conversation of one speaker; the target is the regression label (L,) in [-3, 3].

    The split is the one that the features were published with (`video_split`: 62 training and 31 test videos). The
    CMU-SDK split that the file holds as well is not used, because the network behind `cnn100` was trained on 24 of
    its 31 test videos. `cnn100` is not the default either: its authors trained it on the training labels (98 %
    accuracy there), so validation videos taken out of train would look far too easy. 32 of the 100 columns of
    `cnn3d100` are constant.
    """
    cut = conversations(
        ids=arrays["video_id"],
        owner=arrays["utt_video"],
        features=RECORD.read(arrays, features),
        speaker=np.zeros(len(arrays["label"]), np.int64),  # (N,)
        label=arrays["label"].astype(np.float32),  # (N,)
    )
    return Dataset(
        name=RECORD.name,
        feature_sets=features,
        classes=None,
        splits=by_split(("train", "test"), arrays["video_split"], cut),
        sha256=RECORD.sha256,
        about=RECORD.about,
    )


RECORD = Record(
    name="mosi",
    kind="real",
    about=(
        "CMU-MOSI: 93 opinion videos of one speaker each (62 train, 31 test) with 1,447 and 752 utterances "
        "and a sentiment between -3 and 3 for each."
    ),
    missing=(
        "The paper's own features. Table I's 1,513 and 686 utterances are those of the other split of the same videos, "
        "the standard one; the audio-visual features here were made for this one."
    ),
    licence="MIT licence of the repository that published the features; the labels' repository states none.",
    feature_sets={
        "text": {"minilm384": "text_minilm384", "cnn100": "text100"},
        "audio": {"opensmile73": "audio73"},
        "video": {"cnn3d100": "video100"},
    },
    sha256="c7d8edbff169e7b9d20e50a721de39aa783e77903b438544103bb43b227e65e2",
    build=build,
    file="mosi.npz",
    bytes=4_862_500,
    sources=public_files("mosi"),
)
