"""POM: reviews of films on video, each with 17 traits of its speaker as three people saw them (Park et al., 2014)."""

from __future__ import annotations

import numpy as np

from lmam_core.batch import Conversation
from lmam_core.data.dataset import Dataset
from lmam_core.data.sources.base import Arrays, Record, public_files

TRAITS = (
    "confident",
    "passionate",
    "voice pleasant",
    "dominant",
    "credible",
    "vivid",
    "expertise",
    "entertaining",
    "reserved",
    "trusting",
    "relaxed",
    "outgoing",
    "thorough",
    "nervous",
    "sentiment",
    "persuasive",
    "humorous",
)
"""The columns of the labels in their order, as an author of the CMU Multimodal SDK gives it (issues 124 and 262 there);
the 16 traits of other files, and of the papers that report 16, are these without `sentiment`."""
SPLITS = {"train": "train", "validation": "valid", "test": "test"}


def build(arrays: Arrays, features: dict[str, str]) -> Dataset:
    """A video is a conversation of one speaker with the traits (1, 17) as its label; its utterances are its steps.

    The source has 20 steps of every video, of words that were spoken, with zeros where nothing was measured: at first,
    where a video has fewer, and within. A step without audio and video is left out, so that a video has 1 to 20. Where
    only video is zero, which it is throughout 322 of 600 training videos, the mean of the measured training steps
    stands, and a 42nd column says so. Labels are means of three people; the one of 15,351 that is below the scale,
    2/3, counts as 1.
    """
    x = {m: {s: arrays[f"{m}_{part}"] for s, part in SPLITS.items()} for m in features}  # (N, 20, d) each
    audio = {s: arrays[f"audio_{part}"] for s, part in SPLITS.items()}
    if "video" in features:
        mean = _measured(x["video"]["train"]).mean(0, dtype=np.float64)  # (d,)
        x["video"] = {s: _filled(values, mean) for s, values in x["video"].items()}
    splits = {
        s: [
            _video(f"{s}-{i}", {m: x[m][s][i] for m in x}, audio[s][i].any(-1), label)
            for i, label in enumerate(_on_scale(arrays[f"label_{part}"]))
        ]
        for s, part in SPLITS.items()
    }
    return Dataset(
        name=RECORD.name,
        feature_sets=features,
        classes=None,
        traits=TRAITS,
        splits=splits,
        sha256=RECORD.sha256,
        about=RECORD.about,
    )


def _on_scale(label: np.ndarray) -> np.ndarray:
    """Labels with 1 in the place of 2/3."""
    return np.where(np.isclose(label, 2 / 3), 1, label)


def _measured(x: np.ndarray) -> np.ndarray:
    """The steps (n, d) of (N, 20, d) that are not zero."""
    return x[x.any(-1)]


def _filled(x: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """(N, 20, d) as (N, 20, d + 1), with `mean` and a 1 where a step is zero."""
    lacking = ~x.any(-1, keepdims=True)  # (N, 20, 1)
    return np.concatenate([np.where(lacking, mean, x), lacking], -1).astype(np.float32)


def _video(name: str, x: dict[str, np.ndarray], there: np.ndarray, label: np.ndarray) -> Conversation:
    """One video's steps that were measured."""
    features = {m: values[there].astype(np.float32) for m, values in x.items()}  # (L, d) each
    return Conversation(name, features, np.zeros(there.sum(), np.int64), label[None].astype(np.float32))


RECORD = Record(
    name="pom",
    kind="real",
    about=(
        "POM: 903 film reviews on video (600 train, 100 validation, 203 test) of one speaker each, with 17 traits "
        "between 1 and 7 of every video, in 1 to 20 steps of COVAREP sound and Facet faces."
    ),
    missing=(
        "Text, which no public file has; and faces in 486 of the 903 videos, which the published file has as zeros."
    ),
    licence="MIT licence of the repository that published the features; the recordings' makers state none there.",
    feature_sets={"audio": {"covarep43": "audio_train"}, "video": {"facet41": "video_train"}},
    sha256="5589add53eaf2314594f8e872a01c00bb4238a8c61602ec5c202b85f2e91a44e",
    build=build,
    file="pom.npz",
    bytes=2_488_194,
    sources=public_files("pom"),
    task="traits",
)
