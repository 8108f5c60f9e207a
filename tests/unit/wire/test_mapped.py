"""Payments by a mapping: the fast way and the slow one agree, and what cannot be a payment is refused as in our own JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.errors import RecordError
from stream_app.messages.refusals import DeadLetterCode
from stream_app.messages.transaction import IntakeRules, Transaction
from stream_app.wire.decoder import WireDecoder
from stream_app.wire.mapped import MappedReader
from stream_app.wire.mapping import MappingError, token_of
from stream_app.wire.mapping_text import mapping_of
from stream_app.wire.schemas import KnownSchema, SchemaBook
from tests.unit.wire.records import NOW_MS, PAYMENT, Sent, framed, schema, written

EXPECTED = Transaction(**PAYMENT)
DEBEZIUM = MappedReader(
    mapping_of("""
columns:
  transaction_id: payload.after.id
  event_time: {path: payload.after.ts, unit: us}
  card_id: payload.after.card
  terminal_id: payload.after.shop
  amount: {path: payload.after.cents, unit: minor}
  currency: payload.after.currency
  type: {path: payload.after.kind, values: {P: purchase, R: refund, "7": withdrawal}}
  approved: {path: payload.after.ok, values: {J: true, N: false}, default: true}
  mcc: payload.after.mcc
  attributes.v1: payload.score
