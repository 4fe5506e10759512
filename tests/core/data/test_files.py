"""The readers of well-known files, on small files made up here in those files' layouts."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from lmam_book.cli import main
from lmam_core.data import catalogue, files, stored
from lmam_core.errors import LmamError

LENGTHS = {"Ses01F_impro01": 4, "Ses02F_impro01": 3, "Ses03F_impro01": 5, "Ses05M_impro03": 6}


def latin(value: Any) -> Any:
    """Strings as the byte strings that Python 2 would have pickled."""
    if isinstance(value, str):
        return value.encode("latin1")
    if isinstance(value, dict):
        return {latin(k): latin(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set):
        return type(value)(latin(v) for v in value)
    return value


class Python2Pickler(pickle._Pickler):
    """Writes byte strings by Python 2's opcodes, and arrays under the names that numpy then had."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_bytes(self, value):
        size = len(value)
        self.write(b"U" + bytes([size]) if size < 256 else b"T" + size.to_bytes(4, "little"))
        self.write(value)
        self.memoize(value)

    dispatch[bytes] = save_bytes

    def save_global(self, value, name=None):
        if value.__module__ == "numpy._core.multiarray":
            self.write(b"cnumpy.core.multiarray\n" + value.__name__.encode() + b"\n")
        else:
            super().save_global(value, name)

    dispatch[type(np.ones)] = save_global


def write(path: Path, value: Any, old: bool = True) -> Path:
    """A pickle of protocol 2, as Python 2 would write it if `old`."""
    with path.open("wb") as file:
        if old:
            Python2Pickler(file, 2).dump(latin(value))
        else:
            pickle.dump(value, file, 2)
    return path


def features(rng: np.random.Generator, width: int, as_lists: bool = False) -> dict[Any, Any]:
    made = {d: rng.normal(size=(n, width)).astype(np.float32) for d, n in LENGTHS.items()}
    return (
        {d: [row.tolist() for row in x] for d, x in made.items()} if as_lists else {d: list(x) for d, x in made.items()}
    )


def iemocap(rng: np.random.Generator, layers: int = 0) -> tuple:
    ids = {d: [f"{d}_{i:03}" for i in range(n)] for d, n in LENGTHS.items()}
    speakers = {d: ["F" if i % 3 else "M" for i in range(n)] for d, n in LENGTHS.items()}
    labels = {d: [(i + k) % 6 for i in range(n)] for k, (d, n) in enumerate(LENGTHS.items())}
    texts = [features(rng, 8) for _ in range(layers)] or [features(rng, 5)]
    sentences = {d: [f"caf\xe9 {i}" for i in range(n)] for d, n in LENGTHS.items()}
    train = set(list(LENGTHS)[:3])
    return (
        ids,
        speakers,
        labels,
        *texts,
        features(rng, 7),
        features(rng, 3, True),
        sentences,
        train,
        ["Ses05M_impro03"],
    )


@pytest.mark.parametrize("name", ["IEMOCAP_features.pkl", "IEMOCAP_features_raw.pkl"])
@pytest.mark.parametrize("old", [True, False])
def test_iemocap(tmp_path, name, old):
    made = iemocap(np.random.default_rng(0))
    assert files.read(write(tmp_path / name, made, old), tmp_path / "out") == tmp_path / "out"
    d = catalogue.load(str(tmp_path / "out"))
    assert d.widths == {"text": 5, "audio": 7, "video": 3}
    assert d.feature_sets == {"text": "text5", "audio": "audio7", "video": "video3"}
    assert d.classes == ("happy", "sad", "neutral", "angry", "excited", "frustrated")
    assert {s: [c.id for c in cs] for s, cs in d.splits.items()} == {
        "train": list(LENGTHS)[:3],
        "test": ["Ses05M_impro03"],
    }
    (test,) = d.splits["test"]
    assert test.label.tolist() == made[2]["Ses05M_impro03"]
    assert test.speaker.tolist() == [0, 1, 1, 0, 1, 1]
    for m, entry in (("text", 3), ("audio", 4), ("video", 5)):
        np.testing.assert_allclose(test.features[m], np.array(made[entry]["Ses05M_impro03"]), rtol=1e-6)
    assert "IEMOCAP_features" in d.about


