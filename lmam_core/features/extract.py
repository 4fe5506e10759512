"""From media to features: text, sound and pictures of utterances in, one float32 array for each modality out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
from tqdm import tqdm

from lmam_core import paths
from lmam_core.errors import LmamError
from lmam_core.features import cache as store
from lmam_core.features import weights as checkpoints
from lmam_core.features.media import MediaError
from lmam_core.features.registry import EXTRACTORS, Extractor, extractor

__all__ = ["DEFAULT_CACHE", "EXTRACTORS", "Extracted", "Extractor", "extract", "extractor", "ready"]

DEFAULT_CACHE = paths.CACHE / "features"
"""Where computed rows are kept; the folder may be deleted at any time."""


@dataclass(frozen=True)
class Extracted:
    """Features of N media.

    `values` is float32 (N, width), with NaN in the rows of `failed`, which maps an index to one sentence on why.
    `weights` says where the extractor's numbers came from (`hub: ...`, `local: ...`, `random (...)`, `none needed`).
    """

    values: np.ndarray
    failed: dict[int, str]
    weights: str

    @property
    def random(self) -> bool:
        """True where no trained encoder was at work, so that the values are of the right shape and nothing more."""
        return self.weights.startswith("random (tiny")


def extract(
    name: str,
    media: Sequence[str | Path],
    *,
    weights: str | Path | None = None,
    device: str = "cpu",
    batch_size: int | None = None,
    cache: Path | None = DEFAULT_CACHE,
    progress: bool = True,
) -> Extracted:
    """Features of `media` by the extractor `name`; one row each, in their order.

    Text media are the strings themselves; audio and video media are paths, where `talk.mp4#t=12.5,16` means the
    seconds 12.5 to 16 of a recording. `weights=None` takes the hub's checkpoint, and where neither the hub nor its
    cache on this machine has it, a tiny random encoder of the same width, said on standard error and in
    `Extracted.weights`; a path is a folder with safetensors (for a `layer`, one .safetensors file); `"random"` forces
    the random one. Rows are kept in `cache` by content, extractor and weights; None keeps nothing.

    An item that cannot be used fails alone, with a sentence. Raises LmamError for an unknown extractor, weights that
    are missing or not safetensors, a device that is not there, and a cache that cannot be written.
    """
    entry = extractor(name)
    if isinstance(media, str | Path):
        raise LmamError(f"{name} takes a list of {entry.modality} media; put the single one in a list.")
    if batch_size is not None and batch_size < 1:
        raise LmamError(f"batch_size must be at least 1; got {batch_size}.")
    checkpoint = checkpoints.find(entry, weights)
    rows = store.Rows(cache, entry, checkpoint.identity)
    values = np.full((len(media), entry.width), np.nan, np.float32)
    failed: dict[int, str] = {}
    wanted: dict[str, list[int]] = {}  # equal content is computed once
    digest = store.Digest(entry.modality)
    for i, item in enumerate(media):
        try:
            key = digest(item)
        except MediaError as error:
            failed[i] = str(error)
            continue
        if (row := rows.get(key)) is None:
            wanted.setdefault(key, []).append(i)
        else:
            values[i] = row
    if wanted:
        keys, firsts = list(wanted), [media[places[0]] for places in wanted.values()]
        encode = _module(entry.modality).encoder(entry, checkpoint, device)
        with tqdm(total=len(firsts), desc=name, disable=not progress) as bar:
            for k, encoded in encode(firsts, batch_size):
                if isinstance(encoded, str):
                    failed |= dict.fromkeys(wanted[keys[k]], encoded)
                elif not np.isfinite(encoded).all():
                    failed |= dict.fromkeys(wanted[keys[k]], f"{name} gives numbers that are not finite.")
                else:
                    values[wanted[keys[k]]] = encoded
                    rows.put(keys[k], encoded)
                bar.update()
    return Extracted(values, dict(sorted(failed.items())), checkpoint.label)


def ready(name: str, weights: str | Path | None = None) -> None:
    """Raise LmamError where `extract` would lack openSMILE, or take a random encoder that was not asked for."""
    entry = extractor(name)
    if entry.opensmile:
        _module(entry.modality).check(entry)
    checkpoints.find(entry, weights, fallback=False)


def _module(modality: str) -> ModuleType:
    """The module that encodes a modality, imported when something is to be computed: their libraries take seconds."""
    from importlib import import_module

    return import_module(f"lmam_core.features.encoders.{modality}")
