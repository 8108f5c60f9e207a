"""Publishing to Kafka: idempotent, acknowledged by all in-sync replicas, every future awaited."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidConfigurationError,
    InvalidProducerIdMapping,
    InvalidRequestError,
    InvalidTimestampError,
    InvalidTopicError,
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    PolicyViolationError,
    RecordListTooLargeError,
    SecurityDisabled,
    UnknownError,
    UnknownProducerId,
    UnsupportedForMessageFormatError,
)

from stream_app.adapters.kafka.errors import no_answer
from stream_app.adapters.kafka.refusals import refusal
from stream_app.adapters.kafka.topology import MAX_BATCH_BYTES
from stream_app.errors import FraudstreamError, RecordError, Refused, Stop, TopologyError, Unavailable
from stream_app.messages.headers import OwnHeaders
from stream_app.messages.records import Outgoing
from stream_app.messages.refusals import DeadLetterCode

_MOST_BYTES = 4_194_304
"""Larger than any message that is published: what a topic takes, its brokers say."""
STOP_S = 5.0
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
_FORGOTTEN = (OutOfOrderSequenceNumber, UnknownProducerId, InvalidProducerIdMapping)
_REFUSED = (
    InvalidConfigurationError,
    InvalidRequestError,
    InvalidTopicError,
    PolicyViolationError,
    SecurityDisabled,
    UnsupportedForMessageFormatError,
)
_FOR_HEADERS_BYTES = 65_536
_OVERHEAD_BYTES = 128
"""Of a batch with one record, about."""


class KafkaPublisher:
    """See `ports.Publisher`.

    A message that its topic does not take is followed by its shorter forms, each by itself:

    1. all messages are sent together, and all answers awaited;
    2. those that were too large, alone or in the batch that they shared, are sent one by one, shorter by shorter;
    3. a refused batch leaves a gap in the numbers by which brokers know an idempotent producer: a new one takes its place first;
    4. what a topic has once refused, or says that it takes no more than, is its limit until the worker ends: no such message is tried.
    """

    def __init__(self, client_options: dict[str, Any]) -> None:
        self._options = client_options
        self._producer = self._new_producer()
        self._under_way: dict[AIOKafkaProducer, int] = {}
        self._limits: dict[str, int] = {}
        self._renewing = asyncio.Lock()

    def _new_producer(self) -> AIOKafkaProducer:
        return AIOKafkaProducer(**self._options, acks="all", enable_idempotence=True, max_request_size=_MOST_BYTES, linger_ms=0)

    def know(self, limits: Mapping[str, int]) -> None:
        """What topics take, `max.message.bytes`: a decision that is larger is refused before anything of its batch is published."""
        self._limits |= {topic: most + 1 for topic, most in limits.items()}

    async def start(self) -> None:
        """Connect.

        Raises:
            Unavailable: if no broker answers.
        """
        try:
            await self._producer.start()
        except (KafkaError, OSError) as error:
            raise _error(error) from None

    async def publish(self, partition: int, messages: Sequence[Outgoing], headers: OwnHeaders = ()) -> dict[str, int]:
        """See `ports.Publisher`."""
        sent = [m if self._fits_surely(m) else self._within_limit(m, headers) for m in messages]
        ends, too_large = await self._send(partition, sent, headers)
        for message in too_large:
            ends |= await self._send_alone(partition, message, headers)
        return ends

    async def _send_alone(self, partition: int, message: Outgoing, headers: OwnHeaders) -> dict[str, int]:
        while True:
            message = self._within_limit(message, headers)
            ends, too_large = await self._send(partition, [message], headers)
            if not too_large:
                return ends
            self._limits[message.topic] = min(_size(message, headers), self._limits.get(message.topic, _MOST_BYTES))

    def _fits_surely(self, message: Outgoing) -> bool:
        """Whether a message is so much smaller than what its topic takes that its headers need not be counted: as nearly all are."""
        limit = self._limits.get(message.topic, _MOST_BYTES)
        return 2 * len(message.value or b"") < limit > _FOR_HEADERS_BYTES

    def _within_limit(self, message: Outgoing, headers: OwnHeaders) -> Outgoing:
        """The longest form of a message that its topic may take.

        Raises:
            RecordError, TopologyError: if there is none.
        """
        limit = self._limits.get(message.topic, _MOST_BYTES)
        while (size := _size(message, headers)) >= limit:
            shorter = message.shorter() if message.shorter else None
            if shorter is None:
                raise _takes_no_more(message, size)
            message = shorter
        return message

    async def _send(self, partition: int, messages: Sequence[Outgoing], headers: OwnHeaders) -> tuple[dict[str, int], list[Outgoing]]:
        """Send all and await all: the next offset of each topic, and the messages that were too large."""
        producer = self._producer
        self._under_way[producer] = self._under_way.get(producer, 0) + 1
        try:
            answers = await _answers(producer, partition, messages, headers)
            refused = [topic for (topic, _), answer in answers if isinstance(answer, _TOO_LARGE)]
            if refused:
                await self._renew(producer)
        finally:
            await self._let_go(producer)
        ends: dict[str, int] = {}
        too_large: list[Outgoing] = []
        for (topic, message), answer in answers:
            if isinstance(answer, _TOO_LARGE) or (isinstance(answer, OutOfOrderSequenceNumber) and topic in refused):
                too_large.append(message)
            elif isinstance(answer, BaseException):
                raise _error(answer, topic) from None
            else:
                ends[topic] = max(ends.get(topic, 0), answer.offset + 1)
        return ends, too_large

    async def _renew(self, producer: AIOKafkaProducer) -> None:
        """Publish by a new producer from now on, not by this one, which ends with what it still sends."""
        async with self._renewing:
            if producer is not self._producer:
                return
            fresh = self._new_producer()
            try:
                await fresh.start()
            except (KafkaError, OSError) as error:
                await fresh.stop()
                raise _error(error) from None
            self._producer = fresh

    async def _let_go(self, producer: AIOKafkaProducer) -> None:
        self._under_way[producer] -= 1
        if not self._under_way[producer]:
            del self._under_way[producer]
            if producer is not self._producer:
                await producer.stop()

    async def ping(self) -> None:
        """Answer, or raise Unavailable."""
        if not await self._producer.client.force_metadata_update():
            raise _error(KafkaConnectionError("no broker gives metadata"))

    async def settle(self) -> None:
        """See `ports.Publisher`."""
        try:
            for producer in {self._producer, *self._under_way}:
                await producer.flush()
        except (KafkaError, OSError) as error:
            raise _error(error) from None

    async def stop(self) -> None:
        """Send what is left, for a bounded time, and disconnect: a worker that is told to stop while Kafka is away stops."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                for producer in {self._producer, *self._under_way}:
                    await producer.stop()


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

    async def ping(self) -> None:
        """Connect where that was not done, and answer, or raise Unavailable."""
        await (await self.started()).ping()

    async def stop(self) -> None:
        """Disconnect, where it was connected; who asks again is connected anew."""
        publisher, self._publisher = self._publisher, None
        if publisher is not None:
            await publisher.stop()


