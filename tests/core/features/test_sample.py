"""What the generated sample promises: real files from which the emotion can be heard and seen."""

import filecmp

import numpy as np
import pandas as pd
import pytest
import soundfile

from lmam_core.errors import LmamError
from lmam_core.features.extract import extract
from lmam_core.features.media import RATE, blocks, frames, parse
from lmam_core.features.sample import face
from lmam_core.features.sample.face import EXPRESSIONS
from lmam_core.features.sample.sample import COLUMNS, EMOTIONS, F0, FPS, make_sample
from lmam_core.features.sample.sentences import SENTENCES
from lmam_core.features.sample.voice import PROSODY, speak

HEARD = {
    "pitch": "F0semitoneFrom27.5Hz_sma3nz_percentile50.0",
    "span": "F0semitoneFrom27.5Hz_sma3nz_pctlrange0-2",
    "rate": "loudnessPeaksPerSec",
    "level": "equivalentSoundLevel_dBp",
}


@pytest.fixture(scope="session")
def heard(sample):
    """What openSMILE, which knows nothing of how the voice was made, hears in each .wav."""
    opensmile = pytest.importorskip("opensmile")
    folder, table = sample
    values = extract("egemaps88", [folder / f.replace(".mp4", ".wav") for f in table.file], cache=None).values
    names = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals).feature_names
    columns = {name: values[:, names.index(column)] for name, column in HEARD.items()}
    return pd.concat([table, pd.DataFrame(columns)], axis=1)


def seen(picture: np.ndarray) -> tuple[float, float]:
    """How far the mouth's corners lie above its middle, and the brows' inner ends above the outer ones, in pixels."""
    red, green, blue = picture.astype(int).transpose(2, 0, 1)
    y, x = np.nonzero((red > 130) & (green < 90) & (blue < 100))
    left, right = np.quantile(x, (0.02, 0.98))  # a stray pixel of the coder's is no corner
    edge = 0.15 * (right - left)
    corner = (x < left + edge) | (x > right - edge)
    middle = abs(x - np.median(x)) < edge
    v, u = np.nonzero((red < 110) & (blue < 70) & (red > blue))
    distance = abs(u - np.median(x))
    inner, outer = distance < np.quantile(distance, 0.25), distance > np.quantile(distance, 0.75)
    return np.median(y[middle]) - np.median(y[corner]), np.median(v[outer]) - np.median(v[inner])


def test_table_and_files(sample):
    folder, table = sample
    written = pd.read_csv(folder / "utterances.csv")
    pd.testing.assert_frame_equal(written, table)
    assert tuple(table.columns) == COLUMNS
    assert len(table) == 32
    assert set(table.label) == set(EMOTIONS)
    assert table.groupby("dialogue").turn.apply(list).map(lambda t: t == list(range(8))).all()
    said = {text for group in SENTENCES.values() for text in group}
    assert set(table.text) <= said
    for file in table.file:
        duration = soundfile.info(folder / file.replace(".mp4", ".wav")).duration
        assert 0.5 < duration < 6
        sound = np.concatenate(list(blocks(parse(folder / file))))
        assert len(sound) / RATE == pytest.approx(duration, abs=0.08)  # AAC pads to whole frames
    assert sum(p.stat().st_size for p in folder.iterdir()) < 8e6


def test_same_seed_same_sample(tmp_path):
    first, again = (make_sample(tmp_path / name, seed=3, dialogues=1, turns=2) for name in "ab")
    other = make_sample(tmp_path / "c", seed=4, dialogues=1, turns=2)
    pd.testing.assert_frame_equal(first, again)
    files = [p.name for p in (tmp_path / "a").iterdir()]
    assert len(files) == 5
    assert filecmp.cmpfiles(tmp_path / "a", tmp_path / "b", files, shallow=False)[0] == files
    wav = "dialogue00_turn00.wav"
    assert not filecmp.cmp(tmp_path / "a" / wav, tmp_path / "c" / wav, shallow=False)
    assert not first.equals(other)


@pytest.mark.parametrize(("dialogues", "turns"), [(0, 8), (2, 0)])
def test_nothing_is_one_sentence(tmp_path, dialogues, turns):
    with pytest.raises(LmamError, match="at least 1 dialogue"):
        make_sample(tmp_path, dialogues=dialogues, turns=turns)


