"""An npz, of which no array is given memory before its claims are checked."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

import numpy as np
import psutil

from lmam_core import file_errors
from lmam_core.errors import LmamError


class Archive(Mapping[str, np.ndarray]):
    """The arrays of an npz by name, each read when it is asked for; a context that closes the file.

    Raises LmamError for a file that is no npz, an array that is damaged, holds objects, or claims more than it has or
    than this machine has room for.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._door():
            self._zip = zipfile.ZipFile(path)
        self._members = {info.filename.removesuffix(".npy"): info for info in self._zip.infolist()}

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._zip.close()

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __getitem__(self, name: str) -> np.ndarray:
        info = self._members[name]
        with self._door(), self._zip.open(info) as file:
            version = np.lib.format.read_magic(file)
            if version not in ((1, 0), (2, 0)):
                raise LmamError(f"{self.path}: its array {name} is in a format of numpy that this book cannot read.")
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = header(file)
            size = math.prod(shape) * dtype.itemsize
            if not dtype.hasobject and size != info.file_size - file.tell():
                raise LmamError(f"{self.path}: its array {name} claims {size:,} bytes and has {info.file_size:,}.")
            if size > (room := psutil.virtual_memory().available):
                raise LmamError(
                    f"{self.path}: its array {name} would take {size / 2**30:,.1f} GiB, and this machine has "
                    f"{room / 2**30:,.1f} GiB left."
                )
            file.seek(0)
            array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
            return array

    def _door(self) -> AbstractContextManager[None]:
        return file_errors.explained(self.path, "an npz archive", b"PK\x03\x04")
