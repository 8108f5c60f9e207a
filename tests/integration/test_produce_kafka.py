"""`produce` against real Kafka: everything arrives once, keyed, in the order of its card, in the partition Kafka's own clients choose."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.partitioner import DefaultPartitioner

from stream_app.commands.produce import ReplayTopics, produce_to_kafka
from stream_app.commands.replay import Pace, Tally, replay_of
from stream_app.errors import TopologyError, Unavailable
from tests.e2e.kafka import make_topic
from training.data.simulate import Simulation, simulate

if TYPE_CHECKING:
    import pandas as pd

pytestmark = pytest.mark.servers


def ignore(_tally: Tally) -> None:
    """Show nothing."""


async def create(servers: str, partitions: dict[str, int]) -> None:
    """Create topics."""
    for name, number in partitions.items():
        await make_topic(servers, name, number)


async def read(servers: str, topic: str, partitions: int) -> list[Any]:
    """All records of a topic, partition by partition."""
    consumer = AIOKafkaConsumer(bootstrap_servers=servers)
    await consumer.start()
    try:
        own = [TopicPartition(topic, number) for number in range(partitions)]
        consumer.assign(own)
        await consumer.seek_to_beginning(*own)
        left = sum((await consumer.end_offsets(own)).values())
        records: list[Any] = []
        while len(records) < left:
            for batch in (await consumer.getmany(timeout_ms=1000)).values():
                records += batch
        return records
    finally:
        await consumer.stop()


@pytest.fixture
def topics() -> ReplayTopics:
    """Names of this test alone."""
    unique = uuid.uuid4().hex[:8]
    return ReplayTopics(f"transactions-{unique}", f"labels-{unique}")


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Some 19,000 transactions of 200 cards."""
    return simulate(Simulation(customers=200, terminals=400, days=50))


def test_a_replay_arrives_whole_and_in_the_order_of_each_card(stack: Any, topics: ReplayTopics, frame: pd.DataFrame) -> None:
    """Each transaction and label once; key, partition and order as the contract says; the records are dated now."""

    async def scenario() -> tuple[Tally, list[Any], list[Any]]:
        tally = Tally()
        await create(stack.kafka, {topics.transactions: 4, topics.labels: 4})
        await produce_to_kafka(replay_of(frame), {"bootstrap_servers": stack.kafka}, topics, Pace(), tally, ignore)
        return tally, await read(stack.kafka, topics.transactions, 4), await read(stack.kafka, topics.labels, 4)

    before_ms = time.time() * 1000
    tally, transactions, labels = asyncio.run(scenario())
    assert (tally.transactions, tally.labels) == (len(frame), frame["is_fraud"].sum())
    assert (tally.acknowledged, tally.failed) == (len(frame) + tally.labels, 0)
    messages = [json.loads(record.value) for record in transactions]
    assert sorted(message["transaction_id"] for message in messages) == frame["transaction_id"].tolist()
    assert len({json.loads(record.value)["transaction_id"] for record in labels}) == len(labels) == tally.labels
    choose = DefaultPartitioner()
    times: dict[str, int] = {}
    for record, message in zip(transactions, messages, strict=True):
        assert record.key == message["card_id"].encode()
        assert record.partition == choose(record.key, [0, 1, 2, 3], [0, 1, 2, 3])
        assert record.timestamp >= before_ms - 1000
        assert message["event_time"] >= times.get(message["card_id"], 0)
        times[message["card_id"]] = message["event_time"]


def test_a_rate_is_kept(stack: Any, topics: ReplayTopics, frame: pd.DataFrame) -> None:
    """2,000 transactions at 1,000 a second take two seconds, on a busy machine more."""

    async def scenario() -> Tally:
        tally = Tally()
        await create(stack.kafka, {topics.transactions: 2, topics.labels: 2})
        replay = replay_of(frame, limit=2000)
        await produce_to_kafka(replay, {"bootstrap_servers": stack.kafka}, topics, Pace(rate=1000), tally, ignore)
        return tally

    tally = asyncio.run(scenario())
    assert tally.transactions == 2000
    assert tally.seconds > 1.9


def test_topics_that_are_missing_or_differ_are_named(
    stack: Any, topics: ReplayTopics, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent; and no topic is asked for by its name, which creates it where brokers are set so, with a number of partitions of theirs."""
    asked, describe = list[Any](), AIOKafkaAdminClient.describe_topics

    async def noted(admin: AIOKafkaAdminClient, *names: Any) -> list[Any]:
        asked.extend(names)
        found: list[Any] = await describe(admin, *names)
        return found

    async def scenario() -> None:
        tally, client = Tally(), {"bootstrap_servers": stack.kafka}
        replay = replay_of(frame, limit=10)
        for _ in range(2):
            with pytest.raises(TopologyError, match=f"{topics.transactions}.*fraudstream topics"):
                await produce_to_kafka(replay, client, topics, Pace(), tally, ignore)
        await create(stack.kafka, {topics.transactions: 4, topics.labels: 2})
        with pytest.raises(TopologyError, match="number of partitions"):
            await produce_to_kafka(replay, client, topics, Pace(), tally, ignore)
        assert tally == Tally()

    monkeypatch.setattr(AIOKafkaAdminClient, "describe_topics", noted)
    asyncio.run(scenario())
    assert asked == []


def test_a_kafka_that_does_not_answer_is_named(frame: pd.DataFrame, topics: ReplayTopics) -> None:
    """With the setting that says where it is."""
    client = {"bootstrap_servers": "127.0.0.1:9"}
    with pytest.raises(Unavailable, match="FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS"):
        asyncio.run(produce_to_kafka(replay_of(frame, limit=1), client, topics, Pace(), Tally(), ignore))
