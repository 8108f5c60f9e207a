"""The feature kernel: one piece of code for training and for the stream, compiled by numba.

It runs over events in processing order. For each payment it first reads the windows, then counts the payment:

1. `admit` (cards): is the transaction a duplicate; what does a label change?
2. `fold` (each entity): add up the tiles of each window, make the features, count the payment in its tiles.

Sums are exact and commute, whatever the order of arrival, and offline equals online to the bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stream_app.features.aggregations import (
    COUNTRY_NUMBERS,
    FIRST_OF_ROW,
    FIRST_OF_TILES,
    HORIZON_S,
    PLACE_ZERO,
    Fact,
    Measure,
    Op,
)
from stream_app.features.compiled import jit
from stream_app.features.episodes import of_tiles
from stream_app.features.plan import (
    DECLINES,
    DECLINES_LEN,
    LABELS,
    LABELS_LEN,
    LAST,
    LATITUDE,
    LONGITUDE,
    PLACED,
    RECENT,
    RECENT_LEN,
    RECENT_NEXT,
)
from stream_app.features.prefetch import ask_for_row
from stream_app.features.tiles import CLIP_MINOR, absorb, add_up, count, distinct, has, largest, retained

PAYMENT, DECLINED, CREDIT, LABEL_GENUINE, LABEL_FRAUD = 0, 1, 2, 3, 4
"""Kinds of event, the kernel's input. DECLINED is scored, CREDIT (refund, reversal) is not; both have counters of their own."""

SKIP, COUNT, SCORE, ADD_FRAUD, TAKE_FRAUD, GIVE_BACK = 0, 1, 2, 3, 4, 5
"""What `admit` made of an event. COUNT is scored and counted, SCORE is scored and counted as declined, SKIP has no effect."""

_COUNT, _MEAN, _RATIO, _ZSCORE, _RISK, _PRIOR_MEAN, _PRIOR_COUNT, _SHARE, _OF_LARGEST = (
    int(op) for op in (Op.COUNT, Op.MEAN, Op.RATIO, Op.ZSCORE, Op.RISK, Op.PRIOR_MEAN, Op.PRIOR_COUNT, Op.SHARE, Op.OF_LARGEST)
)
_SINCE_LAST, _DISTANCE, _SPEED, _IN_A_ROW = (int(op) for op in (Op.SINCE_LAST, Op.DISTANCE, Op.SPEED, Op.DECLINES_IN_A_ROW))
_FIRST_TIME, _KNOWN, _DISTINCT, _OTHER_COUNTRY = (int(op) for op in (Op.FIRST_TIME, Op.KNOWN, Op.DISTINCT, Op.OTHER_COUNTRY))
_M_PAYMENT, _M_MONEY, _M_MONEY_SQ, _M_FRAUD = (int(m) for m in (Measure.PAYMENT, Measure.MONEY, Measure.MONEY_SQ, Measure.FRAUD))
_M_ONLINE, _M_DECLINED, _M_CREDITED, _M_COUNTRY_AT = (
    int(m) for m in (Measure.ONLINE, Measure.DECLINED, Measure.CREDITED, Measure.COUNTRY_AT)
)
_FACT_ONLINE, _FACT_LATITUDE, _FACT_LONGITUDE, _FACT_COUNTRY = (int(f) for f in (Fact.ONLINE, Fact.LATITUDE, Fact.LONGITUDE, Fact.COUNTRY))
_HORIZON_MS = HORIZON_S * 1000
_AHEAD = 2
"""Events. A row is some kB and lies anywhere: it is asked for while those before it are folded, else a fifth of the time is waiting for it."""
_EARTH_KM = 12_742.0  # its mean diameter


@jit  # type: ignore[untyped-decorator]
def admit(cards: Any, at: Any, slots: Any, kinds: Any, ids: Any, labelled_ms: Any, told: Any, effects: Any) -> None:
    """Decide for each event what it does; keep the cards' rings of seen transactions and of labels.

    Args:
        cards: int64 [any, width], updated in place.
        at: int64 [cards], the row of the n-th card.
        slots: int64 [events], which card it is.
        kinds: int8 [events].
        ids: int64 [events], hash of the transaction id, never 0.
        labelled_ms: int64 [events], for labels.
        told: int64 [events], the label before of the same transaction, see `compute.Events`.
        effects: int8 [events], written.
    """
    for i in range(len(slots)):
        row = cards[at[slots[i]]]
        kind = kinds[i]
        if kind >= LABEL_GENUINE:
            effects[i] = _admit_label(row, ids[i], labelled_ms[i], kind == LABEL_FRAUD, told[i])
            continue
        effects[i] = COUNT if kind == PAYMENT else SCORE if kind == DECLINED else GIVE_BACK
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


