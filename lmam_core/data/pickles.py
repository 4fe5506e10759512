"""Pickles of arrays and plain containers, read without running anything that they ask for.

A pickle is a program: its bytes name Python objects and call them. Here Python's own reader goes by a shorter table of
opcodes, a name is looked up in `_ALLOWED` alone, what stands there are stand-ins, and the arrays are put together
afterwards by numpy from bytes, shape and type. So a file can name `os.system`, but nothing that it could call exists
for it. Work, depth and size are bounded together (`_Budget`). The layouts of `data.files` need no more.
"""

from __future__ import annotations

import math
import pickle
import re
import reprlib
import struct
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FunctionType
from typing import Any, BinaryIO, ClassVar, Literal

import numpy as np

from lmam_core import file_errors
from lmam_core.errors import LmamError
from lmam_core.limits import PICKLE_DEPTH as DEEPEST
from lmam_core.limits import PICKLE_KEYS as IN_KEYS

TIMES, FREE = 16, 2**23
"""How many times its size a file may grow to, and the bytes on top of that; up to three times that while it is read."""

_REFUSED = (
    *(pickle.PERSID, pickle.BINPERSID, pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.NEXT_BUFFER),
    *(pickle.READONLY_BUFFER, pickle.INST, pickle.OBJ, pickle.NEWOBJ, pickle.NEWOBJ_EX),
)
"""Opcodes that ask for things beyond the file or make instances of classes."""
_NUMBERS_AND_STRINGS = re.compile(r"[|<>=]?(?:[?biufcSUO]\d{0,9})")
_HASHES = sys.hash_info.modulus
_DEEP = f"its containers hold themselves, or lie more than {DEEPEST} deep."


def load(path: Path | str) -> Any:
    """What a pickle holds: numbers, strings, None, numpy arrays and scalars, in dicts, lists, tuples and sets.

    Pickles of Python 2 are read with their strings as latin-1; an `OrderedDict` or `defaultdict` becomes a dict.
    Raises LmamError, and has run nothing, for a file that asks for anything else, is damaged or no pickle, holds
    itself, or claims to be larger than it is.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise LmamError(f"{path} is not a file.")
    with file_errors.explained(path, "a whole pickle of arrays and containers", b"\x80"), path.open("rb") as file:
        budget = _Budget(path.stat().st_size)
        try:
            value = _plain(_Unpickler(file, budget).load(), {}, [], budget)
            budget.expect(_expanded(value, {}))
        except LmamError as error:
            raise LmamError(f"{path.name} was not opened: {error}") from None
        return value


class _Budget:
    """What a file may still grow to: one that names the same bytes over and over would fill the memory."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.left = TIMES * size + FREE
        self.in_keys = IN_KEYS

    def expect(self, amount: int) -> None:
        """Raise LmamError where bytes that are about to be made are more than what is left."""
        if amount > self.left:
            raise LmamError(f"it would become more than {TIMES} times as large as it is.")

    def spend(self, amount: int) -> None:
        """Take off bytes or values that are about to be made or looked at; raises LmamError for too many."""
        self.expect(amount)
        self.left -= amount

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

    def check_keys(self, keys: Iterable[Any], depth: int = 0) -> None:
        """Raise LmamError for keys whose hashes would never end, overrun the stack, or all be the same."""
        if depth >= DEEPEST:
            raise LmamError(_DEEP)
        for key in keys:
            inner = key if isinstance(key, (tuple, frozenset)) else ()
            if inner or isinstance(key, complex) or (isinstance(key, int) and abs(key) >= _HASHES):
                self.in_keys -= 1 + len(inner)
                if self.in_keys < 0:
                    raise LmamError(
                        f"the tuples in its keys and sets hold more than {IN_KEYS:,} values, or some over and over."
                    )
                self.check_keys(inner, depth + 1)


class _Named:
    """What a pickle may name and neither call nor change."""

    def __init__(self, name: str) -> None:
        self.name = name


class _Steps(dict[int, Any]):
    """What is done for each opcode."""

    def __missing__(self, code: int) -> None:
        raise pickle.UnpicklingError(f"it has the opcode {bytes([code])!r}")


_load_mark = pickle._Unpickler.dispatch[pickle.MARK[0]]


