"""One contract for the feature stores: the one in memory, in a real Redis and in a real Redis Cluster keep the same promises."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_app.adapters.redis import entity_memory
from stream_app.adapters.redis.store import RedisStore
from stream_app.delivery.ports import FeatureStore, PartitionState
from stream_app.errors import NotOwner, StateError
from stream_app.features.plan import NEWEST, catalogue_plan
from stream_app.scoring.ports import Ids, WorkingSet
from stream_app.scoring.positions import Cursor, Position
from tests.contract.stores import HOUR, START, Subject, cards, joined, moved, next_id, number_from, own, pay, run, same, taken, total, wrote
from tests.examples import examples
from tests.memory_store import MemoryStore
from tests.named_ids import ids_of


def test_notes_are_written_with_the_cursor_and_read_by_their_day(subject: Subject) -> None:
    """Rule 1 of `store`: what is there of what is asked for; a day knows nothing of another; begun anew, none is left; one who lost the partition adds none."""

    async def test(one: FeatureStore, two: FeatureStore) -> None:
        state, cursor = await taken(one, 0, 1)
        wanted = [(7, "t:a"), (8, "t:a"), (7, "c:x")]
        work = await state.read(ids_of(["c1"], ["t1"], []), wanted)
        assert work.seen[0].notes == {}
        await state.write(state.pack(work, Position(1, 0)), moved(cursor, 1), {(7, "t:a"): b"one", (7, "c:x"): b"f"})
        work = await state.read(ids_of(["c2"], [], []), wanted)
        assert work.seen[0].notes == {(7, "t:a"): b"one", (7, "c:x"): b"f"}
        other, cursor = await taken(two, 0, 1)
        with pytest.raises(NotOwner):
            await state.write(state.pack(work, Position(2, 0)), moved(cursor, 2), {(7, "t:a"): b"stale"})
        assert (await other.read(ids_of([], [], []), wanted[:1])).seen[0].notes == {(7, "t:a"): b"one"}
        await other.begin(moved(cursor, 0))
        assert (await other.read(ids_of([], [], []), wanted)).seen[0].notes == {}

    run(subject, test)


def test_what_nobody_wrote_is_zeros(subject: Subject) -> None:
    """A fresh partition starts at offset 0; unknown cards and terminals have empty rows and no case."""

    async def test(store: FeatureStore, _: FeatureStore) -> None:
        state, cursor = await taken(store, 0, 2)
        work = await state.read(ids_of(["c1", "c2"], ["t1"], []))
        assert (cursor.transactions, cursor.labels) == (0, 0)
        assert cards(work).shape[0] == 2
        assert not cards(work).any()
        assert not total(work).any()
        assert work.case_ids == ["", ""]

    run(subject, test)


def test_what_was_written_is_read_again_with_its_cases(subject: Subject) -> None:
    """The same rows, the same case id, whichever way round the ids are asked for."""

    async def test(store: FeatureStore, _: FeatureStore) -> None:
        state, cursor = await taken(store, 0, 1)
        work = await state.read(ids_of(["c1", "c2"], ["t1"], []))
        pay(work, [START, START + HOUR], card=1)
        work.case_ids[1] = "tx-é1"
        await wrote(state, work, moved(cursor, 2))
        assert same(await state.read(ids_of(["c1", "c2"], ["t1"], [])), work)
        turned = await state.read(ids_of(["c2", "c1"], ["t1"], []))
        assert np.array_equal(cards(turned), cards(work)[::-1])
        assert turned.case_ids == ["tx-é1", ""]

    run(subject, test)


def test_a_batch_without_any_card_still_moves_the_cursor(subject: Subject) -> None:
    """Where every record went to the dead letters, the position is written all the same."""

    async def test(store: FeatureStore, other: FeatureStore) -> None:
        state, cursor = await taken(store, 0, 2)
        await wrote(state, await state.read(ids_of([], [], [])), moved(cursor, 9))
        assert (await taken(other, 0, 2))[1].transactions == 9

    run(subject, test)


def test_the_parts_of_other_partitions_are_summed_and_never_written(subject: Subject) -> None:
    """Three partitions pay at one terminal: each sees its own payments in `own` and all of them in `total`."""

    async def test(store: FeatureStore, other: FeatureStore) -> None:
        for partition, holder in ((0, store), (1, other), (2, store)):
            state, cursor = await taken(holder, partition, 3)
            work = await state.read(ids_of([f"c{partition}"], ["t1"], []))
            pay(work, [START + partition * 1000] * (partition + 1))
            await wrote(state, work, moved(cursor, 1))
        state, _ = await taken(store, 1, 3)
        work = await state.read(ids_of(["c1"], ["t1"], []))
        column = catalogue_plan().features.index(next(f for f in catalogue_plan().features if f.name == "terminal_count_1h"))
        assert pay(work, [START + 5000])[0, column] == 1 + 2 + 3 + 1
        assert own(work)[0, NEWEST] == total(work)[0, NEWEST] == START + 5000
        assert own(work).sum() < total(work).sum()

    run(subject, test)


def test_a_second_owner_makes_the_first_ones_write_fail_and_change_nothing(subject: Subject) -> None:
    """Rules 1 and 2 of `store`: the first read, the second takes over, the first writes: NotOwner, and neither card nor terminal nor cursor moved."""

    async def test(store: FeatureStore, other: FeatureStore) -> None:
        first, cursor = await taken(store, 0, 1)
        work = await first.read(ids_of(["c1"], ["t1"], []))
        pay(work, [START])
        second, later = await taken(other, 0, 1)
        with pytest.raises(NotOwner, match="Partition 0"):
            await wrote(first, work, moved(cursor, 1))
        seen = await second.read(ids_of(["c1"], ["t1"], []))
        assert not cards(seen).any()
        assert not own(seen).any()
        with pytest.raises(NotOwner):
            await first.read(ids_of(["c1"], [], []))
        with pytest.raises(NotOwner):
            await first.confirm()
        await second.confirm()
        assert (await taken(store, 0, 1))[1].transactions == later.transactions == 0

    run(subject, test)


def test_take_over_returns_the_last_cursor_under_a_fresh_owner(subject: Subject) -> None:
    """Rule 2 of `store`: both positions as written, another owner at every takeover, each partition on its own."""

    async def test(store: FeatureStore, other: FeatureStore) -> None:
        state, cursor = await taken(store, 3, 4)
        written = msgspec.structs.replace(cursor, transactions=41, labels=7)
        await wrote(state, await state.read(ids_of(["c1"], ["t1"], [])), written)
        _, again = await taken(other, 3, 4)
        assert again == msgspec.structs.replace(written, owner=again.owner)
        assert len({"", cursor.owner, again.owner, (await taken(store, 3, 4))[1].owner}) == 4
        assert (await taken(other, 2, 4))[1].transactions == 0

    run(subject, test)


def test_a_takeover_amid_writes_never_parts_the_cursor_from_its_state(subject: Subject) -> None:
    """An owner writes as fast as it can while others take over: the cursor found is always that of the state found."""

    async def write_until_lost(state: PartitionState, cursor: Cursor) -> None:
        while True:
            work = await state.read(ids_of(["c1"], [], []))
            work.rows[0].own[work.rows[0].own_at[0], NEWEST] += 1
            cursor = moved(cursor, cursor.transactions + 1)
            await wrote(state, work, cursor)
            await asyncio.sleep(0)

    async def test(store: FeatureStore, other: FeatureStore) -> None:
        state, cursor = await taken(store, 0, 1)
        for taker in (other, store) * 10:
            writing = asyncio.create_task(write_until_lost(state, cursor))
            for _ in range(20):
                await asyncio.sleep(0)
            state, cursor = await taken(taker, 0, 1)
            with pytest.raises(NotOwner):
                await writing
            assert cards(await state.read(ids_of(["c1"], [], [])))[0, NEWEST] == cursor.transactions

    run(subject, test)


def test_partitions_of_one_worker_see_each_other_before_the_write(subject: Subject) -> None:
    """A payment in one partition counts at the terminal for the next in another; where it is never written, it counts no more."""
    column = [f.name for f in catalogue_plan().features].index("terminal_count_1h")

    async def test(store: FeatureStore, _: FeatureStore) -> None:
        store.hold([0, 1], 2)
        first, _cursor = await joined(store, 0)
        second, cursor = await joined(store, 1)
        work = await first.read(ids_of(["c0"], ["t1"], []))
        pay(work, [START])
        packed = first.pack(work, Position(1, 0))
        seen = await second.read(ids_of(["c1"], ["t1"], []))
        vectors = pay(seen, [START + 1000])
        await second.write(second.pack(seen, Position(1, 0)), moved(cursor, 1))
        first.forget()
        assert packed
        again = await second.read(ids_of(["c1"], ["t1"], []))
        assert pay(again, [START + 2000])[0, column] == 2
        assert seen.seen[0].positions == ((int(vectors[0, column]) - 1, 0), (0, 0))
        assert vectors[0, column] in {1, 2}  # the plain store shows what is written, the one in Redis what was counted

    run(subject, test)


def test_a_working_set_says_what_the_parts_of_every_partition_contain(subject: Subject) -> None:
    """Of a worker's own partitions and of another's: the sums hold the payments below these positions, and no others."""
    column = [f.name for f in catalogue_plan().features].index("terminal_count_1h")

    async def test(store: FeatureStore, other: FeatureStore) -> None:
        other.hold([1], 2)
        theirs, their_cursor = await joined(other, 1)
        mine, my_cursor = await taken(store, 0, 2)
        for n in range(1, 4):
            work = await theirs.read(ids_of(["c1"], ["t1"], []))
            pay(work, [START])
            await wrote(theirs, work, moved(their_cursor, n))
            seen = await mine.read(ids_of(["c0"], ["t1"], []))
            assert seen.seen[0].positions == ((n - 1, 0), (n, 0))
            assert pay(seen, [START])[0, column] == n + n
            await wrote(mine, seen, moved(my_cursor, n))

    run(subject, test)


@pytest.mark.servers
def test_while_a_forgotten_batch_is_on_its_way_nobody_can_say_what_is_counted(redis_url: str) -> None:
    """The sums are read anew, with that batch or without it: the working set does not pretend to know, until the batch is written."""

    async def body() -> None:
        store = RedisStore(redis_url, f"test-{uuid4().hex}")
        store.hold([0, 1], 2)
        first, cursor = await joined(store, 0)
        second, _ = await joined(store, 1)
        work = await first.read(ids_of(["c0"], ["t1"], []))
        pay(work, [START])
        packed = first.pack(work, Position(1, 0))
        assert (await second.read(ids_of(["c1"], ["t1"], []))).seen[0].positions == ((1, 0), (0, 0))
        second.forget()
        assert (await second.read(ids_of(["c1"], ["t1"], []))).seen[0].positions is None
        await first.write(packed, moved(cursor, 1))
        assert (await second.read(ids_of(["c1"], ["t1"], []))).seen[0].positions == ((1, 0), (0, 0))
        await store.close()

    asyncio.run(body())


def test_to_begin_anew_removes_all_of_a_partition_and_nothing_of_another(subject: Subject) -> None:
    """Cards and parts of the partition are gone; its neighbour's stay."""

    async def test(store: FeatureStore, other: FeatureStore) -> None:
        for partition in (0, 1):
            state, cursor = await taken(store, partition, 2)
            work = await state.read(ids_of(["c1"], ["t1"], []))
            pay(work, [START])
            await wrote(state, work, moved(cursor, 1))
        state, cursor = await taken(other, 0, 2)
        await state.begin(moved(cursor, 7))
        work = await state.read(ids_of(["c1"], ["t1"], []))
        assert not cards(work).any()
        assert not own(work).any()
        assert total(work).any()
        assert (await taken(store, 0, 2))[1].transactions == 7

    run(subject, test)


