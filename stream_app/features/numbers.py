"""Numbers in bytes: LEB128 varints, and words of 8 bytes. Where bytes end too early, a reader's position is -1."""

from __future__ import annotations

from typing import Any

import numpy as np

from stream_app.features.compiled import jit

VARINT_MAX = 10
"""Bytes of the longest varint."""


@jit  # type: ignore[untyped-decorator]
def put(buffer: Any, at: int, value: int) -> Any:
    """Write a varint; the position after it."""
    v = np.uint64(value)
    while v >= np.uint64(128):
        buffer[at] = np.uint8((v & np.uint64(127)) | np.uint64(128))
        v >>= np.uint64(7)
        at += 1
    buffer[at] = np.uint8(v)
    return at + 1


@jit  # type: ignore[untyped-decorator]
def get(buffer: Any, at: int, end: int) -> Any:
    """(value, position after it); position -1 where the bytes end too early."""
    v = np.uint64(0)
    for i in range(VARINT_MAX):
        if at + i >= end:
            return 0, -1
        byte = buffer[at + i]
        v |= np.uint64(byte & 127) << np.uint64(7 * i)
        if byte < 128:  # noqa: PLR2004 - LEB128
            return np.int64(v), at + i + 1
    return 0, -1


@jit  # type: ignore[untyped-decorator]
def put_word(buffer: Any, at: int, value: int) -> Any:
    """Write a word; the position after it."""
    v = np.uint64(value)
    for i in range(8):
        buffer[at + i] = np.uint8((v >> np.uint64(8 * i)) & np.uint64(255))
    return at + 8


@jit  # type: ignore[untyped-decorator]
def get_word(buffer: Any, at: int, end: int) -> Any:
    """(value, position after it) of a word."""
    if at + 8 > end:
        return 0, -1
    v = np.uint64(0)
    for i in range(8):
        v |= np.uint64(buffer[at + i]) << np.uint64(8 * i)
    return np.int64(v), at + 8
