"""Low-rank matching attention (LMAM) for emotion recognition in conversation, and the experiments around it.

from lmam_core import LMAM
fuse = LMAM({"text": 100, "audio": 100, "video": 512}, rank=45)
fused = fuse({"text": t, "audio": a, "video": v}, mask)  # (B, L, 712)
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "LMAM": "lmam_core.models.lmam",
    "LMCM": "lmam_core.models.lmcm",
    "Conversations": "lmam_core.batch",
    "Experiment": "lmam_core.runs.experiment",
    "LmamError": "lmam_core.errors",
    "Run": "lmam_core.runs.run",
    "Store": "lmam_core.runs.store",
    "run": "lmam_core.runs.run",
}
__all__ = ["LMAM", "LMCM", "Conversations", "Experiment", "LmamError", "Run", "Store", "run"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that `import lmam_core` costs next to nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'lmam_core' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)
