"""A folder of one's own recordings: what comes out, and what becomes of everything that can be wrong with one."""

from __future__ import annotations

import csv
import dataclasses
import functools
import json
import os
import time
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmam_book.cli import main
from lmam_core.data import catalogue, stored
from lmam_core.data.notes import condensed
from lmam_core.data.recordings import folder, labels, table
from lmam_core.errors import LmamError
from lmam_core.features.extract import Extracted
from lmam_core.hashing import sha256
from lmam_core.runs import run as experiment
from lmam_core.runs.experiment import Experiment

HEADER = ("dialogue", "turn", "speaker", "text", "file", "label")


class Fake:
    """Stands in for `extract.extract`: a text's row is its length, a file's the number that it holds."""

    def __init__(self):
        self.asked = {}

    def __call__(self, name, media, *, weights=None, progress=True):
        self.asked[name] = list(media), weights
        values, failed = np.full((len(media), 2), np.nan, np.float32), {}
        for i, item in enumerate(media):
            try:
                if item == "":
                    failed[i] = "The text is empty."
                    continue
                number = len(item) if name == "minilm384" else float(Path(str(item).split("#")[0]).read_text()[8:])
                values[i] = number, number**2
            except ValueError:
                failed[i] = f"{Path(item).name} cannot be decoded."
        return Extracted(values, failed, f"weights of {name}")


def line(d: int, t: int, **changed: str) -> dict[str, str]:
    """An utterance of a tidy folder: five words at most, two voices, two classes."""
    cells = (f"d{d}", str(t), "AB"[t % 2], "x" * (d + t + 1), f"media/{d}_{t}.wav", ("happy", "sad")[t % 2])
    return dict(zip(HEADER, cells, strict=True)) | changed


def tidy(dialogues: int = 5, turns: int = 4) -> list[dict[str, str]]:
    return [line(d, t) for d in range(dialogues) for t in range(turns)]


def write(root: Path, lines: list[dict[str, str]], **csv_options: str) -> Path:
    """The table, and a file for every name inside the folder."""
    (root / "media").mkdir(parents=True, exist_ok=True)
    with (root / table.TABLE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, lines[0], **csv_options)
        writer.writeheader()
        writer.writerows(lines)
    for number, cells in enumerate(lines):
        name = cells.get("file", "")
        if name.startswith("media/") and ".." not in name and "#" not in name and not os.path.lexists(root / name):
            (root / name).write_text(f"RIFF    {number}")
    return root


def build(root: Path, **options) -> tuple[dict, Fake]:
    """Build with the stand-in; what the description then says, and what was extracted."""
    fake = Fake()
    assert folder.build(root, extract=fake, progress=False, **options) == root
    return stored.description(root), fake


def load(root: Path, **options):
    return catalogue.load(str(root), **options)


def utterances(d) -> dict[tuple[str, int], dict[str, np.ndarray]]:
    """Each utterance's features by dialogue and place."""
    every = [c for cs in d.splits.values() for c in cs]
    return {(c.id, t): {m: x[t] for m, x in c.features.items()} for c in every for t in range(len(c))}


def test_a_tidy_folder(tmp_path):
    lines = tidy()
    lines.reverse()  # turns and not lines order a dialogue
    found, fake = build(write(tmp_path / "own", lines))
    d = load(tmp_path / "own")
    assert {s: len(cs) for s, cs in d.splits.items()} == {"train": 3, "validation": 1, "test": 1}
    assert found["dialogues"] == {"train": 3, "validation": 1, "test": 1}
    assert d.classes == ("happy", "sad")
    assert d.feature_sets == {"text": "minilm384", "audio": "acoustic96"}
    for c in (c for cs in d.splits.values() for c in cs):
        assert c.label.tolist() == [0, 1, 0, 1]
        assert c.speaker.tolist() == [0, 1, 0, 1]
        assert c.features["text"][:, 0].tolist() == [int(c.id[1]) + t + 1 for t in range(4)]
    assert found["feature_sets"]["text"]["minilm384"]["weights"] == "weights of minilm384"
    assert found["notes"] == ["video is left out: no utterance has an mp4 file."]
    assert len(found["sources"]) == 1 + len(lines)
    assert fake.asked["minilm384"][1] is None
    assert d.about.startswith("own: own recordings, 5 dialogues (3 train, 1 validation, 1 test) with 20 utterances")
    assert not d.synthetic


