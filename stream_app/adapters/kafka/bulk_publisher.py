"""Records published in bulk, for a replay: batches are built here and sent whole, several times faster than aiokafka's own `send`."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache, partial
from typing import Any, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from stream_app.adapters.kafka.errors import answering
from stream_app.adapters.kafka.partitioners import by_murmur2
from stream_app.adapters.kafka.refusals import refusal
from stream_app.adapters.kafka.topics import partition_counts
from stream_app.errors import Refused, TopologyError

BATCH_BYTES = 131_072
MAX_IN_FLIGHT = 64
KEYS_REMEMBERED = 262_144
"""Whose partition need not be worked out again."""
_START = "Start it (`fraudstream local up`), or set FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS."


class Acknowledgements(Protocol):
    """Who is told what became of the records.

    Attributes:
        acknowledged, failed: how many.
        error: why the first of those failed.
        refused: whether trying again would change nothing about it.
    """

    acknowledged: int
    failed: int
    error: str
    refused: bool


class BulkPublisher:
    """Keys go to the partition that Kafka's own default partitioner (murmur2) would choose; records of a partition keep their order.

    At most `MAX_IN_FLIGHT` batches are not acknowledged, and at most one of a partition waits behind the one on its way: a slow broker makes
    `publish` wait.
    """

    def __init__(self, producer: AIOKafkaProducer, partitions: int, told: Acknowledgements) -> None:
        """Args: `partitions` of each topic."""
        self._producer = producer
        self._partition = lru_cache(KEYS_REMEMBERED)(partial(by_murmur2, partitions=partitions))
        self._told = told
        self._in_flight: set[asyncio.Future[Any]] = set()

    async def publish(self, topic: str, records: Sequence[tuple[bytes, bytes]]) -> None:
        """Queue records, key and value of each; those of one partition keep their order."""
        by_partition: defaultdict[int, list[tuple[bytes, bytes]]] = defaultdict(list)
        for record in records:
            by_partition[self._partition(record[0])].append(record)
        for partition, own in by_partition.items():
            batch = self._producer.create_batch()
            for key, value in own:
                if batch.append(key=key, value=value, timestamp=None) is None:
                    await self._send(batch, topic, partition)
                    batch = self._producer.create_batch()
                    batch.append(key=key, value=value, timestamp=None)
            await self._send(batch, topic, partition)

    async def flush(self) -> None:
        """Wait until every batch is acknowledged or has failed."""
        if self._in_flight:
            await asyncio.wait(self._in_flight)

    async def _send(self, batch: Any, topic: str, partition: int) -> None:
        while len(self._in_flight) >= MAX_IN_FLIGHT:
            await asyncio.wait(self._in_flight, return_when=asyncio.FIRST_COMPLETED)
        number = batch.record_count()
        try:
            future = await self._producer.send_batch(batch, topic, partition=partition)
        except KafkaError as error:
            self._fail(number, error)
            return
        self._in_flight.add(future)
        future.add_done_callback(lambda done: self._done(done, number))

    def _done(self, future: asyncio.Future[Any], number: int) -> None:
        self._in_flight.discard(future)
        error = future.exception()
        if error is None:
            self._told.acknowledged += number
        else:
            self._fail(number, error)

    def _fail(self, number: int, error: BaseException) -> None:
        self._told.failed += number
        if not self._told.error:
            refused = refusal(error, "WRITE")
            self._told.error, self._told.refused = str(refused or error) or type(error).__name__, isinstance(refused, Refused)


@asynccontextmanager
async def bulk_publisher(client: Mapping[str, Any], topics: Sequence[str], told: Acknowledgements) -> AsyncIterator[BulkPublisher]:
    """A publisher to these topics, idempotent, acks=all; `client` is what `options.client_options` returns.

    Raises:
        Unavailable, NoAccess, Refused: Kafka does not answer, or refuses.
        TopologyError: a topic is missing, or they have different numbers of partitions.
    """
    producer = AIOKafkaProducer(**client, acks="all", enable_idempotence=True, max_batch_size=BATCH_BYTES)
    try:
        with answering(_START, "WRITE"):
            await producer.start()
        yield BulkPublisher(producer, await _partitions(client, topics), told)
    finally:
        await producer.stop()


async def _partitions(client: Mapping[str, Any], topics: Sequence[str]) -> int:
    """How many partitions each of the topics has."""
    found = await partition_counts(dict(client), topics)
    for topic in topics:
        if topic not in found:
            raise TopologyError(f"Topic {topic!r} is missing. Create it, and the others: fraudstream topics --partitions 4")
    if len(set(found.values())) > 1:
        counts = ", ".join(f"{topic!r} {number}" for topic, number in found.items())
        raise TopologyError(f"Topics differ in their number of partitions: {counts}. Create them again with the same number.")
    return found[topics[0]]
