"""xxh32 of bytes that lie in a kernel's buffer, as the library computes it of a value: a call for each value cost more than the sum itself.

Source: the specification of XXH32, https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md; the seed is 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from stream_app.features.compiled import jit

_LOW = np.uint64(0xFFFFFFFF)
_P1, _P2, _P3 = np.uint64(2654435761), np.uint64(2246822519), np.uint64(3266489917)
_P4, _P5 = np.uint64(668265263), np.uint64(374761393)
_BYTES = 4


@intrinsic  # type: ignore[untyped-decorator]
def _word(_typing: Any, buffer: Any, at: Any) -> Any:  # noqa: ARG001 - numba reads the names' types
    """Four bytes of a buffer, wherever they lie, as a number of 32 bits, little-endian as the machine: one instruction, where four bytes put together are ten."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        word = builder.load(builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(32).as_pointer()), align=1)
        return builder.zext(word, ir.IntType(64))

    return types.uint64(buffer, types.intp), code


@jit  # type: ignore[untyped-decorator]
def _turned(value: Any, bits: int) -> Any:
    return (value << np.uint64(bits) | value >> np.uint64(32 - bits)) & _LOW


@jit  # type: ignore[untyped-decorator]
def _round(lane: Any, word: Any) -> Any:
    return _turned((lane + word * _P2) & _LOW, 13) * _P1 & _LOW


@jit  # type: ignore[untyped-decorator]
def checksum(buffer: Any, start: int, end: int) -> Any:
    """The xxh32 of `buffer[start:end]`, as uint64."""
    at = np.int64(start)
    if end - start >= 4 * _BYTES:
        a, b, c, d = (_P1 + _P2) & _LOW, _P2, np.uint64(0), (np.uint64(1) << np.uint64(32)) - _P1
        while at + 4 * _BYTES <= end:
            a, b = _round(a, _word(buffer, at)), _round(b, _word(buffer, at + _BYTES))
            c, d = _round(c, _word(buffer, at + 2 * _BYTES)), _round(d, _word(buffer, at + 3 * _BYTES))
            at += 4 * _BYTES
        mixed = _turned(a, 1) + _turned(b, 7) + _turned(c, 12) + _turned(d, 18)
    else:
        mixed = _P5
    mixed = (mixed + np.uint64(end - start)) & _LOW
    while at + _BYTES <= end:
        mixed = _turned((mixed + _word(buffer, at) * _P3) & _LOW, 17) * _P4 & _LOW
        at += _BYTES
    while at < end:
        mixed = _turned((mixed + np.uint64(buffer[at]) * _P5) & _LOW, 11) * _P1 & _LOW
        at += 1
    mixed = (mixed ^ mixed >> np.uint64(15)) * _P2 & _LOW
    mixed = (mixed ^ mixed >> np.uint64(13)) * _P3 & _LOW
    return mixed ^ mixed >> np.uint64(16)


@jit  # type: ignore[untyped-decorator]
def put_checksum(buffer: Any, start: int, end: int) -> None:
    """Write at `start` the checksum of what follows it, up to `end`; little-endian."""
    value = checksum(buffer, start + _BYTES, end)
    for i in range(_BYTES):
        buffer[start + i] = np.uint8(value >> np.uint64(8 * i) & np.uint64(255))


@jit  # type: ignore[untyped-decorator]
def is_whole(buffer: Any, start: int, end: int) -> Any:
    """Whether the checksum at `start` is that of what follows it, up to `end`."""
    return end - start >= _BYTES and _word(buffer, start) == checksum(buffer, start + _BYTES, end)
