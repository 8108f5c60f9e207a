"""What the intake takes, what it refuses and why."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.errors import RecordError
from stream_app.messages.card_numbers import redact
from stream_app.messages.cut_bytes import CutBytes, UnreadBytes
from stream_app.messages.event_time import NOT_MILLISECONDS
from stream_app.messages.fields import FieldKind, fields_of, names
from stream_app.messages.label_reports import UNJOINED
from stream_app.messages.refusals import DeadLetterCode
from stream_app.messages.transaction import (
    CREDITS,
    MAX_MESSAGE_BYTES,
    Decoder,
    IntakeRules,
    Label,
    Transaction,
    TransactionType,
)
from tests.examples import examples

NOW_MS = 1_795_471_200_000
CARD_NUMBER = "4111111111111111"
TRANSACTION = {
    "transaction_id": "tx-1",
    "event_time": NOW_MS,
    "card_id": "card-1",
    "terminal_id": "term-1",
    "amount": 12.5,
    "currency": "EUR",
}
LABEL = {
    "transaction_id": "tx-1",
    "card_id": "card-1",
    "terminal_id": "term-1",
    "event_time": NOW_MS - 9_000,
    "amount": 12.5,
    "is_fraud": True,
}
LABEL |= {"labelled_at": NOW_MS}

MILLISECONDS = "event_time is text; send milliseconds since 1970, UTC, for example 1795471200000"
transactions = Decoder(Transaction, IntakeRules())
labels = Decoder(Label, IntakeRules())


def _json(**changes: Any) -> bytes:
    return json.dumps(TRANSACTION | changes).encode()


def _label(**changes: Any) -> bytes:
    return json.dumps(LABEL | changes).encode()


def _refusal(
    value: bytes | None, key: bytes | None = b"card-1", timestamp_ms: int = NOW_MS, decoder: Decoder[Any] = transactions
) -> RecordError:
    with pytest.raises(RecordError) as refused:
        decoder.decode(value, key, timestamp_ms, None)
    return refused.value


REFUSED: list[tuple[DeadLetterCode, bytes | None, str]] = [
    (DeadLetterCode.TOMBSTONE, None, "has no value"),
    (DeadLetterCode.EMPTY, b"", "is empty"),
    (DeadLetterCode.TOO_LARGE, b" " * (MAX_MESSAGE_BYTES + 1), "65537 bytes; 65536 are allowed"),
    (DeadLetterCode.TOO_LARGE, CutBytes.of(b" " * (MAX_MESSAGE_BYTES + 1), 5_000_000), "5000000 bytes; 65536 are allowed"),
    (DeadLetterCode.NOT_UNPACKED, UnreadBytes.of("it is cut"), "could not be unpacked from its batch (it is cut)"),
    (DeadLetterCode.NOT_UTF8, b"\xff", "byte 0"),
    (DeadLetterCode.NOT_JSON, b"not json", "not JSON"),
    (DeadLetterCode.NOT_JSON, b" ", "not JSON"),
    (DeadLetterCode.NOT_JSON, _json()[:-1], "truncated"),
    (DeadLetterCode.NOT_JSON, _json() + b"x", "not JSON"),
    (DeadLetterCode.NOT_JSON, b"\xef\xbb\xbf" + _json(), "not JSON"),
    (DeadLetterCode.NOT_JSON, _json(amount=float("nan")), "not JSON"),
    (DeadLetterCode.TOO_DEEP, _json(added="@").replace(b'"@"', b"[" * 5000 + b"]" * 5000), "nested too deeply"),
    (DeadLetterCode.TOO_DEEP, b'{"a":' * 10_000, "nested too deeply"),
    (DeadLetterCode.WRONG_SHAPE, b"[]", "The message is a list; send one JSON object"),
    (DeadLetterCode.WRONG_SHAPE, b"null", "The message is null; send one JSON object"),
    (DeadLetterCode.MISSING_FIELD, b"{}", "transaction_id is missing; send a text of 1 to 64 characters."),
    (DeadLetterCode.WRONG_TYPE, _json(amount="12.50"), "amount is text; send a number from 0 to 10^9 in major units"),
    (DeadLetterCode.WRONG_TYPE, _json(approved=1), "approved is a number; send true or false."),
    (DeadLetterCode.WRONG_TYPE, _json(attributes=[]), "attributes is a list; send an object of numbers and short texts by name."),
    (
        DeadLetterCode.WRONG_TYPE,
        _json(attributes={"v1": None}),
        "attributes.v1 is null; send a finite number, or a text of up to 64 characters.",
    ),
    (DeadLetterCode.WRONG_TYPE, _json(attributes={"v1": True}), "attributes.v1 is true or false; send a finite number, or a text of up to"),
    (
        DeadLetterCode.OUT_OF_RANGE,
        _json(attributes={"v1": 1, "way": "x" * 65}),
        "attributes.way has 65 characters; send a finite number, or a text",
    ),
    (DeadLetterCode.CONTROL_CHARACTER, _json(attributes={"way": "x\n"}), "attributes.way contains a control character."),
    (DeadLetterCode.WRONG_TYPE, _json(event_time=1.0), "event_time is written with a fraction or exponent"),
    (DeadLetterCode.WRONG_TYPE, _json(card_id=int(CARD_NUMBER)), "card_id is a number; send a text of 1 to 64 characters."),
    (DeadLetterCode.OUT_OF_RANGE, _json(amount=-0.01), "amount is -0.01; send a number from 0 to 10^9"),
    (DeadLetterCode.OUT_OF_RANGE, _json(amount=10**400), "amount is beyond all bounds; send a number"),
    (DeadLetterCode.OUT_OF_RANGE, _json(event_time=2**70), "event_time is 1180591620717411303424; send milliseconds"),
    (DeadLetterCode.OUT_OF_RANGE, _json(transaction_id="x" * 65), "transaction_id has 65 characters; send a text of 1 to 64"),
    (DeadLetterCode.OUT_OF_RANGE, _json(mcc="541"), "mcc is '541'; send four digits as text, for example \"5411\"."),
    (DeadLetterCode.OUT_OF_RANGE, _json(mcc="5411\n"), "mcc is '5411\\n'; send four digits"),
    (DeadLetterCode.UNKNOWN_VALUE, _json(type="sale"), "type 'sale' is unknown; send one of purchase, refund, reversal"),
    (DeadLetterCode.UNKNOWN_VALUE, _json(currency="eur"), "currency 'eur' is not of ISO 4217; send 'EUR'."),
    (DeadLetterCode.UNKNOWN_VALUE, _json(billing_currency="EUX"), "billing_currency 'EUX'"),
    (DeadLetterCode.UNKNOWN_VALUE, _json(country="UK"), "country 'UK' is not of ISO 3166-1 alpha-2; send a code"),
    (DeadLetterCode.UNKNOWN_VALUE, _json(country="FRA"), "country 'FRA' is not of ISO 3166-1 alpha-2; send 'FR'."),
    (DeadLetterCode.UNKNOWN_VALUE, _json(channel="ATM"), "channel 'ATM' is unknown; send 'atm'."),
    (DeadLetterCode.WRONG_TYPE, _json(type=None), "type is null; send one of purchase, refund"),
    (DeadLetterCode.WRONG_TYPE, _json(event_time="2026-11-24"), f"{MILLISECONDS}."),
    (DeadLetterCode.OUT_OF_RANGE, _json(event_time=NOW_MS * 1000), "1795471200000000 (microseconds?); send milliseconds"),
    (DeadLetterCode.WRONG_TYPE, _json()[:-1] + b',"amount": "1", "amount": 1}', "amount cannot be read"),
    (DeadLetterCode.OUT_OF_RANGE, _json(amount="@").replace(b'"@"', b"1e999"), "amount cannot be read (Number out of range)"),
    (DeadLetterCode.SCHEMA_FRAMED, b"\x00\x00\x00\x00\x05\x08tx-1\xff", "packed for a schema registry (0x00, then schema id 5)"),
    (DeadLetterCode.SCHEMA_FRAMED, b"\x00\x00\x00\x00\x05" + _json(), "send JSON without that frame"),
    (DeadLetterCode.NOT_JSON, json.dumps(TRANSACTION).encode("utf-16-be"), "not JSON"),
    (DeadLetterCode.CONTROL_CHARACTER, _json(terminal_id="term\x00"), "terminal_id"),
    (DeadLetterCode.CONTROL_CHARACTER, _json(transaction_id="tx\x9b1"), "transaction_id"),
    (DeadLetterCode.CARD_NUMBER, _json(card_id=CARD_NUMBER), "FRAUDSTREAM_REFUSE_CARD_NUMBERS"),
    (DeadLetterCode.WRONG_KEY, _json(card_id="card-2"), "key is not its card_id"),
    (DeadLetterCode.FUTURE, _json(event_time=NOW_MS + 60_001), "1 ms later"),
]
REFUSED_LABELS = [
    (DeadLetterCode.FUTURE, _label(labelled_at=NOW_MS + 60_001), "labelled_at is 1 ms later"),
    (DeadLetterCode.LABEL_BEFORE_EVENT, _label(labelled_at=NOW_MS - 9_001), "cannot precede"),
    (DeadLetterCode.CARD_NUMBER, _label(card_id=CARD_NUMBER), "Send a token"),
    (DeadLetterCode.WRONG_KEY, _label(card_id="card-2"), "key is not its card_id"),
    (DeadLetterCode.WRONG_TYPE, _label(is_fraud=1), "is_fraud is a number; send true or false."),
    (DeadLetterCode.MISSING_FIELD, json.dumps(TRANSACTION).encode(), "is_fraud is missing; send true or false."),
    (DeadLetterCode.TOMBSTONE, None, "has no value"),
]


@pytest.mark.parametrize(("code", "value", "says"), REFUSED)
def test_a_transaction_is_refused_with_code_and_sentence(code: DeadLetterCode, value: bytes | None, says: str) -> None:
    """Each fault has its code, and a sentence that names the field or the remedy."""
    refusal = _refusal(value)
    assert (refusal.code, says in refusal.message, refusal.message[-1]) == (code, True, "."), refusal


@pytest.mark.parametrize(("code", "value", "says"), REFUSED_LABELS)
def test_a_label_is_refused_with_code_and_sentence(code: DeadLetterCode, value: bytes | None, says: str) -> None:
    """Labels pass the same intake, with two rules of their own."""
    refusal = _refusal(value, decoder=labels)
    assert (refusal.code, says in refusal.message, refusal.message[-1]) == (code, True, "."), refusal


def test_every_dead_letter_code_is_reached() -> None:
    """No code is dead: all are seen above, but those of what comes after the decoder, of frames (tests/unit/wire/test_wire_decoder.py), and of reports
    that are joined to no payment (tests/unit/labelling).
    """
    later = {DeadLetterCode.SCORING_FAILED, DeadLetterCode.DECISION_TOO_LARGE, *UNJOINED}
    later |= {c for c in DeadLetterCode if "schema" in c or c in {"framed", "wrong_frame", "not_avro"}}
    assert {code for code, *_ in (*REFUSED, *REFUSED_LABELS)} | later == set(DeadLetterCode)


def test_a_right_transaction_and_a_right_label_are_decoded() -> None:
    """Required fields suffice; unknown ones are ignored; the type is a purchase where none is said."""
    transaction = transactions.decode(_json(added={"a": [1, None]}), b"card-1", NOW_MS, None)
    assert transaction == Transaction("tx-1", NOW_MS, "card-1", "term-1", 12.5, "EUR")
    assert transaction.type == "purchase"
    assert labels.decode(_label(), b"card-1", NOW_MS, None) == Label("tx-1", "card-1", "term-1", NOW_MS - 9_000, 12.5, True, NOW_MS, None)


def test_the_largest_message_is_taken() -> None:
    """65,536 bytes are allowed, one more is not."""
    value = _json(added="")
    value = value.replace(b'"added": ""', b'"added": "' + b"x" * (MAX_MESSAGE_BYTES - len(value)) + b'"')
    assert len(value) == MAX_MESSAGE_BYTES
    assert transactions.decode(value, b"card-1", NOW_MS, None).amount == 12.5
    assert _refusal(value + b" ").code == DeadLetterCode.TOO_LARGE


@pytest.mark.parametrize("text", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80"])
@pytest.mark.parametrize("field", ["transaction_id", "device_id", "added", "attributes"])
def test_invalid_utf8_is_refused_in_any_field(field: str, text: bytes) -> None:
    """Also in fields that nobody reads and in names of attributes: what is passed on is always UTF-8."""
    value = _json(**{field: {"@": 1} if field == "attributes" else "@"}).replace(b"@", text)
    refusal = _refusal(value)
    assert refusal.code == DeadLetterCode.NOT_UTF8
    assert f"byte {value.index(text)}" in refusal.message


@pytest.mark.parametrize("key", [None, b"", b"card-2", b"card-1 ", b'"card-1"', b"\xff"])
def test_another_key_than_the_card_is_refused(key: bytes | None) -> None:
    """A record under another key may stand in another partition, out of the card's order."""
    assert _refusal(_json(), key).code == DeadLetterCode.WRONG_KEY


