"""Past transactions and their labels, published again: in order of time, at a rate, at a multiple of real time, or at once.

1. `Replay` merges transactions and labels by time: a label is due when the replayed time reaches its `labelled_at`, before the
   transactions of that millisecond.
2. `Pace` gives each event the second at which it is due. The schedule is open-loop: it never waits for Kafka, so a slow broker shows as
   lateness (`Tally.late_s`) and is not hidden in a lower rate.
3. `produce` encodes what is due, in order, and hands it to a `ReplaySink`.

The records' Kafka timestamp is the wall clock's *now*, not `event_time`: latency can then be measured, topics do not delete a history of
2018 at once by their retention, and nothing is "ahead of its record".
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import repeat
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2

from stream_app.errors import TopologyError, Unavailable
from stream_app.messages.transaction import Label, Transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    type Columns = Mapping[str, Sequence[Any] | NDArray[Any]]
    type Record = tuple[bytes, bytes]  # key, value

CHUNK = 1_000
BATCH_BYTES = 131_072
MAX_IN_FLIGHT = 64
IDLE_S = 0.2
ATTRIBUTE = "attributes."


@dataclass(frozen=True, slots=True, eq=False)
class Replay:
    """What is to be published. Columns carry contract names and stand in order of their times; a missing value is None or NaN."""

    transactions: Columns
    transaction_times_ms: NDArray[np.int64]
    labels: Columns
    label_times_ms: NDArray[np.int64]

    def __len__(self) -> int:
        """Transactions and labels together."""
        return len(self.transaction_times_ms) + len(self.label_times_ms)

    def order(self) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Which events, in order of time, are transactions; and their times, ms."""
        times = np.concatenate([self.label_times_ms, self.transaction_times_ms])
        merged = np.argsort(times, kind="stable")  # labels stand first: they win ties
        return merged >= len(self.label_times_ms), times[merged]


@dataclass(frozen=True, slots=True)
class Pace:
    """`rate`: transactions a second. `speed`: seconds of event time in one second. Neither: as fast as possible."""

    rate: float | None = None
    speed: float | None = None

    @property
    def is_set(self) -> bool:
        """Whether there is a schedule to be late for."""
        return self.rate is not None or self.speed is not None

    def due_s(self, is_transaction: NDArray[np.bool_], times_ms: NDArray[np.int64]) -> NDArray[np.float64]:
        """Seconds after the start at which each event is due; never falling. With a rate, labels go along with the next transaction."""
        if self.rate is not None:
            before = np.cumsum(is_transaction, dtype=np.float64) - is_transaction
        elif self.speed is not None:
            before = (times_ms - times_ms[:1]).astype(np.float64)
        else:
            return np.zeros(len(times_ms))
        return np.asarray(before / (self.rate or 1000.0 * (self.speed or 1)), np.float64)


@dataclass(slots=True)
class Tally:
    """What has happened so far; shared with whoever shows it. `late_s`: how late the newest run left."""

    transactions: int = 0
    labels: int = 0
    acknowledged: int = 0
    failed: int = 0
    seconds: float = 0.0
    late_s: float = 0.0
    error: str = ""

    @property
    def rate(self) -> float:
        """Transactions a second."""
        return self.transactions / self.seconds if self.seconds else 0.0


class ReplaySink(Protocol):
    """Where records go. `publish` may wait: back-pressure."""

    async def publish(self, topic: str, records: Sequence[Record]) -> None:
        """Hand over records; those of one key keep their order."""

    async def flush(self) -> None:
        """Wait for the outcome of all."""


@dataclass(frozen=True, slots=True)
class ReplayTopics:
    """Where transactions and labels go."""

    transactions: str
    labels: str


async def produce(
    replay: Replay,
    publisher: ReplaySink,
    topics: ReplayTopics,
    pace: Pace,
    tally: Tally,
    *,
    on_chunk: Callable[[Tally], None] = lambda _tally: None,
) -> None:
    """Publish the replay in runs of at most `CHUNK` transactions, or labels; ends early once a record has failed."""
    is_transaction, times_ms = replay.order()
    due_s = pace.due_s(is_transaction, times_ms)
    runs = np.append(np.flatnonzero(np.diff(is_transaction)) + 1, len(due_s))
    start, position = time.monotonic(), 0
    while position < len(due_s) and not tally.failed:
        tally.seconds = time.monotonic() - start
        due = int(np.searchsorted(due_s, tally.seconds, side="right"))
        if due <= position:
            await asyncio.sleep(min(float(due_s[position]) - tally.seconds, IDLE_S))
            continue
        tally.late_s = tally.seconds - float(due_s[position]) if pace.is_set else 0.0
        end = min(due, position + CHUNK, int(runs[np.searchsorted(runs, position, side="right")]))
        if is_transaction[position]:
            from_, tally.transactions = tally.transactions, tally.transactions + end - position
            await publisher.publish(topics.transactions, transaction_records(replay.transactions, from_, tally.transactions))
        else:
            from_, tally.labels = tally.labels, tally.labels + end - position
            await publisher.publish(topics.labels, label_records(replay.labels, from_, tally.labels))
        position = end
        on_chunk(tally)
    await publisher.flush()
    tally.seconds = time.monotonic() - start
    on_chunk(tally)


def transaction_records(columns: Columns, from_: int, to: int) -> list[Record]:
    """Rows [from, to) as `transaction.v1`; optional fields without a value, and columns that are no field of it, are left out."""
    values = {name: _values(column, from_, to) for name, column in columns.items()}
    own = {name.removeprefix(ATTRIBUTE): column for name, column in values.items() if name.startswith(ATTRIBUTE)}
    if own:
        rows = zip(*own.values(), strict=True)
        values["attributes"] = [{name: value for name, value in zip(own, row, strict=True) if value is not None} or None for row in rows]
    if "type" in values:
        values["type"] = [kind or "purchase" for kind in values["type"]]
    missing: dict[str, Iterable[Any]] = {"type": repeat("purchase")}
    return _encoded(map(Transaction, *(values.get(name) or missing.get(name, _NOTHING) for name in Transaction.__struct_fields__)))


