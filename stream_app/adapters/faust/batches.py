"""The one place that knows Faust's insides: its consumer delivers lists of records, and acknowledges them by our rules.

Faust 0.15.3 hands an agent one record at a time (about 100 µs each) and acknowledges an event when the loop body is left, also by
an exception. Here all that one poll brought is delivered in one step, past its streams, and:

- what was fetched of a partition is acknowledged only after its effects stand; the offset to commit is the highest acknowledged + 1
  (a partition's are acknowledged in order), and nothing is guessed for gaps between offsets;
- on assignment the position comes from the cursor that stands beside the state, not from Kafka's committed offset;
- the consumer runs in the worker's own loop, see `in_loop`.

Faust keeps the group, the assignment, and the agent whose topics it subscribes to.

`tests/unit/adapters/test_faust_pins.py` pins each private name used here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, Protocol

import faust
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP
from loguru import logger

from stream_app.adapters.faust.in_loop import ConsumerInLoop
from stream_app.adapters.kafka.consumer import COMMITTED, MOST_FETCHED_BYTES
from stream_app.adapters.kafka.errors import unpack_error
from stream_app.adapters.kafka.record_batches import read_within_bounds
from stream_app.adapters.kafka.refusals import refusal
from stream_app.errors import FraudstreamError, Stop
from stream_app.messages.records import Place

_SEEK_WITHIN_S = 60.0
"""Less than Faust waits for its partitions' positions (`broker_request_timeout`, 90 s); after that it ends what resumes them, and says nothing."""
_POLL_S = 1.0
_POLL_WHILE_FULL_S = 0.02
_ASK_GROUP_AGAIN_S = 2.0
_FETCH_WAIT_MS, _FETCH_MIN_BYTES = 2, 8_192
"""The broker answers a fetch when it has so many bytes, or after so long. An answer for each record is what costs a worker most where few come: 460
fetches a second, and rounds of a few payments each. In turns with an answer at once, at rest: at 2,000 payments/s p50 15.9 → 10.0 ms, p99 75 → 27, worker
0.62 → 0.54 of a core; at 500/s p50 5.6 → 8.1 ms, worker 0.67 → 0.50. With 8 ms it was slower at both.

aiokafka keeps one fetch a broker in flight, for the partitions whose records were all taken; one that is taken up a moment later is asked for only
after that fetch. Faust lets the broker hold it for 1.5 s where idle partitions alone are in it: measured 60 % idleness."""


class PartitionFlow(Protocol):
    """What the consumer asks of the worker."""

    def taker(self, topic: str, partition: int) -> Any:
        """Who takes more records of this partition now, or None."""
        ...

    def deliver(self, topic: str, fetched: FetchedBatch) -> None:
        """Take what was fetched for a taker; whether it is still there is looked at here."""
        ...

    def assign(self, assigned: set[Place], seek: Callable[[Mapping[Place, int]], Awaitable[None]]) -> Awaitable[Mapping[Place, int]]:
        """Take the assigned partitions over and seek each to its cursor; where that is."""
        ...

    def failed(self, error: FraudstreamError) -> None:
        """End the worker: records came that cannot be unpacked, or Kafka refuses what reading needs. No more are delivered."""
        ...


class FetchedBatch(NamedTuple):
    """What was fetched of one partition. What was fetched for a taker before a seek is never given to the next.

    Attributes:
        taker: who asked for it.
        records: in the log's order.
        position: the next offset to be fetched after them; marks of transactions take offsets too, so it can lie further on than the last record.
        size: bytes of keys, values and headers.
        done: acknowledges them.
    """

    taker: Any
    records: list[Any]
    position: int
    size: int
    done: Callable[[], None]


class _ConsumerThread(ConsumerInLoop):
    """Faust's consumer "thread"; the broker answers a fetch with `_FETCH_MIN_BYTES` or after `_FETCH_WAIT_MS`, and with committed records alone.

    What keeps it out of its group is told. aiokafka waits with it until somebody polls, and Faust polls nothing while nothing is assigned.
    """

    async def on_start(self) -> None:
        """See `AIOKafkaConsumerThread.on_start`."""
        await super().on_start()
        self._consumer._coordinator._push_error_to_user = self._group_error  # noqa: SLF001 - pinned by a test

    async def _group_error(self, error: Exception) -> None:
        """In place of aiokafka's: an end where waiting changes nothing; else one line, and the group is asked again."""
        group = self.consumer.app.conf.id
        told = refusal(error, "READ", group=group)
        if isinstance(told, Stop):
            self.consumer.flow.failed(told)
        else:
            logger.warning("Consumer group {!r}: {}. Trying again.", group, told or error)
        await asyncio.sleep(_ASK_GROUP_AGAIN_S)

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = _FETCH_WAIT_MS  # noqa: SLF001 - Faust passes a constant; pinned by a test
        consumer._fetch_min_bytes = _FETCH_MIN_BYTES  # noqa: SLF001 - Faust passes one byte; pinned too
        consumer._fetch_max_bytes = MOST_FETCHED_BYTES  # noqa: SLF001 - Faust passes none; pinned too
        consumer._isolation_level = COMMITTED  # noqa: SLF001 - Faust reads so only where it writes in transactions; pinned too
        return consumer


