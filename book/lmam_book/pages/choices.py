"""The names that prose lists, from the registers: a new backbone or fusion method is on the page by itself."""

from __future__ import annotations

from lmam_core.models.backbones import BACKBONES
from lmam_core.models.fusion import FUSIONS


def listed(text: str) -> str:
    """A page with the names in the place of the comments `<!-- backbones -->` and `<!-- fusion methods -->`."""
    registers = {"backbones": list(BACKBONES), "fusion methods": list(FUSIONS)}
    for what, names in registers.items():
        text = text.replace(f"<!-- {what} -->", ": " + ", ".join(f"`{name}`" for name in names))
    return text
