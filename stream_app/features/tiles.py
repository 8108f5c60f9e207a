"""What the kernel does with one row: move its rings on, count an event in its tiles, add up windows.

All state is integers and sets of bits. How two become one is declared with each quantity (`Combination`); each way is exact and commutes:
tiles do not depend on the order of arrival.

Loops over many columns count them unsigned: an index below 0 counts from the end, and numba's look for one at each column keeps the compiler
from taking several at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stream_app.features.aggregations import Combination, Fact, Measure
from stream_app.features.compiled import jit
from stream_app.features.plan import CARD_HEADER, DECLINES, DECLINES_LEN, LAST, LATITUDE, LONGITUDE, NEWEST, PLACED, Span

CLIP_MINOR = 10_000_000
"""Amounts are clipped here, in minor units, before they are squared: the squares of a window fit 63 bits."""

_PLAIN, _DELAYED, _DELAYED_HEAD = int(Span.PLAIN), int(Span.DELAYED), int(Span.DELAYED_HEAD)
_SUM, _LARGEST, _SET = int(Combination.SUM), int(Combination.LARGEST), int(Combination.SET)
_PAYMENT, _DECLINED = int(Measure.PAYMENT), int(Measure.DECLINED)
_FACT_LATITUDE, _FACT_LONGITUDE = int(Fact.LATITUDE), int(Fact.LONGITUDE)
_FACT_COUNTRY, _FACT_HOUR = int(Fact.COUNTRY), int(Fact.HOUR)


@jit  # type: ignore[untyped-decorator]
def _empty(row: Any, start: int, stop: int) -> None:
    """Write zeros; `stop` may lie before `start`."""
    for column in range(np.uint64(start), np.uint64(max(start, stop))):
        row[column] = 0


@jit  # type: ignore[untyped-decorator]
def _sum_of(row: Any, start: int, stop: int) -> Any:
    """The sum of columns; `stop` may lie before `start`."""
    total = 0
    for column in range(np.uint64(start), np.uint64(max(start, stop))):
        total += row[column]
    return total


@jit  # type: ignore[untyped-decorator]
def _largest_of(row: Any, start: int, stop: int) -> Any:
    """The largest of columns, 0 if there are none; `stop` may lie before `start`."""
    largest = 0
    for column in range(np.uint64(start), np.uint64(max(start, stop))):
        largest = max(largest, row[column])
    return largest


@jit  # type: ignore[untyped-decorator]
def combined(combination: int, one: int, other: int) -> Any:
    """What two numbers of a quantity are together: two tiles, or a tile and what an event leaves there."""
    if combination == _SUM:
        return one + other
    if combination == _LARGEST:
        return max(one, other)
    if combination == _SET:
        return one | other
    raise NotImplementedError("Nobody says what two tiles of this combination are together. Add it to `tiles.combined`.")


@jit  # type: ignore[untyped-decorator]
def advance(series: Any, row: Any, t: int) -> None:
    """Move the heads of all rings to time t: tiles that leave a ring are emptied for those that enter."""
    newest = row[NEWEST]
    if t <= newest:
        return
    hop, head, new_head = 0, 0, 0
    for s in range(len(series)):
        ring = series[s]
        if ring.hop_ms != hop:
            hop = ring.hop_ms
            head, new_head = newest // hop, t // hop
        if new_head == head:
            continue
        n, first, words = ring.tiles, ring.first, ring.words
        size, length = n * words, (new_head - head) * words
        if length >= size:
            _empty(row, first, first + size)
            continue
        at = (head + 1) % n * words
        _empty(row, first + at, first + min(at + length, size))
        _empty(row, first, first + at + length - size)
    row[NEWEST] = t


@jit  # type: ignore[untyped-decorator]
def retained(series: Any, row: Any, t: int) -> Any:
    """Whether any ring still has the tile of time t."""
    for s in range(len(series)):
        hop = series[s].hop_ms
        if t // hop > row[NEWEST] // hop - series[s].tiles:
            return True
    return False


@jit  # type: ignore[untyped-decorator]
def count(series: Any, header: int, row: Any, t: int, weights: Any, facts: Any) -> None:
    """Count an event in every ring that retains its tile; a payment that is counted also leaves its place and its terminal, country, device."""
    advance(series, row, t)
    counted = weights[_PAYMENT] > 0
    if counted:
        row[LAST] = max(row[LAST], t)
    hop, k, head, n, position = 0, 0, 0, 0, 0
    for s in range(len(series)):
        ring = series[s]
        combination, of = ring.combination, ring.of
        if not counted if combination == _SET else weights[of] == 0:
            continue
        if ring.hop_ms != hop:
            hop, n = ring.hop_ms, 0
            k, head = t // hop, row[NEWEST] // hop
        if ring.tiles != n:
            n = ring.tiles
            position = k % n
        if k <= head - n:
            continue
        at = ring.first + position * ring.words
        if combination == _SET:
            _insert(row, at, ring.words, ring.bits, facts[of])
        else:
            row[at] = combined(combination, row[at], weights[of])
    if header == CARD_HEADER:
        if counted:
            _move(row, t, facts)
        elif weights[_DECLINED] > 0:
            _decline(row, t)


@jit  # type: ignore[untyped-decorator]
def _insert(row: Any, at: int, words: int, bits: int, name: int) -> None:
    """Set a member's bits, two halves of its hash taking turns (Kirsch and Mitzenmacher, 2006). 0 is no member."""
    if name == 0:
        return
    first, step = name & 0x7FFFFFFF, name >> 31 | 1
    for i in range(bits):
        bit = (first + i * step) % (64 * words)
        row[at + bit // 64] |= 1 << (bit % 64)


@jit  # type: ignore[untyped-decorator]
def has(series: Any, s: int, row: Any, t: int, name: int) -> Any:
    """Whether the set of series s has a member in its last tiles at time t, as far as the ring retains them."""
    ring = series[s]
    hop, n, words, bits = ring.hop_ms, ring.tiles, ring.words, ring.bits
    first, step = name & 0x7FFFFFFF, name >> 31 | 1
    head, k = row[NEWEST] // hop, t // hop
    for tile in range(max(k - n + 1, head - n + 1), min(k, head) + 1):
        at, there = ring.first + tile % n * words, True
        for i in range(bits):
            bit = (first + i * step) % (64 * words)
            if row[at + bit // 64] >> (bit % 64) & 1 == 0:
                there = False
                break
        if there:
            return True
    return False


@jit  # type: ignore[untyped-decorator]
def distinct(series: Any, s: int, row: Any, t: int) -> Any:
    """About how many members the set of series s has in its last tiles at time t: as many as leave so many of its bits free, by chance (linear
    counting; Whang, 1990), rounded. One bit at least is taken for free: so there is a most. Countries and hours have a bit each, and are counted.
    """
    ring = series[s]
    hop, n, words, bits = ring.hop_ms, ring.tiles, ring.words, ring.bits
    head, k, there = row[NEWEST] // hop, t // hop, 0
    for w in range(words):
        union = 0
        for tile in range(max(k - n + 1, head - n + 1), min(k, head) + 1):
            union |= row[ring.first + tile % n * words + w]
        while union != 0:
            union &= union - 1
            there += 1
    if ring.of == _FACT_COUNTRY or ring.of == _FACT_HOUR:
        return there
    whole = 64 * words
    return round(-whole / bits * np.log(1 - min(there, whole - 1) / whole))


@jit  # type: ignore[untyped-decorator]
def largest(series: Any, s: int, row: Any, t: int) -> Any:
    """The largest in a ring's tiles at time t, later ones too: what is newest of a card is so for a late payment."""
    ring = series[s]
    hop, n, found = ring.hop_ms, ring.tiles, 0
    head = row[NEWEST] // hop
    for tile in range(max(t // hop, head) - n + 1, head + 1):
        found = max(found, row[ring.first + tile % n])
    return found


@jit  # type: ignore[untyped-decorator]
def _move(row: Any, t: int, facts: Any) -> None:
    """The card's last place is that of its newest payment that has one; declines before a payment that was not are none in a row."""
    if facts[_FACT_LATITUDE] != 0 and t >= row[PLACED]:
        row[PLACED], row[LATITUDE], row[LONGITUDE] = t, facts[_FACT_LATITUDE], facts[_FACT_LONGITUDE]
    for j in range(DECLINES, DECLINES + DECLINES_LEN):
        if row[j] <= row[LAST]:
            row[j] = 0


@jit  # type: ignore[untyped-decorator]
def _decline(row: Any, t: int) -> None:
    """Put the time of a declined payment in its place among the newest ones."""
    if t <= row[LAST]:
        return
    for j in range(DECLINES, DECLINES + DECLINES_LEN):
        if t > row[j]:
            row[j], t = t, row[j]


@jit  # type: ignore[untyped-decorator]
def add_up(terms: Any, row: Any, t: int, sums: Any) -> None:
    """Add up the tiles of every window at time t, as far as they are retained. Terms of one run stand side by side.

    A plain window at a time behind the newest reads no more tiles than it is long, however many the ring has for another feature: what a
    feature says does not depend on which others there are.
    """
    sums[:] = 0
    newest, hour_ms = row[NEWEST], 3_600_000
    span, window, hop, ahead, low, high, head, n, at, length = -1, -1, -1, -1, 0, 0, 0, 0, 0, 0
    for j in range(len(terms)):
        term = terms[j]
        if term.span != span or term.window_ms != window or term.hop_ms != hop or term.delay_ms != ahead:
            span, window, ahead, hop = term.span, term.window_ms, term.delay_ms, term.hop_ms
            head = newest // hop
            cut = (t - ahead) // hour_ms * hour_ms
            if span == _PLAIN:
                low, high = (t - window) // hop + 1, t // hop
            elif span == _DELAYED:
                low, high = (t - ahead - window) // hop, cut // hop - 1
            elif span == _DELAYED_HEAD:
                low, high = cut // term.coarse_hop_ms * term.coarse_hop_ms // hop, cut // hop - 1
            else:
                raise NotImplementedError("Nobody says which tiles a window of this span reads. Add it to `tiles.add_up`.")
            high, n = min(high, head), 0
        if term.tiles != n:
            n = term.tiles
            from_ = max(low, head - term.reads + 1)
            at, length = from_ % n, high - from_ + 1
        if length <= 0:
            continue
        first, into = term.first, term.sum
        end, rest = first + min(at + length, n), first + at + length - n
        if term.combination == _SUM:
            sums[into] += _sum_of(row, first + at, end) + _sum_of(row, first, rest)
        elif term.combination == _LARGEST:
            sums[into] = max(sums[into], _largest_of(row, first + at, end), _largest_of(row, first, rest))
        else:
            raise NotImplementedError("Nobody says what a window of this combination is. Add it to `tiles.add_up`.")


@jit  # type: ignore[untyped-decorator]
def absorb(series: Any, total: Any, part: Any) -> None:
    """Add the tiles of `part` (a shared entity's row) to `total`, both brought to the newer of their two times."""
    advance(series, total, part[NEWEST])
    total[LAST] = max(total[LAST], part[LAST])
    for s in range(len(series)):
        ring = series[s]
        hop, n, first, words, combination = ring.hop_ms, ring.tiles, ring.first, ring.words, ring.combination
        head = part[NEWEST] // hop
        for k in range(max(head, total[NEWEST] // hop) - n + 1, head + 1):
            for at in range(first + k % n * words, first + k % n * words + words):
                total[at] = combined(combination, total[at], part[at])
