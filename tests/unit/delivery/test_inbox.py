"""Records that wait: bounded in number and in bytes, whatever their producers pack into them."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream_app.delivery.inbox import (
    LEAST_QUEUED_BYTES,
    MOST_BATCH_BYTES,
    MOST_QUEUED_BYTES,
    Admission,
    Fetched,
    Inbox,
    KnownEnd,
    NextOffsets,
    RecordQueue,
)
from stream_app.delivery.trusted_clock import TrustedClock
from stream_app.messages.transaction import IntakeRules
from stream_app.scoring.already_published import AlreadyPublished
from stream_app.scoring.positions import Cursor, Position, SourceTopics
from stream_app.wire.inputs import Inputs
from tests.unit.messages.test_transaction import LABEL
from tests.unit.scoring.test_scorer import NOW, FakeClock

TOPICS = SourceTopics("transactions", "labels")
MB = 2**20


@dataclass(frozen=True)
class Record:
    """A record as Kafka gives it."""

    offset: int
    timestamp: int = 0
    key: bytes | None = b"c1"
    value: bytes | None = b""


def fetched(first: int, count: int, size: int) -> Fetched:
    """A fetch of so many records and bytes."""
    return Fetched([Record(first + n) for n in range(count)], lambda: None, size=size)


@pytest.mark.parametrize("partitions", [1, 4, 24, 300])
def test_a_partition_takes_no_more_than_its_share_of_the_workers_memory(partitions: int) -> None:
    """A fetch beyond it at the most; small records are bounded by their number, as ever."""
    gate = Admission(Inputs.plain(IntakeRules()), TrustedClock(FakeClock()), AlreadyPublished())
    inbox = Inbox(Cursor(""), TOPICS, gate, lambda _: KnownEnd(0, 0), partitions)
    taken = 0
    while inbox.has_room("transactions", 1000):
        inbox.put("transactions", fetched(taken, 1, MB))
        taken += 1
    share = max(LEAST_QUEUED_BYTES, MOST_QUEUED_BYTES / (2 * partitions))
    assert share <= taken * MB < share + MB
    assert inbox.has_room("labels", 1000)


@given(fetches=st.lists(st.tuples(st.integers(1, 30), st.integers(0, 3 * MB)), min_size=1, max_size=20), most=st.integers(1, 100))
@example(fetches=[(1, 2 * MB)] * 5, most=100)
def test_batches_have_all_records_once_in_order_and_are_bounded_in_bytes(fetches: list[tuple[int, int]], most: int) -> None:
    """The oracle is the list of all records; a batch takes from one fetch more than its bytes allow at the most."""
    queue = RecordQueue(0)
    sizes: dict[int, int] = {}
    for count, size in fetches:
        first = len(sizes)
        queue.put(fetched(first, count, size))
        sizes |= dict.fromkeys(range(first, first + count), first)
    size_of_fetch = {first: size for first, (_, size) in zip(sorted(set(sizes.values())), fetches, strict=True)}
    seen: list[int] = []
    while queue.count:
        records, _ = queue.take(most)
        touched = list(dict.fromkeys(sizes[r.offset] for r in records))
        assert 1 <= len(records) <= most
        assert sum(size_of_fetch[first] for first in touched[:-1]) < MOST_BATCH_BYTES
        seen += [r.offset for r in records]
    assert seen == list(range(len(sizes)))
    assert queue.size == 0


def test_a_batch_without_records_of_a_topic_leaves_its_offset_as_it_was() -> None:
    """Also where the other one's moves."""
    before = Position(5, 3)
    assert NextOffsets(7, None).after(before) == Position(7, 3)
    assert NextOffsets(None, 4).after(before) == Position(5, 4)
    assert NextOffsets(None, None).after(before) == before


def test_marks_behind_the_last_record_do_not_wait() -> None:
    """Nothing does below the next offset to be fetched; then the first record that waits says it."""
    inbox = Inbox(
        Cursor(""), TOPICS, Admission(Inputs.plain(IntakeRules()), TrustedClock(FakeClock()), AlreadyPublished()), lambda _: KnownEnd(0, 0)
    )
    inbox.reached("transactions", 4)
    assert inbox.waiting("transactions") == (4, False)
    assert inbox.waiting("labels") == (0, False)
    inbox.put("transactions", fetched(6, 2, 2))
    assert inbox.waiting("transactions") == (6, True)


@pytest.mark.parametrize("again", [Position(5, 0), Position(0, 4), Position(5, 4)])
def test_what_was_decided_and_is_no_record_any_more_is_passed(again: Position) -> None:
    """The last of it was aborted since: the cursor passes it, once the log was read so far, and what comes after is decided."""
    gate = Admission(Inputs.plain(IntakeRules()), TrustedClock(FakeClock()), AlreadyPublished())
    cursor = Cursor("", 0, 0, decided=again)
    inbox = Inbox(cursor, TOPICS, gate, lambda _: KnownEnd(0, 0))
    assert inbox.next(cursor, 10).empty
    inbox.reached("labels", 9)
    inbox.put("transactions", fetched(7, 1, 1))
    batch = inbox.next(cursor, 10)
    assert batch.offsets.after(cursor.position).has_passed(again)
    assert inbox.next(Cursor("", *batch.offsets.after(cursor.position), decided=again), 10).offsets.transactions in (8, None)


def label(offset: int) -> Fetched:
    """A label of a time that no payment has reached."""
    value = msgspec.json.encode(LABEL | {"event_time": NOW - 1000, "labelled_at": NOW})
    return Fetched([Record(offset, NOW, b"card-1", value)], lambda: None, size=1)


def test_a_label_counts_from_its_arrival_only_where_kafka_told_the_payments_end_twice_since() -> None:
    """Rule 1 of `partition`: what was heard before, and the first that is heard after it, may be an older word than the label. Each label waits anew."""
    ends = {"transactions": KnownEnd(0, 1)}
    inbox = Inbox(Cursor(""), TOPICS, Admission(Inputs.plain(IntakeRules()), TrustedClock(FakeClock()), AlreadyPublished()), ends.get)
    for offset in range(2):
        inbox.put("labels", label(offset))
        for answer in (0, 1, 1):
            ends["transactions"] = KnownEnd(0, ends["transactions"].heard + answer)
            taken = len(inbox.next(Cursor(""), 10).labels)
            assert taken == 0 or (answer and ends["transactions"].heard == 3 + 2 * offset)
        assert taken == 1
