"""What every source is described by, and the two steps that all builders share."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np

from lmam_core.batch import Conversation
from lmam_core.data.dataset import Dataset

Arrays = Mapping[str, np.ndarray]
"""The arrays of an opened npz by name; each is read when it is asked for."""


@dataclass(frozen=True)
class PublicFile:
    """A file of a public repository of GitHub, `OWNER/NAME`, pinned by commit, that a dataset was gathered from.

    `bytes` is 0 for a file that is told as a source and never fetched.
    """

    repository: str
    commit: str
    path: str
    bytes: int
    sha256: str

    @property
    def url(self) -> str:
        """The page of exactly this version."""
        return f"https://github.com/{self.repository}/blob/{self.commit}/{self.path}"


@cache
def _table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def rows(path: Path, npz: str) -> list[dict[str, str]]:
    """The rows about one npz of a table that comes with the package, in their order."""
    return [row for row in _table(path) if row["npz"] == npz]


def public_files(npz: str) -> tuple[PublicFile, ...]:
    """What an npz was gathered from: its rows of `public_files.csv`."""
    table = rows(Path(__file__).with_name("public_files.csv"), npz)
    return tuple(
        PublicFile(row["repository"], row["commit"], row["path"], int(row["bytes"] or 0), row["sha256"])
        for row in table
    )


@dataclass(frozen=True)
class Extra:
    """An additional npz of a dataset, row for row beside the first, of which only `arrays` are read.

    It is needed only where one of them is asked for.
    """

    file: str
    bytes: int
    sha256: str
    arrays: tuple[str, ...]
    sources: tuple[PublicFile, ...]


@dataclass(frozen=True)
class Record:
    """All that the catalogue knows of a dataset without opening it.

    `feature_sets[m]` maps the name of each feature set of modality m to its array in the npz, the default first.
    `sha256` and `bytes` are those of `file`; a generated dataset has neither `file` nor `bytes`, and its `sha256`
    identifies the settings that it is generated from. `missing` says what the paper used and this dataset lacks.
    `extra` is a second file that some feature sets are in. Data of another `task` than conversations is not offered
    where those are; without feature sets, its task reads its arrays.
    """

    name: str
    kind: Literal["real", "synthetic"]
    about: str
    missing: str
    licence: str
    feature_sets: dict[str, dict[str, str]]
    sha256: str
    build: Callable[[Arrays, dict[str, str]], Dataset] | None
    file: str | None = None
    bytes: int | None = None
    sources: tuple[PublicFile, ...] = ()
    extra: Extra | None = None
    task: str = "conversation"

    @property
    def default_modalities(self) -> list[str]:
        """The modalities of the paper that the dataset has: all of its own except `nonverbal`."""
        return [m for m in self.feature_sets if m != "nonverbal"]

    def parts(self, features: dict[str, str]) -> tuple[Record | Extra, ...]:
        """The descriptions of the files that these feature sets are in: the record itself, then perhaps `extra`."""
        needed = {self.feature_sets[m][name] for m, name in features.items()}
        return (self, self.extra) if self.extra is not None and needed & set(self.extra.arrays) else (self,)

    def read(self, arrays: Arrays, features: dict[str, str]) -> dict[str, np.ndarray]:
        """The array (N, d_m) of each modality's chosen feature set."""
        return {m: arrays[self.feature_sets[m][name]] for m, name in features.items()}


def combined(sha256: Sequence[str]) -> str:
    """One sha256 for content that lies in several files: that of a single file stays as it is."""
    return sha256[0] if len(sha256) == 1 else hashlib.sha256(" ".join(sha256).encode()).hexdigest()


def speakers_by_appearance(speaker: np.ndarray) -> np.ndarray:
    """Speaker codes (L,) renumbered so that whoever speaks first is 0, the next new voice 1, and so on."""
    _, first, code = np.unique(speaker, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[code].astype(np.int64)  # (L,)


def conversations(
    ids: Sequence[str] | np.ndarray,
    owner: np.ndarray,
    features: dict[str, np.ndarray],
    speaker: np.ndarray,
    label: np.ndarray,
) -> Iterator[Conversation]:
    """Cut arrays of N utterances into conversations, in stored order.

    `owner` (N,) holds the index into `ids` of each utterance's conversation and never falls; `features[m]` (N, d_m),
    `speaker` (N,), `label` (N,) already of the wanted type.
    """
    ends = np.searchsorted(owner, np.arange(len(ids) + 1))
    for i, start, stop in zip(ids, ends[:-1], ends[1:], strict=True):
        rows = slice(start, stop)
        x = {m: a[rows].astype(np.float32, copy=False) for m, a in features.items()}  # (L, d_m)
        yield Conversation(str(i), x, speakers_by_appearance(speaker[rows]), label[rows])


def by_split(names: Sequence[str], split: np.ndarray, cut: Iterator[Conversation]) -> dict[str, list[Conversation]]:
    """Sort conversations into splits: conversation i goes to `names[split[i]]`."""
    splits: dict[str, list[Conversation]] = {name: [] for name in names}
    for code, c in zip(split, cut, strict=True):
        splits[names[code]].append(c)
    return splits
