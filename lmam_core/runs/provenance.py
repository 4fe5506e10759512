"""Where a run came from: code, data, libraries, machine."""

from __future__ import annotations

import hashlib
import platform
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from lmam_core.errors import LmamError
from lmam_core.runs.record import CONVERSATION


def provenance(task: str, origin: dict[str, str], device: str) -> dict[str, Any]:
    """Code version, data and what must be said of them (`origin`), library versions and device of a task's run."""
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.processor()
    name = name or platform.machine()
    return {
        "code": code_version(task),
        **origin,
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
    *(f"runs/{name}.py" for name in ("experiment", "record", "run", "provenance", "training", "metrics")),
)
"""The files that decide a run's numbers, as globs in the package's folder; none may match nothing."""


@lru_cache
def code_version(task: str = CONVERSATION) -> str:
    """12 hexadecimal digits of the sha256 of the files that decide a run's numbers, wherever they are installed.

    Of another task than conversations its room, `tasks/<task>`, is part of them.

    Raises LmamError where a part of `PARTS` matches no file: one that moved must not drop out of the hash in silence.
    """
    root = Path(__file__).parents[1]
    parts = PARTS if task == CONVERSATION else (*PARTS, f"tasks/{task}/*.py")
    files = {part: list(root.glob(part)) for part in parts}
    if gone := [part for part, paths in files.items() if not paths]:
        raise LmamError(f"The code version cannot be told: {', '.join(gone)} of provenance.PARTS matches no file.")
    digest = hashlib.sha256()
    for path in sorted(path for paths in files.values() for path in paths):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


code_version()  # kept now, as the code is loaded: an edit while a run goes on made nothing of it
