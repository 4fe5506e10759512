"""The builders: on arrays made up here, and on the real files where LMAM_DATA has them."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from lmam_core.data import catalogue
from lmam_core.data.sources import iemocap, meld, mosi, pom, praat8
from lmam_core.data.sources.base import speakers_by_appearance
from lmam_core.errors import LmamError


def real(name: str):
    files = catalogue.absent(name)
    there, reason = not files, f"LMAM_DATA does not hold {' and '.join(files)}"
    return [pytest.mark.real_data, pytest.mark.skipif(not there, reason=reason)]


def test_speakers_are_numbered_by_appearance():
    assert speakers_by_appearance(np.array([7, 3, 7, 9, 3])).tolist() == [0, 1, 0, 2, 1]
    assert speakers_by_appearance(np.array([5])).tolist() == [0]


def test_mosi_builder():
    arrays = {
        "video_id": np.array(["v", "w"]),
        "video_split": np.array([1, 0], np.int8),
        "utt_video": np.array([0, 0, 1], np.int16),
        "label": np.array([-3.0, 0.4, 3.0], np.float32),
        "text100": np.arange(6, dtype=np.float32).reshape(3, 2),
    }
    d = mosi.build(arrays, {"text": "cnn100"})
    assert d.classes is None
    assert [c.id for c in d.splits["train"]] == ["w"]
    (test,) = d.splits["test"]
    np.testing.assert_array_equal(test.features["text"], [[0, 1], [2, 3]])
    np.testing.assert_allclose(test.label, [-3, 0.4])
    assert not test.speaker.any()


def test_iemocap_builder_fills_missing_rows_with_the_training_mean():
    arrays = {
        "dialogue_id": np.array(["a", "b"]),
        "dialogue_split": np.array([0, 1], np.int8),
        "utt_split": np.array([0, 0, 0, 1], np.int8),
        "utt_dialogue": np.array([0, 0, 0, 1], np.int16),
        "label": np.array([0, 5, 4, 3], np.int8),
        "speaker_dyad": np.array([1, 0, 1, 1], np.int8),
        "audio_librosa8": np.array([[2.0], [0.0], [4.0], [0.0]], np.float32),
        "audio_librosa8_mask": np.array([True, False, True, False]),
    }
    d = iemocap.build(arrays, {"audio": "librosa8"})
    (train,), (test,) = d.splits["train"], d.splits["test"]
    assert train.features["audio"].ravel().tolist() == [2, 3, 4]
    assert test.features["audio"].ravel().tolist() == [3]
    assert train.speaker.tolist() == [0, 1, 0]
    assert test.speaker.tolist() == [0]
    assert [d.classes[k] for k in train.label] == ["happy", "frustrated", "excited"]


def test_meld_builder():
    arrays = {
        "dialogue_split": np.array([0, 1, 2], np.int8),
        "dialogue_orig_id": np.array([0, 0, 4], np.int16),
        "utt_dialogue": np.array([0, 0, 1, 2], np.int16),
        "label": np.array([0, 6, 1, 2], np.int8),
        "speaker": np.array([40, 12, 40, 7], np.int16),
        "text_glove200_mean": np.ones((4, 3), np.float32),
    }
    d = meld.build(arrays, {"text": "glove200"})
    assert {s: [c.id for c in cs] for s, cs in d.splits.items()} == {
        "train": ["train-0"],
        "validation": ["validation-0"],
        "test": ["test-4"],
    }
    assert d.splits["train"][0].speaker.tolist() == [0, 1]
    assert [d.classes[k] for k in d.splits["train"][0].label] == ["neutral", "anger"]


def made_pom() -> dict[str, np.ndarray]:
    """Videos as POM's file has them: the first begins with two empty steps, the second has no video at all."""
    audio, video = np.ones((2, 20, 3), np.float32), np.full((2, 20, 2), 4, np.float32)
    audio[0, :2], video[0, :3], video[1] = 0, 0, 0
    video[0, 3:, 1] = 6
    arrays = {f"{kind}_{s}": x for s in ("train", "valid", "test") for kind, x in (("audio", audio), ("video", video))}
    return arrays | {f"label_{s}": np.full((2, 17), 3, np.float32) for s in ("train", "valid", "test")}