def test_the_same_folder_gives_the_same_bytes(tmp_path):
    first, _ = build(write(tmp_path / "a", tidy()))
    again, _ = build(write(tmp_path / "b" / "a", tidy()))
    assert first == again
    assert catalogue.fingerprint(str(tmp_path / "a")) == sha256(tmp_path / "a" / "dataset.npz")


def test_a_damaged_recording_costs_its_utterance_the_sound_alone(tmp_path):
    write(tmp_path, tidy())
    clean, _ = build(tmp_path)
    whole = utterances(load(tmp_path))
    (tmp_path / "media" / "2_1.wav").write_text("RIFF    no number")
    found, _ = build(tmp_path)
    d = load(tmp_path)
    train = {c.id for c in d.splits["train"]}
    mean = np.mean([x["audio"] for (c, t), x in whole.items() if c in train and (c, t) != ("d2", 1)], axis=0)
    for place, x in utterances(d).items():
        np.testing.assert_allclose(x["text"], whole[place]["text"])
        np.testing.assert_allclose(x["audio"], mean if place == ("d2", 1) else whole[place]["audio"], rtol=1e-6)
    assert found["feature_sets"]["audio"]["acoustic96"]["missing"] == 1
    (said,) = set(found["notes"]) - set(clean["notes"])
    assert said == (
        "line 11 (dialogue d2, turn 1) has no audio: 2_1.wav cannot be decoded; the training mean stands there."
    )


def test_texts_of_the_world_and_none_at_all(tmp_path):
    texts = ["😀🏳️‍🌈", "Привет, мир", "你好", "שלום", 'a, "quoted"\nline', "", "cafe\N{COMBINING ACUTE ACCENT}", "न"]
    lines = tidy(4, 2)
    for cells, text in zip(lines, texts, strict=True):
        cells["text"] = text
    found, fake = build(write(tmp_path, lines))
    assert fake.asked["minilm384"][0] == [unicodedata.normalize("NFC", text) for text in texts]
    assert [note for note in found["notes"] if "has no text: The text is empty; the training mean" in note]
    assert found["utterances"] == 8


@pytest.fixture
def outside(tmp_path):
    """A folder to build, and a recording beside it that no build may touch."""
    (tmp_path / "secret.wav").write_text("RIFF    41")
    root = write(tmp_path / "own", tidy())
    (root / "media" / "link.wav").symlink_to(tmp_path / "secret.wav")
    (root / "media" / "door").symlink_to(tmp_path)
    (root / "media" / "inside.wav").symlink_to(root / "media" / "0_0.wav")
    (root / "media" / "circle.wav").symlink_to(root / "media" / "circle.wav")
    os.mkfifo(root / "media" / "pipe.wav")
    (root / "media" / "film.avi").write_text("RIFF    1")
    (root / "media" / "list.wav").write_text("ffconcat version 1.0\nfile link.wav\n")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("../secret.wav", "leads out of the folder"),
        ("media/../../secret.wav", "leads out of the folder"),
        ("media\\..\\..\\secret.wav", "leads out of the folder"),
        ("{outside}/secret.wav", "is an absolute path"),
        ("C:\\secret.wav", "is an absolute path"),
        ("\\\\server\\secret.wav", "is an absolute path"),
        ("../secret.wav#t=0,1", "leads out of the folder"),
        ("media/link.wav", "is a link that leads out of the folder"),
        ("media/door/secret.wav", "is a link that leads out of the folder"),
        ("media/circle.wav", "cannot be opened"),
        ("media/pipe.wav", "there is no file"),
        ("media", "there is no file"),
        ("media/film.avi", "is neither wav nor mp4"),
        ("media/list.wav", "does not begin as a wav or mp4 file does"),
        ("media/nowhere.wav", "there is no file"),
        ("x" * 5000 + ".wav", "cannot be opened"),
        ("", "it names no file"),
    ],
)
def test_no_name_leads_out_of_the_folder(outside, name, sentence):
    name = name.replace("{outside}", str(outside))
    write(outside / "own", [*tidy(), line(5, 0, file=name)])
    for made in (outside / "own" / "media").glob("nowhere.wav"):
        made.unlink()
    found, fake = build(outside / "own")
    assert found["utterances"] == 21
    (said,) = [note for note in found["notes"] if note.startswith("line 22 (dialogue d5, turn 0) has no recording: ")]
    assert sentence in said
    assert len(fake.asked["acoustic96"][0]) == 20
    assert all(Path(path).is_relative_to(outside / "own" / "media") for path in fake.asked["acoustic96"][0])
    assert str(outside) not in json.dumps(found["sources"])


