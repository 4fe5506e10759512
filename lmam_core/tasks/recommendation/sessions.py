"""Sessions of clicks: what training reads of them, what it is scored on, and the hypergraph that they span."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from lmam_core.data import catalogue
from lmam_core.errors import LmamError

LONGEST = 200
"""Clicks that a model reads of a sequence, the most recent ones: as many as DHCN has positions."""
VALIDATION = 0.1
"""The share of training sessions that validation takes, as is usual in the field."""
UNSEEN = -1
"""The index of an item that no training session holds."""


@dataclass(frozen=True)
class Sequences:
    """n sequences of clicks, each with the item clicked next, cut out of clicks that lie end to end.

    Sequence i is `items[start[i] : stop[i]]`, in the order of time, `target[i]` the item clicked after it, `session[i]`
    the session that it is the beginning of.
    """

    items: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    target: np.ndarray
    session: np.ndarray

    def __len__(self) -> int:
        return len(self.target)

    def of(self, sessions: np.ndarray) -> Sequences:
        """Those of some sessions, given as a mask over all."""
        rows = sessions[self.session]
        return replace(self, **{n: getattr(self, n)[rows] for n in ("start", "stop", "target", "session")})

    def numbered(self, index: np.ndarray) -> Sequences:
        """The same with items renumbered by `index`; clicks on unseen items are left out, their targets stay `UNSEEN`.

        A sequence can become empty; nothing can be told of it.
        """
        items = index[self.items]
        before = np.concatenate([[0], np.cumsum(items != UNSEEN)])
        return replace(
            self,
            items=items[items != UNSEEN],
            start=before[self.start],
            stop=before[self.stop],
            target=index[self.target],
        )

    def batches(self, size: int, order: torch.Generator | None = None) -> Iterator[Clicks]:
        """Batches of `size` sequences, shuffled by `order`, in stored order without one."""
        n = len(self)
        rows = torch.randperm(n, generator=order).numpy() if order else np.arange(n)
        for first in range(0, n, size):
            yield self.batch(rows[first : first + size])

    def batch(self, rows: np.ndarray) -> Clicks:
        """Some sequences as one batch, with their last `LONGEST` clicks."""
        start, stop = self.start[rows], self.stop[rows]
        length = np.minimum(stop - start, LONGEST)
        back = np.arange(max(1, length.max(initial=1)))
        mask = back < length[:, None]  # (B, L)
        items = np.where(mask, self.items[np.where(mask, stop[:, None] - 1 - back, 0)], 0) if len(self.items) else mask
        arrays = (items.astype(np.int64), mask, length, self.target[rows])
        return Clicks(*(torch.from_numpy(a) for a in arrays))


@dataclass(frozen=True)
class Clicks:
    """A batch of B sequences of at most L clicks, the last click first, as DHCN counts positions.

    `items` (B, L) int64 with 0 for padding, `mask` (B, L), `length` (B,), `target` (B,), `UNSEEN` for an item that
    training has not seen.
    """

    items: Tensor
    mask: Tensor
    length: Tensor
    target: Tensor

    def to(self, device: torch.device) -> Clicks:
        """The same batch on `device`."""
        return Clicks(*(getattr(self, n).to(device, non_blocking=True) for n in ("items", "mask", "length", "target")))


@dataclass(frozen=True)
class Sessions:
    """Data for next-item recommendation: `train`, `validation` and `test` over `items` (n,), those of train.

    `items[k]` is the source's number of item k. `graph` (n, n) is D^-1 H B^-1 H^T of the training sequences
    (`hypergraph`). Items are numbered so that what is clicked together lies together: products with the graph take
    half the time.
    """

    items: np.ndarray
    train: Sequences
    validation: Sequences
    test: Sequences
    graph: sparse.csr_matrix
    sha256: str = ""


def clicks(sessions: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Sessions as items end to end and offsets; raises LmamError for one without clicks or with a strange item."""
    for i, session in enumerate(sessions):
        if len(session) == 0:
            raise LmamError(f"Session {i} has no clicks; leave it out.")
        for item in session:
            if isinstance(item, bool) or not isinstance(item, int | np.integer) or item < 0:
                raise LmamError(f"Session {i} holds the item {item!r}; items are whole numbers from 0.")
    flat = [item for session in sessions for item in session]
    return np.array(flat, np.int64), np.cumsum([0, *map(len, sessions)])


