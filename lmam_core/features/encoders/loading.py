"""What loading checkpoints has in common: the device, no chatter, and nothing left random in silence."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from lmam_core.errors import LmamError
from lmam_core.features.encoders.torchvision_fix import prepare_torchvision
from lmam_core.features.registry import Extractor
from lmam_core.features.weights import checkpoint_errors

prepare_torchvision()  # before transformers or open_clip import it


def checked(device: str) -> str:
    """The device's name, if a tensor can be put there; raises LmamError otherwise."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise LmamError(f"There is no device '{device}' here; use 'cpu'.") from None
    return device


@contextmanager
def loading(extractor: Extractor, path: Path | None) -> Iterator[None]:
    """Whatever a library says against the checkpoint at `path` becomes one LmamError; it says nothing besides."""
    from transformers.utils import logging as theirs

    shown = theirs.is_progress_bar_enabled()
    theirs.disable_progress_bar()
    logging.disable(logging.WARNING)
    try:
        with checkpoint_errors(extractor.name, path):
            yield
    finally:
        logging.disable(logging.NOTSET)
        if shown:
            theirs.enable_progress_bar()


def pretrained(extractor: Extractor, kind: Any, path: Path) -> Any:
    """A transformers model from a local folder's safetensors; none of its code runs.

    Raises LmamError where the file lacks a tensor that the features depend on, which transformers would draw at random.
    """
    safe = {"local_files_only": True, "trust_remote_code": False, "use_safetensors": True}
    try:
        model, info = kind.from_pretrained(path, output_loading_info=True, **safe)
    except RuntimeError as error:
        if "ignore_mismatched_sizes" not in str(error):
            raise
        raise LmamError(f"{path} holds tensors of other shapes than its config.json says.") from None
    missing = sorted(k for k in info["missing_keys"] if extractor.take == "pooled" or not k.startswith("pooler."))
    if missing or info["mismatched_keys"]:
        lacking = ", ".join(missing[:3]) or "tensors of the right shapes"
        raise LmamError(f"{path} does not hold a model for {extractor.name}: it lacks {lacking}.")
    return model