def test_a_link_within_the_folder_and_a_span_are_taken(outside):
    lines = tidy()
    lines[1]["file"], lines[2]["file"] = "media/inside.wav", "media/0_0.wav#t=1.5,3"
    _, fake = build(write(outside / "own", lines))
    asked = fake.asked["acoustic96"][0]
    media = (outside / "own" / "media").resolve()
    assert asked[:3] == [str(media / "0_0.wav"), str(media / "0_0.wav"), f"{media / '0_0.wav'}#t=1.5,3"]


def test_weights_of_an_extractor_that_does_not_exist_are_told(tmp_path):
    with pytest.raises(LmamError, match="--weights names no extractor 'minlm384'"):
        build(write(tmp_path, tidy()), weights="minlm384=folder")


def test_films_have_pictures_and_sound(tmp_path):
    lines = [c | {"file": c["file"].replace(".wav", ".mp4")} if int(c["turn"]) else c for c in tidy()]
    found, fake = build(write(tmp_path, lines), weights="clip512=folder,minilm384=random")
    assert len(fake.asked["acoustic96"][0]) == 20
    assert len(fake.asked["clip512"][0]) == 15
    assert [fake.asked[name][1] for name in ("minilm384", "acoustic96", "clip512")] == ["random", None, "folder"]
    assert found["feature_sets"]["video"]["clip512"]["missing"] == 5
    assert found["notes"] == [
        "utterances in wav files, which hold no video, so that the training mean stands there: 5."
    ]
    only, _ = build(tmp_path, text="", audio="is10_1582")
    assert {m: list(sets) for m, sets in only["feature_sets"].items()} == {"audio": ["is10_1582"], "video": ["clip512"]}


def test_an_unknown_extractor_is_named(tmp_path):
    write(tmp_path, tidy())
    with pytest.raises(LmamError, match="There is no audio extractor 'minilm384'; choose one of acoustic96"):
        build(tmp_path, audio="minilm384")


def test_labels_that_cannot_be_used_are_named_and_the_rest_is_built(tmp_path):
    lines = tidy()
    lines[5]["label"], lines[6]["label"], lines[7]["label"] = "hapy", "", " HAPPY "
    write(tmp_path, lines)
    (tmp_path / folder.CLASSES).write_text("sad\nhappy\n")
    found, _ = build(tmp_path)
    assert found["utterances"] == 18
    assert found["classes"] == ["sad", "happy"]
    assert found["notes"][:2] == [
        "line 7 (dialogue d1, turn 1) is left out: its label 'hapy' is not one of sad, happy (did you mean 'happy'?).",
        "line 8 (dialogue d1, turn 2) is left out: it has no label.",
    ]
    (d1,) = [c for cs in load(tmp_path).splits.values() for c in cs if c.id == "d1"]
    assert d1.label.tolist() == [1, 1]


def test_a_class_that_train_lacks_is_no_class(tmp_path):
    splits = ["train", "dev", "test", "Train", "TEST"]
    lines = [c | {"split": splits[int(c["dialogue"][1])]} for c in tidy()]
    lines[9]["label"] = "bored"  # in d2, which is in test
    lines[0]["label"] = "cross"
    found, _ = build(write(tmp_path, lines))
    assert found["classes"] == ["cross", "happy", "sad"]
    assert "the class 'bored' is left out: no training utterance has it." in found["notes"]
    assert "line 11 (dialogue d2, turn 1) is left out: its label is in no training dialogue." in found["notes"]
    assert "the class 'cross' has one training utterance; is it a slip of the pen?" in found["notes"]
    d = load(tmp_path)
    assert {s: [c.id for c in cs] for s, cs in d.splits.items()} == {
        "train": ["d0", "d3"],
        "validation": ["d1"],
        "test": ["d2", "d4"],
    }
    assert len(d.splits["test"][0]) == 3


