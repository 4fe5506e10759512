"""Where weights come from, that only safetensors are read, and that no checkpoint's code ever runs."""

import io
import json
import shutil
import types
from fnmatch import fnmatch

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from lmam_core.errors import LmamError
from lmam_core.features import weights
from lmam_core.features.encoders import cnn3d, tiny
from lmam_core.features.extract import EXTRACTORS, extract

quiet = {"progress": False, "cache": None}


@pytest.fixture(scope="module")
def minilm(tmp_path_factory):
    """A local checkpoint of the right width, saved as transformers saves."""
    folder = tmp_path_factory.mktemp("minilm")
    tokenizer, model = tiny.text(EXTRACTORS["minilm384"])
    with torch.no_grad():
        model.embeddings.word_embeddings.weight.mul_(2)  # not the tiny one itself
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


def test_local_folder(minilm, tmp_path):
    found = extract("minilm384", ["hello", "good bye"], weights=minilm, **quiet)
    assert found.weights == f"local: {minilm}"
    assert not found.random
    other = extract("minilm384", ["hello", "good bye"], weights="random", **quiet)
    assert not np.allclose(found.values, other.values, atol=1e-4)
    extract("minilm384", ["hello"], weights=minilm, cache=tmp_path, progress=False)
    extract("minilm384", ["hello"], weights="random", cache=tmp_path, progress=False)
    assert len(list(tmp_path.rglob("*.npy"))) == 2


def test_clip_folder(tmp_path, sample):
    from transformers import CLIPImageProcessor

    model = tiny.clip(512)
    with torch.no_grad():
        model.visual_projection.weight[:256] *= -1
    model.save_pretrained(tmp_path)
    CLIPImageProcessor().save_pretrained(tmp_path)
    files = [sample[0] / f for f in sample[1].file[:2]]
    local, random = (extract("clip512", files, weights=w, **quiet).values for w in (tmp_path, "random"))
    np.testing.assert_allclose(local, random * np.repeat([-1, 1], 256), atol=1e-6)


