"""Which whole numbers of utterances print as a pair of percentages: the arithmetic of one class.

A class of n utterances, among N in all, of which t are found with p predictions:

    recall t / n      precision t / p      F1 2t / (n + p)
    accuracy, one class against the rest, (N - n - p + 2t) / N

Everything is compared in whole numbers, so that no floating point decides a case.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lmam_core.errors import LmamError

READINGS = ("recall", "precision", "accuracy")
"""What a column headed "Acc." can be for one class; accuracy is that of the class against the rest."""
ROUNDINGS = ("rounded", "truncated")
"""How digits end: to the nearest unit, ties either way; or cut off."""
Integers = np.ndarray | int
UNBOUNDED = np.int64(10**12)
CHUNK = 2**20
"""So many (pair, t) are tried at once."""


@dataclass(frozen=True)
class Digits:
    """How numbers are printed: `scale` units to one percent (100 for two decimals), rounded or truncated.

    `width` widens the tolerance to that many times half a unit, odd; 1 is what rounding itself allows.
    """

    scale: int = 100
    rounding: str = "rounded"
    width: int = 1

    def __post_init__(self) -> None:
        if self.rounding not in ROUNDINGS:
            raise LmamError(f"rounding must be one of {', '.join(ROUNDINGS)}; got {self.rounding!r}.")

    @property
    def whole(self) -> int:
        """Half units in 100 percent: the denominator of every comparison."""
        return 200 * self.scale

    def between(self, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The lowest and highest share that prints as `value` (in units), in half units of a percent."""
        if self.rounding == "rounded":
            return 2 * value - self.width, 2 * value + self.width
        return 2 * value - self.width + 1, 2 * value + self.width + 1

    @property
    def open(self) -> int:
        """1 where the upper end does not print as the value itself, else 0."""
        return int(self.rounding == "truncated")


@dataclass(frozen=True)
class Solutions:
    """Hits t with the predictions p_low..p_high of each, along the last axis; none where p_low > p_high."""

    t: np.ndarray
    p_low: np.ndarray
    p_high: np.ndarray

    @property
    def exist(self) -> np.ndarray:
        """Whether any (t, p) prints as the pair."""
        return np.asarray((self.p_low <= self.p_high).any(-1))

    def listed(self) -> list[tuple[int, int, int]]:
        """(t, p_low, p_high) of a single pair, one entry per t."""
        there = self.p_low <= self.p_high
        columns = (x[there].tolist() for x in (self.t, self.p_low, self.p_high))
        return list(zip(*columns, strict=True))