def test_splits_that_contradict_themselves_cost_the_dialogue(tmp_path):
    splits = ["train", "train", "test", "", "exam"]
    lines = [c | {"split": splits[int(c["dialogue"][1])]} for c in tidy()]
    lines[5]["split"] = "test"
    lines[1]["split"] = ""
    found, _ = build(write(tmp_path, lines))
    assert found["dialogues"] == {"train": 1, "test": 1}
    assert [note for note in found["notes"] if note.startswith("dialogue")] == [
        "dialogue d1 (4 utterances) is left out: its utterances name test and train splits.",
        "dialogue d3 (4 utterances) is left out: its utterances name no split.",
        "dialogue d4 (4 utterances) is left out: its split 'exam' is none of train, validation and test.",
    ]
    lines = [c | {"split": "train"} for c in tidy()]
    with pytest.raises(LmamError, match="has no test dialogues; name some in the column 'split'"):
        build(write(tmp_path, lines))


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["sad", "happy", "Sad", "sad"], ("happy", "sad")),
        (["2", "10", "0", ""], ("0", "2", "10")),
        (["1", "-2.5", "3"], None),
        (["1e0", "2.5"], None),
        (["0.5", "n/a", "1.5"], None),
        (["0.5", "n/a", "none"], None),
        (["0.5", "joy", "anger"], ("0.5", "anger", "joy")),
        (["-1.0", "1.0", "1.0"], ("-1.0", "1.0")),
        (["0", "1.0", "1", "01", "01"], ("0", "01")),
        (["-1,5", "\N{MINUS SIGN}0,5", "2"], None),
        (
            ["sad", "happy", "nan", "NaN", "None", "null", "-", "#N/A", "#NV", "k.A.", "N/D", "?", "\\N"],
            ("happy", "sad"),
        ),
        (["1_0", "2_0"], ("1_0", "2_0")),
        (["0", "1", "2", "3"] * 10 + ["1.0"], ("0", "1", "2", "3")),
        (["0", "1", "2", "3"] * 10 + ["0.5"], ("0", "0.5", "1", "2", "3")),
        (["0", "1", "2", "3"] * 10 + ["0.5"] * 5, None),
        (["über", "Über"], ("Über",)),
    ],
)
def test_the_rule_for_classes_and_numbers(cells, expected):
    assert labels.kind(cells) == expected


def test_real_numbers(tmp_path):
    lines = [c | {"label": f"{int(c['turn']) - 1.5}"} for c in tidy()]
    lines[3]["label"], lines[4]["label"], lines[5]["label"] = "none", "nan", "1e300"
    found, _ = build(write(tmp_path, lines))
    assert found["classes"] is None
    assert found["utterances"] == 17
    left_out = [note.partition("is left out: ")[2] for note in found["notes"] if "is left out: it" in note]
    assert left_out == ["it has no label ('none').", "it has no label ('nan').", "its label '1e300' is not a number."]
    d = load(tmp_path)
    assert d.classes is None
    assert {c.label.dtype for cs in d.splits.values() for c in cs} == {np.dtype("float32")}


dialogue_sets = st.dictionaries(st.text(min_size=1), st.sets(st.integers(0, 2), min_size=1), min_size=3, max_size=30)


@given(dialogue_sets, st.randoms())
def test_dialogues_are_dealt_by_their_names_alone_and_train_keeps_every_class(dialogues, random):
    try:
        splits = labels.deal(dialogues)
    except LmamError as error:
        held = [sum(c in classes for classes in dialogues.values()) for c in range(3)]
        last = [any(held[c] == 1 for c in classes) for classes in dialogues.values()]
        scarce = all(last) if "go to test" in str(error) else min(filter(None, held)) <= 2
        if not scarce:
            raise
        return
    shuffled = list(dialogues.items())
    random.shuffle(shuffled)
    assert labels.deal(dict(shuffled)) == splits
    assert set(splits.values()) == {"train", "validation", "test"}
    train = set().union(*(classes for d, classes in dialogues.items() if splits[d] == "train"))
    assert train == set().union(*dialogues.values())


