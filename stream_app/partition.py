"""The work on one partition: its micro-batches, one after the other, by one task that is the partition's only writer. Knows no Faust."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import msgspec

from stream_app.errors import RecordError
from stream_app.intake import Decoded, Intake, dead_letter, decode_all, merge
from stream_app.money import Money
from stream_app.patience import patiently
from stream_app.ports import Cursor, Observer, Outgoing, Publisher, Record, WorkingSet
from stream_app.rebuild import RebuildProgress
from stream_app.scorer import Scorer
from stream_app.standing import position_header
from stream_app.takeover import Taken, Takeover, Topics
from stream_app.transaction import Decoder, IntakeRules, Label, Transaction
from stream_app.waiting import Done, Fetched, Waiting

_LOOK_AGAIN_S = 0.02
_QUEUED_BATCHES = 2


@dataclass(frozen=True, slots=True)
class Workplace:
    """What every partition of a worker shares.

    Attributes:
        scorer: asked for each batch, so that a model can change between two.
        end_offset: the log's end of a topic and partition as last heard, None before the first answer.
        takeover: asked what is published where a publication ended unknown.
        most_records: largest micro-batch.
        away: which server does not answer, where somebody else tells of it, or None.
    """

    scorer: Callable[[], Scorer]
    end_offset: Callable[[str, int], int | None]
    publisher: Publisher
    takeover: Takeover
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

    While state is rebuilt, records below `cursor.decided` are counted and nothing is published for them.
    """

    def __init__(self, number: int, taken: Taken, workplace: Workplace) -> None:
        self.number = number
        self.cursor = cursor = taken.cursor
        self._state = taken.state
        self._standing = taken.standing if not taken.standing.passed_by(cursor) else None
        self._rebuild = RebuildProgress(number, cursor, workplace.observer) if cursor.rebuilding else None
        self._outputs: dict[str, int] = {}
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
            records, done = self._payments.take(self._shared.most_records, self._decided_below())
        fresh = [r for r in records if r.offset >= self.cursor.transactions]
        payments = decode_all(fresh, self._decode_payments)
        self._reached_ms = max([self._reached_ms, *[m.event_time for m in payments.messages]])
        labels, more_done = self._due_labels()
        offsets = (records[-1].offset + 1 if fresh else None, labels[-1].offset + 1 if labels else None)
        intake = merge(payments, decode_all(labels, self._decode_labels), self._shared.money)
        return intake, offsets, done + more_done

    def _decided_below(self) -> Callable[[Record], bool] | None:
        """Where the next batch ends at the latest: all its payments lie below `decided`, or none does."""
        decided = self.cursor.decided[0]
        return (lambda record: record.offset >= decided) if self.cursor.transactions < decided else None

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

    async def _take_through(self, intake: Intake, offsets: tuple[int | None, int | None]) -> None:
        """All steps but the acknowledgement. Each is tried again by itself: features are computed once.

        Raises:
            Unavailable: if a server stayed away; what was published and not written is found by the next owner.
            NotOwner, StateError: nothing was written.
        """
        shared, clock = self._shared, time.perf_counter
        began = clock()
        work = await patiently(lambda: self._state.read(intake.ids), self.number, shared.away)
        read = clock()
        decided = shared.scorer().decide(intake, self._doubted(work, intake), (shared.topics.transactions, self.number), self._standing)
        packed = self._state.pack(work)
        scored = clock()
        await self._publish(decided.messages + self._dead_letters(intake))
        published = clock()
        cursor = self._after(offsets)
        await patiently(lambda: self._state.write(packed, cursor), self.number, shared.away)
        self.cursor = cursor
        written = clock()
        stages = {"read": read - began, "score": scored - read, "publish": published - scored, "write": written - published}
        self._observe(intake, decided.counts, stages)

    def _doubted(self, work: WorkingSet, intake: Intake) -> WorkingSet:
        """The working set, degraded as long as topics that do not keep the horizon leave windows unfilled."""
        full_from_ms, newest_ms = self.cursor.full_from_ms, max(intake.payments.timestamps_ms, default=0)
        if work.degraded or newest_ms >= full_from_ms:
            return work
        day = datetime.fromtimestamp(full_from_ms / 1000, UTC).date()
        return replace(work, degraded=f"state was lost and the topics keep less than the windows need: they are full from {day}")

    async def _publish(self, messages: Sequence[Outgoing]) -> None:
        """Publish all; where a publication ended unknown, only what is found to be missing is published again."""
        headers = (position_header(self.cursor, self._shared.topics.read),)
        left, unsure = list(messages), False

        async def step() -> None:
            nonlocal left, unsure
            if unsure:
                left = await self._shared.takeover.missing(self.number, self.cursor, left)
            unsure = True
            self._outputs |= await self._shared.publisher.publish(self.number, left, headers)

        if messages:
            await patiently(step, self.number, self._shared.away)

    def _after(self, offsets: tuple[int | None, int | None]) -> Cursor:
        """The cursor after a batch. Positions of outputs stay while something stands there that was not reached yet."""
        payments, labels = offsets
        cursor = msgspec.structs.replace(
            self.cursor,
            transactions=self.cursor.transactions if payments is None else payments,
            labels=self.cursor.labels if labels is None else labels,
        )
        if self._standing is not None and self._standing.passed_by(cursor):
            self._standing = None
        if self._standing is None and self._outputs:
            cursor = msgspec.structs.replace(cursor, outputs=cursor.outputs | self._outputs)
            self._outputs = {}
        return cursor

    def _dead_letters(self, intake: Intake) -> list[Outgoing]:
        topics, (payments, labels) = self._shared.topics, self.cursor.decided
        letters = self._refused(intake.payments, topics.transactions, topics.transactions_dlq, payments)
        letters += self._refused(intake.labels, topics.labels, topics.labels_dlq, labels)
        return letters

    def _refused[T: (Transaction, Label)](self, decoded: Decoded[T], topic: str, dead_letters: str, decided: int) -> list[Outgoing]:
        source, redacted = (topic, self.number), self._shared.rules.refuse_card_numbers
        there = self._standing.refused if self._standing else frozenset[tuple[str, int]]()
        return [
            dead_letter(record, error, source, dead_letters, redacted=redacted)
            for record, error in decoded.refused
            if record.offset >= decided and (dead_letters, record.offset) not in there
        ]

    def _observe(self, intake: Intake, counts: dict[str, int], stages: dict[str, float]) -> None:
        observer = self._shared.observer
        for name, seconds in stages.items():
            observer.stage(name, seconds)
        for what, count in counts.items():
            observer.counted(what, count)
        for _, error in intake.payments.refused + intake.labels.refused:
            observer.refused(error.code)
        if self._rebuild is not None:
            self._rebuild.reached(self.cursor)
            self._rebuild = None if self._rebuild.done else self._rebuild
        elif intake.payments.messages:
            observer.latency(time.time() - intake.payments.timestamps_ms[0] / 1000)
