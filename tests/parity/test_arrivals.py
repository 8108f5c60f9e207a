"""How far what a decision saw was out of order: found by bisection, it is what looking at each event finds."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream_app.audit.arrivals import Arrivals, swapped
from stream_app.features.plan import Ints
from tests.examples import examples

EVENTS = st.lists(st.tuples(st.integers(-1, 2), st.integers(0, 6), st.integers(0, 9)), max_size=8)
"""Of a run: card, terminal … (-1: none), time, and what breaks ties of time."""


def displaced_ms(events: tuple[Ints, Ints, Ints], runs: list[range], copies: set[int], at: int, seen: list[int]) -> int | None:
    """The plain form: every event of the same card, terminal … is looked at."""
    places, rank, times_ms = [list[int](values.tolist()) for values in events]
    those = [e for e in range(len(places)) if places[e] == places[at] >= 0]
    away_ms = {e: abs(times_ms[e] - times_ms[at]) for e in those}
    if copies & set(those):
        return max(away_ms[e] for e in copies & set(those))
    known = {e for run, count in zip(runs, seen, strict=True) for e in run[:count]}
    moved = [e for e in those if e != at and (e in known) != (rank[e] < rank[at])]
    if moved:
        return max(away_ms[e] for e in moved)
    own = next(n for n, run in enumerate(runs) if at in run)
    behind_ms = [
        times_ms[before] - times_ms[e]
        for run, count in list(zip(runs, seen, strict=True))[own - 1 : own + 1]
        for e in run[:count]
        for before in run[:count]
        if before < e and {before, e} <= set(those) and rank[before] > rank[e]
    ]
    return max(behind_ms, default=None)


@examples(400)
@given(
    given_runs=st.lists(st.tuples(EVENTS, EVENTS.filter(bool)), min_size=1, max_size=3),
    some=st.lists(st.integers(0, 8), min_size=6, max_size=6),
    copies=st.one_of(st.just(set[int]()), st.sets(st.integers(0, 47), max_size=2)),
)
def test_bisection_finds_what_looking_at_each_event_finds(
    given_runs: list[tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]]], some: list[int], copies: set[int]
) -> None:
    """Any events of up to three partitions, any of them seen, equal times, copies; every payment is asked of."""
    of_runs = [run for both in given_runs for run in both]
    places, times_ms, ties = (np.array([e[n] for run in of_runs for e in run], dtype=np.int64) for n in range(3))
    rank = np.argsort(np.lexsort((ties, times_ms)))
    bounds = np.cumsum([0] + [len(run) for run in of_runs])
    runs = [range(first, end) for first, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)]
    turned = np.isin(np.arange(len(rank)), list(copies))
    arrivals = Arrivals(places, rank, times_ms, bounds, turned)
    for own in range(0, len(runs), 2):
        for n, at in enumerate(runs[own + 1]):
            seen = [min(count, len(run)) for count, run in zip(some, runs, strict=False)]
            seen[own + 1] = n
            expected = displaced_ms((places, rank, times_ms), runs, set(np.flatnonzero(turned).tolist()), at, seen)
            assert arrivals.displaced_ms(at, seen, own) == expected


@examples(200)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(1, 2), st.booleans()), max_size=8).flatmap(
    lambda events: st.tuples(st.just(events), st.permutations(range(len(events))))
))  # fmt: skip
def test_copies_in_another_order_than_that_of_time_are_those_that_two_of_are_turned_round(
    case: tuple[list[tuple[int, int, bool]], list[int]],
) -> None:
    """Cards, transactions, and whether it is a payment; labels of a transaction are no copies of it."""
    events, order = case
    rank = np.array(order, dtype=np.int64)
    payments = [n for n, (_, _, payment) in enumerate(events) if payment]
    turned = {
        n
        for n in payments
        if any(
            first < second and order[first] > order[second]
            for first in payments
            for second in payments
            if events[first][:2] == events[second][:2] == events[n][:2]
        )
    }
    cards, ids = (np.array([e[n] for e in events], dtype=np.int64) for n in range(2))
    assert set(np.flatnonzero(swapped(np.array(payments, dtype=np.int64), cards, ids, rank)).tolist()) == turned
