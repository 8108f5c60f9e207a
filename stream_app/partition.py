"""The work on one partition: its micro-batches, one after the other, by one task that is the partition's only writer. Knows no Faust."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
from loguru import logger

from stream_app.errors import Unavailable
from stream_app.intake import Intake, dead_letter, label_events, take_in, transaction_events
from stream_app.money import Money
from stream_app.ports import Cursor, Observer, Outgoing, PartitionState, Publisher, Record
from stream_app.scorer import Scorer
from stream_app.transaction import Decoder, IntakeRules, Label, Transaction

RETRY_FOR_S = 60.0
"""How long a micro-batch waits for Kafka or Redis before the worker stops and leaves it to its supervisor."""


@dataclass(frozen=True, slots=True)
class Topics:
    """Names of the topics that a partition reads and refuses into."""

    transactions: str
    labels: str
    transactions_dlq: str
    labels_dlq: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one topic and partition, in order, and what to call when their effects stand."""

    topic: str
    records: Sequence[Record]
    done: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Workplace:
    """What every partition of a worker shares. `scorer` is asked for each batch, so that a model can change between two."""

    scorer: Callable[[], Scorer]
    publisher: Publisher
    observer: Observer
    topics: Topics
    rules: IntakeRules
    money: Money
    most_records: int = 1000


class Partition:
    """Takes the records of one partition through all steps.

    For each micro-batch:

    1. *read* cursor, cards and terminals;
    2. *compute* features, scores, decisions;
    3. *publish* scores, alerts and dead letters, every one acknowledged;
    4. *write* cards, terminals and cursor in one transaction that fails if the cursor changed;
    5. *acknowledge* to Kafka. The committed offset is for monitoring: the cursor decides.
    """

    def __init__(self, number: int, state: PartitionState, cursor: Cursor, workplace: Workplace) -> None:
        self.number = number
        self.cursor = cursor
        self._state = state
        self._shared = workplace
        self._transactions = Decoder(Transaction, workplace.rules)
        self._labels = Decoder(Label, workplace.rules)
        self._to_events = transaction_events(workplace.money)
        self._waiting: deque[Batch] = deque()
        self._wake = asyncio.Event()

    @property
    def full(self) -> bool:
        """Whether enough records wait here, so that no more need be fetched."""
        return sum(len(b.records) for b in self._waiting) >= self._shared.most_records

    def put(self, batch: Batch) -> None:
        """Queue records; they are taken in order."""
        self._waiting.append(batch)
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled.

        Raises:
            FraudstreamError: when going on would be wrong.
        """
        while True:
            while not self._waiting:
                self._wake.clear()
                await self._wake.wait()
            batch = self._next()
            await self._with_patience(batch)
            batch.done()

    def _next(self) -> Batch:
        """The records that wait, of one topic, up to the largest micro-batch."""
        first = self._waiting.popleft()
        records, done = list(first.records), first.done
        while (
            self._waiting
            and self._waiting[0].topic == first.topic
            and len(records) + len(self._waiting[0].records) <= self._shared.most_records
        ):
            more = self._waiting.popleft()
            records.extend(more.records)
            done = more.done  # acknowledging the last acknowledges all before it
        return Batch(first.topic, records, done)

    async def _with_patience(self, batch: Batch) -> None:
        """Take the batch through; while a server is away, wait and try again from the start, for a bounded time."""
        deadline, pause = time.monotonic() + RETRY_FOR_S, 0.05
        while True:
            try:
                await self.take_through(batch)
            except Unavailable as error:
                if time.monotonic() > deadline:
                    raise
                logger.warning("Partition {}: {} Trying again.", self.number, error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, 2.0)
            else:
                return

    async def take_through(self, batch: Batch) -> None:
        """All steps but the acknowledgement.

        Raises:
            Unavailable, NotOwner, StateError: nothing was written.
        """
        if batch.topic == self._shared.topics.transactions:
            records = [r for r in batch.records if r.offset >= self.cursor.transactions]
            if records:
                await self._transactions_through(records)
        else:
            records = [r for r in batch.records if r.offset >= self.cursor.labels]
            if records:
                await self._labels_through(records)

    async def _transactions_through(self, records: list[Record]) -> None:
        shared, observer, clock = self._shared, self._shared.observer, time.perf_counter
        scorer, began = shared.scorer(), clock()
        intake = take_in(records, self._transactions, self._to_events)
        decoded = clock()
        work = await self._state.read(intake.card_ids, intake.terminal_ids)
        read = clock()
        decided = scorer.decide(intake, work, (shared.topics.transactions, self.number))
        scored = clock()
        refused = self._refused(intake, shared.topics.transactions, shared.topics.transactions_dlq)
        await shared.publisher.publish(self.number, decided.messages + refused)
        published = clock()
        cursor = msgspec.structs.replace(self.cursor, transactions=records[-1].offset + 1)
        await self._state.write(work, cursor)
        self.cursor = cursor
        written = clock()
        for name, seconds in (
            ("decode", decoded - began),
            ("read", read - decoded),
            ("score", scored - read),
            ("publish", published - scored),
            ("write", written - published),
        ):
            observer.stage(name, seconds)
        for what, count in decided.counts.items():
            observer.counted(what, count)
        observer.latency(time.time() - records[0].timestamp / 1000)

    async def _labels_through(self, records: list[Record]) -> None:
        shared = self._shared
        intake = take_in(records, self._labels, label_events)
        work = await self._state.read(intake.card_ids, intake.terminal_ids)
        shared.scorer().learn(intake, work)
        await shared.publisher.publish(self.number, self._refused(intake, shared.topics.labels, shared.topics.labels_dlq))
        cursor = msgspec.structs.replace(self.cursor, labels=records[-1].offset + 1)
        await self._state.write(work, cursor)
        self.cursor = cursor
        shared.observer.counted("labels", len(intake.messages))

    def _refused[T: (Transaction, Label)](self, intake: Intake[T], topic: str, dead_letters: str) -> list[Outgoing]:
        for _, error in intake.refused:
            self._shared.observer.refused(error.code)
        source, redacted = (topic, self.number), self._shared.rules.refuse_card_numbers
        return [dead_letter(record, error, source, dead_letters, redacted=redacted) for record, error in intake.refused]
