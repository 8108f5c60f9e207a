"""An entity's episode of fraud: what the kernel reads off its days, from the newest that counts back to the oldest.

    day      t-37d  …  begin  …   …  last  …  t-8d  t-7d      t
    frauds             [1  0  2  0  1]  0 0 0 0  |          labels of younger payments have hardly come
                        gaps of at most ten days

The days are the 30 whole ones (UTC) that were over a week ago: of all their payments a fraud would be known. They are tiles, as the labels
that have come fill them, in any order; a label that is taken back leaves none.
"""

from __future__ import annotations

from typing import Any

from stream_app.features.aggregations import DAY_MS, DELAY_S, EPISODE_GAP_DAYS, HORIZON_DAYS, Op
from stream_app.features.compiled import jit
from stream_app.features.plan import NEWEST

_SINCE_FRAUD, _SINCE_EPISODE, _GENUINE, _RISK = (int(op) for op in (Op.SINCE_FRAUD, Op.SINCE_EPISODE, Op.GENUINE_SINCE, Op.EPISODE_RISK))
_DELAY_MS = DELAY_S * 1000
_WINDOW_DAYS = 30


@jit  # type: ignore[untyped-decorator]
def of_tiles(op: int, series: Any, payments: int, frauds: int, row: Any, t: int) -> Any:
    """One feature of the entity's episode at time t; `payments` and `frauds` are their series, both of days."""
    newest, oldest = _days(series, frauds, row, t)
    last = _last_fraud(series, frauds, row, newest, oldest)
    if op == _GENUINE:
        return float(_sum(series, payments, row, max(oldest, last + 1), newest))
    if op == _SINCE_FRAUD:
        return float(t // DAY_MS - last) if last >= oldest else float(HORIZON_DAYS)
    begin = _begin(series, frauds, row, last, oldest)
    if op == _SINCE_EPISODE:
        return float(t // DAY_MS - begin) if last >= oldest else float(HORIZON_DAYS)
    if op == _RISK:
        counted = _sum(series, payments, row, begin, newest) if last >= oldest else 0
        return min(1.0, _sum(series, frauds, row, begin, newest) / counted) if counted else 0.0
    raise NotImplementedError("Nobody says what this operation makes of tiles. Add it to `episodes.of_tiles`.")


@jit  # type: ignore[untyped-decorator]
def _days(series: Any, s: int, row: Any, t: int) -> Any:
    """(newest, oldest) day that counts at time t, as far as the ring retains them."""
    head, end = row[NEWEST] // DAY_MS, (t - _DELAY_MS) // DAY_MS
    return min(end - 1, head), max(end - _WINDOW_DAYS, head - series[s].tiles + 1)


@jit  # type: ignore[untyped-decorator]
def _last_fraud(series: Any, frauds: int, row: Any, newest: int, oldest: int) -> Any:
    """The newest day with a known fraud; one before the oldest where there is none."""
    first, n, day = series[frauds].first, series[frauds].tiles, newest
    while day >= oldest and row[first + day % n] <= 0:
        day -= 1
    return max(day, oldest - 1)


@jit  # type: ignore[untyped-decorator]
def _begin(series: Any, frauds: int, row: Any, last: int, oldest: int) -> Any:
    """The oldest day of the episode that ends with `last`."""
    first, n, begin, day = series[frauds].first, series[frauds].tiles, last, last - 1
    while day >= oldest and begin - day <= EPISODE_GAP_DAYS:
        if row[first + day % n] > 0:
            begin = day
        day -= 1
    return begin


@jit  # type: ignore[untyped-decorator]
def _sum(series: Any, s: int, row: Any, oldest: int, newest: int) -> Any:
    """What days from `oldest` to `newest` hold together."""
    first, n, total = series[s].first, series[s].tiles, 0
    for day in range(oldest, newest + 1):
        total += row[first + day % n]
    return total