def test_iemocap_with_four_roberta_layers(tmp_path):
    made = iemocap(np.random.default_rng(0), layers=4)
    files.read(write(tmp_path / "iemocap_multimodal_features.pkl", made), tmp_path / "out")
    out = str(tmp_path / "out")
    sets = catalogue.entry(out).feature_sets
    assert list(sets["text"]) == ["roberta1_8", "roberta2_8", "roberta3_8", "roberta4_8"]
    third = catalogue.load(out, {"text": "roberta3_8"})
    np.testing.assert_allclose(third.splits["test"][0].features["text"], np.array(made[5]["Ses05M_impro03"]), rtol=1e-6)


def meld(rng: np.random.Generator, shape: str) -> tuple:
    lengths = {0: 3, 1: 4, 2: 5}
    by = {d: lambda width, n=n: rng.normal(size=(n, width)).astype(np.float32) for d, n in lengths.items()}
    ids = {d: list(range(n)) for d, n in lengths.items()}
    speakers = {d: [np.eye(9)[i % 3].tolist() for i in range(n)] for d, n in lengths.items()}
    labels = {d: [(i + d) % 7 for i in range(n)] for d, n in lengths.items()}
    modalities = {"meld": [6, 3], "visual": [6, 3, 4], "multimodal": [8, 8, 8, 8, 3, 4]}[shape]
    x = [{d: make(width) for d, make in by.items()} for width in modalities]
    sentences = {d: ["hi"] * n for d, n in lengths.items()}
    sentiment = {d: [0] * n for d, n in lengths.items()}
    return (ids, speakers, labels, *x, sentences, [0, 1], [2], sentiment)


@pytest.mark.parametrize(
    ("name", "shape", "widths"),
    [
        ("MELD_features_raw.pkl", "meld", {"text": 6, "audio": 3}),
        ("MELD_features_raw1.pkl", "visual", {"text": 6, "audio": 3, "video": 4}),
        ("meld_multimodal_features.pkl", "multimodal", {"text": 8, "audio": 3, "video": 4}),
    ],
)
def test_meld(tmp_path, name, shape, widths):
    made = meld(np.random.default_rng(0), shape)
    files.read(write(tmp_path / name, made, old=False), tmp_path / "out")
    d = catalogue.load(str(tmp_path / "out"))
    assert d.widths == widths
    (test,) = d.splits["test"]
    assert [d.classes[k] for k in test.label] == ["fear", "sadness", "joy", "disgust", "anger"]
    assert test.speaker.tolist() == [0, 1, 2, 0, 1]
    np.testing.assert_allclose(test.features["text"], made[3][2], rtol=1e-6)


def test_a_dialogue_that_does_not_fit_is_named_and_the_rest_is_read(tmp_path):
    made = iemocap(np.random.default_rng(0))
    made[4]["Ses02F_impro01"].pop()
    made[2]["Ses01F_impro01"][0] = 9
    files.read(write(tmp_path / "IEMOCAP_features.pkl", made), tmp_path / "out")
    found = stored.description(tmp_path / "out")
    assert found["dialogues"] == {"train": 2, "test": 1}
    assert found["utterances"] == 3 + 5 + 6
    assert (
        "dialogue Ses02F_impro01 is left out: it has 3 speakers, 3 labels, 3 text, 2 audio, 3 video." in found["notes"]
    )
    assert "dialogue Ses01F_impro01: utterances left out for a label that is not usable: 1." in found["notes"]


