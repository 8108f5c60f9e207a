"""Records sent in lots, each in one Kafka transaction: those that go back from dead letters with their marks, labels with how far their topic was read.

One sender of a name at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import IllegalOperation, InvalidProducerEpoch, ProducerFenced

from stream_app.adapters.kafka.errors import answering
from stream_app.adapters.kafka.partitioners import by_murmur2
from stream_app.errors import Refused
from stream_app.messages.records import Addressed, Place

AT_ONCE = 500
_TIMEOUT_MS = 60_000
"""After which brokers abort a transaction that was left open: so long the inputs stand still, where this process is killed in between."""
_NOTHING_READ: Mapping[Place, int] = MappingProxyType({})


class ReturningProducer:
    """Sends lots, each whole or not at all."""

    def __init__(self, producer: AIOKafkaProducer, name: str, partitions: Mapping[str, int], command: str) -> None:
        """Send by a producer.

        Args:
            producer: a transactional one, started.
            name: of the consumer group whose offsets are committed.
            partitions: of each topic that records go to.
            command: what sends, as its user calls it.
        """
        self._producer, self._name, self._command = producer, name, command
        self._partitions = partitions

    async def send(self, messages: Sequence[Addressed], read: Mapping[Place, int] = _NOTHING_READ) -> None:
        """Send a lot; with it the next offsets of what was `read` for it are committed.

        Raises:
            Refused: another sender has begun since, or Kafka refuses a record; nothing of this lot was sent.
            Unavailable: Kafka does not answer; nothing of this lot was sent.
        """
        with answering(right="WRITE"):
            try:
                async with self._producer.transaction():
                    await asyncio.gather(*[await self._send(one) for one in messages])
                    if read:
                        offsets = {TopicPartition(*place): offset for place, offset in read.items()}
                        await self._producer.send_offsets_to_transaction(offsets, self._name)
            except (ProducerFenced, InvalidProducerEpoch, IllegalOperation):  # the last one is said of whatever follows the first
                raise Refused(f"Another `{self._command}` has begun since. Wait for its end, then run this again.") from None

    async def _send(self, one: Addressed) -> Any:
        message, count = one.message, self._partitions.get(one.message.topic, 0)
        is_there = one.partition is not None and one.partition < (count or one.partition + 1)
        partition = one.partition if is_there else by_murmur2(message.key or b"", count)
        sent = await self._producer.send(message.topic, message.value, key=message.key, partition=partition, headers=list(message.headers))
        sent.add_done_callback(lambda done: done.cancelled() or done.exception())  # where another one failed first, nobody asks this one
        return sent


@asynccontextmanager
async def returning_producer(
    client: Mapping[str, Any], name: str, partitions: Mapping[str, int], command: str = "fraudstream dlq replay"
) -> AsyncIterator[ReturningProducer]:
    """A sender by this name; who had it before sends no more, and what it left open is aborted.

    Args:
        client: what `options.client_options` returns.
        name: the transactional id, and the group of offsets that are committed.
        partitions: of each topic that records go to.
        command: what sends, as its user calls it.

    Raises:
        Unavailable, NoAccess, Refused: Kafka does not answer, or refuses.
    """
    producer = AIOKafkaProducer(**client, acks="all", transactional_id=name, transaction_timeout_ms=_TIMEOUT_MS)
    try:
        with answering(right="WRITE"):
            await producer.start()
        yield ReturningProducer(producer, name, partitions, command)
    finally:
        await producer.stop()