def test_pom_builder_leaves_out_empty_steps_and_says_where_video_is_missing():
    arrays = made_pom()
    arrays["label_test"][1, 8] = 2 / 3
    d = pom.build(arrays, {"audio": "covarep43", "video": "facet41"})
    assert (d.classes, d.outputs, d.widths) == (None, 17, {"audio": 3, "video": 3})
    assert {s: [c.id for c in cs] for s, cs in d.splits.items()}["validation"] == ["validation-0", "validation-1"]
    first, second = d.splits["train"]
    assert (len(first), len(second)) == (18, 20)
    assert first.features["video"][:2].tolist() == [[4, 6, 1], [4, 6, 0]]
    assert second.features["video"].tolist() == [[4, 6, 1]] * 20, "the mean of the measured training steps, and a 1"
    assert d.splits["test"][1].label[0, 7:10].tolist() == [3, 1, 3], "what is below the scale counts as its end"
    alone = pom.build(arrays, {"video": "facet41"})
    np.testing.assert_array_equal(alone.splits["train"][0].features["video"], first.features["video"])


def test_a_trait_outside_the_scale_is_named():
    arrays = made_pom()
    arrays["label_valid"][1, 4] = 7.5
    with pytest.raises(
        LmamError, match=r"'validation', conversation 'validation-1': credible is 7\.5; traits lie from"
    ):
        pom.build(arrays, {"audio": "covarep43"})
    arrays["label_valid"][1, 4] = 0.5
    with pytest.raises(LmamError, match=r"credible is 0\.5; traits lie from 1 to 7"):
        pom.build(arrays, {"audio": "covarep43"})
    arrays["label_valid"][1, 4] = np.nan
    with pytest.raises(LmamError, match="credible is nan"):
        pom.build(arrays, {"audio": "covarep43"})
    arrays["label_valid"] = np.ones((2, 16), np.float32)
    with pytest.raises(LmamError, match=r"its label has shape \(1, 16\), expected \(1, 17\), one per trait"):
        pom.build(arrays, {"audio": "covarep43"})


@pytest.mark.parametrize("name", [pytest.param("pom", marks=real("pom"))])
def test_pom_is_the_published_one(name):
    d = catalogue.load(name)
    assert {s: len(cs) for s, cs in d.splits.items()} == {"train": 600, "validation": 100, "test": 203}
    assert d.widths == {"audio": 43, "video": 42}
    faceless = {s: sum(c.features["video"][:, 41].all() for c in cs) for s, cs in d.splits.items()}
    assert faceless == {"train": 322, "validation": 48, "test": 116}
    y = np.concatenate([c.label for c in d.splits["train"]])
    together = np.corrcoef(y.T)
    name = {t: i for i, t in enumerate(pom.TRAITS)}
    assert together[name["credible"], name["expertise"]] > 0.85, "so the order of the names fits"
    assert together[name["reserved"], name["outgoing"]] < -0.7


NAN = np.nan
MEASURED = np.array(
    [
        [1.0, 60.0, 5.0, 100.0, 0.0, 0.0, 4.0, 7.0],
        [np.e**2, 62.0, 5.0, 400.0, np.e - 1, np.e**2 - 1, NAN, 9.0],
        [1.0, 20.0, 5.0, NAN, 0.0, 0.0, 2.0, 1.0],  # nobody is heard
        [np.e, 60.0, 5.0, 150.0, 9.0, 99.0, 50.0, 5.0],  # not for training
        [7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0],  # no recording, whatever stands there
    ],
    np.float32,
)
PRESENT = np.array([True, True, True, True, False])
TRAIN = np.array([True, True, True, False, True])


