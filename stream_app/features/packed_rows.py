"""Kernels that pack rows into one buffer, unpack them from it, and add parts of shared entities to sums. The form is that of `packing`."""

from __future__ import annotations

from typing import Any

import numpy as np

from stream_app.features.aggregations import HOPS_S, SCALARS, SETS, Combination
from stream_app.features.checksum import is_whole, put_checksum
from stream_app.features.compiled import jit
from stream_app.features.former import FORMER_FORMAT, unpack_former
from stream_app.features.ledger import pack_ledger, pack_recent, unpack_head, unpack_recent
from stream_app.features.numbers import get, get_word, put, put_word
from stream_app.features.plan import CARD_HEADER, LAST, NEWEST, Ints, RowLayout
from stream_app.features.prefetch import ask_for_chosen
from stream_app.features.tiles import absorb, advance, combined

FORMAT = FORMER_FORMAT + 1
"""Of packed values. Hops and quantities keep their numbers, sets their shape: what changes one of these is a format of its own."""

CHECKSUM, PREFIX = 4, 9
"""Bytes of the checksum, and of all that stands before the numbers."""
_HOPS_MS = tuple(1000 * hop for hop in sorted({*HOPS_S.values()}))
FIRST_OF_SETS = SCALARS  # first mark of a set; below stand marks of hops
IS_SET = int(Combination.SET)


def places_of(layout: RowLayout) -> Ints:
    """int64 [marks, scalars]: the series of each hop and quantity (a set's in column 0 of its mark), -1 where the layout has none."""
    places = np.full((FIRST_OF_SETS + SETS, SCALARS), -1, dtype=np.int64)
    for s, ring in enumerate(layout.table):
        if ring["combination"] == IS_SET:
            places[FIRST_OF_SETS + ring["quantity"], 0] = s
        else:
            places[1 + _HOPS_MS.index(ring["hop_ms"]), ring["quantity"]] = s
    return places


@jit  # type: ignore[untyped-decorator]
def _pack_sums(series: Any, which: Any, mark: int, row: Any, scratch: Any, buffer: Any, at: int) -> Any:
    """The tiles of one hop: those where any quantity is not zero. Few are: each ring is passed over once, then only what was found is written."""
    heads, there = scratch
    mask, longest = 0, 0
    for quantity in range(FIRST_OF_SETS):
        s = which[quantity]
        if s < 0:
            continue
        n, first = series[s].tiles, series[s].first
        head = row[NEWEST] // series[s].hop_ms % n
        for column in range(np.uint64(first), np.uint64(first + n)):
            if row[column] != 0:
                age = head + first - np.int64(column)
                there[age if age >= 0 else age + n] = 1
                mask |= 1 << quantity
        if mask >> quantity & 1:
            heads[quantity], longest = head, max(longest, n)
    if mask == 0:
        return at
    at = put(buffer, put(buffer, at, mark), mask)
    gap = 1
    for age in range(longest):
        if there[age] == 0:
            gap += 1
            continue
        there[age] = 0
        at, gap = put(buffer, at, gap), 1
        for quantity in range(FIRST_OF_SETS):
            if mask >> quantity & 1:
                n, first, place = series[which[quantity]].tiles, series[which[quantity]].first, heads[quantity] - age
                at = put(buffer, at, row[first + (place if place >= 0 else place + n)] if age < n else 0)
    return put(buffer, at, 0)


