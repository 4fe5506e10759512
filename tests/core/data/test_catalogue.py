"""Finding, verifying and choosing: every mistake ends in one sentence that says what to do."""

import hashlib
import re
from dataclasses import replace

import numpy as np
import pytest

from lmam_core import paths
from lmam_core.batch import Conversation
from lmam_core.data import catalogue
from lmam_core.data.dataset import Dataset
from lmam_core.data.sources.base import Extra, Record, combined
from lmam_core.errors import LmamError

NAMES = catalogue.names()
SYNTHETIC = [name for name in NAMES if catalogue.entry(name).kind == "synthetic"]


def build(arrays, features):
    x = {m: arrays[f"{m}_{chosen}"] for m, chosen in features.items()}
    c = Conversation("c", x, np.zeros(3, np.int64), np.zeros(3, np.int64))
    return Dataset("toy", features, ("only",), {"train": [c], "test": [c]}, "toy", "A toy.")


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A catalogue with one real dataset whose file lies in the folder of LMAM_DATA; returns the file's path."""
    path = tmp_path / "toy.npz"
    sets = {"text": ["a", "b"], "audio": ["c"], "nonverbal": ["d"]}
    np.savez(path, **{f"{m}_{s}": np.ones((3, 2), np.float32) for m, names in sets.items() for s in names})
    monkeypatch.setenv("LMAM_DATA", str(tmp_path))
    monkeypatch.setattr(paths, "CACHE", tmp_path / "cache")
    describe(monkeypatch, path, {m: {s: f"{m}_{s}" for s in names} for m, names in sets.items()})
    return path


def describe(monkeypatch, path, feature_sets):
    """Make the catalogue expect just what stands in `path`."""
    content = path.read_bytes()
    record = Record(
        "toy",
        "real",
        "A toy.",
        "",
        "",
        feature_sets,
        hashlib.sha256(content).hexdigest(),
        build,
        path.name,
        len(content),
    )
    monkeypatch.setattr(catalogue, "_RECORDS", (record,))


def test_names_are_unique_and_real_ones_come_first():
    kinds = [catalogue.entry(name).kind for name in NAMES]
    assert kinds == sorted(kinds)
    assert set(kinds) == {"real", "synthetic"}
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_record_is_complete(name):
    record = catalogue.entry(name)
    assert record.name == name
    assert record.about.endswith(".")
    assert record.missing
    assert record.licence
    assert re.fullmatch("[0-9a-f]{64}", catalogue.fingerprint(name))
    assert (record.kind == "real") == (record.file is not None) == bool(record.sources)
    for source in (*record.sources, *(record.extra.sources if record.extra else ())):
        assert re.fullmatch("[0-9a-f]{40}", source.commit)
        assert re.fullmatch("[0-9a-f]{64}", source.sha256)
        assert source.url.startswith("https://github.com/")


def test_feature_sets_and_their_defaults():
    described = {name: {m: list(sets) for m, sets in catalogue.entry(name).feature_sets.items()} for name in NAMES}
    assert described["mosi"] == {"text": ["minilm384", "cnn100"], "audio": ["opensmile73"], "video": ["cnn3d100"]}
    assert described["iemocap"] == {
        "text": ["minilm384", "glove200"],
        "audio": ["gemaps47", "librosa8", "praat8"],
        "nonverbal": ["nonverbal11"],
    }
    assert described["meld"] == {"text": ["minilm384", "glove200"], "audio": ["praat8"]}
    for name in SYNTHETIC:
        assert described[name] == {"text": ["synthetic100"], "audio": ["synthetic100"], "video": ["synthetic512"]}


def test_unknown_dataset_is_guessed():
    with pytest.raises(LmamError, match=r"no dataset 'iemocapp' \(did you mean 'iemocap'\?\); the datasets are mosi, "):
        catalogue.load("iemocapp")
    with pytest.raises(LmamError, match="no dataset 'xyz'; the datasets are"):
        catalogue.available("xyz")


def test_load_takes_text_audio_video_and_first_feature_sets(toy):
    assert catalogue.available("toy")
    assert catalogue.load("toy").feature_sets == {"text": "a", "audio": "c"}
    assert catalogue.load("toy", {"text": "b"}).feature_sets == {"text": "b", "audio": "c"}
    named = catalogue.load("toy", modalities=["nonverbal", "text"])
    assert list(named.widths) == ["text", "nonverbal"]


def test_choices_that_a_dataset_lacks(toy):
    with pytest.raises(LmamError, match="toy has no text features 'bert'; it has a, b"):
        catalogue.load("toy", {"text": "bert"})
    with pytest.raises(LmamError, match="toy has no modality 'video'; it has text, audio, nonverbal"):
        catalogue.load("toy", modalities=["text", "video"])
    with pytest.raises(LmamError, match="toy has no modality 'smell'"):
        catalogue.load("toy", {"smell": "rose"})
    with pytest.raises(LmamError, match="Features are chosen for nonverbal, but only text, audio would be loaded"):
        catalogue.load("toy", {"nonverbal": "d"})
    with pytest.raises(LmamError, match="At least one modality is needed; toy has"):
        catalogue.load("toy", modalities=[])


def test_missing_file_is_named(toy, monkeypatch):
    toy.unlink()
    assert not catalogue.available("toy")
    with pytest.raises(
        LmamError, match=r"needs the file toy\.npz \([\d,]+ bytes, .* LMAM_DATA is '.*', which does not"
    ):
        catalogue.load("toy")
    monkeypatch.delenv("LMAM_DATA")
    with pytest.raises(LmamError, match="LMAM_DATA is not set"):
        catalogue.load("toy")