def solutions(
    acc: Integers, f1: Integers, n: Integers, total: int | None, reading: str, digits: Digits = Digits()
) -> Solutions:
    """All (t, p) that print as Acc. = `acc` and F1 = `f1`, both whole units of the last digit, where Acc. is `reading`.

    t <= p <= N - (n - t). Without `total` no upper end of p is known, and one-vs-rest accuracy cannot be read. Arrays
    broadcast. A precision without predictions is 0, as scikit-learn has it. Raises LmamError for an unknown reading.
    """
    if reading not in READINGS:
        raise LmamError(f"A reading is one of {', '.join(READINGS)}; got {reading!r}.")
    if reading == "accuracy" and total is None:
        raise LmamError("One-vs-rest accuracy counts all utterances: give total, their number.")
    acc, f1, n = (np.asarray(x, np.int64)[..., None] for x in np.broadcast_arrays(acc, f1, n))
    low, high = _bracket(acc, f1, n, total, reading, digits)
    t = low + np.arange(int((high - low).max(initial=0)) + 1)
    whole, cut = digits.whole, digits.open
    low, high = digits.between(f1)
    p_low = np.maximum(_ceil(2 * whole * t + cut, high) - n, t)
    p_high = _floor_or_unbounded(2 * whole * t, low) - n
    if total is not None:
        p_high = np.minimum(p_high, total - n + t)
    low, high = digits.between(acc)
    if reading == "recall":
        there = (low * n <= whole * t) & (whole * t <= high * n - cut)
        p_high = np.where(there, p_high, p_low - 1)
    elif reading == "precision":
        p_low = np.maximum(p_low, np.where(t > 0, _ceil(whole * t + cut, high), low > 0))
        p_high = np.minimum(p_high, _floor_or_unbounded(whole * t, low))
    else:
        N = total or 0
        right = N - n + 2 * t  # of N, once p is taken away
        p_low = np.maximum(p_low, right - (high * N - cut) // whole)
        p_high = np.minimum(p_high, right - _ceil(low * N, whole))
    p_high = np.where((t >= 0) & (t <= n), p_high, p_low - 1)
    return Solutions(t, p_low, p_high)


def possible(
    acc: Integers, f1: Integers, n: Integers, total: int | None, reading: str, digits: Digits = Digits()
) -> np.ndarray:
    """Whether whole numbers exist that print as the pair; see `solutions`. Arrays broadcast; any size."""
    acc, f1, n = np.broadcast_arrays(*(np.asarray(x, np.int64) for x in (acc, f1, n)))
    shape = acc.shape
    acc, f1, n = acc.ravel(), f1.ravel(), n.ravel()
    low, high = _bracket(acc, f1, n, total, reading, digits)
    order = np.argsort(high - low, kind="stable")  # pairs with as many t to try go together
    exist = np.zeros(len(order), bool)
    start = 0
    while start < len(order):
        widths = (high - low)[order[start:]] + 1
        end = start + max(1, int(np.searchsorted(widths * np.arange(1, len(widths) + 1), CHUNK)))
        end = min(end, start + int(np.searchsorted(widths, 2 * widths[0] + 4, side="right")))
        part = order[start:end]
        exist[part] = solutions(acc[part], f1[part], n[part], total, reading, digits).exist
        start = end
    return exist.reshape(shape)


def distance(
    acc: Integers,
    f1: Integers,
    n: Integers,
    total: int | None,
    reading: str,
    scale: int = 100,
    furthest: int = 41,
) -> np.ndarray:
    """How far a printed pair lies from the nearest possible one: the least odd number of half units, or NaN.

    1: the pair is possible. 3: both numbers are within one and a half units of a possible pair.
    """
    acc, f1, n = np.broadcast_arrays(acc, f1, n)
    widths = np.full(acc.shape, np.nan)
    for width in range(1, furthest + 1, 2):
        left = np.isnan(widths)
        if not left.any():
            break
        reached = possible(acc[left], f1[left], n[left], total, reading, Digits(scale, width=width))
        widths[left] = np.where(reached, width, np.nan)
    return widths


def _bracket(
    acc: np.ndarray, f1: np.ndarray, n: np.ndarray, total: int | None, reading: str, digits: Digits
) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and highest t to try: ends from real arithmetic, moved out by one."""
    (a, a_), (f, f_) = ([np.clip(end / digits.whole, 0, 1) for end in digits.between(x)] for x in (acc, f1))
    with np.errstate(divide="ignore", invalid="ignore"):
        if reading == "recall":
            low, high = a * n, a_ * n
        elif reading == "precision":  # from F1 = 2t / (n + t / a)
            low = np.where(f < 2 * a_, n * f / (2 - f / a_), n + 1)
            high = np.where(f_ < 2 * a, n * f_ / (2 - f_ / a), n)
        else:  # from 1 - a = (n + p)(1 - F1) / N
            N = total or 0
            low = np.where(f < 1, N * f * (1 - a_) / (2 * (1 - f)), 0)
            high = np.where(f_ < 1, N * f_ * (1 - a) / (2 * (1 - f_)), n)
    low = np.clip(np.nan_to_num(low), 0, n + 1).astype(np.int64) - 1
    high = np.clip(np.nan_to_num(high), 0, n).astype(np.int64) + 1
    return low, np.maximum(low, high)


def _ceil(a: Integers, b: Integers) -> np.ndarray:
    return -(-np.asarray(a) // np.asarray(b))


def _floor_or_unbounded(a: Integers, b: Integers) -> np.ndarray:
    """a // b where b > 0, else no bound."""
    return np.where(np.asarray(b) > 0, np.asarray(a) // np.maximum(b, 1), UNBOUNDED)
