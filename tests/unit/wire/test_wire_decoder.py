"""Framed records become payments and labels by the same checks as plain JSON; what cannot be one has a code of its own."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.errors import RecordError, Unavailable
from stream_app.messages.refusals import DeadLetterCode
from stream_app.messages.transaction import MAX_MESSAGE_BYTES, Decoder, IntakeRules, Label, Transaction
from stream_app.scoring.intake import decode_all
from stream_app.wire.decoder import WireDecoder
from stream_app.wire.framing import KEY_HEADER, VALUE_HEADER
from stream_app.wire.schemas import MOST_SCHEMAS, KnownSchema, SchemaBook
from tests.unit.wire.records import NOW_MS, PAYMENT, Sent, framed, schema, written

GUID = UUID("0f8fad5b-d9cb-469f-a165-70867728950e")
EXPECTED = Transaction(**PAYMENT)
CARD_NUMBER = "4111111111111111"
KEYS = json.dumps({"type": "record", "name": "K", "fields": [{"name": "card_id", "type": "string"}]})


def book(**schemas: str) -> SchemaBook:
    """A book with schemas: `s7="…"` is Avro of id 7, `j8="…"` is JSON, `p9` Protobuf, `x10` of a kind that nobody knows."""
    kinds = {"s": "AVRO", "j": "JSON", "p": "PROTOBUF", "x": "THRIFT"}
    made = SchemaBook()
    for name, text in schemas.items():
        made.keep(int(name[1:]), KnownSchema(kinds[name[0]], text))
    return made


def decoded(record: Sent, of: SchemaBook, rules: IntakeRules | None = None) -> Transaction:
    """The payment in a record."""
    return WireDecoder(Transaction, rules or IntakeRules(), of).decode_record(record, None)


def refusal(record: Sent, of: SchemaBook) -> RecordError:
    """Why there is none."""
    with pytest.raises(RecordError) as refused:
        decoded(record, of)
    return refused.value


def avro(message: dict[str, Any] | None = None, key: bytes | None = b"card-1", **types: Any) -> tuple[Sent, SchemaBook]:
    """A payment in Avro, and the book with its schema."""
    text = schema(**types)
    return Sent(framed(7, written(text, PAYMENT | (message or {}))), key), book(s7=text)


def test_avro_behind_an_id_is_read() -> None:
    """Fields that we do not have are passed over."""
    assert decoded(*avro({"notes": [1, 2]}, notes={"type": "array", "items": "int"})) == EXPECTED


def test_avro_behind_a_guid_in_the_header_is_read() -> None:
    """Key and value each by their own header."""
    schemas = book(s8=KEYS)
    schemas.keep(str(GUID), KnownSchema("AVRO", schema()))
    headers = [(VALUE_HEADER, b"\x01" + GUID.bytes), (KEY_HEADER, b"\0\0\0\0\x08")]
    assert decoded(Sent(written(schema(), PAYMENT), written(KEYS, {"card_id": "card-1"}), headers), schemas) == EXPECTED


def test_json_behind_an_id_is_just_json_and_plain_json_stays_it() -> None:
    """A topic may hold all three while its producers change."""
    plain = json.dumps(PAYMENT).encode()
    assert decoded(Sent(framed(8, plain)), book(j8="{}")) == decoded(Sent(plain), book()) == EXPECTED
    assert refusal(Sent(framed(8, b"[]")), book(j8="{}")).code == DeadLetterCode.WRONG_SHAPE


def test_a_label_is_read_the_same_way() -> None:
    """With its own required fields."""
    label = {**{n: PAYMENT[n] for n in ("transaction_id", "card_id", "terminal_id", "event_time", "amount")}, "is_fraud": True}
    text = schema(currency=..., is_fraud="boolean", labelled_at={"type": "long", "logicalType": "timestamp-millis"})
    record = Sent(framed(7, written(text, label | {"labelled_at": NOW_MS})))
    assert WireDecoder(Label, IntakeRules(), book(s7=text)).decode_record(record, None) == Label(**label, labelled_at=NOW_MS)


@pytest.mark.parametrize(
    ("types", "values", "expected"),
    [
        ({"event_time": {"type": "long", "logicalType": "timestamp-millis"}}, {}, {}),
        ({"event_time": {"type": "long", "logicalType": "timestamp-micros"}}, {"event_time": NOW_MS * 1000 + 999}, {}),
        ({"event_time": {"type": "long", "logicalType": "timestamp-nanos"}}, {"event_time": NOW_MS * 10**6 + 1}, {}),
        ({"event_time": {"type": "int", "logicalType": "date"}}, {"event_time": 20_780}, {"event_time": 20_780 * 86_400_000}),
        ({"amount": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}}, {"amount": Decimal("12.50")}, {}),
        ({"amount": {"type": "fixed", "name": "D", "size": 8, "logicalType": "decimal", "precision": 12, "scale": 4}}, {"amount": Decimal("12.5")}, {}),
        ({"amount": "long"}, {"amount": 12}, {"amount": 12.0}),
        ({"amount": "float"}, {}, {}),
        ({"transaction_id": {"type": "string", "logicalType": "uuid"}}, {"transaction_id": GUID}, {"transaction_id": str(GUID)}),
        ({"transaction_id": {"type": "fixed", "name": "U", "size": 16, "logicalType": "uuid"}}, {"transaction_id": GUID.bytes}, {"transaction_id": str(GUID)}),
        ({"currency": {"type": "enum", "name": "C", "symbols": ["USD", "EUR"]}}, {}, {}),
        ({"mcc": ["null", "string"], "type": ["null", "string"]}, {"mcc": None, "type": None}, {}),
        ({"mcc": ["string", "null"], "approved": "boolean"}, {"mcc": "5411", "approved": False}, {"mcc": "5411", "approved": False}),
        ({"attributes": ["null", {"type": "map", "values": "double"}]}, {"attributes": {"v1": 0.5}}, {"attributes": {"v1": 0.5}}),
    ],
    ids=lambda given: ",".join(f"{k}:{v}" for k, v in given.items())[:60] if isinstance(given, dict) else None,
)  # fmt: skip
def test_types_and_logical_types_say_what_a_value_means(types: dict[str, Any], values: dict[str, Any], expected: dict[str, Any]) -> None:
    """A null of a field that a payment may lack is its absence; a time is rounded down to its millisecond."""
    assert decoded(*avro(values, **types)) == Transaction(**(PAYMENT | expected))


REFUSED: list[tuple[str, DeadLetterCode, str, dict[str, Any], dict[str, Any]]] = [
    ("a field of the schema is missing", DeadLetterCode.SCHEMA_LACKS_FIELD, "no field for currency", {}, {"currency": ...}),
    ("a null where there must be one", DeadLetterCode.MISSING_FIELD, "currency is missing", {"currency": None}, {"currency": ["null", "string"]}),
    ("another type", DeadLetterCode.WRONG_TYPE, "event_time is text", {"event_time": "2026"}, {"event_time": "string"}),
    ("no number", DeadLetterCode.OUT_OF_RANGE, "amount is nan", {"amount": float("nan")}, {}),
    ("seconds", DeadLetterCode.OUT_OF_RANGE, "multiply seconds", {"event_time": NOW_MS // 1000}, {}),
    ("infinite", DeadLetterCode.OUT_OF_RANGE, "attributes.v1", {"attributes": {"v1": float("inf")}}, {"attributes": {"type": "map", "values": "double"}}),
    ("no moment", DeadLetterCode.SCHEMA_REFUSED, "needs a date, a time and a zone", {}, {"event_time": {"type": "long", "logicalType": "local-timestamp-millis"}}),
    ("a time of day", DeadLetterCode.SCHEMA_REFUSED, "event_time is time-micros", {}, {"event_time": {"type": "long", "logicalType": "time-micros"}}),
    ("an unknown currency", DeadLetterCode.UNKNOWN_VALUE, "ISO 4217", {"currency": "eur"}, {}),
    ("a control character", DeadLetterCode.CONTROL_CHARACTER, "terminal_id", {"terminal_id": "a\0"}, {}),
    ("a card number", DeadLetterCode.CARD_NUMBER, "token", {"card_id": CARD_NUMBER}, {}),
    ("another key", DeadLetterCode.WRONG_KEY, "card_id", {"card_id": "card-2"}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("code", "says", "values", "types"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_is_wrong_in_json_is_wrong_in_avro(code: DeadLetterCode, says: str, values: dict[str, Any], types: dict[str, Any]) -> None:
    """The same rules by the same code, and those that only a schema can break."""
    found = refusal(*avro(values, **types))
    assert (found.code, says in found.message, found.message[-1]) == (code, True, "."), found


@pytest.mark.parametrize(
    ("record", "code", "says"),
    [
        (Sent(framed(7, written(schema(), PAYMENT)[:-1])), DeadLetterCode.NOT_AVRO, "ends too early"),
        (Sent(framed(7, b"{}")), DeadLetterCode.NOT_AVRO, "no Avro by its schema"),
        (Sent(framed(9, b"x")), DeadLetterCode.SCHEMA_REFUSED, "is Protobuf"),
        (Sent(framed(10, b"x")), DeadLetterCode.SCHEMA_REFUSED, "'THRIFT'"),
        (Sent(b"\0\0"), DeadLetterCode.WRONG_FRAME, "has 2 bytes"),
        (Sent(framed(7, b"")), DeadLetterCode.EMPTY, "empty"),
        (Sent(None), DeadLetterCode.TOMBSTONE, "no value"),
        (Sent(framed(7, b"x" * MAX_MESSAGE_BYTES)), DeadLetterCode.TOO_LARGE, "65541 bytes"),
        (Sent(json.dumps(PAYMENT).encode(), b"\0\0"), DeadLetterCode.WRONG_FRAME, "record's key has 2 bytes"),
        (Sent(json.dumps(PAYMENT).encode(), framed(9, b"x")), DeadLetterCode.SCHEMA_REFUSED, "is Protobuf"),
        (Sent(json.dumps(PAYMENT).encode(), framed(8, b"{")), DeadLetterCode.WRONG_KEY, "must be JSON"),
        (Sent(json.dumps(PAYMENT).encode(), framed(8, b"{}")), DeadLetterCode.WRONG_KEY, "key is not its card_id"),
    ],
)
def test_a_frame_that_holds_something_else_says_what(record: Sent, code: DeadLetterCode, says: str) -> None:
    """Each cause has its sentence."""
    found = refusal(record, book(s7=schema(), j8="{}", p9="message P {}", x10="?"))
    assert (found.code, says in found.message) == (code, True), found


@pytest.mark.parametrize(
    "key",
    [framed(8, written(KEYS, {"card_id": "12"})), framed(6, b"\x0412"), framed(5, b"\x18"), framed(4, b'"12"'), framed(4, b"12"), framed(4, b'{"card_id": "12"}'), b"12"],
)  # fmt: skip
def test_a_framed_key_names_the_card_by_text_number_or_field(key: bytes) -> None:
    """As Avro and as JSON."""
    record, schemas = avro({"card_id": "12"}, key)
    for number, known in (
        (8, KnownSchema("AVRO", KEYS)),
        (6, KnownSchema("AVRO", '"string"')),
        (5, KnownSchema("AVRO", '"long"')),
        (4, KnownSchema("JSON", "{}")),
    ):
        schemas.keep(number, known)
    assert decoded(record, schemas).card_id == "12"


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (Sent(framed(7, written(schema(), PAYMENT))), "packed for a schema registry (0x00, then schema id 7)"),
        (Sent(written(schema(), PAYMENT), headers=[(VALUE_HEADER, b"\x01" + GUID.bytes)]), f"(schema {GUID})"),
        (Sent(b"\0"), "value is framed for a schema registry:"),
        (Sent(json.dumps(PAYMENT).encode(), framed(7, b"\x0ccard-1")), "key is framed for a schema registry (schema 7)"),
    ],
)
def test_without_a_registry_a_framed_record_says_what_it_is(record: Sent, says: str) -> None:
    """Not that it is no JSON."""
    ((_, error),) = decode_all([record], Decoder(Transaction, IntakeRules()), None).refused
    assert (error.code, says in error.message, "FRAUDSTREAM_SCHEMA_REGISTRY_URL" in error.message) == (
        DeadLetterCode.SCHEMA_FRAMED,
        True,
        True,
    ), error


def test_a_record_waits_for_its_schema_and_is_never_a_dead_letter_for_want_of_it() -> None:
    """It is wanted once, then known; an unknown one is a dead letter; what could not be fetched says so."""
    record, _ = avro(key=framed(8, written(KEYS, {"card_id": "card-1"})))
    schemas = book()
    decoder = WireDecoder(Transaction, IntakeRules(), schemas)
    assert decoder.lacks(record)
    assert list(schemas.wanted()) == [7, 8]
    with pytest.raises(Unavailable):
        decode_all([record], decoder, None)
    schemas.keep(7, KnownSchema("AVRO", schema()))
    assert decoder.lacks(record)
    schemas.keep(8, KnownSchema("AVRO", KEYS))
    assert not decoder.lacks(record)
    assert decode_all([record], decoder, None).messages == [EXPECTED]
    unknown = Sent(framed(9, b"x"))
    schemas.keep(9, RecordError(DeadLetterCode.UNKNOWN_SCHEMA, "No such schema."))
    assert not decoder.lacks(unknown)
    assert [e.code for _, e in decode_all([unknown], decoder, None).refused] == [DeadLetterCode.UNKNOWN_SCHEMA]
    assert decoder.lacks(Sent(framed(10, b"x")))
    schemas.give_up(10, Unavailable("The registry is away."))
    with pytest.raises(Unavailable, match="is away"):
        decoder.lacks(Sent(framed(10, b"x")))


def test_ten_thousand_schemas_of_one_topic_are_bounded() -> None:
    """One is there when its record is read; the longest unused ones go, and come again."""
    schemas, decoder = SchemaBook(), None
    decoder = WireDecoder(Transaction, IntakeRules(), schemas)
    for number in range(10_000):
        text = schema(**{f"of{number}": ["null", "string"]})
        record = Sent(framed(number, written(text, PAYMENT | {f"of{number}": None})))
        assert decoder.lacks(record)
        schemas.keep(number, KnownSchema("AVRO", text))
        assert not decoder.lacks(record)
        assert decoder.decode_record(record, None) == EXPECTED
    assert len(schemas) == len(decoder._values._made) == MOST_SCHEMAS
    assert decoder.lacks(Sent(framed(0, b"x")))


@given(st.binary(max_size=60), st.binary(max_size=12))
def test_whatever_stands_in_a_frame_it_is_a_payment_or_refused(content: bytes, key: bytes) -> None:
    """No other error leaves the decoder."""
    schemas = book(s7=schema(), j8="{}", s9=KEYS)
    for value in (framed(7, content), framed(8, content)):
        for of_card in (key, framed(8, key), framed(9, key)):
            decode = WireDecoder(Transaction, IntakeRules(), schemas)
            try:
                if not decode.lacks(record := Sent(value, of_card)):
                    decode.decode_record(record, None)
            except RecordError:
                continue