""")
)
AFTER = {"id": "tx-1", "ts": NOW_MS * 1000, "card": "card-1", "shop": "term-1", "cents": 1250, "currency": "EUR"}


def debezium(score: Any = ..., **after: Any) -> dict[str, Any]:
    """Its envelope; `...` leaves a field out."""
    payload = {"before": None, "after": {k: v for k, v in (AFTER | after).items() if v is not ...}, "op": "c", "score": score}
    return {"schema": {"type": "struct"}, "payload": {k: v for k, v in payload.items() if v is not ...}}


def read(reader: MappedReader, record: Any) -> Transaction:
    """The payment in a record, by our decoder; the slow way alone says the same."""
    content = record if isinstance(record, bytes) else json.dumps(record).encode()
    decode = WireDecoder(Transaction, IntakeRules(), None, reader)
    found = decode.decode_record(Sent(content), None)
    assert reader.of_values(json.loads(content)) == found
    return found


def refusal(reader: MappedReader, record: Any, key: bytes = b"card-1") -> RecordError:
    """Why there is none."""
    content = record if isinstance(record, bytes) else json.dumps(record).encode()
    with pytest.raises(RecordError) as refused:
        WireDecoder(Transaction, IntakeRules(), None, reader).decode_record(Sent(content, key), None)
    return refused.value


def by(**columns: str) -> MappedReader:
    """A mapping of some fields beside ours, `of` apart: further parts."""
    parts = columns.pop("of", "")
    return MappedReader(mapping_of("columns:\n" + "".join(f"  {n}: {c}\n" for n, c in columns.items()) + parts))


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ({}, {}),
        ({"kind": "R", "ok": "N", "mcc": "5411"}, {"type": "refund", "approved": False, "mcc": "5411"}),
        ({"kind": 7}, {"type": "withdrawal"}),
        ({"kind": None, "ok": None, "mcc": None}, {}),
        ({"id": 12, "score": 0.25}, {"transaction_id": "12", "attributes": {"v1": 0.25}}),
        ({"score": 1}, {"attributes": {"v1": 1.0}}),
        ({"currency": "JPY"}, {"currency": "JPY", "amount": 1250.0}),
        ({"currency": "KWD"}, {"currency": "KWD", "amount": 1.25}),
        ({"ts": NOW_MS * 1000 + 999}, {}),
    ],
)
def test_debeziums_envelope_is_read_by_a_mapping(after: dict[str, Any], expected: dict[str, Any]) -> None:
    """Paths, minor units by the currency, a table, a default, numbers as ids, our own numbers."""
    assert read(DEBEZIUM, debezium(**after)) == Transaction(**(PAYMENT | {"approved": True} | expected))


ZONED = by(event_time="{path: at, unit: iso8601}", of="zone: Europe/Berlin\n")


@pytest.mark.parametrize(
    ("reader", "theirs", "expected"),
    [
        (by(event_time="{path: at, unit: s}"), NOW_MS // 1000, {}),
        (by(event_time="{path: at, unit: s}"), NOW_MS / 1000 + 0.25, {"event_time": NOW_MS + 250}),
        (by(event_time="at", of="time_unit: s\n"), NOW_MS // 1000, {}),
        (by(event_time="{path: at, unit: ms}", of="time_unit: s\n"), NOW_MS, {}),
        (by(event_time="{path: at, unit: ns}"), NOW_MS * 10**6 + 5, {}),
        (by(event_time="{path: at, unit: iso8601}"), "2026-11-23T22:00:00Z", {"event_time": 1795471200000}),
        (by(event_time="{path: at, unit: iso8601}"), "2026-11-24T00:00:00.5+02:00", {"event_time": 1795471200500}),
        (ZONED, "2026-11-23 23:00:00", {"event_time": 1795471200000}),
        (ZONED, "2026-11-23T22:00:00Z", {"event_time": 1795471200000}),
        (ZONED, "20261123T230000", {"event_time": 1795471200000}),
        (by(event_time="{path: at, unit: h, since: 2018-04-01T00:00:00Z}"), 2, {"event_time": 1_522_540_800_000 + 7_200_000}),
        (by(event_time="{path: at, unit: d, since: 2018-04-01T00:00:00Z}"), 0.5, {"event_time": 1_522_540_800_000 + 43_200_000}),
        (by(event_time="{path: at, unit: ms, since: 2018-04-01T00:00:00Z}"), 5, {"event_time": 1_522_540_800_005}),
        (by(event_time='{path: at, format: "%d/%m/%Y %H:%M"}', of="zone: Europe/Berlin\n"), "23/11/2026 23:00", {"event_time": 1795471200000}),
        (by(event_time='{path: at, format: "%m/%d/%y %I:%M %p%z"}'), "11/23/26 10:00 pmZ", {"event_time": 1795471200000}),
        (by(event_time='{path: at, format: "%Y%m%d%H%M%S%z"}'), "20261123220000Z", {"event_time": 1795471200000}),
        (by(event_time='{path: at, format: "%Y%m%d%H%M%S"}', of="zone: UTC\n"), 20261123220000, {"event_time": 1795471200000}),
        (by(amount="at", of='decimal: ","\n'), "1234,5", {"amount": 1234.5}),
        (by(amount="at", of='decimal: ","\n'), "1.234.567,25", {"amount": 1234567.25}),
        (by(amount="at", of='decimal: "."\n'), "1,234", {"amount": 1234.0}),
        (by(amount="at", of='decimal: ","\n'), 12.5, {}),
        (by(amount="at", of='decimal: "."\n'), "12.50", {}),
        (by(terminal_id="at"), "a", {"terminal_id": "a"}),
        (by(country="at", of="constants: {channel: online, mcc: 0742}\n"), "DE", {"country": "DE", "channel": "online", "mcc": "0742"}),
        (by(merchant_id="[at]", device_id="at"), "m", {"merchant_id": "m", "device_id": "m"}),
    ],
)  # fmt: skip
def test_units_zones_signs_constants_and_defaults(reader: MappedReader, theirs: Any, expected: dict[str, Any]) -> None:
    """What the mapping does not name has our name."""
    mapped = {n for n in ("event_time", "amount", "terminal_id") if reader._mapping.columns.get(n)}
    record = {k: v for k, v in PAYMENT.items() if k not in mapped} | {"at": theirs}
    assert read(reader, record) == Transaction(**(PAYMENT | expected))


def test_a_time_in_parts_is_read_fast_and_told_with_its_places() -> None:
    """A date and a time; year, month, day and hour as numbers. Where a part is missing the time is."""
    parts = by(event_time='{paths: [day, t.at], format: "%d.%m.%Y %H:%M"}', of="zone: UTC\n")
    record = {k: v for k, v in PAYMENT.items() if k != "event_time"} | {"day": "23.11.2026", "t": {"at": "22:00"}}
    assert read(parts, record) == EXPECTED
    assert parts._make(parts._decode(json.dumps(record))) == EXPECTED
    assert refusal(parts, record | {"day": None}).code == DeadLetterCode.MISSING_FIELD
    told = refusal(parts, record | {"day": "11/23/2026"})
    assert (told.code, "event_time, at day and t.at, is" in told.message) == (DeadLetterCode.UNKNOWN_VALUE, True), told
    assert refusal(parts, record | {"day": 1.5}).code == DeadLetterCode.WRONG_TYPE
    numbers = by(event_time='{paths: [y, m, d, h], format: "%Y %m %d %H"}', of="zone: UTC\n")
    assert read(numbers, record | {"y": 2026, "m": 11, "d": 23, "h": 22}) == EXPECTED
    assert refusal(numbers, record | {"y": 2026, "m": 13, "d": 23, "h": 22}).code == DeadLetterCode.UNKNOWN_VALUE


def test_constants_hold_own_values_too_and_stand_whatever_a_record_has() -> None:
    """A number is one; the record's own values stay beside them."""
    reader = by(terminal_id="shop", of="constants: {attributes.bank: north, attributes.n: 0742, currency: USD}\n")
    record = PAYMENT | {"shop": "term-1", "attributes": {"n": 1, "kept": 2.5}}
    expected = PAYMENT | {"currency": "USD", "attributes": {"bank": "north", "n": 742.0, "kept": 2.5}}
    assert read(reader, record) == Transaction(**expected)
    assert reader._make(reader._decode(json.dumps(record))) == Transaction(**expected)