def test_the_shares_of_the_splits():
    splits = list(labels.deal({f"d{i}": {0, 1} for i in range(100)}).values())
    assert {s: splits.count(s) for s in stored.SPLITS} == {"train": 64, "validation": 16, "test": 20}
    with pytest.raises(LmamError, match="need a dialogue each, and there are 2"):
        labels.deal({"a": {0}, "b": {0}})
    with pytest.raises(LmamError, match="No dialogue can go to test: train would lose its last examples"):
        labels.deal({"a": {0}, "b": {1}, "c": {2}})


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, r"holds no utterances\.csv; write one with the columns dialogue, turn, speaker, text, file, label"),
        (b"", "is no table: it is empty"),
        (b"\n\n", "the column dialogue is missing"),
        (b"Dialogue_ID,Utterance\n", "the column dialogue is missing.* It names dialogue_id, utterance"),
        (b"PK\x03\x04 a workbook", "is a zip archive .so are xlsx.* save as 'CSV UTF-8'"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
        (b"<!DOCTYPE html><html>", "is a web page"),
        (b"\x1f\x8b\x08", "is a packed file; unpack it first"),
        (
            b"dialogue,turn,speaker,text,label\nd,1,A,\xcf\xf0\xe8\xe2\xe5\xf2,x\n",
            "line 2: the text is neither UTF-8 nor Windows",
        ),
        (b"dialogue,turn,speaker,text\n", "the column label is missing"),
        (b"dialogue,turn,speaker,label\n", "neither a column text nor a column file"),
        (b"dialogue,turn,speaker,text,text,label\n", "the column 'text' stands there twice"),
        (b"dialogue,turn,speaker,text,label\n", "holds no utterances"),
        (b"dialogue,turn,speaker,text,label\nd,1,A,hi,\n", "No utterance has a label .* line 2 .* has no label"),
        (b"dialogue,turn,speaker,text,label\nd,1,A,\0,x\n", "is not UTF-8 text"),
    ],
)
def test_a_table_that_is_none(tmp_path, content, sentence):
    if content is not None:
        (tmp_path / table.TABLE).write_bytes(content)
    with pytest.raises(LmamError, match=sentence):
        build(tmp_path)
    assert not (tmp_path / "dataset.npz").exists()


def test_rows_that_are_none_are_named_and_the_rest_is_built(tmp_path):
    root = write(tmp_path, tidy(), delimiter=";")
    rows = [
        b"d0;9;A;too few;happy\r\n",
        b"d0;soon;A;x;;happy\r\n",
        b";9;A;x;;happy\r\n",
        b"d0;9;;caf\xe9;;happy\r\n",
        b"\r\n",
    ]
    with (root / table.TABLE).open("ab") as file:
        file.writelines([*rows, b"d0;9;;again;;happy\r\n"])
    found, fake = build(root)
    assert found["utterances"] == 22
    assert [note for note in found["notes"] if "recording" not in note] == [
        "line 25 is not UTF-8 and was read as Windows-1252 ('café'), one of 1 such lines; save the table as "
        "'CSV UTF-8' if that is wrong.",
        "line 22 is left out: it has 5 cells where the header has 6.",
        "line 24 is left out: it names no dialogue.",
        "line 23 is left out: its turn 'soon' is not a number.",
        "utterances without a speaker, which share one unknown voice in each dialogue: 2.",
        "line 27 (dialogue d0, turn 9) has the same turn as line 25; they stay in the order of the table.",
        "video is left out: no utterance has an mp4 file.",
    ]
    assert fake.asked["minilm384"][0][4:6] == ["café", "again"]


def test_what_is_left_of_the_splits_is_told(tmp_path):
    lines = [c | {"split": "train" if int(c["dialogue"][1]) < 3 else "eval"} for c in tidy()]
    sentence = (
        "has no test dialogues; .* says 'train' in 12 rows .12 of them usable., 'eval' in 8 rows .0 of them usable.. "
        "dialogue d3 .4 utterances. is left out: its split 'eval' is none of .* .is it validation or test.*dialogue d4"
    )
    with pytest.raises(LmamError, match=sentence):
        build(write(tmp_path, lines))
    lines = [c | {"split": "train_set" if int(c["dialogue"][1]) < 3 else "Test-Set"} for c in tidy()]
    for cells in lines[12:]:
        cells["label"] = "NaN"
    with pytest.raises(
        LmamError, match=r"'Test-Set' in 8 rows .0 of them usable.. line 14 .* it has no label .'NaN'.. .*5 more"
    ):
        build(write(tmp_path, lines))
    lines = [c | {"split": "train" if int(c["dialogue"][1]) < 3 else "Test-Set"} for c in tidy()]
    assert build(write(tmp_path, lines))[0]["dialogues"] == {"train": 3, "test": 2}