@jit  # type: ignore[untyped-decorator]
def _admit_label(row: Any, transaction: int, labelled_ms: int, is_fraud: bool, told: int) -> Any:  # noqa: FBT001 - numba takes no keywords
    """The newest label of a transaction wins. Where the card's labels are full the oldest gives way: `told` still knows it."""
    entry = labelled_ms * 2 + (1 if is_fraud else 0)
    place, before = LABELS, told
    for j in range(LABELS, LABELS + 2 * LABELS_LEN, 2):
        if row[j] == transaction:
            place = j
            if row[j + 1] >> 1 >= told >> 1:
                before = row[j + 1]
            break
        if row[j + 1] < row[place + 1]:
            place = j
    if before >> 1 > labelled_ms or before == entry:
        return SKIP
    row[place] = transaction
    row[place + 1] = entry
    if (before & 1) == (entry & 1):
        return SKIP
    return ADD_FRAUD if is_fraud else TAKE_FRAUD


@jit  # type: ignore[untyped-decorator]
def _of_sums(op: int, a: int, b: int, c: int, minor: int, counted: int, unit: int) -> Any:
    """One feature from its sums a, b, c, in the order of `Aggregation.needs`, all without the present payment: mostly payments, then minor
    units, frauds or online payments, then squares.

    `minor` < 0: the payment's money is not known; it then neither stands out nor adds to a mean.
    """
    amount = max(minor, 0)
    if op == _COUNT:
        return float(a + counted)
    if op == _PRIOR_COUNT:
        return float(a)
    if op == _MEAN:
        return (b + counted * amount) / (unit * (a + counted)) if a + counted else 0.0
    if op == _PRIOR_MEAN:
        return b / (unit * a) if a else 0.0
    if op == _RATIO:
        return amount * float(a) / b if b and minor >= 0 else 1.0
    if op == _SHARE:
        return b / a if a else 0.0
    if op == _ZSCORE:
        mean = b / a if a else 0.0
        variance = c / a - mean * mean if a > 1 else 0.0
        return (min(amount, CLIP_MINOR) - mean) / np.sqrt(variance) if variance >= 1.0 and minor >= 0 else 0.0
    if op == _OF_LARGEST:
        return amount / a if a and minor >= 0 else 1.0
    if op == _RISK:
        return min(1.0, b / a) if a else 0.0
    raise NotImplementedError(
        "Nobody says what this operation makes of sums. Add it to `kernel._of_sums`; one of tiles has a number from 50 on, one of a row from 100 on."
    )


@jit  # type: ignore[untyped-decorator]
def _of_row(op: int, series: Any, s: int, row: Any, t: int, facts: Any) -> Any:
    """One feature from what the row remembers beside its tiles, or from one series of them, `s`."""
    if op == _SINCE_LAST:
        last = row[LAST]
        return min(max(t - last, 0), _HORIZON_MS) / 1000.0 if last else _HORIZON_MS / 1000.0
    if op == _IN_A_ROW:
        declines = 0
        for j in range(DECLINES, DECLINES + DECLINES_LEN):
            if t - _HORIZON_MS < row[j] <= t:
                declines += 1
        return float(declines)
    if op == _DISTANCE or op == _SPEED:
        away_ms = abs(t - row[PLACED])
        if facts[_FACT_LATITUDE] == 0 or row[PLACED] == 0 or away_ms > _HORIZON_MS:
            return 0.0
        km = _kilometres(row[LATITUDE], row[LONGITUDE], facts[_FACT_LATITUDE], facts[_FACT_LONGITUDE])
        return km if op == _DISTANCE else km * 3_600_000.0 / max(away_ms, 1000)
    if op == _FIRST_TIME or op == _KNOWN:
        name = facts[series[s].of]
        return 1.0 if name != 0 and has(series, s, row, t, name) == (op == _KNOWN) else 0.0
    if op == _DISTINCT:
        return float(distinct(series, s, row, t))
    if op == _OTHER_COUNTRY:
        last, country = largest(series, s, row, t) % COUNTRY_NUMBERS, facts[_FACT_COUNTRY]
        return 1.0 if last != 0 and country != 0 and last != country else 0.0
    raise NotImplementedError(
        "Nobody says what this operation makes of a row. Add it to `kernel._of_row`; one of sums has a number below 100."
    )


