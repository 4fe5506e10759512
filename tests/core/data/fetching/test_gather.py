"""Recipes: made-up files in the layout of the originals become the right arrays; real ones the recorded bytes."""

import csv
import json
import os
import pickle
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from lmam_core.data import catalogue
from lmam_core.data.fetching import fetch
from lmam_core.data.fetching.gather import EMBEDDING, RECIPES
from lmam_core.data.fetching.recipe import content_sha256, sampled, write
from lmam_core.data.fetching.recipes import diginetica, glove, iemocap, meld, mosi, mustard, pom
from lmam_core.data.sources.praat8 import MEASURES
from lmam_core.errors import LmamError

ALL = RECIPES | {r.extra.name: r.extra for r in RECIPES.values() if r.extra is not None}


def table(path, rows, header=None, quoted=False):
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL)
        writer.writerows([header, *rows] if header else rows)
    return path


def pickled(path, value):
    path.write_bytes(pickle.dumps(value))
    return path


@pytest.fixture
def folder(tmp_path):
    """A folder whose files are looked up by name, as `Originals` are."""

    class Folder(dict):
        def __missing__(self, name):
            return tmp_path / name

    return Folder()


@pytest.fixture
def words(folder, monkeypatch):
    """Three known words: `good` (1, ...), `bad` (3, ...) and `?` (8, ...), in a pickle of a class that is not ours."""
    module = types.ModuleType("create_vocab")
    module.Vocabulary = type("Vocabulary", (), {"__module__": "create_vocab"})
    monkeypatch.setitem(sys.modules, "create_vocab", module)
    vocabulary = module.Vocabulary()
    vocabulary.word2index = {"<PAD>": 0, "good": 1, "bad": 2, "?": 3}
    pickled(folder["vocab.pkl"], vocabulary)
    monkeypatch.delitem(sys.modules, "create_vocab")
    pickled(folder["saved_200d_word_embeddings.pkl"], np.repeat([[100.0], [1.0], [3.0], [8.0]], 200, axis=1))


def test_glove_means_over_known_words(folder, words):
    texts = ["Good, BAD weather", "good?", "unheard-of", ""]
    mean, known = glove.mean_vectors(texts, folder, np.float64)
    assert mean.dtype == known.dtype == np.float32
    assert mean.shape == (4, 200)
    np.testing.assert_array_equal(mean[:, 0], [2, 4.5, 0, 0])
    np.testing.assert_array_equal(known, np.float32([2 / 3, 1, 0, 0]))


def test_vocabulary_may_name_no_other_class(folder):
    pickled(folder["vocab.pkl"], Path("x"))
    with pytest.raises(LmamError, match=r"vocab\.pkl asks for pathlib\."):
        glove.mean_vectors(["good"], folder, np.float32)


def test_mosi(folder):
    """Two videos; the rows of the tables stand in the order of `text_*.csv`, the arrays in that of the segments."""
    table(
        folder["transcripts.csv"],
        [["b_x_1", "ONE", "9", "1"], ["b_x_10", "TEN", "9", "0"], ["b_x_2", "TWO", "9", "1"], ["a_1", "A", "9", "0"]],
        quoted=True,
    )
    table(folder["text_train.csv"], [[2, 0.5], [1, 0.5], [0, 0.5]], quoted=True)
    table(folder["text_test.csv"], [[3, 0.5]], quoted=True)
    for m in ("text", "audio", "video"):
        table(folder[f"{m}_train0.csv"], [[0.2, 2, 1], [0.1, 10, 0], [0.3, 1, 1]], quoted=True)
        table(folder[f"{m}_test0.csv"], [[0.7, 7, 0]], quoted=True)
    ids = {"a": ["a_1"], "b_x": ["b_x_1", "b_x_2", "b_x_10"]}
    labels = {"a": [np.float64(-3)], "b_x": [np.float64(1.5), np.float64(0.5), np.float64(-1)]}
    empty = {v: [""] * len(u) for v, u in ids.items()}
    pickled(folder["CMUMOSI_features_raw_2way.pkl"], [ids, labels, empty, empty, {"z"}, {"b_x"}, {"a"}])

    found = mosi.arrays(folder)
    assert list(found) == list(mosi.RECIPE.sha256)[:-1]
    assert found["video_id"].tolist() == ["b_x", "a"]
    assert found["utt_id"].tolist() == ["b_x_1", "b_x_2", "b_x_10", "a_1"]
    assert found["segment"].tolist() == [1, 2, 10, 1]
    assert found["utt_video"].tolist() == [0, 0, 0, 1]
    assert found["utt_split"].tolist() == [0, 0, 0, 1]
    assert found["video_split"].tolist() == [0, 1]
    assert found["video_standard_split"].tolist() == [1, 2]
    assert found["label"].tolist() == [1.5, 0.5, -1, -3]
    assert found["label_binary"].tolist() == [1, 1, 0, 0]
    assert found["transcript"].tolist() == ["ONE", "TWO", "TEN", "A"] == mosi.texts(folder, found)
    for name in ("text100", "audio73", "video100"):
        np.testing.assert_array_equal(found[name], np.float32([[0.3, 1], [0.2, 2], [0.1, 10], [0.7, 7]]))


