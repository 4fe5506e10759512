"""What the readers share: dialogues, one after the other, become the arrays that are stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from lmam_core.data import stored
from lmam_core.data.notes import reasons
from lmam_core.data.recordings.labels import remarks
from lmam_core.errors import LmamError
from lmam_core.hashing import sha256

T = TypeVar("T")
Widths = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Dialogue:
    """One dialogue of L utterances; `features[m][set]` is (L, d), `speaker` and `label` (L,)."""

    id: str
    split: str
    speaker: Sequence[Any]
    label: Sequence[Any]
    features: dict[str, dict[str, np.ndarray]]


def readable(ids: Iterable[T], make: Callable[[T], Dialogue], notes: list[str]) -> Iterator[Dialogue]:
    """The dialogue that `make` makes of each id; one that it fails on is left out with a sentence in `notes`."""
    for i in ids:
        try:
            yield make(i)
        except (LookupError, TypeError, ValueError, OverflowError, AttributeError) as error:
            reason = f"it is in no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
            notes.append(f"dialogue {i} is left out: {reason[:200]}.")


def utterances(
    path: Path, dialogues: Iterable[Dialogue], classes: tuple[str, ...] | None, notes: list[str], licence: str
) -> stored.Utterances:
    """The dialogues of a file as they are stored.

    The widths that most utterances have decide; a dialogue whose features, speakers and labels differ from them or from
    each other in length, and an utterance whose label is no class or no number, are left out with a sentence in
    `notes`. Raises LmamError where none is left.
    """
    dialogues = list(dialogues)
    widths = Counter[Widths]()
    for d in dialogues:
        widths[_widths(d)] += len(d.label)
    usual = max(widths, key=widths.__getitem__, default=())
    kept: list[Dialogue] = []
    rows: list[np.ndarray] = []
    for d in dialogues:
        if fault := _fault(d, usual):
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
        raise LmamError(f"{path} holds no dialogue that can be used. {reasons(notes)}".strip())
    classes, label = _present(classes, kept, rows, notes)
    if classes is None:
        notes += remarks(label)
    voices = [pd.factorize(np.array(list(map(str, d.speaker)), object))[0][g] for d, g in zip(kept, rows, strict=True)]
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


def _widths(d: Dialogue) -> Widths:
    """The modalities of a dialogue with their sets, whose names hold their widths."""
    return tuple((m, tuple(sets)) for m, sets in d.features.items())


def _fault(d: Dialogue, usual: Widths) -> str | None:
    for (m, sets), (_, most) in zip(_widths(d), usual, strict=True):
        if sets != most:
            return f"its {m} features are {', '.join(sets)}, most others {', '.join(most)}"
    lengths = {"speakers": len(d.speaker), "labels": len(d.label)}
    for m, sets_of in d.features.items():
        for name, x in sets_of.items():
            if x.ndim != 2:
                return f"its {m} features {name} have the shape {x.shape}"
            lengths[m] = len(x)
    if len(set(lengths.values())) > 1:
        return f"it has {', '.join(f'{n} {what}' for what, n in lengths.items())}"
    if not lengths["labels"]:
        return "it is empty"
    try:
        return None if np.asarray(d.label, np.float64).ndim == 1 else "its labels are several for an utterance"
    except (TypeError, ValueError, OverflowError):
        return f"its labels are no numbers, as {str(d.label[0])[:40]!r}"


def _present(
    classes: tuple[str, ...] | None, kept: list[Dialogue], rows: list[np.ndarray], notes: list[str]
) -> tuple[tuple[str, ...] | None, np.ndarray]:
    """The labels (N,); a class that the whole file lacks is dropped, since nothing could learn it."""
    label = np.concatenate([np.asarray(d.label, np.float64)[g] for d, g in zip(kept, rows, strict=True)])
    if classes is None:
        return None, label
    present = np.unique(label).astype(int)
    notes += [
        f"no utterance has the class {name}; it is dropped." for k, name in enumerate(classes) if k not in present
    ]
    return tuple(classes[k] for k in present), np.searchsorted(present, label)


def matrix(rows: Sequence[Any], what: str, notes: list[str]) -> np.ndarray:
    """L vectors, or an array, as float32 (L, d); the width that most have decides, a row of another one is all NaN."""
    with np.errstate(over="ignore"):  # beyond float32 is infinite, which the store counts
        if isinstance(rows, np.ndarray) and not rows.dtype.hasobject:
            return rows.astype(np.float32)
        vectors = [np.asarray(row, np.float32) for row in rows]
    shapes = Counter(v.shape for v in vectors)
    if len(shapes) < 2:
        return np.array(vectors, np.float32)
    usual = max(shapes, key=shapes.__getitem__)
    odd = [v.shape for v in vectors if v.shape != usual]
    notes.append(f"{what}: utterances that count as missing, as their shape is {odd[0]} and not {usual}: {len(odd)}.")
    return np.stack([v if v.shape == usual else np.full(usual, np.nan, np.float32) for v in vectors])


class Means:
    """Words or frames as their mean, and how many numbers were not finite on the way."""

    def __init__(self) -> None:
        self.numbers = self.utterances = 0

    def __call__(self, steps: Any) -> np.ndarray:
        """(T, d) as (d,) over the steps that are not all zeros; NaN where there is none.

        Numbers that are not finite, or beyond float32, count as 0, as the public loaders have it.
        """
        with np.errstate(over="ignore"):
            x = np.asarray(steps, np.float32)
        if not (finite := np.isfinite(x)).all():
            self.numbers += int((~finite).sum())
            self.utterances += 1
        x = np.where(finite, x, np.float32(0))
        nonzero = x.any(1)  # (T,)
        return x[nonzero].mean(0) if nonzero.any() else np.full(x.shape[1], np.nan, np.float32)

    def notes(self, what: str) -> list[str]:
        """The note on what was not finite."""
        if not self.numbers:
            return []
        return [
            f"{what}: numbers that are not finite and count as 0: {self.numbers}; utterances with any: "
            f"{self.utterances}."
        ]