def test_a_key_is_compared_in_utf8() -> None:
    """A token of any script is its own key in UTF-8, escaped or not in the JSON."""
    for ensure_ascii in (True, False):
        value = json.dumps(TRANSACTION | {"card_id": "карта-😀"}, ensure_ascii=ensure_ascii).encode()
        assert transactions.decode(value, "карта-😀".encode(), NOW_MS, None).card_id == "карта-😀"


def test_a_clock_may_be_ahead_by_the_setting() -> None:
    """Up to and including `max_ahead_s` after the record's timestamp is taken; the limit is a setting."""
    assert transactions.decode(_json(event_time=NOW_MS + 60_000), b"card-1", NOW_MS, None).event_time == NOW_MS + 60_000
    strict = Decoder(Transaction, IntakeRules(max_ahead_s=0))
    assert strict.decode(_json(), b"card-1", NOW_MS, None).event_time == NOW_MS
    assert _refusal(_json(event_time=NOW_MS + 1), decoder=strict).code == DeadLetterCode.FUTURE


@given(clock_off=st.integers(-59 * 60_000, 59 * 60_000), producer_off=st.integers(-600_000, 60_000), ahead=st.integers(-400_000, 0))
def test_clocks_that_are_minutes_wrong_refuse_nobody(clock_off: int, producer_off: int, ahead: int) -> None:
    """The worker's may be nearly an hour behind, the producer's ten minutes or one ahead: its payments are taken, and its labels."""
    at_ms = NOW_MS + producer_off + ahead
    now_ms = NOW_MS + max(clock_off, producer_off - 59 * 60_000)
    assert transactions.decode(_json(event_time=at_ms), b"card-1", NOW_MS + producer_off, now_ms).event_time == at_ms
    value = _label(event_time=at_ms, labelled_at=at_ms)
    assert labels.decode(value, b"card-1", NOW_MS + producer_off, now_ms).labelled_at == at_ms


