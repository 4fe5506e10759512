"""Pickles of arrays and plain containers, read without running anything that they ask for.

A pickle is a program: its bytes name Python objects and call them. Here a name is looked up in `_ALLOWED` alone, what
stands there are inert stand-ins, and the arrays are put together afterwards by numpy from bytes, shape and type. So a
file can name `os.system`, but nothing that it could call exists for it. The layouts of `data.files` need no more.
"""

from __future__ import annotations

import math
import pickle
import re
import reprlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from lmam_core.data import opcodes
from lmam_core.errors import LmamError

_NUMBERS_AND_STRINGS = re.compile(r"[|<>=]?(?:[?biufcSUO]\d{0,9})")


def load(path: Path | str) -> Any:
    """What a pickle holds: numbers, strings, None, numpy arrays and scalars, in dicts, lists, tuples and sets.

    Pickles of Python 2 are read with their strings as latin-1; an `OrderedDict` or `defaultdict` becomes a dict.
    Raises LmamError, and has run nothing, for a file that asks for anything else, is damaged, holds itself, or claims
    to be larger than it is.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            opcodes.check(file, size)
            file.seek(0)
            budget = _Budget(size)
            return _plain(_Unpickler(file, budget).load(), {}, [], budget)
    except LmamError as error:
        raise LmamError(f"{path.name} was not opened: {error}") from None
    except OSError as error:
        raise LmamError(f"{path} cannot be read ({error.strerror}).") from error
    except Exception as error:  # a made-up program may fail in any way at all
        reason = " ".join(str(error).split())[:200]
        raise LmamError(
            f"{path.name} is not a whole pickle of arrays and containers ({reason}); copy it again."
        ) from error


class _Budget:
    """What a file may grow to: one that names the same bytes over and over would fill the memory."""

    FACTOR, FREE = 16, 2**20
    """Times the file's size, and on top of that; what is read is counted up to three times on its way."""

    def __init__(self, size: int) -> None:
        self.left = self.FACTOR * size + self.FREE

    def spend(self, amount: int) -> None:
        """Take off bytes or values that are about to be made or looked at; raises LmamError for too many."""
        self.left -= amount
        if self.left < 0:
            raise LmamError(f"it would become more than {self.FACTOR} times as large as it is.")

    def spend_on(self, arguments: Any) -> None:
        """Take off what a call can copy or hash: strings by their length, lists and tuples with what is in them."""
        waiting = [arguments]
        while waiting:
            value = waiting.pop()
            if isinstance(value, (str, bytes, bytearray)):
                self.spend(len(value))
            elif isinstance(value, (list, tuple)):
                self.spend(32 * (1 + len(value)))  # bytes that a set has for each
                waiting.extend(value)


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: BinaryIO, budget: _Budget) -> None:
        super().__init__(file, encoding="latin1")
        self.budget = budget

    def find_class(self, module: str, name: str) -> Any:
        try:
            found = _ALLOWED[module, name]
        except KeyError:
            raise LmamError(f"it asks for {module}.{name}, which is neither an array nor a container.") from None
        return _Call(found._function, self.budget) if isinstance(found, _Call) else found


