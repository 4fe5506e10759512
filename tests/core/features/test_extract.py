"""The contract of `extract`, for every extractor: shapes, failures one by one, the cache, where weights come from."""

import io
import pickle
import sys
import time

import numpy as np
import pytest
import torch

from lmam_core.errors import LmamError
from lmam_core.features import cache as store
from lmam_core.features import registry
from lmam_core.features.extract import EXTRACTORS, Extracted, extract, ready
from lmam_core.features.sample.sample import write_mp4, write_wav

TEXT = [name for name, e in EXTRACTORS.items() if e.modality == "text"]
HEARD = [name for name, e in EXTRACTORS.items() if e.modality == "audio"]
SEEN = [name for name, e in EXTRACTORS.items() if e.modality == "video"]
quiet = {"progress": False, "cache": None}


def media(name: str, sample) -> list:
    folder, table = sample
    if EXTRACTORS[name].modality == "text":
        return list(table.text.unique()[:3])
    return [folder / f for f in table.file[:3]]


def test_registry_is_documented():
    assert {"minilm384", "bert100", "bert768", "roberta768", "deberta768"} <= set(TEXT)
    assert {"acoustic96", "opensmile100", "egemaps88", "is10_1582", "is13_6373"} <= set(HEARD)
    assert [name for name, e in EXTRACTORS.items() if not e.opensmile and e.modality == "audio"] == ["acoustic96"]
    assert {"cnn3d512", "clip512", "open_clip512"} <= set(SEEN)
    for name, e in EXTRACTORS.items():
        assert name == e.name
        assert name.endswith(str(e.width))
        assert e.about.endswith(".")
        assert e.weights in ("hub", "layer", "none")
    assert [e.name for e in EXTRACTORS.values() if "Section III-B" in e.paper] == [
        "bert100",
        "opensmile100",
        "cnn3d512",
    ]


@pytest.mark.parametrize("name", list(EXTRACTORS))
def test_one_row_for_each_medium(name, sample):
    if EXTRACTORS[name].opensmile:
        pytest.importorskip("opensmile")
    items = media(name, sample)
    found = extract(name, [*items, items[0]], weights=None, **quiet)
    assert found.values.shape == (4, EXTRACTORS[name].width)
    assert found.values.dtype == np.float32
    assert np.isfinite(found.values).all()
    assert found.failed == {}
    np.testing.assert_array_equal(found.values[0], found.values[3])
    assert not np.allclose(found.values[0], found.values[1], atol=1e-6)
    # The same row whatever stands beside it, whatever the batch.
    alone = extract(name, items[::-1], batch_size=1, **quiet).values[::-1]
    np.testing.assert_allclose(alone, found.values[:3], atol=2e-5, rtol=1e-4)
    kinds = {"hub": "random (tiny, seed 0)", "layer": "random (layer, seed 0): a projection, not trained"}
    assert found.weights == kinds.get(EXTRACTORS[name].weights, "none needed")
    assert found.random == (EXTRACTORS[name].weights == "hub")


def test_no_media_no_rows():
    assert extract("minilm384", [], **quiet).values.shape == (0, 384)


def test_random_numbers_of_the_caller_stay(sample):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    for name in ("bert100", "cnn3d512"):
        extract(name, media(name, sample), weights="random", **quiet)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"name": "bert512"}, "no extractor 'bert512' .did you mean 'bert\\d+'..; choose one of minilm384"),
        ({"media": "hello"}, "takes a list of text media"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"device": "cuda:7"}, "no device 'cuda:7'"),
        ({"name": "acoustic96", "weights": "random"}, "needs no weights"),
        ({"weights": "no/such/folder"}, "is not there; give minilm384 a local folder"),
    ],
)
def test_what_was_asked_wrongly_is_one_sentence(given, sentence):
    with pytest.raises(LmamError, match=sentence):
        extract(**{"name": "minilm384", "media": ["hello"], **quiet, **given})


