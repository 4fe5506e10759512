"""A dataset in a folder of its own: `dataset.npz` with every array, `dataset.json` with what they are.

This is what `lmam data build` and `lmam data read` write, and what the catalogue loads where a path stands in place of
a name. The npz decides every number, the json says where it came from and holds the npz's sha256.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from lmam_core import file_errors, paths
from lmam_core.batch import MODALITIES
from lmam_core.data.dataset import Dataset
from lmam_core.data.sources.base import Arrays, Record, by_split, conversations
from lmam_core.errors import LmamError
from lmam_core.hashing import sha256

SPLITS = ("train", "validation", "test")
ARRAYS, DESCRIPTION = "dataset.npz", "dataset.json"
_FORMAT = 1


@dataclass(frozen=True)
class Utterances:
    """N utterances of D dialogues, dialogue after dialogue and in time order, as they are stored.

    `dialogues` are the D ids, `splits` (D,) their splits; `owner` (N,) is the index of an utterance's dialogue and
    never falls; `speaker` (N,) tells voices apart within a dialogue; `label` (N,) is int64 for `classes` and float32
    without. `features[m][set]` is (N, d) with a row of NaN where an utterance has none; `weights[set]` says which
    encoder made it. `notes` are the sentences about what was left out, filled in or guessed.
    """

    name: str
    about: str
    dialogues: list[str]
    splits: list[str]
    owner: np.ndarray
    speaker: np.ndarray
    label: np.ndarray
    classes: tuple[str, ...] | None
    features: dict[str, dict[str, np.ndarray]]
    weights: dict[str, str] = field(default_factory=dict)
    licence: str = "That of whoever made the recordings."
    sources: Mapping[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}")
"""What a set of features may be called; it is written `text=minilm384,audio=egemaps88` and stands on pages."""
_LONGEST = 200


def slug(text: str) -> str:
    """A name that can stand in a path: letters, digits, `_`, `.` and `-`."""
    return re.sub(r"[^\w.-]+", "-", text)[:_LONGEST].strip(".-") or "dataset"


def counted(splits: list[str], utterances: int, classes: tuple[str, ...] | None) -> str:
    """How many dialogues and utterances there are and what is asked of them, for the sentence `about` a dataset."""
    counts = ", ".join(f"{splits.count(s)} {s}" for s in SPLITS if s in splits)
    target = "a real number for each" if classes is None else f"the classes {', '.join(classes)}"
    return f"{len(splits)} dialogues ({counts}) with {utterances} utterances and {target}"


def check(name: str, splits: list[str], classes: tuple[str, ...] | None, remarks: str = "") -> None:
    """Raise LmamError where nothing could be learnt: no train or test dialogue, or fewer than two classes.

    `remarks` are sentences on what stands in place of splits.
    """
    for split in ("train", "test"):
        if split not in splits:
            raise LmamError(
                f"{name} has no {split} dialogues; name some in the column 'split', or add dialogues. {remarks}".strip()
            )
    if classes is not None and len(classes) < 2:
        raise LmamError(f"{name} has one class only, {', '.join(classes)}; there is nothing to tell apart.")


def write(folder: Path | str, u: Utterances) -> Path:
    """Store utterances in a folder; returns the folder, which is from now on the name of the dataset.

    A row of NaN or infinity becomes the mean over the training utterances that have one, and is counted; a feature
    set that no training utterance has is left out with a sentence. Raises LmamError where nothing can be learnt:
    no modality, no train or test dialogue, fewer than two classes; and where the folder cannot be written.
    """
    folder, notes = Path(folder), list(u.notes)
    check(u.name, u.splits, u.classes)
    if long := next((d for d in u.dialogues if len(d) > _LONGEST), None):
        raise LmamError(f"The id of the dialogue {long[:40]}... has {len(long):,} letters; at most {_LONGEST} can be.")
    split = np.array([SPLITS.index(s) for s in u.splits], np.int8)  # (D,)
    arrays = {
        "dialogue_id": np.array(u.dialogues, dtype=np.str_),
        "dialogue_split": split,
        "utt_dialogue": u.owner.astype(np.int64),
        "speaker": u.speaker.astype(np.int64),
        "label": u.label.astype(np.float32 if u.classes is None else np.int64),
        "classes": np.array(u.classes or (), dtype=np.str_),
    }
    sets: dict[str, dict[str, dict[str, Any]]] = {}
    for m in (m for m in MODALITIES if m in u.features):
        for name, x in u.features[m].items():
            if infinite := int((np.isinf(x) | (np.abs(x) > np.finfo(np.float32).max)).any(1).sum()):
                notes.append(
                    f"{infinite} utterances have a number in {name} that is infinite or beyond float32; the training "
                    "mean stands there."
                )
            filled, missing = _filled(x, split[u.owner] == 0)
            if filled is None:
                notes.append(f"{m} is left out: no training utterance has {name}.")
                continue
            array = f"{m}_{name}"
            arrays[array] = filled
            described = {"array": array, "width": int(x.shape[1]), "missing": missing}
            sets.setdefault(m, {})[name] = described | {"weights": u.weights.get(name, "")}
    if not sets:
        raise LmamError(f"{u.name} has no features at all: {' '.join(notes[-3:]) or 'no text and no recordings.'}")
    _save(folder, arrays, u, sets, notes)
    return folder


def _filled(x: np.ndarray, train: np.ndarray) -> tuple[np.ndarray | None, int]:
    """x (N, d) with the training mean in rows that are not finite, and how many; None where train has no row."""
    present = (np.abs(x) <= np.finfo(np.float32).max).all(1)  # (N,)
    if not (present & train).any():
        return None, int((~present).sum())
    mean = x[present & train].mean(0, dtype=np.float64)  # (d,)
    return np.where(present[:, None], x, mean).astype(np.float32), int((~present).sum())


def _save(folder: Path, arrays: dict[str, np.ndarray], u: Utterances, sets: dict[str, Any], notes: list[str]) -> None:
    counts = {s: u.splits.count(s) for s in SPLITS if s in u.splits}
    with written(folder, ARRAYS, DESCRIPTION, "dataset") as (npz, description):
        with npz.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
        content = {
            "format": _FORMAT,
            "name": slug(u.name),
            "about": u.about,
            "classes": u.classes,
            "dialogues": counts,
            "utterances": len(u.label),
            "feature_sets": sets,
            "licence": u.licence,
            "notes": notes,
            "sources": dict(u.sources),
            "bytes": npz.stat().st_size,
            "sha256": sha256(npz),
        }
        description.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


@contextmanager
def written(folder: Path, contents: str, description: str, what: str) -> Iterator[tuple[Path, Path]]:
    """The paths at which to write two files of a folder, beside their places, to which they then move.

    The description goes first and comes last, so that an old one never stands beside new contents. Where the block
    raises, the folder stays as it was; raises LmamError for `what` that cannot be written.
    """
    files = [folder / contents, folder / description]
    unfinished = [path.with_name(f"{path.name}.{os.getpid()}.tmp") for path in files]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield unfinished[0], unfinished[1]
        files[1].unlink(missing_ok=True)
        for path, place in zip(unfinished, files, strict=True):
            path.replace(place)
    except OSError as error:
        raise LmamError(f"The {what} could not be written to {folder} ({error.strerror}).") from error
    finally:
        for path in unfinished:
            with suppress(OSError):
                path.unlink(missing_ok=True)


def description(path: Path | str) -> dict[str, Any]:
    """What `dataset.json` says of a folder, or of the folder of its npz; raises LmamError where there is none."""
    folder = place(path)
    for name in (DESCRIPTION, ARRAYS):
        if not (folder / name).is_file():
            raise LmamError(
                f"{folder} is not a dataset: it holds no {name}; make it with `lmam data build {folder}` "
                "from recordings, or with `lmam data read FILE --to FOLDER` from a file of features."
            )
    state = (folder / DESCRIPTION).stat()
    return _described(folder, state.st_mtime_ns, state.st_size)


def record(path: Path | str) -> Record:
    """What the catalogue needs to know of a stored dataset."""
    described = description(path)
    return Record(
        name=slug(described["name"]),
        kind="real",
        about=described["about"],
        missing="",
        licence=described["licence"],
        feature_sets={m: {s: d["array"] for s, d in sets.items()} for m, sets in described["feature_sets"].items()},
        sha256=described["sha256"],
        build=partial(_build, str(place(path))),
        file=str(place(path) / ARRAYS),
        bytes=described["bytes"],
    )


def place(path: Path | str) -> Path:
    """The folder of a dataset as an absolute path, given any spelling of it or of its npz."""
    path = Path(os.path.abspath(paths.given(path)))
    return path.parent if path.name == ARRAYS else path


@lru_cache(maxsize=8)
def _described(folder: Path, changed: int, size: int) -> dict[str, Any]:
    """The content of a description, read again when the file has changed."""
    path = folder / DESCRIPTION
    with file_errors.explained(path, "the description of a dataset", b"{", "build the dataset again"):
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != _FORMAT:
            raise LmamError(f"{path} has the format {content['format']!r:.50}; build the dataset again.")
        fields = {"name": str, "about": str, "licence": str, "sha256": str, "bytes": int, "notes": list}
        wrong = [name for name, kind in fields.items() if not isinstance(content[name], kind)]
        for m, sets in content["feature_sets"].items():
            of_set = {"array": str, "width": int, "missing": int, "weights": str}
            wrong += [m] if m not in MODALITIES or not sets else []
            for name, described in sets.items():
                wrong += [] if _NAME.fullmatch(name) else [name]
                wrong += [key for key, kind in of_set.items() if not isinstance(described[key], kind)]
        if wrong or not content["feature_sets"] or not re.fullmatch("[0-9a-f]{64}", content["sha256"]):
            raise TypeError(f"{wrong[0] if wrong else 'feature_sets or sha256'!r:.50} cannot stand there")
        return content


def _build(path: str, arrays: Arrays, features: dict[str, str]) -> Dataset:
    """A stored dataset's conversations."""
    this, described = record(path), description(path)["feature_sets"]
    encoders = {m: str(described[m][name].get("weights", "")) for m, name in features.items()}
    with file_errors.explained(Path(this.file or path), f"what its {DESCRIPTION} says", b"PK", "build it again"):
        classes = tuple(str(c) for c in arrays["classes"]) or None
        owner, split, ids, raw = (arrays[name] for name in ("utt_dialogue", "dialogue_split", "dialogue_id", "label"))
        x, speaker = this.read(arrays, features), arrays["speaker"]
        label = raw.astype(np.int64 if classes else np.float32)
        if (label != raw).any() and classes:
            raise ValueError("a label is no whole number")
        if {len(a) for a in (owner, speaker, label, *x.values())} != {len(owner)} or len(ids) != len(split):
            raise ValueError("its arrays are of different lengths")
        if (
            (np.diff(owner) < 0).any()
            or not np.isin(owner, range(len(ids))).all()
            or not np.isin(split, range(3)).all()
        ):
            raise ValueError("its utterances are not in the order of its dialogues, or these in none of three splits")
        cut = conversations(ids=ids, owner=owner, features=x, speaker=speaker, label=label)
        return Dataset(
            name=this.name,
            feature_sets=features,
            classes=classes,
            splits={s: cs for s, cs in by_split(SPLITS, split, cut).items() if cs},
            sha256=this.sha256,
            about=this.about,
            encoders=encoders,
        )