class _Inert:
    """What a pickle may name but neither call nor change."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        object.__setattr__(self, "_name", name)

    def __setattr__(self, name: str, value: Any) -> None:
        raise LmamError(f"it wants to change {self._name}.")

    def __setstate__(self, state: Any) -> None:
        raise LmamError(f"it wants to change {self._name}.")


class _Call(_Inert):
    """What a pickle may call: a function of ours that checks its arguments and only ever makes a value."""

    __slots__ = ("_budget", "_function")

    def __init__(self, function: Callable[..., Any], budget: _Budget | None = None) -> None:
        super().__init__(function.__name__.strip("_"))
        object.__setattr__(self, "_function", function)
        object.__setattr__(self, "_budget", budget)

    def __call__(self, *arguments: Any) -> Any:
        self._budget.spend_on(arguments)
        return self._function(*arguments)


class _Dtype:
    """A numpy type in the making; pickle first names it and then sets its state, which holds the byte order."""

    __slots__ = ("_type",)

    def __init__(self, code: Any) -> None:
        if not isinstance(code, str) or not _NUMBERS_AND_STRINGS.fullmatch(code):
            raise LmamError(f"it holds an array of type {reprlib.repr(code)}, neither numbers nor strings.")
        self._type = np.dtype(object) if code.lstrip("|<>=").startswith("O") else np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        _, order, subtype, names, fields = state[:5]
        if subtype is not None or names is not None or fields is not None or order not in ("<", ">", "|", "="):
            raise LmamError("it holds an array of records, neither numbers nor strings.")
        if self._type.hasobject or order == "|":
            return
        self._type = self._type.newbyteorder(order)


class _Array:
    """An array in the making: `items` are bytes, or a list for an array of objects."""

    __slots__ = ("items", "order", "shape", "type")

    def __setstate__(self, state: tuple) -> None:
        _, self.shape, dtype, fortran, self.items = state
        self.type, self.order = dtype._type, "F" if fortran else "C"
        _check_shape(self.shape)
        if self.type.hasobject and not isinstance(self.items, list):
            raise LmamError("it holds an array of objects that lists none.")

    def build(self, memo: dict, above: list, budget: _Budget) -> np.ndarray:
        """The array itself, in memory of its own."""
        count = math.prod(self.shape)
        if self.type.hasobject:
            if len(self.items) != count:
                raise LmamError(f"it holds {len(self.items)} items for an array of shape {self.shape}.")
            budget.spend(count * self.type.itemsize)
            array = np.empty(count, object)
            for i, item in enumerate(self.items):
                array[i] = _plain(item, memo, above, budget)
        else:
            array = _numbers(self.items, self.type, count, budget)
        return array.reshape(self.shape, order=self.order)


def _check_shape(shape: Any) -> None:
    if not isinstance(shape, tuple) or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise LmamError(f"it holds an array of shape {reprlib.repr(shape)}.")


def _numbers(items: Any, dtype: np.dtype, count: int, budget: _Budget | None = None) -> np.ndarray:
    """`count` numbers or strings from bytes, (count,); the bytes of Python 2 come as latin-1 text."""
    raw = items.encode("latin1") if isinstance(items, str) else bytes(_listed(items, (bytes, bytearray)))
    if len(raw) != count * dtype.itemsize:
        raise LmamError(f"it holds {len(raw):,} bytes for an array of {count:,} times {dtype.itemsize}.")
    if budget:
        budget.spend(count * (dtype.itemsize or 4))  # numpy makes room for a letter in strings of none
    if not raw:
        return np.zeros(count, dtype)
    if dtype.kind == "b":
        return np.frombuffer(raw, np.uint8) != 0
    return np.frombuffer(raw, dtype).copy()


def _reconstruct(kind: Any, shape: Any, code: Any) -> _Array:
    # The shape here is always (0,); the real one, with the bytes that it needs, comes as the state.
    if kind is not _NDARRAY:
        raise LmamError("it builds an array that is none.")
    return _Array()


def _frombuffer(items: Any, dtype: _Dtype, shape: Any, order: Any) -> _Array:
    array = _Array()
    array.__setstate__((1, shape, dtype, order == "F", items))
    return array


def _scalar(dtype: _Dtype, raw: Any = b"") -> Any:
    if dtype._type.hasobject:
        raise LmamError("it holds a scalar that is an object.")
    return _numbers(raw, dtype._type, 1)[0]


def _dtype(code: Any, *align_and_copy: Any) -> _Dtype:
    return _Dtype(code)


def _encode(text: str, encoding: str = "latin1") -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise LmamError(f"it holds bytes written as {reprlib.repr(encoding)}.")
    return text.encode("latin1")


def _bytes(text: Any = b"", encoding: str = "latin1") -> bytes:
    return _encode(text, encoding) if isinstance(text, str) else bytes(_listed(text, (bytes, bytearray)))


def _bytearray(text: Any = b"", encoding: str = "latin1") -> bytearray:
    return bytearray(_bytes(text, encoding))


def _dict(*arguments: Any) -> dict:
    return {key: value for key, value in _listed(arguments[0], (list, tuple))} if arguments else {}


def _defaultdict(factory: Any = None, *arguments: Any) -> dict:
    return _dict(*arguments)


def _set(items: Any = ()) -> set:
    return set(_listed(items, (list, tuple)))


def _frozenset(items: Any = ()) -> frozenset:
    return frozenset(_listed(items, (list, tuple)))


def _complex(real: float, imaginary: float) -> complex:
    return complex(real, imaginary)


def _listed(value: Any, kinds: tuple[type, ...]) -> Any:
    # bytes(10**12) and set(range) would make what the file does not hold.
    if type(value) not in kinds:
        raise LmamError(f"it fills a container from {type(value).__name__}.")
    return value


_NDARRAY = _Inert("numpy.ndarray")
_ALLOWED: dict[tuple[str, str], _Inert] = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _Call(_dtype),
    ("_codecs", "encode"): _Call(_encode),
    ("collections", "OrderedDict"): _Call(_dict),
    ("collections", "defaultdict"): _Call(_defaultdict),
}
for _core in ("numpy.core", "numpy._core"):
    _ALLOWED[f"{_core}.multiarray", "_reconstruct"] = _Call(_reconstruct)
    _ALLOWED[f"{_core}.multiarray", "scalar"] = _Call(_scalar)
    _ALLOWED[f"{_core}.numeric", "_frombuffer"] = _Call(_frombuffer)
for _module in ("builtins", "__builtin__"):
    for _function in (_bytes, _bytearray, _set, _frozenset, _complex):
        _ALLOWED[_module, _function.__name__.strip("_")] = _Call(_function)
    # The factories of a defaultdict: named, never called.
    for _name in ("list", "dict", "tuple", "int", "float", "str", "long", "unicode"):
        _ALLOWED[_module, _name] = _Inert(f"builtins.{_name}")


def _plain(value: Any, memo: dict[int, Any], above: list[int], budget: _Budget) -> Any:
    """`value` with its arrays built; what occurs twice is built once."""
    if (
        value is None
        or type(value) in (str, bytes, bytearray, int, float, bool, complex)
        or isinstance(value, np.generic)
    ):
        return value
    if id(value) in memo:
        return memo[id(value)]
    if id(value) in above or len(above) >= opcodes.DEEPEST:
        raise LmamError(f"its containers hold themselves, or lie more than {opcodes.DEEPEST} deep.")
    above.append(id(value))
    if type(value) is dict:
        built = {_plain(k, memo, above, budget): _plain(v, memo, above, budget) for k, v in value.items()}
    elif type(value) in (list, tuple, set, frozenset):
        built = type(value)(_plain(item, memo, above, budget) for item in value)
    elif type(value) is _Array:
        built = value.build(memo, above, budget)
    else:
        raise LmamError(f"it holds a {type(value).__name__.strip('_')} where a value should stand.")
    above.pop()
    memo[id(value)] = built
    return built
