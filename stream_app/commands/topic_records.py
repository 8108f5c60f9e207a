"""The records of a topic as commands read them: outside any group, from a time on, to its end or for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from stream_app.adapters.kafka.consumer import new_consumer
from stream_app.adapters.kafka.errors import answering
from stream_app.adapters.kafka.options import client_options
from stream_app.adapters.kafka.topics import partition_counts
from stream_app.errors import TopologyError
from stream_app.settings import Settings

_FETCH_WAIT_MS = 20
"""aiokafka asks for a partition anew only after the fetch in flight: half a second by default, in which an alert would not be seen."""
_REMEDY = "Check FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS, or start one: fraudstream local up."


async def read_topic(
    settings: Settings,
    topic: str,
    *,
    follow: bool = False,
    positioned: asyncio.Event | None = None,
    since_ms: int = 0,
    committed: bool = False,
) -> AsyncGenerator[list[Any]]:
    """The records of a topic, some of one partition at a time, outside any consumer group.

    Args:
        settings: where.
        topic: which.
        follow: from its end on, or from `since_ms` on, waiting for new ones; without it, those there are.
        positioned: set once the place to read from is fixed: what is published from then on is read.
        since_ms: only records whose Kafka timestamp is at or after this time.
        committed: without the records of transactions that are open or were aborted.

    Raises:
        TopologyError: if there is no such topic.
        Unavailable: if Kafka does not answer.
        UnpackError: if records cannot be unpacked.
    """
    options = client_options(settings)
    partitions = (await partition_counts(options, [topic])).get(topic, 0)
    if not partitions:
        raise TopologyError(f"Topic {topic!r} does not exist. Create all that are missing: `fraudstream topics --partitions 4`.")
    consumer = new_consumer(options, committed=committed, fetch_max_wait_ms=_FETCH_WAIT_MS)
    places = [TopicPartition(topic, number) for number in range(partitions)]
    with answering(_REMEDY):
        try:
            await consumer.start()
            consumer.assign(places)
            ends = await consumer.end_offsets(places)
            for place, offset in (ends if follow and not since_ms else await _starts(consumer, places, since_ms)).items():
                consumer.seek(place, offset)
            if positioned is not None:
                positioned.set()
            while follow or await _behind(consumer, ends):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    yield records
        finally:
            await consumer.stop()


async def _starts(consumer: AIOKafkaConsumer, places: list[TopicPartition], since_ms: int) -> dict[TopicPartition, int]:
    """Where to begin: the first record at or after a time; the end of a partition that has none."""
    first = await consumer.beginning_offsets(places)
    if not since_ms:
        return dict(first)
    found, ends = await consumer.offsets_for_times(dict.fromkeys(places, since_ms)), await consumer.end_offsets(places)
    return {place: found[place].offset if found[place] else ends[place] for place in places}


async def _behind(consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> bool:
    return any([await consumer.position(tp) < end for tp, end in ends.items()])
