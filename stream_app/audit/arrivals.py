"""In what order the events of a card, terminal … arrived, beside the order of their times: how far what a decision saw was out of order.

Events arrive in runs, one behind the other: of each partition its labels, then its payments. What a decision saw of a run is its beginning.
So three running values, each found by bisection, answer for any decision, however many events its card or terminal has:

1. the newest event so far: where it is later than the decision, one was seen too early;
2. the oldest event from here on: where it is earlier than the decision, one was missed;
3. how far any event so far was behind the newest before it: where none was missed or too early, but they came in another order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stream_app.features.plan import Ints


class Arrivals:
    """The events of one entity. Building takes a sort, a question a few bisections; memory is five numbers an event."""

    def __init__(self, places: Ints, rank: Ints, times_ms: Ints, bounds: Ints, copies: NDArray[np.bool_]) -> None:
        """Sort the events by card, terminal …, each one's by arrival.

        Args:
            places: int64 [events], which card, terminal … it is; -1 where an event has none.
            rank: int64 [events], place in order of time.
            times_ms: int64 [events], rising with `rank`.
            bounds: int64 [runs + 1], where the runs begin and end: labels and payments of the first partition, of the second ….
            copies: bool [events], see `swapped`.
        """
        self._places, self._rank, self._times, self._bounds, self._count = places, rank, times_ms, bounds, len(rank)
        self._sorted_times = np.sort(times_ms)
        events = np.flatnonzero(places >= 0)
        events = events[np.argsort(places[events], kind="stable")]
        self._keys = places[events] * self._count + events
        run = np.searchsorted(bounds, events, side="right")
        segment = np.cumsum(np.diff(places[events] * len(bounds) + run, prepend=-1) != 0)
        self._newest = _largest_so_far(segment, rank[events])
        # the smallest from here on: the largest so far, all the other way round
        self._oldest = self._count - 1 - _largest_so_far(segment[-1:] - segment[::-1], self._count - 1 - rank[events][::-1])[::-1]
        behind = np.where(rank[events] < self._newest, self._sorted_times[self._newest] - times_ms[events], -1)
        self._behind_ms, order = np.unique(behind, return_inverse=True)
        self._behind = _largest_so_far(segment, order)
        those = events[copies[events]]
        those = those[np.lexsort((rank[those], places[those]))]
        self._swapped_places, self._swapped_ms = places[those], times_ms[those]

    def displaced_ms(self, at: int, seen: Sequence[int], own: int) -> int | None:
        """How far the events of a decision's card, terminal … were out of order, at most; None where they were in order.

        Args:
            at: the decision's payment.
            seen: of each run, how many of its events the decision had seen.
            own: the run of its partition's labels; its payments are the next.
        """
        place, rank, time_ms = int(self._places[at]), int(self._rank[at]), int(self._times[at])
        swapped_ms = self._swapped_ms[slice(*np.searchsorted(self._swapped_places, (place, place + 1)).tolist())]
        if len(swapped_ms):
            return int(np.abs(swapped_ms[[0, -1]] - time_ms).max())
        starts = self._bounds[:-1]
        wanted = place * self._count + np.concatenate([starts, starts + np.asarray(seen), self._bounds[1:]])
        first, middle, end = np.searchsorted(self._keys, wanted).reshape(3, -1)
        newest = self._newest[middle[middle > first] - 1].max(initial=rank)
        oldest = self._oldest[middle[middle < end]].min(initial=rank)
        if oldest < rank or newest > rank:
            return max(int(self._sorted_times[newest]) - time_ms, time_ms - int(self._sorted_times[oldest]))
        behind = [int(self._behind_ms[self._behind[middle[run] - 1]]) for run in (own, own + 1) if middle[run] > first[run]]
        farthest_ms = max(behind, default=-1)
        return None if farthest_ms < 0 else farthest_ms


def swapped(payments: Ints, cards: Ints, ids: Ints, rank: Ints) -> NDArray[np.bool_]:
    """Payments that repeat a transaction, or are repeated, where another of them is the first in order of time than in that of arrival.

    Args:
        payments: which of the events are payments, in order of arrival.
        cards: int64 [events].
        ids: int64 [events], of their transactions.
        rank: int64 [events], place in order of time.

    Returns:
        bool [events].
    """
    copies = payments[np.lexsort((ids[payments], cards[payments]))]
    again = np.zeros(len(copies), dtype=np.bool_)
    again[1:] = (np.diff(cards[copies]) == 0) & (np.diff(ids[copies]) == 0)
    transaction = np.cumsum(~again) - 1
    turned = np.bincount(transaction[1:], again[1:] & (np.diff(rank[copies]) < 0), minlength=len(copies))
    chosen = np.zeros(len(rank), dtype=np.bool_)
    chosen[copies] = turned[transaction] > 0
    return chosen


def _largest_so_far(segments: Ints, values: Ints) -> Ints:
    """The largest value up to each, within its segment.

    Args:
        segments: int64, rising.
        values: int64, from 0 on.
    """
    base = segments * (values.max(initial=0) + 1)
    largest: Ints = np.maximum.accumulate(base + values) - base
    return largest
