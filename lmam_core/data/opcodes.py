"""What the opcodes of a pickle claim, checked before an unpickler believes them.

The unpickler of Python sets memory aside for whatever index or frame a file announces. Its hash of a tuple within a
tuple within a tuple, millions deep, overruns the stack of the process, and that of (t, t) with t = (t, t), forty times,
never ends. All of it is found by reading the opcodes alone, and nothing but the opcodes is there before the harm is
done: the unpickler itself, whose names are looked up in a list, asks nobody when it makes a key of a tuple.
"""

from __future__ import annotations

import pickletools
from typing import BinaryIO

from lmam_core.errors import LmamError

DEEPEST = 64
"""Containers within containers; the files of the field have five."""
COPIES = 64
"""How many times over a file's values may be looked at, an opcode in the mean, as tuples that hold tuples repeat."""


def check(file: BinaryIO, size: int) -> None:
    """Read the opcodes of a pickle of `size` bytes; raises LmamError for claims that no honest file makes.

    Damaged files raise ValueError, as `pickletools` does.
    """
    # How many tuples deep each value on the unpickler's stack is, and of how many values they consist.
    stack: list[tuple[int, int]] = []
    memo: dict[int, tuple[int, int]] = {}
    marks: list[int] = []
    work = 0
    for count, (opcode, argument, position) in enumerate(pickletools.genops(file)):
        name = opcode.name
        too_much = name in ("PUT", "LONG_BINPUT") and argument > position
        if too_much or (name == "FRAME" and argument > size - position):
            raise LmamError(f"it claims a size of {argument:,} where {size:,} bytes stand.")
        if name == "MARK":
            marks.append(len(stack))
        elif name == "POP" and marks and marks[-1] == len(stack):
            marks.pop()
        elif "PUT" in name and stack:
            memo[argument] = stack[-1]
        elif name == "MEMOIZE" and stack:
            memo[len(memo)] = stack[-1]
        else:
            taken = _take(opcode, stack, marks)
            values = sum(many for _, many in taken)
            work += values
            depth, many = 0, 1
            if name.startswith("TUPLE"):
                depth, many = 1 + max((deep for deep, _ in taken), default=0), 1 + values
            elif "GET" in name:
                depth, many = memo.get(argument, (0, 1))
            elif name == "DUP" and taken:
                depth, many = taken[0]
            if depth > DEEPEST:
                raise LmamError(f"its containers lie more than {DEEPEST} deep.")
            if work + many > COPIES * (count + DEEPEST):
                raise LmamError("its tuples hold the same values over and over.")
            stack.extend([(depth, many)] * len(opcode.stack_after))


def _take(opcode: pickletools.OpcodeInfo, stack: list[tuple[int, int]], marks: list[int]) -> list[tuple[int, int]]:
    """Take off the stack what an opcode does."""
    before = opcode.stack_before
    taken: list[tuple[int, int]] = []
    count = len(before)
    if pickletools.markobject in before:
        start = marks.pop() if marks else 0
        taken = stack[start:]
        del stack[start:]
        count = before.index(pickletools.markobject)
    if count:
        taken += stack[-count:]
        del stack[-count:]
    return taken