def test_opensmile_is_an_extra_that_is_asked_for(sample, monkeypatch):
    """Where it is not installed, its sets say so and the default goes on."""
    monkeypatch.setitem(sys.modules, "opensmile", None)
    files = media("acoustic96", sample)
    for name in (name for name, e in EXTRACTORS.items() if e.opensmile):
        with pytest.raises(
            LmamError, match=rf"{name} needs openSMILE, .* not for commercial products.*take acoustic96"
        ):
            extract(name, files, **quiet)
        with pytest.raises(LmamError, match=f"{name} needs openSMILE"):
            ready(name)
    assert extract("acoustic96", files, **quiet).failed == {}


def test_what_would_be_random_is_told_beforehand():
    ready("minilm384", "random")
    ready("cnn3d512")
    with pytest.raises(LmamError, match=r"minilm384: .* is not on this machine and the hub .* `--weights random`"):
        ready("minilm384")


def test_falling_back_is_said_once_and_loudly(capsys):
    extract("minilm384", ["hello"], **quiet)
    (line,) = capsys.readouterr().err.splitlines()
    assert "hub cannot be reached" in line
    assert "no meaning" in line
    extract("minilm384", ["hello"], weights="random", **quiet)
    assert capsys.readouterr().err == ""


# Cache


def refuse(*_):
    raise AssertionError("was computed again")


def test_cached_rows_return_without_the_encoder(sample, tmp_path, monkeypatch):
    folder, table = sample
    files = [folder / f for f in table.file[:4]]
    first = extract("cnn3d512", files, cache=tmp_path, progress=False)
    monkeypatch.setattr("lmam_core.features.extract._module", refuse)
    started = time.perf_counter()
    again = extract("cnn3d512", files[::-1], cache=tmp_path, progress=False)
    assert time.perf_counter() - started < 5
    np.testing.assert_array_equal(again.values[::-1], first.values)
    assert (again.weights, again.failed) == (first.weights, {})
    assert {p.suffix for p in tmp_path.rglob("*") if p.is_file()} == {".npy"}


def test_cache_knows_content_settings_and_weights(tmp_path, monkeypatch):
    write_wav(tmp_path / "a.wav", 0.1 * np.random.default_rng(0).standard_normal(8000))
    cache = tmp_path / "cache"
    first = extract("acoustic96", [tmp_path / "a.wav"], cache=cache, progress=False).values
    (tmp_path / "a.wav").rename(tmp_path / "b.wav")
    with monkeypatch.context() as patch:
        patch.setattr("lmam_core.features.extract._module", refuse)
        same = extract("acoustic96", [tmp_path / "b.wav"], cache=cache, progress=False).values
        np.testing.assert_array_equal(same, first)  # a name is no content
        with pytest.raises(AssertionError, match="computed again"):
            extract("cnn3d512", [tmp_path / "b.wav"], cache=cache, progress=False)
        patch.setitem(store.SETTINGS, "audio", "v2")
        with pytest.raises(AssertionError, match="computed again"):
            extract("acoustic96", [tmp_path / "b.wav"], cache=cache, progress=False)
    write_wav(tmp_path / "b.wav", 0.1 * np.random.default_rng(1).standard_normal(8000))
    assert not np.allclose(extract("acoustic96", [tmp_path / "b.wav"], cache=cache, progress=False).values, first)
    rows = [store.Rows(cache, EXTRACTORS["bert100"], identity) for identity in ("tiny 0", "local 1")]
    rows[0].put("k", np.ones(100, np.float32))
    assert rows[0].get("k") is not None
    assert rows[1].get("k") is None


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", pickle.dumps([1]), None])
def test_a_damaged_row_is_computed_again(tmp_path, damage):
    extract("minilm384", ["hello"], cache=tmp_path, weights="random", progress=False)
    (path,) = tmp_path.rglob("*.npy")
    if damage is None:
        held = io.BytesIO()
        np.save(held, np.array([object()]), allow_pickle=True)
        damage = held.getvalue()
    path.write_bytes(damage)
    found = extract("minilm384", ["hello"], cache=tmp_path, weights="random", progress=False)
    assert np.isfinite(found.values).all()
    assert np.load(path).shape == (384,)