def test_praat8_takes_logarithms_fills_with_training_means_and_says_where():
    x = praat8.columns(MEASURED, PRESENT, TRAIN)
    assert x.dtype == np.float32
    assert x.shape == (5, len(praat8.MEASURES) + 2)
    pitch = np.log([100, 400, 200, 150, 200])  # the mean of two logarithms is that of the geometric mean
    np.testing.assert_allclose(x[:, 0], [0, 2, 0, 1, 2 / 3], atol=1e-6)
    np.testing.assert_allclose(x[:, 3], pitch, rtol=1e-6)
    np.testing.assert_allclose(x[:, 4], [0, 1, 0.5, np.log(10), 0.5], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(x[:, 5], [0, 2, 1, np.log(100), 1], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(x[:, 6], [4, 3, 2, 50, 3])
    np.testing.assert_allclose(x[:, 1], [60, 62, 20, 60, 142 / 3], rtol=1e-6)
    assert x[:, 8].tolist() == [0, 0, 1, 0, 1]
    assert x[:, 9].tolist() == [0, 1, 0, 0, 1]


def test_meld_and_iemocap_take_praat8_from_the_additional_arrays():
    extra = {"audio_praat8": MEASURED, "audio_praat8_mask": PRESENT}
    owner, label = np.array([0, 0, 0, 1, 0])[[0, 1, 2, 4, 3]], np.zeros(5, np.int8)
    order = [0, 1, 2, 4, 3]  # the fourth is of the test dialogue
    extra = {name: a[order] for name, a in extra.items()}
    of_meld = {
        "dialogue_split": np.array([0, 2], np.int8),
        "dialogue_orig_id": np.array([0, 0], np.int16),
        "utt_dialogue": owner,
        "label": label,
        "speaker": label,
        "text_glove200_mean": np.ones((5, 3), np.float32),
    }
    of_iemocap = {
        "dialogue_id": np.array(["a", "b"]),
        "dialogue_split": np.array([0, 1], np.int8),
        "utt_split": owner.astype(np.int8),
        "utt_dialogue": owner,
        "label": label,
        "speaker_dyad": label,
    }
    expected = praat8.columns(MEASURED, PRESENT, TRAIN)[order]
    for d in (
        meld.build(of_meld | extra, {"text": "glove200", "audio": "praat8"}),
        iemocap.build(of_iemocap | extra, {"audio": "praat8"}),
    ):
        (train,), (test,) = d.splits["train"], d.splits["test"]
        np.testing.assert_array_equal(np.concatenate([train.features["audio"], test.features["audio"]]), expected)
        assert d.widths["audio"] == 10


def counts(d):
    return {split: (len(cs), sum(map(len, cs))) for split, cs in d.splits.items()}


def histogram(d, split):
    label = np.concatenate([c.label for c in d.splits[split]])
    return dict(zip(d.classes, np.bincount(label, minlength=len(d.classes)).tolist(), strict=True))


@pytest.mark.parametrize(
    ("name", "expected", "widths"),
    [
        pytest.param(
            "mosi",
            {"train": (62, 1447), "test": (31, 752)},
            {"text": 384, "audio": 73, "video": 100},
            marks=real("mosi"),
        ),
        pytest.param(
            "iemocap",
            {"train": (120, 5810), "test": (31, 1623)},
            {"text": 384, "audio": 47},
            marks=real("iemocap"),
        ),
        pytest.param(
            "meld",
            {"train": (1038, 9989), "validation": (114, 1109), "test": (280, 2610)},
            {"text": 384, "audio": 10},
            marks=real("meld"),
        ),
    ],
)
def test_real_counts(name, expected, widths):
    d = catalogue.load(name)
    assert counts(d) == expected
    assert d.widths == widths
    assert not d.synthetic
    assert d.sha256 == catalogue.fingerprint(name)


@pytest.mark.parametrize("name", [pytest.param(n, marks=real(n)) for n in ("mosi", "iemocap", "meld")])
def test_real_features_are_finite_and_conversations_apart(name):
    for m, sets in catalogue.entry(name).feature_sets.items():
        for chosen in sets:
            d = catalogue.load(name, {m: chosen}, [m])  # Dataset refuses NaN
            missing = 2 if chosen == "praat8" else 0  # columns that say what was not measured
            assert d.widths[m] - missing == int("".join(filter(str.isdigit, chosen.removeprefix("cnn3d"))))
    ids = [c.id for cs in d.splits.values() for c in cs]
    assert len(set(ids)) == len(ids)
    for c in d.splits["train"]:
        assert c.speaker[0] == 0
        assert len(np.unique(c.speaker)) == c.speaker.max() + 1


@pytest.mark.parametrize("name", [pytest.param("iemocap", marks=real("iemocap"))])
def test_iemocap_classes(name):
    d = catalogue.load(name, modalities=["audio"])
    names = ("happy", "sad", "neutral", "angry", "excited", "frustrated")
    assert d.classes == names
    assert histogram(d, "train") == dict(zip(names, (504, 839, 1324, 933, 742, 1468), strict=True))
    assert histogram(d, "test") == dict(zip(names, (144, 245, 384, 170, 299, 381), strict=True))
    assert all(c.speaker.max() == 1 for c in d.splits["train"])


@pytest.mark.parametrize("name", [pytest.param("meld", marks=real("meld"))])
def test_meld_classes(name):
    d = catalogue.load(name)
    names = ("neutral", "joy", "surprise", "anger", "sadness", "disgust", "fear")
    assert histogram(d, "train") == dict(zip(names, (4710, 1743, 1205, 1109, 683, 271, 268), strict=True))
    assert histogram(d, "validation") == dict(zip(names, (470, 163, 150, 153, 111, 22, 40), strict=True))
    assert histogram(d, "test") == dict(zip(names, (1256, 402, 281, 345, 208, 68, 50), strict=True))


@pytest.mark.parametrize("name", [pytest.param("meld", marks=real("meld"))])
def test_meld_says_what_of_the_sound_was_not_measured(name):
    d = catalogue.load(name, modalities=["audio"])
    missing = {s: np.concatenate([c.features["audio"] for c in cs])[:, 8:].sum(0) for s, cs in d.splits.items()}
    # no voiced frame in 115, no rate in 529; a training and a validation utterance lack the recording and so have both
    assert {s: n.tolist() for s, n in missing.items()} == {
        "train": [78, 371],
        "validation": [13, 44],
        "test": [26, 116],
    }


def rows(d, split):
    x = np.concatenate([np.concatenate(list(c.features.values()), axis=1) for c in d.splits[split]])
    y = np.concatenate([c.label for c in d.splits[split]])
    return x, y if d.classes else y >= 0


@pytest.mark.parametrize(
    ("name", "features", "modalities", "accuracy"),
    [
        pytest.param("iemocap", {}, ["text", "audio"], 54.0, marks=real("iemocap")),
        pytest.param("iemocap", {}, ["audio"], 42.7, marks=real("iemocap")),
        pytest.param("iemocap", {"text": "glove200"}, ["text"], 43.0, marks=real("iemocap")),
        pytest.param("mosi", {"text": "cnn100"}, ["text"], 75.3, marks=real("mosi")),
        pytest.param("meld", {"text": "glove200"}, ["text"], 58.1, marks=real("meld")),
        pytest.param("meld", {}, ["audio"], 47.7, marks=real("meld")),
    ],
)
def test_linear_model_reaches_the_known_accuracy(name, features, modalities, accuracy):
    """The accuracies were measured on the same arrays by another program, so rows, labels and splits fit together."""
    d = catalogue.load(name, features, modalities).standardised()
    x, y = rows(d, "train")
    reached = 100 * LogisticRegression(C=0.01, max_iter=300).fit(x, y).score(*rows(d, "test"))
    assert abs(reached - accuracy) < 1.5
