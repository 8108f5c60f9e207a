"""The feature kernel: one piece of code for training and for the stream, compiled by numba.

It runs over events in processing order. For each payment it first reads the windows, then counts the payment:

1. `admit` (cards): is the transaction a duplicate; what does a label change?
2. `fold` (each entity): add up the tiles of each window, make the features, count the payment in its tiles.

All state is integers: counts, money in minor units, squares of money. Sums are exact and commute: the tiles do not depend on the
order of arrival, and offline equals online to the bit.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from stream_app.features.definitions import HORIZON_S
from stream_app.features.plan import (
    LABELS,
    LABELS_LEN,
    LAST,
    NEWEST,
    RECENT,
    RECENT_LEN,
    RECENT_NEXT,
    Op,
    Quantity,
    Span,
)

PAYMENT, DECLINED, CREDIT, LABEL_GENUINE, LABEL_FRAUD = 0, 1, 2, 3, 4
"""Kinds of event, the kernel's input. DECLINED is scored, not counted; CREDIT (refund, reversal) is neither."""

SKIP, COUNT, SCORE, ADD_FRAUD, TAKE_FRAUD = 0, 1, 2, 3, 4
"""What `admit` made of an event. COUNT is scored and counted, SCORE is scored only, SKIP is a duplicate or has no effect."""

CLIP_MINOR = 10_000_000
"""Amounts are clipped here, in minor units, before they are squared: the squares of a window fit 63 bits."""

_PLAIN, _DELAYED = int(Span.PLAIN), int(Span.DELAYED)
_Q_COUNT, _Q_AMOUNT, _Q_AMOUNT_SQ, _Q_FRAUD = (int(q) for q in Quantity)
_COUNT, _MEAN, _RATIO, _ZSCORE, _SINCE_LAST, _RISK, _PRIOR_MEAN, _PRIOR_COUNT, _DELAYED_COUNT = (int(op) for op in Op)
_HORIZON_MS = HORIZON_S * 1000
_jit = numba.njit(cache=True, nogil=True, error_model="numpy")


@_jit  # type: ignore[untyped-decorator]
def admit(cards: Any, at: Any, slots: Any, kinds: Any, ids: Any, labelled_ms: Any, effects: Any) -> None:
    """Decide for each event what it does; keep the cards' rings of seen transactions and of labels.

    Args:
        cards: int64 [any, width], updated in place.
        at: int64 [cards], the row of the n-th card.
        slots: int64 [events], which card it is.
        kinds: int8 [events].
        ids: int64 [events], hash of the transaction id, never 0.
        labelled_ms: int64 [events], for labels.
        effects: int8 [events], written.
    """
    for i in range(len(slots)):
        row = cards[at[slots[i]]]
        kind = kinds[i]
        if kind >= LABEL_GENUINE:
            effects[i] = _admit_label(row, ids[i], labelled_ms[i], kind == LABEL_FRAUD)
            continue
        effects[i] = COUNT if kind == PAYMENT else SCORE if kind == DECLINED else SKIP
        seen = False
        for j in range(RECENT, RECENT + RECENT_LEN):
            if row[j] == ids[i]:
                seen = True
                break
        if seen:
            effects[i] = SKIP
            kinds[i] = -1
        else:
            row[RECENT + row[RECENT_NEXT]] = ids[i]
            row[RECENT_NEXT] = (row[RECENT_NEXT] + 1) % RECENT_LEN


@_jit  # type: ignore[untyped-decorator]
def _admit_label(row: Any, transaction: int, labelled_ms: int, is_fraud: bool) -> int:  # noqa: FBT001 - numba takes no keywords
    """The newest label of a transaction wins; where the card's labels are full, the oldest label gives way."""
    entry = labelled_ms * 2 + (1 if is_fraud else 0)
    oldest = LABELS
    for j in range(LABELS, LABELS + 2 * LABELS_LEN, 2):
        if row[j] == transaction:
            before = row[j + 1]
            if before >> 1 > labelled_ms or before == entry:
                return SKIP
            row[j + 1] = entry
            if (before & 1) == (entry & 1):
                return SKIP
            return ADD_FRAUD if is_fraud else TAKE_FRAUD
        if row[j + 1] < row[oldest + 1]:
            oldest = j
    row[oldest] = transaction
    row[oldest + 1] = entry
    return ADD_FRAUD if is_fraud else SKIP


