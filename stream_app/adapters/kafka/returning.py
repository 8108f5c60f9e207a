"""Records sent back from dead letters: with each, in one Kafka transaction, its mark. One sender at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import IllegalOperation, InvalidProducerEpoch, ProducerFenced

from stream_app.adapters.kafka.errors import answering
from stream_app.adapters.kafka.partitioners import by_murmur2
from stream_app.errors import Refused
from stream_app.messages.records import Addressed

AT_ONCE = 500
_TIMEOUT_MS = 60_000
"""After which brokers abort a transaction that was left open: so long the inputs stand still, where this process is killed in between."""


class ReturningProducer:
    """Sends lots, each whole or not at all."""

    def __init__(self, producer: AIOKafkaProducer, partitions: Mapping[str, int]) -> None:
        """Args: `partitions` of each topic that records go back to."""
        self._producer = producer
        self._partitions = partitions

    async def send(self, messages: Sequence[Addressed]) -> None:
        """Send a lot.

        Raises:
            Refused: another sender has begun since, or Kafka refuses a record; nothing of this lot was sent.
            Unavailable: Kafka does not answer; nothing of this lot was sent.
        """
        with answering(right="WRITE"):
            try:
                async with self._producer.transaction():
                    await asyncio.gather(*[await self._send(one) for one in messages])
            except (ProducerFenced, InvalidProducerEpoch, IllegalOperation):  # the last one is said of whatever follows the first
                raise Refused("Another `fraudstream dlq replay` has begun since. Wait for its end, then run this again.") from None

    async def _send(self, one: Addressed) -> Any:
        message, count = one.message, self._partitions.get(one.message.topic, 0)
        is_there = one.partition is not None and one.partition < (count or one.partition + 1)
        partition = one.partition if is_there else by_murmur2(message.key or b"", count)
        sent = await self._producer.send(message.topic, message.value, key=message.key, partition=partition, headers=list(message.headers))
        sent.add_done_callback(lambda done: done.cancelled() or done.exception())  # where another one failed first, nobody asks this one
        return sent


@asynccontextmanager
async def returning_producer(client: Mapping[str, Any], name: str, partitions: Mapping[str, int]) -> AsyncIterator[ReturningProducer]:
    """A sender by this name; who had it before sends no more, and what it left open is aborted.

    Args:
        client: what `options.client_options` returns.
        name: the transactional id.
        partitions: of each topic that records go back to.

    Raises:
        Unavailable, NoAccess, Refused: Kafka does not answer, or refuses.
    """
    producer = AIOKafkaProducer(**client, acks="all", transactional_id=name, transaction_timeout_ms=_TIMEOUT_MS)
    try:
        with answering(right="WRITE"):
            await producer.start()
        yield ReturningProducer(producer, partitions)
    finally:
        await producer.stop()
