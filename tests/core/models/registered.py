"""What the tests of the contracts run over: everything that is registered."""

from __future__ import annotations

from lmam_core.models.backbones import BACKBONES
from lmam_core.models.fusion import FUSIONS


def backbones() -> list[str]:
    return list(BACKBONES)


def fusions() -> list[str]:
    """The fusion methods that are modules; LoRA is a way to train a model."""
    return [name for name, method in FUSIONS.items() if not method.base]


def ranked() -> list[str]:
    return [name for name in fusions() if "rank" in FUSIONS[name].options]