async def _answers(
    producer: AIOKafkaProducer, partition: int, messages: Sequence[Outgoing], headers: OwnHeaders
) -> list[tuple[tuple[str, Outgoing], Any]]:
    """What became of each message: where it stands, or what was raised. Nothing is under way any more."""
    sent: list[asyncio.Future[Any]] = []
    failed: Exception | None = None
    for m in messages:
        try:
            everything = [*m.headers, *headers]
            sent.append(await producer.send(m.topic, m.value, m.key, partition, timestamp_ms=m.at_ms, headers=everything))
        except (KafkaError, OSError) as error:
            failed = error  # those behind it are not sent
            break
    results: list[Any] = await asyncio.gather(*sent, return_exceptions=True)
    if failed is not None:
        results += [failed] * (len(messages) - len(sent))
    return list(zip(((m.topic, m) for m in messages), results, strict=True))


def _size(message: Outgoing, headers: OwnHeaders) -> int:
    """Bytes of a batch with this message alone, about."""
    of_headers = sum(len(name) + len(value) for name, value in [*message.headers, *headers])
    return len(message.key or b"") + len(message.value or b"") + of_headers + _OVERHEAD_BYTES


def _takes_no_more(message: Outgoing, size: int) -> FraudstreamError:
    command = f"kafka-configs.sh --alter --topic {message.topic} --add-config max.message.bytes={MAX_BATCH_BYTES}"
    remedy = f"Let it take more: {command}, then restart the workers."
    told = f"Topic {message.topic!r} does not take a message of {size} bytes"
    if any(name == "error.code" for name, _ in message.headers):
        return TopologyError(f"{told}, the shortest that a dead letter can be. {remedy}")
    return RecordError(DeadLetterCode.DECISION_TOO_LARGE, f"{told}. {remedy}")


def _error(error: BaseException, topic: str = "") -> FraudstreamError:
    """What Kafka's client raised, as an error of ours. Only what may be otherwise the next time is tried again."""
    at = f"topic {topic!r}" if topic else "this client"
    if isinstance(error, _FORGOTTEN):
        return Stop(
            f"Kafka lost the order of this producer's messages ({type(error).__name__}). The worker ends; its supervisor starts it anew, from the cursor."
        )
    if (refused := refusal(error, "WRITE", topic)) is not None:
        return refused
    if isinstance(error, InvalidTimestampError):
        return Refused(
            f"Kafka refuses the time of messages to {at}. Compare this machine's clock with the brokers', then see message.timestamp.*."
        )
    if isinstance(error, UnknownError):
        return Unavailable(f"Kafka answers with an error of its own for {at}. See the log of its brokers.")
    if isinstance(error, _REFUSED):
        return Refused(f"Kafka refuses messages to {at} ({type(error).__name__}: {error}). See its configuration, and the brokers' log.")
    return no_answer(error)