def test_meld(folder, words):
    header = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime"
    clock = ["00:00:01,500", "01:02:03,004"]
    rows = {
        "train": [
            [1, "“It’s good…”", "Zoe", "joy", "positive", 0, 0, 1, 2, *clock],
            [2, "bad — bad", "Al", "anger", "negative", 0, 2, 1, 2, *clock],
            [3, "good?", "Zoe", "neutral", "neutral", 7, 0, 3, 4, *clock],
        ],
        "dev": [[1, "‘x’", "Mo", "fear", "negative", 7, 0, 5, 6, *clock]],
        "test": [[1, "é", "Al", "sadness", "negative", 0, 1, 9, 8, *clock]],
    }
    for part, lines in rows.items():
        table(folder[f"{part}_sent_emo.csv"], lines, header.split(","))

    found = meld.arrays(folder)
    assert list(found) == list(meld.RECIPE.sha256)[:-1]
    assert found["dialogue_split"].tolist() == [0, 0, 1, 2]
    assert found["dialogue_orig_id"].tolist() == [0, 7, 7, 0]
    assert found["dialogue_start"].tolist() == [0, 2, 3, 4]
    assert found["dialogue_len"].tolist() == [2, 1, 1, 1]
    assert found["utt_dialogue"].tolist() == [0, 0, 1, 2, 3]
    assert found["utt_id"].tolist() == [0, 2, 0, 0, 1]
    assert found["label"].tolist() == [4, 6, 0, 2, 3]
    assert found["sentiment"].tolist() == [1, 2, 0, 2, 2]
    assert found["speaker_names"].tolist() == ["Al", "Mo", "Zoe"]
    assert found["speaker"].tolist() == [2, 0, 2, 1, 0]
    assert found["text"].tolist() == ['"It\'s good..."', "bad - bad", "good?", "'x'", "é"] == meld.texts(folder, found)
    assert found["episode"].tolist() == [2, 2, 4, 6, 8]
    np.testing.assert_array_equal(found["start_time"], np.float32([1.5] * 5))
    np.testing.assert_array_equal(found["end_time"], np.float32([3723.004] * 5))
    # "it", "s" and three dots are words that the table of vectors does not know
    np.testing.assert_array_equal(found["text_glove200_coverage"], np.float32([1 / 6, 1, 1, 0, 0]))
    np.testing.assert_array_equal(found["text_glove200_mean"][:, 5], [1, 3, 4.5, 0, 0])