def label_records(columns: Columns, from_: int, to: int) -> list[Record]:
    """The same for `label.v1`."""
    names = Label.__struct_fields__
    return _encoded(map(Label, *(_values(columns[name], from_, to) if name in columns else _NOTHING for name in names)))


_ENCODER = msgspec.json.Encoder()
_NOTHING = repeat(None)


def _encoded(messages: Iterable[Transaction | Label]) -> list[Record]:
    encode = _ENCODER.encode
    return [(message.card_id.encode(), encode(message)) for message in messages]


def _values(column: Sequence[Any] | NDArray[Any], from_: int, to: int) -> list[Any]:
    """Python values of a slice; NaN becomes None (only NaN differs from itself)."""
    part = column[from_:to]
    values = part.tolist() if isinstance(part, np.ndarray) else part
    return [value if value == value else None for value in values]  # noqa: PLR0124


@dataclass(slots=True)
class KafkaReplaySink:
    """Batches built here and sent whole: several times faster than aiokafka's `send`, with the order of each partition kept.

    Keys go to the partition that Kafka's own default partitioner (murmur2) would choose. At most one batch of a partition waits behind
    the one on its way, and at most `MAX_IN_FLIGHT` batches are not acknowledged: a slow broker makes `publish` wait.
    """

    producer: Any
    partitions: Mapping[str, int]
    tally: Tally
    _in_flight: set[asyncio.Future[Any]] = field(default_factory=set)
    _hashes: dict[bytes, int] = field(default_factory=dict)

    async def publish(self, topic: str, records: Sequence[Record]) -> None:
        """Queue records; those of one partition keep their order."""
        by_partition: defaultdict[int, list[Record]] = defaultdict(list)
        for record in records:
            by_partition[self._hash(record[0]) % self.partitions[topic]].append(record)
        for partition, own in by_partition.items():
            batch = self.producer.create_batch()
            for key, value in own:
                if batch.append(key=key, value=value, timestamp=None) is None:
                    await self._send(batch, topic, partition)
                    batch = self.producer.create_batch()
                    batch.append(key=key, value=value, timestamp=None)
            await self._send(batch, topic, partition)

    async def flush(self) -> None:
        """Wait until every batch is acknowledged or has failed."""
        if self._in_flight:
            await asyncio.wait(self._in_flight)

    def _hash(self, key: bytes) -> int:
        known = self._hashes.get(key)
        if known is None:
            known = self._hashes[key] = murmur2(key) & 0x7FFFFFFF
        return known

    async def _send(self, batch: Any, topic: str, partition: int) -> None:
        while len(self._in_flight) >= MAX_IN_FLIGHT:
            await asyncio.wait(self._in_flight, return_when=asyncio.FIRST_COMPLETED)
        number = batch.record_count()
        try:
            future = await self.producer.send_batch(batch, topic, partition=partition)
        except KafkaError as error:
            self._fail(number, error)
            return
        self._in_flight.add(future)
        future.add_done_callback(lambda done: self._done(done, number))

    def _done(self, future: asyncio.Future[Any], number: int) -> None:
        self._in_flight.discard(future)
        error = future.exception()
        if error is None:
            self.tally.acknowledged += number
        else:
            self._fail(number, error)

    def _fail(self, number: int, error: BaseException) -> None:
        self.tally.failed += number
        self.tally.error = self.tally.error or str(error) or type(error).__name__


async def produce_to_kafka(
    replay: Replay, client: Mapping[str, Any], topics: ReplayTopics, pace: Pace, tally: Tally, on_chunk: Callable[[Tally], None]
) -> None:
    """Publish to real Kafka, idempotent, acks=all; `client` is what `stream_app.adapters.kafka.options.client_options` returns.

    Raises:
        Unavailable: Kafka does not answer.
        TopologyError: a topic is missing, or the two have different numbers of partitions.
    """
    servers = client["bootstrap_servers"]
    try:
        partitions = await _partitions(client, topics)
        producer = AIOKafkaProducer(**client, acks="all", enable_idempotence=True, max_batch_size=BATCH_BYTES)
        await producer.start()
    except KafkaError as error:
        remedy = "Start it (`fraudstream local up`), or set FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS."
        raise Unavailable(f"Kafka at {servers} does not answer ({error}). {remedy}") from None
    try:
        await produce(replay, KafkaReplaySink(producer, partitions, tally), topics, pace, tally, on_chunk=on_chunk)
    finally:
        await producer.stop()


async def _partitions(client: Mapping[str, Any], topics: ReplayTopics) -> dict[str, int]:
    """Number of partitions of both topics. Asked of the admin API: a producer's question could create them, with a wrong number."""
    admin = AIOKafkaAdminClient(**client)
    try:
        await admin.start()
        there = set(await admin.list_topics())
        for topic in (topics.transactions, topics.labels):
            if topic not in there:
                raise TopologyError(f"Topic {topic!r} is missing. Create it, and the others: fraudstream topics --partitions 4")
        described = await admin.describe_topics([topics.transactions, topics.labels])
    finally:
        await admin.close()
    numbers = {topic["topic"]: len(topic["partitions"]) for topic in described}
    if len(set(numbers.values())) > 1:
        counts = ", ".join(f"{topic!r} {number}" for topic, number in numbers.items())
        raise TopologyError(f"Topics differ in their number of partitions: {counts}. Create them again with the same number.")
    return numbers
