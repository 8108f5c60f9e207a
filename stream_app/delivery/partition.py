"""The work on one partition: its micro-batches, one after the other, by one task that is the partition's only writer. Knows no Faust.

Each goes through five steps; whatever is killed between two of them, the next owner finds what was done before:

    read         -> compute     -> publish         -> write             -> acknowledge
    cursor,         features,      scores, alerts,    what was read,       to Kafka, for
    cards,          scores,        dead letters:      changed, and the     monitoring alone:
    terminals …     decisions      every one is       cursor: one          the cursor decides
    (of several partitions         acknowledged       guarded transaction
    together: see `rounds`)

What is done with a record follows from where it lies in its log (of transactions and of labels alike):

                        begin           cursor            decided             end
    while rebuilding    |  counted      |  counted again  |  published and counted
                        begin           decided           cursor              end
    at work             |  counted      |  counted        |  published and counted

A publication failed, and what of it is there is not known; here of transactions 10 to 12, in one output:

                                    cursor            _unsure: the batch ends here
                                    |                 |
    transactions      …   8    9    10    11    12    13    …
    messages of them  …   8    9    10    12
                                    |       |
                       cursor.outputs       end: what lies between is read; 10 and 12 are there, 11 alone is published

1. Order. While payments lag, labels are merged with them by time, as in training: a label waits until the payments have reached its
   `labelled_at`, and payments wait until the labels are fetched. Where nothing lags, by two words of Kafka on the payments' end after the
   label, it counts from its arrival.
2. Nothing is published of a record below `decided`, and no label below it is judged again: it is noted. Of a label that falls due before all
   payments below it are counted, the outcome is unknown but where the alert is among those that are published. No batch has transactions
   from both sides of it, nor labels.
3. A step that fails because a server is away is tried again by itself: features are computed once.
4. Once a batch was handed to the publisher, its messages may be there: until the cursor has passed its end (`_unsure`), every publication
   reads the outputs first and sends what is missing. The batch may be taken again record by record meanwhile.
5. The next owner reads the outputs from `cursor.outputs` on. So that moves past a message only when the cursor has passed its record: it
   stays while messages of the owner before (`_published`), or those of rule 4, are ahead of the cursor.
6. What the owner before published stands, whatever would be decided now. It is forgotten when the cursor has passed all of it.
7. Where lost state was rebuilt from topics that keep too little, windows are full from `full_from_ms` on: a batch with a payment that came
   before is degraded, all of it.
8. State that a later version wrote stays as it is, and the cursor stays with it; `decided` alone goes on, with what is decided without that
   state. So a worker of that version, when it takes over, counts what lies between the two and publishes nothing of it. Nothing is swept. A
   label's outcome is unknown, and no note of it is left: with one, that worker would take the label for one that is sent again.

                                    cursor (written)  decided (written)   end
    state of a later version        |                 |                   |
    …  counted                      |  decided,       |  published, not counted
                                       not counted
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
from loguru import logger

from stream_app.delivery.batch_size import BatchSize
from stream_app.delivery.dead_letter import dead_letter
from stream_app.delivery.faulty_records import FaultyRecords
from stream_app.delivery.inbox import Admission, Fetched, Inbox, KnownEnd, MicroBatch
from stream_app.delivery.outputs import Outputs
from stream_app.delivery.placement import KeyWatch
from stream_app.delivery.rebuild import RebuildProgress
from stream_app.delivery.retry import with_retries
from stream_app.delivery.rounds import RoundPart, Rounds, RoundShare
from stream_app.delivery.sweeper import Sweeper
from stream_app.delivery.takeover import OwnedPartition, Takeover
from stream_app.delivery.topics import Topics
from stream_app.delivery.trusted_clock import TrustedClock
from stream_app.errors import Unavailable
from stream_app.messages.majority import sample
from stream_app.messages.money import Money
from stream_app.messages.records import Outgoing
from stream_app.messages.transaction import IntakeRules, Label, Transaction
from stream_app.scoring.already_published import position_header
from stream_app.scoring.intake import Decoded
from stream_app.scoring.observation import Observer
from stream_app.scoring.outcomes import NO_NOTES, LabelOutcomes, Notes, OutcomeRules, outcomes_of
from stream_app.scoring.ports import Publisher, StateSeen
from stream_app.scoring.positions import START, Cursor, Fingerprint, Position
from stream_app.scoring.scorer import Decided
from stream_app.wire.inputs import Inputs

_LOOK_AGAIN_S = 0.02
CONFIRM_EVERY_S = 5.0
"""A partition without records asks so often whether its state is there: a Redis that was emptied is rebuilt before the next payment comes."""


class Undecided(NamedTuple):
    """Of one topic: no record below this offset waits, and whether one that was fetched does."""

    first: int
    fetched: bool


@dataclass(frozen=True, slots=True)
class PartitionDependencies:
    """What every partition of a worker shares.

    Attributes:
        rounds: read, compute and pack, for several partitions together.
        end_of: where what can be read of a topic and partition ends, as last heard. None before the first answer.
        takeover: makes this worker the owner of a partition.
        outputs: asked what is published where a publication ended unknown.
        present: what time it is.
        most_records: largest micro-batch.
        away: which server does not answer, where somebody else tells of it, or None.
        keys: shown a key of each micro-batch.
        inputs: how records are read; None: as our own JSON.
        batch_size: how many records each takes at once.
    """

    rounds: Rounds
    end_of: Callable[[str, int], KnownEnd | None]
    publisher: Publisher
    takeover: Takeover
    outputs: Outputs
    observer: Observer
    topics: Topics
    rules: IntakeRules
    present: TrustedClock
    money: Money
    most_records: int = 1000
    away: Callable[[], str | None] = lambda: None
    keys: KeyWatch = field(default_factory=lambda: KeyWatch({}))
    inputs: Inputs | None = None
    batch_size: BatchSize = field(default_factory=BatchSize)


class Partition:
    """Takes payments and labels of one partition through all steps, by the rules above."""

    def __init__(self, number: int, owned: OwnedPartition, dependencies: PartitionDependencies, partitions: int = 1) -> None:
        """Begin where it was taken over.

        Args:
            number: its own.
            owned: its state and cursor.
            dependencies: what it shares with the others.
            partitions: how many the worker holds.
        """
        self.number = number
        self.cursor = cursor = owned.cursor
        self._state = owned.state
        self._published = owned.published if not owned.published.passed_by(cursor) else None
        self._rebuild = RebuildProgress(number, cursor, dependencies.observer) if cursor.rebuilding else None
        self._outputs: dict[str, int] = {}
        self._shared = dependencies
        gate = Admission(dependencies.inputs or Inputs.plain(dependencies.rules), dependencies.present, owned.published)
        self._inbox = Inbox(cursor, dependencies.topics.read, gate, self._end_of, partitions)
        self._sweeper = Sweeper(self._state.sweep, dependencies.observer, dependencies.present.now_ms)
        self._faulty_records = FaultyRecords(number, self._take_through, self._state.forget)
        self._left_at: Cursor | None = None
        self._in_hand: MicroBatch | None = None
        self._unsure = START
        self._wake = asyncio.Event()
        self._confirmed = time.monotonic()

    @property
    def name(self) -> str:
        """For logs."""
        return f"Partition {self.number}"

    def wants(self, topic: str) -> bool:
        """Whether more records of this topic can be queued here."""
        return self._inbox.has_room(topic, self._shared.most_records)

    def put(self, topic: str, fetched: Fetched) -> None:
        """Queue records; those of a topic are taken in order."""
        self._inbox.put(topic, fetched)
        self._wake.set()

    def reached(self, topic: str, position: int) -> None:
        """There is no record of this topic below this offset but those that were put here."""
        self._inbox.reached(topic, position)
        if self.cursor.rebuilding:  # what was left to count again may be no records: aborted since, or marks of transactions
            self._wake.set()

    def undecided(self, topic: str) -> Undecided:
        """What of a topic is not decided; it begins beyond the cursor where marks of transactions, or aborted ones, lie between."""
        topics = self._shared.topics.read
        at = dict(zip(topics, self.cursor.position, strict=True))[topic]
        if self._in_hand is not None and dict(zip(topics, self._in_hand.offsets, strict=True))[topic] is not None:
            return Undecided(at, fetched=True)
        first, fetched = self._inbox.waiting(topic)
        return Undecided(max(at, first), fetched)

    @property
    def oldest_ms(self) -> int | None:
        """Kafka timestamp of the oldest transaction that was fetched and is not decided yet, Unix ms; None where none is."""
        if self._in_hand is not None and (oldest := self._in_hand.payments.oldest_ms) is not None:
            return oldest
        return self._inbox.oldest_ms

    async def run(self) -> None:
        """Work until cancelled.

        Raises:
            FraudstreamError: when going on would be wrong.
        """
        while True:
            if self._inbox.went_back():
                await with_retries(self._still_there, self.name, self._shared.away)
            began = time.perf_counter()
            batch = self._inbox.next(self.cursor, self._shared.batch_size.of(self.number, self._shared.most_records))
            if batch.empty:
                await self._something_new()
                if time.monotonic() > self._confirmed + CONFIRM_EVERY_S:
                    await self._confirm()
                continue
            self._shared.observer.stage("decode", time.perf_counter() - began)
            self._in_hand = batch
            if batch.payments.oldest_ms is not None:
                self._shared.batch_size.took(self.number, (self._shared.present.now_ms() - batch.payments.oldest_ms) / 1000)
            await self._faulty_records.take(batch)
            self._in_hand, self._confirmed = None, time.monotonic()
            for acknowledge in batch.done:
                acknowledge()
            if not self.cursor.rebuilding and self._left_at is None:
                await self._sweeper.after([payment.event_time for payment in sample(batch.payments.messages)])

    async def _still_there(self) -> None:
        """Raise TopologyError if what was taken is no longer what the log holds."""
        await self._shared.takeover.still_there(self.number, self.cursor)

    async def _something_new(self) -> None:
        """Wait for records; look again soon where labels or payments wait for one another."""
        self._wake.clear()
        try:
            await asyncio.wait_for(self._wake.wait(), _LOOK_AGAIN_S if self._inbox.some else CONFIRM_EVERY_S)
        except TimeoutError:
            return

    async def _confirm(self) -> None:
        """Raise what `PartitionState.confirm` does; a store that is away is told of elsewhere, and asked again."""
        self._confirmed = time.monotonic()
        try:
            await self._state.confirm()
        except Unavailable:
            return

    def _end_of(self, topic: str) -> KnownEnd | None:
        return self._shared.end_of(topic, self.number)

    async def _take_through(self, batch: MicroBatch) -> None:
        """All steps but the acknowledgement.

        Raises:
            Unavailable: if a server stayed away; what was published and not written is found by the next owner.
            NotOwner, StateError: nothing was written.
        """
        reached = batch.offsets.after(self.cursor.position)
        try:
            await self._finish(batch, reached, await self._shared.rounds.decide(self._part(batch, reached)))
        finally:
            self._shared.rounds.written(self.number)

    async def _finish(self, batch: MicroBatch, reached: Position, share: RoundShare) -> None:
        """Publish and write what a round made of a batch that ends at `reached`."""
        shared, clock, (decided, seen, packed) = self._shared, time.perf_counter, share
        if seen.of_newer and self._left_at is None:
            self._leave_as_it_is()
        notes, outcomes = self._label_outcomes(batch, seen, decided)
        began = clock()
        await self._publish(decided.messages + self._dead_letters(batch), reached)
        published_at, published_s = clock(), time.time()
        cursor = self._after(reached, batch.last(shared.topics.read))
        await with_retries(lambda: self._state.write(packed, self._written(cursor), notes), self.name, shared.away)
        self.cursor = cursor
        self._observe(batch, decided, {"publish": published_at - began, "write": clock() - published_at}, published_s)
        shared.observer.label_outcomes(outcomes)

    def _part(self, batch: MicroBatch, reached: Position) -> RoundPart:
        """The batch as a round takes it; by itself where what was decided before has a say (rules 2 and 6)."""
        return RoundPart(self.number, self._state, batch, reached, self.cursor.full_from_ms, self._published)

    def _leave_as_it_is(self) -> None:
        """From this batch on rule 8 holds."""
        self._left_at = self.cursor
        logger.warning(
            "Partition {}: a later version wrote state that this one cannot go on with. It is left as it is. Payments are decided without it and "
            "marked degraded; a worker of that version counts them when it takes over. To stay with this version: docs/how-to/roll-out.md.",
            self.number,
        )

    def _written(self, cursor: Cursor) -> Cursor:
        """The cursor as it is written where the partition stands at `cursor`, by rule 8."""
        left_at = self._left_at
        return cursor if left_at is None else msgspec.structs.replace(left_at, decided=left_at.decided.or_later(cursor.position))

    def _label_outcomes(self, batch: MicroBatch, seen: StateSeen, decided: Decided) -> tuple[Notes, LabelOutcomes]:
        """What the labels say of the decisions, by rule 2."""
        if not batch.labels.messages and not decided.noted:
            return NO_NOTES, LabelOutcomes()
        cursor = self.cursor
        not_whole = cursor.transactions < cursor.decided.transactions or self._left_at is not None
        noted_from_ms = sys.maxsize if not_whole else cursor.noted_from_ms or 0
        rules = OutcomeRules(self._shared.money.unit, noted_from_ms, again=cursor.labels < cursor.decided.labels)
        notes, outcomes = outcomes_of(batch.labels.messages, decided.met, seen.notes, decided.noted, rules)
        if self._left_at is not None:
            notes, _ = outcomes_of((), (), seen.notes, decided.noted, rules)
        return notes, outcomes

    async def _publish(self, messages: Sequence[Outgoing], reached: Position) -> None:
        """Publish what a batch makes that ends at `reached`; by rule 4 only what is missing."""
        headers = (position_header(self.cursor, self._shared.topics.read),)
        left = list(messages)

        async def step() -> None:
            nonlocal left
            if self._is_unsure(self.cursor):
                left = await self._shared.outputs.missing(self.number, self.cursor, self._shared.topics, left)
            self._unsure = self._unsure.or_later(reached)
            self._outputs |= await self._shared.publisher.publish(self.number, left, headers)

        if left:
            await with_retries(step, self.name, self._shared.away)

    def _after(self, reached: Position, last: Mapping[str, Fingerprint]) -> Cursor:
        """The cursor after a batch; its `outputs` by rule 5."""
        cursor = msgspec.structs.replace(
            self.cursor, transactions=reached.transactions, labels=reached.labels, last={**self.cursor.last, **last}
        )
        if self._published is not None and self._published.passed_by(cursor):
            self._published = None  # rule 6
        if self._published is None and self._outputs and not self._is_unsure(cursor):
            cursor = msgspec.structs.replace(cursor, outputs=cursor.outputs | self._outputs)
            self._outputs = {}
        return cursor

    def _is_unsure(self, cursor: Cursor) -> bool:
        """Whether by rule 4 messages may be there of records that this cursor has not passed."""
        return not cursor.position.has_passed(self._unsure)

    def _dead_letters(self, batch: MicroBatch) -> list[Outgoing]:
        topics, decided = self._shared.topics, self.cursor.decided
        letters = self._refused(batch.payments, topics.transactions, topics.transactions_dlq, decided.transactions)
        letters += self._refused(batch.labels, topics.labels, topics.labels_dlq, decided.labels)
        return letters

    def _refused[T: (Transaction, Label)](self, decoded: Decoded[T], topic: str, dead_letters: str, decided: int) -> list[Outgoing]:
        source, rules = (topic, self.number), self._shared.rules
        redacted = rules.card_fields if rules.refuse_card_numbers else ()
        return [
            dead_letter(record, error, source, dead_letters, redacted=redacted)
            for record, error in decoded.refused
            if record.offset >= decided
        ]

    def _observe(self, batch: MicroBatch, decided: Decided, stages: dict[str, float], published_s: float) -> None:
        observer = self._shared.observer
        observer.batch(len(batch))
        for name, seconds in stages.items():
            observer.stage(name, seconds)
        for what, count in decided.counts.items():
            observer.counted(what, count)
        if decided.decisions is not None:
            observer.decided(decided.decisions, published_s, time.time())
        for _, error in batch.payments.refused + batch.labels.refused:
            observer.refused(error.code)
        if self._rebuild is None:
            self._shared.keys.saw(self.number, self.cursor.partitions, _key_of(batch.payments), _key_of(batch.labels))
        else:
            self._rebuild.reached(self.cursor)
            self._rebuild = None if self._rebuild.done else self._rebuild


def _key_of[T: (Transaction, Label)](decoded: Decoded[T]) -> bytes | None:
    """The key of the first record that could be read."""
    return decoded.records[0].key if decoded.records else None
