"""What a takeover after a loss reads of large outputs on a real Kafka: within bounds of memory, for as long as it takes."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from stream_app.adapters.kafka.log import KafkaLog
from stream_app.adapters.kafka.options import client_options
from stream_app.adapters.kafka.topics import create_topics
from stream_app.bootstrap import topics_of
from stream_app.delivery.outputs import Outputs
from stream_app.delivery.takeover import OwnedPartition, Takeover
from stream_app.messages.records import Place, Published
from stream_app.scoring.already_published import position_header
from stream_app.scoring.positions import Cursor
from stream_app.settings import Settings, load_settings
from tests.memory_store import MemoryStore
from tests.servers import Servers
from tests.unit.scoring.test_scorer import FakeClock

pytestmark = pytest.mark.servers
LETTERS, LETTER_BYTES = 300, 900_000
MOST_BYTES = 60 * 2**20


async def with_letters(stack: Servers, unique: str) -> Settings:
    """Topics of one partition: so many records that were all refused, each with a large letter. They are folded, as a broker may store them."""
    names = {f"{t}_topic": f"{t}-{unique}" for t in ("transactions", "labels", "alerts", "scores", "transactions_dlq", "labels_dlq")}
    settings = load_settings(kafka_bootstrap_servers=stack.kafka, consumer_group=unique, **names)
    await create_topics(client_options(settings), settings, partitions=1)
    topics = topics_of(settings)
    ids = dict(await KafkaLog(client_options(settings), unique).topic_ids(topics.read))
    async with AIOKafkaProducer(**client_options(settings), compression_type="gzip") as producer:
        for offset in range(LETTERS):
            await producer.send(topics.transactions, b"?", partition=0)
            headers = [("source.offset", str(offset).encode()), position_header(Cursor("", offset, topic_ids=ids), topics.read)]
            await producer.send(topics.transactions_dlq, b"x" * LETTER_BYTES, partition=0, headers=headers)
        await producer.flush()
    return settings


async def taken_over(settings: Settings, log: KafkaLog) -> OwnedPartition:
    """The partition, whose state is lost."""
    store = MemoryStore()
    store.hold([0], 1)
    return await Takeover(store, log, Outputs(log), topics_of(settings), FakeClock()).of(0, 1)


def test_large_dead_letters_cost_a_takeover_no_memory(stack: Servers, unique: str) -> None:
    """300 letters of 900 kB: all are known afterwards, and a fraction of their 270 MB was held at once."""

    async def body() -> tuple[OwnedPartition, int]:
        settings = await with_letters(stack, unique)
        log = KafkaLog(client_options(settings), unique)
        await log.bounds([(settings.transactions_topic, 0)])  # what is imported at the first connection is no part of it
        tracemalloc.start()
        try:
            return await taken_over(settings, log), tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    taken, peak_bytes = asyncio.run(body())
    assert taken.cursor.decided.transactions == taken.published.refused.transactions.last == LETTERS - 1
    assert peak_bytes < MOST_BYTES


class Slow(KafkaLog):
    """Takes longer over the first piece of each walk than Kafka may take to answer, by the loop's clock."""

    late_s = 0.0

    async def walk(self, starts: Mapping[Place, int]) -> AsyncIterator[tuple[Place, Sequence[Published]]]:
        """See `ports.Log`."""
        first = True
        async for piece in super().walk(starts):
            self.late_s += 31.0 * first
            first = False
            await asyncio.sleep(0)  # whatever was to happen within this time happens now
            yield piece


def test_a_takeover_that_reads_for_long_is_no_kafka_that_is_away(stack: Servers, unique: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on for as long as records come."""

    async def body() -> tuple[OwnedPartition, float]:
        settings = await with_letters(stack, unique)
        log, loop = Slow(client_options(settings), unique), asyncio.get_running_loop()
        time: Any = loop.time
        monkeypatch.setattr(loop, "time", lambda: time() + log.late_s)
        return await taken_over(settings, log), log.late_s

    taken, late_s = asyncio.run(body())
    assert taken.published.refused[0].last == LETTERS - 1
    assert late_s > 60.0
