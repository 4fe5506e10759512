"""Functionals of sound, ours or openSMILE's, and the linear layer that the paper puts behind openSMILE's."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from lmam_core.errors import LmamError
from lmam_core.features.decoder_process import Decoders
from lmam_core.features.encoders import acoustic
from lmam_core.features.media import BLOCK, RATE, MediaError, parse
from lmam_core.features.registry import OPENSMILE, Extractor
from lmam_core.features.weights import SEED, Weights, checkpoint_errors

SHORTEST = 0.1
"""Seconds below which there are too few frames for functionals."""
Rows = Iterator[tuple[int, np.ndarray | str]]
Measure = Callable[[np.ndarray], np.ndarray]
"""From sound (n,) at 16 kHz to functionals (width,)."""


def encoder(
    extractor: Extractor, weights: Weights, device: str = "cpu"
) -> Callable[[Sequence[str | Path], int | None], Rows]:
    """The function from paths to (index, row or sentence); it runs on the CPU whatever `device` says.

    Sound is mixed down to mono (the mean of its channels) and resampled to 16 kHz. What is longer than 60 s is cut
    into windows of 60 s, whose functionals are averaged by their length. Silence is sound: its functionals are those
    of digital zero. `batch_size` is how many files are worked on at a time (default: one per core).
    """
    measure = _opensmile(extractor) if extractor.opensmile else acoustic.functionals
    layer = linear(weights, 6125, extractor.width) if extractor.take == "layer" else None

    def encode(items: Sequence[str | Path], batch_size: int | None) -> Rows:
        def row(item: str | Path) -> np.ndarray | str:
            try:
                values = functionals(measure, item, decoders)
            except MediaError as error:
                return str(error)
            return values if layer is None else layer(np.sign(values) * np.log1p(np.abs(values)))

        # Decoding is another process's work, and measuring is C that lets go of Python's lock: threads are enough.
        with Decoders() as decoders, ThreadPoolExecutor(batch_size or _cores()) as pool:
            yield from enumerate(pool.map(row, items))

    return encode


def functionals(measure: Measure, item: str | Path, decoders: Decoders) -> np.ndarray:
    """The functionals of one recording, float32 (width,): a mean over its windows of 60 s, weighted by length.

    A last window shorter than 0.1 s is left out. Raises MediaError for what cannot be decoded, has no sample, or is
    shorter than 0.1 s.
    """
    media = parse(item)
    total, samples, seen = np.zeros(()), 0, 0
    for block in decoders.blocks(media, BLOCK):
        seen += len(block)
        if len(block) < SHORTEST * RATE:
            continue
        if not np.isfinite(block).all():
            raise MediaError(f"{media.path.name} holds samples that are not numbers.")
        values = measure(block)
        if not np.isfinite(values).all():
            raise MediaError(f"{media.path.name} gives functionals that are not finite.")
        total, samples = total + len(block) * values, samples + len(block)
    if not seen:
        raise MediaError(f"{media.path.name} holds no sound: it lasts 0 s.")
    if not samples:
        raise MediaError(f"{media.path.name} lasts {seen / RATE:.3f} s; at least {SHORTEST} s are needed.")
    return (total / samples).astype(np.float32)


def check(extractor: Extractor) -> None:
    """Raise LmamError where openSMILE is wanted and not installed."""
    if extractor.opensmile and find_spec("opensmile") is None:
        raise LmamError(
            f'{extractor.name} needs {OPENSMILE}; if that suits you, `pip install "opensmile>=2.6"`, else take '
            "acoustic96."
        )


def _opensmile(extractor: Extractor) -> Measure:
    """openSMILE's functionals of one of its sets; raises LmamError where openSMILE is not installed, or another one."""
    check(extractor)
    import opensmile

    if not hasattr(opensmile.FeatureSet, extractor.model):
        raise LmamError(
            f'This opensmile lacks the set {extractor.model}; install a newer one: `pip install "opensmile>=2.6"`.'
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the older sets are meant
        smile = opensmile.Smile(opensmile.FeatureSet[extractor.model], opensmile.FeatureLevel.Functionals)
    if smile.num_features != (extractor.width if extractor.take == "functionals" else 6125):
        raise LmamError(f"This opensmile's {extractor.model} has {smile.num_features} functionals; install 2.6.")
    return lambda block: smile.process_signal(block, RATE).to_numpy(np.float64)[0]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def linear(weights: Weights, wide: int, narrow: int) -> Callable[[np.ndarray], np.ndarray]:
    """y = W x + b with W (narrow, wide), float32 in and out.

    Without a file, W is drawn from N(0, 1 / wide) with seed 0 and b is 0: a random projection, not trained, which
    keeps distances roughly (Johnson and Lindenstrauss). A safetensors file brings `weight` and, if it has one, `bias`.
    Raises LmamError for a file with another shape, or with values that are not finite.
    """
    if weights.path is None:
        W = np.random.default_rng(SEED).standard_normal((narrow, wide)).astype(np.float32) / np.sqrt(np.float32(wide))
        return lambda x: W @ x.astype(np.float32)
    from safetensors.numpy import load_file

    with checkpoint_errors("a linear layer", weights.path):
        tensors = load_file(weights.path)
    W, b = tensors.get("weight"), tensors.get("bias", np.zeros(narrow, np.float32))
    if W is None or W.shape != (narrow, wide) or b.shape != (narrow,):
        shapes = {name: value.shape for name, value in tensors.items()}
        raise LmamError(
            f"{weights.path} holds {shapes}; this layer wants weight {(narrow, wide)} and bias {(narrow,)}."
        )
    W, b = W.astype(np.float32), b.astype(np.float32)
    if not (np.isfinite(W).all() and np.isfinite(b).all()):
        raise LmamError(f"{weights.path} holds values that are not finite.")
    return lambda x: W @ x.astype(np.float32) + b