def test_a_partition_that_nobody_has_begun_makes_sums_degraded(subject: Subject) -> None:
    """Partition 1 has no state yet: what partition 0 reads says so; begun, it is whole."""

    async def test(store: FeatureStore, other: FeatureStore) -> None:
        state, _ = await taken(store, 0, 2)
        assert "partition 1" in str((await state.read(ids_of(["c1"], ["t1"], []))).seen[0].degraded)
        await taken(other, 1, 2)
        assert (await state.read(ids_of(["c1"], ["t1"], []))).seen[0].degraded is None

    run(subject, test)


@pytest.mark.parametrize(("kind", "name"), [("c", "c1"), ("t", "t1")])
def test_a_damaged_value_is_refused_and_named(subject: Subject, kind: str, name: str) -> None:
    """One flipped bit in a card or in a part of a terminal: StateError that says which."""

    async def test(store: FeatureStore, _: FeatureStore) -> None:
        state, cursor = await taken(store, 0, 1)
        work = await state.read(ids_of(["c1"], ["t1"], []))
        pay(work, [START])
        await wrote(state, work, moved(cursor, 1))
        await subject.replace(0, kind, name, lambda value: value[:-1] + bytes([value[-1] ^ 1]))
        state.forget()
        with pytest.raises(StateError, match=name):
            await state.read(ids_of(["c1"], ["t1"], []))

    run(subject, test)


