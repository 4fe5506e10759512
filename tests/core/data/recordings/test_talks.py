"""From a table and its features to conversations that the package's models take."""

import numpy as np
import pandas as pd
import pytest

from lmam_core.batch import collate
from lmam_core.data.dataset import Dataset
from lmam_core.data.recordings.talks import conversations
from lmam_core.errors import LmamError
from lmam_core.features.extract import Extracted

CLASSES = ("neutral", "happy")
TABLE = pd.DataFrame(
    {
        "dialogue": [7, 3, 7, 3, 7],
        "turn": [1, 0, 0, 1, 2],
        "speaker": ["b", "x", "a", "x", "a"],
        "label": ["happy", "neutral", "neutral", "happy", "happy"],
    }
)


def features(width: int, failed: dict[int, str] | None = None) -> Extracted:
    values = np.arange(5 * width, dtype=np.float32).reshape(5, width)
    values[list(failed or {})] = np.nan
    return Extracted(values, failed or {}, "none needed")


def test_turns_speakers_and_rows_keep_together():
    talks, out = conversations(TABLE, {"text": features(2), "audio": features(3)}, CLASSES)
    assert out == {}
    three, seven = talks
    assert (three.id, seven.id) == ("3", "7")
    assert seven.features["text"].tolist() == [[4, 5], [0, 1], [8, 9]]
    assert seven.features["audio"].shape == (3, 3)
    assert seven.speaker.tolist() == [0, 1, 0]  # whoever speaks first is 0
    assert seven.label.tolist() == [0, 1, 1]
    assert three.speaker.tolist() == [0, 0]
    data = Dataset("x", {"text": "a", "audio": "b"}, CLASSES, {"train": talks}, "", "", synthetic=True)
    assert data.widths == {"text": 2, "audio": 3}
    assert collate(talks).mask.sum() == 5


def test_what_failed_is_left_out_of_every_modality():
    failed = {0: "b.wav cannot be decoded."}
    talks, out = conversations(TABLE, {"text": features(2), "audio": features(3, failed)}, CLASSES)
    assert out == {0: "audio: b.wav cannot be decoded."}
    assert [len(t) for t in talks] == [2, 2]
    assert all(np.isfinite(x).all() for t in talks for x in t.features.values())


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"features": {"smell": features(2)}}, "no modality 'smell'"),
        ({"table": TABLE.head(3)}, "features of 5 utterances, the table has 3"),
        ({"classes": ("neutral",)}, "label 'happy' is none of neutral"),
    ],
)
def test_mistakes_are_one_sentence(given, sentence):
    with pytest.raises(LmamError, match=sentence):
        conversations(**{"table": TABLE, "features": {"text": features(2)}, "classes": CLASSES, **given})
