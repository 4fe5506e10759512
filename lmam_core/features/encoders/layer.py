"""The linear layer with which the paper brings openSMILE's functionals to 100 numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lmam_core.errors import LmamError
from lmam_core.features.weights import SEED, Weights, told


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

    with told("a linear layer", weights.path):
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
