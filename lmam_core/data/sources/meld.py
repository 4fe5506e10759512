"""MELD: scenes of the series Friends, seven emotions; transcripts, and of the sound eight measures."""

from __future__ import annotations

import numpy as np

from lmam_core.data.dataset import Dataset
from lmam_core.data.sources import praat8
from lmam_core.data.sources.base import Arrays, Extra, Record, by_split, conversations, public_files

CLASSES = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")
"""In the order of the paper's tables and of the stored codes."""


def build(arrays: Arrays, features: dict[str, str]) -> Dataset:
    """A dialogue is a conversation; the source's own train, validation and test splits (1,038, 114, 280).

    The source counts dialogues from 0 in each split, so an id is `<split>-<number>`. 76 dialogues have gaps in their
    utterance ids, and 9 test clips share season, episode and start with train; both stay as published. `glove200`
    is the mean over the words that are in IEMOCAP's vocabulary of 1,748, all zeros where none is. `praat8` lies in a
    file of its own; a training and a validation utterance have no recording (see `praat8.columns`).
    """
    names = ("train", "validation", "test")
    split, owner = arrays["dialogue_split"], arrays["utt_dialogue"]
    x = RECORD.read(arrays, features)
    if features.get("audio") == "praat8":
        x["audio"] = praat8.columns(x["audio"], arrays["audio_praat8_mask"], split[owner] == 0)
    cut = conversations(
        ids=[f"{names[s]}-{number}" for s, number in zip(split, arrays["dialogue_orig_id"], strict=True)],
        owner=owner,
        features=x,
        speaker=arrays["speaker"],
        label=arrays["label"].astype(np.int64),
    )
    return Dataset(
        name=RECORD.name,
        feature_sets=features,
        classes=CLASSES,
        splits=by_split(names, split, cut),
        sha256=RECORD.sha256,
        about=RECORD.about,
    )


RECORD = Record(
    name="meld",
    kind="real",
    about=(
        "MELD: 1,432 scenes of the series Friends (1,038 train, 114 validation, 280 test) with 9,989, 1,109 and 2,610 "
        "utterances, one to nine speakers, seven emotions; text, and audio as eight measures of voice "
        "and timing; no video."
    ),
    missing=(
        "Video: none of the training part is in the public sources. The paper's own text and audio features: the eight "
        "measures say far less."
    ),
    licence=(
        "GPL-3.0, the licence of the repository that published the transcripts; the one that published the measures of "
        "the sound states none."
    ),
    feature_sets={
        "text": {"minilm384": "text_minilm384", "glove200": "text_glove200_mean"},
        "audio": {"praat8": "audio_praat8"},
    },
    sha256="bee8367b90aa0c7bbc8b029330937cbb1681e69c1be19534bc55f175a10fac49",
    build=build,
    file="meld.npz",
    bytes=29_735_334,
    sources=(
        *public_files(
            "https://github.com/declare-lab/MELD",
            "2d2011b409d3ca2d7e94460cd007d434b1d0a102",
            "data/MELD",
            {
                "train_sent_emo.csv": "d2fa2d6529cf03cac2989efec05c9b27d8fd2f4c8fc5974c7ae88aa537fa02db",
                "dev_sent_emo.csv": "2e89c6f8aa182d6f62f8c6331aece905ac7273ca4999660bfb5213e1d0370c1c",
                "test_sent_emo.csv": "8d37103938f7067600839fe29d5a114a6cd1bcdafb75bec101e06464c5006888",
            },
        ),
        *public_files(
            "https://github.com/declare-lab/conv-emotion",
            "6128ca20e9c736605cce7e99d5d95db0356c35f5",
            "COSMIC/feature-extraction/meld",
            {
                "meld.pkl": "3713dab8c0b1d3ae4bb40251599fc6aff687cad1c2468e2f4b50554705a260f8",
            },
        ),
        *public_files(
            "https://github.com/MrCrowbar/Speech_Emotion_Recognition",
            "9994ea2749b02ab5e3648f1d03a3dea7de494c28",
            "lstm_classifier/t2e",
            {
                "embeddings/saved_200d_word_embeddings.pkl": (
                    "d8604273eec109fbf4636bbb49915ca4a957d124e64f8c0a5a673e390987085f"
                ),
                "vocab.pkl": "e50031382a21f157adc363e8c3ce9f7231d34a853ee354ba20ae1dcc821d41d7",
            },
        ),
    ),
    extra=Extra(
        file="meld_extra.npz",
        bytes=4_086_770,
        sha256="4b32c8ba0a91d0063b097cfc360d9da26b9c472822e4019c7cc6bdd9b91483db",
        arrays=("audio_praat8", "audio_praat8_mask"),
        sources=praat8.published(
            {
                "meld_train_audio_features.csv": "15a57f19533e9302630e78d83e733ac2e1cd0346f5a18ec3dd824f685d1996e8",
                "meld_dev_audio_features.csv": "7684614e6623a623e3558aa07dc245220223866f35342ffa7437e3907e74ee0e",
                "meld_test_audio_features.csv": "910628c4669a6e7fdc8cd5640e4b5642a53370f1a655972297b465e917fbb28b",
            }
        ),
    ),
)
