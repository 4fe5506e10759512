"""Fetch a dataset: the original public files, pinned by commit and sha256, gathered into one npz and checked.

    lmam data fetch mosi

Originals come from raw.githubusercontent.com. The environment variable `LMAM_SOURCES` names another place: a folder, or
the address of a mirror, that holds them as OWNER/REPOSITORY/COMMIT/PATH.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lmam_core import paths
from lmam_core.data.fetching import download, gather
from lmam_core.data.fetching.gather import EMBEDDING, Recipe
from lmam_core.data.fetching.recipe import write
from lmam_core.data.sources.base import PublicFile
from lmam_core.errors import LmamError
from lmam_core.hashing import sha256

GITHUB = "https://raw.githubusercontent.com"


def fetch(name: str, to: Path | str | None = None) -> Path:
    """Make `NAME.npz` in the folder `to`, and beside it the additional file of a dataset that has one; return its path.

    `to` is by default the folder that `LMAM_DATA` names, else `paths.CACHE`, so that the catalogue finds it.
    Prints what each source says of its licence, then takes the originals, kept in `to`/sources, from where they are:
    already there, in `LMAM_SOURCES`, or on the net. A broken download goes on where it stopped when asked again. Of
    every array the content is compared with the recorded one, and the outcome is printed. Raises LmamError where a
    source cannot be reached, is another file than recorded, or the disk is full; nothing half-made is left under the
    name of the whole.
    """
    recipe = gather.recipe(name)
    folder = Path(to or os.environ.get("LMAM_DATA") or paths.CACHE).expanduser()
    target = _npz(recipe, folder)
    if recipe.extra is not None:
        _npz(recipe.extra, folder)
    return target


def _npz(recipe: Recipe, folder: Path) -> Path:
    """The npz of one recipe in a folder, there already or made now."""
    target = folder / f"{recipe.name}.npz"
    if target.is_file() and set((states := recipe.states_in(target)).values()) <= {"exact", "close"}:
        print(f"{recipe.name} is there already.")
        _report(target, states)
        return target
    _notice(recipe)
    with _told(folder):
        originals = {Path(file.path).name: path for file, path in _originals(recipe, folder)}
        arrays = gather.gather(recipe, originals)
        write(target, arrays)
    _report(target, recipe.states(arrays))
    return target


def key(file: PublicFile) -> str:
    """Where a file lies in a mirror: OWNER/REPOSITORY/COMMIT/PATH."""
    return f"{file.repository}/{file.commit}/{file.path}"


def _notice(recipe: Recipe) -> None:
    """Print, before anything is downloaded, what each repository says of its licence."""
    print(
        f"{recipe.name} is gathered from {len(recipe.files)} public files. Please keep to the licences of their owners:"
    )
    for repository, licence in recipe.licences.items():
        count = sum(file.repository == repository for file in recipe.files)
        print(f"  https://github.com/{repository} ({count} {'file' if count == 1 else 'files'}): {licence}")
    if recipe.notice:
        print(f"  {recipe.notice}")


def _originals(recipe: Recipe, folder: Path) -> Iterator[tuple[PublicFile, Path]]:
    """Every original with its verified copy on this machine."""
    place = os.environ.get("LMAM_SOURCES") or GITHUB
    if not place.startswith(("http://", "https://")):
        for file in recipe.files:
            yield file, _local(file, Path(place).expanduser())
        return
    cache = download.Kept(folder / "sources", place.rstrip("/"), {key(f): f for f in recipe.files})
    for file in recipe.files:
        yield file, cache.get(key(file))


def _local(file: PublicFile, folder: Path) -> Path:
    """The file in a mirror folder, after its sha256 has been compared."""
    path = folder / key(file)
    if not path.is_file():
        raise LmamError(f"LMAM_SOURCES is '{folder}', which lacks {key(file)}; copy that file there from {file.url}.")
    if (digest := sha256(path)) != file.sha256:
        raise LmamError(
            f"{path} has the sha256 {digest[:12]}... where {file.sha256[:12]}... was recorded; "
            f"copy the file again from {file.url}."
        )
    return path


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Turn what a disk can do to a download into one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise LmamError(
                f"The disk that holds {folder} is full; make room or choose another folder, and ask again: what has "
                "arrived is kept."
            ) from error
        place, reason = error.filename or folder, error.strerror or error
        raise LmamError(f"{place} cannot be read or written ({reason}); check its permissions.") from error


def _report(path: Path, states: Mapping[str, str]) -> None:
    """Print how the arrays of a finished npz compare with the recorded ones."""
    exact = sum(state == "exact" for state in states.values())
    print(f"{path}: {exact} of {len(states)} arrays are exactly the recorded ones.")
    if states.get(EMBEDDING) == "close":
        print(f"  {EMBEDDING} was computed here and agrees with the recorded sample, but not to the last bit.")
    if states.get(EMBEDDING) == "missing":
        print(
            f"  {EMBEDDING} is left out: the encoder all-MiniLM-L6-v2 cannot be had here, or gives other numbers than "
            "recorded. Fetch again when it can, or choose another feature set of text."
        )