def test_a_damaged_part_of_another_worker_degrades_and_its_owner_is_told(subject: Subject) -> None:
    """The reader goes on without the part and says so; the owner may not go on before it has begun anew."""

    async def test(store: FeatureStore, other: FeatureStore) -> None:
        theirs, cursor = await taken(other, 1, 2)
        work = await theirs.read(ids_of(["c2"], ["t1"], []))
        pay(work, [START])
        await wrote(theirs, work, moved(cursor, 1))
        await subject.replace(1, "t", "t1", lambda value: value[:-1])
        ours, _ = await taken(store, 0, 2)
        assert "partition 1" in str((await ours.read(ids_of(["c1"], ["t1"], []))).seen[0].degraded)
        for look in (theirs.read(ids_of(["c2"], [], [])), theirs.confirm()):
            with pytest.raises(StateError) as told:
                await look
            assert told.value.partition == 1
        await theirs.begin(moved(cursor, 1))
        assert (await ours.read(ids_of(["c1"], ["t1"], []))).seen[0].degraded is None

    run(subject, test)


BATCHES = st.lists(
    st.tuples(st.integers(0, 2), st.lists(st.integers(0, 40 * 24), min_size=1, max_size=4), st.integers(0, 2), st.integers(0, 1)),
    max_size=8,
)


