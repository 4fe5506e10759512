"""Recordings without labels become features, for a trained model to predict from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lmam_core.data import stored
from lmam_core.data.recordings import folder as labelled
from lmam_core.data.recordings import table
from lmam_core.errors import LmamError
from lmam_core.features.registry import EXTRACTORS
from lmam_core.hashing import sha256


@dataclass(frozen=True)
class Recordings:
    """N utterances in the order of their table.

    `features[m]` is float32 (N, d_m) with NaN in the rows that lack it; `dialogues` lists the rows of each dialogue in
    time order; `encoders[m]` says which weights were at work, `notes` what was left out or is missing.
    """

    rows: list[table.Row]
    features: dict[str, np.ndarray]
    dialogues: dict[str, np.ndarray]
    encoders: dict[str, str]
    notes: list[str]


def are_recordings(path: Path | str) -> bool:
    """Whether a folder holds recordings and no dataset that was built of them; LmamError for one of another table."""
    folder = Path(path).expanduser()
    listed = folder / table.TABLE
    if not listed.is_file() or not (folder / stored.DESCRIPTION).is_file():
        return listed.is_file()
    if stored.description(folder).get("sources", {}).get(table.TABLE) != sha256(listed):
        raise LmamError(
            f"{listed} has changed since a dataset was built of it; build it again, or put what is to be predicted "
            "into a folder of its own."
        )
    return False


def chosen(encoders: Mapping[str, str], weights: str | None) -> str | None:
    """Whose weights extractors take, as `extract` reads it: what is asked for, else what they had in training."""
    if weights is not None:
        return weights
    parts = [
        f"{name}={'random' if of.startswith('random') else of.removeprefix('local: ')}"
        for name, of in encoders.items()
        if of.startswith(("random (tiny", "local: "))
    ]
    return ",".join(parts) or None


def read(path: Path, features: Mapping[str, str], weights: str | None, progress: bool) -> Recordings:
    """Extract the named features (`{"text": "minilm384"}`) of the recordings of a folder.

    Raises LmamError for features that no extractor makes, and for a modality that no utterance has.
    """
    folder = path.expanduser()
    for m, name in features.items():
        if name not in EXTRACTORS:
            raise LmamError(
                f"The model reads {m} as {name}, which no extractor makes of recordings; give it a dataset that has "
                f"{name}, or train one on features that `lmam data build` makes."
            )
    rows, columns, notes = table.read(folder / table.TABLE, labelled=False)
    media = labelled._media(folder, rows, columns, notes)
    values, encoders = {}, {}
    for m, name in features.items():
        extracted = labelled._features(EXTRACTORS[name], media, rows, labelled._extract(), weights, progress, notes)
        if extracted is None or not np.isfinite(extracted[0]).any():
            why = next((note for note in reversed(notes) if m in note), "")
            raise LmamError(f"The model reads {m}, which no utterance of {folder} has. {why}".strip())
        values[m], encoders[m] = extracted
        values[m][~np.isfinite(values[m]).all(1)] = np.nan
    groups: dict[str, list[int]] = {}
    for i, row in enumerate(rows):
        groups.setdefault(row.dialogue, []).append(i)
    order = {name: np.array(sorted(group, key=lambda i: rows[i].turn)) for name, group in groups.items()}
    return Recordings(rows, values, order, encoders, notes)
