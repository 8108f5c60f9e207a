"""Rounds of several partitions: read together, written together where all still stand, each alone where one does not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_app.adapters.redis import guard
from stream_app.adapters.redis.line import RedisLine
from stream_app.adapters.redis.store import RedisStore
from stream_app.delivery.inbox import MicroBatch, NextOffsets
from stream_app.delivery.ports import FeatureStore, PartitionState, StateRequest
from stream_app.delivery.rounds import RoundDependencies, RoundPart, Rounds, RoundShare
from stream_app.errors import NotOwner, StateError
from stream_app.features.plan import NEWEST
from stream_app.messages.money import Money
from stream_app.messages.transaction import Decoder, IntakeRules, Transaction
from stream_app.scoring.intake import Decoded, decode_all
from stream_app.scoring.ports import Ids, WorkingSet
from stream_app.scoring.positions import Cursor, Position
from stream_app.scoring.publication import Output
from stream_app.scoring.scorer import Scorer
from tests.contract.stores import HOUR, START, in_redis, joined, moved, next_id, number_from, own, pay, run, taken, total, wrote
from tests.examples import examples
from tests.memory_store import MemoryStore
from tests.named_ids import ids_of
from tests.unit.delivery.world import Counted, Fussy
from tests.unit.scoring.test_scorer import FakeClock, FakeRecord, payment

IDS: Ids = ids_of(["c"], ["t"], [])
type Held = tuple[PartitionState, Cursor]


def asked(of_each: Sequence[Held], ids: Ids = IDS) -> list[StateRequest]:
    """Each partition takes one more payment."""
    return [StateRequest(state, ids, (), Position(cursor.transactions + 1, cursor.labels)) for state, cursor in of_each]


async def decided(store: FeatureStore, of_each: Sequence[Held]) -> tuple[WorkingSet, list[Any]]:
    """A round of one payment each, read, counted and packed."""
    round_of = asked(of_each)
    work = await store.read(round_of)
    for n in range(len(of_each)):
        pay(work, [START + n], card=n, terminal=n)
    return work, store.pack(round_of, work)


async def three(store: FeatureStore) -> list[Held]:
    """Partitions 0 to 2 of three, all held."""
    store.hold(range(3), 3)
    return [await joined(store, n) for n in range(3)]


async def written(of_each: Sequence[Held], packed: Sequence[Any]) -> list[Any]:
    """What became of each partition's write, all at once."""
    writes = [state.write(values, moved(cursor, cursor.transactions + 1)) for (state, cursor), values in zip(of_each, packed, strict=True)]
    return await asyncio.gather(*writes, return_exceptions=True)


async def counted(other: FeatureStore) -> list[int]:
    """The newest payment of the card in each partition, as another worker finds it; 0 where it has none."""
    other.hold(range(3), 3)
    states = [(await other.take_over(n))[0] for n in range(3)]
    return [int(own_card(await state.read(ids_of(["c"], [], [])))) for state in states]


def own_card(work: WorkingSet) -> Any:
    """The newest payment of the only card."""
    return work.rows[0].own[work.rows[0].own_at[0]][NEWEST]


@pytest.mark.servers
@settings(examples(15), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sets(st.integers(0, 2), min_size=1), st.integers(0, 9), st.integers(0, 1), st.integers(0, 1)), max_size=8))
def test_a_round_is_as_if_its_partitions_batches_came_one_after_the_other(
    redis_url: str, steps: list[tuple[set[int], int, int, int]]
) -> None:
    """Rule 1 of `rounds`: vectors and what each had seen, over both stores, in rounds and one by one."""

    async def together(store: FeatureStore) -> list[Any]:
        held, found = await three(store), []
        for at, (partitions, hours, card, terminal) in enumerate(steps):
            ids: Ids = ids_of([f"c{card}"], [f"t{terminal}"], [])
            chosen = [held[n] for n in sorted(partitions)]
            round_of = [StateRequest(state, ids, (), Position(at + 1, 0)) for state, _ in chosen]
            work = await store.read(round_of)
            found += [pay(work, [START + hours * HOUR + n], card=n, terminal=n).tobytes() for n in range(len(chosen))]
            found += [seen.positions for seen in work.seen]
            packed = store.pack(round_of, work)
            await asyncio.gather(*(s.write(v, moved(c, at + 1)) for (s, c), v in zip(chosen, packed, strict=True)))
        await store.close()
        return found

    async def apart(store: FeatureStore) -> list[Any]:
        held, found = await three(store), []
        for at, (partitions, hours, card, terminal) in enumerate(steps):
            vectors, positions = [], []
            for n, number in enumerate(sorted(partitions)):
                state, cursor = held[number]
                work = await state.read(ids_of([f"c{card}"], [f"t{terminal}"], []))
                vectors.append(pay(work, [START + hours * HOUR + n]).tobytes())
                positions.append(work.seen[0].positions)
                await wrote(state, work, moved(cursor, at + 1))
            found += [*vectors, *positions]
        await store.close()
        return found

    first = next_id()
    ways = []
    for way in (together, apart):
        for store in (MemoryStore(), RedisStore(redis_url, f"test-{uuid4().hex}")):
            number_from(first)
            ways.append(asyncio.run(way(store)))
    assert all(way == ways[0] for way in ways)


