"""Where a run came from: code, data, libraries, machine."""

from __future__ import annotations

import hashlib
import platform
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from lmam_core.data.dataset import Dataset
from lmam_core.errors import LmamError


def provenance(data: Dataset, device: str) -> dict[str, Any]:
    """Code version, data and what must be said of them, library versions and device of a run."""
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.processor()
    name = name or platform.machine()
    return {
        "code": code_version(),
        "data": data.name,
        "data_sha256": data.sha256,
        "caution": data.caution,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": f"{device} ({name})",
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


PARTS = (
    "batch.py",
    "models/*.py",
    "models/*/*.py",
    "data/sources/*.py",
    *(f"data/{name}.py" for name in ("archive", "catalogue", "dataset", "stored", "synthetic")),
    *(f"runs/{name}.py" for name in ("experiment", "run", "provenance", "training", "metrics")),
)
"""The files that decide a run's numbers, as globs in the package's folder; none may match nothing."""


@lru_cache(maxsize=1)
def code_version() -> str:
    """12 hexadecimal digits of the sha256 of the files that decide a run's numbers, wherever they are installed.

    Raises LmamError where a part of `PARTS` matches no file: one that moved must not drop out of the hash in silence.
    """
    root = Path(__file__).parents[1]
    found = {part: list(root.glob(part)) for part in PARTS}
    if gone := [part for part, paths in found.items() if not paths]:
        raise LmamError(f"The code version cannot be told: {', '.join(gone)} of provenance.PARTS matches no file.")
    digest = hashlib.sha256()
    for path in sorted(path for paths in found.values() for path in paths):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


code_version()  # kept now, as the code is loaded: an edit while a run goes on made nothing of it
