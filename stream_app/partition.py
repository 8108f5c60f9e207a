"""The work on one partition: its micro-batches, one after the other, by one task that is the partition's only writer. Knows no Faust."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec
from loguru import logger

from stream_app.errors import RecordError, Unavailable
from stream_app.intake import Decoded, Intake, dead_letter, decode_all, merge
from stream_app.money import Money
from stream_app.ports import Cursor, Observer, Outgoing, PartitionState, Publisher, Record
from stream_app.scorer import Scorer
from stream_app.transaction import Decoder, IntakeRules, Label, Transaction
from stream_app.waiting import Done, Fetched, Waiting

RETRY_FOR_S = 60.0
"""How long a micro-batch waits for Kafka or Redis before the worker stops and leaves it to its supervisor."""
QUIET_S, REMIND_S = 5.0, 30.0
"""A step that is tried again for this long is told of, and again after that."""
_LOOK_AGAIN_S = 0.02
_QUEUED_BATCHES = 2


@dataclass(frozen=True, slots=True)
class Topics:
    """Names of the topics that a partition reads and refuses into."""

    transactions: str
    labels: str
    transactions_dlq: str
    labels_dlq: str


@dataclass(frozen=True, slots=True)
class Workplace:
    """What every partition of a worker shares.

    Attributes:
        scorer: asked for each batch, so that a model can change between two.
        end_offset: the log's end of a topic and partition as last heard, None before the first answer.
        most_records: largest micro-batch.
        away: which server does not answer, where somebody else tells of it, or None.
    """

    scorer: Callable[[], Scorer]
    end_offset: Callable[[str, int], int | None]
    publisher: Publisher
    observer: Observer
    topics: Topics
    rules: IntakeRules
    money: Money
    most_records: int = 1000
    away: Callable[[], str | None] = lambda: None


class Partition:
    """Takes payments and labels of one partition through all steps.

    For each micro-batch:

    1. *read* cursor, cards and terminals;
    2. *compute* features, scores, decisions;
    3. *publish* scores, alerts and dead letters, every one acknowledged;
    4. *write* cards, terminals and cursor in one transaction that fails if the cursor changed;
    5. *acknowledge* to Kafka. The committed offset is for monitoring: the cursor decides.

    While payments lag, labels are merged with them by time, as in training: a label waits until the payments have reached its
    `labelled_at`, and payments wait until the labels are fetched. Where nothing lags, a label counts from its arrival.
    """

    def __init__(self, number: int, state: PartitionState, cursor: Cursor, workplace: Workplace) -> None:
        self.number = number
        self.cursor = cursor
        self._state = state
        self._shared = workplace
        self._decode_payments = Decoder(Transaction, workplace.rules)
        self._decode_labels = Decoder(Label, workplace.rules)
        self._payments = Waiting(cursor.transactions)
        self._labels = Waiting(cursor.labels)
        self._reached_ms = 0
        self._wake = asyncio.Event()

    def wants(self, topic: str) -> bool:
        """Whether more records of this topic can be queued here."""
        waiting = self._payments if topic == self._shared.topics.transactions else self._labels
        return waiting.count < _QUEUED_BATCHES * self._shared.most_records

    def put(self, topic: str, fetched: Fetched) -> None:
        """Queue records; those of a topic are taken in order."""
        (self._payments if topic == self._shared.topics.transactions else self._labels).put(fetched)
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled.

        Raises:
            FraudstreamError: when going on would be wrong.
        """
        while True:
            intake, offsets, done = self._next()
            if not done and not intake.events.kinds.size and offsets == (None, None):
                await self._something_new()
                continue
            await self._take_through(intake, offsets)
            for acknowledge in done:
                acknowledge()

    async def _something_new(self) -> None:
        """Wait for records; look again soon where labels or payments wait for one another."""
        self._wake.clear()
        patience = _LOOK_AGAIN_S if self._payments.count or self._labels.count else None
        try:
            await asyncio.wait_for(self._wake.wait(), patience)
        except TimeoutError:
            return

    def _next(self) -> tuple[Intake, tuple[int | None, int | None], list[Done]]:
        """The next micro-batch, the next offsets of both topics after it (None: as before), and what it acknowledges."""
        records: list[Record] = []
        done: list[Done] = []
        if self._labels.count or self._all_fetched(self._shared.topics.labels, self._labels):
            records, done = self._payments.take(self._shared.most_records)
        fresh = [r for r in records if r.offset >= self.cursor.transactions]
        payments = decode_all(fresh, self._decode_payments)
        self._reached_ms = max([self._reached_ms, *[m.event_time for m in payments.messages]])
        labels, more_done = self._due_labels()
        offsets = (records[-1].offset + 1 if fresh else None, labels[-1].offset + 1 if labels else None)
        intake = merge(payments, decode_all(labels, self._decode_labels), self._shared.money)
        return intake, offsets, done + more_done

    def _due_labels(self) -> tuple[list[Record], list[Done]]:
        if not self._labels.count:
            return [], []
        live = not self._payments.count and self._all_fetched(self._shared.topics.transactions, self._payments)
        records, done = self._labels.take(self._shared.most_records, None if live else self._ahead)
        return [r for r in records if r.offset >= self.cursor.labels], done

    def _ahead(self, record: Record) -> bool:
        """Whether a label is from a time that the payments have not reached."""
        try:
            return self._decode_labels.decode(record.value, record.key, record.timestamp).labelled_at > self._reached_ms
        except RecordError:
            return False

    def _all_fetched(self, topic: str, waiting: Waiting) -> bool:
        end = self._shared.end_offset(topic, self.number)
        return end is not None and waiting.position >= end

    async def _patiently[T](self, step: Callable[[], Awaitable[T]]) -> T:
        """One step; while a server is away, wait and try the same again, for a bounded time."""
        began, pause = time.monotonic(), 0.05
        tell_at = began + QUIET_S
        while True:
            try:
                return await step()
            except Unavailable as error:
                if (now := time.monotonic()) > began + RETRY_FOR_S:
                    raise
                if now > tell_at and self._shared.away() is None:
                    logger.warning("Partition {}: {} Trying again.", self.number, error)
                    tell_at = now + REMIND_S
                await asyncio.sleep(pause)
                pause = min(2 * pause, 2.0)

    async def _take_through(self, intake: Intake, offsets: tuple[int | None, int | None]) -> None:
        """All steps but the acknowledgement. Each is tried again by itself: features are computed once.

        Raises:
            Unavailable: if a server stayed away; what was published and not written is decided again by the next owner.
            NotOwner, StateError: nothing was written.
        """
        shared, clock = self._shared, time.perf_counter
        began = clock()
        work = await self._patiently(lambda: self._state.read(intake.ids))
        read = clock()
        decided = shared.scorer().decide(intake, work, (shared.topics.transactions, self.number))
        packed = self._state.pack(work)
        scored = clock()
        await self._patiently(lambda: shared.publisher.publish(self.number, decided.messages + self._dead_letters(intake)))
        published = clock()
        payments, labels = offsets
        cursor = msgspec.structs.replace(
            self.cursor,
            transactions=self.cursor.transactions if payments is None else payments,
            labels=self.cursor.labels if labels is None else labels,
        )
        await self._patiently(lambda: self._state.write(packed, cursor))
        self.cursor = cursor
        written = clock()
        stages = {"read": read - began, "score": scored - read, "publish": published - scored, "write": written - published}
        self._observe(intake, decided.counts, stages)

    def _dead_letters(self, intake: Intake) -> list[Outgoing]:
        topics = self._shared.topics
        return self._refused(intake.payments, topics.transactions, topics.transactions_dlq) + self._refused(
            intake.labels, topics.labels, topics.labels_dlq
        )

    def _refused[T: (Transaction, Label)](self, decoded: Decoded[T], topic: str, dead_letters: str) -> list[Outgoing]:
        source, redacted = (topic, self.number), self._shared.rules.refuse_card_numbers
        return [dead_letter(record, error, source, dead_letters, redacted=redacted) for record, error in decoded.refused]

    def _observe(self, intake: Intake, counts: dict[str, int], stages: dict[str, float]) -> None:
        observer = self._shared.observer
        for name, seconds in stages.items():
            observer.stage(name, seconds)
        for what, count in counts.items():
            observer.counted(what, count)
        for _, error in intake.payments.refused + intake.labels.refused:
            observer.refused(error.code)
        if intake.payments.messages:
            observer.latency(time.time() - intake.payments.timestamps_ms[0] / 1000)
