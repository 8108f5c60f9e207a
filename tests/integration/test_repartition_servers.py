"""Two partitions become four on a real Kafka and a real Redis; what is counted afterwards is held against brute force."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from stream_app.adapters.kafka.log import KafkaLog
from stream_app.adapters.kafka.partitioners import by_murmur2
from stream_app.adapters.kafka.publisher import KafkaPublisher
from stream_app.adapters.kafka.topics import create_topics, partition_counts
from stream_app.adapters.redis.store import RedisStore
from stream_app.bootstrap import SystemClock, topics_of
from stream_app.commands.repartition import repartition
from stream_app.delivery.inbox import Fetched, KnownEnd
from stream_app.delivery.outputs import Outputs
from stream_app.delivery.partition import Partition, PartitionDependencies
from stream_app.delivery.rounds import RoundDependencies, Rounds
from stream_app.delivery.takeover import Takeover
from stream_app.delivery.trusted_clock import TrustedClock
from stream_app.errors import ClockBehind, TopologyError
from stream_app.features.plan import CARD_HEADER, HEADER, LAST, NEWEST, Ints, RowLayout
from stream_app.messages.money import Money
from stream_app.messages.transaction import IntakeRules
from stream_app.scoring.ports import WorkingSet
from stream_app.scoring.positions import Cursor
from stream_app.scoring.publication import Output
from stream_app.scoring.scorer import Scorer
from stream_app.settings import Settings, load_settings
from tests.faults.oracle import LAYOUTS, Tally, _facts
from tests.named_ids import ids_of
from tests.servers import Servers
from tests.topics import records_of
from tests.unit.delivery.world import Counted
from tests.unit.scoring.test_scorer import FakeClock, FakeModel, payment
from tests.waiting import DEADLINE_S

pytestmark = pytest.mark.servers
HOUR = 3_600_000
CARDS = [f"c{n}" for n in range(40)]
TERMINALS = [f"t{n}" for n in range(5)]
PAYMENTS = [payment(f"T{n}", 20.0 + n % 7, n * HOUR // 2, card_id=CARDS[n * 7 % 40], terminal_id=TERMINALS[n * 3 % 5]) for n in range(400)]
DECIDED, BEFORE = 250, 300
"""Payments that the old group decided, and that were published before partitions were added."""


def of(stack: Servers, unique: str) -> Settings:
    """Settings of the old group."""
    names = {f"{t}_topic": f"{t}-{unique}" for t in ("transactions", "labels", "alerts", "scores", "transactions_dlq", "labels_dlq")}
    return load_settings(kafka_bootstrap_servers=stack.kafka, redis_url=stack.redis, consumer_group=f"old-{unique}", **names)


async def publish(settings: Settings, payments: list[dict[str, Any]]) -> None:
    """With the partitioner that producers have by default."""
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap_servers) as producer:
        for p in payments:
            value, key = msgspec.json.encode(p), p["card_id"].encode()
            await producer.send(settings.transactions_topic, value, key=key, timestamp_ms=p["event_time"])
        await producer.flush()


async def decided_by_the_old_group(settings: Settings, log: KafkaLog, offsets: Mapping[int, int]) -> None:
    """Its cursors as they stand after these transactions."""
    store, names = RedisStore(settings.redis_url, settings.consumer_group), topics_of(settings).read
    ids = dict(await log.topic_ids(names))
    store.hold([0, 1], 2)
    for number, offset in offsets.items():
        state, found = await store.take_over(number)
        await state.begin(Cursor(found.owner, offset, topic_ids=ids, partitions=2))
    await store.close()


async def grow(settings: Settings) -> None:
    """Four partitions of every topic."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap_servers)
    await admin.start()
    await admin.create_partitions({topic: NewPartitions(total_count=4) for topic in settings.topics()})
    await admin.close()
    async with asyncio.timeout(DEADLINE_S):
        while set((await partition_counts({"bootstrap_servers": settings.kafka_bootstrap_servers}, settings.topics())).values()) != {4}:  # noqa: ASYNC110 - Kafka tells nobody
            await asyncio.sleep(0.05)


