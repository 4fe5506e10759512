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
    pytest.importorskip("opensmile")
    files = [sample[0] / f for f in sample[1].file[:2]]
    raw = extract("is12_6125", files, **quiet).values
    W = np.zeros((100, 6125), np.float32)
    W[np.arange(100), np.arange(100)] = 1
    save_file({"weight": W, "bias": np.full(100, 3, np.float32)}, tmp_path / "layer.safetensors")
    found = extract("opensmile100", files, weights=tmp_path / "layer.safetensors", **quiet)
    np.testing.assert_allclose(found.values, 3 + np.sign(raw) * np.log1p(np.abs(raw)) @ W.T, rtol=1e-4, atol=1e-4)
    assert found.weights.startswith("local: ")


def test_layer_files_that_do_not_fit(tmp_path):
    from lmam_core.features.encoders.audio import linear

    path = tmp_path / "layer.safetensors"
    for tensors, sentence in (
        ({"weight": np.zeros((3, 4), np.float32)}, r"wants weight \(2, 5\)"),
        ({"weight": np.full((2, 5), np.nan, np.float32)}, "values that are not finite"),
        (
            {"weight": np.zeros((2, 5), np.float32), "bias": np.full(2, np.inf, np.float32)},
            "values that are not finite",
        ),
    ):
        save_file(tensors, path)
        with pytest.raises(LmamError, match=sentence):
            linear(weights.Weights("", path, ""), 5, 2)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(LmamError, match=r"layer\.safetensors does not hold a model for a linear layer"):
        linear(weights.Weights("", path, ""), 5, 2)


def test_random_layer_is_a_projection_that_keeps_distances():
    from lmam_core.features.encoders.audio import linear

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
        ("opensmile100", file, tmp_path / "pickled" / "pytorch_model.bin", "pickled weights"),
        ("opensmile100", file, tmp_path / "layer.txt", "is not a .safetensors file"),
        ("cnn3d512", file, tmp_path / "small.safetensors", "does not fit the 3D-CNN; it wants the tensors conv"),
    ):
        with pytest.raises(LmamError, match=sentence) as told:
            extract(name, media, weights=given, **quiet)
        assert "\n" not in str(told.value)


