"""How many conversations and utterances the splits of the real datasets have, also the one that runs here do not use.

CMU-MOSI's features were published with a split of their own (`features`), which runs here use; Table I's numbers are
those of the CMU SDK's split of the same videos (`standard`).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from lmam_book.bench.linear_probes import REAL
from lmam_book.bench.seals import write
from lmam_core import paths
from lmam_core.data import catalogue

PARTS = ("train", "validation", "test")


def measure() -> pd.DataFrame:
    """One row per dataset, split and part, counted in the data."""
    rows = []
    for name in REAL:
        for part, conversations in catalogue.load(name, modalities=("text",)).splits.items():
            rows.append((name, "features", part, len(conversations), sum(map(len, conversations))))
    with np.load(catalogue.file("mosi"), allow_pickle=False) as arrays:
        split, video = arrays["video_standard_split"], arrays["utt_video"]  # (videos,), (N,)
    for k, part in enumerate(PARTS):
        rows.append(("mosi", "standard", part, int((split == k).sum()), int((split[video] == k).sum())))
    return pd.DataFrame(rows, columns=["dataset", "split", "part", "dialogues", "utterances"])


def dialogues() -> pd.DataFrame:
    """The class sizes of each dialogue of IEMOCAP's test set, one row per dialogue."""
    data = catalogue.load("iemocap", modalities=("text",))
    classes = data.classes or ()
    rows = {c.id: np.bincount(c.label, minlength=len(classes)) for c in data.splits["test"]}
    return pd.DataFrame.from_dict(rows, "index", columns=[name.title() for name in classes]).rename_axis("dialogue")


def size(dataset: str, split: str, part: str = "test") -> tuple[int, int]:
    """Conversations and utterances of a part, from the counted table that comes with the book; KeyError for none."""
    sizes = pd.read_csv(paths.data("splits.csv")).set_index(["dataset", "split", "part"])
    conversations, utterances = sizes.loc[dataset, split, part]
    return int(conversations), int(utterances)


if __name__ == "__main__":
    write(measure(), "splits.csv", "lmam_book.bench.split_sizes")
    write(dialogues(), "iemocap_test_dialogues.csv", "lmam_book.bench.split_sizes", index=True)