def test_iemocap(folder, words):
    """Two dialogues of 3 and 1 utterances, of six recordings; the tables of `nonverbal11` lack one that is known."""
    script, impro = "Ses05F_script01_1", "Ses03F_impro07"
    absent = f"{impro}_M029"
    ids = {script: [f"{script}_M000", f"{script}_F000"], impro: [f"{impro}_F000", absent]}
    values = [ids, {script: [3, 0], impro: [5, 1]}, {script: ["M", "F"], impro: ["F", "M"]}]
    spoken = {script: ["good", "bad"], impro: ["bad ?", "unheard-of"]}
    pickled(folder["IEMOCAP_features_raw_6way.pkl"], [*values, spoken, {impro}, {script}])
    recordings = [f"{impro}_F000", absent, f"{impro}_M030", f"{script}_F000", f"{script}_M000", "Ses06F_impro01_F000"]
    np.save(folder["feat_ws_3.npy"], np.arange(6.0)[:, None] + np.zeros(47))
    times = [[r, i, i + 0.5, "neu"] for i, r in enumerate(recordings)]
    table(folder["df_iemocap.csv"], times[::-1], ["wav_file", "start_time", "end_time", "emotion"])
    of_librosa = [[r, 7, *[i] * 8] for i, r in enumerate(recordings) if r != f"{script}_M000"]
    table(folder["audio_features.csv"], of_librosa, ["wav_file", "label", *iemocap.LIBROSA])
    # improvised ones first: F000 and M030 of session 3, F000 of session 6; then the scripted ones of session 5
    table(folder["IEMOCAP_GP.csv"], [[i] * 3 for i in (10, 12, 15, 13, 14)])
    table(folder["IEMOCAP_exDN.csv"], [[-i] * 8 for i in (10, 12, 15, 13, 14)])

    found = iemocap.arrays(folder)
    assert list(found) == list(iemocap.RECIPE.sha256)[:-1]
    assert found["dialogue_id"].tolist() == [impro, script]
    assert found["dialogue_split"].tolist() == [0, 1]
    assert found["dialogue_start"].tolist() == [0, 2]
    assert found["dialogue_len"].tolist() == [2, 2]
    assert found["utt_id"].tolist() == [*ids[impro], *ids[script]]
    assert found["utt_dialogue"].tolist() == [0, 0, 1, 1]
    assert found["utt_split"].tolist() == [0, 0, 1, 1]
    assert found["label"].tolist() == [5, 1, 3, 0]
    assert found["speaker_dyad"].tolist() == [1, 0, 0, 1]
    assert found["speaker_actor"].tolist() == [0, 1, 3, 2]
    assert found["start_time"].tolist() == [0, 1, 4, 3]
    assert found["audio_gemaps47"][:, 46].tolist() == [0, 1, 4, 3]
    assert found["audio_librosa8"][:, 7].tolist() == [0, 1, 0, 3]
    assert found["audio_librosa8_mask"].tolist() == [True, True, False, True]
    assert found["nonverbal11"][:, 2].tolist() == [10, 0, 14, 13]
    assert found["nonverbal11"][:, 3].tolist() == [-10, 0, -14, -13]
    assert found["nonverbal11_mask"].tolist() == [True, False, True, True]
    assert found["text_glove200_mean"][:, 0].tolist() == [5.5, 0, 1, 3]
    assert iemocap.texts(folder, found) == ["bad ?", "unheard-of", "good", "bad"]
    assert not any(np.isin("good", a) for a in found.values() if a.dtype.kind == "U"), "no transcript in the result"


def test_meld_extra(folder):
    """The measures stand in any order, one clip has none, one is of no utterance, and cells are empty."""
    header = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime"
    rows = {"train": [(0, 0), (0, 2), (7, 0)], "dev": [(0, 0)], "test": [(0, 1)]}
    for part, ids in rows.items():
        lines = [[1, "x", "Al", "joy", "positive", d, u, 1, 1, "", ""] for d, u in ids]
        table(folder[f"{part}_sent_emo.csv"], lines, header.split(","))
    measures = {
        "train": [["dia7_utt0.wav", 3, 3, 3, "", 0.0, 0.0, 3, 3], ["dia0_utt2.wav", *[2] * 6, "", 2]],
        "dev": [["dia0_utt9.wav", *[9] * 8], ["dia0_utt0.wav", *[4] * 8]],
        "test": [["dia0_utt1.wav", *[0.1] * 8]],
    }
    for part, lines in measures.items():
        table(folder[f"meld_{part}_audio_features.csv"], lines, ["filename", *MEASURES])

    found = meld.extra(folder)
    assert list(found) == list(meld.EXTRA.sha256)
    assert found["utt_split"].tolist() == [0, 0, 0, 1, 2]
    assert found["utt_dialogue_id"].tolist() == [0, 0, 7, 0, 0]
    assert found["utt_id"].tolist() == [0, 2, 0, 0, 1]
    assert found["audio_praat8_mask"].tolist() == [False, True, True, True, True]
    nan = np.nan
    expected = [[nan] * 8, [2] * 6 + [nan, 2], [3, 3, 3, nan, 0, 0, 3, 3], [4] * 8, [0.1] * 8]
    np.testing.assert_array_equal(found["audio_praat8"], np.float32(expected))
    table(folder["meld_test_audio_features.csv"], [["dia0.wav", *[1] * 8]], ["filename", *MEASURES])
    with pytest.raises(LmamError, match=r"'dia0\.wav' is not named as MELD's clips are"):
        meld.extra(folder)


