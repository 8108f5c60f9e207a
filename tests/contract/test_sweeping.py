"""Sweeping the idle, under the contract of both stores."""

from __future__ import annotations

from typing import Any

import pytest

from stream_app.adapters.redis.store import RedisStore
from stream_app.delivery.ports import FeatureStore, PartitionState
from stream_app.errors import NotOwner, StateError
from stream_app.features.aggregations import HORIZON_S
from stream_app.features.plan import NEWEST
from stream_app.scoring.positions import Cursor
from tests.contract.stores import (
    HOUR,
    START,
    Subject,
    cards,
    in_redis,
    joined,
    moved,
    own,
    pay,
    run,
    taken,
    wrote,
)
from tests.named_ids import ids_of

LATER = START + 2 * HORIZON_S * 1000


QUIET_STEPS = 300
"""Of 300 keys each: once around a Redis that other tests fill too."""


async def swept(state: PartitionState, before_ms: int) -> int:
    """All there is to sweep, in as many steps as it takes: how many were removed."""
    removed, quiet = 0, 0
    while quiet < QUIET_STEPS:
        found = await state.sweep(before_ms)
        removed, quiet = removed + found, 0 if found else quiet + 1
    return removed


async def two_partitions(store: FeatureStore) -> tuple[PartitionState, PartitionState]:
    """In each an old card and terminal; in the first also a young one."""
    store.hold([0, 1], 2)
    states = [await joined(store, 0), await joined(store, 1)]
    for state, cursor in states:
        work = await state.read(ids_of(["old"], ["told"], []))
        pay(work, [START])
        await wrote(state, work, moved(cursor, 1))
    state, cursor = states[0]
    work = await state.read(ids_of(["young"], ["tyoung"], []))
    pay(work, [LATER])
    await wrote(state, work, moved(cursor, 2))
    return states[0][0], states[1][0]


def test_only_the_idle_of_this_partition_go(subject: Subject) -> None:
    """The young card, the cursor, and all of the other partition stay."""

    async def test(store: FeatureStore, other: FeatureStore) -> None:
        first, _ = await two_partitions(store)
        assert await swept(first, LATER) == 2
        mine, cursor = await taken(other, 0, 2)
        work = await mine.read(ids_of(["old", "young"], ["told", "tyoung"], []))
        assert (cards(work)[:, NEWEST] > 0).tolist() == [False, True]
        assert (own(work)[:, NEWEST] > 0).tolist() == [False, True]
        assert cursor.transactions == 2
        theirs, _ = await taken(other, 1, 2)
        assert (cards(await theirs.read(ids_of(["old"], [], [])))[:, NEWEST] > 0).all()

    run(subject, test)


def test_what_is_remembered_goes_on_as_before(subject: Subject) -> None:
    """The worker that swept counts on: the next payment of the card that went is its first within any window."""

    async def test(store: FeatureStore, other: FeatureStore) -> None:
        state, _ = await two_partitions(store)
        assert await swept(state, LATER) == 2
        work = await state.read(ids_of(["old"], ["told"], []))
        first_again = pay(work, [LATER + HOUR])
        fresh, _ = await taken(other, 1, 2)
        assert (first_again == pay(await fresh.read(ids_of(["new"], ["tnew"], [])), [LATER + HOUR])).all()

    run(subject, test)


def test_a_stale_owner_removes_nothing(subject: Subject) -> None:
    """Another worker took the partition over: NotOwner, and every value is there."""

    async def test(store: FeatureStore, other: FeatureStore) -> None:
        state, _ = await two_partitions(store)
        now, _ = await taken(other, 0, 2)
        with pytest.raises(NotOwner):
            await swept(state, LATER)
        assert (cards(await now.read(ids_of(["old"], [], [])))[:, NEWEST] > 0).all()

    run(subject, test)


@pytest.mark.servers
def test_the_guard_holds_after_a_sweep(redis_url: str) -> None:
    """Rule 3 of `store`: EXEC ended the WATCH: the next write watches again, so that another owner's cursor is never written over."""

    async def test(store: FeatureStore, other: FeatureStore) -> None:
        state, _ = await two_partitions(store)
        work = await state.read(ids_of(["young"], [], []))
        removed = 0
        while not removed:
            removed = await state.sweep(LATER)
        _, cursor = await taken(other, 0, 2)
        with pytest.raises(NotOwner):
            await wrote(state, work, moved(cursor, 9))
        assert (await taken(other, 0, 2))[1].transactions == 2

    run(in_redis(redis_url), test)


@pytest.mark.servers
def test_the_guard_holds_where_a_partition_is_begun_anew(redis_url: str) -> None:
    """Rules 2 and 3 of `store`: between the removal of what was there and the first cursor another worker takes over: that cursor is not written over."""

    async def test(store: FeatureStore, other: FeatureStore) -> None:
        state, _ = await two_partitions(store)
        assert isinstance(store, RedisStore)
        line = store._held[0]._line
        trip = line.round_trip
        later: list[Cursor] = []

        async def overtaken(commands: Any) -> Any:
            answers = await trip(commands)
            if commands[-1] == ("EXEC",) and not later:
                later.append((await taken(other, 0, 2))[1])
            return answers

        line.round_trip = overtaken  # type: ignore[method-assign]
        with pytest.raises(NotOwner):
            await state.begin(Cursor("stale", 77))
        assert (await taken(other, 0, 2))[1].transactions != 77

    run(in_redis(redis_url), test)


def test_a_damaged_value_that_is_met_is_named(subject: Subject) -> None:
    """Its partition is rebuilt, as where a batch meets it."""

    async def test(store: FeatureStore, _: FeatureStore) -> None:
        state, _other = await two_partitions(store)
        await subject.replace(0, "c", "old", lambda value: value[:-1])
        with pytest.raises(StateError, match="c:old") as told:
            await swept(state, LATER)
        assert told.value.partition == 0

    run(subject, test)
