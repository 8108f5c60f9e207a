"""What the workers of a lane left in its topics, raw."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.faults.points import BY
from tests.faults.rulings import Books
from tests.faults.scene import PARTITIONS, Scene

type Copies = dict[tuple[str, str], list[Any]]
"""Raw copies of each output, by topic and name, in the order of the log. A decision's name is its card and transaction."""


async def outputs(scene: Scene) -> Copies:
    """Everything in the output topics."""
    inputs = {scene.settings.transactions_topic, scene.settings.labels_topic}
    found: Copies = {}
    async with reader(scene) as consumer:
        places = [TopicPartition(topic, partition) for topic in scene.settings.topics() for partition in range(PARTITIONS)]
        _check_ledger(scene, await consumer.end_offsets(places))
        async for record in whole(consumer, [at for at in places if at.topic not in inputs]):
            found.setdefault((record.topic, _id(scene, record)), []).append(record)
    return found


def reader(scene: Scene) -> AIOKafkaConsumer:
    """A consumer of the lane's topics. Nothing is at the end of a topic by default: on a busy machine that came before the seek to its beginning."""
    return AIOKafkaConsumer(bootstrap_servers=scene.ground.addresses.kafka, max_poll_records=5000, auto_offset_reset="earliest")


async def books(scene: Scene) -> Books:
    """What rules and lists were, at every offset."""
    topics = scene.settings.rule_topics()
    async with reader(scene) as consumer:
        read = [
            [(record.offset, msgspec.json.decode(record.value)) async for record in whole(consumer, [TopicPartition(topic, 0)])]
            for topic in topics
        ]
    return Books(*read)


async def whole(consumer: AIOKafkaConsumer, places: Sequence[TopicPartition]) -> AsyncIterator[Any]:
    """All records of these places, up to the ends that they have now."""
    ends = await consumer.end_offsets(places)
    consumer.assign(places)
    await consumer.seek_to_beginning(*places)
    while open_ := [at for at in places if await consumer.position(at) < ends[at]]:
        for records in (await consumer.getmany(*open_, timeout_ms=500)).values():
            for record in records:
                yield record


def _check_ledger(scene: Scene, ends: Mapping[TopicPartition, int]) -> None:
    names = {"transactions": scene.settings.transactions_topic, "labels": scene.settings.labels_topic}
    for (kind, partition), end in scene.ledger.ends().items():
        if ends[TopicPartition(names[kind], partition)] != end:
            raise AssertionError(f"the ledger has {end} {kind} of partition {partition}, Kafka has another number: the suite is wrong")


def _id(scene: Scene, record: Any) -> str:
    if record.topic in {scene.settings.transactions_dlq_topic, scene.settings.labels_dlq_topic}:
        headers = {name: value.decode() for name, value in record.headers}
        return f"{headers['source.partition']}/{headers['source.offset']}"
    message = msgspec.json.decode(record.value)
    return name_of(message["card_id"], message["transaction_id"])


def name_of(card: str, transaction_id: str) -> str:
    """What a decision is called here."""
    return f"{card}/{transaction_id}"


def headers_of(copy: Any) -> dict[str, bytes]:
    """The headers of a record."""
    return dict(copy.headers)


def publisher(copy: Any) -> str:
    """The worker that published it."""
    return headers_of(copy).get(BY, b"").decode()


def is_late(scene: Scene, copy: Any, copies: Sequence[Any]) -> bool:
    """Whether a worker published it that had been stopped, and another had gone on meanwhile.

    Another's copy tells as well as the time does: what waited in a worker when it was stopped keeps the time that it had.
    """
    resumed_ms, by = scene.fleet.stale().get(publisher(copy)), publisher(copy)
    return resumed_ms is not None and (bool(copy.timestamp >= resumed_ms) or any(publisher(other) != by for other in copies))
