"""The device that a run is asked for on."""

from __future__ import annotations

import re

import torch

from lmam_core.errors import LmamError


def usable(device: str) -> str:
    """The device `cpu`, `cuda` or `cuda:1` itself, for `auto` the first GPU, and the CPU where there is none.

    Raises LmamError, one sentence, where it is not to be had.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:\d+)?", str(device)):
        raise LmamError(f"There is no device '{device}'; use auto, cpu or cuda.")
    kind, _, index = device.partition(":")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise LmamError(f"There is no CUDA device '{device}' here; without a device the CPU is used.")
    return device
