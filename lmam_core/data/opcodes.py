"""What the opcodes of a pickle claim, checked before an unpickler believes them.

The unpickler of Python sets memory aside for whatever index or frame a file announces, and its hash of a tuple within
a tuple within a tuple, millions deep, overruns the stack of the process. Both are found by reading the opcodes alone.
"""

from __future__ import annotations

import pickletools
from typing import BinaryIO

from lmam_core.errors import LmamError

DEEPEST = 64
"""Containers within containers; the files of the field have five."""


def check(file: BinaryIO, size: int) -> None:
    """Read the opcodes of a pickle of `size` bytes; raises LmamError for claims that no honest file makes.

    Damaged files raise ValueError, as `pickletools` does.
    """
    stack: list[int] = []  # how many tuples deep each value on the unpickler's stack is
    memo: dict[int, int] = {}
    marks: list[int] = []
    for opcode, argument, position in pickletools.genops(file):
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
            if name.startswith("TUPLE"):
                depth = 1 + max(taken, default=0)
            elif "GET" in name:
                depth = memo.get(argument, 0)
            else:
                depth = taken[0] if name == "DUP" and taken else 0
            if depth > DEEPEST:
                raise LmamError(f"its containers lie more than {DEEPEST} deep.")
            stack.extend([depth] * len(opcode.stack_after))


def _take(opcode: pickletools.OpcodeInfo, stack: list[int], marks: list[int]) -> list[int]:
    """Take off the stack what an opcode does."""
    before = opcode.stack_before
    taken: list[int] = []
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
