"""The rules of `rounds`: what is taken together, and what a partition of a round can do to the others: nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from stream_app.delivery import rounds
from stream_app.delivery.inbox import MicroBatch, NextOffsets
from stream_app.delivery.ports import StateRequest
from stream_app.delivery.rounds import RoundDependencies, RoundPart, Rounds, RoundShare
from stream_app.errors import NotOwner, Unavailable
from stream_app.messages.money import Money
from stream_app.messages.transaction import Decoder, IntakeRules, Transaction
from stream_app.scoring.already_published import AlreadyPublished
from stream_app.scoring.intake import Decoded, decode_all
from stream_app.scoring.ports import WorkingSet
from stream_app.scoring.positions import Position
from stream_app.scoring.publication import Output
from stream_app.scoring.scorer import Scorer
from tests.memory_store import MemoryStore
from tests.unit.delivery.world import Counted, Fussy
from tests.unit.scoring.test_scorer import FakeClock, FakeRecord, payment
from tests.waiting import DEADLINE_S

PARTITIONS = 4
POISON = 666


class Store(MemoryStore):
    """Notes which partitions are read together, and waits or fails where a test says."""

    def __init__(self) -> None:
        super().__init__()
        self.together: list[list[int]] = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.away = 0

    async def read(self, asked: Sequence[StateRequest]) -> WorkingSet:
        """See `ports.FeatureStore`."""
        self.together.append([one.state.number for one in asked])  # type: ignore[attr-defined]
        await self.go_on.wait()
        if self.away:
            self.away -= 1
            raise Unavailable("Redis did not answer.")
        return await super().read(asked)


async def scene(*poison: int) -> tuple[Store, Rounds, list[RoundPart]]:
    """A store that holds all partitions, and a payment of each; its amount is 10, or what is given for it."""
    store = Store()
    store.hold(range(PARTITIONS), PARTITIONS)
    scorer = Scorer(Fussy(frozenset({POISON})), Money("EUR"), Output("alerts", "scores"), FakeClock())
    parts = []
    for number in range(PARTITIONS):
        state, cursor = await store.take_over(number)
        await state.begin(msgspec.structs.replace(cursor, begun=True))
        amount = POISON if number in poison else 10
        message = payment(f"t{number}", amount, card_id=f"c{number}")
        record = FakeRecord(0, message["card_id"].encode(), msgspec.json.encode(message))
        batch = MicroBatch(decode_all([record], Decoder(Transaction, IntakeRules()), None), Decoded.of_none(), NextOffsets(1, None))
        parts.append(RoundPart(number, state, batch, Position(1, 0)))
    return store, Rounds(RoundDependencies(store, lambda: scorer, Money("EUR"), "transactions", Counted())), parts


async def turns() -> None:
    """Everything that can run now has run."""
    for _ in range(20):
        await asyncio.sleep(0)


async def all_of(held: Rounds, parts: Sequence[RoundPart]) -> list[Any]:
    """What became of each, all put at once."""

    async def one(part: RoundPart) -> RoundShare:
        try:
            return await held.decide(part)
        finally:
            held.written(part.number)

    return await asyncio.gather(*map(one, parts), return_exceptions=True)


def test_what_is_there_at_once_is_one_round() -> None:
    """Rule 1 of `rounds`: four partitions, one read; each has its own share."""

    async def body() -> None:
        store, held, parts = await scene()
        shares = await all_of(held, parts)
        assert store.together == [[0, 1, 2, 3]]
        assert [msgspec.json.decode(share.decided.messages[-1].value)["transaction_id"] for share in shares] == ["t0", "t1", "t2", "t3"]
        assert [[key for key, _ in share.packed] for share in shares] == [[f"c:c{n}", "t:t1"] for n in range(4)]

    asyncio.run(body())


def test_the_next_round_gathers_until_each_of_a_small_one_has_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 3 of `rounds`: what comes meanwhile, in whatever turns, is taken together when the last has written."""
    monkeypatch.setattr(rounds, "LATE_S", DEADLINE_S)

    async def body() -> None:
        store, held, parts = await scene()
        store.go_on.clear()
        first = [asyncio.create_task(held.decide(part)) for part in parts[:2]]
        await turns()
        later = []
        for part in parts[2:]:
            later.append(asyncio.create_task(held.decide(part)))
            await turns()
        store.go_on.set()
        await asyncio.gather(*first)
        held.written(0)
        await turns()
        assert store.together == [[0, 1]]
        held.written(1)
        await asyncio.gather(*later)
        assert store.together == [[0, 1], [2, 3]]

    asyncio.run(body())


def test_who_is_late_to_write_is_no_longer_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 3 of `rounds`: the others go on, and what the late one says at last ends no turn of theirs."""

    async def body() -> None:
        _, held, parts = await scene()
        monkeypatch.setattr(rounds, "LATE_S", 0.01)
        await held.decide(parts[0])
        second = asyncio.create_task(held.decide(parts[1]))
        monkeypatch.setattr(rounds, "LATE_S", DEADLINE_S)
        await asyncio.wait_for(second, DEADLINE_S)
        third = asyncio.create_task(held.decide(parts[2]))
        held.written(0)
        await turns()
        assert not third.done()
        held.written(1)
        assert isinstance(await third, RoundShare)

    asyncio.run(body())


def test_a_partition_that_was_let_go_of_says_so_and_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a round whose parts were all let go of before it began there is nobody to wait for."""
    monkeypatch.setattr(rounds, "LATE_S", DEADLINE_S)

    async def body() -> None:
        _, held, parts = await scene()
        task = asyncio.create_task(held.decide(parts[0]))
        await asyncio.sleep(0)
        task.cancel()
        await turns()
        await asyncio.wait_for(held.decide(parts[1]), DEADLINE_S / 2)

    asyncio.run(body())


