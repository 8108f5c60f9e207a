"""Reading long spans of Kafka's logs once, in order, no faster than they are asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from stream_app.adapters.kafka.consumer import new_consumer
from stream_app.adapters.kafka.errors import answering
from stream_app.delivery.ports import Bounds
from stream_app.messages.records import Place, Record

_ANSWER_S = 30.0
_MOST_AT_ONCE = 5_000


class KafkaLogSpans:
    """See `timeline.LogSpans`."""

    def __init__(self, consumer: AIOKafkaConsumer, ends: Mapping[Place, int]) -> None:
        self._consumer = consumer
        self._ends = ends

    @classmethod
    @asynccontextmanager
    async def open(cls, client_options: dict[str, Any], spans: Mapping[Place, Bounds]) -> AsyncIterator[KafkaLogSpans]:
        """The records of each partition from where its span begins to below its end; empty spans are left out by the caller, and no
        transaction is open within one. Those of aborted transactions are passed over.

        Raises:
            Unavailable: if Kafka does not answer.
            UnpackError: if records cannot be unpacked.
        """
        consumer = new_consumer(client_options, committed=True, auto_offset_reset="none", fetch_max_wait_ms=50)
        with answering():
            try:
                await consumer.start()
                consumer.assign([TopicPartition(*place) for place in spans])
                for place, span in spans.items():
                    consumer.seek(TopicPartition(*place), span.begin)
                yield cls(consumer, {place: span.end for place, span in spans.items()})
            finally:
                await consumer.stop()

    async def more(self, places: Collection[Place]) -> Mapping[Place, Sequence[Record]]:
        """See `timeline.LogSpans`."""
        wanted = [TopicPartition(*place) for place in places]
        async with asyncio.timeout(_ANSWER_S):
            while True:
                ended: dict[Place, Sequence[Record]] = {p: () for p in places if await self._at_end(p)}
                if ended:
                    return ended
                found = await self._consumer.getmany(*wanted, timeout_ms=200, max_records=_MOST_AT_ONCE)
                kept = {(at.topic, at.partition): records for at, records in found.items()}
                answer = {p: [r for r in records if r.offset < self._ends[p]] for p, records in kept.items()}
                if any(answer.values()):
                    return {p: records for p, records in answer.items() if records}

    async def _at_end(self, place: Place) -> bool:
        return bool(await self._consumer.position(TopicPartition(*place)) >= self._ends[place])
