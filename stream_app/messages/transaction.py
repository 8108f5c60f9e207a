"""Transactions and labels as they come from Kafka, and the decoders that refuse what cannot be one.

The JSON Schemas in `schemas/` say the same for other languages; a contract test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Protocol

import msgspec
from msgspec import Meta

from stream_app.errors import RecordError
from stream_app.messages.card_numbers import is_card_number
from stream_app.messages.cut_bytes import UnreadBytes, size_of
from stream_app.messages.event_time import MAX_EVENT_TIME_MS, EventTimeMs
from stream_app.messages.fields import FieldKind, doubtful_texts, fields_of, in_time_and_listed, names
from stream_app.messages.iso import COUNTRIES, CURRENCIES
from stream_app.messages.refusals import (
    CARD_NUMBER_TOLD,
    LABEL_BEFORE_EVENT_TOLD,
    NO_CONTROL_CHARACTERS,
    DeadLetterCode,
    control_character,
    has_control_character,
    of_decoding,
    refused,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_AMOUNT = 1e9
MAX_MESSAGE_BYTES = 65_536

Identifier = Annotated[str, Meta(min_length=1, max_length=64)]
Optional64 = Annotated[str, Meta(max_length=64)] | None
_AMOUNT = "a number from 0 to 10^9 in major units (a refund has type 'refund', not a minus)"
_CURRENCY = {"codes": CURRENCIES, "list": "ISO 4217", "must_be": "a code of ISO 4217 in capitals", "example": "EUR"}
_COUNTRY = {"codes": COUNTRIES, "list": "ISO 3166-1 alpha-2", "must_be": "a code of ISO 3166-1 alpha-2, two capitals", "example": "FR"}
Amount = Annotated[float, Meta(ge=0, le=MAX_AMOUNT, extra={"must_be": _AMOUNT, "example": "12.5"})]
CurrencyCode = Annotated[str, Meta(min_length=3, max_length=3, extra=_CURRENCY)]
CountryCode = Annotated[str, Meta(min_length=2, max_length=2, extra=_COUNTRY)]
Mcc = Annotated[  # the length too: `$` alone also matches before a last line feed
    str, Meta(pattern=r"^[0-9]{4}$", max_length=4, extra={"must_be": "four digits as text", "example": '"5411"'})
]
OwnText = Annotated[str, Meta(max_length=64, pattern=NO_CONTROL_CHARACTERS)]
"""A text among a payment's own values. Its pattern is tried on texts alone: numbers cost what they did."""
Latitude = Annotated[float, Meta(ge=-90, le=90, extra={"must_be": "degrees from -90 to 90", "example": "48.8566"})]
Longitude = Annotated[float, Meta(ge=-180, le=180, extra={"must_be": "degrees from -180 to 180", "example": "2.3522"})]
TransactionType = Literal["purchase", "withdrawal", "refund", "reversal", "verification"]
Channel = Literal["chip", "contactless", "magstripe", "online", "moto", "atm"]
CREDITS = frozenset({"refund", "reversal"})  # they give money back: never scored, never in a spend window
ATTRIBUTE = "attributes."
"""In a table, what the name of each column begins with that holds one of a payment's own numbers or texts."""