async def decide_the_rest(settings: Settings, store: RedisStore, log: KafkaLog) -> Counter[str]:
    """The new group's partitions, one after the other; how often each transaction was decided."""
    topics = topics_of(settings)
    publisher = KafkaPublisher({"bootstrap_servers": settings.kafka_bootstrap_servers})
    await publisher.start()
    outputs = Outputs(log)
    takeover = Takeover(store, log, outputs, topics, FakeClock())
    bounds = await log.bounds([(t, n) for t in topics.read for n in range(4)])
    scorer = Scorer(FakeModel(), Money("EUR"), Output(topics.alerts, topics.scores), FakeClock())
    dependencies = PartitionDependencies(
        Rounds(RoundDependencies(store, lambda: scorer, Money("EUR"), topics.transactions, Counted())),
        lambda t, n: KnownEnd(bounds[t, n].end, 0),
        publisher,
        takeover,
        outputs,
        Counted(),
        topics,
        IntakeRules(),
        TrustedClock(FakeClock()),
        Money("EUR"),
        50,
    )
    all_taken = [await takeover.of(number, 4) for number in range(4)]
    for number, taken in enumerate(all_taken):
        partition, place = Partition(number, taken, dependencies), (topics.transactions, number)
        if records := (await records_of(log, {place: taken.cursor.transactions}))[place]:
            partition.put(topics.transactions, Fetched(records, lambda: None))
        task = asyncio.create_task(partition.run())
        async with asyncio.timeout(DEADLINE_S):
            while not task.done() and partition.cursor.transactions < bounds[place][1]:  # noqa: ASYNC110 - one look a batch
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await publisher.stop()
    scores = await records_of(log, {(topics.scores, n): 0 for n in range(4)})
    return Counter(msgspec.json.decode(r.value or b"")["transaction_id"] for records in scores.values() for r in records)


def brute_force(layout: RowLayout, entity: str, name: str) -> Ints:
    """The row of a card or terminal that was never anywhere else, as far as sums go."""
    tally = Tally(layout)
    for p in PAYMENTS:
        if p[entity] == name:
            tally.count(p["event_time"], round(p["amount"] * 100), _facts(p))
    return tally.row()


def sums(row: Ints, header: int) -> Ints:
    """What features are made from."""
    return np.concatenate([row[[NEWEST, LAST]], row[header:]])


def test_after_the_change_everything_is_decided_once_and_counted_as_if_there_had_been_none(
    stack: Servers, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 400 payments 250 were decided when partitions were added, 50 had been published and not decided, 100 came later."""

    async def change() -> tuple[Counter[str], WorkingSet, dict[str, WorkingSet]]:
        old = of(stack, unique)
        new = old.model_copy(update={"consumer_group": f"new-{unique}"})
        options = {"bootstrap_servers": stack.kafka}
        logs = KafkaLog(options, old.consumer_group), KafkaLog(options, new.consumer_group)
        await create_topics(options, old, partitions=2)
        await publish(old, PAYMENTS[:DECIDED])
        ends = await logs[0].bounds([(old.transactions_topic, n) for n in (0, 1)])
        await decided_by_the_old_group(old, logs[0], {n: end for (_, n), (_, end) in ends.items()})
        await publish(old, PAYMENTS[DECIDED:BEFORE])
        await grow(old)
        await publish(old, PAYMENTS[BEFORE:])
        consumer = AIOKafkaConsumer(old.transactions_topic, **options, group_id=old.consumer_group, enable_auto_commit=False)
        async with consumer:
            with pytest.raises(TopologyError, match="has 1 members"):
                await repartition(old, new)
        with pytest.raises(TopologyError, match="--partitioner murmur2"):
            await repartition(old, new, "crc32")
        with monkeypatch.context() as slow:
            slow.setattr(SystemClock, "now_ms", lambda _: round(time.time() * 1000) - 2 * HOUR)
            with pytest.raises(ClockBehind, match="7,200 s behind that of Redis"):
                await repartition(old, new)
        done = await repartition(old, new)
        assert done.counted == DECIDED
        assert 0 < done.strays < BEFORE - DECIDED
        store = RedisStore(new.redis_url, new.consumer_group)
        store.hold(range(4), 4)
        times = await decide_the_rest(new, store, logs[1])
        states = [(await store.take_over(n))[0] for n in range(4)]
        terminals = await states[0].read(ids_of([], TERMINALS, []))
        cards = {card: await states[by_murmur2(card.encode(), 4)].read(ids_of([card], [], [])) for card in CARDS}
        await store.close()
        return times, terminals, cards

    times, terminals, cards = asyncio.run(change())
    assert times == Counter(p["transaction_id"] for p in PAYMENTS[DECIDED:])
    for card, work in cards.items():
        found = work.rows[0].own[work.rows[0].own_at[0]]
        assert np.array_equal(sums(found, CARD_HEADER), sums(brute_force(LAYOUTS["card"], "card_id", card), CARD_HEADER)), card
    for n, terminal in enumerate(TERMINALS):
        found = terminals.rows[1].total[terminals.rows[1].total_at[n]]
        assert np.array_equal(sums(found, HEADER), sums(brute_force(LAYOUTS["terminal"], "terminal_id", terminal), HEADER)), terminal
