"""One contract for the feature stores: the one in memory and the one in a real Redis keep the same promises."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any
from uuid import uuid4

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from stream_app.adapters.memory_store import MemoryStore
from stream_app.adapters.redis_store import RedisStore
from stream_app.errors import NotOwner, StateError, Unavailable
from stream_app.features import kernel
from stream_app.features.compute import Events, compute
from stream_app.features.plan import NEWEST, catalogue_plan
from stream_app.ports import Cursor, FeatureStore, PartitionState, WorkingSet

START, HOUR = 1_522_540_800_000, 3_600_000
_ids = count(1)


@dataclass
class Subject:
    """A store under test, and what the tests do behind its back."""

    open: Callable[[], FeatureStore]
    replace: Callable[[int, str, str, Callable[[bytes], bytes]], Awaitable[None]]


def in_memory() -> Subject:
    """One store in memory; opened again, it is the same one."""
    store = MemoryStore()

    async def replace(partition: int, kind: str, name: str, change: Callable[[bytes], bytes]) -> None:
        value = store.get(partition, kind, name)
        assert value is not None
        cursor = store._cursors[partition]
        store.put(partition, cursor, cursor, {(kind, name): change(value)})

    return Subject(lambda: store, replace)


def in_redis(url: str) -> Subject:
    """Stores over one namespace of its own in Redis."""
    group = f"test-{uuid4().hex}"

    async def replace(partition: int, kind: str, name: str, change: Callable[[bytes], bytes]) -> None:
        async with Redis.from_url(url) as redis:
            key = f"{{{group}:{partition}}}{kind}:{name}"
            value: Any = await redis.get(key)
            await redis.set(key, change(value))

    return Subject(lambda: RedisStore(url, group), replace)


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.servers)])
def subject(request: pytest.FixtureRequest) -> Subject:
    """Each store in turn."""
    return in_memory() if request.param == "memory" else in_redis(request.getfixturevalue("stack").redis)


def run(subject: Subject, test: Callable[[FeatureStore, FeatureStore], Awaitable[None]]) -> None:
    """Run a test with two openings of the store, as two workers have them."""

    async def body() -> None:
        one, two = subject.open(), subject.open()
        try:
            await test(one, two)
        finally:
            await one.close()
            await two.close()

    asyncio.run(body())


def pay(work: WorkingSet, times: Sequence[int], card: int = 0, terminal: int = 0) -> Any:
    """Count payments of 10.00 in a working set; their vectors."""
    size = len(times)
    return compute(
        catalogue_plan(),
        Events(
            kinds=np.full(size, kernel.PAYMENT, dtype=np.int8),
            times_ms=np.array(times, dtype=np.int64),
            labelled_ms=np.zeros(size, dtype=np.int64),
            ids=np.array([next(_ids) for _ in times], dtype=np.int64),
            minor=np.full(size, 1000),
            amounts=np.full(size, 10.0),
            cards=np.full(size, card),
            terminals=np.full(size, terminal),
        ),
        work.cards,
        work.terminals,
    ).vectors


def moved(cursor: Cursor, transactions: int) -> Cursor:
    """The cursor after so many transactions."""
    return msgspec.structs.replace(cursor, transactions=transactions)


def same(one: WorkingSet, other: WorkingSet) -> bool:
    """Whether two working sets hold the same state."""
    pairs = ((one.cards.own, other.cards.own), (one.terminals.own, other.terminals.own), (one.terminals.total, other.terminals.total))
    return all(np.array_equal(a, b) for a, b in pairs) and one.case_ids == other.case_ids


def test_what_nobody_wrote_is_zeros(subject: Subject) -> None:
    """A fresh partition starts at offset 0; unknown cards and terminals have empty rows and no case."""

    async def test(store: FeatureStore, _: FeatureStore) -> None:
        state, cursor = await store.take_over(0, 2)
        work = await state.read(["c1", "c2"], ["t1"])
        assert (cursor.transactions, cursor.labels) == (0, 0)
        assert work.cards.own.shape[0] == 2
        assert not work.cards.own.any()
        assert not work.terminals.total.any()
        assert work.case_ids == ["", ""]

    run(subject, test)


def test_what_was_written_is_read_again_with_its_cases(subject: Subject) -> None:
    """The same rows, the same case id, whichever way round the ids are asked for."""

    async def test(store: FeatureStore, _: FeatureStore) -> None:
        state, cursor = await store.take_over(0, 1)
        work = await state.read(["c1", "c2"], ["t1"])
        pay(work, [START, START + HOUR], card=1)
        work.case_ids[1] = "tx-é1"
        await state.write(work, moved(cursor, 2))
        assert same(await state.read(["c1", "c2"], ["t1"]), work)
        turned = await state.read(["c2", "c1"], ["t1"])
        assert np.array_equal(turned.cards.own, work.cards.own[::-1])
        assert turned.case_ids == ["tx-é1", ""]

    run(subject, test)


def test_a_batch_without_any_card_still_moves_the_cursor(subject: Subject) -> None:
    """Where every record went to the dead letters, the position is written all the same."""

    async def test(store: FeatureStore, other: FeatureStore) -> None:
        state, cursor = await store.take_over(0, 2)
        await state.write(await state.read([], []), moved(cursor, 9))
        assert (await other.take_over(0, 2))[1].transactions == 9

    run(subject, test)


def test_the_parts_of_other_partitions_are_summed_and_never_written(subject: Subject) -> None:
    """Three partitions pay at one terminal: each sees its own payments in `own` and all of them in `total`."""

    async def test(store: FeatureStore, other: FeatureStore) -> None:
        for partition, owner in ((0, store), (1, other), (2, store)):
            state, cursor = await owner.take_over(partition, 3)
            work = await state.read([f"c{partition}"], ["t1"])
            pay(work, [START + partition * 1000] * (partition + 1))
            await state.write(work, moved(cursor, 1))
        state, _ = await store.take_over(1, 3)
        work = await state.read(["c1"], ["t1"])
        column = catalogue_plan().features.index(next(f for f in catalogue_plan().features if f.name == "terminal_count_1h"))
        assert pay(work, [START + 5000])[0, column] == 1 + 2 + 3 + 1
        assert work.terminals.own[0, NEWEST] == work.terminals.total[0, NEWEST] == START + 5000
        assert work.terminals.own.sum() < work.terminals.total.sum()

    run(subject, test)


def test_a_second_owner_makes_the_first_ones_write_fail_and_change_nothing(subject: Subject) -> None:
    """The first read, the second takes over, the first writes: NotOwner, and neither card nor terminal nor cursor moved."""

    async def test(store: FeatureStore, other: FeatureStore) -> None:
        first, cursor = await store.take_over(0, 1)
        work = await first.read(["c1"], ["t1"])
        pay(work, [START])
        second, taken = await other.take_over(0, 1)
        with pytest.raises(NotOwner, match="Partition 0"):
            await first.write(work, moved(cursor, 1))
        seen = await second.read(["c1"], ["t1"])
        assert not seen.cards.own.any()
        assert not seen.terminals.own.any()
        with pytest.raises(NotOwner):
            await first.read(["c1"], [])
        assert (await store.take_over(0, 1))[1].transactions == taken.transactions == 0

    run(subject, test)


def test_take_over_returns_the_last_cursor_under_a_fresh_owner(subject: Subject) -> None:
    """Both positions as written, another owner at every takeover, each partition on its own."""

    async def test(store: FeatureStore, other: FeatureStore) -> None:
        state, cursor = await store.take_over(3, 4)
        written = msgspec.structs.replace(cursor, transactions=41, labels=7)
        await state.write(await state.read(["c1"], ["t1"]), written)
        _, again = await other.take_over(3, 4)
        assert again == msgspec.structs.replace(written, owner=again.owner)
        assert again.owner not in {"", cursor.owner}
        assert (await other.take_over(2, 4))[1].transactions == 0

    run(subject, test)


def test_a_takeover_amid_writes_never_parts_the_cursor_from_its_state(subject: Subject) -> None:
    """An owner writes as fast as it can while others take over: the cursor found is always that of the state found."""

    async def write_until_lost(state: PartitionState, cursor: Cursor) -> None:
        while True:
            work = await state.read(["c1"], [])
            work.cards.own[0, NEWEST] += 1
            cursor = moved(cursor, cursor.transactions + 1)
            await state.write(work, cursor)
            await asyncio.sleep(0)

    async def test(store: FeatureStore, other: FeatureStore) -> None:
        state, cursor = await store.take_over(0, 1)
        for taker in (other, store) * 10:
            writing = asyncio.create_task(write_until_lost(state, cursor))
            for _ in range(20):
                await asyncio.sleep(0)
            state, cursor = await taker.take_over(0, 1)
            with pytest.raises(NotOwner):
                await writing
            assert (await state.read(["c1"], [])).cards.own[0, NEWEST] == cursor.transactions

    run(subject, test)


@pytest.mark.parametrize(("kind", "name"), [("c", "c1"), ("t", "t1")])
def test_a_damaged_value_is_refused_and_named(subject: Subject, kind: str, name: str) -> None:
    """One flipped bit in a card or in a part of a terminal: StateError that says which."""

    async def test(store: FeatureStore, _: FeatureStore) -> None:
        state, cursor = await store.take_over(0, 1)
        work = await state.read(["c1"], ["t1"])
        pay(work, [START])
        await state.write(work, moved(cursor, 1))
        await subject.replace(0, kind, name, lambda value: value[:-1] + bytes([value[-1] ^ 1]))
        with pytest.raises(StateError, match=name):
            await state.read(["c1"], ["t1"])

    run(subject, test)


BATCHES = st.lists(
    st.tuples(st.integers(0, 2), st.lists(st.integers(0, 40 * 24), min_size=1, max_size=4), st.integers(0, 2), st.integers(0, 1)),
    max_size=8,
)


@pytest.mark.servers
@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=BATCHES)
def test_memory_and_redis_agree_over_any_stream(stack: Any, batches: list[tuple[int, list[int], int, int]]) -> None:
    """The same batches through both stores: the same vectors and the same state, of every partition."""

    async def through(store: FeatureStore) -> tuple[list[WorkingSet], list[bytes]]:
        owners = [await store.take_over(p, 3) for p in range(3)]
        cards, terminals, vectors = ["a", "b", "c"], ["s", "t"], []
        for number, (partition, hours, card, terminal) in enumerate(batches):
            state, cursor = owners[partition]
            work = await state.read(cards, terminals)
            vectors.append(pay(work, [START + h * HOUR for h in hours], card, terminal).tobytes())
            work.case_ids[card] = f"case-{number}"
            await state.write(work, moved(cursor, number))
        works = [await state.read(cards, terminals) for state, _ in owners]
        await store.close()
        return works, vectors

    first = next(_ids)
    in_memory_, vectors = asyncio.run(through(MemoryStore()))
    _ids_restart(first)
    in_redis_, vectors_too = asyncio.run(through(RedisStore(stack.redis, f"test-{uuid4().hex}")))
    assert vectors == vectors_too
    assert all(same(a, b) for a, b in zip(in_memory_, in_redis_, strict=True))


def _ids_restart(at: int) -> None:
    """Number the transactions again from `at`, so that two runs of a stream have the same ids."""
    global _ids  # noqa: PLW0603 - one counter of this module's transactions
    _ids = count(at + 1)


def test_a_redis_that_is_away_is_unavailable_within_bounded_time() -> None:
    """Nobody listens: each call says so, names the setting, and does not hang."""

    async def body() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
            store = RedisStore(f"redis://127.0.0.1:{taken.getsockname()[1]}/0", "test")
            for call in (store.ping, lambda: store.take_over(0, 1), lambda: store.info("server")):
                with pytest.raises(Unavailable, match="FRAUDSTREAM_REDIS_URL"):
                    await call()
            await store.close()

    began = time.monotonic()
    asyncio.run(body())
    assert time.monotonic() - began < 60


@pytest.mark.servers
def test_a_batch_costs_two_round_trips(stack: Any) -> None:
    """However many cards, terminals and partitions: the commands of a batch leave in two writes, one to read, one to write."""

    async def body() -> int:
        store = RedisStore(stack.redis, f"test-{uuid4().hex}")
        state: Any
        state, cursor = await store.take_over(0, 8)
        await state.write(await state.read(["c0"], []), moved(cursor, 1))  # connects
        connection, sent = state._connection, 0
        send = connection.send_packed_command

        async def counted(*args: Any, **options: Any) -> Any:
            nonlocal sent
            sent += 1
            return await send(*args, **options)

        connection.send_packed_command = counted
        work = await state.read([f"c{i}" for i in range(300)], [f"t{i}" for i in range(200)])
        await state.write(work, moved(cursor, 2))
        connection.send_packed_command = send
        await store.close()
        return sent

    assert asyncio.run(body()) == 2


@pytest.mark.servers
def test_after_a_lost_connection_the_batch_is_read_and_written_again(stack: Any) -> None:
    """The server cuts the connection between read and write: Unavailable, nothing written; the same batch then goes through."""

    async def body() -> None:
        store = RedisStore(stack.redis, f"test-{uuid4().hex}")
        state: Any
        state, cursor = await store.take_over(0, 1)
        work = await state.read(["c1"], [])
        pay_nothing = work.cards.own.copy()
        redis: Any
        async with Redis.from_url(stack.redis) as redis:
            connection = state._connection
            await connection.send_command("CLIENT", "ID")
            await redis.execute_command("CLIENT", "KILL", "ID", await connection.read_response())
        work.cards.own[0, NEWEST] = START
        with pytest.raises(Unavailable):
            await state.write(work, moved(cursor, 1))
        again = await state.read(["c1"], [])
        assert np.array_equal(again.cards.own, pay_nothing)
        await state.write(work, moved(cursor, 1))
        assert (await state.read(["c1"], [])).cards.own[0, NEWEST] == START
        await store.close()

    asyncio.run(body())
