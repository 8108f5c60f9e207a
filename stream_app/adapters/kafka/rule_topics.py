"""Reading the topics of rules and lists: what is in force when a process starts, and each change from then on.

A start

1. reads the topic's last record, whose header says where the newest whole checkpoint begins;
2. reads that checkpoint, and all records from its offset on; without one, or where it is torn, all records from the topic's beginning;
3. refuses a topic whose beginning is gone and that holds no whole checkpoint: what was in force would be guessed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from stream_app.adapters.kafka.consumer import new_consumer
from stream_app.adapters.kafka.errors import answering
from stream_app.adapters.kafka.topics import partition_counts
from stream_app.delivery.ports import Bounds
from stream_app.errors import TopologyError
from stream_app.messages.headers import headers_of
from stream_app.messages.records import Record
from stream_app.rules.checkpoint import checkpoint_in
from stream_app.rules.topic_log import RefusedRecord, Restoration, TopicLog

_ANSWER_S = 30.0
_POLL_MS = 200
_FETCH_WAIT_MS = 100
"""A fetch in flight ends after so long where nothing comes: until then a place that was sought is not read."""


class RuleTopic[L: TopicLog[Any]]:
    """A topic of rules or of lists, read to an end and then followed.

    Attributes:
        log: what its records came to so far.
        end: the next offset after the last record that there was at the start: the log is that far, or further.
    """

    def __init__(
        self, consumer: AIOKafkaConsumer, topic: str, empty: Callable[[], L], refused: Callable[[RefusedRecord], None] | None
    ) -> None:
        self.log: L = empty()
        self.end = 0
        self._consumer = consumer
        self._place = TopicPartition(topic, 0)
        self._empty = empty
        self._refused = refused

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        client_options: dict[str, Any],
        topic: str,
        empty: Callable[[], L],
        refused: Callable[[RefusedRecord], None] | None = None,
        *,
        past: bool = False,
    ) -> AsyncIterator[RuleTopic[L]]:
        """The topic, read to its present end.

        Args:
            client_options: how to reach the brokers.
            topic: its name; it has one partition.
            empty: makes a log that nothing was read into.
            refused: is told of each record that is not taken, once; those below `end` were there before.
            past: whether what was in force before is wanted too: all records are read, where the topic's beginning is there.

        Raises:
            TopologyError: the topic is missing, has several partitions, or lost its beginning; later, lost what was to be read.
            Unavailable, NoAccess, Refused: Kafka does not answer, or refuses.
            UnpackError: records cannot be unpacked.
        """
        await _one_partition(client_options, topic)
        consumer = new_consumer(client_options, auto_offset_reset="none", fetch_max_wait_ms=_FETCH_WAIT_MS)
        with answering():
            try:
                async with asyncio.timeout(_ANSWER_S):
                    await consumer.start()
                reading = cls(consumer, topic, empty, refused)
                await reading._start(past=past)
                yield reading
            except OffsetOutOfRangeError:
                raise TopologyError(
                    f"Topic {topic!r} lost what was to be read next: it was made anew, or cut. Start again: what it holds now is in force then."
                ) from None
            finally:
                await consumer.stop()

    async def poll(self) -> Sequence[Record]:
        """The next records, in order, about a megabyte of them at the most; none where none came within a fifth of a second."""
        found: Mapping[TopicPartition, Sequence[Record]] = await self._consumer.getmany(self._place, timeout_ms=_POLL_MS)
        return found.get(self._place, ())

    @property
    def answered_s(self) -> float | None:
        """When the topic's broker answered a fetch last, Unix time; None before the first."""
        at_ms = self._consumer.last_poll_timestamp(self._place)
        return None if at_ms is None else at_ms / 1000

    def take(self, records: Sequence[Record]) -> None:
        """Bring the log forward by records that `poll` returned; who decides by it meanwhile sees all of a record or nothing."""
        for record in records:
            why = self.log.apply(record.offset, record.value, record.timestamp)
            if why is not None and self._refused is not None:
                self._refused(why)

    async def read_to_end(self) -> None:
        """Take all that stands in the topic now."""
        end = (await self._bounds()).end
        async for records in self._until(end):
            self.take(records)

    async def follow(self) -> None:
        """Take what comes, for ever."""
        while True:
            self.take(await self.poll())

    async def _start(self, *, past: bool) -> None:
        bounds = await self._bounds()
        self._consumer.assign([self._place])
        self._consumer.seek(self._place, bounds.begin)  # at once: without a place to read from, the first poll raises
        self.end = bounds.end
        whole = past and not bounds.begin
        restored = None if whole else await self._restored(await self._checkpoint(bounds), bounds)
        if restored is None and bounds.begin:
            restored = await self._restored(bounds.begin, bounds)
        if restored is not None:
            self.log = restored
        elif bounds.begin:
            raise TopologyError(
                f"Topic {self._place.topic!r} begins at offset {bounds.begin} and holds no whole checkpoint: what was in force is not known. Delete "
                "it, make it again with `fraudstream topics`, and put rules or lists again: from Git, or from an export."
            )
        self._consumer.seek(self._place, self.log.offset)
        async for records in self._until(bounds.end):
            self.take(records)

    async def _checkpoint(self, bounds: Bounds) -> int | None:
        """Where the last record says that the newest checkpoint begins."""
        if bounds.begin == bounds.end:
            return None
        self._consumer.seek(self._place, bounds.end - 1)
        async for records in self._until(bounds.end):
            for record in records:
                first = checkpoint_in(record.offset, record.value, headers_of(record))
                return first if first is not None and bounds.begin <= first < bounds.end else None
        return None

    async def _restored(self, first: int | None, bounds: Bounds) -> L | None:
        """The state of the first whole checkpoint from there on, if all that came after it is there."""
        if first is None:
            return None
        restoration = Restoration(self._empty)
        self._consumer.seek(self._place, first)
        async for records in self._until(bounds.end):
            for record in records:
                log = restoration.read(record.offset, record.value)
                if log is not None and log.offset >= bounds.begin:
                    return log
        return None

    async def _bounds(self) -> Bounds:
        async with asyncio.timeout(_ANSWER_S):
            begin = (await self._consumer.beginning_offsets([self._place]))[self._place]
            return Bounds(begin, (await self._consumer.end_offsets([self._place]))[self._place])

    async def _until(self, end: int) -> AsyncIterator[Sequence[Record]]:
        """Records from the consumer's position on, below an offset and perhaps a few beyond; others get their turn between two polls."""
        heard = time.monotonic()
        while await self._consumer.position(self._place) < end:
            records = await self.poll()
            if records:
                yield records
            await asyncio.sleep(0)
            heard = time.monotonic() if records else heard
            if time.monotonic() > heard + _ANSWER_S:
                raise TimeoutError


async def _one_partition(client_options: dict[str, Any], topic: str) -> None:
    partitions = (await partition_counts(client_options, [topic])).get(topic, 0)
    if not partitions:
        raise TopologyError(f"Topic {topic!r} does not exist. Create all that are missing: `fraudstream topics`.")
    if partitions > 1:
        raise TopologyError(
            f"Topic {topic!r} has {partitions} partitions: rules and lists have an order in one alone. Delete it, and make it again: `fraudstream topics`."
        )
