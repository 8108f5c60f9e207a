"""The bounded producer: what it was acknowledged stands in the ledger, in the order of the logs, also where Kafka was killed meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner

from tests.faults.ledger import Kind, Ledger, Record
from tests.faults.traffic import Traffic

MOST_BYTES = 2**30
MARKED_WITHIN_S = 60.0
"""Of a transaction that was left open, by its timeout of some seconds; brokers look every ten."""
MADE_UP_S = 0.5
CHUNK, EVERY_S = 100, 0.25
"""Payments in a chunk, and the time from one chunk to the next: 400 payments/s."""


class Sender:
    """Sends chunks of so many payments until it is stopped; one each `every_s`. What is late by up to `MADE_UP_S` is made up for."""

    def __init__(self, kafka: str, topics: dict[Kind, str], ledger: Ledger, traffic: Traffic) -> None:
        self._kafka, self._topics, self._ledger, self._traffic = kafka, topics, ledger, traffic
        self._producer: AIOKafkaProducer | None = None
        self._turn = asyncio.Lock()
        self.chunk, self.every_s = CHUNK, EVERY_S

    def partition_of(self, key: str) -> int:
        """Where Kafka's own producers put a key."""
        every = list(range(self._ledger.partitions))
        return int(DefaultPartitioner()(key.encode(), every, every))

    async def open(self) -> None:
        """Send one plain payment of each card before everything else."""
        await self.send(self._traffic.opening(self.partition_of))

    async def run(self) -> None:
        """Send until cancelled, which takes effect between two chunks."""
        due = time.monotonic()
        while True:
            await asyncio.shield(asyncio.ensure_future(self.send(self._traffic.take(self.chunk))))
            due = max(due + self.every_s, time.monotonic() - MADE_UP_S)
            await asyncio.sleep(max(0, due - time.monotonic()))

    async def send(self, records: Sequence[Record]) -> None:
        """Send records; return when every one is in its log, once, and in the ledger."""
        async with self._turn:
            await self._send(records)

    async def _send(self, records: Sequence[Record]) -> None:
        left: dict[tuple[Kind, int], list[Record]] = {}
        for record in records:
            left.setdefault((record.kind, self.partition_of((record.key or b"").decode())), []).append(record)
        while left:
            with suppress(KafkaError, OSError):
                await self._publish(left)
                for place, those in left.items():
                    self._ledger.logs[place] += those
                return
            await self.close()
            left = await self._resume(left)

    async def send_batch(self, place: tuple[Kind, int], records: Sequence[Record], codec: str, at_ms: int | None = None) -> None:
        """Send records of one log as one batch, however large, with this Kafka timestamp; as `send`, while Kafka is there."""
        async with self._turn:
            producer = AIOKafkaProducer(
                bootstrap_servers=self._kafka,
                compression_type=None if codec == "none" else codec,
                max_request_size=MOST_BYTES,
                max_batch_size=MOST_BYTES,
            )
            await producer.start()
            try:
                topic, partition = self._topics[place[0]], place[1]
                batch = producer.create_batch()
                for r in records:
                    if batch.append(key=r.key, value=r.value, timestamp=at_ms) is None:
                        raise AssertionError("the lot is larger than a batch can be: the suite is wrong")
                first = (await (await producer.send_batch(batch, topic, partition=partition))).offset
            finally:
                await producer.stop()
            if first != self._ledger.end(*place):
                raise AssertionError(f"the ledger and the log differ: {first}, expected {self._ledger.end(*place)}")
            self._ledger.logs[place] += records

    @asynccontextmanager
    async def transaction(
        self, places: Mapping[tuple[Kind, int], Sequence[Record]], codec: str, timeout_ms: int | None = None
    ) -> AsyncIterator[Callable[[Sequence[Record]], Awaitable[None]]]:
        """Records, in the ledger as gone, in a transaction that is open within; then it is aborted, or left to the broker's timeout.

        The load waits all the while; what is given sends other records.
        """
        async with self._turn:
            producer = AIOKafkaProducer(
                bootstrap_servers=self._kafka,
                compression_type=None if codec == "none" else codec,
                transactional_id=f"{self._topics['labels']}-{time.monotonic_ns()}",
                transaction_timeout_ms=timeout_ms or 60_000,
            )
            await producer.start()
            try:
                await producer.begin_transaction()
                for place, records in places.items():
                    sent = [await producer.send(self._topics[place[0]], r.value, key=r.key, partition=place[1]) for r in records]
                    await asyncio.gather(*sent)
                    self._ledger.logs[place] += records
                yield self._send
                if timeout_ms is None:
                    await producer.abort_transaction()
            finally:
                await producer.stop()
                await self._marked(places)

    async def unmarked(self, places: Collection[tuple[Kind, int]]) -> set[tuple[Kind, int]]:
        """Those of the places of a transaction where it is open."""
        ats = {place: TopicPartition(self._topics[place[0]], place[1]) for place in places}
        async with AIOKafkaConsumer(bootstrap_servers=self._kafka) as consumer:
            ends = await consumer.end_offsets(list(ats.values()))
        return {place for place, at in ats.items() if ends[at] <= self._ledger.end(*place)}

    async def _marked(self, places: Collection[tuple[Kind, int]]) -> None:
        """Wait for the marks of a transaction, and have them in the ledger."""
        async with asyncio.timeout(MARKED_WITHIN_S):
            while await self.unmarked(places):  # noqa: ASYNC110 - Kafka tells nobody
                await asyncio.sleep(0.2)
        for place in places:
            self._ledger.logs[place].append(Record(place[0], None, None, None, gone=True))

    async def _publish(self, left: dict[tuple[Kind, int], list[Record]]) -> None:
        if self._producer is None:
            self._producer = AIOKafkaProducer(bootstrap_servers=self._kafka, acks="all", enable_idempotence=True)
            await self._producer.start()
        sent = [
            (place, await self._producer.send(self._topics[place[0]], r.value, key=r.key, partition=place[1]))
            for place, those in left.items()
            for r in those
        ]
        await asyncio.gather(*(future for _, future in sent))
        nexts = {place: (await future).offset + 1 for place, future in sent}
        expected = {place: self._ledger.end(*place) + len(those) for place, those in left.items()}
        if nexts != expected:
            raise AssertionError(f"the ledger and the logs differ: {nexts}, expected {expected}")

    async def _resume(self, left: dict[tuple[Kind, int], list[Record]]) -> dict[tuple[Kind, int], list[Record]]:
        """After a failure: what of each log's share arrived goes into the ledger; the rest is left."""
        while True:
            with suppress(KafkaError, OSError):
                consumer = AIOKafkaConsumer(bootstrap_servers=self._kafka)
                await consumer.start()
                try:
                    places = {p: TopicPartition(self._topics[p[0]], p[1]) for p in left}
                    ends = await consumer.end_offsets(places.values())
                finally:
                    await consumer.stop()
                arrived = {p: ends[at] - self._ledger.end(*p) for p, at in places.items()}
                for place, count in arrived.items():
                    self._ledger.logs[place] += left[place][:count]
                return {p: rest for p, those in left.items() if (rest := those[arrived[p] :])}
            await asyncio.sleep(0.2)

    async def close(self) -> None:
        """Let go of the connection."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(TimeoutError, KafkaError, OSError):
                await asyncio.wait_for(producer.stop(), 5)