@jit  # type: ignore[untyped-decorator]
def _kilometres(latitude: int, longitude: int, other_latitude: int, other_longitude: int) -> Any:
    """Along the great circle, by the haversine formula, over a sphere."""
    radian = np.pi / 180e6
    a, b = (latitude - PLACE_ZERO) * radian, (other_latitude - PLACE_ZERO) * radian
    over, across = np.sin((b - a) / 2), np.sin((other_longitude - longitude) * radian / 2)
    return _EARTH_KM * np.arcsin(min(1.0, np.sqrt(over * over + np.cos(a) * np.cos(b) * across * across)))


@jit  # type: ignore[untyped-decorator]
def _weigh(effect: int, counted: bool, t: int, minor: int, facts: Any, weights: Any) -> None:  # noqa: FBT001 - numba takes no keywords
    """What an event leaves of each `Measure`. `minor` < 0: its money is not known, and leaves nothing."""
    weights[:] = 0
    if counted:
        clipped = min(max(minor, 0), CLIP_MINOR)
        weights[_M_PAYMENT], weights[_M_MONEY], weights[_M_MONEY_SQ] = 1, max(minor, 0), clipped * clipped
        weights[_M_ONLINE] = facts[_FACT_ONLINE]
        weights[_M_COUNTRY_AT] = t * COUNTRY_NUMBERS + facts[_FACT_COUNTRY] if facts[_FACT_COUNTRY] else 0
    elif effect == SCORE:
        weights[_M_DECLINED] = 1
    elif effect == GIVE_BACK:
        weights[_M_CREDITED] = 1
    elif effect == ADD_FRAUD or effect == TAKE_FRAUD:
        weights[_M_FRAUD] = 1 if effect == ADD_FRAUD else -1


@jit  # type: ignore[untyped-decorator]
def fold(
    series: Any,
    header: int,
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
    facts: Any,
    unit: int,
    out: Any,
    late: Any,
    sums: Any,
    weights: Any,
) -> None:
    """Features of each scored event; each event is then counted in its entity's rows.

    Args:
        series: [series] of `plan.SERIES`, the layout's.
        header: the layout's.
        terms: [terms] of `plan.TERM`, the entity plan's.
        features: [features] of `plan.FEATURE`, the entity plan's.
        own: int64 [any, width], the part that this partition writes, updated in place.
        own_at: int64 [entities], the row of the n-th entity in `own`.
        total: int64 [any, width], the sum over all parts; the same array as `own` where not shared.
        total_at: int64 [entities], the row of the n-th entity in `total`.
        shared: whether `own` and `total` are two arrays.
        slots: int64 [events], which entity it is; -1 where the event has none.
        effects: int8 [events], from `admit`.
        times_ms: int64 [events], event time.
        minor: int64 [events], minor units of the base currency, -1 where there is no rate.
        facts: int64 [events, facts], see `aggregations.Fact`.
        unit: minor units of a major unit.
        out: float32 [events, columns], the entity's columns are written.
        late: uint8 [events], 1 where the payment is behind every ring: scored, not counted.
        sums: int64 [sums], scratch.
        weights: int64 [measures], scratch.
    """
    for i in range(len(slots)):
        ask_for_row(own, own_at, slots, i + _AHEAD)
        if shared:
            ask_for_row(total, total_at, slots, i + _AHEAD)
        effect = effects[i]
        if effect == SKIP or slots[i] < 0:
            continue
        part, sum_, t = own[own_at[slots[i]]], total[total_at[slots[i]]], times_ms[i]
        counted = effect == COUNT and retained(series, part, t)
        if effect == COUNT and not counted:
            late[i] = 1
        if effect == COUNT or effect == SCORE:
            add_up(terms, sum_, t, sums)
            for f in range(len(features)):
                wanted = features[f]
                op = wanted.op
                if op >= FIRST_OF_ROW:
                    out[i, wanted.column] = _of_row(op, series, wanted.a, sum_, t, facts[i])
                elif op >= FIRST_OF_TILES:
                    out[i, wanted.column] = of_tiles(op, series, wanted.a, wanted.b, sum_, t)
                else:
                    a, b, c = sums[wanted.a], sums[wanted.b], sums[wanted.c]
                    out[i, wanted.column] = _of_sums(op, a, b, c, minor[i], 1 if counted else 0, unit)
        _weigh(effect, counted, t, minor[i], facts[i], weights)
        if effect == COUNT and not counted:
            continue
        count(series, header, part, t, weights, facts[i])
        if shared:
            count(series, header, sum_, t, weights, facts[i])


@jit  # type: ignore[untyped-decorator]
def absorb_all(series: Any, totals: Any, chosen: Any, parts: Any) -> None:
    """Add each row of `parts` to the row of `totals` that `chosen` names."""
    for i in range(len(chosen)):
        absorb(series, totals[chosen[i]], parts[i])