def test_iemocap_extra(folder):
    """Speakers of a dialogue count their turns each from 0, so that a turn is known by its speaker as well."""
    script, impro = "Ses05F_script01_1", "Ses03F_impro07"
    ids = {script: [f"{script}_M000", f"{script}_F000"], impro: [f"{impro}_F012"]}
    pickled(folder["IEMOCAP_features_raw_6way.pkl"], [ids, {}, {}, {}, {impro}, {script}])
    rows = [(script, 0, "F", 1), (impro, 12, "F", 2), (script, 0, "M", 3), (script, 1, "M", 9)]
    names = ["video_id", "segment_id", "emotion", "gender", "mode", "text", *MEASURES]
    lines = [[video, number, "neu", speaker, "train", "x, y", *[x] * 8] for video, number, speaker, x in rows]
    table(folder["iemocap_audio_features.csv"], lines, names)

    found = iemocap.extra(folder)
    assert list(found) == list(iemocap.EXTRA.sha256)
    assert found["utt_id"].tolist() == [*ids[impro], *ids[script]]
    assert found["utt_split"].tolist() == [0, 1, 1]
    assert found["audio_praat8"][:, 7].tolist() == [2, 3, 1]
    assert found["audio_praat8_mask"].all()


def test_pom(folder):
    expected = {}
    for split, n in (("train", 3), ("valid", 2), ("test", 1)):
        for kind, shape in pom.SHAPES.items():
            x = np.random.default_rng(n).normal(size=(n, *shape))
            folder[f"{kind}_{split}.h5"].write_bytes(b"\x89HDF".ljust(pom.HEADER, b"\0") + x.tobytes())
            expected[f"{'label' if kind == 'y' else kind}_{split}"] = x.astype(np.float32)
    found = pom.arrays(folder)
    assert list(found) == list(pom.RECIPE.sha256)
    for name, x in expected.items():
        np.testing.assert_array_equal(found[name], x)
    folder["y_test.h5"].write_bytes(b"\x89HDF")
    with pytest.raises(LmamError, match=r"y_test\.h5 is not the published file"):
        pom.arrays(folder)


def test_diginetica(folder):
    pickled(folder["all_train_seq.txt"], [[1, 2], [3], [1, 4, 5]])
    pickled(folder["test.txt"], ([[2, 3], [2]], [4, 3]))
    found = diginetica.arrays(folder)
    assert {name: a.tolist() for name, a in found.items()} == {
        "train_items": [1, 2, 3, 1, 4, 5],
        "train_offsets": [0, 2, 3, 6],
        "test_items": [2, 3, 2],
        "test_offsets": [0, 2, 3],
        "test_label": [4, 3],
    }
    assert {a.dtype for a in found.values()} == {np.dtype(np.int32)}
    assert list(found) == list(diginetica.RECIPE.sha256)


