"""The mark that a reader sets on another worker's partition: heeded under the token that it was read under, never under a later one."""

from __future__ import annotations

from typing import Any

import pytest

from stream_app.adapters.redis.store import RedisStore
from stream_app.delivery.ports import FeatureStore, PartitionState
from stream_app.errors import StateError
from stream_app.scoring.ports import Ids
from stream_app.scoring.positions import Cursor
from tests.contract.stores import START, Subject, in_redis, moved, pay, run, taken, wrote
from tests.named_ids import ids_of

NOTHING: Ids = ids_of([], [], [])
SENTENCE = "another worker cannot read a part of this partition (found by partition 0). It is rebuilt."
"""A mark of the version before."""


async def owned(store: FeatureStore) -> tuple[PartitionState, Cursor]:
    """Partition 1 of two, begun before it was taken over: its cursor tells the present token."""
    await taken(store, 1, 2)
    return await taken(store, 1, 2)


def test_a_mark_under_the_present_token_is_heeded_until_the_partition_is_begun_anew(subject: Subject) -> None:
    """Rule 3 of `damage_mark`: the owner is told at its next read, and again at each; begun anew, it reads, and the mark is gone."""

    async def test(store: FeatureStore, _: FeatureStore) -> None:
        state, cursor = await owned(store)
        await subject.mark(1, cursor.owner)
        for _again in range(2):
            with pytest.raises(StateError, match="Partition 1: another worker cannot read a part") as told:
                await state.read(NOTHING)
            assert told.value.partition == 1
        await state.begin(cursor)
        assert not await subject.marked(1)
        await state.read(NOTHING)

    run(subject, test)


def test_a_mark_that_comes_between_read_and_write_is_not_lost(subject: Subject) -> None:
    """Rule 4 of `damage_mark`: the write leaves it where it is, and the next read tells."""

    async def test(store: FeatureStore, _: FeatureStore) -> None:
        state, cursor = await owned(store)
        work = await state.read(ids_of(["c2"], [], []))
        await subject.mark(1, cursor.owner)
        await wrote(state, work, moved(cursor, 1))
        with pytest.raises(StateError):
            await state.read(NOTHING)

    run(subject, test)


@pytest.mark.parametrize("of_before", ["takeover", "begin", "version"])
def test_a_mark_of_before_is_passed_over_and_falls_with_the_next_write(subject: Subject, of_before: str) -> None:
    """Rules 3, 4 and 6 of `damage_mark`: it was read under the token before a takeover, or before the state was begun anew, or is the sentence of the version before."""

    async def test(store: FeatureStore, _: FeatureStore) -> None:
        state, cursor = await owned(store)
        mark = SENTENCE if of_before == "version" else cursor.owner
        if of_before == "takeover":
            state, cursor = await taken(store, 1, 2)
        if of_before == "begin":
            await state.begin(moved(cursor, 0))
        await subject.mark(1, mark)
        work = await state.read(ids_of(["c2"], [], []))
        assert await subject.marked(1)
        await wrote(state, work, moved(cursor, 1))
        assert not await subject.marked(1)
        await state.read(NOTHING)

    run(subject, test)


@pytest.mark.servers
def test_a_mark_that_comes_while_keys_are_removed_falls_with_the_cursor(redis_url: str) -> None:
    """Rule 4 of `damage_mark`: it is set again after each look at the keys, the last one too; with the cursor of the state begun anew it is gone."""
    subject = in_redis(redis_url)

    async def test(store: FeatureStore, _: FeatureStore) -> None:
        state, cursor = await owned(store)
        assert isinstance(store, RedisStore)
        line = store._held[1]._line
        trip = line.round_trip

        async def marked_after(commands: Any) -> Any:
            answers = await trip(commands)
            if commands[0][0] == "SCAN":
                await subject.mark(1, cursor.owner)
            return answers

        line.round_trip = marked_after  # type: ignore[method-assign]
        await state.begin(moved(cursor, 0))
        assert not await subject.marked(1)

    run(subject, test)


def test_a_takeover_removes_the_mark_and_the_next_reader_sets_it_again(subject: Subject) -> None:
    """Rules 1 and 5 of `damage_mark`: the damage outlives a plain takeover, which begins nothing anew: who needs the part says so once more, under the new token."""

    async def test(store: FeatureStore, other: FeatureStore) -> None:
        theirs, cursor = await owned(other)
        work = await theirs.read(ids_of(["c2"], ["t1"], []))
        pay(work, [START])
        await wrote(theirs, work, moved(cursor, 1))
        await subject.replace(1, "t", "t1", lambda value: value[:-1])
        ours, _ = await taken(store, 0, 2)
        assert "partition 1" in str((await ours.read(ids_of(["c1"], ["t1"], []))).seen[0].degraded)
        theirs, _ = await taken(other, 1, 2)
        assert not await subject.marked(1)
        await theirs.read(NOTHING)
        assert "partition 1" in str((await ours.read(ids_of(["c1"], ["t1"], []))).seen[0].degraded)
        with pytest.raises(StateError):
            await theirs.read(NOTHING)

    run(subject, test)


def test_no_caller_brings_a_token_of_before_back(subject: Subject) -> None:
    """Rule 2 of `damage_mark`: the store sets it, whatever cursor it is given: a write keeps it, a partition that is begun anew has another."""

    async def test(store: FeatureStore, _: FeatureStore) -> None:
        state, cursor = await owned(store)
        await state.begin(cursor)
        await state.write([], moved(cursor, 1))
        await subject.mark(1, cursor.owner)
        assert (await state.read(NOTHING)).ids == NOTHING

    run(subject, test)