def test_rows_are_kept_as_they_come(tmp_path, monkeypatch):
    """What an interrupted run had computed is there for the next one."""
    from lmam_core.features.encoders import text

    def broken(*given):
        encode = real(*given)

        def some(texts, size):
            for k, row in enumerate(encode(texts, size)):
                if k == 2:
                    raise KeyboardInterrupt
                yield row

        return some

    real = text.encoder
    monkeypatch.setattr(text, "encoder", broken)
    with pytest.raises(KeyboardInterrupt):
        extract("minilm384", ["one", "two", "three", "four"], cache=tmp_path, weights="random", progress=False)
    assert len(list(tmp_path.rglob("*.npy"))) == 2
    assert not list(tmp_path.rglob("*.part"))


def test_a_cache_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(LmamError, match=r"cannot be written .*; give another cache, or None"):
        extract("minilm384", ["hello"], weights="random", cache=tmp_path / "file", progress=False)


def test_failures_are_not_kept(tmp_path):
    path = tmp_path / "late.wav"
    assert 0 in extract("acoustic96", [path], cache=tmp_path, progress=False).failed
    write_wav(path, np.zeros(16000))
    assert extract("acoustic96", [path], cache=tmp_path, progress=False).failed == {}


# Bad input: each alone is named, the rest is processed.


@pytest.fixture
def bad(tmp_path):
    """Files that cannot be used, by what is wrong with them, and part of the sentence that says so."""
    rng = np.random.default_rng(0)
    sound = (0.1 * rng.standard_normal(16000)).astype(np.float32)
    picture = rng.integers(0, 255, (6, 64, 64, 3), np.uint8)
    write_wav(tmp_path / "empty.wav", np.zeros(0))
    write_wav(tmp_path / "short.wav", sound[:500])
    write_mp4(tmp_path / "mute.mp4", picture, None)
    write_mp4(tmp_path / "heard.mp4", None, sound)
    write_mp4(tmp_path / "whole.mp4", picture, sound)
    (tmp_path / "broken.mp4").write_bytes((tmp_path / "whole.mp4").read_bytes()[:900])
    (tmp_path / "noise.mp4").write_bytes(rng.bytes(5000))
    (tmp_path / "nothing.mp4").write_bytes(b"")
    (tmp_path / "page.wav").write_text("<html>404</html>")
    return tmp_path


def check(found: Extracted, expected: dict[int, str]) -> None:
    assert set(found.failed) == set(expected)
    for i, part in expected.items():
        assert part in found.failed[i]
        assert found.failed[i].endswith(".")
        assert "\n" not in found.failed[i]
        assert np.isnan(found.values[i]).all()
    good = [i for i in range(len(found.values)) if i not in expected]
    assert good
    assert np.isfinite(found.values[good]).all()


def test_bad_sound_fails_alone(bad):
    files = ["empty.wav", "short.wav", "mute.mp4", "broken.mp4", "noise.mp4", "nothing.mp4", "page.wav", "gone.wav"]
    found = extract("acoustic96", [bad / f for f in [*files, "whole.mp4", "heard.mp4"]], **quiet)
    words = ["holds no sound: it lasts 0 s", "lasts 0.031 s; at least 0.1 s are needed", "no sound stream"]
    words += ["cannot be decoded"] * 3 + ["is a web page", "is not a file"]
    check(found, {i: f for i, f in enumerate(words)})
    assert all(f in found.failed[i] for i, f in enumerate(files))


def test_bad_video_fails_alone(bad):
    files = ["heard.mp4", "short.wav", "broken.mp4", "noise.mp4", "nothing.mp4", "page.wav", ".", "whole.mp4"]
    found = extract("cnn3d512", [bad / f for f in [*files, "mute.mp4"]], **quiet)
    words = ["no video stream"] * 2 + ["cannot be decoded"] * 3 + ["is a web page", "is not a file"]
    check(found, {i: f for i, f in enumerate(words)})


@pytest.mark.parametrize("name", TEXT)
def test_any_text_is_taken_and_bad_text_fails_alone(name):
    texts = ["", "   \n", 7, "\ud83d", "😀😀", "これはペンです", "مرحبا بالعالم", "e\u0301\u200d\u0000", "word " * 3000]
    found = extract(name, texts, weights="random", **quiet)
    check(found, {0: "text is empty", 1: "text is empty", 2: "7 is not a text", 3: "half of a character"})


def test_registry_lookup_is_the_same_everywhere():
    assert registry.extractor("bert100") is EXTRACTORS["bert100"]
