"""A saved model: the same bits after a restart, new recordings in, and one sentence for whatever does not fit."""

from __future__ import annotations

import dataclasses
import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from lmam_core import Experiment, LmamError, Model, fit
from lmam_core.batch import collate
from lmam_core.data import catalogue
from lmam_core.data.recordings import folder as recordings
from lmam_core.features.sample.sample import make_sample
from lmam_core.models.backbones import BACKBONES
from lmam_core.models.fusion import FUSIONS
from lmam_core.runs.run import build, carry_out, prepared
from lmam_core.runs.training import Training

QUICK = Experiment(embedding="early", rank=4, epochs=1, dialogues=8)
NOTHING = Training(1, 0.0, [], [], 0.0)


@pytest.fixture(scope="module")
def model() -> Model:
    return fit(QUICK)


@pytest.fixture
def saved(model: Model, tmp_path: Path) -> Path:
    return model.save(tmp_path / "model")


RESTARTED = """
import sys
import numpy as np
from lmam_core import Model
from lmam_core.batch import Conversation

def talk(k, L):
    rng = np.random.default_rng(k)
    features = {m: rng.normal(size=(L, d)).astype(np.float32) for m, d in dict(text=100, audio=100, video=512).items()}
    return Conversation(f"talk {k}", features, np.arange(L) % 2, np.zeros(L, np.int64))

talks = [talk(k, L) for k, L in enumerate((1, 17, 60, 8))]
if __name__ == "__main__":
    Model.load(sys.argv[1]).predict(talks).to_csv(sys.argv[2], index=False)
"""


def test_predictions_are_bit_equal_after_a_restart(model: Model, saved: Path, tmp_path: Path) -> None:
    names: dict = {}
    exec(RESTARTED, names)
    here = model.predict(names["talks"])
    assert len(here) == 86
    there = tmp_path / "there.csv"
    subprocess.run([sys.executable, "-c", RESTARTED, str(saved), str(there)], check=True)
    assert there.read_text() == here.to_csv(index=False)


def test_predictions_are_those_that_the_run_was_scored_by(tmp_path: Path) -> None:
    """The standardisation of training, applied to features as their source has them."""
    asked = dataclasses.replace(QUICK, dialogues=0, updates=20)
    result, module, data = carry_out(asked, predictions=True)
    Model.of(asked, module, data, result.training).save(tmp_path / "model")
    again = Model.load(tmp_path / "model").predict("synthetic-iemocap")
    test = again[again.split == "test"].drop(columns="split").reset_index(drop=True)
    pd.testing.assert_frame_equal(test, result.predictions, check_exact=True)
    assert 100 * (test.prediction == test.label).mean() == pytest.approx(result.metrics["accuracy"])
    p = test[[f"p_{name}" for name in result.classes]].to_numpy()
    np.testing.assert_allclose(p.sum(1), 1)
    assert [result.classes[k] for k in p.argmax(1)] == test.prediction.tolist()


@pytest.mark.parametrize(
    "asked",
    [dict(backbone=name) for name in BACKBONES]
    + [dict(fusion=name, backbone="utterance" if name.startswith("lora") else "bc_lstm") for name in FUSIONS]
    + [
        dict(variant="released"),
        dict(readings="keys=others", embedding="late"),
        dict(backbone="bc_lstm", width=7, dropout=0.3),
        dict(dataset="synthetic-meld", dialogues=0, modalities=("text", "audio"), embedding="early_residual"),
    ],
    ids=lambda asked: ",".join(map(str, asked.values())),
)
def test_every_model_comes_back_whole(asked: dict, tmp_path: Path) -> None:
    e = Experiment(**{"dialogues": 4, "epochs": 1, "rank": 3} | asked)
    data = prepared(e)
    module = build(
        e, data, build(dataclasses.replace(e, fusion="concat"), data).state_dict() if "lora_t" in e.fusion else None
    )
    for p in module.parameters():  # not what the seed alone would give
        p.data.add_(0.1 * torch.randn_like(p))
    before = torch.get_rng_state()
    again = Model.load(Model.of(e, module, data, NOTHING).save(tmp_path / "m"))
    assert torch.equal(before, torch.get_rng_state())
    batch = collate(data.splits["test"])
    assert torch.equal(again.module(batch), module.eval()(batch))
    assert again.experiment == e.resolved()
    assert again.classes == data.classes
    for m, both in data.scaling.items():
        for there, here in zip(again.scaling[m], both, strict=True):
            assert np.array_equal(there, here)


@pytest.mark.real_data
def test_a_regression_predicts_values(tmp_path: Path) -> None:
    result, module, data = carry_out(Experiment(dataset="mosi", epochs=1, dialogues=8, rank=4), predictions=True)
    Model.of(result.experiment, module, data, result.training).save(tmp_path / "m")
    found = Model.load(tmp_path / "m").predict(data_of("mosi", 5))
    assert found.columns.tolist() == ["dialogue", "utterance", "prediction"]
    assert result.metrics["mae"] == pytest.approx(
        (result.predictions.label - result.predictions.prediction).abs().mean()
    )


