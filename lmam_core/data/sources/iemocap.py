"""IEMOCAP: acted conversations of two speakers, six emotions; no video features are public."""

from __future__ import annotations

import numpy as np

from lmam_core.data.dataset import Dataset
from lmam_core.data.sources import praat8
from lmam_core.data.sources.base import Arrays, Extra, Record, by_split, conversations, public_files

CLASSES = ("happy", "sad", "neutral", "angry", "excited", "frustrated")
"""In the order of the paper's tables and of the stored codes (hap, sad, neu, ang, exc, fru)."""


def build(arrays: Arrays, features: dict[str, str]) -> Dataset:
    """A dialogue is a conversation; the split is the field's: sessions 1 to 4 train (120), session 5 test (31).

    Four test utterances lack `librosa8` and two training utterances lack `nonverbal11`; they get the training mean
    of each column. The stored order is the one that the whole field uses, though 57 of the 151 dialogues are not
    strictly in time order in it. 53 of the 648 "happy" labels were undecided (`xxx`) in the raw annotation, and
    9.6 % of the test sentences of five words or more also occur in train (scripted dialogues). `nonverbal11` is
    prosody and disfluency, not video. `praat8` lies in a file of its own; every utterance has a recording.
    """
    train = arrays["utt_split"] == 0  # (N,)
    x = {}
    for m, array in RECORD.read(arrays, features).items():
        present = f"{RECORD.feature_sets[m][features[m]]}_mask"
        if features[m] == "praat8":
            x[m] = praat8.columns(array, arrays[present], train)
        else:
            x[m] = _filled(array, arrays[present], train) if present in arrays else array  # (N, d_m)
    cut = conversations(
        ids=arrays["dialogue_id"],
        owner=arrays["utt_dialogue"],
        features=x,
        speaker=arrays["speaker_dyad"],
        label=arrays["label"].astype(np.int64),
    )
    return Dataset(
        name=RECORD.name,
        feature_sets=features,
        classes=CLASSES,
        splits=by_split(("train", "test"), arrays["dialogue_split"], cut),
        sha256=RECORD.sha256,
        about=RECORD.about,
    )


def _filled(x: np.ndarray, present: np.ndarray, train: np.ndarray) -> np.ndarray:
    """x (N, d) with the rows where `present` (N,) is False replaced by the mean over present training rows."""
    mean = x[present & train].mean(0, dtype=np.float64)  # (d,)
    return np.where(present[:, None], x, mean).astype(np.float32)