def cmu(rng: np.random.Generator, kind: str) -> dict[str, Any]:
    """Three words of each utterance, padded at the front as MultiBench and MulT do."""
    found = {}
    for split, videos in {"train": ("aaa", "b_b"), "valid": ("ccc",), "test": ("ddd",)}.items():
        clips = [(v, k) for k in (1, 0) for v in videos]  # clips out of order, videos interleaved
        steps = {"text": 6, "audio": 4, "vision": 3}
        part: dict[str, Any] = {m: rng.normal(size=(len(clips), 5, w)).astype(np.float32) for m, w in steps.items()}
        for m in steps:
            part[m][:, :2] = 0
        part["audio"][0, 3, 0] = -np.inf
        label = rng.uniform(-3, 3, size=(len(clips), 1, 1)).astype(np.float32)
        if kind == "mult":
            part["id"] = np.array([[v, f"{10.0 * k:.2f}", f"{10.0 * k + 3:.2f}"] for v, k in clips]).astype("S")
        elif kind == "mmsa":
            part["id"], part["raw_text"] = [f"{v}$_${k}" for v, k in clips], ["word"] * len(clips)
        elif kind == "multibench":
            part["id"] = [f"{v}[{k}]" for v, k in clips]
        elif kind == "humor":
            part["id"] = np.arange(len(clips))[:, None]
            label = np.arange(len(clips)).reshape(-1, 1) % 2
        part["regression_labels" if kind == "mmsa" else "labels"] = label.reshape(-1) if kind == "mmsa" else label
        found[split] = part
    return found


@pytest.mark.parametrize(
    ("kind", "name"), [("mult", "mosi_data.pkl"), ("multibench", "mosi_raw.pkl"), ("mmsa", "aligned_50.pkl")]
)
def test_cmu_sdk(tmp_path, kind, name):
    made = cmu(np.random.default_rng(0), kind)
    files.read(write(tmp_path / name, made, old=False), tmp_path / "out")
    d = catalogue.load(str(tmp_path / "out"))
    assert d.classes is None
    assert d.widths == {"text": 6, "audio": 4, "video": 3}
    assert {s: [c.id for c in cs] for s, cs in d.splits.items()} == {
        "train": ["aaa", "b_b"],
        "validation": ["ccc"],
        "test": ["ddd"],
    }
    second = d.splits["train"][1]  # clips 0 and 1 of b_b are rows 3 and 1
    label = np.ravel(made["train"].get("labels", made["train"].get("regression_labels")))
    np.testing.assert_allclose(second.label, label[[3, 1]])
    np.testing.assert_allclose(second.features["text"], made["train"]["text"][[3, 1], 2:].mean(1), rtol=1e-5)
    first = d.splits["train"][0].features["audio"][1]  # clip 1 of aaa is row 0, whose -inf counts as 0
    steps = made["train"]["audio"][0, 2:].copy()
    steps[1, 0] = 0
    np.testing.assert_allclose(first, steps.mean(0), rtol=1e-5)


def test_cmu_sdk_humor_is_two_classes_and_a_row_without_words_gets_the_training_mean(tmp_path):
    made = cmu(np.random.default_rng(0), "humor")
    made["train"]["text"][2] = 0
    files.read(write(tmp_path / "humor.pkl", made, old=False), tmp_path / "out")
    d = catalogue.load(str(tmp_path / "out"))
    assert d.classes == ("0", "1")
    assert [len(c) for c in d.splits["train"]] == [1, 1, 1, 1]
    others = made["train"]["text"][[0, 1, 3], 2:].mean(1).mean(0)
    np.testing.assert_allclose(d.splits["train"][2].features["text"][0], others, rtol=1e-5)
    found = stored.description(tmp_path / "out")
    assert found["feature_sets"]["text"]["text6"]["missing"] == 1
    assert "No id names a video and a clip; each utterance is a conversation of its own." in found["notes"]


def test_cmu_sdk_with_several_labels_an_utterance_is_refused(tmp_path):
    made = cmu(np.random.default_rng(0), "multibench")
    made["train"]["labels"] = np.zeros((4, 4, 2))  # as in MulT's iemocap_data.pkl
    path = write(tmp_path / "mosi_data.pkl", made, old=False)
    with pytest.raises(LmamError, match=r"labels of shape \(4, 4, 2\)"):
        files.read(path, tmp_path / "out")


