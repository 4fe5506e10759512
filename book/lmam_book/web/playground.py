"""Sliders for what tanh does to attention and for how light LMAM is; two tables where there is no script."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lmam_book.bench.cost import lmam_parameters, self_attention_parameters
from lmam_book.web.explorer import scripts

SCALES = (0.1, 1.0, 10.0, 100.0)
UTTERANCES = 30
SIZES = ((100, 45), (512, 45), (512, 200), (1024, 45))
"""(width, rank) of the table."""


def attention(root: Path) -> str:
    """Softmax against tanh-softmax, with its script."""
    return f"{_part('attention', _weights())}\n{scripts(['playground.js'])}"


def parameters(root: Path) -> str:
    """LMAM's parameters beside self-attention's; beside `attention`, whose script it shares."""
    return _part("parameters", _shares())


def bound(n: int) -> float:
    """The largest weight that LMAM can give one of n utterances: e² / (e² + n - 1), as tanh keeps scores in -1..1."""
    return math.e**2 / (math.e**2 + n - 1)


def largest(scores: NDArray[np.float64]) -> float:
    """The largest weight of a softmax over the rows of `scores`."""
    weights = np.exp(scores - scores.max(1, keepdims=True))
    return float((weights / weights.sum(1, keepdims=True)).max())


def _part(name: str, table: str) -> str:
    return f'<div class="lmam-touch lmam-playground" data-part="{name}"><div class="lmam-table-box">{table}</div></div>'


def _weights() -> str:
    drawn = np.random.default_rng(0).normal(size=(UTTERANCES, UTTERANCES))
    rows = []
    for scale in SCALES:
        soft, bounded = largest(scale * drawn), largest(np.tanh(scale * drawn))
        rows.append((f"× {scale:g}", f"{100 * soft:.1f} %", f"{100 * bounded:.1f} %"))
    caption = (
        f"Largest weight among {UTTERANCES} utterances with random scores. LMAM can give none more than "
        f"e² / (e² + {UTTERANCES - 1}) = {100 * bound(UTTERANCES):.1f} %."
    )
    return _table(caption, ("score scale", "softmax(s)", "LMAM: softmax(tanh s)"), rows)


def _shares() -> str:
    rows = []
    for width, rank in SIZES:
        shares = []
        for output in (True, False):
            ours, theirs = lmam_parameters((width,), rank, output), self_attention_parameters((width,), output)
            shares.append(f"{ours / theirs:.3f}")
        rows.append((str(width), str(rank), *shares))
    caption = "LMAM's parameters as a share of self-attention's, for one modality. The paper claims less than 0.333."
    return _table(caption, ("width", "rank", "both with an output layer", "neither"), rows)


def _table(caption: str, head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><caption>{caption}</caption><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