def data_of(name: str, n: int) -> list:
    return catalogue.load(name).splits["test"][:n]


def test_conversations_of_ones_own_are_standardised_as_training_was(model: Model) -> None:
    talks = data_of("synthetic-iemocap", 3)
    found = model.predict(talks)
    standardised = prepared(QUICK).splits["test"][:3]
    with torch.no_grad():
        p = model.module(collate(standardised)).double().softmax(-1).numpy()
    expected = np.concatenate([x[: len(c)] for x, c in zip(p, talks, strict=True)])
    np.testing.assert_allclose(found.filter(like="p_"), expected, atol=1e-6)
    assert list(found.columns[:3]) == ["dialogue", "utterance", "prediction"]
    assert found.dialogue.unique().tolist() == [c.id for c in talks]


def with_features(c, **changed):
    return dataclasses.replace(c, features={m: x for m, x in {**c.features, **changed}.items() if x is not None})


def test_what_does_not_fit_the_model_is_one_sentence(model: Model) -> None:
    talk = data_of("synthetic-iemocap", 1)[0]
    with pytest.raises(LmamError, match=r"reads audio, which conversation .* does not have"):
        model.predict([with_features(talk, audio=None)])
    with pytest.raises(LmamError, match=r"reads text of width 100; conversation .* has width 7"):
        model.predict([with_features(talk, text=np.zeros((len(talk), 7), np.float32))])
    with pytest.raises(LmamError, match="no conversations"):
        model.predict([])
    crowd = dataclasses.replace(talk, speaker=np.arange(len(talk)))
    assert len(model.predict([crowd])) == len(talk)  # bc-LSTM does not ask who speaks
    heard = dataclasses.replace(QUICK, backbone="dialogue_rnn", embedding=None)
    with pytest.raises(LmamError, match=r"at most 2 speakers; conversation \S+ has"):
        fit(heard).predict([crowd])


def edit(folder: Path, **changed: object) -> None:
    path = folder / "model.json"
    described = json.loads(path.read_text())
    for name, value in changed.items():
        where = described["experiment"] if name in described["experiment"] else described
        where[name] = value
    path.write_text(json.dumps(described))


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"format": 2}, "another format"),
        ({"fusion": "telepathy"}, "no fusion method 'telepathy'"),
        ({"backbone": "spine"}, "no backbone 'spine'"),
        ({"rank": 5}, r"'fusion\.\S+' is \(.*4.*\) .* and should be \(.*5.*\)"),
        ({"classes": ["sad", "glad"]}, "should be"),
        ({"modalities": ["text", "smell"]}, "smell"),
        ({"modalities": ["text"]}, r"weights have an unknown '\S*audio"),
        ({"experiment": {"modalities": []}}, "does not fit this version"),
        ({"experiment": None}, "does not fit this version"),
        ({"training": {"colour": 1}}, "colour"),
        ({"speakers": "many"}, "many"),
    ],
)
def test_a_description_that_does_not_fit_is_one_sentence(saved: Path, changed: dict, sentence: str) -> None:
    if "experiment" in changed:
        described = json.loads((saved / "model.json").read_text()) | changed
        (saved / "model.json").write_text(json.dumps(described))
    else:
        edit(saved, **changed)
    with pytest.raises(LmamError, match=sentence) as found:
        Model.load(saved)
    assert "\n" not in str(found.value)


class Evil:
    def __reduce__(self) -> tuple:
        return (Path("executed").write_text, ("x",))


def test_damaged_weights_are_one_sentence_and_nothing_is_executed(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = saved / "model.safetensors"
    whole = path.read_bytes()
    for content in (b"", whole[:7], whole[:100], whole[:-1], whole + b"x", b"\xff" * 64, pickle.dumps(Evil())):
        path.write_bytes(content)
        with pytest.raises(LmamError, match=r"model\.safetensors is damaged"):
            Model.load(saved)
    assert not Path("executed").exists()
    tensors = load_file(_write(path, whole))
    save_file({k: t for k, t in tensors.items() if "classifier" not in k}, path)
    with pytest.raises(LmamError, match="its weights lack 'classifier"):
        Model.load(saved)
    save_file(tensors | {"model.more": torch.zeros(2)}, path)
    with pytest.raises(LmamError, match="have an unknown 'more'"):
        Model.load(saved)
    save_file({k: t.half() if k.startswith("model.classifier") else t for k, t in tensors.items()}, path)
    with pytest.raises(LmamError, match=r"torch\.float16 and should be"):
        Model.load(saved)
    for text in ("", "{", "[]", "[" * 100_000):
        (saved / "model.json").write_text(text)
        with pytest.raises(LmamError, match=r"model\.json (cannot be read|has another format)"):
            Model.load(saved)
    with pytest.raises(LmamError, match=r"is no model: it needs model\.json"):
        Model.load(tmp_path)


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_a_folder_with_something_else_is_left_alone(model: Model, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "to-my-aunt.txt").write_text("Dear aunt")
    for name in ("letters", "letters/to-my-aunt.txt"):
        with pytest.raises(LmamError, match="holds something that is no model"):
            model.save(tmp_path / name)
    with pytest.raises(LmamError, match="could not be written"):
        model.save("/dev/null/model")
    model.save(tmp_path / "m")
    model.save(tmp_path / "m")  # again is no mistake
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == ["model.json", "model.safetensors"]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Model]:
    """Labelled recordings as a dataset, and a model that was trained on it; all encoders random."""
    folder = tmp_path_factory.mktemp("sample")
    make_sample(folder, 0, 6, 3)
    recordings.build(folder, "bert100", "acoustic96", "", weights="bert100=random", progress=False)
    return folder, fit(Experiment(dataset=str(folder), rank=4, updates=4, batch_size=2))