def ur_funny(folder: Path, words: str = "language_sdk.pkl") -> dict[str, Any]:
    rng = np.random.default_rng(0)
    folder.mkdir()
    ids = {"train": [10, 11, 12, 13], "dev": [20], "test": [30]}
    every = [i for split in ids.values() for i in split]
    glove = rng.normal(size=(9, 6)).tolist()
    made: dict[str, Any] = {"data_folds.pkl": ids, "word_embedding_list.pkl": glove}
    made["humor_label_sdk.pkl"] = {i: i % 2 if i < 20 else 1 for i in every}
    made[words] = {
        i: {"punchline_embedding_indexes": [1, 2, 3], "context_embedding_indexes": [[4, 5], [6]] if i != 12 else []}
        for i in every
    }
    for name, width in (("covarep", 4), ("openface", 3)):
        made[f"{name}_features_sdk.pkl"] = {
            i: {
                "punchline_features": rng.normal(size=(3, width)).tolist(),
                "context_features": [rng.normal(size=(n, width)).tolist() for n in (2, 1)] if i != 12 else [],
            }
            for i in every
        }
    for name, value in made.items():
        write(folder / name, value, old=False)
    return made


@pytest.mark.parametrize("words", ["language_sdk.pkl", "word_embedding_indexes_sdk.pkl"])
def test_ur_funny(tmp_path, words):
    made = ur_funny(tmp_path / "sdk", words)
    out = str(files.read(tmp_path / "sdk" / "humor_label_sdk.pkl", tmp_path / "out"))
    d = catalogue.load(out)
    assert d.classes == ("not humorous", "humorous")
    assert {s: [c.id for c in cs] for s, cs in d.splits.items()} == {
        "train": ["10", "11", "12", "13"],
        "validation": ["20"],
        "test": ["30"],
    }
    assert d.feature_sets == {"text": "glove6", "audio": "covarep4", "video": "openface3"}
    assert [int(c.label[0]) for c in d.splits["train"]] == [0, 1, 0, 1]
    glove = np.array(made["word_embedding_list.pkl"])
    both = catalogue.load(out, {"text": "glove12", "audio": "covarep8"})
    with_context, without = both.splits["train"][0].features, both.splits["train"][2].features
    expected = np.concatenate([glove[[1, 2, 3]].mean(0), glove[[4, 5, 6]].mean(0)])
    np.testing.assert_allclose(with_context["text"][0], expected, rtol=1e-5)
    assert not without["text"][0, 6:].any()
    assert not without["audio"][0, 4:].any()
    assert set(stored.description(out)["sources"]) == set(made)


def test_ur_funny_names_the_file_that_is_missing(tmp_path):
    ur_funny(tmp_path / "sdk")
    (tmp_path / "sdk" / "covarep_features_sdk.pkl").unlink()
    with pytest.raises(LmamError, match=r"lacks covarep_features_sdk\.pkl; UR-FUNNY's six files"):
        files.read(tmp_path / "sdk", tmp_path / "out")


def test_another_layout_is_a_sentence(tmp_path):
    path = write(tmp_path / "IEMOCAP_features.pkl", iemocap(np.random.default_rng(0), layers=4))
    with pytest.raises(LmamError, match="holds 12 entries where this layout has 9; name another with --as"):
        files.read(path, tmp_path / "out")
    files.read(path, tmp_path / "out", "iemocap-multimodal")
    with pytest.raises(LmamError, match="cannot be read as the layout 'iemocap'"):
        files.read(write(path, tuple(range(9)), old=False), tmp_path / "out")
    path = path.rename(tmp_path / "mine.pkl")
    with pytest.raises(LmamError, match=r"The name mine\.pkl does not tell the layout; say it with --as, one of iemo"):
        files.read(path, tmp_path / "out")
    with pytest.raises(LmamError, match=r"no layout 'iemocapp' .did you mean 'iemocap\w*'\?\); choose one of"):
        files.read(path, tmp_path / "out", "iemocapp")
    with pytest.raises(LmamError, match="There is no file"):
        files.read(tmp_path / "nowhere.pkl", tmp_path / "out")