def test_a_full_round_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 3 of `rounds`: each of these is full with one record; while the first waits for Redis the others are decided."""
    monkeypatch.setattr(rounds, "FULL", 1)

    async def body() -> None:
        _, held, parts = await scene()
        slow: Any = parts[0].state
        read, go_on = slow.read, asyncio.Event()

        async def waits(*asked: Any) -> WorkingSet:
            await go_on.wait()
            work: WorkingSet = await read(*asked)
            return work

        slow.read = waits
        first, *others = [asyncio.create_task(held.decide(part)) for part in parts]
        await asyncio.wait_for(asyncio.gather(*others), DEADLINE_S)
        assert not first.done()
        go_on.set()
        assert isinstance(await first, RoundShare)

    asyncio.run(body())


def test_a_record_that_breaks_the_program_fails_its_own_partition_alone() -> None:
    """Rule 2 of `rounds`: the others of its round have their shares, and nothing of the broken run."""

    async def body() -> None:
        _, held, parts = await scene(1)
        shares = await all_of(held, parts)
        assert [type(share) for share in shares] == [RoundShare, ZeroDivisionError, RoundShare, RoundShare]

    asyncio.run(body())


def test_a_partition_that_was_taken_over_is_lost_alone() -> None:
    """Rule 2 of `rounds`, of the read."""

    async def body() -> None:
        store, held, parts = await scene()
        await store.take_over(2)
        shares = await all_of(held, parts)
        assert [type(share) for share in shares] == [RoundShare, RoundShare, NotOwner, RoundShare]

    asyncio.run(body())


def test_a_store_that_is_away_is_waited_for_by_each() -> None:
    """The round fails once; then each waits by itself, as a partition alone would."""

    async def body() -> None:
        store, held, parts = await scene()
        store.away = 1
        slow: Any = parts[2].state
        read = slow.read
        failed: list[Any] = []

        async def away_once(*asked: Any) -> WorkingSet:
            if not failed:
                failed.append(asked)
                raise Unavailable("Redis did not answer.")
            work: WorkingSet = await read(*asked)
            return work

        slow.read = away_once
        assert all(isinstance(share, RoundShare) for share in await all_of(held, parts))
        assert failed

    asyncio.run(body())


def test_decisions_that_stand_are_a_round_of_their_own() -> None:
    """Rule 4 of `rounds`: what was published of one partition says nothing of another's payments at the same offsets."""

    async def body() -> None:
        store, held, parts = await scene()
        stands = RoundPart(0, parts[0].state, parts[0].batch, parts[0].reached, 0, AlreadyPublished(Position(1, 0)))
        first, *others = await all_of(held, [stands, *parts[1:]])
        assert store.together == [[1, 2, 3]]
        assert (first.decided.counts, first.decided.messages) == ({"rebuilt": 1, "labels": 0}, [])
        assert all(share.decided.counts["scored"] == 1 for share in others)

    asyncio.run(body())


def test_what_one_partition_lacks_makes_no_other_of_its_round_degraded() -> None:
    """Lost state of partition 2 was rebuilt from topics that keep too little: its decisions alone say so, and are counted so."""

    async def body() -> None:
        _, held, parts = await scene()
        parts[2] = replace(parts[2], full_from_ms=2**60)
        shares = await all_of(held, parts)
        told = [msgspec.json.decode(share.decided.messages[-1].value)["degraded"] for share in shares]
        assert [reason is not None for reason in told] == [False, False, True, False]
        assert [share.decided.counts["degraded"] for share in shares] == [0, 0, 1, 0]

    asyncio.run(body())


def test_who_was_let_go_of_before_its_round_began_is_left_out_of_it() -> None:
    """And who was let go of within it gets nothing; the others go on."""

    async def body() -> None:
        store, held, parts = await scene()
        store.go_on.clear()
        tasks = [asyncio.create_task(held.decide(part)) for part in parts[:2]]
        await turns()
        tasks += [asyncio.create_task(held.decide(part)) for part in parts[2:]]
        await turns()
        tasks[0].cancel()
        tasks[3].cancel()
        store.go_on.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert store.together == [[0, 1]], "2 waited with 3, and is a round of its own now"
        assert [isinstance(share, RoundShare) for share in found] == [False, True, True, False]

    asyncio.run(body())


def test_giving_up_ends_what_is_under_way() -> None:
    """All partitions were let go of: no round goes on beside their next owner's."""

    async def body() -> None:
        store, held, parts = await scene()
        store.go_on.clear()
        tasks = [asyncio.create_task(held.decide(part)) for part in parts]
        await turns()
        for task in tasks:
            task.cancel()
        await held.give_up()
        assert asyncio.all_tasks() - {asyncio.current_task()} <= set(tasks)
        store.go_on.set()
        assert isinstance(await held.decide(parts[0]), RoundShare), "the next owner's first round"

    asyncio.run(body())