class Transaction(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A card transaction, `transaction.v1`. Amounts in major units; unknown fields of the message are ignored."""

    transaction_id: Identifier
    event_time: EventTimeMs
    card_id: Identifier
    terminal_id: Identifier
    amount: Amount
    currency: CurrencyCode
    billing_amount: Amount | None = None
    billing_currency: CurrencyCode | None = None
    type: TransactionType = "purchase"
    approved: bool | None = None
    merchant_id: Optional64 = None
    mcc: Mcc | None = None
    country: CountryCode | None = None
    channel: Channel | None = None
    latitude: Latitude | None = None
    longitude: Longitude | None = None
    device_id: Optional64 = None
    ip: Optional64 = None
    attributes: dict[str, float | OwnText] | None = None


class NamesPayment(Protocol):
    """A message about one payment: it, its label, its alert or its score."""

    @property
    def card_id(self) -> str:
        """Of its card."""

    @property
    def transaction_id(self) -> str:
        """Unique on its card."""


class PaymentKey(NamedTuple):
    """What tells a payment from every other: a transaction's id is unique on its card only."""

    card_id: str
    transaction_id: str

    @classmethod
    def of(cls, message: NamesPayment) -> PaymentKey:
        """The payment that a message is about."""
        return cls(message.card_id, message.transaction_id)


class Label(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What became known of a transaction, `label.v1`: a chargeback, or an analyst's verdict. A fraud counts for the merchant, category, country and
    IP network that it names, as its transaction named them.
    """

    transaction_id: Identifier
    card_id: Identifier
    terminal_id: Identifier
    event_time: EventTimeMs
    amount: Amount
    is_fraud: bool
    labelled_at: EventTimeMs
    source: Optional64 = None
    merchant_id: Optional64 = None
    mcc: Mcc | None = None
    country: CountryCode | None = None
    ip: Optional64 = None


_WRONG_KEY_TOLD = "The record's key is not its card_id. Key the topic by card_id in UTF-8, so that a card keeps its order."

_FRAMED_TOLD = (
    "The message is not JSON: it is packed for a schema registry (0x00, then schema id {}), as Avro, Protobuf or JSON Schema. Set "
    "FRAUDSTREAM_SCHEMA_REGISTRY_URL for the workers, so that it is read, or send JSON without that frame: a plain string serialiser."
)
_FRAME_BYTES = 5


@dataclass(frozen=True, slots=True)
class IntakeRules:
    """What a record must keep beyond its schema. A time may lie so far ahead of its Kafka timestamp, and of the clock.

    Attributes:
        card_fields: what producers call the card's id: no card number stands there in a dead letter.
    """

    refuse_card_numbers: bool = True
    max_ahead_s: int = 60
    max_ahead_of_clock_s: int = 3600
    card_fields: tuple[str, ...] = ("card_id",)


class Decoder[T: (Transaction, Label)]:
    """Bytes of a Kafka record → `Transaction` or `Label`. Bound once at start; holds no state."""

    def __init__(self, kind: type[T], rules: IntakeRules) -> None:
        self._decode: Callable[[str], T] = msgspec.json.Decoder(kind).decode
        self._check: Callable[[Any, int], None] = _check_transaction if kind is Transaction else _check_label
        self._fields = {field.name: field for field in fields_of(kind)}
        fields = tuple(self._fields.values())
        in_time = "m.event_time <= latest_ms" if kind is Transaction else "m.event_time <= m.labelled_at <= latest_ms"
        self._is_plain: Callable[[T, int], bool] = in_time_and_listed(kind, fields, in_time)
        self._doubtful: Callable[[T], tuple[str | None, ...]] = doubtful_texts(kind, fields)
        self._must, self._may = (names(fields, FieldKind.TEXT, required=required) for required in (True, False))
        self._refuse_card_numbers = rules.refuse_card_numbers
        self._max_ahead_ms = rules.max_ahead_s * 1000
        self._max_ahead_of_clock_ms = rules.max_ahead_of_clock_s * 1000

    def decode(
        self,
        value: bytes | None,
        key: bytes | None,
        timestamp_ms: int | None,
        now_ms: int | None,
        read: Callable[[bytes], T] | None = None,
    ) -> T:
        """Decode one record.

        Args:
            value: the record's value.
            key: the record's key; it must be `card_id` in UTF-8, else the card's order is not kept.
            timestamp_ms: the record's Kafka timestamp; None of a request, which has none.
            now_ms: what time it is; None of a record that was decided before: no clock of today has a say in it.
            read: makes the message of the value where that is not our JSON. It converts fields by msgspec, and raises what msgspec does.

        Raises:
            RecordError: with a code of `DeadLetterCode` and a sentence.
        """
        if not value or len(value) > MAX_MESSAGE_BYTES:
            raise refused_size(value)
        try:
            message = self._decode(str(value, "utf-8")) if read is None else read(value)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise self._refused_text(error, value) from None
        card_id = message.card_id
        texts = self._doubtful(message)
        odd = len(texts) > 0 and not "".join(filter(None, texts)).isprintable()
        if odd:
            _check_control_characters(message, self._must)
        if self._refuse_card_numbers and is_card_number(card_id):
            raise RecordError(DeadLetterCode.CARD_NUMBER, CARD_NUMBER_TOLD)
        if key != card_id.encode():
            raise RecordError(DeadLetterCode.WRONG_KEY, _WRONG_KEY_TOLD)
        latest_ms = MAX_EVENT_TIME_MS if timestamp_ms is None else timestamp_ms + self._max_ahead_ms
        if now_ms is not None and (by_clock_ms := now_ms + self._max_ahead_of_clock_ms) < latest_ms:
            latest_ms = by_clock_ms
        if not self._is_plain(message, latest_ms):
            self._check(message, latest_ms)
            raise self._refused_code(message)
        if odd:
            _check_control_characters(message, self._may)
        return _without_empty(message, self._may) if "" in texts else message

    def _refused_code(self, message: T) -> RecordError:
        refusals = (refused(field, getattr(message, name)) for name, field in self._fields.items() if field.listed)
        return next(filter(None, refusals))

    def _refused_text(self, error: Exception, value: bytes) -> RecordError:
        if _is_framed(value):
            told = _FRAMED_TOLD.format(int.from_bytes(value[1:_FRAME_BYTES]))
            return RecordError(DeadLetterCode.SCHEMA_FRAMED, told)
        if isinstance(error, UnicodeDecodeError):
            return RecordError(DeadLetterCode.NOT_UTF8, f"The message is not UTF-8: byte {error.start} cannot be read.")
        if isinstance(error, RecursionError):
            return RecordError(DeadLetterCode.TOO_DEEP, "The JSON is nested too deeply. A transaction is one flat object.")
        if isinstance(error, msgspec.ValidationError):
            return of_decoding(self._fields, error, value.decode())
        return RecordError(DeadLetterCode.NOT_JSON, f"The message is not JSON: {shown(str(error))}.")


def refused_size(value: bytes | None) -> RecordError:
    """What is said of a record that is too large, or has no value."""
    if isinstance(value, UnreadBytes):
        told = f"The record could not be unpacked from its batch ({value.why}). Look at the producer that packed it."
        return RecordError(DeadLetterCode.NOT_UNPACKED, told)
    if value is None:
        return RecordError(DeadLetterCode.TOMBSTONE, "The record has no value (a tombstone). Transactions are never deleted: publish none.")
    if not value:
        return RecordError(DeadLetterCode.EMPTY, "The record's value is empty.")
    return RecordError(DeadLetterCode.TOO_LARGE, too_large(size_of(value)))


def too_large(size: int) -> str:
    """What is said of a record of so many bytes."""
    return f"The message has {size} bytes; {MAX_MESSAGE_BYTES} are allowed."


def _is_framed(value: bytes) -> bool:
    """Whether it begins with 0x00 and the four bytes of a schema's id; 0x00 and `{` is JSON in UTF-16."""
    return len(value) >= _FRAME_BYTES and value[0] == 0 and value[1:2] != b"{"


def _check_control_characters(message: Transaction | Label, fields: tuple[str, ...]) -> None:
    for field in fields:
        if has_control_character(getattr(message, field) or ""):
            raise control_character(field)


def _without_empty[T: (Transaction, Label)](message: T, fields: tuple[str, ...]) -> T:
    """The message with None for those of its texts that are empty."""
    return msgspec.structs.replace(message, **{field: getattr(message, field) or None for field in fields})


def _ahead(name: str, ms: int) -> RecordError:
    allowed = "the record's timestamp and the clock here allow"
    return RecordError(DeadLetterCode.FUTURE, f"{name} is {ms} ms later than {allowed}. Check the producer's clock.")


def _check_transaction(tx: Transaction, latest_ms: int) -> None:
    if tx.event_time > latest_ms:
        raise _ahead("event_time", tx.event_time - latest_ms)


def _check_label(label: Label, latest_ms: int) -> None:
    if label.labelled_at > latest_ms:  # the later of its two times, or it is refused for that
        raise _ahead("labelled_at", label.labelled_at - latest_ms)
    if label.labelled_at < label.event_time:
        raise RecordError(DeadLetterCode.LABEL_BEFORE_EVENT, LABEL_BEFORE_EVENT_TOLD)