def test_the_width_of_most_decides(tmp_path):
    """The first dialogue has 43 acoustic numbers, the others 74; and one utterance of another has 5."""
    made = iemocap(np.random.default_rng(0))
    made[4].update({d: list(np.ones((n, 74), np.float32)) for d, n in LENGTHS.items()})
    made[4]["Ses01F_impro01"] = [row[:43] for row in made[4]["Ses01F_impro01"]]
    made[4]["Ses03F_impro01"][2] = np.ones(5, np.float32)
    files.read(write(tmp_path / "IEMOCAP_features.pkl", made), tmp_path / "out")
    found = stored.description(tmp_path / "out")
    assert found["dialogues"] == {"train": 2, "test": 1}
    assert found["feature_sets"]["audio"]["audio74"]["missing"] == 1
    assert found["notes"][:2] == [
        "dialogue Ses03F_impro01: audio: utterances that count as missing, as their shape is (5,) and not (74,): 1.",
        "dialogue Ses01F_impro01 is left out: its audio features are audio43, most others audio74.",
    ]


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda made: made[4].pop("Ses02F_impro01"), "is left out: it is in no 'audio'."),
        (
            lambda made: made[4].update({"Ses02F_impro01": ["?"] * 3}),
            "is left out: could not convert string to float: '?'.",
        ),
        (lambda made: made[2].pop("Ses02F_impro01"), "is left out: it has no labels."),
        (
            lambda made: made[2].update({"Ses02F_impro01": ["sad"] * 3}),
            "is left out: its labels are no numbers, as 'sad'.",
        ),
        (lambda made: made[-1].append("Ses02F_impro01"), "is left out: it is in train and in test."),
        (lambda made: made[1].pop("Ses02F_impro01"), "is left out: it is in no 'Ses02F_impro01'."),
    ],
)
def test_one_odd_dialogue_costs_itself_alone(tmp_path, change, note):
    made = iemocap(np.random.default_rng(0))
    change(made)
    files.read(write(tmp_path / "IEMOCAP_features.pkl", made, old=False), tmp_path / "out")
    found = stored.description(tmp_path / "out")
    assert found["dialogues"] == {"train": 2, "test": 1}
    assert f"dialogue Ses02F_impro01 {note}" in found["notes"]


def test_where_no_dialogue_is_left_the_reasons_are_counted(tmp_path):
    made = iemocap(np.random.default_rng(0))
    made[4].clear()
    with pytest.raises(LmamError, match=r"no dialogue that can be used\. .* in no 'audio'.* 1 more like these"):
        files.read(write(tmp_path / "IEMOCAP_features.pkl", made, old=False), tmp_path / "out")


def test_cmu_sdk_with_numbers_out_of_range(tmp_path):
    made = cmu(np.random.default_rng(0), "mult")
    made["train"]["labels"][:2] = np.array([-3, 5]).reshape(2, 1, 1)
    made["test"]["audio"] = made["test"]["audio"].astype(np.float64)
    made["test"]["audio"][1, 3] = 1e300, -np.inf, np.nan, 2
    files.read(write(tmp_path / "mosi_data.pkl", made, old=False), tmp_path / "out")
    notes = stored.description(tmp_path / "out")["notes"]
    assert "audio of train: numbers that are not finite and count as 0: 1; utterances with any: 1." in notes
    assert "audio of test: numbers that are not finite and count as 0: 4; utterances with any: 2." in notes
    (labels,) = [note for note in notes if "outside" in note]
    assert labels.startswith("1 of 8 labels lie outside -3 to 3, which acc7 counts as -3 or 3: they go from -3 to 5")


