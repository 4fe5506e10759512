"""A drawn face whose mouth and brows follow an emotion, and whose jaw follows the voice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

SIDE = 128
"""Pixels of a frame's side."""
_DRAWN = 2 * SIDE  # drawn at twice the size, then made smaller, so that edges are smooth
MOUTH, BROW = (176, 38, 48), (52, 30, 18)
"""Colours that only the mouth and only the brows have."""


@dataclass(frozen=True)
class Expression:
    """`smile` lifts the mouth's corners, `brow` the brows, `tilt` the brows' inner ends, `lid` opens the eyes.

    In parts of the face's half width; negative is down. The directions are those of the basic expressions (raised
    corners in joy, lowered in sadness; inner brows down in anger, up in sadness); the sizes are ours.
    """

    smile: float
    brow: float
    tilt: float
    lid: float


EXPRESSIONS = {
    "neutral": Expression(0.0, 0.0, 0.0, 1.0),
    "happy": Expression(0.22, 0.08, 0.0, 0.8),
    "sad": Expression(-0.16, -0.02, 0.14, 0.6),
    "angry": Expression(-0.08, -0.10, -0.16, 1.1),
}
SKIN = (214, 170, 138)
BACKGROUNDS = ((96, 150, 190), (120, 168, 120))
"""One face for both speakers, who differ in what is behind them: an emotion goes with no skin tone."""


def draw(emotion: str, speaker: int, jaw: float, strength: float = 1.0, sway: float = 0.0) -> np.ndarray:
    """One frame, uint8 (128, 128, 3); `jaw` in 0..1 opens the mouth, `strength` scales the expression."""
    e, background = EXPRESSIONS[emotion], BACKGROUNDS[speaker % len(BACKGROUNDS)]
    image = Image.new("RGB", (_DRAWN, _DRAWN), background)
    pen = ImageDraw.Draw(image)
    R = 0.42 * _DRAWN
    cx, cy = _DRAWN / 2 + sway * R, _DRAWN / 2

    def at(x: float, y: float) -> tuple[float, float]:
        """From the face's own coordinates (right and up, 1 is half its width) to pixels."""
        return cx + x * R, cy - y * R

    pen.ellipse([*at(-0.92, 1.05), *at(0.92, -1.05)], fill=SKIN)
    for side in (-1, 1):
        open_ = 0.11 * (1 + (e.lid - 1) * strength)
        pen.ellipse([*at(side * 0.36 - 0.15, 0.22 + open_), *at(side * 0.36 + 0.15, 0.22 - open_)], fill="white")
        pen.ellipse([*at(side * 0.36 - 0.06, 0.28), *at(side * 0.36 + 0.06, 0.16)], fill=(40, 60, 90))
        inner, outer = 0.48 + strength * (e.brow + e.tilt), 0.48 + strength * (e.brow - e.tilt)
        pen.line([at(side * 0.16, inner), at(side * 0.58, outer)], fill=BROW, width=round(0.09 * R))
    pen.line([at(0, 0.08), at(-0.07, -0.18), at(0.05, -0.18)], fill=tuple(int(0.8 * c) for c in SKIN), width=4)
    pen.polygon(_lips(at, strength * e.smile, jaw), fill=MOUTH)
    return np.asarray(image.reduce(2))


def _lips(at: Callable[[float, float], tuple[float, float]], smile: float, jaw: float) -> list[tuple[float, float]]:
    """The outline of the mouth: a parabola with its corners lifted by `smile`, opened by `jaw` in the middle."""
    x = np.linspace(-1, 1, 25)
    middle = -0.55 + smile * (x**2 - 0.5)
    half = 0.045 + 0.16 * jaw * (1 - x**2)
    upper = [at(0.4 * u, m + h) for u, m, h in zip(x, middle, half, strict=True)]
    lower = [at(0.4 * u, m - h) for u, m, h in zip(x, middle, half, strict=True)]
    return upper + lower[::-1]