def test_ids_that_begin_anew_in_each_split_are_kept_apart(tmp_path):
    """MELD's three tables, one below the other."""
    lines = [
        line(d, t, split=split, text=f"{split} {t}")
        for split, dialogues in (("train", 4), ("dev", 2), ("test", 3))
        for d in range(dialogues)
        for t in range(2 + (split == "train"))
    ]
    found, _ = build(write(tmp_path, lines))
    assert found["dialogues"] == {"train": 4, "validation": 2, "test": 3}
    assert found["utterances"] == len(lines)
    assert {c.id: len(c) for c in load(tmp_path).splits["test"]} == {"test-d0": 2, "test-d1": 2, "test-d2": 2}
    assert [c.id for c in load(tmp_path).splits["train"]] == ["train-d0", "train-d1", "train-d2", "d3"]
    assert found["notes"][0] == (
        "dialogue d0 is in train and validation and test with turns of its own, so that its id is read as train-d0 and "
        "validation-d0 and test-d0."
    )


def test_many_notes_of_one_kind_are_counted_and_kept(tmp_path):
    """Scenes that are numbered anew in each episode."""
    lines = [line(d, t, text=f"{episode} {t}") for episode in range(50) for d in range(3) for t in range(4)]
    found, _ = build(write(tmp_path, lines))
    alike = [note for note in found["notes"] if "has the same turn" in note]
    assert len(alike) == 49 * 12
    shown = condensed(found["notes"])
    assert shown[:4] == [*alike[:3], "... and 585 more like these, 588 in all."]
    assert any("588 of 600 utterances have the dialogue and the turn of another; do the ids" in note for note in shown)
    assert len(shown) < 10


@pytest.mark.parametrize(
    "alike",
    [
        [
            "line 1 (dialogue a (b), turn 1) is left out: its label 'it's' is not one of x.",
            "line 23 (dialogue c, turn 1.5) is left out: its label 'o' is not one of x.",
        ],
        ["dialogue Ses01F is left out: it has 3 speakers.", "dialogue 7 b is left out: it has 12 speakers."],
        ["line 3 is left out: its turn 'a' is not a number.", "line 1,000 is left out: its turn '' is not a number."],
    ],
)
def test_what_is_one_kind_of_note(alike):
    first, second = alike
    assert condensed([first] * 3 + [second]) == [first] * 3 + ["... and 1 more like these, 4 in all."]
    assert condensed([first, "x is left out.", second]) == [first, second, "x is left out."]


def test_labels_out_of_range_and_codes_are_said(tmp_path):
    def notes(labels: list[str], **options) -> list[str]:
        lines = [c | {"label": labels[i % len(labels)]} for i, c in enumerate(tidy())]
        return [note for note in build(write(tmp_path, lines))[0]["notes"] if "label" in note]

    assert "5 of 20 labels lie outside -3 to 3, which acc7 counts as -3 or 3: they go from -3 to 5." in notes(
        ["-3.0", "5.0", "0.5", "1"]
    )
    (_, codes) = notes(["0.0", "1.0", "2.0", "3.0"])
    assert (
        codes == "The labels take only the values 0, 1, 2, 3 and are read as real numbers; are they codes of classes?"
    )
    assert notes(["-1.0", "1.0"]) == ["The labels -1.0 and 1.0 are two whole numbers and are read as classes."]
    assert notes(["-1", "1"]) == []


