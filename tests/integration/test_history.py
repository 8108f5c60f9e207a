"""History out of the real Redis: what a request sees is what a worker would see, and looking changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_app.adapters.redis.state_reader import RedisStateReader
from stream_app.adapters.redis.store import RedisStore
from stream_app.bootstrap_state import state_kept
from stream_app.delivery.ports import PartitionState
from stream_app.errors import AlreadyCounted, NotFound, Unavailable
from stream_app.features.entities import KEPT_BY_DEFAULT
from stream_app.features.kept_tiles import NOTHING, goes_on, kept_layouts, kept_text
from stream_app.messages.alert import Score
from stream_app.messages.money import Money
from stream_app.messages.transaction import Transaction
from stream_app.scoring.intake import Decoded, merge
from stream_app.scoring.online_scoring import OnlineScoring
from stream_app.scoring.positions import Cursor, Position
from stream_app.scoring.publication import Output
from stream_app.scoring.scorer import Scorer
from stream_app.scoring.state_reader import StateQuery
from stream_app.settings import load_settings
from tests.examples import examples
from tests.later import later, later_cursor
from tests.named_ids import ids_of
from tests.redis_cluster import Client, client_of, values_of
from tests.unit.scoring.test_scorer import START, FakeClock, FakeModel

PARTITIONS = 3
HOUR = 3_600_000


def transaction(id_: str, card: str, terminal: str, hour: int, amount: float = 10.0) -> Transaction:
    """A payment, so many hours after the start."""
    return Transaction(id_, START + hour * HOUR, card, terminal, amount, "EUR")


@dataclass
class Bank:
    """A worker that holds every partition of a group, and the API beside it."""

    redis: Client
    group: str
    states: dict[int, tuple[PartitionState, Cursor]]
    history: RedisStateReader
    scorer: Scorer
    online: OnlineScoring

    async def count(self, partition: int, payments: list[Transaction]) -> list[Score]:
        """The worker takes payments of a partition; what it decides."""
        state, cursor = self.states[partition]
        intake = merge(
            Decoded(payments, [], list(range(len(payments))), [p.event_time for p in payments], []), Decoded.of_none(), Money("EUR")
        )
        work = await state.read(intake.ids)
        decided = self.scorer.decide(intake, work, ("transactions", partition))
        cursor = msgspec.structs.replace(cursor, transactions=cursor.transactions + len(payments))
        await state.write(state.pack(work, cursor.position), cursor)
        self.states[partition] = state, cursor
        return [msgspec.json.decode(m.value or b"", type=Score) for m in decided.messages if m.topic == "scores"]

    async def everything(self) -> Mapping[bytes, Any]:
        """Every key of the group, and its value."""
        keys = [key async for key in self.redis.scan_iter(f"{{{self.group}:*")]
        values = await values_of(self.redis, keys)
        return dict(zip(keys, values, strict=True))


@asynccontextmanager
async def bank(url: str, group: str, model: FakeModel | None = None) -> AsyncIterator[Bank]:
    """A bank with state of its own, empty."""
    redis, store, history = client_of(url), RedisStore(url, group), RedisStateReader(url, group)
    await redis.unlink(*([key async for key in redis.scan_iter(f"{{{group}:*")] or [f"{{{group}:none}}"]))
    store.hold(range(PARTITIONS), PARTITIONS)
    states = {}
    for partition in range(PARTITIONS):
        state, cursor = await store.take_over(partition)
        cursor = msgspec.structs.replace(cursor, begun=True, partitions=PARTITIONS)
        await state.begin(cursor)
        states[partition] = state, cursor
    scorer = Scorer(model or FakeModel(), Money("EUR"), Output("alerts", "scores"), FakeClock())
    try:
        yield Bank(redis, group, states, history, scorer, OnlineScoring(lambda: scorer, history, Money("EUR")))
    finally:
        await store.close()
        await history.close()
        await redis.aclose()


def run(url: str, group: str, test: Any) -> None:
    """Run a test in a bank."""

    async def whole() -> None:
        async with bank(url, group) as there:
            await test(there)

    asyncio.run(whole())


def decided(score: Any) -> dict[str, Any]:
    """What a decision says, but where and when."""
    fields = ("transaction_id", "score", "threshold", "action", "case_id", "model", "reasons", "degraded", "features")
    return {name: getattr(score, name) for name in fields}


PAYMENTS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(0, 200), st.sampled_from([5.0, 300.0, 950.0])), min_size=1, max_size=25
)


def test_a_request_sees_what_the_worker_sees_and_changes_nothing(redis_url: str, unique: str) -> None:
    """Before each payment is counted, the API is asked: the worker then decides the same. Cards lie in partitions of no partitioner's choice."""

    @settings(examples(15), suppress_health_check=list(HealthCheck))
    @given(PAYMENTS)
    def same(payments: list[tuple[int, int, int, float]]) -> None:
        async def asked_before_counted(there: Bank) -> None:
            for n, (card, terminal, hour, amount) in enumerate(payments):
                tx = transaction(f"t{n}", f"c{card}", f"t{terminal}", hour, amount)
                before = await there.everything()
                stood = ",".join(f"{c.transactions}:{c.labels}" for _, c in (there.states[p] for p in range(PARTITIONS)))
                _, answer, seen = await there.online.decide(tx)
                assert seen == (("source.seen", stood.encode()),)
                assert await there.everything() == before
                (score,) = await there.count(card * 7 % PARTITIONS, [tx])
                assert decided(answer) == decided(score)
                with pytest.raises(AlreadyCounted):
                    await there.online.decide(tx)

        run(redis_url, unique, asked_before_counted)

    same()


