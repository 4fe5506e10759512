"""What every backbone is: the class `Backbone`, and the register in which its file enters it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, TypeVar

from torch import Tensor, nn

from lmam_core.batch import Turns
from lmam_core.errors import LmamError, unknown


class Backbone(nn.Module):
    """A backbone, `Backbone(widths, speakers, **options)`: it encodes context and classifies.

    `widths[m]` is d_m per modality, or the width of one stream called `fused` when fusion happens before. An option
    `dropout` is the rate inside it, and the option that `widened` names the width of its layers. Fusion and the three
    embedding ways live in `embedded.py`; no backbone knows of them.
    """

    title: ClassVar[str] = ""
    """Its name in tables."""
    native: ClassVar[str] = "late"
    """The embedding way in which the original model fuses its modalities, `early` or `late`."""
    widened: ClassVar[str] = "hidden"
    """The option that sets the width of its layers, for comparisons with equal parameters."""
    multimodal: ClassVar[bool] = False
    """Whether it relates the modalities to each other itself: the early ways then hand it one stream per modality."""
    knows_speakers: ClassVar[bool] = False
    """Whether it matters who says an utterance."""
    leak: ClassVar[str] = ""
    """One sentence on how padding reaches the results of the original, "" where it does not; a backbone that has one
    takes `faithful=True` to do as its original does, which is off by default."""
    longest: int | None = None
    """The longest conversation that it takes unless the option `longest` says another; None for any."""
    d_out: dict[str, int]
    """The width of each stream that comes out."""

    def forward(self, streams: Mapping[str, Tensor], turns: Turns) -> dict[str, Tensor]:
        """Put every utterance into the context of its conversation, whatever it is padded with.

        `streams[m]` is (B, L, d_m); the result has the same names, each (B, L, d_out[m]).
        """
        raise NotImplementedError

    def classifier(self, width: int, outputs: int) -> nn.Module:
        """What turns one (B, L, width) stream and `turns` into (B, L, outputs)."""
        raise NotImplementedError


BACKBONES: dict[str, type[Backbone]] = {}
"""Every registered backbone by name."""

B = TypeVar("B", bound=Backbone)


def register(name: str) -> Callable[[type[B]], type[B]]:
    """Enter a class as the backbone `name`, above it in its file.

    Files of this package are found by themselves, one from elsewhere when it is imported. Raises LmamError for a name
    that another class has.

    @register("bc_lstm")
    class BcLstm(Backbone): ...
    """

    def enter(cls: type[B]) -> type[B]:
        if name in BACKBONES and BACKBONES[name].__module__ != cls.__module__:
            raise LmamError(f"There is a backbone '{name}' already, in {BACKBONES[name].__module__}.")
        if "title" not in vars(cls):
            cls.title = name
        BACKBONES[name] = cls
        return cls

    return enter


def backbone(name: str) -> type[Backbone]:
    """The backbone of this name; raises LmamError where there is none."""
    if name not in BACKBONES:
        raise unknown("There is no backbone", name, BACKBONES)
    return BACKBONES[name]
