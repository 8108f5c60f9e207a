"""The kernel that runs a program: instructions over columns, a block of payments at a time, so that all registers stay in the processor's cache.

A number that is unknown is NaN: no comparison with it holds. A truth is 1 where it surely holds, else 0: see `program`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_app.features.compiled import jit
from stream_app.features.compute import Floats

type Instructions = NDArray[np.int32]
type Truths = NDArray[np.bool_]

BLOCK = 256
"""Payments at a time."""


class Instruction(IntEnum):
    """What is done with registers `a` and `b`; of numbers below `FIRST_OF_TRUTHS`, of comparisons and truths from there on."""

    ADD = 0
    SUB = 1
    MUL = 2
    DIV = 3
    MIN = 4
    MAX = 5
    NEG = 6
    ABS = 7
    HOUR = 8
    LT = 16
    LE = 17
    EQ = 18
    NE = 19
    MISSING = 20
    THERE = 21
    AND = 32
    OR = 33


FIRST_OF_TRUTHS, FIRST_OVER_TRUTHS = int(Instruction.LT), int(Instruction.AND)
_ADD, _SUB, _MUL, _DIV, _MIN, _MAX, _NEG, _ABS = (int(Instruction[name]) for name in "ADD SUB MUL DIV MIN MAX NEG ABS".split())
_LT, _LE, _EQ, _NE, _MISSING, _AND = (int(Instruction[name]) for name in "LT LE EQ NE MISSING AND".split())
_HOUR_MS = 3_600_000.0


def run(code: Instructions, columns: Floats, constants: Floats, roots: NDArray[np.int32], sizes: tuple[int, int]) -> Truths:
    """Which payments each root holds for, bool [roots, payments].

    Args:
        code: int32 [instructions, (instruction, a, b, to)]; registers of numbers are the columns, the constants, then those that are made.
        columns: float64 [columns, payments].
        constants: float64 [constants].
        roots: int32 [roots], registers of truths.
        sizes: registers of numbers, and of truths.
    """
    hits = np.empty((len(roots), columns.shape[1]), dtype=np.bool_)
    block = min(BLOCK, columns.shape[1])
    _run(code, columns, constants, roots, np.empty((sizes[0], block)), np.empty((sizes[1], block), dtype=np.bool_), hits)
    return hits


@jit  # type: ignore[untyped-decorator]
def _run(code: Any, columns: Any, constants: Any, roots: Any, numbers: Any, truths: Any, hits: Any) -> None:
    first = columns.shape[0]
    for k in range(len(constants)):
        for j in range(numbers.shape[1]):
            numbers[first + k, j] = constants[k]
    for start in range(0, columns.shape[1], numbers.shape[1]):
        count = min(numbers.shape[1], columns.shape[1] - start)
        for c in range(first):
            for j in range(count):
                numbers[c, j] = columns[c, start + j]
        for i in range(len(code)):
            op, a, b, to = code[i, 0], code[i, 1], code[i, 2], code[i, 3]
            if op < FIRST_OF_TRUTHS:
                _number(op, numbers, a, b, to, count)
            elif op < FIRST_OVER_TRUTHS:
                _compare(op, numbers, a, b, truths, to, count)
            elif op == _AND:
                for j in range(count):
                    truths[to, j] = truths[a, j] & truths[b, j]
            else:
                for j in range(count):
                    truths[to, j] = truths[a, j] | truths[b, j]
        for r in range(len(roots)):
            for j in range(count):
                hits[r, start + j] = truths[roots[r], j]


@jit  # type: ignore[untyped-decorator]
def _number(op: int, numbers: Any, a: int, b: int, to: int, count: int) -> None:
    for j in range(count):
        x, y = numbers[a, j], numbers[b, j]
        if op == _ADD:
            z = x + y
        elif op == _SUB:
            z = x - y
        elif op == _MUL:
            z = x * y
        elif op == _DIV:
            z = x / y
        elif op == _MIN:
            z = np.nan if np.isnan(x) or np.isnan(y) else min(x, y)
        elif op == _MAX:
            z = np.nan if np.isnan(x) or np.isnan(y) else max(x, y)
        elif op == _NEG:
            z = -x
        elif op == _ABS:
            z = abs(x)
        else:
            z = np.floor(x / _HOUR_MS) % 24.0
        numbers[to, j] = z if np.isfinite(z) else np.nan


@jit  # type: ignore[untyped-decorator]
def _compare(op: int, numbers: Any, a: int, b: int, truths: Any, to: int, count: int) -> None:
    if op == _LT:
        for j in range(count):
            truths[to, j] = numbers[a, j] < numbers[b, j]
    elif op == _LE:
        for j in range(count):
            truths[to, j] = numbers[a, j] <= numbers[b, j]
    elif op == _EQ:
        for j in range(count):
            truths[to, j] = numbers[a, j] == numbers[b, j]
    elif op == _NE:
        for j in range(count):
            truths[to, j] = (numbers[a, j] < numbers[b, j]) | (numbers[a, j] > numbers[b, j])
    elif op == _MISSING:
        for j in range(count):
            truths[to, j] = np.isnan(numbers[a, j])
    else:
        for j in range(count):
            truths[to, j] = ~np.isnan(numbers[a, j])
