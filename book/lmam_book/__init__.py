"""What studies the methods of `lmam_core`: plans, measurements, verdicts and the pages of the book."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lmam_book.verdicts.own_backbone import compare

__all__ = ["compare"]


def __getattr__(name: str) -> Any:
    """`compare`, imported when it is first asked for."""
    if name != "compare":
        raise AttributeError(f"module 'lmam_book' has no attribute '{name}'")
    from lmam_book.verdicts.own_backbone import compare

    return compare