def test_mustard(folder):
    pickled(folder["glove_dict_3.p"], {"it": np.full(300, 1.0), "?": np.full(300, 2.0)})
    pickled(folder["glove_dict_4.p"], {"it": np.full(300, 1.0), "'s": np.full(300, 3.0)})
    pickled(folder["split_indices.p"], [([1], [0]), ([0], [1])])
    told = {
        "1_1": {"utterance": "It's IT?", "context": ["What is it?", "Nothing"], "sarcasm": True, "show": "A"},
        "1_2": {"utterance": "?", "context": [], "sarcasm": False, "show": "B"},
    }
    folder["sarcasm_data.json"].write_text(json.dumps(told))
    found = mustard.arrays(folder)
    assert found["words"].tolist() == ["", "'s", "?", "it"]
    assert {
        name: found[name].tolist() for name in ("label", "fold", "segment_offsets", "sentence_offsets", "word")
    } == {
        "label": [1, 0],
        "fold": [0, 1],
        "segment_offsets": [0, 3, 4],
        "sentence_offsets": [0, 2, 3, 7, 8],
        "word": [3, 2, 0, 3, 1, 3, 2, 2],
    }
    assert found["text_glove300"][:, 0].tolist() == [0, 3, 2, 1]
    assert list(found) == list(mustard.RECIPE.sha256)


def test_content_is_type_shape_and_values():
    x = np.arange(6, dtype=np.int32)
    others = [x.astype(np.int64), x.reshape(2, 3), x + 1, x.astype(np.float32), x[:5]]
    assert len({content_sha256(a) for a in (x, *others)}) == 6
    assert content_sha256(np.arange(12, dtype=np.int32)[::2] // 2) == content_sha256(x)


def test_npz_is_the_same_bytes_each_time(tmp_path):
    arrays = {"b": np.arange(1000), "a": np.array(["x"])}
    for name in ("one.npz", "two.npz"):
        write(tmp_path / "new" / name, arrays)
    assert (tmp_path / "new" / "one.npz").read_bytes() == (tmp_path / "new" / "two.npz").read_bytes()
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["one.npz", "two.npz"]


@pytest.mark.parametrize("name", ALL)
def test_every_recipe_is_complete(name):
    recipe = ALL[name]
    assert len({Path(f.path).name for f in recipe.files}) == len(recipe.files)
    assert {f.repository for f in recipe.files} == set(recipe.licences)
    assert (EMBEDDING in recipe.sha256) == (recipe.texts is not None) == (len(recipe.sample) == 4)


def test_every_real_dataset_of_the_catalogue_can_be_fetched():
    assert {n for n in catalogue.names() if catalogue.entry(n).file} <= set(RECIPES)


def recorded(name):
    """The npz that the recipe was made for."""
    path = Path(os.environ.get("LMAM_DATA", "")) / f"{name}.npz"
    if not path.is_file():
        pytest.skip(f"LMAM_DATA does not hold {name}.npz")
    return path


@pytest.mark.real_data
@pytest.mark.parametrize("name", ALL)
def test_recipe_records_the_arrays_of_the_catalogue(name):
    with np.load(recorded(name), allow_pickle=False) as arrays:
        kept = [n for n in arrays if n in ALL[name].sha256]  # an additional file holds more than a dataset reads
        assert kept == list(ALL[name].sha256)
        assert kept == list(arrays) or name not in RECIPES
        assert set(ALL[name].states(arrays).values()) == {"exact"}
        if EMBEDDING in arrays:
            np.testing.assert_allclose(sampled(arrays[EMBEDDING]), ALL[name].sample, atol=1e-4)


@pytest.mark.real_data
@pytest.mark.parametrize("name", ALL)
def test_originals_give_the_recorded_arrays(name):
    """Every array but the embedding, byte for byte, from the published files themselves."""
    place = os.environ.get("LMAM_SOURCES", "")
    if not Path(place or "nowhere").is_dir():
        pytest.skip("LMAM_SOURCES names no folder with the original files, as OWNER/REPOSITORY/COMMIT/PATH")
    recipe = ALL[name]
    missing = [fetch.key(f) for f in recipe.files if not (Path(place) / fetch.key(f)).is_file()]
    if missing:
        pytest.skip(f"LMAM_SOURCES lacks {missing[0]}")
    found = recipe.arrays({Path(f.path).name: Path(place) / fetch.key(f) for f in recipe.files})
    assert {n for n, state in recipe.states(found).items() if state != "exact"} <= {EMBEDDING}
    assert set(found) == set(recipe.sha256) - {EMBEDDING}