@pytest.mark.servers
@settings(examples(15), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=BATCHES)
def test_memory_and_redis_agree_over_any_stream(stack: Any, batches: list[tuple[int, list[int], int, int]]) -> None:
    """The same batches through both stores: the same vectors and the same state, of every partition."""

    async def through(store: FeatureStore) -> tuple[list[WorkingSet], list[bytes]]:
        store.hold(range(3), 3)
        owners = [await joined(store, p) for p in range(3)]
        ids: Ids = ids_of(["a", "b", "c"], ["s", "t"], [])
        vectors = []
        for number, (partition, hours, card, terminal) in enumerate(batches):
            state, cursor = owners[partition]
            work = await state.read(ids)
            vectors.append(pay(work, [START + h * HOUR for h in hours], card, terminal).tobytes())
            work.case_ids[card] = f"case-{number}"
            await wrote(state, work, moved(cursor, number))
        works = [await state.read(ids) for state, _ in owners]
        await store.close()
        return works, vectors

    first = next_id()
    in_memory_, vectors = asyncio.run(through(MemoryStore()))
    number_from(first)
    in_redis_, vectors_too = asyncio.run(through(RedisStore(stack.redis, f"test-{uuid4().hex}")))
    assert vectors == vectors_too
    assert all(same(a, b) for a, b in zip(in_memory_, in_redis_, strict=True))


@pytest.mark.servers
@settings(examples(15), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=BATCHES)
def test_a_memory_that_forgets_all_the_time_changes_nothing(redis_url: str, batches: list[tuple[int, list[int], int, int]]) -> None:
    """Room for one card and one terminal: rows give way in every batch, vectors and state are those of the plain store."""

    async def through(store: FeatureStore) -> list[bytes]:
        store.hold(range(3), 3)
        owners = [await joined(store, p) for p in range(3)]
        vectors = []
        for number, (partition, hours, card, terminal) in enumerate(batches):
            state, cursor = owners[partition]
            work = await state.read(ids_of([f"c{card}"], [f"t{terminal}"], []))
            vectors.append(pay(work, [START + h * HOUR for h in hours]).tobytes())
            await wrote(state, work, moved(cursor, number))
        await store.close()
        return vectors

    first = next_id()
    plain = asyncio.run(through(MemoryStore()))
    number_from(first)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entity_memory, "CARD_MEMORY_BYTES", 1)
        patch.setattr(entity_memory, "SHARED_MEMORY_BYTES", 1)
        assert asyncio.run(through(RedisStore(redis_url, f"test-{uuid4().hex}"))) == plain
