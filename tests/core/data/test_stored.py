"""Stored datasets that are damaged or made up: whatever a file says, one sentence comes of it."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lmam_core import paths
from lmam_core.data import catalogue, stored
from lmam_core.errors import LmamError
from lmam_core.limits import DESCRIPTION_BYTES


def utterances(**changed: Any) -> stored.Utterances:
    """Three dialogues of two utterances each."""
    fields: dict[str, Any] = {
        "name": "toy",
        "about": "A toy.",
        "dialogues": ["a", "b", "c"],
        "splits": ["train", "train", "test"],
        "owner": np.repeat(np.arange(3), 2),
        "speaker": np.array([0, 1] * 3),
        "label": np.array([0, 1] * 3),
        "classes": ("sad", "happy"),
        "features": {"text": {"words4": np.ones((6, 4), np.float32)}},
    }
    return stored.Utterances(**fields | changed)


@pytest.fixture
def toy(tmp_path) -> Path:
    return stored.write(tmp_path / "toy", utterances())


def rewrite(folder: Path, npz: bytes | None = None, **described: Any) -> str:
    """Put another npz in place, described as it is; returns the dataset's name."""
    if npz is not None:
        (folder / "dataset.npz").write_bytes(npz)
        described = {"sha256": hashlib.sha256(npz).hexdigest(), "bytes": len(npz)} | described
    path = folder / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | described))
    return str(folder)


def archive(folder: Path, **changed: Any) -> bytes:
    """The arrays of a dataset with some changed; None leaves one out."""
    with np.load(folder / "dataset.npz") as arrays:
        kept = {name: a for name, a in (dict(arrays) | changed).items() if a is not None}
    file = io.BytesIO()
    np.savez(file, **kept)
    return file.getvalue()


