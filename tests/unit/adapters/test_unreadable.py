"""A consumer that met records which cannot be unpacked gives no more: aiokafka has lost what it took of other partitions by then."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from aiokafka.consumer.fetcher import Fetcher, PartitionRecords
from aiokafka.errors import TopicAuthorizationFailedError
from faust.types import TP

from stream_app.adapters.faust.batches import BatchConsumer
from stream_app.adapters.kafka.record_batches import BoundedFetch, RecordBatches, read_within_bounds
from stream_app.errors import FraudstreamError, Refused, UnpackError
from tests.unit.adapters.test_kafka_errors import batch, of_codec

GOOD, BAD = TP("payments", 0), TP("payments", 1)


@dataclass
class State:
    """Where a partition is read on."""

    position: int
    paused: bool = False

    def consumed_to(self, position: int) -> None:
        """All below was taken."""
        self.position = position


class Positions:
    """The one assignment of a consumer: where it reads on."""

    active = True

    def __init__(self) -> None:
        self.of = {GOOD: State(0), BAD: State(7)}

    def state_value(self, at: TP) -> Any:
        """Of a partition."""
        return self.of[at]


def fetched(positions: Positions, at: TP, records: bytearray) -> BoundedFetch:
    """An answer of the broker that aiokafka holds ready."""
    start = positions.of[at].position
    unpacked = PartitionRecords(at, RecordBatches(bytes(records)), [], start, None, None, check_crcs=True, isolation_level=0)
    return BoundedFetch(at, assignment=positions, partition_records=unpacked, backoff=0)


def test_after_records_that_cannot_be_unpacked_nothing_more_is_delivered() -> None:
    """Partition 0's records 0 to 2 came together with those that cannot be read, and are gone; 3 to 5 without them would never be missed."""
    read_within_bounds()
    positions = Positions()
    told: list[UnpackError] = []
    given: list[Any] = []
    fetcher: Any = object.__new__(Fetcher)
    fetcher._subscriptions = SimpleNamespace(reassignment_in_progress=False)
    fetcher._notify, fetcher._wait_consume_future = (lambda _: None), None
    fetcher._records = {GOOD: fetched(positions, GOOD, batch(0)), BAD: fetched(positions, BAD, of_codec(5))}

    async def nothing(_: float) -> None:
        """No wait."""

    async def deliver() -> None:
        consumer: Any = object.__new__(BatchConsumer)
        consumer._fetching, consumer._fetch_failed, consumer.sleep = asyncio.Lock(), False, nothing
        consumer._acked = {GOOD: [], BAD: []}
        consumer.flow = SimpleNamespace(taker=lambda *_: SimpleNamespace(reached=lambda *_: None), failed=told.append)
        consumer._positions = lambda wanted: dict.fromkeys(wanted, 0)
        consumer._thread = SimpleNamespace(getmany=fetcher.fetched_records)
        given.append(await consumer._getmany({GOOD, BAD}, 0))
        assert positions.of[GOOD].position == 3, "aiokafka counts them as taken"
        fetcher._records[GOOD] = fetched(positions, GOOD, batch(3))
        given.append(await consumer._getmany({GOOD, BAD}, 0))

    asyncio.run(deliver())
    assert given == [{}, {}]
    (error,) = told
    assert isinstance(error, UnpackError)
    assert str(error).startswith("Topic 'payments', partition 1, offset 7: ")


def test_a_topic_that_may_not_be_read_ends_the_worker_by_its_cause() -> None:
    """The right, and on what; not what Faust would make of it."""
    told: list[FraudstreamError] = []

    async def refused(*_: Any) -> Any:
        raise TopicAuthorizationFailedError("payments")

    async def deliver() -> None:
        consumer: Any = object.__new__(BatchConsumer)
        consumer._fetching, consumer._fetch_failed = asyncio.Lock(), False
        consumer.flow = SimpleNamespace(taker=lambda *_: SimpleNamespace(), failed=told.append)
        consumer._thread = SimpleNamespace(getmany=refused)
        assert await consumer._getmany({GOOD}, 0) == {}

    asyncio.run(deliver())
    (error,) = told
    assert isinstance(error, Refused)
    assert "lacks the right READ on topic 'payments'" in str(error)
