"""Publishing to Kafka: idempotent, acknowledged by all in-sync replicas, every future awaited."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, OutOfOrderSequenceNumber

from stream_app.errors import FraudstreamError, Stop, Unavailable
from stream_app.ports import Outgoing

MAX_MESSAGE_BYTES = 4_194_304
"""Larger than any message that the topics take, so that a dead letter can carry what a producer sent."""
STOP_S = 5.0


class KafkaPublisher:
    """See `ports.Publisher`."""

    def __init__(self, client_options: dict[str, Any]) -> None:
        self._producer = AIOKafkaProducer(
            **client_options, acks="all", enable_idempotence=True, max_request_size=MAX_MESSAGE_BYTES, linger_ms=0
        )

    async def start(self) -> None:
        """Connect.

        Raises:
            Unavailable: if no broker answers.
        """
        try:
            await self._producer.start()
        except (KafkaError, OSError) as error:
            raise _unavailable(error) from None

    async def publish(self, partition: int, messages: Sequence[Outgoing], headers: Sequence[tuple[str, bytes]] = ()) -> dict[str, int]:
        """See `ports.Publisher`."""
        send = self._producer.send
        sent: list[Any] = []
        try:
            for m in messages:
                sent.append(await send(m.topic, m.value, key=m.key, partition=partition, headers=[*m.headers, *headers]))  # noqa: PERF401 - those before a failure count
            return {at.topic: at.offset + 1 for at in await asyncio.gather(*sent)}
        except (KafkaError, OSError, AssertionError) as error:
            # what is still under way would not be found in its topic: it is waited for before the batch is looked at again
            await asyncio.gather(*sent, return_exceptions=True)
            raise _error(error) from None

    async def ping(self) -> None:
        """Answer, or raise Unavailable."""
        if not await self._producer.client.force_metadata_update():
            raise Unavailable("No broker of Kafka answers.")

    async def settle(self) -> None:
        """See `ports.Publisher`."""
        try:
            await self._producer.flush()
        except (KafkaError, OSError) as error:
            raise _unavailable(error) from None

    async def partitions_of(self, topic: str) -> int:
        """How many partitions a topic has; 0 where it does not exist."""
        found = await self._producer.client.fetch_all_metadata()
        return len(found.partitions_for_topic(topic) or ())

    async def stop(self) -> None:
        """Send what is left, for a bounded time, and disconnect: a worker that is told to stop while Kafka is away stops."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await self._producer.stop()


class LazyPublisher:
    """A publisher that connects when it is first asked for, and again where that failed."""

    def __init__(self, client_options: dict[str, Any]) -> None:
        self._options = client_options
        self._publisher: KafkaPublisher | None = None
        self._connecting = asyncio.Lock()

    async def started(self) -> KafkaPublisher:
        """The publisher, connected.

        Raises:
            Unavailable: if no broker answers.
        """
        async with self._connecting:
            if self._publisher is None:
                publisher = KafkaPublisher(self._options)
                try:
                    await publisher.start()
                except BaseException:
                    await publisher.stop()
                    raise
                self._publisher = publisher
            return self._publisher

    async def stop(self) -> None:
        """Disconnect, where it was connected."""
        if self._publisher is not None:
            await self._publisher.stop()


def _error(error: Exception) -> FraudstreamError:
    if isinstance(error, OutOfOrderSequenceNumber):
        return Stop("Kafka saw this producer's messages out of order. The worker ends; its supervisor starts it anew, from the cursor.")
    return _unavailable(error)


def _unavailable(error: Exception) -> Unavailable:
    return Unavailable(
        f"Kafka did not answer ({type(error).__name__}: {error}). Check FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS and the brokers."
    )
