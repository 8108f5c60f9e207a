"""Records whose schema is not here yet: their partition waits, nothing of them is refused, and none is passed over."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Collection, Mapping, Sequence

import pytest

from stream_app.delivery.inbox import Admission, Fetched, Inbox, KnownEnd
from stream_app.delivery.timeline import Timeline
from stream_app.delivery.trusted_clock import TrustedClock
from stream_app.errors import RecordError, Unavailable
from stream_app.messages.records import Place, Record
from stream_app.messages.refusals import DeadLetterCode
from stream_app.messages.transaction import IntakeRules, Label, Transaction
from stream_app.scoring.already_published import AlreadyPublished, Refusals
from stream_app.scoring.positions import Cursor, SourceTopics
from stream_app.wire.decoder import WireDecoder
from stream_app.wire.inputs import AT_ONCE, Inputs
from stream_app.wire.schemas import MOST_SCHEMAS, KnownSchema, SchemaBook
from tests.unit.scoring.test_scorer import NOW, FakeClock
from tests.unit.wire.records import PAYMENT, Sent, framed, schema, written

TOPICS = SourceTopics("transactions", "labels")
LABELS = schema(currency=..., is_fraud="boolean", labelled_at="long")
GOOD = PAYMENT | {"event_time": NOW}
LABEL = {n: GOOD[n] for n in ("transaction_id", "card_id", "terminal_id", "event_time", "amount")} | {
    "is_fraud": True,
    "labelled_at": NOW,
}


def payment(offset: int, schema_id: int = 7) -> Sent:
    """In Avro."""
    return Sent(framed(schema_id, written(schema(), GOOD | {"transaction_id": f"T{offset}"})), offset=offset, timestamp=NOW)


def inputs(book: SchemaBook) -> Inputs:
    """Of a worker with a registry."""
    rules = IntakeRules()
    return Inputs(WireDecoder(Transaction, rules, book), WireDecoder(Label, rules, book))


def inbox(book: SchemaBook, ends: Mapping[str, KnownEnd]) -> Inbox:
    """Of a partition at its begin."""
    return Inbox(Cursor(""), TOPICS, Admission(inputs(book), TrustedClock(FakeClock()), AlreadyPublished()), ends.get)


def test_a_batch_ends_before_the_first_record_without_its_schema_and_goes_on_when_it_is_here() -> None:
    """What comes before it is decided; what comes after it waits with it, for the log's order counts."""
    book = SchemaBook()
    book.keep(7, KnownSchema("AVRO", schema()))
    waiting = inbox(book, {"transactions": KnownEnd(4, 1), "labels": KnownEnd(0, 1)})
    waiting.put("transactions", Fetched([payment(0), payment(1), payment(2, 8), payment(3)], lambda: None))
    batch = waiting.next(Cursor(""), 10)
    assert ([m.transaction_id for m in batch.payments.messages], batch.offsets.transactions) == (["T0", "T1"], 2)
    cursor = Cursor("", 2, 0)
    assert waiting.next(cursor, 10).empty
    assert list(book.wanted()) == [8]
    assert waiting.waiting("transactions") == (2, True)
    book.keep(8, KnownSchema("AVRO", schema()))
    batch = waiting.next(cursor, 10)
    assert ([m.transaction_id for m in batch.payments.messages], batch.payments.refused) == (["T2", "T3"], [])


@pytest.mark.parametrize("lagging", [False, True])
def test_a_label_waits_for_its_schema_too(lagging: bool) -> None:  # noqa: FBT001 - a parameter
    """Whether it counts from its arrival or by its time."""
    book = SchemaBook()
    ends = {"transactions": KnownEnd(9 if lagging else 0, 1), "labels": KnownEnd(1, 1)}
    waiting = inbox(book, ends)
    waiting.put("labels", Fetched([Sent(framed(9, written(LABELS, LABEL)), timestamp=NOW)], lambda: None))
    for heard in (2, 3):
        ends["transactions"] = KnownEnd(ends["transactions"].offset, heard)
        waiting.next(Cursor(""), 10)
    assert waiting.next(Cursor(""), 10).empty
    assert list(book.wanted()) == [9]
    book.keep(9, KnownSchema("AVRO", LABELS))
    assert len(waiting.next(Cursor(""), 10).labels) == (0 if lagging else 1)


def test_one_that_was_waited_for_in_vain_ends_the_wait_and_an_unknown_one_is_refused() -> None:
    """The first is no record's fault, the second is."""
    book = SchemaBook()
    waiting = inbox(book, {"transactions": KnownEnd(2, 1), "labels": KnownEnd(0, 1)})
    waiting.put("transactions", Fetched([payment(0, 8), payment(1)], lambda: None))
    assert waiting.next(Cursor(""), 10).empty
    book.give_up(8, Unavailable("The registry is away."))
    with pytest.raises(Unavailable, match="is away"):
        waiting.next(Cursor(""), 10)
    book.keep(8, RecordError(DeadLetterCode.UNKNOWN_SCHEMA, "None."))
    batch = waiting.next(Cursor(""), 10)
    assert [(r.offset, e.code) for r, e in batch.payments.refused] == [(0, DeadLetterCode.UNKNOWN_SCHEMA)]


class Spans:
    """Partitions' logs, read at once."""

    def __init__(self, logs: Mapping[Place, Sequence[Record]]) -> None:
        self.logs = dict(logs)

    async def more(self, places: Collection[Place]) -> Mapping[Place, Sequence[Record]]:
        """See `LogSpans`."""
        return {place: self.logs.pop(place, []) for place in places}


def test_a_history_of_more_schemas_than_are_kept_is_read_in_runs() -> None:
    """Each run's schemas are fetched together, before it is read: `repartition` and `verify` have no partition that waits."""
    book, fetched = SchemaBook(), []

    async def fetch() -> None:
        wanted = list(book.wanted())
        fetched.append(len(wanted))
        for number in wanted:
            book.keep(number, KnownSchema("AVRO", schema()))

    count = MOST_SCHEMAS + 500
    log = [payment(i, i) for i in range(count)]
    places = {("transactions", 0): Refusals(), ("labels", 0): Refusals()}
    timeline = Timeline(Spans({("transactions", 0): log}), places, "transactions", dataclasses.replace(inputs(book), fetched=fetch), None)

    async def read() -> list[str]:
        return [moment.message.transaction_id async for step in timeline.steps() for moment in step]

    assert asyncio.run(read()) == [f"T{i}" for i in range(count)]
    assert (max(fetched), sum(fetched)) == (AT_ONCE, count)