def test_a_terminal_is_the_sum_over_partitions_and_a_card_is_where_it_is(redis_url: str, unique: str) -> None:
    """Three cards in three partitions pay at one terminal; what is unknown is not found."""

    async def look(there: Bank) -> None:
        for partition in range(PARTITIONS):
            await there.count(partition, [transaction(f"a{partition}", f"c{partition}", "t1", partition)])
        card = await there.online.look_up("card", "c2", None)
        assert (card.partition, card.at, card.features["card_count_1d"]) == (2, START + 2 * HOUR, 1)
        terminal = await there.online.look_up("terminal", "t1", START + 8 * 24 * HOUR)
        assert (terminal.partition, terminal.features["terminal_count_7d_delay_7d"]) == (None, 3)
        assert (await there.online.look_up("card", "c2", START + 30 * HOUR)).features["card_count_1d"] == 0
        for entity in ("card", "terminal"):
            with pytest.raises(NotFound):
                await there.online.look_up(entity, "nobody", None)

    run(redis_url, unique, look)


def test_doubts_are_told(redis_url: str, unique: str) -> None:
    """No state at all, a partition that is rebuilt, a damaged part, windows that are not full."""

    async def doubt(there: Bank) -> None:
        nothing = RedisStateReader(redis_url, f"{unique}-none")
        assert "no worker has written" in str((await nothing.read([StateQuery(ids_of(["c"], ["t"], []))])).work.seen[0].degraded)
        await nothing.close()
        await there.count(0, [transaction("a", "c1", "t1", 0)])
        assert (await there.history.read([StateQuery(ids_of(["c1"], ["t1"], []), START)])).work.seen[0].degraded is None
        cursor = f"{{{there.group}:1}}cursor"
        kept: Any = await there.redis.get(cursor)
        rebuilding = msgspec.structs.replace(there.states[1][1], decided=Position(5, 0))
        await there.redis.set(cursor, msgspec.json.encode(rebuilding))
        assert (await there.history.read([StateQuery(ids_of(["c1"], ["t1"], []))])).work.seen[
            0
        ].degraded == "the state of partition 1 is being rebuilt"
        await there.redis.set(cursor, kept)
        await there.redis.set(f"{{{there.group}:2}}t:t1", b"garbage")
        assert (await there.history.read([StateQuery(ids_of(["c1"], ["t1"], []))])).work.seen[
            0
        ].degraded == "the state of partition 2 is being rebuilt"
        await there.redis.delete(f"{{{there.group}:2}}t:t1")
        unfilled = msgspec.structs.replace(there.states[0][1], full_from_ms=START + HOUR)
        await there.redis.set(f"{{{there.group}:0}}cursor", msgspec.json.encode(unfilled))
        assert "they are full from 2018-04-01" in str(
            (await there.history.read([StateQuery(ids_of(["c1"], ["t1"], []), START)])).work.seen[0].degraded
        )
        assert (await there.history.read([StateQuery(ids_of(["c1"], ["t1"], []), START + HOUR)])).work.seen[0].degraded is None

    run(redis_url, unique, doubt)


