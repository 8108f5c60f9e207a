"""Records to and from one partition of a real topic, and messages to put into them."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.waiting import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NOW_MS = int(time.time() * 1000)
TRANSACTION = {"transaction_id": "T1", "event_time": NOW_MS, "card_id": "C1", "terminal_id": "M1", "amount": 12.5, "currency": "EUR"}
LABEL = {k: TRANSACTION[k] for k in ("transaction_id", "event_time", "card_id", "terminal_id", "amount")} | {
    "is_fraud": True,
    "labelled_at": NOW_MS,
}


def raw(good: dict[str, Any], **changes: Any) -> bytes:
    """The JSON of a valid message, changed; `...` leaves a field out."""
    return json.dumps({k: v for k, v in (good | changes).items() if v is not ...}).encode()


async def make_topic(servers: str, name: str, partitions: int, configs: Mapping[str, str] | None = None) -> None:
    """Create a topic; every command finds it when this returns."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=dict(configs or {}))])
        async with asyncio.timeout(DEADLINE_S):
            while name not in await admin.list_topics():  # noqa: ASYNC110 - Kafka tells nobody
                await asyncio.sleep(0.05)
    finally:
        await admin.close()


async def publish(servers: str, topic: str, records: Sequence[tuple[bytes | None, bytes | None]]) -> None:
    """Publish all to partition 0, in order."""
    producer = AIOKafkaProducer(bootstrap_servers=servers)
    await producer.start()
    try:
        for sent in [await producer.send(topic, value, key=key, partition=0) for key, value in records]:
            await sent
    finally:
        await producer.stop()


async def read(servers: str, topic: str, count: int) -> list[Any]:
    """The first `count` records of partition 0."""
    at = TopicPartition(topic, 0)
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, auto_offset_reset="earliest")
    consumer.assign([at])
    await consumer.start()
    try:
        records: list[Any] = []
        async with asyncio.timeout(DEADLINE_S):
            while len(records) < count:
                records += (await consumer.getmany(at, timeout_ms=200)).get(at, [])
        return records
    finally:
        await consumer.stop()
