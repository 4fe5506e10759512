"""Computed rows on disk, keyed by the sha256 of content, extractor, settings and weights; arrays without pickles."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np

from lmam_core.errors import LmamError
from lmam_core.features.media import MediaError, parse
from lmam_core.features.registry import Extractor
from lmam_core.hashing import sha256

SETTINGS = {"text": "v1 512 tokens", "audio": "v2 16 kHz 60 s", "video": "v2 16 and 8 frames"}
"""What decides the numbers besides extractor and weights; a change of how media are read or pooled changes it."""


class Digest:
    """Names a medium by its content; a file that serves several spans is read once."""

    def __init__(self, modality: str) -> None:
        self.text = modality == "text"
        self.files: dict[Path, str] = {}

    def __call__(self, item: str | Path) -> str:
        """The sha256 of a text, or of a file with its span; raises MediaError for empty text and missing files."""
        if self.text:
            if not isinstance(item, str) or not item.strip():
                raise MediaError("The text is empty." if isinstance(item, str) else f"{item!r} is not a text.")
            try:
                return hashlib.sha256(item.encode()).hexdigest()
            except UnicodeEncodeError:
                raise MediaError("The text holds half of a character (a lone surrogate); decode it again.") from None
        media = parse(item)
        if media.path not in self.files:
            try:
                self.files[media.path] = sha256(media.path)
            except OSError as error:
                raise MediaError(f"{media.path.name} cannot be read: {error.strerror}.") from None
        return f"{self.files[media.path]}#{media.start}-{media.end}"


class Rows:
    """One small `.npy` file for each row, so that an interrupted run keeps what it has; no folder, no cache."""

    def __init__(self, folder: Path | None, extractor: Extractor, identity: str) -> None:
        self.folder = None if folder is None else Path(folder) / extractor.name
        self.width = extractor.width
        numbers = {k: v for k, v in asdict(extractor).items() if k not in ("about", "paper")}
        self.settings = json.dumps([numbers, SETTINGS[extractor.modality], identity], sort_keys=True)

    def _path(self, folder: Path, key: str) -> Path:
        name = hashlib.sha256(f"{self.settings}\0{key}".encode()).hexdigest()
        return folder / name[:2] / f"{name}.npy"

    def get(self, key: str) -> np.ndarray | None:
        """The row, float32 (width,), or None where there is none; a damaged file counts as none."""
        if self.folder is None:
            return None
        try:
            row = np.load(self._path(self.folder, key), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        return row if row.shape == (self.width,) and row.dtype == np.float32 else None

    def put(self, key: str, row: np.ndarray) -> None:
        """Keep a row; it appears whole or not at all. Raises LmamError where the folder cannot be written."""
        if self.folder is None:
            return
        path = self._path(self.folder, key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as part:
                np.save(part, np.asarray(row, np.float32), allow_pickle=False)
            os.replace(part.name, path)
        except OSError as error:
            raise LmamError(
                f"{self.folder} cannot be written ({error.strerror}); give another cache, or None."
            ) from None
