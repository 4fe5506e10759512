"""What the readers share: dialogues, one after the other, become the arrays that are stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lmam_core.data import stored
from lmam_core.errors import LmamError
from lmam_core.hashing import sha256


@dataclass(frozen=True)
class Dialogue:
    """One dialogue of L utterances; `features[m][set]` is (L, d), `speaker` and `label` (L,)."""

    id: str
    split: str
    speaker: Sequence[Any]
    label: Sequence[Any]
    features: dict[str, dict[str, np.ndarray]]


def utterances(
    path: Path, dialogues: Iterable[Dialogue], classes: tuple[str, ...] | None, notes: list[str], licence: str
) -> stored.Utterances:
    """The dialogues of a file as they are stored.

    A dialogue whose features, speakers and labels differ in length or width from the rest, and an utterance whose
    label is no class or no number, are left out with a sentence in `notes`. Raises LmamError where none is left.
    """
    kept: list[Dialogue] = []
    rows: list[np.ndarray] = []
    for d in dialogues:
        fault = _fault(d, kept[0] if kept else d)
        if fault:
            notes.append(f"dialogue {d.id} is left out: {fault}.")
            continue
        label = np.asarray(d.label, np.float64)  # (L,)
        good = np.isfinite(label) if classes is None else np.isin(label, range(len(classes)))
        if not good.all():
            notes.append(f"dialogue {d.id}: utterances left out for a label that is not usable: {(~good).sum()}.")
        if good.any():
            kept.append(d)
            rows.append(good)
    if not kept:
        raise LmamError(f"{path} holds no dialogue that can be used. {' '.join(notes[:3])}".strip())
    classes, label = _present(classes, kept, rows, notes)
    voices = [
        np.unique([str(s) for s in d.speaker], return_inverse=True)[1][g] for d, g in zip(kept, rows, strict=True)
    ]
    first = kept[0].features
    features = {
        m: {s: np.concatenate([d.features[m][s][g] for d, g in zip(kept, rows, strict=True)]) for s in sets}
        for m, sets in first.items()
    }
    splits = [d.split for d in kept]
    return stored.Utterances(
        name=path.stem,
        about=f"{path.name}: {stored.counted(splits, len(label), classes)}.",
        dialogues=[d.id for d in kept],
        splits=splits,
        owner=np.repeat(np.arange(len(kept)), [g.sum() for g in rows]),
        speaker=np.concatenate(voices),
        label=label,
        classes=classes,
        features=features,
        weights={s: f"as published in {path.name}" for sets in first.values() for s in sets},
        licence=licence,
        sources={path.name: sha256(path)} if path.is_file() else {},
        notes=notes,
    )


def _fault(d: Dialogue, like: Dialogue) -> str | None:
    lengths = {"speakers": len(d.speaker), "labels": len(d.label)}
    for m, sets in d.features.items():
        if sets.keys() != like.features[m].keys():  # a width is part of the name
            return f"its {m} features are {', '.join(sets)}, others {', '.join(like.features[m])}"
        for name, x in sets.items():
            if x.ndim != 2:
                return f"its {m} features {name} have the shape {x.shape}"
            lengths[m] = len(x)
    if len(set(lengths.values())) > 1:
        return f"it has {', '.join(f'{n} {what}' for what, n in lengths.items())}"
    return None if lengths["labels"] else "it is empty"


def _present(
    classes: tuple[str, ...] | None, kept: list[Dialogue], rows: list[np.ndarray], notes: list[str]
) -> tuple[tuple[str, ...] | None, np.ndarray]:
    """The labels (N,); a class that the whole file lacks is dropped, since nothing could learn it."""
    label = np.concatenate([np.asarray(d.label, np.float64)[g] for d, g in zip(kept, rows, strict=True)])
    if classes is None:
        return None, label
    found = np.unique(label).astype(int)
    notes += [f"no utterance has the class {name}; it is dropped." for k, name in enumerate(classes) if k not in found]
    return tuple(classes[k] for k in found), np.searchsorted(found, label)


def matrix(x: Any) -> np.ndarray:
    """A list of L vectors, or an array, as float32 (L, d)."""
    return np.asarray(x, np.float32)


def mean(steps: np.ndarray) -> np.ndarray:
    """Words or frames (T, d) as their mean (d,) over the steps that are not all zeros; NaN where there is none.

    Numbers that are not finite count as 0, as the public loaders have it.
    """
    steps = np.nan_to_num(np.asarray(steps, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    there = steps.any(1)  # (T,)
    return steps[there].mean(0) if there.any() else np.full(steps.shape[1], np.nan, np.float32)