@pytest.mark.parametrize("speaker", [0, 1])
def test_voice_follows_the_emotion(heard, speaker):
    mean = heard[heard.speaker == speaker].groupby("label")[list(HEARD)].mean()
    for name, order in {
        "pitch": ["sad", "neutral", "angry", "happy"],
        "span": ["sad", "neutral", "angry", "happy"],
        "rate": ["sad", "neutral", "happy", "angry"],
        "level": ["sad", "neutral", "happy", "angry"],
    }.items():
        there = [e for e in order if e in mean.index]
        assert len(there) >= 3
        assert list(mean[name].sort_values().index) == there, mean[name]


def test_pitch_and_level_are_those_asked_for(heard):
    asked = [F0[s] * PROSODY[e].pitch for s, e in zip(heard.speaker, heard.label, strict=True)]
    error = heard.pitch - 12 * np.log2(np.array(asked) / 27.5)
    assert error.abs().median() < 1.5  # semitones; accents lift the vowels over the utterance's mean
    level = [PROSODY[e].level for e in heard.label]
    assert (heard.level - level).abs().max() < 3


def test_emotion_can_be_told_from_what_is_heard(heard):
    """Nearest mean of two statistics, each speaker apart, leave one out."""
    right = 0
    for i, row in heard.iterrows():
        others = heard[(heard.speaker == row.speaker) & (heard.index != i)]
        scaled = others[list(HEARD)].std()
        means = others.groupby("label")[list(HEARD)].mean()
        right += (((means - row[list(HEARD)]) / scaled) ** 2).sum(axis=1).astype(float).idxmin() == row.label
    assert right / len(heard) > 0.85


def test_speech_has_voiced_and_unvoiced_parts_and_does_not_clip():
    rng = np.random.default_rng(0)
    sound = speak("This is a test.", "angry", 120, rng)
    assert sound.dtype == np.float32
    assert np.abs(sound).max() < 1
    assert np.abs(sound[:800]).max() < 1e-6  # begins in silence
    pieces = sound[: len(sound) // 320 * 320].reshape(-1, 320)
    crossings = (np.diff(np.sign(pieces), axis=1) != 0).mean(1)
    loud = np.sqrt((pieces**2).mean(1)) > 0.02
    assert crossings[loud].max() > 4 * crossings[loud].min()  # hissing against vowels


def test_face_follows_the_emotion(sample):
    folder, table = sample
    found = {e: [] for e in EMOTIONS}
    for file, emotion in zip(table.file, table.label, strict=True):
        pictures = list(frames(parse(folder / file), 4))[1:]  # the expression has built up
        assert pictures[0].shape == (128, 128, 3)
        found[emotion].append(np.mean([seen(p) for p in pictures], 0))
    smile = {e: np.array(v)[:, 0] for e, v in found.items()}
    tilt = {e: np.array(v)[:, 1] for e, v in found.items()}
    assert smile["happy"].min() > smile["neutral"].max()
    assert smile["sad"].max() < smile["neutral"].min()
    assert smile["angry"].mean() < smile["neutral"].mean()
    assert tilt["sad"].min() > tilt["neutral"].max()
    assert tilt["angry"].max() < tilt["neutral"].min()
    assert set(EXPRESSIONS) == set(PROSODY) == set(EMOTIONS)


def test_an_emotion_goes_with_no_skin_tone():
    """In an earlier drawing neutral and sad were light and happy and angry dark, as two speakers took turns."""
    cheeks = {tuple(face.draw(emotion, speaker, 0.0)[75, 40]) for emotion in EMOTIONS for speaker in (0, 1)}
    assert cheeks == {face.SKIN}


def test_the_jaw_follows_the_voice(sample):
    folder, table = sample
    file = folder / table.file[0]
    sound = np.concatenate(list(blocks(parse(file))))
    count = len(sound) // (RATE // FPS)
    power = np.sqrt((sound[: count * (RATE // FPS)].reshape(count, -1) ** 2).mean(1))
    pictures = list(frames(parse(file), count))
    area = [((p[..., 0] > 130) & (p[..., 1] < 90) & (p[..., 2] < 100)).sum() for p in pictures]
    assert np.corrcoef(power, area)[0, 1] > 0.8