class BatchConsumer(Consumer):  # type: ignore[misc]
    """A Faust consumer of record batches."""

    flow: PartitionFlow

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._fetching = asyncio.Lock()
        self._fetch_failed = False
        self._late: asyncio.Future[Any] | None = None

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[Any]:  # noqa: ARG002, ASYNC109 - Faust's signature
        """Wait for records and deliver them, all at once: nothing is left for Faust's streams. See `faust.transport.consumer.Consumer.getmany`."""
        full = any(self.flow.taker(tp.topic, tp.partition) is None for tp in self._get_active_partitions())
        batches, _ = await self._wait_next_records(_POLL_WHILE_FULL_S if full else _POLL_S)
        if self.flow_active and not self.should_stop:
            for tp, batch in (batches or {}).items():
                self.flow.deliver(tp.topic, batch)
        for nothing in tuple[Any, ...]():
            yield nothing

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:  # noqa: ASYNC109 - Faust's signature
        """Ask only for partitions that have room; the others' records wait in the fetcher, and the broker behind it."""
        async with self._fetching:
            takers = {tp: self.flow.taker(tp.topic, tp.partition) for tp in active_partitions or ()}
            wanted = {tp for tp, taker in takers.items() if taker is not None}
            if wanted and not self._fetch_failed:
                try:
                    records = await super()._getmany(wanted, timeout)
                except Exception as error:
                    if (told := unpack_error(error) or refusal(error, "READ")) is None:
                        raise
                    # aiokafka drops what it took of other partitions before, and counts it as taken: the next answer would lack it
                    self._fetch_failed = True
                    self.flow.failed(told)
                    return {}
                positions = self._positions(wanted)
                for tp in wanted - records.keys():
                    takers[tp].reached(tp.topic, positions[tp])
                return {
                    tp: FetchedBatch(takers[tp], found, positions[tp], found.size, partial(self._acked[tp].append, found[-1].offset))
                    for tp, found in records.items()
                }
        await self.sleep(timeout)
        return {}

    def _positions(self, places: set[TP]) -> dict[TP, int]:
        """Next offset to be fetched; 0 where the assignment changed meanwhile."""
        subscription: Any = self._thread._ensure_consumer()._subscription.subscription  # noqa: SLF001 - told to coroutines only; pinned
        assignment = subscription.assignment if subscription is not None else None
        if assignment is None:
            return dict.fromkeys(places, 0)
        there = assignment.tps
        return {tp: (assignment.state_value(tp)._position or 0) if tp in there else 0 for tp in places}  # noqa: SLF001

    def readable_end(self, tp: TP) -> tuple[int, int] | None:
        """Where what can be read ends, as last heard: the log's end, or its first open transaction; and by which answer: when it came, ms.
        None before the first answer.
        """
        consumer = self._thread._ensure_consumer()  # noqa: SLF001 - Faust asks it only within transactions; pinned
        end, at_ms = consumer.last_stable_offset(tp), consumer.last_poll_timestamp(tp)
        return None if end is None or at_ms is None else (end, at_ms)

    async def seek_to(self, positions: Mapping[Place, int]) -> None:
        """Read partitions from other offsets, while the others go on.

        Never within a fetch: it would take records from behind the seek for one who asked before it, and nobody would get them.
        """
        async with self._fetching:
            await self._thread.seek_wait({TP(*place): offset for place, offset in positions.items()})

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Nothing. Faust would log an error for each partition from which it took no record for a while: here one that is idle, or waits
        for room or for a model. What waits, and a Kafka that is away, are told by `progress` and `outage`.
        """

    def _new_offset(self, tp: TP) -> int | None:
        """Highest acknowledged + 1: batches of a partition are acknowledged in order."""
        acked = self._acked[tp]
        if not acked:
            return None
        highest: int = max(acked)
        acked.clear()
        self._acked_index[tp].clear()
        return highest + 1

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek every assigned partition to its cursor.

        A takeover may read for as long as records come. One that takes longer than Faust waits goes on by itself, until the next assignment,
        and seeks when it is done: nobody takes records before.
        """
        if self._late is not None:
            self._late.cancel()
            await asyncio.wait([self._late])
        assigned = {(tp.topic, tp.partition) for tp in self.assignment()}
        self._late = takeover = asyncio.ensure_future(self.flow.assign(assigned, self.seek_to))
        try:
            async with asyncio.timeout(_SEEK_WITHIN_S):
                positions = await asyncio.shield(takeover)
        except TimeoutError:
            return {}
        except asyncio.CancelledError:
            takeover.cancel()
            raise
        return {TP(*place): offset for place, offset in positions.items()}


class BatchTransport(Transport):  # type: ignore[misc]
    """Faust's aiokafka transport with `BatchConsumer`."""

    Consumer = BatchConsumer


def use_batches(app: faust.App, flow: PartitionFlow) -> None:
    """Make `app` deliver record batches; `flow` decides what it takes and from where."""
    read_within_bounds()
    consumer = type("BoundBatchConsumer", (BatchConsumer,), {"flow": flow})
    transport = type("BoundBatchTransport", (BatchTransport,), {"Consumer": consumer})
    app.transport = transport(app.conf.broker_consumer, app, loop=app.loop)
