"""The packed form of a row, as it stands in Redis.

    checksum (4 bytes, xxh32 of all that follows) · format (1) · layout fingerprint (4) · numbers · case id (cards, UTF-8, may be empty)

Numbers are LEB128 varints; of each ring only the tiles that are not zero are written, newest first, each with the gap before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numba
import numpy as np
import xxhash
from numpy.typing import NDArray

from stream_app.errors import StateError
from stream_app.features.plan import CARD_HEADER, CASE_LAST, LABELS, LABELS_LEN, LAST, NEWEST, RECENT, RECENT_LEN, RECENT_NEXT, Ints, Layout

FORMAT = 1
_PREFIX = 9
_VARINT_MAX = 10
_jit = numba.njit(cache=True, nogil=True, error_model="numpy")


@_jit  # type: ignore[untyped-decorator]
def _put(buffer: Any, at: int, value: int) -> int:
    v = np.uint64(value)
    while v >= np.uint64(128):
        buffer[at] = np.uint8((v & np.uint64(127)) | np.uint64(128))
        v >>= np.uint64(7)
        at += 1
    buffer[at] = np.uint8(v)
    return at + 1


@_jit  # type: ignore[untyped-decorator]
def _get(buffer: Any, at: int, end: int) -> Any:
    """(value, position after it); position -1 where the bytes end too early."""
    v = np.uint64(0)
    for i in range(_VARINT_MAX):
        if at + i >= end:
            return 0, -1
        byte = buffer[at + i]
        v |= np.uint64(byte & 127) << np.uint64(7 * i)
        if byte < 128:  # noqa: PLR2004 - LEB128
            return np.int64(v), at + i + 1
    return 0, -1


@_jit  # type: ignore[untyped-decorator]
def _put_hash(buffer: Any, at: int, value: int) -> int:
    v = np.uint64(value)
    for i in range(8):
        buffer[at + i] = np.uint8((v >> np.uint64(8 * i)) & np.uint64(255))
    return at + 8


@_jit  # type: ignore[untyped-decorator]
def _get_hash(buffer: Any, at: int, end: int) -> Any:
    if at + 8 > end:
        return 0, -1
    v = np.uint64(0)
    for i in range(8):
        v |= np.uint64(buffer[at + i]) << np.uint64(8 * i)
    return np.int64(v), at + 8


@_jit  # type: ignore[untyped-decorator]
def _pack_ledger(row: Any, buffer: Any, at: int) -> int:
    at = _put(buffer, at, row[CASE_LAST])
    at = _put(buffer, at, row[RECENT_NEXT])
    used = 0
    while used < RECENT_LEN and row[RECENT + used] != 0:
        used += 1
    at = _put(buffer, at, used)
    for j in range(used):
        at = _put_hash(buffer, at, row[RECENT + j])
    used = 0
    for j in range(LABELS_LEN):
        used += row[LABELS + 2 * j] != 0
    at = _put(buffer, at, used)
    for j in range(LABELS_LEN):
        if row[LABELS + 2 * j] != 0:
            at = _put_hash(buffer, at, row[LABELS + 2 * j])
            at = _put(buffer, at, row[LABELS + 2 * j + 1])
    return at


@_jit  # type: ignore[untyped-decorator]
def _unpack_ledger(row: Any, buffer: Any, at: int, end: int) -> int:
    row[CASE_LAST], at = _get(buffer, at, end)
    if at < 0:
        return -1
    row[RECENT_NEXT], at = _get(buffer, at, end)
    if at < 0:
        return -1
    used, at = _get(buffer, at, end)
    if at < 0 or used > RECENT_LEN or used < 0:
        return -1
    for j in range(used):
        row[RECENT + j], at = _get_hash(buffer, at, end)
        if at < 0:
            return -1
    used, at = _get(buffer, at, end)
    if at < 0 or used > LABELS_LEN or used < 0:
        return -1
    for j in range(used):
        row[LABELS + 2 * j], at = _get_hash(buffer, at, end)
        if at < 0:
            return -1
        row[LABELS + 2 * j + 1], at = _get(buffer, at, end)
        if at < 0:
            return -1
    return at


@_jit  # type: ignore[untyped-decorator]
def _pack_row(series: Any, header: int, row: Any, buffer: Any, at: int) -> int:
    at = _put(buffer, at, row[NEWEST])
    at = _put(buffer, at, row[LAST])
    if header == CARD_HEADER:
        at = _pack_ledger(row, buffer, at)
    for s in range(len(series)):
        hop, n, first = series[s, 0], series[s, 1], series[s, 2]
        head = row[NEWEST] // hop % n
        used = 0
        for j in range(n):
            used += row[first + j] != 0
        at = _put(buffer, at, used)
        gap = 0
        position = head
        while used:
            value = row[first + position]
            if value:
                at = _put(buffer, at, gap)
                at = _put(buffer, at, value)
                gap = 0
                used -= 1
            else:
                gap += 1
            position = position - 1 if position else n - 1
    return at


@_jit  # type: ignore[untyped-decorator]
def _unpack_row(series: Any, header: int, row: Any, buffer: Any, at: int, end: int) -> int:
    row[NEWEST], at = _get(buffer, at, end)
    if at < 0:
        return -1
    row[LAST], at = _get(buffer, at, end)
    if at < 0:
        return -1
    if header == CARD_HEADER:
        at = _unpack_ledger(row, buffer, at, end)
        if at < 0:
            return -1
    for s in range(len(series)):
        hop, n, first = series[s, 0], series[s, 1], series[s, 2]
        used, at = _get(buffer, at, end)
        age = -1
        for _ in range(used):
            if at < 0:
                return -1
            gap, at = _get(buffer, at, end)
            if at < 0:
                return -1
            age += gap + 1
            if age >= n or gap < 0:
                return -1
            row[first + (row[NEWEST] // hop - age) % n], at = _get(buffer, at, end)
        if at < 0:
            return -1
    return at


@_jit  # type: ignore[untyped-decorator]
def _pack_rows(series: Any, header: int, rows: Any, chosen: Any, buffer: Any, ends: Any) -> None:
    at = 0
    for i in range(len(chosen)):
        at = _pack_row(series, header, rows[chosen[i]], buffer, at)
        ends[i] = at


@_jit  # type: ignore[untyped-decorator]
def _unpack_rows(series: Any, header: int, rows: Any, chosen: Any, buffer: Any, bounds: Any, ends: Any) -> None:
    for i in range(len(chosen)):
        rows[chosen[i]] = 0
        ends[i] = _unpack_row(series, header, rows[chosen[i]], buffer, bounds[i] + _PREFIX, bounds[i + 1])


def largest_packed(layout: Layout) -> int:
    """Upper bound in bytes of a packed row without its case id, however busy the entity."""
    ledger = 4 * _VARINT_MAX + 8 * RECENT_LEN + LABELS_LEN * (8 + _VARINT_MAX) if layout.header == CARD_HEADER else 0
    tiles = int(layout.table[:, 1].sum())
    return _PREFIX + 2 * _VARINT_MAX + ledger + len(layout.table) * 2 + tiles * (2 + _VARINT_MAX)


class Packer:
    """Packs and unpacks the rows of one entity. Holds a scratch buffer: one for each task."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._prefix = bytes([FORMAT]) + layout.fingerprint.to_bytes(4, "little")
        self._largest = largest_packed(layout)
        self._buffer = np.empty(self._largest, dtype=np.uint8)

    def pack(self, rows: Ints, chosen: Ints, case_ids: Sequence[str] | None = None) -> list[bytes]:
        """The packed values of `rows[chosen]`; `case_ids` stand beside `chosen`."""
        if len(self._buffer) < len(chosen) * self._largest:
            self._buffer = np.empty(len(chosen) * self._largest, dtype=np.uint8)
        ends = np.empty(len(chosen), dtype=np.int64)
        _pack_rows(self._layout.table, self._layout.header, rows, chosen, self._buffer, ends)
        packed = self._buffer[: ends[-1] if len(ends) else 0].tobytes()
        prefix, digest, values, start = self._prefix, xxhash.xxh32_intdigest, [], 0
        for i, end in enumerate(ends.tolist()):
            body = prefix + packed[start:end]
            if case_ids is not None and case_ids[i]:
                body += case_ids[i].encode()
            values.append(digest(body).to_bytes(4, "little") + body)
            start = end
        return values

    def unpack(self, values: Sequence[bytes | None], keys: Sequence[str], rows: Ints, chosen: Ints) -> list[str]:
        """Write the packed `values` into `rows[chosen]` (zeros where a value is None) and return their case ids.

        Args:
            values: one for each of `chosen`, as read.
            keys: their keys, for the error's text.
            rows: int64 [entities, width].
            chosen: the rows to write.

        Raises:
            StateError: if a value is cut, damaged, or of another layout, naming its key.
        """
        cases = [""] * len(values)
        there = [i for i, v in enumerate(values) if v is not None]
        if len(there) < len(values):
            rows[chosen] = 0
        if not there:
            return cases
        present = cast("list[bytes]", [values[i] for i in there])
        for i, value in zip(there, present, strict=True):
            self._check(value, keys[i])
        buffer = np.frombuffer(b"".join(present), dtype=np.uint8)
        bounds = np.zeros(len(present) + 1, dtype=np.int64)
        np.cumsum([len(v) for v in present], out=bounds[1:])
        ends = np.empty(len(present), dtype=np.int64)
        _unpack_rows(self._layout.table, self._layout.header, rows, chosen[there], buffer, bounds, ends)
        return self._case_ids(cases, there, present, keys, (ends - bounds[:-1]))

    def _case_ids(
        self, cases: list[str], there: list[int], present: list[bytes], keys: Sequence[str], lengths: NDArray[np.int64]
    ) -> list[str]:
        for i, value, length in zip(there, present, lengths.tolist(), strict=True):
            if length < 0:
                raise _damaged(keys[i], "its numbers end too early")
            if length < len(value):
                cases[i] = value[length:].decode()
        return cases

    def _check(self, value: bytes, key: str) -> None:
        if len(value) < _PREFIX or xxhash.xxh32_intdigest(value[4:]).to_bytes(4, "little") != value[:4]:
            raise _damaged(key, "its checksum is wrong")
        if value[4:_PREFIX] != self._prefix:
            raise _damaged(key, "it has another format or layout")


def _damaged(key: str, why: str) -> StateError:
    return StateError(f"The packed state of {key!r} cannot be read: {why}. Its partition has to be rebuilt from the topics.")