def test_time_grows_with_the_rows_alone(tmp_path):
    """Twenty thousand labels of their own, no recordings, few files: whatever is looked up is looked up once."""
    lines = [
        line(
            0,
            0,
            dialogue=f"d{k // 10}",
            turn=str(k % 10),
            text=str(k),
            label=str(k % 10000),
            file="" if k % 2 else "media/0_0.wav#t=1,2",
        )
        for k in range(20_000)
    ]
    write(tmp_path, lines)
    (tmp_path / "media" / "0_0.wav").write_text("RIFF    1")
    start = time.process_time()
    rows, columns, notes = table.read(tmp_path / table.TABLE)
    labelled = folder._label(rows, None, notes)
    splits = {r.dialogue: "train" for r in rows}
    kept, classes = folder._classes(labelled, splits, notes)
    media = folder._media(tmp_path, kept.rows, columns, notes)
    assert len(classes) == 10_000
    assert sum(f is not None for f in media.files) == 10_000
    assert time.process_time() - start < 6


def test_one_class_and_nothing_to_extract(tmp_path):
    with pytest.raises(LmamError, match="has one class only, happy"):
        build(write(tmp_path / "a", [c | {"label": "happy"} for c in tidy()]))
    with pytest.raises(LmamError, match="has no features at all: text is left out: no utterance has a transcript"):
        build(write(tmp_path / "b", [c | {"text": "", "file": ""} for c in tidy()]))
    with pytest.raises(LmamError, match=r"there is no file 'x\.mp3'\. \.\.\. and 17 more like these, 20 in all"):
        build(write(tmp_path / "c", [c | {"text": "", "file": "x.mp3"} for c in tidy()]))


def test_spellings_of_a_class_are_one_and_said(tmp_path):
    told = {0: "happy.", 1: "'Happy'", 2: "12%"}
    cells = [c | {"label": told.get(i, "happy" if i % 2 else "sad")} for i, c in enumerate(tidy())]
    described, _ = build(write(tmp_path, cells))
    assert "The labels 'happy.' and ''Happy'' and 'happy' are read as one class." in described["notes"]
    assert "Labels such as '12%' are no numbers and are read as names of classes." in described["notes"]
    assert set(described["classes"]) - {"12%"} == {"happy", "sad"}


# The catalogue takes the folder wherever it takes a name.


@pytest.fixture
def own(tmp_path) -> str:
    build(write(tmp_path / "my talks", tidy(8)))
    return str(tmp_path / "my talks")


def test_the_catalogue_takes_a_path(own, monkeypatch):
    assert catalogue.is_path(own)
    assert catalogue.available(own)
    assert catalogue.entry(own).name == "my-talks"
    assert catalogue.load(f"{own}/dataset.npz").sha256 == catalogue.fingerprint(own)
    assert catalogue.label(own) == f"my-talks-{catalogue.fingerprint(own)[:8]}"
    assert catalogue.load(own, modalities=["audio"]).widths == {"audio": 2}
    with pytest.raises(LmamError, match="my-talks has no modality 'video'; it has text, audio"):
        catalogue.load(own, modalities=["video"])
    monkeypatch.chdir(own)
    assert catalogue.load(".").sha256 == catalogue.fingerprint(own)
    monkeypatch.chdir(Path(own).parent)
    assert catalogue.load("my talks").sha256 == catalogue.fingerprint(own)
    assert not catalogue.is_path("mosi")
    assert catalogue.label("mosi") == "mosi"


def test_a_path_that_is_no_dataset(tmp_path, own):
    with pytest.raises(LmamError, match=r"holds no dataset\.json; make it with `lmam data build"):
        catalogue.available(str(tmp_path))
    for content, sentence in (("{", "cannot be read"), ("[]", "cannot be read"), ('{"format": 9}', "the format 9")):
        (Path(own) / "dataset.json").write_text(content)
        with pytest.raises(LmamError, match=sentence):
            catalogue.entry(own)


def test_a_description_cannot_lead_elsewhere(own):
    path = Path(own) / "dataset.json"
    found = json.loads(path.read_text())
    path.write_text(json.dumps(found | {"name": "../../elsewhere"}))
    assert catalogue.label(own).startswith("elsewhere-")
    assert catalogue.entry(own).file == f"{own}/dataset.npz"


def test_a_damaged_npz_is_told(own):
    path = Path(own) / "dataset.npz"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(
        LmamError, match=r"not the file that dataset\.json beside it describes: it is truncated.*build it"
    ):
        catalogue.load(own)


