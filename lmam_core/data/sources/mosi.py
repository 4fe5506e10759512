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
    sources=(
        *public_files(
            "https://github.com/soujanyaporia/contextual-multimodal-fusion",
            "fe759b3f55e9b2b47ba30567d21b7d45b71bd24a",
            "data",
            {
                "transcripts.csv": "e7689e6d70720addd2a6b316419d245a68839c32b014ff426c406063ee777466",
                "text_train.csv": "73770b6302ad0f7a51f4eddcae6788efde4d0b6802e09f78249d5b538d1c1d67",
                "text_test.csv": "f3b735070bf07ceff7a6ef6c8f4c32757e988de484e35bd6d38b2aecef851a59",
            },
        ),
        *public_files(
            "https://github.com/soujanyaporia/contextual-multimodal-fusion",
            "fe759b3f55e9b2b47ba30567d21b7d45b71bd24a",
            "data/text",
            {
                "text_train0.csv": "cc327045db6cc361a08b4037b97bb24de4ddb5efb381468c4835cc4a60674668",
                "text_test0.csv": "a343e22272919d1384c2075dbcdd5fef5aa9f9366b0552a83f7c3147b64b047a",
            },
        ),
        *public_files(
            "https://github.com/soujanyaporia/contextual-multimodal-fusion",
            "fe759b3f55e9b2b47ba30567d21b7d45b71bd24a",
            "data/audio",
            {
                "audio_train0.csv": "5435398a54664e7b00304587dc59ae84a438852be033c2a2fba779588624a2a1",
                "audio_test0.csv": "ddd17eeefd3d951d51d4e2ef8a0d132652d8161e1886f71eb7262b7a14bffff6",
            },
        ),
        *public_files(
            "https://github.com/soujanyaporia/contextual-multimodal-fusion",
            "fe759b3f55e9b2b47ba30567d21b7d45b71bd24a",
            "data/video",
            {
                "video_train0.csv": "b6efc0413132d627efd06f67f1706830e775e90af9a75696f535c48dbc73f12f",
                "video_test0.csv": "cab836253d81100f59d533fa2ff65cd53c486be3ec9fd82203c5e25a7a77265f",
            },
        ),
        *public_files(
            "https://github.com/zeroQiaoba/GCNet",
            "8cce4a0c9a50172abfa79971e77c71c40c1d733d",
            "dataset/CMUMOSI",
            {
                "CMUMOSI_features_raw_2way.pkl": "931ee50f3a77b2eb18786840a880a439f3ae6542bf2dfb5e14ecc9690702af84",
            },
        ),
    ),
)
