"""What goes wrong when a file is read, in one sentence that says what the file is in truth."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lmam_core.errors import LmamError

_STARTS = (
    (rb"version https://git-lfs\.", "a Git LFS pointer and not the file itself; get that with `git lfs pull`"),
    (rb"[./]*(git/)?annex/objects/", "a git-annex pointer and not the file itself; get that with `git annex get`"),
    (
        rb"(?i)\W*(<!doctype html|<html|<head|(<\?xml[^>]*>\s*)?<!DOCTYPE)",
        "a web page and not the file, as a server shows one to ask for a login or a confirmation; open the address in "
        "a browser and save the file itself",
    ),
    (rb'\s*\{\s*"', "JSON text, as a server sends it in place of a file; download the file again"),
    (rb"\x1f\x8b|BZh\d|\xfd7zXZ|7z\xbc\xaf|Rar!|\x28\xb5\x2f\xfd", "a packed file; unpack it first"),
    (rb"PK[\x03\x05]", "a zip archive (so are xlsx, npz and the checkpoints of PyTorch)"),
    (rb"\xd0\xcf\x11\xe0", "a document of an old Office"),
    (rb"\x89HDF", "an HDF5 file (so are the .csd files of the CMU SDK)"),
    (rb"\x93NUMPY", "a single array of numpy (.npy)"),
    (rb"%PDF", "a PDF"),
    (rb"\x80[\x02-\x05]", "a pickle"),
    (rb"\x00{64}", "a file of zeros, as a download leaves one that never ended; download it again"),
)


def mistaken_for(path: Path, start: bytes = b"") -> str | None:
    """What a file is that does not begin with `start`, and how to get the right one: `a Git LFS pointer ...`.

    None where its first bytes tell nothing, or it cannot be read.
    """
    try:
        with path.open("rb") as file:
            first = file.read(512)
    except OSError:
        return None
    if not first:
        return "empty; download or write it again"
    if start and first.startswith(start):
        return None
    return next((kind for pattern, kind in _STARTS if re.match(pattern, first)), None)


@contextmanager
def explained(path: Path, wanted: str, start: bytes = b"", advice: str = "copy it again") -> Iterator[None]:
    """Turn whatever is raised while a file is read into an LmamError that says what it is, or what is wrong with it.

    `wanted` is what it should have been, `an npz archive`, which begins with `start`. An LmamError passes as it is.
    """
    try:
        yield
    except LmamError:
        raise
    except Exception as error:  # a made-up file may fail in any way at all
        if isinstance(error, OSError) and error.strerror:
            raise LmamError(f"{path} cannot be read ({error.strerror}).") from error
        if kind := mistaken_for(path, start):
            raise LmamError(f"{path} cannot be read as {wanted}: it is {kind}.") from error
        reason = " ".join(str(error).split())[:200] or "it ends too early"
        raise LmamError(f"{path} cannot be read as {wanted} ({reason}); {advice}.") from error
