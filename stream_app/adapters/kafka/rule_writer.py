"""Writing to the topics of rules and lists: nothing that would be refused, and nothing past another author's change.

1. The topic is read to its end, and the record is held against what is in force there: one that would be refused is not written.
2. It is written, acknowledged by all copies in step, and the topic is read once more: where another author was faster, and the record does not
   follow any more, its author is told.
3. What a start would have to read behind the newest checkpoint is bounded: whoever writes beyond that writes a checkpoint too. Where that fails the
   change stands, and whoever writes next tries again.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from itertools import batched
from typing import Any

from loguru import logger

from stream_app.adapters.kafka.publisher import KafkaPublisher
from stream_app.adapters.kafka.rule_topics import RuleTopic
from stream_app.errors import FraudstreamError, RuleError
from stream_app.messages.records import Outgoing
from stream_app.rules.checkpoint import checkpoint_header, pieces_of
from stream_app.rules.topic_log import ENDED_AGO_MS, RefusedRecord, TopicLog

MOST_TAIL_RECORDS = 10_000
MOST_TAIL_BYTES = 50_000_000
"""Behind the newest checkpoint: a start reads both, and has ten seconds for a million entries and what came after them."""
_CLOCK_MS = 3_600_000
"""How far this clock may be ahead of the brokers', which say how long ago an entry ended."""
_AT_ONCE = 50
"""Records that are checked and written together."""


class RuleWriter[L: TopicLog[Any]]:
    """Writes to one topic.

    Attributes:
        reading: the topic, as far as it was read.
    """

    def __init__(self, topic: str, reading: RuleTopic[L], publisher: KafkaPublisher, refused: dict[int, str]) -> None:
        """Args: `refused`: why, by offset, as `reading` is told of it."""
        self.reading = reading
        self._topic = topic
        self._publisher = publisher
        self._refused = refused

    @classmethod
    @asynccontextmanager
    async def open(
        cls, client_options: dict[str, Any], topic: str, empty: Callable[[], L], *, past: bool = False
    ) -> AsyncIterator[RuleWriter[L]]:
        """A writer, once the topic is read.

        Raises:
            As `RuleTopic.open`.
        """
        refused = _NewestRefusals()
        publisher = KafkaPublisher(client_options)
        async with RuleTopic.open(client_options, topic, empty, refused.tell, past=past) as reading:
            try:
                await publisher.start()
                yield cls(topic, reading, publisher, refused)
            finally:
                await publisher.stop()

    @property
    def log(self) -> L:
        """What the topic's records came to."""
        return self.reading.log

    async def write(self, values: Iterable[bytes], told: Callable[[int], None] = lambda _: None) -> None:
        """Write records, and a checkpoint where one is due.

        Args:
            values: each is right for what the ones before it come to, if they do not stand among the same fifty.
            told: how many were written so far.

        Raises:
            RuleError: one would be refused, or was; those before it are in force, those after it are not written.
            Unavailable, NoAccess, Refused: Kafka does not answer, or refuses.
        """
        written = 0
        for some in batched(values, _AT_ONCE):
            await self.reading.read_to_end()
            for value in some:
                self.log.check(value, _now_ms())
            follows = self.log.offset
            offsets = [await self._publish(value, self.log.checkpoint) for value in some]
            await self.reading.read_to_end()
            for expected, offset in enumerate(offsets, follows):
                if offset in self._refused:
                    why = "This was" if offset == expected else "Another author was faster; this was"
                    raise RuleError(f"{why} written at offset {offset}, and is not in force. {self._refused[offset]}")
            written += len(some)
            told(written)
        if is_due(self.log):
            try:
                await self.checkpoint()
            except FraudstreamError as error:
                logger.warning(
                    "The change is in force; no checkpoint of topic {!r} was written, the next change tries again. {}", self._topic, error
                )

    async def checkpoint(self) -> int:
        """Write a checkpoint of all there is; how many pieces it has.

        Raises:
            RuleError: another one was written at the same time, so that none of them is whole.
        """
        await self.reading.read_to_end()
        log, ended_ms = self.log, max(0, _now_ms() - ENDED_AGO_MS - _CLOCK_MS)
        first, pieces = -1, 0
        for piece in pieces_of(log.records(ended_ms), uuid.uuid4().hex, log.offset, ended_ms):
            offset = await self._publish(piece, log.checkpoint if first < 0 else first)
            first, pieces = (offset if first < 0 else first), pieces + 1
        await self.reading.read_to_end()
        if self.log.checkpoint is None or self.log.checkpoint < first:
            raise RuleError(
                f"The checkpoint at offset {first} is not whole: another one was written at the same time. The topic is as it was; write it again."
            )
        return pieces

    async def _publish(self, value: bytes, checkpoint: int | None) -> int:
        """Where the record stands."""
        return await write_record(self._publisher, self._topic, value, checkpoint)


def is_due(log: TopicLog[Any]) -> bool:
    """Whether a start would have to read too much behind the newest checkpoint."""
    behind = log.offset - (log.checkpoint or 0)
    return behind > MOST_TAIL_RECORDS or log.tail_bytes > MOST_TAIL_BYTES


async def write_record(publisher: KafkaPublisher, topic: str, value: bytes, checkpoint: int | None) -> int:
    """Write a record, which says where the newest checkpoint begins; its offset, once all copies in step have it."""
    ends = await publisher.publish(0, [Outgoing(topic, None, value, checkpoint_header(checkpoint))])
    return ends[topic] - 1


class _NewestRefusals(dict[int, str]):
    """Why records were refused, by offset: of the newest ones."""

    _MOST = 1_000

    def tell(self, refused: RefusedRecord) -> None:
        self[refused.offset] = refused.why
        if len(self) > self._MOST:
            del self[next(iter(self))]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