RECORD = Record(
    name="iemocap",
    kind="real",
    about=(
        "IEMOCAP: 151 acted dialogues of two speakers (120 train, 31 test) with 5,810 and 1,623 utterances, "
        "six emotions; no video."
    ),
    missing="Video: none is in the public sources. The paper's own text and audio features.",
    licence=(
        "The recordings and transcripts are under the University of Southern California's release form, so only "
        "derived features are used; the repositories that published them state no licence for them."
    ),
    feature_sets={
        "text": {"minilm384": "text_minilm384", "glove200": "text_glove200_mean"},
        "audio": {"gemaps47": "audio_gemaps47", "librosa8": "audio_librosa8", "praat8": "audio_praat8"},
        "nonverbal": {"nonverbal11": "nonverbal11"},
    },
    sha256="52be07548907c86fa463e90b9647052fce6205e5722683a910214bc1644d9f5e",
    build=build,
    file="iemocap.npz",
    bytes=17_469_213,
    sources=(
        *public_files(
            "https://github.com/zeroQiaoba/GCNet",
            "8cce4a0c9a50172abfa79971e77c71c40c1d733d",
            "dataset/IEMOCAP",
            {
                "IEMOCAP_features_raw_6way.pkl": "e35143e9f087d436779cccd650cb0327e9caa55178d326330f4a8a914e91e023",
            },
        ),
        *public_files(
            "https://github.com/bagustris/deep_mlp_ser",
            "6a89796665948b7002613c494948fe6e4672f1ee",
            "data",
            {
                "feat_ws_3.npy": "cf3baaa59a7df909dfbbe2077d8fcce6f112ffbca7cf2f3d55f6c6e81fa88b25",
                "y_egemaps.npy": "6264d7e604822b44680e98dee9da812cceb103a08edf6df104de1e3216e1376e",
            },
        ),
        *public_files(
            "https://github.com/MrCrowbar/Speech_Emotion_Recognition",
            "9994ea2749b02ab5e3648f1d03a3dea7de494c28",
            "data/pre-processed",
            {
                "df_iemocap.csv": "f533f6b24227551616b9d35dca6c54e6f7ed39ca672cca2570a3b61ebda502cb",
                "audio_features.csv": "c8ef5dcb2bd331d4daae11c3b3082832236dad09eeafbef500ad61b15aaa4caa",
            },
        ),
        *public_files(
            "https://github.com/MrCrowbar/Speech_Emotion_Recognition",
            "9994ea2749b02ab5e3648f1d03a3dea7de494c28",
            "lstm_classifier/t2e/embeddings",
            {
                "saved_200d_word_embeddings.pkl": "d8604273eec109fbf4636bbb49915ca4a957d124e64f8c0a5a673e390987085f",
            },
        ),
        *public_files(
            "https://github.com/MrCrowbar/Speech_Emotion_Recognition",
            "9994ea2749b02ab5e3648f1d03a3dea7de494c28",
            "lstm_classifier/t2e",
            {
                "vocab.pkl": "e50031382a21f157adc363e8c3ce9f7231d34a853ee354ba20ae1dcc821d41d7",
            },
        ),
        *public_files(
            "https://github.com/tianleimin/Thesis-EmotionRecognition",
            "f00440d674db2fa0023f8fb79d7522dda5da78b6",
            "Data",
            {
                "IEMOCAP_emo.csv": "ac7fb3b54f378aad7458144e4767bc64b689ad730d234ca06af92df8206faad1",
                "IEMOCAP_GP.csv": "c46f4193369be53b388d7a5c2edca686adbcf48536a0e680d6ed851c854bd52b",
                "IEMOCAP_exDN.csv": "aa4c595a15beffe02d639001049d23346707272a28b5aba2d26d4218eb09fb34",
                "IEMOCAP_DIS-NV.csv": "f4fca62cdcc102acd3058590e6d99a4dcdbe4e5ba9637c548196c2ffdd4e6158",
            },
        ),
        *public_files(
            "https://github.com/tianleimin/Thesis-EmotionRecognition",
            "f00440d674db2fa0023f8fb79d7522dda5da78b6",
            "Demo/data",
            {
                "IEMOCAP_biAV.csv": "7b083bbd4744706d4b5fe1a03ed0d3f23e5ef9547256330e1e323f2927a9eb63",
            },
        ),
        *public_files(
            "https://github.com/30stomercury/Interaction-Aware-Attention-Network",
            "96d22cc80e8ceb3db5a7d8e5ffaf0b17acafbcde",
            "data",
            {
                "emo_all.pkl": "0ef36c125be30574eadd241cd29081cd1c4e5c026aa803ce02a04cac2515cfa4",
            },
        ),
        *public_files(
            "https://github.com/declare-lab/conv-emotion",
            "6128ca20e9c736605cce7e99d5d95db0356c35f5",
            "COSMIC/feature-extraction/iemocap",
            {
                "iemocap.pkl": "85f15be1fbd8678e0dd443a11ac609615f0e990cc0ca1551fdf86f98b9e6067f",
            },
        ),
    ),
    extra=Extra(
        file="iemocap_extra.npz",
        bytes=3_385_602,
        sha256="a4cae49c1dcba5438e8175cd6f4d818e3540102539c08fc84dd62f59295096d7",
        arrays=("audio_praat8", "audio_praat8_mask"),
        sources=praat8.published(
            {
                "iemocap_audio_features.csv": "3431e770e359ca817c70c8b92189c196aa93c1441984307326b5565b6ac0a7ef",
            }
        ),
    ),
)