def test_open_clip_folder(tmp_path, sample):
    """Its safetensors are read even where open_clip itself would prefer a pickle of another name."""
    from safetensors.torch import save_file as save

    model, _ = tiny.open_clip_model(512)
    model.visual.proj.data[:, :256] *= -1
    save({k: v.contiguous() for k, v in model.state_dict().items()}, tmp_path / "open_clip_mine.safetensors")
    (tmp_path / "open_clip_pytorch_model.bin").write_bytes(b"never read")
    sizes = {"image_size": 64, "layers": 2, "width": 64, "head_width": 16, "patch_size": 16}
    words = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    config = {"model_cfg": {"embed_dim": 512, "vision_cfg": sizes, "text_cfg": words}, "preprocess_cfg": {}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    files = [sample[0] / f for f in sample[1].file[:2]]
    local, random = (extract("open_clip512", files, weights=w, **quiet).values for w in (tmp_path, "random"))
    np.testing.assert_allclose(local, random * np.repeat([-1, 1], 256), atol=1e-5)


def test_layer_file(tmp_path, sample):
    files = [sample[0] / f for f in sample[1].file[:2]]
    raw = extract("is12_6125", files, **quiet).values
    W = np.zeros((100, 6125), np.float32)
    W[np.arange(100), np.arange(100)] = 1
    save_file({"weight": W, "bias": np.full(100, 3, np.float32)}, tmp_path / "layer.safetensors")
    found = extract("opensmile100", files, weights=tmp_path / "layer.safetensors", **quiet)
    np.testing.assert_allclose(found.values, 3 + np.sign(raw) * np.log1p(np.abs(raw)) @ W.T, rtol=1e-4, atol=1e-4)
    assert found.weights.startswith("local: ")


def test_random_layer_is_a_projection_that_keeps_distances():
    from lmam_core.features.encoders.layer import linear

    layer = linear(weights.Weights("", None, ""), 6125, 100)
    x = np.random.default_rng(1).standard_normal((2, 6125))
    before, after = np.linalg.norm(x[0] - x[1]), np.linalg.norm(layer(x[0]) - layer(x[1]))
    assert after / before == pytest.approx(np.sqrt(100 / 6125), rel=0.3)


def test_cnn3d_file(tmp_path, sample):
    from safetensors.torch import save_file as save

    network = cnn3d.seeded(0)
    network.linear.weight.data *= -1
    network.linear.bias.data *= -1
    save(network.state_dict(), tmp_path / "cnn3d.safetensors")
    files = [sample[0] / f for f in sample[1].file[:2]]
    local, random = (extract("cnn3d512", files, weights=w, **quiet).values for w in (tmp_path, None))
    np.testing.assert_allclose(local, -random, atol=1e-6)


def test_wrong_files_are_one_sentence(tmp_path, minilm, sample):
    (tmp_path / "pickled").mkdir()
    torch.save({"a": torch.zeros(1)}, tmp_path / "pickled" / "pytorch_model.bin")
    (tmp_path / "pickled" / "config.json").write_text('{"model_type": "bert"}')
    save_file({"weight": np.zeros((3, 4), np.float32)}, tmp_path / "small.safetensors")
    (tmp_path / "empty").mkdir()
    save_file({"a": np.zeros(1, np.float32)}, tmp_path / "empty" / "model.safetensors")
    (tmp_path / "layer.txt").write_text("0")
    lacking = shutil.copytree(minilm, tmp_path / "lacking")
    tensors = load_file(lacking / "model.safetensors")
    save_file({k: v for k, v in tensors.items() if "layer.0" not in k}, lacking / "model.safetensors", {"format": "pt"})
    text, file = ["hello"], [sample[0] / sample[1].file[0]]
    for name, media, given, sentence in (
        ("minilm384", text, tmp_path / "pickled", "pickled weights .* can run code"),
        ("minilm384", text, tmp_path / "pickled" / "pytorch_model.bin", "is a file; give minilm384 the folder"),
        ("minilm384", text, tmp_path / "empty", "does not hold a model for minilm384"),
        ("minilm384", text, lacking, "does not hold a model for minilm384: it lacks encoder.layer.0"),
        ("bert768", text, minilm, "is 384 wide; bert768 is 768 wide"),
        ("clip512", file, tmp_path / "empty", "does not hold a model for clip512"),
        ("open_clip512", file, tmp_path / "empty", "holds no open_clip_config.json"),
        ("opensmile100", file, tmp_path / "small.safetensors", r"wants weight \(100, 6125\)"),
        ("opensmile100", file, tmp_path / "pickled" / "pytorch_model.bin", "pickled weights"),
        ("opensmile100", file, tmp_path / "layer.txt", "is not a .safetensors file"),
        ("cnn3d512", file, tmp_path / "small.safetensors", "does not fit the 3D-CNN; it wants the tensors conv"),
    ):
        with pytest.raises(LmamError, match=sentence) as told:
            extract(name, media, weights=given, **quiet)
        assert "\n" not in str(told.value)


def test_a_checkpoints_code_never_runs(minilm, tmp_path):
    """A config that names code of its own is refused or ignored, and the code is not run."""
    for path in minilm.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    marker = tmp_path / "it-ran"
    (tmp_path / "modelling.py").write_text(f"open({str(marker)!r}, 'w')\nclass Mine: pass\n")
    config = json.loads((tmp_path / "config.json").read_text())
    for model_type in ("bert", "never-heard-of"):
        named = {"AutoModel": "modelling.Mine", "AutoConfig": "modelling.Mine", "AutoTokenizer": "modelling.Mine"}
        (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": model_type, "auto_map": named}))
        try:
            found = extract("minilm384", ["hello"], weights=tmp_path, **quiet)
            assert model_type == "bert"
            assert np.isfinite(found.values).all()
        except LmamError as error:
            assert "does not hold a model" in str(error)  # noqa: PT017, both outcomes are safe
        assert not marker.exists()


# The hub, without a network: what is asked of it, and what is made of its answers.


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub whose repositories are folders; records which files were asked for."""
    import huggingface_hub

    asked, offers = [], {}

    def snapshot(repository, allow_patterns, local_files_only=False, revision="main"):
        from huggingface_hub.errors import LocalEntryNotFoundError

        if local_files_only:
            raise LocalEntryNotFoundError("not here")
        asked.append((repository, revision, tuple(allow_patterns)))
        folder = tmp_path / revision.replace("/", "-") / "0123456789abcdef"
        folder.mkdir(parents=True, exist_ok=True)
        for name in offers.get(revision, ()):
            (folder / name).write_bytes(b"")
        return str(folder)

    monkeypatch.undo()  # the fixture that shuts the hub away
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    pull = types.SimpleNamespace(title="Adding `safetensors` variant of this model", git_reference="refs/pr/9")
    monkeypatch.setattr(huggingface_hub, "get_repo_discussions", lambda *a, **k: offers.get("discussions", [pull]))
    monkeypatch.setattr(weights, "online", lambda: True)
    return asked, offers


def test_hub_is_asked_for_safetensors_alone(hub):
    asked, offers = hub
    offers["main"] = ["model.safetensors"]
    found = weights.find(EXTRACTORS["minilm384"], None)
    assert found.label == "hub: sentence-transformers/all-MiniLM-L6-v2@0123456789ab"
    assert found.identity.endswith("@0123456789abcdef")
    ((_, _, patterns),) = asked
    for name in ("pytorch_model.bin", "modelling.py", "model.pt", "tokenization.py", "onnx/model.onnx", "tf_model.h5"):
        assert not [p for p in patterns if fnmatch(name, p)]
    for name in ("config.json", "tokenizer.json", "vocab.txt", "spm.model", "model.safetensors"):
        assert [p for p in patterns if fnmatch(name, p)]
    weights.find(EXTRACTORS["bert768"], "random")
    assert len(asked) == 1


def test_hub_without_safetensors_offers_its_own_conversion_or_says_so(hub):
    asked, offers = hub
    offers["refs/pr/9"] = ["model.safetensors"]
    weights.find(EXTRACTORS["deberta768"], None)
    assert [revision for _, revision, _ in asked] == ["main", "refs/pr/9"]
    offers["discussions"] = []
    with pytest.raises(LmamError, match="offers no model"):
        weights.find(EXTRACTORS["roberta768"], None)


def test_a_broken_download_is_one_sentence(hub, monkeypatch):
    import huggingface_hub

    real = huggingface_hub.snapshot_download

    def broken(*given, **more):
        if more.get("local_files_only"):
            return real(*given, **more)
        raise OSError("connection lost\nand more")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", broken)
    with pytest.raises(LmamError, match="could not be downloaded: connection lost; try again"):
        weights.find(EXTRACTORS["bert768"], None)


def test_offline_is_asked_once_and_quickly(monkeypatch):
    calls = []

    def unreachable(*_, **__):
        calls.append(1)
        raise OSError

    weights.online.cache_clear()
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(weights.urllib.request, "urlopen", unreachable)
    assert [weights.online(), weights.online()] == [False, False]
    assert len(calls) == 1
    weights.online.cache_clear()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert not weights.online()
    assert len(calls) == 1
    weights.online.cache_clear()


def test_a_hub_that_never_answers_counts_as_out_of_reach(monkeypatch):
    import threading

    never = threading.Event()
    weights.online.cache_clear()
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(weights, "PATIENCE", -0.9)
    monkeypatch.setattr(weights.urllib.request, "urlopen", lambda *_, **__: never.wait() and io.BytesIO())
    assert not weights.online()
    never.set()
    weights.online.cache_clear()
