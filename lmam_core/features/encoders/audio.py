"""openSMILE's functionals through its Python package, and the linear layer that the paper puts behind them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from lmam_core.errors import LmamError
from lmam_core.features.encoders.layer import linear
from lmam_core.features.media import BLOCK, RATE, MediaError, blocks, parse
from lmam_core.features.weights import Weights

SHORTEST = 0.1
"""Seconds below which openSMILE has too few frames for its functionals."""
Found = Iterator[tuple[int, np.ndarray | str]]


def encoder(extractor, weights: Weights, device: str = "cpu") -> Callable[[Sequence[str | Path], int | None], Found]:
    """The function from paths to (index, row or sentence); openSMILE runs on the CPU whatever `device` says.

    Sound is mixed down to mono (the mean of its channels) and resampled to 16 kHz. What is longer than 60 s is cut
    into windows of 60 s, whose functionals are averaged by their length. Silence is sound: its functionals are those
    of digital zero. `batch_size` is how many files are worked on at a time (default: one a core).
    """
    smile = _smile(extractor.model)
    if smile.num_features != (extractor.width if extractor.take == "functionals" else 6125):
        raise LmamError(f"This opensmile's {extractor.model} has {smile.num_features} functionals; install 2.6.")
    layer = linear(weights, 6125, extractor.width) if extractor.take == "layer" else None

    def row(item: str | Path) -> np.ndarray | str:
        try:
            values = functionals(smile, item)
        except MediaError as error:
            return str(error)
        return values if layer is None else layer(np.sign(values) * np.log1p(np.abs(values)))

    def encode(items: Sequence[str | Path], batch_size: int | None) -> Found:
        # openSMILE is C and lets go of Python's lock, so threads are enough.
        with ThreadPoolExecutor(batch_size or _cores()) as pool:
            yield from enumerate(pool.map(row, items))

    return encode


def functionals(smile, item: str | Path) -> np.ndarray:
    """The functionals of one recording, float32 (width,): a mean over its windows of 60 s, weighted by length.

    A last window shorter than 0.1 s is left out. Raises MediaError for what cannot be decoded, has no sample, or is
    shorter than 0.1 s.
    """
    media = parse(item)
    total, samples = np.zeros(smile.num_features), 0
    seen = 0
    for block in blocks(media, BLOCK):
        seen += len(block)
        if len(block) < SHORTEST * RATE:
            continue
        if not np.isfinite(block).all():
            raise MediaError(f"{media.path.name} holds samples that are not numbers.")
        values = smile.process_signal(block, RATE).to_numpy(np.float64)[0]
        if not np.isfinite(values).all():
            raise MediaError(f"openSMILE finds no finite value for {media.path.name}.")
        total, samples = total + len(block) * values, samples + len(block)
    if not seen:
        raise MediaError(f"{media.path.name} holds no sound: it lasts 0 s.")
    if not samples:
        raise MediaError(f"{media.path.name} lasts {seen / RATE:.3f} s; openSMILE needs at least {SHORTEST} s.")
    return (total / samples).astype(np.float32)


def _smile(name: str):
    try:
        import opensmile
    except ImportError:
        raise LmamError('Audio features need openSMILE; install it with `pip install "opensmile>=2.6"`.') from None
    if not hasattr(opensmile.FeatureSet, name):
        raise LmamError(f'This opensmile lacks the set {name}; install a newer one: `pip install "opensmile>=2.6"`.')
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the older sets are meant
        return opensmile.Smile(opensmile.FeatureSet[name], opensmile.FeatureLevel.Functionals)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