class _Unpickler(pickle._Unpickler):
    """Python's reader in Python, each step of which asks before it sets memory aside, makes a key or calls."""

    stack: list[Any]
    metastack: list[list[Any]]
    read: Callable[[int], bytes]
    append: Callable[[object], None]
    dispatch: ClassVar[dict[int, Any]] = _Steps(
        (code, step) for code, step in pickle._Unpickler.dispatch.items() if bytes([code]) not in _REFUSED
    )

    def __init__(self, file: BinaryIO, budget: _Budget) -> None:
        super().__init__(file, encoding="latin1")
        self.budget = budget
        self._file, self._file_read = file, self._checked_read

    def _checked_read(self, count: int) -> bytes:
        if count > 4096 and count > (left := self.budget.size - self._file.tell()):
            raise LmamError(f"it announces {count:,} bytes and {left:,} are left, as of a file that was cut off.")
        return self._file.read(count)

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise LmamError(f"it asks for {module}.{name}, which is neither an array nor a container.")
        return _ALLOWED[module, name]

    def load_reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack[-1]
        if type(function) is not FunctionType or type(arguments) is not tuple:
            raise LmamError("it calls what is not callable.")
        self.budget.spend(48)
        self.budget.spend_on(arguments)
        self.stack[-1] = function(self.budget, *arguments)

    def load_build(self) -> None:
        state, value = self.stack.pop(), self.stack[-1]
        if not isinstance(value, (_Array, _Dtype)):
            raise LmamError(f"it wants to change {getattr(value, 'name', type(value).__name__)}.")
        value.set(state)

    def load_bytearray8(self) -> None:
        (count,) = struct.unpack("<Q", self.read(8))
        self.append(bytearray(self.read(count)))

    def load_mark(self) -> None:
        if len(self.metastack) > 2 * DEEPEST:
            raise LmamError(_DEEP)
        _load_mark(self)  # type: ignore[arg-type]


def _checked(code: bytes, size: int, keys: Callable[[list[Any]], list[Any]] | None = None) -> None:
    """Let a step of the reader first spend `size` bytes and check the keys that it takes from the stack."""
    step = pickle._Unpickler.dispatch[code[0]]

    def first(self: _Unpickler) -> None:
        self.budget.spend(size)
        if keys is not None:
            self.budget.check_keys(keys(self.stack))
        step(self)  # type: ignore[arg-type]

    _Unpickler.dispatch[code[0]] = first


for _name in ("reduce", "build", "bytearray8", "mark"):
    _Unpickler.dispatch[getattr(pickle, _name.upper())[0]] = getattr(_Unpickler, f"load_{_name}")
for _code in (pickle.EMPTY_LIST, pickle.LIST, pickle.EMPTY_DICT):
    _checked(_code, 64)
for _code in (pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3):
    _checked(_code, 32)
_checked(pickle.EMPTY_SET, 216)
_checked(pickle.FROZENSET, 216, lambda stack: stack)
_checked(pickle.ADDITEMS, 0, lambda stack: stack)
_checked(pickle.DICT, 64, lambda stack: stack[::2])
_checked(pickle.SETITEMS, 0, lambda stack: stack[::2])
_checked(pickle.SETITEM, 0, lambda stack: stack[-2:-1])


class _Dtype:
    """A numpy type in the making; pickle first names it and then sets its state, which holds the byte order."""

    __slots__ = ("_type",)

    def __init__(self, code: Any) -> None:
        if not isinstance(code, str) or not _NUMBERS_AND_STRINGS.fullmatch(code):
            raise LmamError(f"it holds an array of type {reprlib.repr(code)}, neither numbers nor strings.")
        self._type = np.dtype(object) if code.lstrip("|<>=").startswith("O") else np.dtype(code)

    def set(self, state: tuple[Any, ...]) -> None:
        _, order, subtype, names, fields = state[:5]
        if subtype is not None or names is not None or fields is not None or order not in ("<", ">", "|", "="):
            raise LmamError("it holds an array of records, neither numbers nor strings.")
        if self._type.hasobject or order == "|":
            return
        self._type = self._type.newbyteorder(order)


class _Array:
    """An array in the making: `items` are bytes, or a list for an array of objects."""

    __slots__ = ("items", "order", "shape", "type")
    order: Literal["C", "F"]

    def set(self, state: tuple[Any, ...]) -> None:
        _, self.shape, dtype, fortran, self.items = state
        self.type, self.order = dtype._type, "F" if fortran else "C"
        _check_shape(self.shape)
        if self.type.hasobject and not isinstance(self.items, list):
            raise LmamError("it holds an array of objects that lists none.")

    def build(self, memo: dict[int, Any], above: list[int], budget: _Budget) -> np.ndarray:
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
    if not isinstance(shape, tuple) or len(shape) > 64 or not all(isinstance(n, int) and 0 <= n < 2**63 for n in shape):
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