def test_what_a_later_version_wrote_is_left_out_and_told(redis_url: str, unique: str) -> None:
    """A card, a part of a terminal, a cursor: each says which partition, none is called damaged, and the number of partitions is known by any cursor."""

    async def doubt(there: Bank) -> None:
        await there.count(0, [transaction("a", "c1", "t1", 0)])
        await there.count(1, [transaction("b", "c2", "t1", 0)])
        newer = "a later version wrote state of partition {}, which this one cannot go on with".format
        for partition, name, change in ((0, "c:c1", later), (1, "t:t1", later), (2, "cursor", later_cursor)):
            key = f"{{{there.group}:{partition}}}{name}"
            kept: Any = await there.redis.get(key)
            await there.redis.set(key, change(kept))
            seen = await there.history.read([StateQuery(ids_of(["c1"], ["t1"], []), START)])
            assert seen.work.seen[0].degraded == newer(partition)
            await there.redis.set(key, kept)
        keys = [f"{{{there.group}:{p}}}cursor" for p in range(PARTITIONS)]
        for key in keys:
            cursor: Any = await there.redis.get(key)
            await there.redis.set(key, later_cursor(cursor))
        fresh = RedisStateReader(redis_url, there.group)
        assert (await fresh.read([StateQuery(ids_of(["c1"], ["t1"], []), START)])).work.seen[0].degraded == newer(
            ", ".join(map(str, range(PARTITIONS)))
        )
        await fresh.close()

    run(redis_url, unique, doubt)


def test_those_that_are_read_together_see_what_each_sees_alone(redis_url: str, unique: str) -> None:
    """Cards of all partitions at two terminals; of one terminal a part is damaged, and of another a later version's: who pays there is told, nobody else."""

    async def together(there: Bank) -> None:
        for n in range(6):
            await there.count(n % PARTITIONS, [transaction(f"a{n}", f"c{n}", f"t{n % 3}", n)])
        asked = [transaction(f"b{n}", f"c{n}", f"t{n % 3}", 8) for n in range(6)] + [transaction("new", "c9", "t9", 8)]
        for damage in (None, *((f"{{{there.group}:{p}}}t:t{p}", how) for p, how in ((0, lambda _: b"garbage"), (1, later)))):
            if damage is not None:
                key, how = damage
                kept: Any = await there.redis.get(key)
                await there.redis.set(key, how(kept))
            alone = [decided((await there.online.decide(tx)).decision) for tx in asked]
            answers = [one.decision for one in await asyncio.gather(*map(there.online.decide, asked))]
            assert [decided(answer) for answer in answers] == alone
        assert [answer.degraded is not None for answer in answers] == [True, True, False, True, True, False, False]

    run(redis_url, unique, together)


def test_a_card_that_two_partitions_know_is_the_newer_one(redis_url: str, unique: str) -> None:
    """Its producer changed the partitioner; the older state is history."""

    async def moved(there: Bank) -> None:
        await there.count(0, [transaction("a", "c1", "t1", 0)])
        await there.count(2, [transaction("b", "c1", "t1", 5)])
        assert (await there.online.look_up("card", "c1", None)).partition == 2

    run(redis_url, unique, moved)


def test_a_promotion_asks_every_partition_what_it_keeps(redis_url: str, unique: str) -> None:
    """Of each as its cursor says; of one that does not say it, or is a later version's, nothing; where no worker was, of none; without Redis it says so."""
    kept = goes_on(NOTHING, kept_layouts(KEPT_BY_DEFAULT), START)

    async def leave(there: Bank) -> None:
        told = msgspec.structs.replace(there.states[0][1], kept=kept_text(kept))
        silent = msgspec.structs.replace(told, kept="")
        values = [msgspec.json.encode(told), msgspec.json.encode(silent), later_cursor(msgspec.json.encode(told))]
        for partition, value in enumerate(values):
            await there.redis.set(f"{{{there.group}:{partition}}}cursor", value)

    run(redis_url, unique, leave)
    assert list(state_kept(load_settings(redis_url=redis_url, consumer_group=unique))) == [kept, None, None]
    assert state_kept(load_settings(redis_url=redis_url, consumer_group=f"{unique}-none")) == []
    with pytest.raises(Unavailable):
        state_kept(load_settings(redis_url="redis://localhost:1/0"))
