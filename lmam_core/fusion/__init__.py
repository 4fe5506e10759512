"""The fusion methods, one class a file; `build` makes one by name.

Contract: `Fusion(widths, **options)` with `widths[m]` = d_m in the order of concatenation, an attribute `d_out`, and
`forward(features: dict[str, Tensor (B, L, d_m)], mask: Tensor (B, L)) -> Tensor (B, L, d_out)`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from lmam_core.errors import LmamError
from lmam_core.fusion.concat import Concat
from lmam_core.lmam import LMAM


@dataclass(frozen=True)
class Method:
    """A fusion method: how it is made, and which fields of an experiment mean something to it."""

    make: Callable[..., nn.Module]
    options: tuple[str, ...] = ()


FUSIONS: dict[str, Method] = {
    "concat": Method(Concat),
    "lmam": Method(LMAM, options=("rank", "variant", "keys", "scale", "weight", "combine")),
}


def method(name: str) -> Method:
    """The fusion method of this name; raises LmamError where there is none."""
    if name not in FUSIONS:
        raise LmamError(f"There is no fusion method '{name}'; choose one of {', '.join(FUSIONS)}.")
    return FUSIONS[name]


def build(name: str, widths: Mapping[str, int], **options: Any) -> nn.Module:
    """Make a fusion module; options that the method does not have raise LmamError, those that are None are left out."""
    chosen = method(name)
    given = {k: v for k, v in options.items() if v is not None}
    for k in given:
        if k not in chosen.options:
            raise LmamError(f"Fusion '{name}' has no option '{k}'.")
    return chosen.make(widths, **given)
