"""Where an extractor's numbers come from: the hub, a local folder, or a generator with seed 0; safetensors only."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lmam_core.errors import LmamError
from lmam_core.features.registry import Extractor
from lmam_core.hashing import sha256

SEED = 0
PATIENCE = 3.0
"""Seconds after which the hub counts as out of reach."""
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5")
_FILES = ["*config.json", "tokenizer*.json", "special_tokens_map.json", "vocab.*", "merges.txt", "*.model"]
"""What is downloaded beside the weights; no code, no pickles."""


@dataclass(frozen=True)
class Weights:
    """A decision: `path` to the checkpoint (None for random), `label` for people, `identity` for the cache."""

    label: str
    path: Path | None
    identity: str


@contextmanager
def checkpoint_errors(name: str, path: Path | None) -> Iterator[None]:
    """Whatever a library raises against the checkpoint at `path` becomes one LmamError of one line.

    A damaged checkpoint can end in any exception, so none is named here.
    """
    try:
        yield
    except LmamError:
        raise
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise LmamError(f"{path} does not hold a model for {name}: {reason}") from None


def check(path: Path) -> None:
    """Raise LmamError where a .safetensors file is another kind of file, cut off or damaged; no tensor is read."""
    from safetensors import SafetensorError, safe_open

    try:
        with path.open("rb") as file:
            start = file.read(512).lstrip()
        if start.startswith(b"version https://git-lfs"):
            raise LmamError(
                f"{path} is a Git LFS pointer and not the weights; run `git lfs pull` in its repository, or download "
                "the file itself."
            )
        if start[:1] == b"<":
            raise LmamError(f"{path} is a web page and not the weights; download the file itself.")
        with safe_open(path, framework="numpy") as tensors:
            if not list(tensors.keys()):
                raise LmamError(f"{path} holds no tensors; download it again.")
    except OSError as error:
        raise LmamError(f"{path} cannot be read: {error.strerror or error}.") from None
    except SafetensorError as error:
        raise LmamError(f"{path} is cut off or damaged ({error}); download it again.") from None


def find(extractor: Extractor, weights: str | Path | None, fallback: bool = True) -> Weights:
    """Decide where `extractor` takes its weights from.

    Raises LmamError for what is missing, unsafe or not needed, and without `fallback` where a random encoder would have
    to take the place of a trained one that nobody gave up.
    """
    if extractor.weights == "none":
        if weights is not None:
            raise LmamError(f"{extractor.name} needs no weights; leave them out.")
        return Weights("none needed", None, "none")
    if weights is not None and str(weights) != "random":
        return _local(extractor, Path(weights).expanduser())
    if extractor.weights == "layer":
        return Weights(f"random (layer, seed {SEED}): a projection, not trained", None, f"layer {SEED}")
    if weights is None and (folder := hub(extractor)) is not None:
        return Weights(f"hub: {extractor.model}@{folder.name[:12]}", folder, f"hub {extractor.model}@{folder.name}")
    if weights is None and not fallback:
        raise LmamError(
            f"{extractor.name}: {extractor.model} is not on this machine and the hub cannot be reached; go online, "
            f"give a folder, `--weights {extractor.name}=FOLDER`, or ask for random encoders, whose numbers have no "
            "meaning, `--weights random`."
        )
    if weights is None:
        print(
            f"{extractor.name}: {extractor.model} is not on this machine and the hub cannot be reached, so a tiny "
            "random encoder takes its place; its numbers have the right shape and no meaning.",
            file=sys.stderr,
        )
    return Weights(f"random (tiny, seed {SEED})", None, f"tiny {SEED}")


def _local(extractor: Extractor, path: Path) -> Weights:
    """A folder (or for a layer, a file) that holds safetensors and, for an encoder, its config."""
    if not path.exists():
        raise LmamError(f"{path} is not there; give {extractor.name} a local folder, or 'random'.")
    if path.is_file() and extractor.weights == "hub":
        raise LmamError(f"{path} is a file; give {extractor.name} the folder with config.json and model.safetensors.")
    path = _snapshot(path, extractor.model)
    tensors = [path] if path.is_file() else sorted(path.glob("*.safetensors"))
    if (path.is_file() and path.suffix in _PICKLES) or not tensors:
        raise LmamError(
            f"{path} holds no .safetensors file; pickled weights ({', '.join(_PICKLES[:3])}) can run code when they "
            "are loaded, so convert them with safetensors.torch.save_file first."
        )
    if path.is_file() and path.suffix != ".safetensors":
        raise LmamError(f"{path} is not a .safetensors file.")
    if extractor.weights == "layer" and len(tensors) != 1:
        raise LmamError(f"{path} holds {len(tensors)} .safetensors files; give {extractor.name} the one that it needs.")
    for file in tensors:
        check(file)
    files = tensors if path.is_file() else sorted(p for p in path.iterdir() if p.is_file() and _counts(p))
    digest = hashlib.sha256("".join(f"{p.name} {sha256(p)}\n" for p in files).encode()).hexdigest()
    return Weights(f"local: {path}", tensors[0] if extractor.weights == "layer" else path, f"local {digest}")


def _snapshot(path: Path, model: str) -> Path:
    """The folder of files within the hub's cache, or within its folder of one model; any other path as it is."""
    if (inside := path / f"models--{model.replace('/', '--')}").is_dir():
        path = inside
    if not (path / "snapshots").is_dir():
        return path
    revisions = {folder.name: folder for folder in (path / "snapshots").iterdir() if folder.is_dir()}
    main = path / "refs" / "main"
    revision = main.read_text(encoding="utf-8", errors="replace").strip() if main.is_file() else ""
    if revision not in revisions and len(revisions) != 1:
        raise LmamError(f"{path} is a folder of the hub's cache with {len(revisions)} snapshots; give the one meant.")
    return revisions.get(revision) or next(iter(revisions.values()))