@_jit  # type: ignore[untyped-decorator]
def _advance(series: Any, row: Any, t: int) -> None:
    """Move the heads of all rings to time t: tiles that leave a ring are emptied for those that enter."""
    newest = row[NEWEST]
    if t <= newest:
        return
    for s in range(len(series)):
        hop, n, first = series[s, 0], series[s, 1], series[s, 2]
        head, new_head = newest // hop, t // hop
        if new_head - head >= n:
            row[first : first + n] = 0
        else:
            for k in range(head + 1, new_head + 1):
                row[first + k % n] = 0
    row[NEWEST] = t


@_jit  # type: ignore[untyped-decorator]
def _retained(series: Any, row: Any, t: int) -> bool:
    """Whether any ring still has the tile of time t."""
    for s in range(len(series)):
        hop = series[s, 0]
        if t // hop > row[NEWEST] // hop - series[s, 1]:
            return True
    return False


@_jit  # type: ignore[untyped-decorator]
def _count(series: Any, row: Any, t: int, minor: int) -> None:
    """Count a payment in every ring that retains its tile. `minor` < 0: its money is not known."""
    _advance(series, row, t)
    row[LAST] = max(row[LAST], t)
    clipped = min(minor, CLIP_MINOR)
    for s in range(len(series)):
        hop, n, first, quantity = series[s, 0], series[s, 1], series[s, 2], series[s, 3]
        k = t // hop
        if k <= row[NEWEST] // hop - n or quantity == _Q_FRAUD:
            continue
        if quantity == _Q_COUNT:
            row[first + k % n] += 1
        elif minor >= 0:
            row[first + k % n] += minor if quantity == _Q_AMOUNT else clipped * clipped


@_jit  # type: ignore[untyped-decorator]
def _count_fraud(series: Any, row: Any, t: int, change: int) -> None:
    """Add or take back a fraud at the tile of its transaction, where a ring retains it."""
    _advance(series, row, t)
    for s in range(len(series)):
        hop, n, first = series[s, 0], series[s, 1], series[s, 2]
        k = t // hop
        if series[s, 3] == _Q_FRAUD and k > row[NEWEST] // hop - n:
            row[first + k % n] += change


@_jit  # type: ignore[untyped-decorator]
def _add_up(terms: Any, row: Any, t: int, sums: Any) -> None:
    """Add up the tiles of every window at time t, as far as the rings retain them."""
    sums[:] = 0
    newest = row[NEWEST]
    for j in range(len(terms)):
        span, hop, first, n = terms[j, 0], terms[j, 3], terms[j, 5], terms[j, 6]
        if span == _PLAIN:
            low, high = (t - terms[j, 1]) // hop + 1, t // hop
        else:
            hour_ms = 3_600_000
            cut = (t - terms[j, 2]) // hour_ms * hour_ms
            if span == _DELAYED:
                low, high = (t - terms[j, 2] - terms[j, 1]) // hop, cut // hop - 1
            else:
                coarse = terms[j, 4]
                low, high = cut // coarse * coarse // hop, cut // hop - 1
        head = newest // hop
        low, high = max(low, head - n + 1), min(high, head)
        position = low % n
        total = 0
        for _ in range(low, high + 1):
            total += row[first + position]
            position += 1
            if position == n:
                position = 0
        sums[terms[j, 7]] += total