@pytest.mark.parametrize("decoder", [transactions, labels], ids=["payment", "label"])
def test_a_producer_whose_clock_is_months_ahead_is_refused_by_the_clock(decoder: Decoder[Any]) -> None:
    """Its timestamp agrees with its time; up to and including an hour is taken; what was decided before, no clock refuses."""
    ahead_ms = NOW_MS + 129 * 86_400_000
    value = _json(event_time=ahead_ms) if decoder is transactions else _label(event_time=NOW_MS, labelled_at=ahead_ms)
    with pytest.raises(RecordError, match="clock here") as refused:
        decoder.decode(value, b"card-1", ahead_ms, NOW_MS)
    assert refused.value.code == DeadLetterCode.FUTURE
    with pytest.raises(RecordError):
        decoder.decode(value, b"card-1", ahead_ms, ahead_ms - 3_600_001)
    decoder.decode(value, b"card-1", ahead_ms, ahead_ms - 3_600_000)
    decoder.decode(value, b"card-1", ahead_ms, None)


@pytest.mark.parametrize("time", [0, -5, NOW_MS // 1000, 946_684_799_999])
def test_a_time_before_2000_is_refused_with_the_sentence_of_the_file_reader(time: int) -> None:
    """Seconds in place of milliseconds, as a rule; any field of time."""
    for refusal, field in (
        (_refusal(_json(event_time=time)), "event_time"),
        (_refusal(_label(event_time=time), decoder=labels), "event_time"),
        (_refusal(_label(labelled_at=time), decoder=labels), "labelled_at"),
    ):
        assert refusal.code == DeadLetterCode.OUT_OF_RANGE
        assert NOT_MILLISECONDS in refusal.message
        assert field in refusal.message
    assert transactions.decode(_json(event_time=946_684_800_000), b"card-1", NOW_MS, NOW_MS).event_time == 946_684_800_000


def test_a_label_may_be_given_at_once() -> None:
    """`labelled_at` = `event_time` is right: an analyst may watch."""
    assert labels.decode(_label(labelled_at=NOW_MS - 9_000), b"card-1", NOW_MS, None).labelled_at == NOW_MS - 9_000


def test_issuers_whose_tokens_look_like_card_numbers_may_send_them() -> None:
    """With the setting off, digits that pass Luhn are a token like any other."""
    lenient = Decoder(Transaction, IntakeRules(refuse_card_numbers=False))
    assert lenient.decode(_json(card_id=CARD_NUMBER), CARD_NUMBER.encode(), NOW_MS, None).card_id == CARD_NUMBER


@pytest.mark.parametrize("text", ["missing required field", "Expected `object`", ", got ", "Object missing required field `amount`"])
def test_the_code_does_not_follow_the_producers_words(text: str) -> None:
    """A value that reads like an error text is still an unknown value."""
    assert _refusal(_json(channel=text)).code == DeadLetterCode.UNKNOWN_VALUE


def test_a_sentence_is_fit_for_a_header() -> None:
    """Where it quotes the producer's value it shows no card number and no control character, and stays short."""
    refusal = _refusal(_json(channel=f"\n\x1b[31m{CARD_NUMBER}" + "x" * 60_000))
    assert CARD_NUMBER not in str(refusal)
    assert CARD_NUMBER[:6] not in _refusal(_json(channel=f"{'x' * 30} {CARD_NUMBER}")).message
    assert CARD_NUMBER[:6] not in _refusal(_json(attributes={f"{'x' * 30} {CARD_NUMBER}": True})).message
    assert refusal.message.isprintable()
    assert len(refusal.message) < 320
    assert refusal.message.endswith("contactless, magstripe, moto, online.")


@examples(500)
@given(
    st.binary(max_size=80)
    | st.text(max_size=40).map(str.encode)
    | st.dictionaries(st.sampled_from([*TRANSACTION, "x"]), st.text()).map(json.dumps).map(str.encode)
)
def test_any_bytes_are_decoded_or_refused(value: bytes) -> None:
    """Whatever stands in Kafka, the intake answers with a `RecordError` of a known code, and redaction never fails."""
    refusal = _refusal(value, value)
    assert DeadLetterCode(refusal.code)
    assert refusal.message.isprintable()
    redact(value, value)


@pytest.mark.parametrize("field", names(fields_of(Transaction), FieldKind.TEXT, required=False))
def test_optional_texts_hold_no_control_characters_and_empty_is_as_not_given(field: str) -> None:
    """They reach alerts and logs as the ids do; an empty merchant is no merchant."""
    refused = _refusal(_json(**{field: "a\x07b"}))
    assert refused.code == DeadLetterCode.CONTROL_CHARACTER
    assert refused.message == f"{field} contains a control character."
    for given_text, kept in (("", None), ("x", "x"), (None, None)):
        assert getattr(transactions.decode(_json(**{field: given_text}), b"card-1", NOW_MS, None), field) == kept


def test_the_source_of_a_label_is_held_to_the_same() -> None:
    """No control characters; empty is as not given."""
    assert _refusal(_label(source="a\nb"), decoder=labels).code == DeadLetterCode.CONTROL_CHARACTER
    assert labels.decode(_label(source=""), b"card-1", NOW_MS, None).source is None


def test_every_type_is_a_payment_or_gives_money_back() -> None:
    """A type that is added is decided here: where it is forgotten it would be counted into what a card spends."""
    assert set(get_args(TransactionType)) == CREDITS | {"purchase", "withdrawal", "verification"}
