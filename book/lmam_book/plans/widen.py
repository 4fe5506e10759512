"""Backbones widened to a given number of parameters (Table V)."""

from __future__ import annotations

import dataclasses
from functools import cache

import torch

from lmam_core.errors import LmamError
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.run import build, prepared

WITHIN = 0.01
"""How far from the wanted number of parameters a widened backbone may be, as a share of it."""


@cache
def parameters(experiment: Experiment) -> int:
    """Trainable parameters of an experiment's model, counted without giving them values."""
    with torch.device("meta"):
        return sum(p.numel() for p in build(experiment, prepared(experiment)).parameters() if p.requires_grad)


def matching(baseline: Experiment, other: Experiment) -> Experiment:
    """The baseline with the `width` at which it has the number of parameters of `other`, within 1 %.

    The width is found by bisection, since more width is more parameters. Raises LmamError where no width comes within
    1 %, or where the baseline is the larger one at width 1.
    """
    baseline, target = baseline.resolved(), parameters(other)

    def count(width: int) -> int:
        return parameters(dataclasses.replace(baseline, width=width))

    low, high = 1, 2
    while count(high) < target:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) < target else (low, middle)
    width = min((low, high), key=lambda w: abs(count(w) - target))
    if abs(count(width) - target) > WITHIN * target:
        raise LmamError(
            f"No width of {baseline.backbone} comes within {WITHIN:.0%} of {target:,} parameters; "
            f"{width} makes {count(width):,}."
        )
    return dataclasses.replace(baseline, width=width)
