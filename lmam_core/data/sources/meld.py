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
    sources=public_files("meld"),
    extra=Extra(
        file="meld_extra.npz",
        bytes=4_086_770,
        sha256="4b32c8ba0a91d0063b097cfc360d9da26b9c472822e4019c7cc6bdd9b91483db",
        arrays=("audio_praat8", "audio_praat8_mask"),
        sources=public_files("meld_extra"),
    ),
)
