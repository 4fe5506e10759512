"""What `lmam data build` asks before it extracts: for random encoders by name, and whose licence binds."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from lmam_book.cli import main
from lmam_core.data import catalogue, stored
from lmam_core.features import weights
from lmam_core.features.sample.sample import write_wav


@pytest.fixture
def talk(tmp_path, monkeypatch):
    """Three dialogues of noise, and no hub, nor a copy of its checkpoints, nor a cache of features."""
    monkeypatch.setattr(weights, "hub", lambda extractor: None)
    from lmam_core.features.extract import extract

    monkeypatch.setitem(extract.__kwdefaults__, "cache", None)
    rng = np.random.default_rng(0)
    lines = ["dialogue,turn,speaker,text,file,label"]
    for d in range(3):
        for t in range(2):
            write_wav(tmp_path / f"{d}{t}.wav", rng.uniform(-0.3, 0.3, 3200))
            lines.append(f"d{d},{t},{'AB'[t]},words {d} {t},{d}{t}.wav,{('sad', 'glad')[t]}")
    (tmp_path / "utterances.csv").write_text("\n".join(lines))
    return tmp_path


def described(folder) -> dict:
    return json.loads((folder / "dataset.json").read_text())


def test_a_random_encoder_is_asked_for(talk, capsys):
    """Without a hub, and before anything is computed or written."""
    assert main(["data", "build", str(talk)]) == 2
    told = capsys.readouterr().err
    assert (
        "minilm384: sentence-transformers/all-MiniLM-L6-v2 is not on this machine and the hub cannot be reached" in told
    )
    assert "random encoders, whose numbers have no meaning" in told
    assert not (talk / "dataset.json").exists()
    assert main(["data", "build", str(talk), "--weights", "random"]) == 0
    assert described(talk)["feature_sets"]["text"]["minilm384"]["weights"] == "random (tiny, seed 0)"
    assert "The features minilm384 come from encoders that nobody trained." in catalogue.load(str(talk)).about


def test_random_for_one_extractor_is_not_random_for_another(talk, capsys):
    assert main(["data", "build", str(talk), "--weights", "clip512=random"]) == 2
    assert "minilm384: sentence-transformers" in capsys.readouterr().err


def test_an_encoder_without_anything_to_encode_is_not_asked_for(talk, capsys):
    """These recordings hold no video, so that CLIP's weights are nobody's concern."""
    assert main(["data", "build", str(talk), "--weights", "minilm384=random"]) == 0
    assert list(stored.description(talk)["feature_sets"]) == ["text", "audio"]


def test_the_default_for_sound_needs_no_licence(talk, monkeypatch):
    monkeypatch.setitem(sys.modules, "opensmile", None)  # as where it is not installed
    assert main(["data", "build", str(talk), "--text", ""]) == 0
    found = described(talk)
    assert list(found["feature_sets"]["audio"]) == ["acoustic96"]
    assert "openSMILE" not in json.dumps(found)


def test_opensmile_is_asked_for_before_anything_is_computed(talk, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "opensmile", None)
    assert main(["data", "build", str(talk), "--weights", "random", "--audio", "egemaps88"]) == 2
    told = capsys.readouterr().err
    assert (
        "egemaps88 needs openSMILE, which is free for research, teaching and private use and not for commercial" in told
    )
    assert "else take acoustic96" in told
    assert not (talk / "dataset.json").exists()


def test_opensmiles_licence_is_said_at_the_door_and_kept(talk, capsys):
    pytest.importorskip("opensmile")
    assert main(["data", "build", str(talk), "--text", "", "--audio", "egemaps88"]) == 0
    note = "egemaps88 is computed by openSMILE, which is free for research, teaching and private use and not for"
    assert note in capsys.readouterr().err
    assert any(said.startswith(note) for said in described(talk)["notes"])