def test_what_is_taken_for_one_field_is_none_besides() -> None:
    """A merchant as terminal is no merchant, unless the mapping says so; what every payment needs must be said."""
    merchant = PAYMENT | {"merchant_id": "m"}
    assert read(by(terminal_id="merchant_id"), merchant) == Transaction(**PAYMENT | {"terminal_id": "m"})
    both = by(terminal_id="merchant_id", merchant_id="merchant_id")
    assert read(both, merchant) == Transaction(**PAYMENT | {"terminal_id": "m", "merchant_id": "m"})
    assert both._make(both._decode(json.dumps(merchant))).terminal_id == "m"
    with pytest.raises(MappingError, match="takes card_id of a record for another field"):
        by(terminal_id="card_id")


def test_a_default_in_minor_units_is_ours() -> None:
    """Major: only theirs is divided."""
    reader = by(amount="{path: cents, unit: minor, default: 3.5}")
    record = {k: v for k, v in PAYMENT.items() if k != "amount"}
    assert read(reader, record).amount == 3.5
    assert read(reader, record | {"cents": 350}).amount == 3.5


@pytest.mark.parametrize(
    ("reader", "record", "code", "says"),
    [
        (DEBEZIUM, debezium(id=...), DeadLetterCode.MISSING_FIELD, "transaction_id is missing"),
        (DEBEZIUM, {"payload": {"after": None}}, DeadLetterCode.MISSING_FIELD, "transaction_id is missing"),
        (DEBEZIUM, {"payload": 7}, DeadLetterCode.MISSING_FIELD, "transaction_id is missing"),
        (DEBEZIUM, [1], DeadLetterCode.WRONG_SHAPE, "no object"),
        (DEBEZIUM, b"{", DeadLetterCode.NOT_JSON, "not JSON"),
        (DEBEZIUM, b"\xff", DeadLetterCode.NOT_UTF8, "byte 0"),
        (DEBEZIUM, b"[" * 5_000, DeadLetterCode.TOO_DEEP, "too deeply"),
        (DEBEZIUM, b"\0\0\0\0\x07x", DeadLetterCode.SCHEMA_FRAMED, "schema registry"),
        (DEBEZIUM, debezium(kind="X"), DeadLetterCode.UNKNOWN_VALUE, "type, at payload.after.kind, is 'X'; the mapping knows P, R, 7"),
        (DEBEZIUM, debezium(kind=True), DeadLetterCode.WRONG_TYPE, "the mapping knows P, R, 7"),
        (DEBEZIUM, debezium(cents=12.5), DeadLetterCode.WRONG_TYPE, "no whole number of minor units"),
        (DEBEZIUM, debezium(cents=-1), DeadLetterCode.OUT_OF_RANGE, "amount is -0.01"),
        (DEBEZIUM, debezium(cents=10**12), DeadLetterCode.OUT_OF_RANGE, "amount is 10000000000;"),
        (DEBEZIUM, debezium(ts=NOW_MS), DeadLetterCode.OUT_OF_RANGE, "event_time is 1795471200"),
        (DEBEZIUM, debezium(ts="now"), DeadLetterCode.WRONG_TYPE, "event_time is text"),
        (DEBEZIUM, debezium(id="x" * 65), DeadLetterCode.OUT_OF_RANGE, "transaction_id has 65 characters"),
        (DEBEZIUM, debezium(id=1.5), DeadLetterCode.WRONG_TYPE, "transaction_id is a number"),
        (DEBEZIUM, debezium(card=True), DeadLetterCode.WRONG_TYPE, "card_id is true or false"),
        (DEBEZIUM, debezium(currency="eur"), DeadLetterCode.UNKNOWN_VALUE, "currency 'eur' is not of ISO 4217"),
        (DEBEZIUM, debezium(shop="a\0"), DeadLetterCode.CONTROL_CHARACTER, "terminal_id"),
        (DEBEZIUM, debezium(card="4111111111111111"), DeadLetterCode.CARD_NUMBER, "token"),
        (DEBEZIUM, debezium(card="card-2"), DeadLetterCode.WRONG_KEY, "key"),
        (by(event_time="{path: event_time, unit: iso8601}"), PAYMENT | {"event_time": "2026-11-23T22:00:00"}, DeadLetterCode.UNKNOWN_VALUE, "names no zone"),
        (ZONED, PAYMENT | {"at": "yesterday"}, DeadLetterCode.UNKNOWN_VALUE, "must be a time of ISO 8601"),
        (ZONED, PAYMENT | {"at": "1971-01-01"}, DeadLetterCode.OUT_OF_RANGE, "before 2000"),
        (by(amount="amount", of='decimal: ","\n'), PAYMENT | {"amount": "1.23,5"}, DeadLetterCode.UNKNOWN_VALUE, "between thousands"),
        (by(amount="amount", of='decimal: ","\n'), PAYMENT | {"amount": "12.50"}, DeadLetterCode.UNKNOWN_VALUE, "decimal sign ','"),
        (by(amount="amount"), PAYMENT | {"amount": "12.50"}, DeadLetterCode.WRONG_TYPE, "amount is text"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_payment_is_refused_by_its_cause(reader: MappedReader, record: Any, code: DeadLetterCode, says: str) -> None:
    """By our field's name and, where the mapping has a say, by their path."""
    found = refusal(reader, record)
    assert (found.code, says in found.message, found.message[-1]) == (code, True, "."), found


ANY = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=70),
    st.sampled_from(["P", "J", "EUR", "5411", "12,5", "2026-11-23T22:00:00", NOW_MS, NOW_MS * 1000, 1250, {}, [], {"a": 1}]),
)  # fmt: skip
MIXED = by(
    event_time="{path: ts, unit: iso8601}",
    amount="{path: cents}",
    terminal_id="shop",
    card_id="card",
    transaction_id="id",
    country="{path: kind, values: {P: DE}, default: FR}",
    of='decimal: ","\nzone: UTC\ntokens: [card_id]\n',
)


@given(st.dictionaries(st.sampled_from([*AFTER, "kind", "ok", "mcc", "score"]), ANY))
def test_the_fast_way_and_the_slow_one_never_disagree(changed: dict[str, Any]) -> None:
    """Whatever stands in a record: what the fast way makes of it, the slow one makes of it too."""
    for reader, record in ((DEBEZIUM, debezium(**changed)), (MIXED, AFTER | {"ts": "2026-11-23", "cents": "12,5"} | changed)):
        text = json.dumps(record)
        try:
            fast = reader._make(reader._decode(text))
        except Exception:  # noqa: BLE001, S112 - the slow way decides
            continue
        assert reader.of_values(json.loads(text)) == fast


def test_a_record_as_expected_takes_the_fast_way() -> None:
    """Else the mapping would be right, and slow."""
    assert DEBEZIUM._make(DEBEZIUM._decode(json.dumps(debezium(kind="P", ok="J", mcc="5411", score=0.5)))).type == "purchase"
    assert MIXED._make(MIXED._decode(json.dumps(AFTER | {"ts": "2026-11-23", "cents": "12,5", "id": 7}))).card_id == token_of("card-1")


KEYED = by(card_id="pan", of="key: payload.card\ntokens: [card_id]\n")


def test_a_part_of_the_key_may_be_the_card_and_a_token_takes_the_place_of_its_number() -> None:
    """Tokens are those of training: the same card is the same there."""
    record = Sent(json.dumps(PAYMENT | {"pan": 4111111111111111}).encode(), b'{"payload": {"card": "4111111111111111"}}')
    token = token_of("4111111111111111")
    assert WireDecoder(Transaction, IntakeRules(), None, KEYED).decode_record(record, None).card_id == token
    whole = by(card_id="pan", of="tokens: [card_id]\n")
    record.key = b"4111111111111111"
    assert WireDecoder(Transaction, IntakeRules(), None, whole).decode_record(record, None).card_id == token
    for key in (b"4111111111111112", b"", b"{}", b"{", b"\xff"):
        for reader in (KEYED, whole):
            assert refusal(reader, record.value, key).code == DeadLetterCode.WRONG_KEY


def avro(text: str, message: Any, reader: MappedReader, key: bytes = b"card-1") -> Transaction:
    """The payment of a record in Avro by a mapping."""
    book = SchemaBook()
    book.keep(7, KnownSchema("AVRO", text))
    return WireDecoder(Transaction, IntakeRules(), book, reader).decode_record(Sent(framed(7, written(text, message)), key), None)


def envelope(**types: Any) -> str:
    """Debezium's, in Avro: the row's types are these."""
    usual = {"id": "string", "ts": "long", "card": "string", "shop": "string", "cents": "long", "currency": "string"}
    row = {"type": "record", "name": "Row", "fields": [{"name": n, "type": t} for n, t in (usual | types).items() if t is not ...]}
    inner = {
        "type": "record",
        "name": "P",
        "fields": [
            {"name": "before", "type": ["null", row]},
            {"name": "after", "type": ["null", "Row"]},
            {"name": "score", "type": "double"},
        ],
    }
    whole = {"type": "record", "name": "E", "fields": [{"name": "payload", "type": inner}]}
    return json.dumps(whole)


def test_a_nested_record_of_avro_is_read_by_a_mapping() -> None:
    """By the paths, through unions; a logical type says the unit. What the schema lacks is a refusal of its own."""
    row = {"kind": "P", "ok": "J", "mcc": None}
    types = {"kind": "string", "ok": "string", "mcc": ["null", "string"]}
    message = {"payload": {"before": None, "after": AFTER | row, "score": 0.5}}
    assert avro(envelope(**types), message, DEBEZIUM) == Transaction(**PAYMENT, approved=True, attributes={"v1": 0.5})
    with pytest.raises(RecordError) as refused:
        avro(envelope(**types | {"mcc": ...}), message, DEBEZIUM)
    assert (refused.value.code, "mcc, which the mapping takes from 'payload.after.mcc'" in refused.value.message) == (
        DeadLetterCode.SCHEMA_LACKS_FIELD,
        True,
    )
    micros = {"type": "long", "logicalType": "timestamp-micros"}
    with pytest.raises(RecordError, match="Take the unit out of the mapping"):
        avro(envelope(**types, ts=micros), message, DEBEZIUM)
    with pytest.raises(RecordError) as refused:
        avro(envelope(**types), {"payload": {"before": None, "after": None, "score": 0.5}}, DEBEZIUM)
    assert refused.value.code == DeadLetterCode.MISSING_FIELD


def test_a_logical_type_says_the_unit_where_the_mapping_says_none() -> None:
    """Under another name, flat."""
    text = schema(event_time=..., at={"type": "long", "logicalType": "timestamp-micros"})
    assert avro(text, {**PAYMENT, "at": NOW_MS * 1000}, by(event_time="at")) == EXPECTED


SHARED = (by(terminal_id="at", merchant_id="at", device_id="at"), by(amount="n", latitude="n", **{"attributes.n": "n"}))


@given(st.dictionaries(st.sampled_from(["at", "n"]), ANY))
def test_fields_of_one_place_are_read_as_each_of_them_alone(changed: dict[str, Any]) -> None:
    """The fast way takes no text that is too long, and no object for an id."""
    for reader in SHARED:
        text = json.dumps(PAYMENT | {"at": "term-1", "n": 1} | changed)
        try:
            fast = reader._make(reader._decode(text))
        except Exception:  # noqa: BLE001, S112 - the slow way decides
            continue
        assert reader.of_values(json.loads(text)) == fast
