"""Records of a partition that wait, and the micro-batches that are made of them: payments in the log's order, labels when their time has come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from stream_app.delivery.trusted_clock import TrustedClock
from stream_app.errors import RecordError
from stream_app.messages.majority import sample
from stream_app.messages.records import Record
from stream_app.messages.transaction import Label, Transaction
from stream_app.scoring.already_published import AlreadyPublished
from stream_app.scoring.intake import Decoded, decode_all
from stream_app.scoring.positions import Cursor, Fingerprint, Position, SourceTopics, fingerprint
from stream_app.wire.inputs import Inputs, decode_one, lacking

type Done = Callable[[], None]

_QUEUED_BATCHES = 2
_LATER_ANSWERS = 2
MOST_BATCH_BYTES = 4 * 2**20
"""Of the fetches that a micro-batch takes from; so many bytes of dead letters are under way at the most, and one fetch more."""
MOST_QUEUED_BYTES = 64 * 2**20
"""Of all partitions of a worker, as long as each has a fair share of `LEAST_QUEUED_BYTES`."""
LEAST_QUEUED_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Fetched:
    """Records of one topic and partition as they were fetched, a megabyte or so.

    Attributes:
        done: acknowledges them.
        position: the next offset after them, where it is told.
        size: bytes of their keys, values and headers.
    """

    records: Sequence[Record]
    done: Done
    position: int = 0
    size: int = 0


class KnownEnd(NamedTuple):
    """Where what can be read of a topic and partition ends, as last heard.

    Attributes:
        offset: the log's end, or its first open transaction.
        heard: by which answer of Kafka: another number is another answer; answers that came together may have the same.
    """

    offset: int
    heard: int


@dataclass(slots=True)
class RecordQueue:
    """Fetched records of one topic, in the log's order.

    Attributes:
        position: next offset to be fetched; everything below it was put here or lies below the cursor.
        went_back: whether records came that lie below it.
        count: records that wait.
        size: bytes of the fetches that are not used up.
    """

    position: int
    count: int = 0
    size: int = 0
    went_back: bool = False
    _fetched: deque[Fetched] = field(default_factory=deque)
    _taken: int = 0

    @property
    def oldest_ms(self) -> int | None:
        """Kafka timestamp of the first record that waits; None where none does."""
        return self._fetched[0].records[self._taken].timestamp if self._fetched else None

    @property
    def first(self) -> int:
        """Offset of the first record that waits; where none does, the next to be fetched."""
        return self._fetched[0].records[self._taken].offset if self._fetched else self.position

    def put(self, fetched: Fetched) -> None:
        """Queue records behind those that wait."""
        self.went_back |= fetched.records[0].offset < self.position
        self._fetched.append(fetched)
        self.count += len(fetched.records)
        self.size += fetched.size
        self.position = max(fetched.records[-1].offset + 1, fetched.position)

    def take(self, most: int, until: Callable[[Record], bool] | None = None) -> tuple[list[Record], list[Done]]:
        """The first records, `most` at most, up to the first that `until` holds back, of so many fetches as `MOST_BATCH_BYTES` allow.

        Returns:
            the records, and the acknowledgements of the fetches that are used up with them.
        """
        records: list[Record] = []
        done: list[Done] = []
        size = 0
        while self._fetched and len(records) < most and size < MOST_BATCH_BYTES:
            fetched = self._fetched[0]
            size += fetched.size
            end = min(len(fetched.records), self._taken + most - len(records))
            chosen = fetched.records[self._taken : end]
            if until is not None:
                held = next((i for i, r in enumerate(chosen) if until(r)), len(chosen))
                chosen = chosen[:held]
            records.extend(chosen)
            self._taken += len(chosen)
            if self._taken < len(fetched.records):
                break
            done.append(fetched.done)
            self.size -= fetched.size
            self._fetched.popleft()
            self._taken = 0
        self.count -= len(records)
        return records, done


class NextOffsets(NamedTuple):
    """Next offsets after a micro-batch; None: as before, it has no record of that topic."""

    transactions: int | None
    labels: int | None

    def after(self, before: Position) -> Position:
        """Where a batch ends that began there."""
        return Position(
            before.transactions if self.transactions is None else self.transactions, before.labels if self.labels is None else self.labels
        )


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """What is taken through all steps together.

    Attributes:
        payments, labels: decoded; those that could not be read among the refused.
        offsets: next offsets after it.
        done: acknowledgements of the fetches that are used up with it.
    """

    payments: Decoded[Transaction]
    labels: Decoded[Label]
    offsets: NextOffsets
    done: list[Done] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do, not even to acknowledge."""
        return not self.done and self.offsets == NextOffsets(None, None)

    def __len__(self) -> int:
        return len(self.payments) + len(self.labels)

    def singles(self) -> Iterator[MicroBatch]:
        """One batch for each record, in processing order; they acknowledge nothing."""
        alone: list[tuple[tuple[int, int], MicroBatch]] = []
        nothing: Decoded[Label] = Decoded.of_none()
        for newest_ms, one in self.labels.singles(lambda label: label.labelled_at):
            alone.append(((newest_ms, 0), MicroBatch(Decoded.of_none(), one, NextOffsets(None, one.offset + 1))))
        for newest_ms, payment in self.payments.singles(lambda payment: payment.event_time):
            alone.append(((newest_ms, 1), MicroBatch(payment, nothing, NextOffsets(payment.offset + 1, None))))
        alone.sort(key=lambda a: a[0])
        return (batch for _, batch in alone)

    def last(self, topics: SourceTopics) -> dict[str, Fingerprint]:
        """Of each topic that it has records of, the last."""
        found = zip(topics, (self.payments.last, self.labels.last), strict=True)
        return {topic: fingerprint(record) for topic, record in found if record is not None}

    def refused(self, error: RecordError) -> MicroBatch:
        """The same with its records refused."""
        return MicroBatch(self.payments.all_refused(error), self.labels.all_refused(error), self.offsets, self.done)


