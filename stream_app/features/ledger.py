"""The packed form of what a card remembers beside its tiles: transactions, labels, its last place, its last declines."""

from __future__ import annotations

from typing import Any

from stream_app.features.compiled import jit
from stream_app.features.numbers import VARINT_MAX, get, get_word, put, put_word
from stream_app.features.plan import (
    CARD_HEADER,
    CASE_LAST,
    DECLINES,
    DECLINES_LEN,
    LABELS,
    LABELS_LEN,
    LAST,
    LATITUDE,
    LONGITUDE,
    NEWEST,
    PLACED,
    RECENT,
    RECENT_LEN,
    RECENT_NEXT,
)

LARGEST_LEDGER = (7 + DECLINES_LEN) * VARINT_MAX + 8 * RECENT_LEN + LABELS_LEN * (8 + VARINT_MAX)
"""Bytes, however busy the card."""


@jit  # type: ignore[untyped-decorator]
def _get_count(buffer: Any, at: int, end: int, most: int) -> Any:
    """(a count of at most so many, position after it); position -1 where it is none."""
    used, at = get(buffer, at, end)
    return (used, at) if 0 <= used <= most else (0, -1)


@jit  # type: ignore[untyped-decorator]
def unpack_head(row: Any, header: int, buffer: Any, at: int, end: int) -> Any:
    """What every packed format begins with: newest and last time, and for cards the ledger; the position after it, or -1."""
    row[NEWEST], at = get(buffer, at, end)
    if at < 0:
        return -1
    row[LAST], at = get(buffer, at, end)
    if at >= 0 and header == CARD_HEADER:
        at = unpack_ledger(row, buffer, at, end)
    return at


@jit  # type: ignore[untyped-decorator]
def pack_ledger(row: Any, buffer: Any, at: int) -> Any:
    """The time of the last alert, the transactions and the labels."""
    at = put(buffer, at, row[CASE_LAST])
    at = put(buffer, at, row[RECENT_NEXT])
    used = 0
    while used < RECENT_LEN and row[RECENT + used] != 0:
        used += 1
    at = put(buffer, at, used)
    for j in range(used):
        at = put_word(buffer, at, row[RECENT + j])
    used = 0
    for j in range(LABELS_LEN):
        used += row[LABELS + 2 * j] != 0
    at = put(buffer, at, used)
    for j in range(LABELS_LEN):
        if row[LABELS + 2 * j] != 0:
            at = put_word(buffer, at, row[LABELS + 2 * j])
            at = put(buffer, at, row[LABELS + 2 * j + 1])
    return at


@jit  # type: ignore[untyped-decorator]
def unpack_ledger(row: Any, buffer: Any, at: int, end: int) -> Any:
    """The reverse of `pack_ledger`."""
    row[CASE_LAST], at = get(buffer, at, end)
    if at < 0:
        return -1
    row[RECENT_NEXT], at = _get_count(buffer, at, end, RECENT_LEN - 1)
    if at < 0:
        return -1
    used, at = _get_count(buffer, at, end, RECENT_LEN)
    if at < 0:
        return -1
    for j in range(used):
        row[RECENT + j], at = get_word(buffer, at, end)
        if at < 0:
            return -1
    used, at = _get_count(buffer, at, end, LABELS_LEN)
    if at < 0:
        return -1
    for j in range(used):
        row[LABELS + 2 * j], at = get_word(buffer, at, end)
        if at < 0:
            return -1
        row[LABELS + 2 * j + 1], at = get(buffer, at, end)
        if at < 0:
            return -1
    return at


@jit  # type: ignore[untyped-decorator]
def pack_recent(row: Any, buffer: Any, at: int) -> Any:
    """The last place and the last declines; one byte each where there are none."""
    at = put(buffer, at, row[PLACED])
    if row[PLACED] != 0:
        at = put(buffer, put(buffer, at, row[LATITUDE]), row[LONGITUDE])
    used = 0
    while used < DECLINES_LEN and row[DECLINES + used] != 0:
        used += 1
    at = put(buffer, at, used)
    for j in range(used):
        at = put(buffer, at, row[DECLINES + j])
    return at


@jit  # type: ignore[untyped-decorator]
def unpack_recent(row: Any, buffer: Any, at: int, end: int) -> Any:
    """The reverse of `pack_recent`."""
    row[PLACED], at = get(buffer, at, end)
    if at >= 0 and row[PLACED] != 0:
        row[LATITUDE], at = get(buffer, at, end)
        if at >= 0:
            row[LONGITUDE], at = get(buffer, at, end)
    if at < 0:
        return -1
    used, at = _get_count(buffer, at, end, DECLINES_LEN)
    if at < 0:
        return -1
    for j in range(used):
        row[DECLINES + j], at = get(buffer, at, end)
        if at < 0:
            return -1
    return at