def checked(name: str, items: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Stored sessions as int64; raises LmamError for items that are no whole numbers from 0 and for empty sessions."""
    for what, a in (("items", items), ("offsets", offsets)):
        if a.dtype.kind not in "iu" or a.ndim != 1:
            raise LmamError(f"{name}: {what} must be whole numbers in one row; they are {a.dtype} of shape {a.shape}.")
    if len(items) and items.min() < 0:
        raise LmamError(f"{name}: items are whole numbers from 0; one is {items.min()}.")
    if len(offsets) < 2 or offsets[0] != 0 or offsets[-1] != len(items):
        raise LmamError(f"{name}: offsets must run from 0 to the number of clicks, {len(items)}.")
    if (empty := np.flatnonzero(np.diff(offsets) < 1)).size:
        raise LmamError(f"{name}: session {empty[0]} has no clicks; leave it out.")
    return items.astype(np.int64), offsets.astype(np.int64)


def beginnings(items: np.ndarray, offsets: np.ndarray) -> Sequences:
    """Every proper beginning of every session with the click that follows: n - 1 sequences of a session of n clicks.

    A session of one click has none.
    """
    counts = np.diff(offsets) - 1
    session = np.repeat(np.arange(len(counts)), counts)
    start = offsets[:-1][session]
    place = np.arange(len(session)) - np.repeat(np.cumsum(counts) - counts, counts)
    stop = start + 1 + place
    return Sequences(items, start, stop, items[stop], session)


def continued(items: np.ndarray, offsets: np.ndarray, target: np.ndarray) -> Sequences:
    """Sequences that are beginnings already, with their targets; those of one session follow each other, longest first.

    A sequence belongs to the session of the one before it if that one is it with its target behind.
    """
    start, stop = offsets[:-1], offsets[1:]
    length = stop - start
    same = np.zeros(len(target), bool)
    for i in np.flatnonzero(length[1:] == length[:-1] - 1) + 1:
        before = items[start[i - 1] : stop[i - 1]]
        same[i] = target[i] == before[-1] and np.array_equal(items[start[i] : stop[i]], before[:-1])
    return Sequences(items, start, stop, target, np.cumsum(~same) - 1)


def hypergraph(train: Sequences, items: int) -> sparse.csr_matrix:
    """D^-1 H B^-1 H^T (n, n) of training sequences, each a hyperedge over its items (Xia et al. 2021, Eq. 1 to 3).

    H (items, sequences) is 1 where a sequence holds an item, B the number of items of a sequence, D of an item the
    number of sequences that hold it. An item that is in none has an empty row.
    """
    length = train.stop - train.start
    place = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
    columns = train.items[np.repeat(train.start, length) + place]
    edges = sparse.csr_matrix(
        (np.ones(len(columns)), columns, np.concatenate([[0], np.cumsum(length)])), shape=(len(train), items)
    )
    edges.sum_duplicates()
    edges.data[:] = 1  # an item that is clicked twice is in its session once
    degree = np.asarray(edges.sum(0)).ravel()
    per_edge = sparse.diags(1 / np.maximum(np.asarray(edges.sum(1)).ravel(), 1))
    return sparse.csr_matrix(sparse.diags(1 / np.maximum(degree, 1)) @ (edges.T @ (per_edge @ edges)))


def neighbours(graph: sparse.csr_matrix, size: int = 64) -> np.ndarray:
    """An order of items in which those that are clicked together lie together.

    Random vectors that are averaged over the graph 15 times differ little between items of one neighbourhood; items are
    halved along the direction in which the vectors vary most, and each half again, down to `size`.
    """
    x = np.random.default_rng(0).normal(size=(graph.shape[0], 32))
    for _ in range(15):
        x = graph @ x

    def halved(items: np.ndarray) -> list[np.ndarray]:
        if len(items) <= size:
            return [items]
        y = x[items] - x[items].mean(0)
        widest = np.linalg.eigh(y.T @ y)[1][:, -1]
        ordered = items[np.argsort(y @ widest, kind="stable")]
        half = len(items) // 2
        return halved(ordered[:half]) + halved(ordered[half:])

    return np.concatenate(halved(np.arange(graph.shape[0])))


def prepare(
    train: tuple[np.ndarray, np.ndarray], test: Sequences, fraction: int, validation: bool, seed: int, sha256: str = ""
) -> Sessions:
    """Sessions for one run: the most recent part of training sessions, of which `validation` takes a tenth.

    `fraction` 64 keeps the last 64th of the sessions, which are in the order of time, 1 all of them; the test set stays
    whole. Validation sessions are drawn by `seed`, whole. Raises LmamError where nothing is left to train on.
    """
    items, offsets = train
    first = len(offsets) - 1 - max(1, (len(offsets) - 1) // fraction)
    items, offsets = items[offsets[first] :], offsets[first:] - offsets[first]
    sessions = len(offsets) - 1
    held_out = np.zeros(sessions, bool)
    if validation:
        held_out[np.random.default_rng(seed).permutation(sessions)[: max(1, round(VALIDATION * sessions))]] = True
    every = beginnings(items, offsets)
    training = every.of(~held_out)
    if not len(training) or (validation and not len(every.of(held_out))):
        raise LmamError(
            f"{sessions} training sessions are too few: training and validation need sessions of two or more clicks."
        )
    seen = np.unique(items[np.repeat(~held_out, np.diff(offsets))])
    size = int(max(items.max(), test.items.max(initial=0), test.target.max(initial=0))) + 1
    index = np.full(size, UNSEEN)
    index[seen] = np.arange(len(seen))
    graph = hypergraph(training.numbered(index), len(seen))
    order = neighbours(graph)
    index[seen[order]] = np.arange(len(seen))
    return Sessions(
        items=seen[order],
        train=training.numbered(index),
        validation=every.of(held_out).numbered(index),
        test=test.numbered(index),
        graph=sparse.csr_matrix(graph[order][:, order]),
        sha256=sha256,
    )


@lru_cache(maxsize=2)
def load(name: str, fraction: int, validation: bool, seed: int) -> Sessions:
    """A dataset of the catalogue, prepared (`prepare`); raises LmamError for one that holds no sessions."""
    if catalogue.entry(name).task != "recommendation":
        there = ", ".join(catalogue.names("recommendation"))
        raise LmamError(f"{name} holds no sessions; the datasets for recommendation are {there}.")
    arrays, sha256 = catalogue.arrays(name)
    train = checked(f"{name}, train", arrays["train_items"], arrays["train_offsets"])
    test = continued(*checked(f"{name}, test", arrays["test_items"], arrays["test_offsets"]), arrays["test_label"])
    return prepare(train, test, fraction, validation, seed, sha256)
