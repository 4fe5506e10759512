"""DHCN beside its original, xiaxin1998/DHCN, on a small case and at the size of Diginetica.

What keeps the original from running on today's libraries and without a GPU is replaced here: tensors that are made on
the GPU, sums of lists of tensors by numpy, arrays of lists of different lengths, a module of scipy that is gone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch import Tensor, nn

from lmam_core.tasks.recommendation.dhcn import DHCN
from lmam_core.tasks.recommendation.sessions import Clicks, Sequences, beginnings, clicks, hypergraph
from tests.peers import load

SESSIONS = ([1, 2, 3, 2, 4], [3, 5], [6, 7, 8, 1], [9, 4, 4, 2, 10, 6], [11, 3, 1], [8, 8])
"""Of the golden case, items from 1 as the original has them: of mixed lengths, one item repeated."""
ITEMS, WIDTH, BATCH = 11, 100, 7  # the original knows no other width
NAMES = {
    "embedding.weight": "embedding.weight",
    "attention.positions.weight": "pos_embedding.weight",
    "attention.W1.weight": "w_1.weight",
    "attention.W1.bias": "w_1.bias",
    "attention.W2.weight": "glu2.weight",
    "attention.W3.weight": "glu1.weight",
    "attention.W3.bias": "glu1.bias",
    "attention.f.weight": "w_2",
}
"""Our parameters and theirs."""


class _Numpy:
    """numpy as the original expects it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    @staticmethod
    def sum(values: Any, axis: int | None = None) -> Any:
        return sum(values[1:], values[0]) if isinstance(values[0], Tensor) else np.sum(values, axis)

    @staticmethod
    def asarray(values: Any) -> np.ndarray:
        if not isinstance(values[0], list):
            return np.asarray(values)
        found = np.empty(len(values), object)
        found[:] = values
        return found


def original() -> tuple[ModuleType, ModuleType]:
    """Its `model.py` and `util.py`."""
    scipy.sparse.coo = scipy.sparse.coo_matrix
    sys.modules.setdefault("numba", ModuleType("numba")).jit = lambda **_: lambda function: function
    model, util = load("DHCN", "model.py"), load("DHCN", "util.py")
    model.np = util.np = _Numpy()
    return model, util


@contextmanager
def on_the_cpu(dtype: torch.dtype) -> Iterator[None]:
    """Their tensors on the CPU, of one type throughout."""
    kept = torch.cuda.FloatTensor, torch.Tensor.float, torch.get_default_dtype()
    torch.cuda.FloatTensor = torch.DoubleTensor if dtype == torch.float64 else torch.FloatTensor
    torch.Tensor.float = lambda self: self.to(dtype)
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.cuda.FloatTensor, torch.Tensor.float = kept[:2]
        torch.set_default_dtype(kept[2])


def small() -> tuple[Sequences, DHCN, Clicks]:
    """The golden case of ours: sequences with items from 0, the model in float64, the first batch."""
    items, offsets = clicks(SESSIONS)
    train = beginnings(items - 1, offsets)
    model = DHCN(hypergraph(train, ITEMS), WIDTH).double()
    return train, model, train.batch(np.arange(BATCH))


def lists(sequences: Sequences, number: np.ndarray) -> tuple[list[list[int]], list[int]]:
    """Sequences and targets as the original reads them; `number[k]` is its number of item k."""
    found = [number[sequences.items[a:b]].tolist() for a, b in zip(sequences.start, sequences.stop, strict=True)]
    return found, number[sequences.target].tolist()


def theirs(module: ModuleType, data: Any, items: int, width: int, batch: int) -> nn.Module:
    """The original's model on its data."""
    return module.DHCN(data.adjacency, items, 1e-3, 3, 1e-5, 0.01, "diginetica", width, batch)


def give(ours: DHCN, other: nn.Module, rows: np.ndarray | None = None) -> None:
    """Load our weights into the original; item k of ours is its row `rows[k]`."""
    values = {their: ours.state_dict()[our].clone() for our, their in NAMES.items()}
    values["w_2"] = values["w_2"].T.contiguous()
    if rows is not None:
        placed = torch.empty_like(values["embedding.weight"])
        placed[torch.from_numpy(rows)] = values["embedding.weight"]
        values["embedding.weight"] = placed
    other.load_state_dict(values)


def their_loss(module: ModuleType, model: nn.Module, data: Any, chosen: np.ndarray) -> Tensor:
    """The loss of a batch as its `train_test` computes it."""
    target, scores, contrast = module.forward(model, chosen, data)
    return model.loss_function(scores + 1e-8, target) + contrast
