"""What every recipe is made of, and how gathered arrays are written and told apart by content."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lmam_core.data.sources.base import PublicFile, rows

Originals = Mapping[str, Path]
"""Where each original file lies, by the last part of its name; no dataset has two files of one name."""

Arrays = dict[str, np.ndarray]

UNSTATED = "No licence file, and none named in its pages; ask its owner before you use or pass on what is in it."
"""The licence notice of a repository that has none."""

State = Literal["exact", "close", "missing", "different"]
"""Of an array: the recorded bytes; within `TOLERANCE` of a recorded sample; not there; none of these."""

EMBEDDING = "text_minilm384"
"""The one array that needs an encoder's weights, and whose last bits depend on the machine that computes it."""

TOLERANCE = 1e-3
"""How far an embedding may be from its recorded sample, whose rows have length 1."""


@dataclass(frozen=True)
class Recipe:
    """How the arrays of one dataset come out of original public files.

    `licences` says of each repository what it allows, `notice` what no repository says. `arrays` makes everything but
    the embedding, `sha256` holds `content_sha256` of each array in the order of the npz (`recorded`). Where there is an
    embedding, `texts` takes the originals and those arrays and gives the N sentences that it is made from; `sample` is
    the recorded `sampled` of it. `extra` makes the additional npz of a dataset that has one.
    """

    name: str
    files: tuple[PublicFile, ...]
    licences: dict[str, str]
    arrays: Callable[[Originals], Arrays]
    sha256: dict[str, str]
    texts: Callable[[Originals, Arrays], list[str]] | None = None
    sample: tuple[tuple[float, ...], ...] = ()
    notice: str = ""
    extra: Recipe | None = None

    def states(self, arrays: Mapping[str, np.ndarray]) -> dict[str, State]:
        """How each recorded array compares with the one in `arrays`."""
        return {name: self._state(name, arrays) for name in self.sha256}

    def states_in(self, path: Path) -> dict[str, State]:
        """How each recorded array compares with the one in an npz; all are missing where there is no readable npz."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return self.states(arrays)
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError):
            return dict.fromkeys(self.sha256, "missing")

    def _state(self, name: str, arrays: Mapping[str, np.ndarray]) -> State:
        if name not in arrays:
            return "missing"
        array = arrays[name]
        if content_sha256(array) == self.sha256[name]:
            return "exact"
        if name != EMBEDDING or array.shape[1:] != (384,) or len(array) == 0:
            return "different"
        close = np.allclose(sampled(array), self.sample, rtol=0, atol=TOLERANCE)
        return "close" if close and np.isfinite(array).all() else "different"


def wrong(states: Mapping[str, State]) -> list[str]:
    """The arrays that no other machine explains: all but the exact ones, and an embedding that is close or missing."""
    return [n for n, s in states.items() if s != "exact" and (n != EMBEDDING or s == "different")]


def recorded(npz: str) -> dict[str, str]:
    """`content_sha256` of each array of an npz: its rows of `arrays.csv`."""
    return {row["array"]: row["sha256"] for row in rows(Path(__file__).with_name("arrays.csv"), npz)}


def content_sha256(array: np.ndarray) -> str:
    """The sha256 of an array's type, shape and values, whatever file it stands in."""
    head = f"{array.dtype.str}{array.shape}".encode()
    return hashlib.sha256(head + np.ascontiguousarray(array).tobytes()).hexdigest()


def sampled(x: np.ndarray) -> np.ndarray:
    """The first four columns (4, 4) of four rows of x (N, d): the first, two on the way, and the last."""
    return x[np.linspace(0, len(x) - 1, 4).astype(int), :4]


def pick(files: Iterable[PublicFile], *names: str) -> tuple[PublicFile, ...]:
    """The files with these last parts of their names, in this order."""
    by_name = {Path(f.path).name: f for f in files}
    return tuple(by_name[name] for name in names)


def unpickled(path: Path) -> Any:
    """The arrays and containers of a pickle, read through the allow-list."""
    from lmam_core.data import pickles

    return pickles.load(path)


def write(path: Path, arrays: Arrays) -> None:
    """Write an npz, under its own name only once it is whole; equal arrays give equal bytes with the same zlib."""
    part = path.with_name(f"{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    with part.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)
    part.replace(path)


def flat(sequences: Iterable[Iterable[Any]]) -> list[Any]:
    """All elements of all sequences, in order."""
    return [element for sequence in sequences for element in sequence]