def test_cache_of_the_repository_is_the_second_place(toy, monkeypatch):
    (toy.parent / "cache").mkdir()
    toy.rename(toy.parent / "cache" / "toy.npz")
    assert catalogue.available("toy")
    monkeypatch.delenv("LMAM_DATA")
    assert catalogue.load("toy").name == "toy"


def test_truncated_file(toy):
    size = toy.stat().st_size
    toy.write_bytes(toy.read_bytes()[: size // 2])
    assert catalogue.available("toy"), "a damaged file is reported by load, not taken for a missing one"
    with pytest.raises(LmamError, match=f"it is truncated, with {size // 2:,} bytes .* where {size:,} bytes"):
        catalogue.load("toy")


def test_another_file_under_the_same_name(toy):
    toy.write_bytes(toy.read_bytes()[:-1] + b"!")
    found = hashlib.sha256(toy.read_bytes()).hexdigest()[:12]
    expected = catalogue.fingerprint("toy")[:12]
    with pytest.raises(
        LmamError, match=rf"another file .* sha256 {found}\.\.\. where .* {expected}\.\.\. were expected"
    ):
        catalogue.load("toy")


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 cut short"])
def test_unreadable_archive(toy, monkeypatch, content):
    toy.write_bytes(content)
    describe(monkeypatch, toy, {"text": {"a": "text_a"}})
    with pytest.raises(LmamError, match=r"toy\.npz cannot be read as an npz archive"):
        catalogue.load("toy")


def test_pickles_are_refused(toy, monkeypatch):
    np.savez(toy, text_a=np.array([{"a": 1}], dtype=object))
    describe(monkeypatch, toy, {"text": {"a": "text_a"}})
    with pytest.raises(ValueError, match="allow_pickle=False"):
        catalogue.load("toy")


@pytest.fixture
def two(toy, monkeypatch):
    """The toy with its audio `e` in an additional file beside it; returns that file's path."""
    path = toy.parent / "toy_extra.npz"
    np.savez(path, audio_e=np.full((3, 4), 2, np.float32), text_a=np.zeros((3, 9), np.float32))
    content = path.read_bytes()
    record = catalogue.entry("toy")
    extra = Extra(path.name, len(content), hashlib.sha256(content).hexdigest(), ("audio_e",), ())
    sets = record.feature_sets | {"audio": {"e": "audio_e", "c": "audio_c"}}
    monkeypatch.setattr(catalogue, "_RECORDS", (replace(record, feature_sets=sets, extra=extra),))
    return path


def test_additional_file_is_read_where_one_of_its_arrays_is_asked_for(two):
    record = catalogue.entry("toy")
    assert catalogue.available("toy")
    assert catalogue.absent("toy") == []
    both = catalogue.load("toy")
    assert both.widths == {"text": 2, "audio": 4}, "an array of both files is taken from the first"
    assert both.sha256 == catalogue.fingerprint("toy") == combined([record.sha256, record.extra.sha256])
    first = catalogue.load("toy", modalities=["text"])
    assert first.sha256 == catalogue.fingerprint("toy", modalities=["text"]) == record.sha256
    other = catalogue.load("toy", {"audio": "c"})
    assert other.sha256 == catalogue.fingerprint("toy", {"audio": "c"}) == record.sha256
    assert len({both.sha256, record.sha256, record.extra.sha256}) == 3


def test_missing_additional_file_is_named_only_where_it_is_wanted(two, monkeypatch):
    two.unlink()
    assert not catalogue.available("toy")
    assert catalogue.absent("toy") == ["toy_extra.npz"]
    with pytest.raises(LmamError, match=r"The dataset toy needs the file toy_extra\.npz \([\d,]+ bytes, "):
        catalogue.load("toy")
    assert catalogue.load("toy", modalities=["text"]).widths == {"text": 2}
    assert catalogue.load("toy", {"audio": "c"}).widths == {"text": 2, "audio": 2}


def test_damaged_additional_file(two):
    two.write_bytes(two.read_bytes()[:-1] + b"!")
    with pytest.raises(LmamError, match=r"toy_extra\.npz is not the file that the catalogue describes: it is another"):
        catalogue.load("toy")
    assert catalogue.load("toy", modalities=["text"]).widths == {"text": 2}


@pytest.mark.parametrize("name", ["meld", "iemocap"])
def test_missing_file_of_a_dataset_that_can_be_fetched_says_how(name, tmp_path, monkeypatch):
    monkeypatch.setenv("LMAM_DATA", str(tmp_path))
    monkeypatch.setattr(paths, "CACHE", tmp_path / "cache")
    assert catalogue.absent(name) == [f"{name}.npz", f"{name}_extra.npz"]
    with pytest.raises(LmamError, match=rf"needs the file {name}\.npz .*; `lmam data fetch {name}` gathers it\."):
        catalogue.load(name)
    record = catalogue.entry(name)
    content = b"the first file"
    (tmp_path / record.file).write_bytes(content)
    monkeypatch.setattr(
        catalogue, "_RECORDS", (replace(record, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content)),)
    )
    with pytest.raises(LmamError, match=rf"needs the file {name}_extra\.npz .*; `lmam data fetch {name}` gathers it"):
        catalogue.load(name, {"audio": "praat8"}, ["audio"])


@pytest.mark.parametrize("name", SYNTHETIC)
def test_synthetic_sets_load_everywhere(name, monkeypatch):
    monkeypatch.delenv("LMAM_DATA", raising=False)
    assert catalogue.available(name)
    d = catalogue.load(name, modalities=["video", "text"])
    assert d.widths == {"text": 100, "video": 512}
    assert d.synthetic
    assert d.sha256 == catalogue.fingerprint(name)
    assert "generated" in d.about
