"""What a report says: in JSON or Avro, in a bank's own shape; the same as of a file by the same mapping."""

from __future__ import annotations

import json
from datetime import UTC
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from stream_app.errors import RecordError
from stream_app.labelling.report_reader import ReportReader, ReportRules, end_of_date
from stream_app.messages.label_reports import LabelReport
from stream_app.wire.mapping import SourceMapping
from stream_app.wire.mapping_text import mapping_of
from stream_app.wire.schemas import KnownSchema, SchemaBook
from tests.unit.wire.records import NOW_MS, Sent, framed, written
from training.data.label_file import read_labels

TC40 = """
columns:
  card_id: Account Number
  amount: Transaction Amount
  event_time: {path: Purchase Date, unit: iso8601}
  labelled_at: {path: Fraud Posting Date, unit: iso8601}
  fraud_type: Fraud Type
  currency: {path: Currency Code, values: {"978": EUR, "840": USD}}
tokens: [card_id]
decimal: ","
zone: Europe/Berlin
"""
REPORT: dict[str, Any] = {
    "Account Number": "4111111111111111", "Transaction Amount": "1.203,05", "Purchase Date": "2026-11-02", "Fraud Posting Date": "2026-11-09",
    "Fraud Type": "6", "Currency Code": "978",
}  # fmt: skip
OURS = ReportReader(SourceMapping({}), ReportRules())


def sent(message: Any, **more: Any) -> Sent:
    """A record of it."""
    return Sent(json.dumps(message).encode(), None, **more)


def test_a_report_of_a_scheme_says_what_a_file_of_it_says_by_the_same_mapping(tmp_path: Path) -> None:
    """Tokens, decimal commas, days of the zone, codes of fraud; a date of a report is its end."""
    mapping = tmp_path / "m.yml"
    mapping.write_text(TC40)
    (tmp_path / "l.csv").write_text(";".join(REPORT) + "\n" + ";".join(REPORT.values()) + "\n")
    table = read_labels(tmp_path / "l.csv", mapping=mapping)
    said = ReportReader(mapping_of(TC40), ReportRules(ZoneInfo("Europe/Berlin"))).read(sent(REPORT))
    assert said == LabelReport(
        transaction_id=None,
        card_id=table.card_id[0],
        amount=float(table.amount[0]),
        event_ms=int(table.event_ms[0]),
        currency=table.currency[0],
        labelled_ms=int(table.labelled_ms[0]),
        is_fraud=True,
        source="chargeback:card_not_present",
    )
    assert (said.amount, said.labelled_ms) == (1203.05, 1_794_265_199_999)  # the 9th of November ends in Berlin


def test_when_it_became_known_is_never_after_its_report() -> None:
    """A date of today has not ended; without any time it is that of the record; a time that is none of a date stays."""
    today = NOW_MS - NOW_MS % 86_400_000
    for labelled, known in (
        (today, NOW_MS),
        (None, NOW_MS),
        (today - 86_400_000, today - 1),
        (NOW_MS - 5, NOW_MS - 5),
        (NOW_MS + 7, NOW_MS + 7),
    ):
        assert OURS.read(sent({"transaction_id": "T1", "labelled_at": labelled})).labelled_ms == known


def test_a_date_ends_with_its_day_and_a_time_does_not() -> None:
    """Of UTC, or of the zone."""
    midnight = 1_794_182_400_000
    assert end_of_date(midnight, UTC) == midnight + 86_399_999
    assert end_of_date(midnight - 3_600_000, ZoneInfo("Europe/Berlin")) == midnight - 3_600_000 + 86_399_999
    assert end_of_date(midnight + 1, UTC) == midnight + 1


@pytest.mark.parametrize(
    ("record", "code", "says"),
    [
        (sent({"transaction_id": "T1", "amount": "12"}), "wrong_type", "amount is text; send a number"),
        (sent({"transaction_id": "T1", "event_time": 1_700_000_000}), "out_of_range", "seconds"),
        (sent({"transaction_id": "T1", "fraud_type": "Z"}), "unknown_value", "or a code of TC40"),
        (sent({"transaction_id": "T1", "currency": "eur"}), "unknown_value", "send 'EUR'"),
        (sent({"transaction_id": "T1", "is_fraud": "J"}), "wrong_type", "is_fraud is text; send true or false"),
        (sent({"card_id": "4111111111111111"}), "card_number", "Send a token in its place"),
        (sent(["T1"]), "wrong_shape", "send one object"),
        (Sent(b"{", None), "not_json", "not JSON"),
        (Sent(b"", None), "empty", "empty"),
        (Sent(None, None), "tombstone", "no value"),
        (Sent(b'{"a": "' + b"x" * 70_000 + b'"}', None), "too_large", "65536 are allowed"),
        (Sent(framed(7, b"\x02\x02"), None), "schema_framed", "Set FRAUDSTREAM_SCHEMA_REGISTRY_URL"),
    ],
)  # fmt: skip
def test_a_report_that_cannot_be_read_is_refused_in_the_words_of_the_table_of_fields(record: Sent, code: str, says: str) -> None:
    """With a code of dead letters."""
    with pytest.raises(RecordError, match=says) as told:
        OURS.read(record)
    assert told.value.code == code


def test_what_a_report_leaves_out_is_left_out() -> None:
    """Nothing, null and empty texts are alike; it says fraud where it does not say otherwise."""
    said = OURS.read(sent({"transaction_id": "T1", "card_id": "", "amount": None, "currency": "", "source": "analyst"}))
    assert said == LabelReport("T1", None, None, 0, None, NOW_MS, is_fraud=True, source="analyst")
    assert OURS.read(sent({"transaction_id": "T1", "is_fraud": False})).is_fraud is False


SCHEMA = json.dumps(
    {
        "type": "record",
        "name": "Chargeback",
        "fields": [
            {"name": "payment", "type": {"type": "record", "name": "Payment", "fields": [{"name": "id", "type": "string"}]}},
            {"name": "day", "type": {"type": "int", "logicalType": "date"}},
            {"name": "genuine", "type": ["null", "boolean"]},
        ],
    }
)


def test_a_report_in_avro_is_read_by_its_schema() -> None:
    """A nested path, a date, a table of values; a schema that lacks a path that the mapping names is refused; one that is not here is wanted."""
    book = SchemaBook()
    mapping = mapping_of(
        "columns: {transaction_id: payment.id, event_time: day, is_fraud: {path: genuine, values: {'true': 'false', 'false': 'true'}}}"
    )
    reader = ReportReader(mapping, ReportRules(), book)
    record = Sent(framed(7, written(SCHEMA, {"payment": {"id": "T1"}, "day": 20_000, "genuine": True})), None)
    assert reader.lacks(record)
    book.keep(7, KnownSchema("AVRO", SCHEMA))
    assert not reader.lacks(record)
    assert reader.read(record) == LabelReport("T1", None, None, 20_000 * 86_400_000, None, NOW_MS, is_fraud=False, source="chargeback")
    book.keep(8, KnownSchema("AVRO", SCHEMA.replace("genuine", "other")))
    book.keep(9, KnownSchema("JSON", "{}"))
    with pytest.raises(RecordError, match="has no field for is_fraud, which the mapping takes from 'genuine'"):
        reader.read(Sent(framed(8, b""), None))
    assert reader.read(Sent(framed(9, b'{"payment": {"id": "T2"}}'), None)).transaction_id == "T2"
    assert reader.read(sent({"payment": {"id": "T3"}})).transaction_id == "T3"
