"""What every fusion method is: the class `Fusion`, and the register in which its file enters it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from lmam_core.batch import Turns
from lmam_core.errors import LmamError, unknown


class Fusion(nn.Module):
    """A fusion method, `Fusion(widths, **options)`: the features of each modality to one stream, (B, L, d_out).

    `widths[m]` is d_m, in the order of concatenation. A method that predicts the labels from further streams in
    training sets `d_auxiliary`, their width, and writes `auxiliary`; one that reads who speaks sets `knows_speakers`.
    Its size stands as a formula in `size`, beside the equation.
    """

    modalities: tuple[str, ...]
    d_out: int
    d_auxiliary: int = 0
    knows_speakers: bool = False

    def forward(self, features: Mapping[str, Tensor], turns: Turns) -> Tensor:
        """Fuse features (B, L, d_m) to (B, L, d_out), whatever they are padded with."""
        raise NotImplementedError

    def auxiliary(self, features: Mapping[str, Tensor], turns: Turns) -> Tensor:
        """K further streams from which labels are predicted in training, (K, B, L, d_auxiliary)."""
        raise NotImplementedError

    @classmethod
    def size(cls, widths: Mapping[str, int], *args: Any, **options: Any) -> int:
        """The parameters of `cls(widths, *args, **options)`; counted on one without storage where no formula stands."""
        with torch.device("meta"):
            return sum(p.numel() for p in cls(widths, *args, **options).parameters())


def named(what: str, widths: object) -> dict[str, int]:
    """The widths of modalities as whole numbers by name.

    Raises LmamError for anything else, and for names that PyTorch cannot give to a part of a module.
    """
    if not isinstance(widths, Mapping):
        raise LmamError(f"{what} takes widths by name, such as {{'text': 100, 'audio': 40}}; got {widths!r}.")
    if not widths:
        raise LmamError(f"{what} needs the width of at least one modality.")
    taken = nn.ModuleDict()
    for m, d in widths.items():
        if not isinstance(m, str) or not m or "." in m or hasattr(taken, m):
            raise LmamError(
                f"A modality cannot be called {m!r}, since PyTorch's modules have no part of that name; "
                f"'my_{str(m).replace('.', '_')}' would do."
            )
        if isinstance(d, bool) or not hasattr(d, "__index__") or operator.index(d) < 1:
            raise LmamError(f"{what} takes the width of {m} as a whole number from 1; got {d!r}.")
    return {m: operator.index(d) for m, d in widths.items()}


@dataclass(frozen=True)
class Method:
    """A fusion method in the register: its class, its name in tables, the fields of an experiment that it understands.

    `options` are those fields; `rank` is the one it has unless another is asked for, None where it has none; `fixed`
    are options of the class that make this method of it. `base` is what LoRA freezes, a concatenation at its `random`
    first values or a `trained` one, and empty for all others.
    """

    make: type[Fusion]
    title: str
    options: tuple[str, ...] = ()
    rank: int | None = None
    base: str = ""
    fixed: Mapping[str, Any] = field(default_factory=dict)

    def build(self, widths: Mapping[str, int], **options: Any) -> Fusion:
        """The module."""
        return self.make(widths, **self.fixed, **options)

    def size(self, widths: Mapping[str, int], **options: Any) -> int:
        """How many parameters it has."""
        return self.make.size(widths, **self.fixed, **options)


FUSIONS: dict[str, Method] = {}
"""Every registered fusion method by name."""

F = TypeVar("F", bound=Fusion)


def register(
    name: str,
    *,
    title: str = "",
    options: tuple[str, ...] = (),
    rank: int | None = None,
    base: str = "",
    fixed: Mapping[str, Any] | None = None,
) -> Callable[[type[F]], type[F]]:
    """Enter a class as the fusion method `name`, above it in its file; the arguments are `Method`'s.

    Files of this package are found by themselves, one from elsewhere when it is imported. Raises LmamError for a name
    that another class has.

    @register("mean", title="the mean")
    class Mean(Fusion): ...
    """

    def enter(make: type[F]) -> type[F]:
        if name in FUSIONS and FUSIONS[name].make.__module__ != make.__module__:
            raise LmamError(f"There is a fusion method '{name}' already, in {FUSIONS[name].make.__module__}.")
        FUSIONS[name] = Method(make, title or name, options, rank, base, fixed or {})
        return make

    return enter


def method(name: str) -> Method:
    """The fusion method of this name; raises LmamError where there is none."""
    if name not in FUSIONS:
        raise unknown("There is no fusion method", name, FUSIONS)
    return FUSIONS[name]


def build(name: str, widths: Mapping[str, int], **options: Any) -> Fusion:
    """Make a fusion module; options that the method does not have raise LmamError, those that are None are left out."""
    chosen = method(name)
    options = {k: v for k, v in options.items() if v is not None}
    for k in options:
        if k not in chosen.options:
            raise LmamError(f"Fusion '{name}' has no option '{k}'.")
    return chosen.build(widths, **options)
