"""`fraudstream labels` without a server: lots are bounded, runs go on where the last one ended, what is published is what a worker takes."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
import typer

from stream_app.commands import labels as of_labels
from stream_app.commands import report_lots
from stream_app.commands.label_messages import LabelMessages
from stream_app.commands.labels import LabelTally, labels_command
from stream_app.commands.report_lots import ReportLot, joined, lots_of
from stream_app.errors import DataError, RecordError
from stream_app.labelling.report_join import MeantPayment, unjoined
from stream_app.labelling.report_reader import ReportReader, ReportRules
from stream_app.messages.label_reports import LabelReport
from stream_app.messages.refusals import DeadLetterCode
from stream_app.messages.transaction import IntakeRules, Label, PaymentKey
from stream_app.settings import load_settings
from stream_app.wire.inputs import Inputs
from stream_app.wire.mapping import SourceMapping
from tests.e2e.kafka import TRANSACTION, raw
from tests.topics import Kept, MemoryTopics

DAY_MS = 86_400_000
NOW_MS = time.time_ns() // 1_000_000
READER = ReportReader(SourceMapping({}), ReportRules())
WHERE = {"merchant_id": "S1", "mcc": "5411", "country": "DE", "ip": "203.0.113.7"}
MEANT = MeantPayment(PaymentKey("C1", "T1"), "M1", NOW_MS - DAY_MS, 12.5, 3, **WHERE)
RECORD, PLACE = Kept(7, NOW_MS, None, b'{"card_id": "4111111111111111"}'), ("chargebacks", 1)


def report(**given: Any) -> LabelReport:
    """What a report says."""
    of: dict[str, Any] = {"transaction_id": "T1", "card_id": None, "amount": None, "event_ms": 0, "currency": None, "labelled_ms": NOW_MS}
    return LabelReport(**(of | {"is_fraud": True, "source": "chargeback"} | given))


async def nothing() -> None:
    """No schema is needed."""


async def lots(topics: MemoryTopics, starts: dict[Any, int]) -> list[ReportLot]:
    """All of them."""
    return [lot async for lot in lots_of(topics, starts, READER, nothing)]


def test_a_lot_is_bounded_and_none_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """By reports, or by bytes; two records are walked at a time here."""
    topics = MemoryTopics()
    for number in range(9):
        topics.append(PLACE, None, json.dumps({"transaction_id": f"T{number}"}).encode())
    monkeypatch.setattr(report_lots, "MOST_AT_ONCE", 4)
    found = asyncio.run(lots(topics, {PLACE: 2}))
    assert [len(lot.said) for lot in found] == [4, 3]
    assert [record.offset for lot in found for record in lot.records] == list(range(2, 9))
    monkeypatch.setattr(report_lots, "MOST_AT_ONCE_BYTES", 10)
    assert [len(lot.said) for lot in asyncio.run(lots(topics, {PLACE: 2}))] == [2, 2, 2, 1]


def test_payments_are_read_from_where_the_reports_reach_and_no_further_back() -> None:
    """A payment of before is not found; what cannot be read as a report, or as a payment, stops none of the others."""
    topics = MemoryTopics()
    for days, name in ((20, "T1"), (5, "T2"), (1, "T3")):
        at = NOW_MS - days * DAY_MS
        topics.append(("payments", 0), b"C1", raw(TRANSACTION, transaction_id=name, event_time=at), at_ms=at)
    topics.append(("payments", 0), b"C1", b"no payment", at_ms=NOW_MS)
    wrong = RecordError(DeadLetterCode.NOT_JSON, "It is none.")
    lot = ReportLot(
        [PLACE] * 4, [RECORD] * 4, [report(transaction_id="T1"), wrong, report(transaction_id="T2"), report(transaction_id="T3")]
    )
    inputs = Inputs.plain(IntakeRules())
    found = asyncio.run(joined(lot, topics, ("payments", 1), inputs, (ZoneInfo("UTC"), 10)))
    assert [f.key.transaction_id if isinstance(f, MeantPayment) else str(f.code) for f in found] == [
        "label_unmatched",
        "not_json",
        "T2",
        "T3",
    ]
    every = asyncio.run(joined(lot, topics, ("payments", 1), inputs, (ZoneInfo("UTC"), 30)))
    assert isinstance(every[0], MeantPayment)
    assert asyncio.run(joined(ReportLot([PLACE], [RECORD], [wrong]), topics, ("payments", 1), inputs, (ZoneInfo("UTC"), 10))) == [wrong]


def test_what_is_published_is_a_label_that_a_worker_takes() -> None:
    """The payment's own values, the report's verdict, in the partition of the card."""
    message, error = LabelMessages(load_settings(), None, ()).of(report(is_fraud=False, source="analyst"), MEANT, RECORD, PLACE)
    assert (error, message.partition, message.message.topic, message.message.key) == (None, 3, "fraud-labels", b"C1")
    label = msgspec.json.decode(message.message.value or b"", type=Label)
    assert label == Label("T1", "C1", "M1", NOW_MS - DAY_MS, 12.5, is_fraud=False, labelled_at=NOW_MS, source="analyst", **WHERE)


@pytest.mark.parametrize(
    ("said", "meant", "code"),
    [
        (report(labelled_ms=NOW_MS - 2 * DAY_MS), MEANT, "label_before_event"),
        (report(labelled_ms=NOW_MS + 2 * DAY_MS), MEANT, "future"),
        (report(), unjoined(DeadLetterCode.LABEL_AMBIGUOUS), "label_ambiguous"),
        (RecordError(DeadLetterCode.NOT_JSON, "It is none."), unjoined(DeadLetterCode.LABEL_UNMATCHED), "not_json"),
    ],
)
def test_what_is_no_label_is_a_dead_letter_of_labels(said: Any, meant: Any, code: str) -> None:
    """With its code, where it stood, and without a card number, whatever the reports call the card."""
    message, error = LabelMessages(load_settings(), None, ("card_id",)).of(said, meant, RECORD, PLACE)
    headers = dict(message.message.headers)
    assert (error and error.code, message.message.topic, message.partition) == (code, "fraud-labels-dlq", 1)
    assert (headers["error.code"], headers["source.topic"], headers["source.offset"]) == (code.encode(), b"chargebacks", b"7")
    assert b"4111111111111111" not in (message.message.value or b"")


def test_a_run_says_what_became_of_the_reports() -> None:
    """Every kind that is no label, with the first places; since when payments are kept where one was not found."""
    tally = LabelTally(reports=9, labels=2, frauds=1, since_ms=1_700_006_400_000)
    for offset in range(6):
        tally.refuse("label_unmatched", PLACE, offset)
    tally.refuse("not_json", PLACE, 8)
    assert list(tally.lines("chargebacks")) == [
        "Reports of 'chargebacks': 9; 2 published as labels, 1 of them fraud.",
        f"  6 fit no payment, of those kept since 2023-11-15 00:00 UTC: {', '.join(f'chargebacks:1:{n}' for n in range(5))}, …",
        "  1 are refused (not_json): chargebacks:1:8",
        "  Each is a dead letter of labels: `fraudstream dlq show` says why.",
    ]
    assert "2 would be published as labels" in next(LabelTally(2, 2).lines("c", dry_run=True))


def test_a_run_goes_on_where_the_last_one_ended() -> None:
    """What retention took is passed over; a topic that was made anew is read from its beginning."""
    topics = MemoryTopics(first={("c", 1): 2}, commits={("c", 0): 2, ("c", 2): 9})
    for number in range(3):
        for _ in range(4):
            topics.append(("c", number), None, b"{}")
    assert asyncio.run(of_labels._starts(topics, "c", 3)) == {("c", 0): 2, ("c", 1): 2, ("c", 2): 0}


def test_one_of_our_own_topics_is_no_topic_of_reports() -> None:
    """Its labels would be published to itself; and a mapping that cannot be used is told before anything is read."""
    with pytest.raises(typer.BadParameter, match="one of our own topics"):
        labels_command("fraud-labels")


def test_a_mapping_that_cannot_be_used_is_told(tmp_path: Any) -> None:
    """With its file."""
    (tmp_path / "m.yml").write_text("columns: {amuont: x}")
    with pytest.raises(DataError, match=r"m\.yml: Line 1: 'amuont' is none of our fields; the nearest is amount"):
        labels_command("chargebacks", mapping=tmp_path / "m.yml")