def _reconstruct(budget: _Budget, kind: Any, shape: Any, code: Any) -> _Array:
    # The shape here is always (0,); the real one, with the bytes that it needs, comes as the state.
    if kind is not _NDARRAY:
        raise LmamError("it builds an array that is none.")
    return _Array()


def _frombuffer(budget: _Budget, items: Any, dtype: _Dtype, shape: Any, order: Any) -> _Array:
    array = _Array()
    array.set((1, shape, dtype, order == "F", items))
    return array


def _scalar(budget: _Budget, dtype: _Dtype, raw: Any = b"") -> Any:
    if dtype._type.hasobject:
        raise LmamError("it holds a scalar that is an object.")
    return _numbers(raw, dtype._type, 1)[0]


def _dtype(budget: _Budget, code: Any, *align_and_copy: Any) -> _Dtype:
    return _Dtype(code)


def _encode(budget: _Budget, text: str, encoding: str = "latin1") -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise LmamError(f"it holds bytes written as {reprlib.repr(encoding)}.")
    return text.encode("latin1")


def _bytes(budget: _Budget, text: Any = b"", encoding: str = "latin1") -> bytes:
    return _encode(budget, text, encoding) if isinstance(text, str) else bytes(_listed(text, (bytes, bytearray)))


def _bytearray(budget: _Budget, text: Any = b"", encoding: str = "latin1") -> bytearray:
    return bytearray(_bytes(budget, text, encoding))


def _dict(budget: _Budget, *arguments: Any) -> dict[Any, Any]:
    pairs = _listed(arguments[0], (list, tuple)) if arguments else ()
    budget.check_keys(key for key, _ in pairs)
    return {key: value for key, value in pairs}


def _defaultdict(budget: _Budget, factory: Any = None, *arguments: Any) -> dict[Any, Any]:
    return _dict(budget, *arguments)


def _set(budget: _Budget, items: Any = ()) -> set[Any]:
    budget.spend(216)
    budget.check_keys(_listed(items, (list, tuple)))
    return set(items)


def _frozenset(budget: _Budget, items: Any = ()) -> frozenset[Any]:
    budget.spend(216)
    budget.check_keys(_listed(items, (list, tuple)))
    return frozenset(items)


def _complex(budget: _Budget, real: float, imaginary: float) -> complex:
    return complex(real, imaginary)


def _listed(value: Any, kinds: tuple[type, ...]) -> Any:
    # bytes(10**12) and set(range) would make what the file does not hold.
    if type(value) not in kinds:
        raise LmamError(f"it fills a container from {type(value).__name__}.")
    return value


_NDARRAY = _Named("numpy.ndarray")
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): _dict,
    ("collections", "defaultdict"): _defaultdict,
}
for _core in ("numpy.core", "numpy._core"):
    _ALLOWED[f"{_core}.multiarray", "_reconstruct"] = _reconstruct
    _ALLOWED[f"{_core}.multiarray", "scalar"] = _scalar
    _ALLOWED[f"{_core}.numeric", "_frombuffer"] = _frombuffer
for _module in ("builtins", "__builtin__"):
    for _function in (_bytes, _bytearray, _set, _frozenset, _complex):
        _ALLOWED[_module, _function.__name__.strip("_")] = _function
    # The factories of a defaultdict: named, never called.
    for _name in ("list", "dict", "tuple", "int", "float", "str", "long", "unicode"):
        _ALLOWED[_module, _name] = _Named(f"builtins.{_name}")


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
    if id(value) in above or len(above) >= DEEPEST:
        raise LmamError(_DEEP)
    above.append(id(value))
    built: object
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


def _expanded(value: Any, memo: dict[int, int]) -> int:
    """The bytes of a value if all that occurs twice stood there twice, as in an array that numpy makes of it."""
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return value.nbytes
    if not isinstance(value, (list, tuple, set, frozenset, dict, np.ndarray)):
        return 8
    if id(value) not in memo:
        items = value.flat if isinstance(value, np.ndarray) else value
        memo[id(value)] = 8 + sum(_expanded(item, memo) for item in items)
        if isinstance(value, dict):
            memo[id(value)] += sum(_expanded(item, memo) for item in value.values())
    return memo[id(value)]
