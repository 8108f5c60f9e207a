"""From a record of Avro to the values that our JSON would hold: a logical type says what a value means, whatever it is kept as."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from uuid import UUID

import msgspec

from stream_app.errors import RecordError
from stream_app.messages.fields import Field, FieldKind, fields_of
from stream_app.messages.refusals import DeadLetterCode, missing, refused, shown
from stream_app.wire.avro import AvroReader, AvroType

_MOST_DECIMAL_BYTES = 16
_DAY_MS = 86_400_000
_PER_MS = {"timestamp-micros": 1_000, "timestamp-nanos": 1_000_000}
_NO_MOMENT = frozenset({"time-millis", "time-micros", "duration"})

type Convert = Callable[[Any], Any]


def read_avro[T: msgspec.Struct](kind: type[T], reader: AvroReader) -> Callable[[bytes], T]:
    """What reads a message whose fields the schema calls by our names.

    Raises:
        RecordError: a field is missing in the schema that every message has, or it is of a type that cannot be one.
    """
    known = reader.type.fields
    all_of = {field.name: field for field in fields_of(kind)}
    fields = [field for field in all_of.values() if field.name in known or field.required]
    for field in fields:
        if field.name not in known:
            raise lacks(field.name, field.name)
    names = [field.name for field in fields]
    converts = [(f.name, convert) for f in fields if (convert := converted(f, known[f.name], f.name)) is not None]

    def read(content: bytes) -> T:
        record = reader.read(content)
        values = {name: value for name in names if (value := record[name]) is not None}
        for name, convert in converts:
            if name in values:
                values[name] = convert(values[name])
        return made(kind, all_of, values)

    return read


def made[T: msgspec.Struct](kind: type[T], fields: Mapping[str, Field], values: dict[str, Any]) -> T:
    """The message of these values.

    Raises:
        RecordError: one is missing, or none of its field's; in the words of the table of fields.
    """
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        for name, field in fields.items():
            if name not in values and field.required:
                raise missing(field) from None
            if name in values and (refusal := refused(field, values[name])) is not None:
                raise refusal from None
        raise RecordError(DeadLetterCode.WRONG_TYPE, f"The message cannot be read: {shown(str(error))}.") from None


def lacks(field: str, path: str) -> RecordError:
    """What is said of a schema that a field of ours does not stand in."""
    where = "" if field == path else f", which the mapping takes from {path!r}"
    return RecordError(
        DeadLetterCode.SCHEMA_LACKS_FIELD,
        f"The schema of the record has no field for {field}{where}. Add it to the schema, or say in a mapping where it is.",
    )


def converted(field: Field, of: AvroType, path: str) -> Convert | None:
    """What makes of a value what our JSON would hold; None where it is so already.

    Raises:
        RecordError: no value of this type can be one.
    """
    if of.logical.startswith("local-timestamp") or (field.kind is FieldKind.TIME and of.logical in _NO_MOMENT):
        raise _never(path, of, "a moment needs a date, a time and a zone: timestamp-millis or timestamp-micros")
    if field.kind is FieldKind.OWN:
        return partial(_finite, field)
    if of.logical in _PER_MS:
        return _divided(_PER_MS[of.logical])
    if of.logical == "date":
        return lambda days: days * _DAY_MS
    if of.logical == "decimal" and of.name in {"bytes", "fixed"}:
        return _decimal(of.scale)
    if of.logical == "uuid" and of.name == "fixed":
        return _uuid
    return None


def _never(path: str, of: AvroType, why: str) -> RecordError:
    return RecordError(DeadLetterCode.SCHEMA_REFUSED, f"The schema of the record cannot be used: {path} is {of.logical}; {why}.")


def _divided(by: int) -> Convert:
    return lambda value: value // by


def _decimal(scale: int) -> Convert:
    if not 0 <= scale <= 4 * _MOST_DECIMAL_BYTES:
        raise RecordError(DeadLetterCode.SCHEMA_REFUSED, f"The schema of the record cannot be used: a decimal of it has the scale {scale}.")
    unit = int(10**scale)

    def of_bytes(value: bytes) -> float:
        if len(value) > _MOST_DECIMAL_BYTES:
            raise RecordError(DeadLetterCode.OUT_OF_RANGE, f"A decimal has {len(value)} bytes; {_MOST_DECIMAL_BYTES} are allowed.")
        whole: int = int.from_bytes(value, signed=True)
        return whole / unit

    return of_bytes


def _uuid(value: bytes) -> str:
    return str(UUID(bytes=value))


def _finite(field: Field, numbers: Any) -> Any:
    """JSON holds no number that is none; Avro does."""
    if (refusal := refused(field, numbers)) is not None:
        raise refusal
    return numbers