def header(content: bytes) -> tuple[dict, bytes]:
    """The header of a safetensors file, and the bytes of its tensors."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def headed(changed: dict, tensors: bytes) -> bytes:
    text = json.dumps(changed).encode()
    return len(text).to_bytes(8, "little") + text + tensors


def damaged(content: bytes) -> dict[str, tuple[bytes, str]]:
    """What a safetensors file can have become, and what is said then."""
    head, tensors = header(content)
    name = next(name for name in head if name != "__metadata__")
    length = len(content) - len(tensors) - 8

    def entry(**changed):
        return headed(head | {name: head[name] | changed}, tensors)

    broken = "is cut off or damaged"
    return {
        "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n", "is a Git LFS pointer"),
        "page": (b"\n <!doctype html><html>", "is a web page"),
        "nothing": (b"", broken),
        "one byte": (content[:1], broken),
        "length alone": (content[:8], broken),
        "half a header": (content[: 8 + length // 2], broken),
        "header alone": (content[: 8 + length], broken),
        "half": (content[: len(content) // 2], broken),
        "without the last byte": (content[:-1], broken),
        "with bytes behind": (content + b"more", broken),
        "zeros": (bytes(len(content)), broken),
        "header of 8 EiB": ((2**63).to_bytes(8, "little") + content[8:], broken),
        "header of 90 MB": ((90_000_000).to_bytes(8, "little") + content[8:], broken),
        "no json": (content[:8] + b"x" * length + tensors, broken),
        "list": (headed([], tensors), broken),
        "no entries": (headed({}, b""), "holds no tensors"),
        "offset behind the end": (entry(data_offsets=[0, 2**40]), broken),
        "offset before the start": (entry(data_offsets=[-1, 3]), broken),
        "other shape": (entry(shape=[1, 2]), broken),
        "other type": (entry(dtype="Q9"), broken),
        "noise": (np.random.default_rng(0).bytes(5000), broken),
        "pickle": (b"\x80\x02}q\x00.", broken),
        "zip": (b"PK\x03\x04" + bytes(100), broken),
    }


def test_damaged_safetensors_are_one_sentence(minilm, tmp_path, sample):
    folder = shutil.copytree(minilm, tmp_path / "minilm")
    for content, sentence in damaged((folder / "model.safetensors").read_bytes()).values():
        (folder / "model.safetensors").write_bytes(content)
        with pytest.raises(LmamError, match=rf"minilm/model\.safetensors {sentence}") as told:
            extract("minilm384", ["hello"], weights=folder, **quiet)
        assert "\n" not in str(told.value)
    video = [sample[0] / sample[1].file[0]]
    save_file({"weight": np.zeros((512, 8), np.float32)}, tmp_path / "cnn.safetensors")
    (tmp_path / "cnn.safetensors").write_bytes((tmp_path / "cnn.safetensors").read_bytes()[:-4])
    with pytest.raises(LmamError, match="is cut off or damaged"):
        extract("cnn3d512", video, weights=tmp_path / "cnn.safetensors", **quiet)


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("config.json", lambda c: b""),
        ("config.json", lambda c: b"[]"),
        ("config.json", lambda c: b"null"),
        ("config.json", lambda c: b"version https://git-lfs.github.com/spec/v1\n"),
        ("config.json", lambda c: c[:100]),
        ("config.json", lambda c: c.replace(b'"hidden_size": 384', b'"hidden_size": "big"')),
        ("config.json", lambda c: c.replace(b'"hidden_size": 384', b'"hidden_size": 0')),
        ("config.json", lambda c: c.replace(b'"hidden_size": 384', b'"hidden_size": 4000000')),
        ("config.json", lambda c: c.replace(b'"hidden_act": "gelu"', b'"hidden_act": "boo"')),
        ("tokenizer.json", lambda c: b""),
        ("tokenizer.json", lambda c: b"[]"),
        ("tokenizer.json", lambda c: c[:3000]),
        ("tokenizer_config.json", lambda c: b"[]"),
        ("tokenizer_config.json", lambda c: b"{}"),
        ("tokenizer_config.json", lambda c: b'{"model_max_length": "x"}'),
        ("tokenizer_config.json", lambda c: b'{"tokenizer_class": "Nope"}'),
    ],
)
def test_damaged_settings_of_a_checkpoint_are_one_sentence(minilm, tmp_path, file, change):
    folder = shutil.copytree(minilm, tmp_path / "minilm")
    before = (folder / file).read_bytes()
    (folder / file).write_bytes(change(before))
    assert (folder / file).read_bytes() != before
    with pytest.raises(LmamError, match=r"minilm (does not hold a model|holds tensors)") as told:
        extract("minilm384", ["hello", "good bye"], weights=folder, **quiet)
    assert "\n" not in str(told.value)


def test_weights_that_are_not_numbers_fail_each_item(minilm, tmp_path):
    folder = shutil.copytree(minilm, tmp_path / "minilm")
    tensors = {k: np.full_like(v, np.nan) for k, v in load_file(folder / "model.safetensors").items()}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    found = extract("minilm384", ["hello"], weights=folder, cache=tmp_path / "cache", progress=False)
    assert found.failed == {0: "minilm384 gives numbers that are not finite."}
    assert not list((tmp_path / "cache").rglob("*.npy"))


def test_the_hubs_cache_folders(minilm, tmp_path):
    """The hub's cache, its folder of one model, and that folder's snapshot are the same weights."""
    model = tmp_path / "hub" / "models--sentence-transformers--all-MiniLM-L6-v2"
    for revision in ("0" * 40, "1" * 40):
        shutil.copytree(minilm, model / "snapshots" / revision)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("1" * 40)
    entry = EXTRACTORS["minilm384"]
    for given in (model, model.parent, model / "snapshots" / ("1" * 40)):
        assert weights.find(entry, given).path == model / "snapshots" / ("1" * 40)
    for ref in ("2" * 40, "../../elsewhere"):
        (model / "refs" / "main").write_text(ref)
        with pytest.raises(LmamError, match="is a folder of the hub's cache with 2 snapshots; give the one meant"):
            weights.find(entry, model)
    shutil.rmtree(model / "snapshots" / ("0" * 40))
    assert weights.find(entry, model).path == model / "snapshots" / ("1" * 40)
    # A file of a snapshot is a link to one that may have been deleted.
    (model / "snapshots" / ("1" * 40) / "model.safetensors").unlink()
    (model / "snapshots" / ("1" * 40) / "model.safetensors").symlink_to(tmp_path / "gone")
    with pytest.raises(LmamError, match=r"model\.safetensors cannot be read: No such file"):
        weights.find(entry, model)


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
            save_file({"a": np.zeros(1)}, folder / name)
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