def test_an_experiment_runs_on_a_path(own):
    e = Experiment(dataset=own, rank=2, epochs=1, embedding="early")
    assert e.resolved().features == "text=minilm384,audio=acoustic96"
    run = experiment.run(e)
    assert run.classes == ("happy", "sad")
    assert run.provenance["data_sha256"] == catalogue.fingerprint(own)
    other = dataclasses.replace(e, modalities=("audio",))
    assert experiment.run(other).experiment.key != run.experiment.key


def test_a_folder_that_is_built_anew_is_read_anew(own):
    e = Experiment(dataset=own, embedding="early")
    before = experiment.prepared(e)
    build(write(Path(own), tidy(5)))
    assert experiment.prepared(e).sha256 == catalogue.fingerprint(own) != before.sha256


def test_the_command(tmp_path, monkeypatch, capsys):
    lines = tidy()
    lines[3]["file"] = "../out.wav"
    lines[4]["file"] = "\x1b[2Jgone.wav"
    write(tmp_path, lines)
    monkeypatch.setattr(folder, "_extract", Fake)
    assert main(["data", "build", str(tmp_path), "--video", ""]) == 0
    printed = capsys.readouterr()
    assert "line 5 (dialogue d0, turn 3) has no recording: '../out.wav' leads out of the folder" in printed.err
    assert r"there is no file '\x1b[2Jgone.wav'" in printed.err
    assert "audio: acoustic96, weights: weights of acoustic96, 2 filled with the training mean" in printed.out
    assert f"lmam run --dataset {tmp_path}" in printed.out
    assert main(["data", "build", str(tmp_path / "nowhere")]) == 2
    assert "holds no utterances.csv" in capsys.readouterr().err


def test_a_mistake_is_told_before_anything_is_extracted(tmp_path):
    lines = [c | {"split": "train"} for c in tidy()]
    fake = Fake()
    with pytest.raises(LmamError, match="no test dialogues"):
        folder.build(write(tmp_path, lines), extract=fake)
    with pytest.raises(LmamError, match="no video extractor 'clip'"):
        folder.build(write(tmp_path, tidy()), video="clip", extract=fake)
    assert fake.asked == {}


def test_real_sound_and_a_real_text_encoder(tmp_path):
    """Three dialogues of noise, from wav files to a trained model; the text encoder is a small random one."""
    sf = pytest.importorskip("soundfile")
    pytest.importorskip("transformers")
    from lmam_core.features.encoders.acoustic import NAMES
    from lmam_core.features.extract import extract

    rng = np.random.default_rng(0)
    lines = tidy(3)
    for cells in lines:
        (tmp_path / "media").mkdir(exist_ok=True)
        loud = 0.1 if cells["label"] == "sad" else 0.5
        sf.write(tmp_path / cells["file"], loud * rng.uniform(-1, 1, 8000), 16_000)
    (tmp_path / lines[6]["file"]).write_bytes(b"RIFF, and then nothing")
    lines[1]["text"] = "😀 ну да"
    write(tmp_path, lines)
    uncached = functools.partial(extract, cache=None)
    folder.build(tmp_path, weights="random", progress=False, extract=uncached)
    found, d = stored.description(tmp_path), load(tmp_path)
    assert d.widths == {"text": 384, "audio": 96}
    assert "The features minilm384 come from encoders that nobody trained." in d.about
    assert found["feature_sets"]["audio"]["acoustic96"] == {
        "array": "audio_acoustic96",
        "width": 96,
        "missing": 1,
        "weights": "none needed",
    }
    (said,) = [note for note in found["notes"] if "has no audio" in note]
    assert said.startswith("line 8 (dialogue d1, turn 2) has no audio: 1_2.wav cannot be decoded")
    # The mean level comes through the npz: it is louder where the noise is.
    rows = {place: x["audio"][NAMES.index("level_mean")] for place, x in utterances(d).items() if place != ("d1", 2)}
    assert min(v for (_, t), v in rows.items() if t % 2 == 0) > max(v for (_, t), v in rows.items() if t % 2)
    run = experiment.run(Experiment(dataset=str(tmp_path), rank=2, epochs=1, embedding="early"))
    assert run.total.sum() == 4