def _counts(path: Path) -> bool:
    """Whether a file of a checkpoint's folder decides what comes out."""
    return path.suffix in (".safetensors", ".json", ".txt", ".model")


def hub(extractor: Extractor) -> Path | None:
    """The snapshot's folder, named by its revision: this machine's copy, else downloaded, else None.

    Raises LmamError where the hub answers and the download fails all the same.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    tensors = "open_clip*.safetensors" if extractor.take == "open_clip" else "model*.safetensors"
    wanted = [*_FILES, tensors, f"{tensors}.index.json"]
    try:
        folder = Path(snapshot_download(extractor.model, allow_patterns=wanted, local_files_only=True))
        if any(folder.glob(tensors)):
            return _checked(folder, tensors)
    except LocalEntryNotFoundError:
        pass
    if not online():
        return None
    try:
        folder = Path(snapshot_download(extractor.model, allow_patterns=wanted))
        if not any(folder.glob(tensors)) and (revision := _converted(extractor.model)):
            folder = Path(snapshot_download(extractor.model, revision=revision, allow_patterns=wanted))
    except OSError as error:
        reason = str(error).strip().splitlines()[0]
        raise LmamError(f"{extractor.model} could not be downloaded: {reason}; try again, or give a folder.") from None
    if not any(folder.glob(tensors)):
        raise LmamError(
            f"{extractor.model} offers no {tensors} on the hub; convert its weights with save_pretrained and give the "
            "folder as weights."
        )
    return _checked(folder, tensors)


def _checked(folder: Path, tensors: str) -> Path:
    """A snapshot whose safetensors are whole; what is damaged on this machine is not downloaded again by itself."""
    for file in folder.glob(tensors):
        check(file)
    return folder


def _converted(repository: str) -> str | None:
    """The hub's own conversion to safetensors, which waits in a pull request where nobody has merged it."""
    from huggingface_hub import get_repo_discussions

    pull_requests = get_repo_discussions(repository, author="SFconvertbot", discussion_type="pull_request")
    return next((d.git_reference for d in pull_requests if "safetensors" in d.title.lower()), None)


@cache
def online() -> bool:
    """Whether the hub answers, asked once per process and for at most a few seconds; HF_HUB_OFFLINE means no."""
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return False
    from huggingface_hub.constants import ENDPOINT

    answers: list[bool] = []

    def ask() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(ENDPOINT, method="HEAD"), timeout=PATIENCE).close()
            answers.append(True)
        except urllib.error.HTTPError:  # it answers, whatever it says
            answers.append(True)
        except OSError:
            answers.append(False)

    # In a thread, because looking a name up has no time limit of its own.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PATIENCE + 1)
    return answers == [True]