def claiming(folder: Path, shape: str, dtype: str = "<f4") -> bytes:
    """The archive with a member whose header claims another shape than its few bytes have."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    member = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + b"x" * 96
    source, target = io.BytesIO(archive(folder)), io.BytesIO()
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            new.writestr(info.filename, member if info.filename == "text_words4.npy" else old.read(info))
    return target.getvalue()


def test_the_toy_is_one(toy):
    d = catalogue.load(rewrite(toy, archive(toy)))
    assert d.widths == {"text": 4}
    assert {s: len(c) for s, c in d.splits.items()} == {"train": 2, "test": 1}


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        ("(1000000000000, 4)", "text_words4 claims 16,000,000,000,000 bytes and has 224"),
        ("(6, 3)", "text_words4 claims 72 bytes"),
        ("(-6, -4)", "cannot be read as an npz archive|dataset.json says"),
        ("(6, 4", "cannot be read as an npz archive"),
        ("__import__('os')", "cannot be read as an npz archive"),
    ],
)
def test_an_array_that_claims_what_it_has_not(toy, shape, sentence):
    with pytest.raises(LmamError, match=sentence):
        catalogue.load(rewrite(toy, claiming(toy, shape)))


def test_an_array_for_which_there_is_no_room(toy, monkeypatch):
    room = type("Room", (), {"available": 50})
    monkeypatch.setattr("psutil.virtual_memory", lambda: room)
    with pytest.raises(LmamError, match=r"dataset\.npz: its array .* would take 0\.0 GiB, and this machine has"):
        catalogue.load(str(toy))


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw[: len(raw) // 2],
        lambda raw: raw[:-30],
        lambda raw: raw[:300] + b"\0" * 40 + raw[340:],
        lambda raw: raw.replace(b"\x93NUMPY", b"\x93NUMPI"),
        lambda raw: raw.replace(b"\x93NUMPY\x01", b"\x93NUMPY\x07"),
        lambda raw: raw.replace(b"text_words4", b"text_words5"),
        lambda raw: b"",
        lambda raw: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
        lambda raw: b"<html>not found</html>",
        lambda raw: b"\x80\x04N.",
        lambda raw: np.random.default_rng(0).bytes(500),
    ],
)
def test_a_damaged_archive_is_a_sentence(toy, damage):
    raw = damage(archive(toy))
    with pytest.raises(LmamError, match=r"dataset\.npz|not give|gathered") as error:
        catalogue.load(rewrite(toy, raw))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"label": None}, "label"),
        ({"label": np.array([0.5, 1] * 3)}, "a label is no whole number"),
        ({"label": np.array([0, 7] * 3)}, "a label lies outside 0..1"),
        ({"label": np.zeros((6, 2), int)}, "2 speakers for 2 utterances"),
        ({"label": np.array(["a"] * 6)}, "dataset.json says"),
        ({"label": np.array([{}] * 6, object)}, "allow_pickle"),
        ({"speaker": np.zeros(5, int)}, "of different lengths"),
        ({"speaker": np.array(["a"] * 6)}, "speaker does not hold real numbers"),
        ({"text_words4": np.ones((6, 4), complex)}, "text does not hold real numbers"),
        ({"text_words4": np.ones((7, 4))}, "of different lengths"),
        ({"text_words4": np.ones(6)}, "dataset.json says"),
        ({"text_words4": np.full((6, 4), np.nan)}, "holds NaN or infinity"),
        ({"text_words4": np.full((6, 4), 1e300)}, "holds NaN or infinity"),
        ({"utt_dialogue": np.array([0, 1, 0, 1, 2, 2])}, "not in the order"),
        ({"utt_dialogue": np.array([0, 0, 1, 1, 2, 9])}, "not in the order"),
        ({"dialogue_split": np.array([0, 0, -1])}, "none of three splits"),
        ({"dialogue_split": np.array([0, 0, 3])}, "none of three splits"),
        ({"dialogue_id": np.array(["a", "a", "c"])}, "two conversations are called 'a'"),
        ({"classes": np.zeros((0,), "U1")}, None),
        ({"dialogue_split": np.array([2, 2, 2])}, "has no training conversations"),
    ],
)
def test_arrays_that_do_not_go_together(toy, changed, sentence):
    name = rewrite(toy, archive(toy, **changed))
    if sentence is None:
        assert catalogue.load(name).classes is None
        return
    with pytest.raises(LmamError, match=sentence):
        catalogue.load(name)


FIELDS = json.loads('{"text": {"words4": {"array": "text_words4", "width": 4, "missing": 0, "weights": ""}}}')


@pytest.mark.parametrize(
    "described",
    [
        {"feature_sets": {}},
        {"feature_sets": []},
        {"feature_sets": {"text": {}}},
        {"feature_sets": {"smell": FIELDS["text"]}},
        *(
            {"feature_sets": {"text": {name: FIELDS["text"]["words4"]}}}
            for name in ("", "a=b", "a,b", "<img src=x>", "$x$", "x" * 65, "ä", "../x")
        ),
        *(
            {"feature_sets": {"text": {"words4": FIELDS["text"]["words4"] | {key: []}}}}
            for key in ("array", "width", "missing", "weights")
        ),
        {"feature_sets": {"text": {"words4": {}}}},
        {"sha256": "../../.."},
        {"sha256": None},
        {"bytes": "many"},
        {"name": ["toy"]},
        {"about": None},
        {"licence": 3},
        {"notes": "none"},
        {"format": [[[]]]},
        {"format": 2},
    ],
)
def test_a_description_with_another_field_is_a_sentence(toy, described):
    name = rewrite(toy, **described)
    for ask in (catalogue.entry, catalogue.load, catalogue.label, catalogue.available):
        with pytest.raises(LmamError, match=r"dataset\.json .*build the dataset again") as error:
            ask(name)
        assert len(str(error.value)) < 400 + len(name)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"3",
        b"[]",
        b'{"format": 1}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"format": 1e999}',
        b"<html>",
        b"\0" * 99,
    ],
)
def test_a_description_that_is_none_is_a_sentence(toy, content):
    (toy / "dataset.json").write_bytes(content)
    with pytest.raises(LmamError, match=r"dataset\.json"):
        catalogue.load(str(toy))


def test_a_description_without_end_is_not_read(toy):
    os.truncate(toy / "dataset.json", DESCRIPTION_BYTES + 1)
    with pytest.raises(LmamError, match=r"dataset\.json has 67,108,865 bytes and may have 67,108,864"):
        catalogue.load(str(toy))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("~nouser/talks", "'~nouser/talks' is not a path"),
        ("x" * 5000, "There is no dataset"),
        ("/" + "x" * 5000, "is not a path .File name too long"),
        ("talks/" * 3000, "is not a path .File name too long"),
        ("a\0b/c", "is not a path|is not a dataset"),
        ("", "There is no dataset ''"),
        ("\ud800", "There is no dataset"),
        (None, "named by a string; got None"),
        (3, "named by a string; got 3"),
        (["mosi"], "named by a string"),
        ("MOSI", "did you mean 'mosi'"),
        (" Iemocap ", "did you mean 'iemocap'"),
        ("CMU-MOSI", "did you mean 'mosi'"),
    ],
)
def test_names_of_no_dataset(name, sentence):
    for ask in (catalogue.entry, catalogue.available, catalogue.load):
        with pytest.raises(LmamError, match=sentence) as error:
            ask(name)
        assert len(str(error.value)) < 500


def test_another_npz_beside_a_dataset_is_not_taken_for_it(toy):
    (toy / "other.npz").write_bytes(b"PK")
    assert catalogue.load(str(toy / "dataset.npz")).name == "toy"
    with pytest.raises(LmamError, match=r"other\.npz is not a dataset"):
        catalogue.load(str(toy / "other.npz"))


def test_what_cannot_be_stored(tmp_path):
    with pytest.raises(LmamError, match=r"id of the dialogue x+\.\.\. has 100,000 letters"):
        stored.write(tmp_path / "long", utterances(dialogues=["x" * 100_000, "b", "c"]))
    (tmp_path / "file").write_text("")
    with pytest.raises(LmamError, match="could not be written to"):
        stored.write(tmp_path / "file" / "below", utterances())


def test_a_move_that_fails_leaves_no_old_description_beside_new_arrays(tmp_path, monkeypatch):
    for name in ("new.npz", "new.json"):
        (tmp_path / name).write_text("old")

    def full(self, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    def rewrite():
        with stored.written(tmp_path, "new.npz", "new.json", "toy") as paths:
            for path in paths:
                path.write_text("new")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(LmamError, match=r"The toy could not .* \(No space left"):
            rewrite()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"new.npz": "old"}
    rewrite()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"new.npz": "new", "new.json": "new"}


def test_numbers_that_no_float32_holds_are_counted(tmp_path):
    x = np.arange(24, dtype=np.float64).reshape(6, 4)
    x[0, 0], x[1, 1], x[2] = -np.inf, 1e300, np.nan
    folder = stored.write(tmp_path / "toy", utterances(features={"audio": {"covarep4": x}}))
    found = stored.description(folder)
    assert found["feature_sets"]["audio"]["covarep4"]["missing"] == 3
    assert found["notes"] == [
        "2 utterances have a number in covarep4 that is infinite or beyond float32; the training mean stands there."
    ]
    first = catalogue.load(str(folder)).splits["train"][0].features["audio"]
    np.testing.assert_array_equal(first, np.tile(x[3], (2, 1)))  # the only training utterance that has all


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("{folder}", r"LMAM_DATA is '{folder}', which does not hold it"),
        ("{folder} ", r"LMAM_DATA is '{folder} ', which does not exist \(did you mean '{folder}'\?\)"),
        ('"{folder}"', r"the folder '{here}/\"{folder}\"'\), which does not exist \(did you mean '{folder}'\?\)"),
        ("'{folder}'", r"did you mean '{folder}'\?"),
        ("$HOME/data", r"the folder '{here}/\$HOME/data'\), which does not exist \(did you mean '{home}/data'\?\)"),
        ("data", r"LMAM_DATA is 'data' \(the folder '{here}/data'\), which does not exist"),
        ("../home/data", r"\(the folder '{here}/../home/data'\), which does not hold it"),
        ("~/data", r"LMAM_DATA is '~/data' \(the folder '{home}/data'\), which does not hold it"),
        ("{folder}/file", r"LMAM_DATA is '{folder}/file', which is no folder"),
        ("~nouser/data", r"'~nouser/data' is not a path"),
    ],
)
def test_the_folder_that_was_looked_into_is_named(tmp_path, monkeypatch, given, sentence):
    home, here = tmp_path / "home", tmp_path / "here"
    (home / "data").mkdir(parents=True)
    (home / "data" / "file").write_text("")
    here.mkdir()
    known = {"folder": str(home / "data"), "home": str(home), "here": str(here)}
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("LMAM_DATA", given.format(**known))
    monkeypatch.setattr(paths, "CACHE", tmp_path / "cache")
    with pytest.raises(LmamError, match=sentence.format(**known)):
        catalogue.load("mosi")


def test_a_pointer_in_place_of_a_file_of_the_catalogue_is_called_one(tmp_path, monkeypatch):
    monkeypatch.setenv("LMAM_DATA", str(tmp_path))
    (tmp_path / "mosi.npz").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4862500\n")
    with pytest.raises(LmamError, match=r"mosi\.npz is not the file .*: it is a Git LFS pointer .* `git lfs pull`"):
        catalogue.load("mosi", modalities=["text"])