@_jit  # type: ignore[untyped-decorator]
def _feature(op: int, a: int, b: int, c: int, last_ms: int, t: int, minor: int, counted: int, unit: int) -> float:
    """One feature from its sums: a payments, b minor units (or frauds), c squares, all without the present payment.

    `minor` < 0: the payment's money is not known; it then neither stands out nor adds to a mean.
    """
    amount = max(minor, 0)
    if op == _COUNT:
        return float(a + counted)
    if op == _DELAYED_COUNT or op == _PRIOR_COUNT:
        return float(a)
    if op == _MEAN:
        return (b + counted * amount) / (unit * (a + counted)) if a + counted else 0.0
    if op == _PRIOR_MEAN:
        return b / (unit * a) if a else 0.0
    if op == _RATIO:
        return amount * float(a) / b if b and minor >= 0 else 1.0
    if op == _ZSCORE:
        mean = b / a if a else 0.0
        variance = c / a - mean * mean if a > 1 else 0.0
        return (min(amount, CLIP_MINOR) - mean) / np.sqrt(variance) if variance >= 1.0 and minor >= 0 else 0.0
    if op == _SINCE_LAST:
        return min(max(t - last_ms, 0), _HORIZON_MS) / 1000.0 if last_ms else _HORIZON_MS / 1000.0
    return min(1.0, b / a) if a else 0.0


@_jit  # type: ignore[untyped-decorator]
def fold(
    series: Any,
    terms: Any,
    features: Any,
    own: Any,
    own_at: Any,
    total: Any,
    total_at: Any,
    shared: bool,  # noqa: FBT001
    slots: Any,
    effects: Any,
    times_ms: Any,
    minor: Any,
    unit: int,
    out: Any,
    late: Any,
    sums: Any,
) -> None:
    """Features of each scored event; each counted event is added to its entity's rows.

    Args:
        series: the layout's table.
        terms: the entity plan's.
        features: the entity plan's.
        own: int64 [any, width], the part that this partition writes, updated in place.
        own_at: int64 [entities], the row of the n-th entity in `own`.
        total: int64 [any, width], the sum over all parts; the same array as `own` where not shared.
        total_at: int64 [entities], the row of the n-th entity in `total`.
        shared: whether `own` and `total` are two arrays.
        slots: int64 [events], which entity it is; -1 where the event has none.
        effects: int8 [events], from `admit`.
        times_ms: int64 [events], event time.
        minor: int64 [events], minor units of the base currency, -1 where there is no rate.
        unit: minor units of a major unit.
        out: float32 [events, columns], the entity's columns are written.
        late: uint8 [events], 1 where the payment is behind every ring: scored, not counted.
        sums: int64 [sums], scratch.
    """
    for i in range(len(slots)):
        effect = effects[i]
        if effect == SKIP or slots[i] < 0:
            continue
        part, sum_ = own[own_at[slots[i]]], total[total_at[slots[i]]]
        t = times_ms[i]
        if effect == ADD_FRAUD or effect == TAKE_FRAUD:
            change = 1 if effect == ADD_FRAUD else -1
            _count_fraud(series, part, t, change)
            if shared:
                _count_fraud(series, sum_, t, change)
            continue
        counted = 0
        if effect == COUNT:
            if _retained(series, part, t):
                counted = 1
            else:
                late[i] = 1
        _add_up(terms, sum_, t, sums)
        last = sum_[LAST]
        for f in range(len(features)):
            a, b, c = sums[features[f, 1]], sums[features[f, 2]], sums[features[f, 3]]
            out[i, features[f, 4]] = _feature(features[f, 0], a, b, c, last, t, minor[i], counted, unit)
        if counted:
            _count(series, part, t, minor[i])
            if shared:
                _count(series, sum_, t, minor[i])


@_jit  # type: ignore[untyped-decorator]
def _absorb(series: Any, total: Any, part: Any) -> None:
    """Add the tiles of `part` (a row) to `total` (a row), both brought to the newer of their two times."""
    _advance(series, total, part[NEWEST])
    total[LAST] = max(total[LAST], part[LAST])
    for s in range(len(series)):
        hop, n, first = series[s, 0], series[s, 1], series[s, 2]
        head = part[NEWEST] // hop
        for k in range(max(head, total[NEWEST] // hop) - n + 1, head + 1):
            total[first + k % n] += part[first + k % n]


@_jit  # type: ignore[untyped-decorator]
def absorb_all(series: Any, totals: Any, chosen: Any, parts: Any) -> None:
    """Add each row of `parts` to the row of `totals` that `chosen` names."""
    for i in range(len(chosen)):
        _absorb(series, totals[chosen[i]], parts[i])