@pytest.mark.servers
def test_a_round_costs_two_round_trips_however_many_partitions_it_has(stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One to read, one to write, over one line."""

    async def body() -> list[str]:
        store = RedisStore(stack.redis, f"test-{uuid4().hex}")
        held = await three(store)
        trips: list[str] = []
        trip = RedisLine.round_trip

        async def noted(line: Any, commands: Any) -> Any:
            trips.append(commands[-1][0])
            return await trip(line, commands)

        monkeypatch.setattr(RedisLine, "round_trip", noted)
        _, packed = await decided(store, held)
        assert await written(held, packed) == [None] * 3
        await store.close()
        return trips

    assert asyncio.run(body()) == ["MGET", "EXEC"]


@pytest.mark.servers
def test_one_guard_that_fell_takes_no_other_partition_along(redis_url: str) -> None:
    """Rule 8 of `store`: another worker takes partition 1 over between read and write: it alone is lost, the others are written, once.
    On a cluster too, where each has a guard of its own, in the slot of its partition.
    """

    async def test(store: FeatureStore, other: FeatureStore) -> None:
        held = await three(store)
        _, packed = await decided(store, held)
        await taken(other, 1, 3)
        found = await written(held, packed)
        assert [type(error) for error in found] == [type(None), NotOwner, type(None)]
        assert await counted(other) == [START, 0, START + 2]

    run(in_redis(redis_url), test)


@pytest.mark.servers
def test_who_is_late_with_its_write_is_not_waited_for(stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules 1, 2 of `guard`: partition 2 publishes for longer: the others are written before, it goes alone afterwards."""
    monkeypatch.setattr(guard, "LATE_S", 0.001)

    async def test(store: FeatureStore, other: FeatureStore) -> None:
        held = await three(store)
        _, packed = await decided(store, held)
        assert await written(held[:2], packed[:2]) == [None, None]
        assert await written(held[2:], packed[2:]) == [None]
        assert await counted(other) == [START, START + 1, START + 2]

    run(in_redis(stack.redis), test)


@pytest.mark.servers
def test_who_left_the_round_is_not_waited_for(stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 3 of `guard`: a publication failed, a partition was revoked: the third is written at once, however long a guard would wait."""
    monkeypatch.setattr(guard, "LATE_S", 3600.0)

    async def test(store: FeatureStore, _other: FeatureStore) -> None:
        held: list[Any] = await three(store)
        _, packed = await decided(store, held)
        held[0][0].forget()
        await held[1][0].let_go()
        assert await asyncio.wait_for(written(held[2:], packed[2:]), 10) == [None]
        (lost,) = await written(held[1:2], packed[1:2])
        assert isinstance(lost, NotOwner)

    run(in_redis(stack.redis), test)


@pytest.mark.servers
def test_a_round_whose_line_breaks_is_written_by_each_partition_alone_and_once(stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 4 of `store`: the answer to EXEC was lost; each looks at its own cursor, and finds that it was done."""

    async def test(store: FeatureStore, other: FeatureStore) -> None:
        held = await three(store)
        _, packed = await decided(store, held)
        trip = RedisLine.round_trip
        lost: list[Any] = []

        async def breaks(line: Any, commands: Any) -> Any:
            answers = await trip(line, commands)
            if commands[-1][0] == "EXEC" and not lost:
                lost.append(line)
                raise ConnectionError("gone")
            return answers

        monkeypatch.setattr(RedisLine, "round_trip", breaks)
        assert [type(error) for error in await written(held, packed)] == [ConnectionError] * 3
        assert await written(held, packed) == [None] * 3
        monkeypatch.setattr(RedisLine, "round_trip", trip)
        assert await counted(other) == [START, START + 1, START + 2]

    run(in_redis(stack.redis), test)


@pytest.mark.servers
def test_a_damaged_value_fails_the_round_and_then_its_own_partition_alone(stack: Any) -> None:
    """Whose it is, the error says; asked one by one, the others have theirs."""
    subject = in_redis(stack.redis)

    async def test(store: FeatureStore, _other: FeatureStore) -> None:
        held = await three(store)
        for state, cursor in held:
            work = await state.read(IDS)
            pay(work, [START])
            await wrote(state, work, moved(cursor, 1))
        await subject.replace(1, "c", "c", lambda value: value[:-1])
        for state, _ in held:
            state.forget()
        with pytest.raises(StateError) as failed:
            await store.read(asked(held))
        assert failed.value.partition == 1
        for n, (state, _) in enumerate(held):
            if n == 1:
                with pytest.raises(StateError):
                    await state.read(IDS)
            else:
                assert total(await state.read(IDS))[0, NEWEST] == START
                assert own(await state.read(IDS))[0, NEWEST] == START

    run(subject, test)


@pytest.mark.servers
def test_what_a_round_read_of_a_partition_that_was_begun_anew_meanwhile_is_not_remembered(
    stack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same worker takes partition 1 over again, and begins it anew, between a round's question and its answer."""

    async def test(store: FeatureStore, _other: FeatureStore) -> None:
        held = await three(store)
        _, packed = await decided(store, held)
        assert await written(held, packed) == [None] * 3
        held = [(state, moved(cursor, 1)) for state, cursor in held]
        for state, _ in held:
            state.forget()
        trip, anew = RedisLine.round_trip, list[PartitionState]()

        async def meanwhile(line: Any, commands: Any) -> Any:
            answers = await trip(line, commands)
            if not anew:
                monkeypatch.setattr(RedisLine, "round_trip", trip)
                state, cursor = await store.take_over(1)
                await state.begin(cursor)
                anew.append(state)
            return answers

        monkeypatch.setattr(RedisLine, "round_trip", meanwhile)
        with pytest.raises(NotOwner):
            await store.read(asked(held))
        assert own_card(await anew[0].read(ids_of(["c"], [], []))) == 0

    run(in_redis(stack.redis), test)


@pytest.mark.servers
def test_a_round_of_partitions_that_were_let_go_of_is_no_longer_in_flight(stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that it used may give way again (rule 6 of `write_through`): nobody would ever end it."""

    async def test(store: FeatureStore, _other: FeatureStore) -> None:
        held = await three(store)
        trip = RedisLine.round_trip

        async def meanwhile(line: Any, commands: Any) -> Any:
            answers = await trip(line, commands)
            monkeypatch.setattr(RedisLine, "round_trip", trip)
            store.hold([0], 3)
            await store.take_over(0)
            return answers

        monkeypatch.setattr(RedisLine, "round_trip", meanwhile)
        with pytest.raises(NotOwner):
            await store.read(asked(held))
        assert isinstance(store, RedisStore)
        assert store._memory._in_flight == {}

    run(in_redis(stack.redis), test)


@pytest.mark.servers
def test_what_a_round_counted_before_a_record_broke_it_is_not_counted_again(stack: Any) -> None:
    """Rule 2 of `rounds`: what is remembered is forgotten first, else each payment would be its own duplicate."""

    async def test(store: FeatureStore, _other: FeatureStore) -> None:
        held = await three(store)
        scorer = Scorer(Fussy(frozenset({666})), Money("EUR"), Output("alerts", "scores"), FakeClock())
        rounds = Rounds(RoundDependencies(store, lambda: scorer, Money("EUR"), "transactions", Counted()))
        parts = []
        for n, (state, _) in enumerate(held):
            message = payment("t", 666 if n == 1 else 10, card_id="c")
            records = [FakeRecord(0, b"c", msgspec.json.encode(message))]
            decoded = decode_all(records, Decoder(Transaction, IntakeRules()), None)
            parts.append(RoundPart(n, state, MicroBatch(decoded, Decoded.of_none(), NextOffsets(1, None)), Position(1, 0)))
        first, broken, last = await asyncio.gather(*map(rounds.decide, parts), return_exceptions=True)
        assert isinstance(broken, ZeroDivisionError)
        for share in (first, last):
            assert isinstance(share, RoundShare)
            assert (share.decided.counts["scored"], share.decided.counts["duplicates"]) == (1, 0)

    run(in_redis(stack.redis), test)