def new(sample: Path, folder: Path, change=lambda table: table) -> tuple[Path, pd.DataFrame]:
    """The same recordings without their labels, in a folder of their own."""
    table = change(pd.read_csv(sample / "utterances.csv").drop(columns=["label", "split"], errors="ignore"))
    folder.mkdir()
    for name in table.file.dropna().unique():
        shutil.copy(sample / name, folder)
    table.to_csv(folder / "utterances.csv", index=False)
    return folder, table


def test_recordings_become_predictions_in_the_order_of_their_table(sample: tuple[Path, Model], tmp_path: Path) -> None:
    folder, model = sample
    timed = lambda t: t.assign(turn=[f"0:{n:02}" for n in t.turn])  # noqa: E731
    unlabelled, table = new(folder, tmp_path / "new", lambda t: timed(t).sample(frac=1, random_state=1))
    found = Model.load(model.save(tmp_path / "m")).predict(unlabelled)
    assert found.dialogue.tolist() == table.dialogue.astype(str).tolist()
    assert found.turn.tolist() == table.turn.tolist()
    assert found.line.tolist() == list(range(2, len(table) + 2))
    assert set(found.missing) == {""}
    # The same features by way of the dataset, which has utterances in time order.
    whole = model.predict(str(folder)).sort_values(["dialogue", "utterance"])
    mine = found.sort_values(["dialogue", "turn"])
    np.testing.assert_allclose(mine.filter(like="p_"), whole.filter(like="p_"), atol=1e-5)
    assert model.caution == "random encoder of text"  # sound is measured


def test_what_an_utterance_lacks_is_named_and_a_modality_that_all_lack_is_refused(
    sample: tuple[Path, Model], tmp_path: Path
) -> None:
    folder, model = sample

    def without(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[table.index[:2], "text"] = ""
        table.loc[table.index[1], "file"] = None
        return table

    unlabelled, _ = new(folder, tmp_path / "new", without)
    found = model.predict(unlabelled)
    assert found.missing.tolist()[:3] == ["text", "text+audio", ""]
    assert any("line 3" in note for note in found.attrs["notes"])
    assert np.isfinite(found.filter(like="p_").to_numpy()).all()
    silent, _ = new(folder, tmp_path / "silent", lambda table: table.assign(file=None))
    with pytest.raises(LmamError, match=r"reads audio, which no utterance of .*silent has"):
        model.predict(silent)


def test_features_must_be_those_of_training(sample: tuple[Path, Model], model: Model, tmp_path: Path) -> None:
    folder, own = sample
    unlabelled, _ = new(folder, tmp_path / "new")
    with pytest.raises(LmamError, match=r"reads text as .*, which no extractor makes of recordings"):
        model.predict(unlabelled)
    trained = dataclasses.replace(own, encoders=own.encoders | {"text": "hub: a/b@0123456789ab"})
    with pytest.raises(
        LmamError, match=r"trained on text features bert100 of 'hub: .*', and these are of 'random \(tiny"
    ):
        trained.predict(unlabelled, weights="bert100=random")
    with pytest.raises(LmamError, match="these are of 'random"):
        trained.predict(str(folder))
    with pytest.raises(LmamError, match="has no modality 'video'"):
        model.predict(str(folder))


def test_a_table_that_changed_after_its_dataset_was_built_is_not_taken_for_either(
    sample: tuple[Path, Model], tmp_path: Path
) -> None:
    folder, model = sample
    shutil.copytree(folder, tmp_path / "copy")
    with (tmp_path / "copy" / "utterances.csv").open("a") as file:
        file.write("\n")
    with pytest.raises(LmamError, match="has changed since a dataset was built of it"):
        model.predict(tmp_path / "copy")
