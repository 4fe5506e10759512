"""Training while a page is built: on the CPU, or on the GPU of the kernel that the page runs on."""

from __future__ import annotations

import re

import torch

from lmam_core.data.conversations import Dataset
from lmam_core.embedding import Embedded
from lmam_core.errors import LmamError
from lmam_core.experiment import Experiment, fit
from lmam_core.training import Training


def usable(device: str) -> str:
    """The device `cpu`, `cuda` or `cuda:1` itself; raises LmamError, one sentence, where it is not to be had."""
    if not re.fullmatch(r"cpu|cuda(:\d+)?", str(device)):
        raise LmamError(f"There is no device '{device}'; use cpu or cuda.")
    kind, _, index = device.partition(":")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise LmamError(f"There is no CUDA device '{device}' here; without a device the CPU is used.")
    return device


def trained(experiment: Experiment, device: str = "cpu") -> tuple[Embedded, Dataset, Training]:
    """`experiment.fit` on a device; the model comes back on the CPU, where a page looks at it."""
    model, data, training = fit(experiment, usable(device))
    return model.cpu(), data, training
