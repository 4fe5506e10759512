"""A folder of recordings with a table of their utterances becomes a dataset: `lmam data build FOLDER`."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lmam_core import file_errors, paths
from lmam_core.data import stored
from lmam_core.data.notes import reasons
from lmam_core.data.recordings import labels, table
from lmam_core.data.recordings.table import Row
from lmam_core.errors import LmamError, unknown
from lmam_core.hashing import sha256

CLASSES = "classes.txt"
"""An optional file with the classes, one per line, in the order that tables show; other labels are then refused."""

_MEDIA = {"text": "a transcript", "audio": "a wav or mp4 file", "video": "an mp4 file"}

Extract = Callable[..., Any]
"""`lmam_core.features.extract.extract`, or what stands in for it in a test."""


def build(
    folder: Path | str,
    text: str = "minilm384",
    audio: str = "acoustic96",
    video: str = "clip512",
    weights: str | None = None,
    progress: bool = True,
    extract: Extract | None = None,
) -> Path:
    """Write `dataset.npz` and `dataset.json` into a folder with `utterances.csv`; returns the folder.

    `text`, `audio` and `video` name extractors (`lmam_core.features.extract.EXTRACTORS`; "" leaves the modality out),
    and `weights` is theirs: "random" takes small untrained encoders, which nothing else does, and `minilm384=FOLDER` a
    checkpoint; the description says which were at work. These are the rules, each with a sentence in the notes of
    `dataset.json` wherever it applies:

    - A row without a usable label, dialogue or turn is left out (`table.read`, `labels.kind`); a class that no
      training utterance has is no class.
    - A recording that is missing, damaged, neither wav nor mp4 or outside the folder costs its utterance the sound
      and the picture, which become the training mean; the utterance stays. So it is with an utterance without a
      transcript and its text. A modality that no utterance has is left out.
    - Splits come from the column `split`; a dialogue that names none, or two, is left out. Without that column whole
      dialogues are dealt by `labels.deal`.
    - Utterances are ordered by turn, equal turns as in the table. Rows without a speaker share one unknown voice.

    Raises LmamError where no dataset can come out at all.
    """
    folder = paths.given(folder)
    extract = extract or _extract()
    rows, columns, notes = table.read(folder / table.TABLE)
    rows = _apart(rows, notes)
    extractors = {m: _extractor(m, name) for m, name in (("text", text), ("audio", audio), ("video", video)) if name}
    labelled = _label(rows, _allowed(folder), notes)
    dialogues = _dialogues(labelled, "split" in columns, notes)
    kept, classes = _classes(labelled, dialogues, notes)
    order = {d: i for i, d in enumerate(dict.fromkeys(r.dialogue for r in kept.rows))}
    splits = [dialogues[d] for d in order]
    remarks = _splits_told(rows, kept.rows, notes) if "split" in columns else ""
    stored.check(folder.resolve().name, splits, classes, remarks)  # before hours of extraction
    media = _media(folder, kept.rows, columns, notes)
    if extract is _extract():  # what stands in for it needs no weights
        _ready([entry for m, entry in extractors.items() if _items(m, media)], weights, notes)
    features, identities = {}, {}
    for m, entry in extractors.items():
        extracted = _features(entry, media, kept.rows, extract, weights, progress, notes)
        if extracted is not None:
            features[m], identities[entry.name] = {entry.name: extracted[0]}, extracted[1]
    files = sorted({str(item[0]) for item in media.files if item})
    sources = {table.TABLE: sha256(folder / table.TABLE)}
    sources |= {Path(f).relative_to(folder.resolve()).as_posix(): sha256(Path(f)) for f in files}
    u = stored.Utterances(
        name=folder.resolve().name,
        about=_about(folder.resolve().name, stored.counted(splits, len(kept.rows), classes), identities),
        dialogues=list(order),
        splits=splits,
        owner=np.array([order[r.dialogue] for r in kept.rows]),
        speaker=pd.factorize(np.array([r.speaker for r in kept.rows], object))[0],
        label=np.array(kept.values),
        classes=classes,
        features=features,
        weights=identities,
        sources=sources,
        notes=notes,
    )
    return stored.write(folder, u)


def _extract() -> Extract:
    from lmam_core.features.extract import extract

    return extract


@dataclass(frozen=True)
class _Labelled:
    """Rows with their labels, as class indices or numbers."""

    rows: list[Row]
    values: list[int | float]
    classes: tuple[str, ...] | None


def _allowed(folder: Path) -> list[str] | None:
    """The classes of `classes.txt`, if it is there."""
    path = folder / CLASSES
    if not path.is_file():
        return None
    with file_errors.explained(path, "UTF-8 text", advice="save it as UTF-8"):
        names = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    if len({n.casefold() for n in names}) < max(2, len(names)):
        raise LmamError(f"{path} must name at least two classes, one per line, none of them twice.")
    return names


def _label(rows: Sequence[Row], allowed: list[str] | None, notes: list[str]) -> _Labelled:
    classes = labels.kind([r.label for r in rows], allowed)
    values = list(map(labels.reader(classes), (r.label for r in rows)))
    usable = [(r, v) for r, v in zip(rows, values, strict=True) if not isinstance(v, str)]
    notes += [f"{r.where} is left out: {v}." for r, v in zip(rows, values, strict=True) if isinstance(v, str)]
    if not usable:
        raise LmamError(f"No utterance has a label that can be used; fill in the column 'label'. {reasons(notes)}")
    if silent := sum(not r.speaker for r, _ in usable):
        notes.append(f"utterances without a speaker, which share one unknown voice in each dialogue: {silent}.")
    usable.sort(key=lambda pair: pair[0].turn)  # stable: equal turns stay as in the table
    at = {d: i for i, d in enumerate(dict.fromkeys(r.dialogue for r in rows))}
    usable.sort(key=lambda pair: at[pair[0].dialogue])
    again = [(a, b) for (a, _), (b, _) in itertools.pairwise(usable) if (a.dialogue, a.turn) == (b.dialogue, b.turn)]
    notes += [f"{b.where} has the same turn as line {a.line}; they stay in the order of the table." for a, b in again]
    if 10 * len(again) > len(usable):
        notes.append(
            f"{len(again)} of {len(usable)} utterances have the dialogue and the turn of another; do the ids of "
            "dialogues start again in each film, season or file? Then name that in the id too."
        )
    if classes is None:
        notes += labels.remarks(np.array([v for _, v in usable]))
    elif allowed is None and all("." in c and labels.number(c) is not None for c in classes):
        notes.append(f"The labels {' and '.join(classes)} are two whole numbers and are read as classes.")
    return _Labelled([r for r, _ in usable], [v for _, v in usable], classes)


def _apart(rows: list[Row], notes: list[str]) -> list[Row]:
    """The rows with the split in the dialogue's id where ids start again in each split, as in MELD's three tables.

    That is so where most of the dialogues that name several splits have the same turns in two of them.
    """
    turns: dict[str, dict[str, set[float]]] = {}
    for r in rows:
        if split := labels.split_of(r.split):
            turns.setdefault(r.dialogue, {}).setdefault(split, set()).add(r.turn)
    several = {d: of for d, of in turns.items() if len(of) > 1}
    anew = [d for d, of in several.items() if sum(map(len, of.values())) > len(set().union(*of.values()))]
    if 2 * len(anew) <= len(several):
        return rows
    notes += [
        f"dialogue {d} is in {' and '.join(of)} with turns of its own, so that its id is read as "
        f"{' and '.join(f'{split}-{d}' for split in of)}."
        for d, of in several.items()
    ]
    return [
        dataclasses.replace(r, dialogue=f"{split}-{r.dialogue}")
        if r.dialogue in several and (split := labels.split_of(r.split))
        else r
        for r in rows
    ]


def _splits_told(rows: Sequence[Row], kept: Sequence[Row], notes: list[str]) -> str:
    """What the column 'split' says, and why rows were left out."""
    lines = {r.line for r in kept}
    usable = Counter(r.split for r in rows if r.line in lines)
    cells = Counter(r.split for r in rows)
    parts = [f"'{cell}' in {n} rows ({usable[cell]} of them usable)" for cell, n in cells.most_common(8)]
    return f"The column 'split' says {', '.join(parts)}. {reasons(notes)}"


def _dialogues(labelled: _Labelled, by_column: bool, notes: list[str]) -> dict[str, str]:
    """The split of each dialogue that is kept."""
    groups: dict[str, list[int]] = {}
    for i, row in enumerate(labelled.rows):
        groups.setdefault(row.dialogue, []).append(i)
    if not by_column:
        none: set[int] = set()
        return labels.deal(
            {d: none if labelled.classes is None else {int(labelled.values[i]) for i in g} for d, g in groups.items()}
        )
    splits = {}
    for d, g in groups.items():
        try:
            splits[d] = labels.given_split([labelled.rows[i].split for i in g])
        except LmamError as error:
            notes.append(f"dialogue {d} ({len(g)} utterances) is left out: {error}.")
    if not splits:
        raise LmamError(
            "No dialogue names a split that can be used; write train, validation or test into each row. "
            f"{_splits_told(labelled.rows, (), notes)}"
        )
    return splits


def _classes(labelled: _Labelled, splits: dict[str, str], notes: list[str]) -> tuple[_Labelled, tuple[str, ...] | None]:
    """Rows of dialogues that are kept, with the classes that train has."""
    pairs = [(r, v) for r, v in zip(labelled.rows, labelled.values, strict=True) if r.dialogue in splits]
    if labelled.classes is None:
        return _Labelled([r for r, _ in pairs], [v for _, v in pairs], None), None
    train = Counter(v for r, v in pairs if splits[r.dialogue] == "train")
    index = {k: i for i, k in enumerate(k for k in range(len(labelled.classes)) if train[k])}
    for k, name in enumerate(labelled.classes):
        if k not in index:
            notes.append(f"the class '{name}' is left out: no training utterance has it.")
        elif train[k] == 1:
            notes.append(f"the class '{name}' has one training utterance; is it a slip of the pen?")
    notes += [f"{r.where} is left out: its label is in no training dialogue." for r, v in pairs if v not in index]
    pairs = [(r, index[int(v)]) for r, v in pairs if v in index]
    classes = tuple(labelled.classes[k] for k in index)
    for d in set(splits) - {r.dialogue for r, _ in pairs}:
        del splits[d]
    return _Labelled([r for r, _ in pairs], [v for _, v in pairs], classes), classes


@dataclass(frozen=True)
class _Media:
    """The text of every utterance, and its recording with the span, or None."""

    text: list[str]
    files: list[tuple[Path, str] | None]


def _media(folder: Path, rows: Sequence[Row], columns: set[str], notes: list[str]) -> _Media:
    """What each utterance gives."""
    files: list[tuple[Path, str] | None] = []
    opened: dict[str, Path | str] = {}
    some = any(r.file for r in rows)
    for row in rows:
        recording = table.recording(folder, row.file, opened) if row.file else "it names no file"
        if isinstance(recording, str) and some:
            notes.append(f"{row.where} has no recording: {recording}.")
        files.append(None if isinstance(recording, str) else recording)
    return _Media([r.text for r in rows], files)


def _features(
    entry: Any,
    media: _Media,
    rows: Sequence[Row],
    extract: Extract,
    weights: str | None,
    progress: bool,
    notes: list[str],
) -> tuple[np.ndarray, str] | None:
    """An extractor's features (N, d), NaN where there are none, and their weights; None where nothing is to extract."""
    modality, name = entry.modality, entry.name
    items = _items(modality, media)
    silent = sum(f is not None for f in media.files) - len(items)
    if modality == "video" and items and silent:
        notes.append(f"utterances in wav files, which hold no video, so that the training mean stands there: {silent}.")
    if not items:
        notes.append(f"{modality} is left out: no utterance has {_MEDIA[modality]}.")
        return None
    checkpoint = None if entry.weights == "none" else _weights(name, weights)
    extracted = extract(name, [item for _, item in items], weights=checkpoint, progress=progress)
    values = np.full((len(rows), extracted.values.shape[1]), np.nan, np.float32)
    values[[i for i, _ in items]] = extracted.values
    for k, why in extracted.failed.items():
        notes.append(f"{rows[items[k][0]].where} has no {modality}: {why.rstrip('.')}; the training mean stands there.")
    return values, extracted.weights