def test_cmu_sdk_with_two_labels_alone_has_classes(tmp_path):
    made = cmu(np.random.default_rng(0), "mult")
    for part in made.values():
        part["labels"] = np.where(np.arange(len(part["labels"])) % 2, 1.0, -1.0).reshape(-1, 1, 1)
    files.read(write(tmp_path / "mosi_data.pkl", made, old=False), tmp_path / "out")
    d = catalogue.load(str(tmp_path / "out"))
    assert d.classes == ("-1", "1")
    assert sorted(np.concatenate([c.label for c in d.splits["train"]]).tolist()) == [0, 0, 1, 1]
    assert "The labels are -1 and 1 alone and are read as two classes." in stored.description(tmp_path / "out")["notes"]


def test_a_part_of_another_width_is_left_out(tmp_path):
    made = cmu(np.random.default_rng(0), "mult")
    made["valid"]["audio"] = np.ones((2, 5, 9), np.float32)
    made["train"]["vision"] = list(made["train"]["vision"])
    made["train"]["vision"][0] = np.ones((5, 8), np.float32)
    files.read(write(tmp_path / "mosi_data.pkl", made, old=False), tmp_path / "out")
    found = stored.description(tmp_path / "out")
    assert found["dialogues"] == {"train": 2, "test": 1}
    assert "dialogue ccc is left out: its audio features are audio9, most others audio4." in found["notes"]
    assert "train, video: utterances that count as missing, as their shape is (8,) and not (3,): 1." in found["notes"]


def test_ur_funny_with_a_word_that_does_not_exist(tmp_path):
    made = ur_funny(tmp_path / "sdk")
    made["language_sdk.pkl"][11]["punchline_embedding_indexes"] = [1, 99]
    write(tmp_path / "sdk" / "language_sdk.pkl", made["language_sdk.pkl"], old=False)
    files.read(tmp_path / "sdk", tmp_path / "out")
    found = stored.description(tmp_path / "out")
    assert found["dialogues"] == {"train": 3, "validation": 1, "test": 1}
    assert found["notes"][0].startswith("dialogue 11 is left out: index 99 is out of bounds")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "IEMOCAP_features.pkl .* a Git LFS pointer"),
        (
            b"<!DOCTYPE html><html><title>Google Drive - Can't scan",
            "IEMOCAP_features.pkl .* a web page and not the file",
        ),
    ],
)
def test_what_was_downloaded_is_not_the_file(tmp_path, content, sentence, capsys):
    (tmp_path / "IEMOCAP_features.pkl").write_bytes(content)
    with pytest.raises(LmamError, match=sentence):
        files.read(tmp_path / "IEMOCAP_features.pkl", tmp_path / "out")
    cut = write(tmp_path / "whole.pkl", iemocap(np.random.default_rng(0)), old=False).read_bytes()
    for share in (0.1, 0.5, 0.9, 0.999):
        (tmp_path / "IEMOCAP_features.pkl").write_bytes(cut[: int(share * len(cut))])
        with pytest.raises(LmamError, match="IEMOCAP_features"):
            files.read(tmp_path / "IEMOCAP_features.pkl", tmp_path / "out")
    with pytest.raises(LmamError, match="'~nouser/x' is not a path"):
        files.read("~nouser/x", tmp_path / "out")


def test_a_hostile_file_under_a_known_name_does_nothing(tmp_path):
    marker = tmp_path / "marker"
    (tmp_path / "IEMOCAP_features.pkl").write_bytes(b"cposix\nsystem\n(S'touch " + str(marker).encode() + b"'\ntR.")
    with pytest.raises(LmamError, match=r"it asks for posix\.system"):
        files.read(tmp_path / "IEMOCAP_features.pkl", tmp_path / "out")
    assert not marker.exists()
    assert not (tmp_path / "out").exists()


def test_the_command(tmp_path, capsys):
    path = write(tmp_path / "mine.pkl", iemocap(np.random.default_rng(0)))
    assert main(["data", "read", str(path), "--as", "iemocap", "--to", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "mine.pkl: 4 dialogues (3 train, 1 test) with 18 utterances" in out
    assert f"-p dataset {tmp_path / 'out'}" in out
    assert main(["data", "read", str(path), "--to", str(tmp_path / "out")]) == 2
    assert "does not tell the layout" in capsys.readouterr().err
