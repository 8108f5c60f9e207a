"""Records of a topic of reports → what each says: JSON, or behind a registry's frame Avro and JSON, under our names or by a mapping.

The mapping is that of files of labels (`training.data.label_file`); what a value must be is said by the same table of fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any

import msgspec

from stream_app.errors import RecordError
from stream_app.messages.fields import Field
from stream_app.messages.headers import headers_of
from stream_app.messages.label_reports import BY_PAYMENT, LabelReport, source_of
from stream_app.messages.records import NOT_DECODED
from stream_app.messages.refusals import DeadLetterCode, refused, shown
from stream_app.messages.transaction import MAX_MESSAGE_BYTES, refused_size
from stream_app.wire.decoder import BySchema, avro_reader, said_of_frames
from stream_app.wire.framing import VALUE_HEADER, unframed
from stream_app.wire.mapped import MappedFields
from stream_app.wire.mapping import OURS, SourceMapping

if TYPE_CHECKING:
    from stream_app.messages.records import Record
    from stream_app.wire.avro_fields import Convert
    from stream_app.wire.schemas import KnownSchema, SchemaBook

_NAMES = ("transaction_id", *BY_PAYMENT, "currency", "labelled_at", "is_fraud", "source", "fraud_type")
_FIELDS: Mapping[str, Field] = {name: replace(OURS[name], required=False, nullable=True, default=None) for name in _NAMES}
_EPOCH, _DAY = datetime(1970, 1, 1, tzinfo=UTC), timedelta(days=1)
_MS = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class ReportRules:
    """What a report must keep beyond its fields.

    Attributes:
        zone: whose days dates are.
        refuse_card_numbers: whether a card's id may be no card number.
    """

    zone: tzinfo = UTC
    refuse_card_numbers: bool = True


class ReportReader:
    """Reads reports. Bound once at start."""

    def __init__(self, mapping: SourceMapping, rules: ReportRules, book: SchemaBook | None = None) -> None:
        """Bind to a mapping; `book` has the schemas of the registry, None: there is none, and what is framed is refused."""
        self._fields, self._rules = MappedFields(mapping, _FIELDS), rules
        self._schemas: BySchema[Callable[[bytes], Mapping[str, Any]]] | None = None if book is None else BySchema(book, self._values_reader)

    def lacks(self, record: Record) -> bool:
        """Whether the schema of a record is not here yet; it is wanted from now on. Raises Unavailable as `WireDecoder.lacks`."""
        if self._schemas is None or not record.value:
            return False
        try:
            framed = unframed(record.value, headers_of(record), VALUE_HEADER)
        except RecordError:  # which reading will tell
            return False
        return framed is not None and not self._schemas.has(framed.schema)

    def read(self, record: Record) -> LabelReport:
        """What a record says.

        Raises:
            RecordError: nothing that could be read, with a code of `DeadLetterCode` and a sentence.
            Unavailable: its schema is not here: `lacks` was not asked.
        """
        value = record.value
        if not value or len(value) > MAX_MESSAGE_BYTES:
            raise refused_size(value)
        if self._schemas is None:
            try:
                values = self._of_json(value)
            except RecordError as error:
                raise said_of_frames(record, error) from None
        else:
            framed = unframed(value, headers_of(record), VALUE_HEADER)
            values = self._of_json(value) if framed is None else self._schemas.of(framed.schema)(framed.content)
        return self._report(values, record.timestamp)

    def _values_reader(self, known: KnownSchema) -> tuple[Callable[[bytes], Mapping[str, Any]], int]:
        if known.kind == "JSON":
            return self._of_json, 1
        reader = avro_reader(known)
        types: Mapping[str, Convert] = self._fields.types_in(reader)
        return lambda content: self._fields.values_in(reader.read(content), types), reader.type.types

    def _of_json(self, content: bytes) -> Mapping[str, Any]:
        try:
            record = msgspec.json.decode(content)
        except NOT_DECODED as error:
            raise RecordError(DeadLetterCode.NOT_JSON, f"The message is not JSON: {shown(str(error))}.") from None
        return self._fields.values_in(record)

    def _report(self, values: Mapping[str, Any], timestamp_ms: int) -> LabelReport:
        given = {name: value for name, value in values.items() if value != ""}
        for name, value in given.items():
            if (refusal := refused(_FIELDS[name], value, refuse_card_numbers=self._rules.refuse_card_numbers)) is not None:
                raise refusal
        amount = given.get("amount")
        return LabelReport(
            transaction_id=given.get("transaction_id"),
            card_id=given.get("card_id"),
            amount=None if amount is None else float(amount),
            event_ms=given.get("event_time", 0),
            currency=given.get("currency"),
            labelled_ms=self._labelled(given.get("labelled_at"), timestamp_ms),
            is_fraud=given.get("is_fraud", True),
            source=source_of(given.get("source"), given.get("fraud_type")),
        )

    def _labelled(self, given_ms: int | None, timestamp_ms: int) -> int:
        """When it became known: at the end of a day that is given as a date, but not after the report of it; without either, with its record."""
        if given_ms is None:
            return timestamp_ms
        end_ms = end_of_date(given_ms, self._rules.zone)
        return timestamp_ms if given_ms <= timestamp_ms < end_ms else end_ms


def end_of_date(ms: int, zone: tzinfo) -> int:
    """A date, which is the begin of a day, of UTC or of the zone, as its end; any other time as it is."""
    at = _EPOCH + ms * _MS
    local = at.astimezone(zone)
    is_date = at.time() == _EPOCH.time() or local.time() == _EPOCH.time()
    return ms + _DAY // _MS - 1 if is_date else ms