def _items(modality: str, media: _Media) -> list[tuple[int, str]]:
    """What there is to extract from, with the utterances' indices."""
    if modality == "text":
        return list(enumerate(media.text)) if any(media.text) else []
    suffixes = (".mp4",) if modality == "video" else (".mp4", ".wav")
    return [(i, f"{f[0]}{f[1]}") for i, f in enumerate(media.files) if f and f[0].suffix.lower() in suffixes]


def _ready(entries: Sequence[Any], weights: str | None, notes: list[str]) -> None:
    """Raise LmamError, before hours of extraction, for what an extractor lacks; a note on whose licence binds."""
    from lmam_core.features.extract import ready
    from lmam_core.features.registry import OPENSMILE

    for entry in entries:
        ready(entry.name, None if entry.weights == "none" else _weights(entry.name, weights))
        if entry.opensmile:
            notes.append(f"{entry.name} is computed by {OPENSMILE}; keep to that with these features as well.")


def _extractor(modality: str, name: str) -> Any:
    from lmam_core.features.extract import EXTRACTORS

    fitting = [n for n, e in EXTRACTORS.items() if e.modality == modality]
    if name not in fitting:
        raise unknown(f"There is no {modality} extractor", name, fitting)
    return EXTRACTORS[name]


def _weights(name: str, weights: str | None) -> str | None:
    """What `weights` says of one extractor; it may differ by name, as in `minilm384=FOLDER,clip512=random`."""
    from lmam_core.features.extract import EXTRACTORS

    if weights is None or "=" not in weights:
        return weights
    parts = [part.partition("=") for part in weights.split(",")]
    if unknown := [key.strip() for key, _, _ in parts if key.strip() not in EXTRACTORS]:
        raise LmamError(f"--weights names no extractor '{unknown[0]}'; the names are {', '.join(EXTRACTORS)}.")
    return next((value.strip() for key, _, value in parts if key.strip() == name), None)


def _about(name: str, counted: str, identities: dict[str, str]) -> str:
    """The sentences that pages print beside numbers from the dataset."""
    untrained = [n for n, weights in identities.items() if weights.startswith("random (tiny")]
    warning = f" The features {' and '.join(untrained)} come from encoders that nobody trained." if untrained else ""
    return f"{name}: own recordings, {counted}.{warning}"