@dataclass(frozen=True, slots=True)
class Admission:
    """What decides whether a record is taken.

    Attributes:
        inputs: how records are read.
        present: what time it is; asked of records that were not decided before.
        published: whose dead letters stand is passed over.
    """

    inputs: Inputs
    present: TrustedClock
    published: AlreadyPublished


class Inbox:
    """Payments and labels of one partition that were fetched and not taken yet."""

    def __init__(
        self, cursor: Cursor, topics: SourceTopics, gate: Admission, end_of: Callable[[str], KnownEnd | None], partitions: int = 1
    ) -> None:
        """Wait for the records from a cursor on.

        Args:
            cursor: where the partition stands.
            topics: that it comes from.
            gate: what is taken.
            end_of: where a topic ends, as last heard; None before that.
            partitions: how many the worker holds, which share its memory.
        """
        self._payments_topic, self._labels_topic = topics
        self._decode_payments, self._decode_labels = gate.inputs.payments, gate.inputs.labels
        self._payment_lacks, self._label_lacks = lacking(self._decode_payments), lacking(self._decode_labels)
        self._present = gate.present
        self._refused = gate.published.refused
        self._payments = RecordQueue(cursor.transactions)
        self._labels = RecordQueue(cursor.labels)
        self._queues = {self._payments_topic: self._payments, self._labels_topic: self._labels}
        self._end_of = end_of
        self._heard: int | None = None
        self._answers = 0
        self._reached_ms = 0
        self._most_bytes = max(LEAST_QUEUED_BYTES, MOST_QUEUED_BYTES // (len(topics) * partitions))

    @property
    def some(self) -> bool:
        """Whether records wait."""
        return bool(self._payments.count or self._labels.count)

    @property
    def oldest_ms(self) -> int | None:
        """Kafka timestamp of the first payment that waits here; None where none does."""
        return self._payments.oldest_ms

    def waiting(self, topic: str) -> tuple[int, bool]:
        """Offset of the first record of a topic that waits here, or else of the next to be fetched; whether there is one."""
        queue = self._of(topic)
        return queue.first, bool(queue.count)

    def went_back(self) -> bool:
        """Whether a topic was read again from below what was fetched, since this was last asked: Kafka had none of the offsets in between."""
        back = self._payments.went_back or self._labels.went_back
        self._payments.went_back = self._labels.went_back = False
        return back

    def has_room(self, topic: str, most: int) -> bool:
        """Whether more records of a topic can be queued, where a batch takes `most`: in number and in bytes."""
        queue = self._of(topic)
        return queue.count < _QUEUED_BATCHES * most and queue.size < self._most_bytes

    def put(self, topic: str, fetched: Fetched) -> None:
        """Queue records; those of a topic are taken in order."""
        self._of(topic).put(fetched)
        if topic == self._labels_topic:
            end = self._end_of(self._payments_topic)
            self._heard, self._answers = None if end is None else end.heard, 0

    def reached(self, topic: str, position: int) -> None:
        """Nothing was fetched, and this is the next offset: what lies between are no records, as marks of transactions."""
        queue = self._of(topic)
        queue.position = max(queue.position, position)

    def next(self, cursor: Cursor, most: int) -> MicroBatch:
        """The next micro-batch, `most` payments and `most` labels at most. Records below the cursor were decided: they are passed over.

        It ends before the first record whose schema is not here: that is wanted from now on, and the record taken when it came.

        Raises:
            Unavailable: the schema of the first record was waited for in vain.
        """
        records: list[Record] = []
        done: list[Done] = []
        if self._labels.count or self._all_fetched(self._labels_topic):
            decided_payments = _until_decided(cursor.transactions, cursor.decided.transactions)
            records, done = self._payments.take(most, _first_of(decided_payments, self._payment_lacks))
        fresh = [r for r in records if r.offset >= cursor.transactions]
        now_ms = self._now_ms(fresh, again=cursor.transactions < cursor.decided.transactions)
        payments = decode_all(self._refused.transactions.without(fresh), self._decode_payments, now_ms)
        self._reached_ms = max([self._reached_ms, *[m.event_time for m in payments.messages]])
        due, more_done = self._due_labels(cursor, most)
        labels = [r for r in due if r.offset >= cursor.labels]
        now_ms = self._now_ms(labels, again=cursor.labels < cursor.decided.labels)
        decoded = decode_all(self._refused.labels.without(labels), self._decode_labels, now_ms)
        decided = cursor.decided
        offsets = NextOffsets(
            _end_of(fresh, self._payments, cursor.transactions, decided.transactions),
            _end_of(labels, self._labels, cursor.labels, decided.labels),
        )
        return MicroBatch(payments, decoded, offsets, done + more_done)

    def _now_ms(self, records: Sequence[Record], *, again: bool) -> int | None:
        """What time it is as these are decided; None where they were before, and are counted again."""
        return None if again else self._present.at([r.timestamp for r in sample(records)])

    def _due_labels(self, cursor: Cursor, most: int) -> tuple[list[Record], list[Done]]:
        if not self._labels.count:
            return [], []
        decided = _until_decided(cursor.labels, cursor.decided.labels)
        if self._heard_since() and not self._payments.count and self._all_fetched(self._payments_topic):
            return self._labels.take(most, _first_of(decided, self._label_lacks))
        now_ms = None if decided else self._present.at(())
        return self._labels.take(most, _first_of(decided, self._label_lacks, lambda label: self._ahead(label, now_ms)))

    def _ahead(self, record: Record, now_ms: int | None) -> bool:
        """Whether a label is from a time that the payments have not reached."""
        try:
            return decode_one(self._decode_labels, record, now_ms).labelled_at > self._reached_ms
        except Exception:  # noqa: BLE001 - it is taken, and `decode_all` sets it aside with the reason
            return False

    def _all_fetched(self, topic: str) -> bool:
        end = self._end_of(topic)
        return end is not None and self._of(topic).position >= end.offset

    def _heard_since(self) -> bool:
        """Whether Kafka told where the payments end after it gave the newest label that waits: before, it may have payments of an earlier time.

        The first answer that is heard after a label may be an older word: another broker gave it before, and it waited for a busy worker. So it takes
        two: each broker has one question at a time, and the second one was asked when the first was heard.
        """
        end = self._end_of(self._payments_topic)
        if end is not None and end.heard != self._heard:
            self._heard, self._answers = end.heard, self._answers + 1
        return self._answers >= _LATER_ANSWERS

    def _of(self, topic: str) -> RecordQueue:
        return self._queues[topic]


def _end_of(records: Sequence[Record], queue: RecordQueue, at: int, decided: int) -> int | None:
    """Where a batch ends. What was decided may be no records any more, its transaction aborted since: the cursor passes it all the same."""
    if records:
        return records[-1].offset + 1
    return decided if at < decided <= queue.first else None


def _until_decided(at: int, decided: int) -> Callable[[Record], bool] | None:
    """Where the next batch ends at the latest, by rule 2 of `partition`."""
    return (lambda record: record.offset >= decided) if at < decided else None


def _first_of(*ends: Callable[[Record], bool] | None) -> Callable[[Record], bool] | None:
    """Where a batch ends that ends at the first of these."""
    some = [end for end in ends if end is not None]
    return (lambda record: any(end(record) for end in some)) if len(some) > 1 else (some[0] if some else None)