@jit  # type: ignore[untyped-decorator]
def _pack_set(series: Any, s: int, row: Any, buffer: Any, at: int) -> Any:
    """The tiles of a set that has members."""
    hop, n, words = series[s].hop_ms, series[s].tiles, series[s].words
    if not row[series[s].first : series[s].first + n * words].any():
        return at
    at = put(buffer, at, FIRST_OF_SETS + series[s].quantity)
    for age in range(n):
        first, mask = series[s].first + (row[NEWEST] // hop - age) % n * words, 0
        for w in range(words):
            mask |= (1 << w) if row[first + w] != 0 else 0
        if mask:
            at = put(buffer, put(buffer, at, 1 + age), mask)
            for w in range(words):
                if mask >> w & 1:
                    at = put_word(buffer, at, row[first + w])
    return put(buffer, at, 0)


@jit  # type: ignore[untyped-decorator]
def _pack_row(series: Any, places: Any, header: int, row: Any, scratch: Any, buffer: Any, at: int) -> Any:
    at = put(buffer, put(buffer, at, row[NEWEST]), row[LAST])
    if header == CARD_HEADER:
        at = pack_recent(row, buffer, pack_ledger(row, buffer, at))
    for mark in range(1, FIRST_OF_SETS):
        if mark <= len(_HOPS_MS):
            at = _pack_sums(series, places[mark], mark, row, scratch, buffer, at)
    for s in range(len(series)):
        if series[s].combination == IS_SET:
            at = _pack_set(series, s, row, buffer, at)
    return put(buffer, at, 0)


@jit  # type: ignore[untyped-decorator]
def _unpack_sums(series: Any, which: Any, row: Any, buffer: Any, at: int, end: int) -> Any:
    mask, at = get(buffer, at, end)
    age = -1
    while at >= 0:
        gap, at = get(buffer, at, end)
        if at < 0 or gap == 0:
            return at
        age += gap
        for quantity in range(FIRST_OF_SETS):
            if mask >> quantity & 1 and at >= 0:
                value, at = get(buffer, at, end)
                s = which[quantity]
                if s >= 0 and 0 <= age < series[s].tiles:
                    row[series[s].first + (row[NEWEST] // series[s].hop_ms - age) % series[s].tiles] = value
    return -1


@jit  # type: ignore[untyped-decorator]
def _unpack_set(series: Any, s: int, row: Any, buffer: Any, at: int, end: int) -> Any:
    while at >= 0:
        age, at = get(buffer, at, end)
        if at < 0 or age == 0:
            return at
        mask, at = get(buffer, at, end)
        for w in range(64):
            if mask >> w & 1 and at >= 0:
                word, at = get_word(buffer, at, end)
                if s >= 0 and 1 <= age <= series[s].tiles and w < series[s].words:
                    tile = (row[NEWEST] // series[s].hop_ms - age + 1) % series[s].tiles
                    row[series[s].first + tile * series[s].words + w] = word
    return -1


@jit  # type: ignore[untyped-decorator]
def _unpack_row(series: Any, places: Any, header: int, row: Any, buffer: Any, at: int, end: int) -> Any:
    at = unpack_head(row, header, buffer, at, end)
    if at >= 0 and header == CARD_HEADER:
        at = unpack_recent(row, buffer, at, end)
    while at >= 0:
        mark, at = get(buffer, at, end)
        if at < 0 or mark == 0:
            return at
        if not 0 < mark < len(places):
            return -1
        if mark < FIRST_OF_SETS:
            at = _unpack_sums(series, places[mark], row, buffer, at, end)
        else:
            at = _unpack_set(series, places[mark, 0], row, buffer, at, end)
    return -1


@jit  # type: ignore[untyped-decorator]
def _add_sums(series: Any, which: Any, row: Any, newest: int, buffer: Any, at: int, end: int, adding: bool) -> Any:  # noqa: FBT001 - numba
    """As `_unpack_sums`, and what is there stays. One for both, where unpacking adds to nothing, reads cards a fifth slower: 1.78 µs against 1.48."""
    mask, at = get(buffer, at, end)
    age = -1
    while at >= 0:
        gap, at = get(buffer, at, end)
        if at < 0 or gap == 0:
            return at
        age += gap
        for quantity in range(FIRST_OF_SETS):
            if mask >> quantity & 1 and at >= 0:
                value, at = get(buffer, at, end)
                s = which[quantity]
                if adding and s >= 0:
                    _add(series[s], 0, row, newest // series[s].hop_ms - age, value)
    return -1


@jit  # type: ignore[untyped-decorator]
def _add_set(series: Any, s: int, row: Any, newest: int, buffer: Any, at: int, end: int, adding: bool) -> Any:  # noqa: FBT001 - numba
    while at >= 0:
        age, at = get(buffer, at, end)
        if at < 0 or age == 0:
            return at
        mask, at = get(buffer, at, end)
        for w in range(64):
            if mask >> w & 1 and at >= 0:
                word, at = get_word(buffer, at, end)
                if adding and s >= 0 and w < series[s].words:
                    _add(series[s], w, row, newest // series[s].hop_ms - age + 1, word)
    return -1


@jit  # type: ignore[untyped-decorator]
def _add(ring: Any, w: int, row: Any, k: int, value: int) -> None:
    """Into word `w` of the tile `k` of a ring, where that holds it."""
    head = row[NEWEST] // ring.hop_ms
    if head - ring.tiles < k <= head:
        column = ring.first + k % ring.tiles * ring.words + w
        row[column] = combined(ring.combination, row[column], value)


@jit  # type: ignore[untyped-decorator]
def _add_row(series: Any, places: Any, row: Any, buffer: Any, at: int, end: int, adding: bool) -> Any:  # noqa: FBT001 - numba
    """As `tiles.absorb`, of a packed part: only what is in it is touched. Without `adding`, nothing: where it ends, -1 if too early."""
    newest, at = get(buffer, at, end)
    if at < 0:
        return -1
    last, at = get(buffer, at, end)
    if adding:
        advance(series, row, newest)
        row[LAST] = max(row[LAST], last)
    while at >= 0:
        mark, at = get(buffer, at, end)
        if at < 0 or mark == 0:
            return at
        if not 0 < mark < len(places):
            return -1
        if mark < FIRST_OF_SETS:
            at = _add_sums(series, places[mark], row, newest, buffer, at, end, adding)
        else:
            at = _add_set(series, places[mark, 0], row, newest, buffer, at, end, adding)
    return -1


@jit  # type: ignore[untyped-decorator]
def first_unreadable(buffer: Any, bounds: Any, former: Any) -> Any:
    """The first value that is not whole, or neither of the present format nor of the one before (`former`: what stands after its checksum), or -1."""
    for i in range(len(bounds) - 1):
        start, end = bounds[i], bounds[i + 1]
        if end - start < PREFIX or not is_whole(buffer, start, end):
            return i
        if buffer[start + CHECKSUM] != FORMAT:
            for j in range(PREFIX - CHECKSUM):
                if len(former) <= j or buffer[start + CHECKSUM + j] != former[j]:  # an entity that is new has no former prefix
                    return i
    return -1


@jit  # type: ignore[untyped-decorator]
def add_rows(
    series: Any, places: Any, former: Any, header: int, rows: Any, chosen: Any, buffer: Any, bounds: Any, scratch: Any, anew: bool  # noqa: FBT001 - numba
) -> Any:  # fmt: skip
    """Add packed parts, one after the other, to the rows chosen for each, and -1; or nothing, and the first whose numbers end too early, or
    not with the value. `anew`: a row is zero before the first of its parts, which stand together: it lies in the cache for the others.
    """
    for adding in (False, True):
        for i in range(len(chosen)):
            row, at, end = rows[chosen[i]], bounds[i] + PREFIX, bounds[i + 1]
            if adding:
                ask_for_chosen(rows, chosen, i + 1)
                if anew and (i == 0 or chosen[i] != chosen[i - 1]):
                    row[:] = 0
            if buffer[bounds[i] + CHECKSUM] == FORMAT:
                at = _add_row(series, places, row, buffer, at, end, adding)
            else:
                scratch[:] = 0
                at = unpack_former(former, series, header, scratch, buffer, at, end)
                if adding:
                    absorb(series, row, scratch)
            if at != end:
                return i
    return -1


@jit  # type: ignore[untyped-decorator]
def pack_rows(series: Any, places: Any, header: int, prefix: Any, rows: Any, chosen: Any, scratch: Any, buffer: Any, ends: Any) -> None:
    """Pack the chosen rows one after the other, each with its checksum; where each ends. `prefix` stands between checksum and numbers."""
    at = 0
    for i in range(len(chosen)):
        ask_for_chosen(rows, chosen, i + 1)
        start = at
        for j in range(len(prefix)):
            buffer[start + CHECKSUM + j] = prefix[j]
        at = _pack_row(series, places, header, rows[chosen[i]], scratch, buffer, start + PREFIX)
        put_checksum(buffer, start, at)
        ends[i] = at


@jit  # type: ignore[untyped-decorator]
def unpack_rows(series: Any, places: Any, former: Any, header: int, rows: Any, chosen: Any, buffer: Any, bounds: Any, ends: Any) -> None:
    """Write packed values into the chosen rows; where the numbers of each end, negative if too early."""
    for i in range(len(chosen)):
        ask_for_chosen(rows, chosen, i + 1)
        row, at, end = rows[chosen[i]], bounds[i] + PREFIX, bounds[i + 1]
        row[:] = 0
        if buffer[bounds[i] + CHECKSUM] == FORMAT:
            ends[i] = _unpack_row(series, places, header, row, buffer, at, end)
        else:
            ends[i] = unpack_former(former, series, header, row, buffer, at, end)
