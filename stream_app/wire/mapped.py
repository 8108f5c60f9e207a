"""A mapping, compiled once to what makes payments of records: of JSON nearly as fast as ours is decoded, of Avro, and of any object.

Fast, for JSON: a type is made of the paths that are needed and no others, msgspec decodes into it, and one compiled expression makes the payment of
it. Whatever does not fit there, a value missing, of another kind or out of bounds, is read again slowly, value by value; that way knows every
sentence, and has the last word. So the two cannot disagree on what is taken: the fast one takes less.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from stream_app.errors import RecordError
from stream_app.messages.fields import Field, FieldKind, fields_of
from stream_app.messages.iso import minor_units
from stream_app.messages.refusals import DeadLetterCode, shown
from stream_app.messages.transaction import ATTRIBUTE, OwnText, Transaction
from stream_app.wire.avro import AvroReader, AvroType
from stream_app.wire.avro_fields import Convert, converted, lacks, made
from stream_app.wire.fast_mapping import MONEY, OWN, TakenField, digits_as_text, fast_way, own_values
from stream_app.wire.mapping import MappedField, MappingError, NumberForm, Path, SourceMapping, as_written, ours, token_of, typed
from stream_app.wire.times import UnmappedError, joined

_QUOTED = 40


class MappedFields:
    """The fields of a message by a mapping: made of an object of plain values, one by one. This way knows every sentence."""

    def __init__(self, mapping: SourceMapping, fields: Mapping[str, Field]) -> None:
        """Look through a mapping.

        Args:
            mapping: what it says of other fields is passed over.
            fields: of the message, by name.

        Raises:
            MappingError: it takes what has the name of a field that every message needs for another one, and does not say where that is.
        """
        self._mapping, self._fields = mapping, fields
        self._constants = {name: typed(of, text) for name, text in mapping.constants.items() if (of := self._of_message(name)) is not None}
        self._taken = [self._take(of, mapping.columns.get(of.name, MappedField((of.name,)))) for of in self._named()]

    def types_in(self, reader: AvroReader) -> Mapping[str, Convert]:
        """What the types of a schema say of the values.

        Raises:
            RecordError: the schema lacks a field that the mapping names, or it is of a type that cannot be one.
        """
        return {of.of.name: found for of in self._taken if (found := self._typed_by(reader.type, of)) is not None}

    def values_in(self, record: Any, of_types: Mapping[str, Convert] | None = None) -> dict[str, Any]:
        """The values of ours in an object of plain values; with `of_types`, what their types say first. They are not checked."""
        if not isinstance(record, dict):
            raise RecordError(DeadLetterCode.WRONG_SHAPE, "The message is no object; send one object.")
        values: dict[str, Any] = {name: value for name, value in self._constants.items() if name in self._fields}
        own: list[tuple[str, Any]] = [(n.removeprefix(ATTRIBUTE), v) for n, v in self._constants.items() if n not in self._fields]
        minor: list[str] = []
        for taken in self._taken:
            theirs = [_at(record, path) for path in taken.paths]
            is_there = None not in theirs
            if is_there and of_types is not None and taken.of.name in of_types:
                theirs = [of_types[taken.of.name](theirs[0])]
            value = _converted(taken, theirs) if is_there else taken.default
            if taken.of.name not in self._fields:
                own.append((taken.of.name.removeprefix(ATTRIBUTE), value))
            elif value is not None:
                values[taken.of.name] = value
                minor += [taken.of.name] if taken.is_minor and is_there else []
        for name in minor:
            if type(values[name]) is not int:
                raise RecordError(DeadLetterCode.WRONG_TYPE, f"{name} is no whole number of minor units, as the mapping says.")
            values[name] = values[name] / minor_units(str(values.get(MONEY[name], "")))
        if (given := values.get(OWN)) is None or (own and isinstance(given, dict)):
            values[OWN] = own_values(given, *own)
        return {name: value for name, value in values.items() if value is not None}

    def _of_message(self, name: str) -> Field | None:
        return ours(name) if name in self._fields or (name.startswith(ATTRIBUTE) and OWN in self._fields) else None

    def _named(self) -> list[Field]:
        """Those that are taken from a record: what the mapping names, and what it says nothing of."""
        mapping = self._mapping
        for field in self._fields.values():
            if field.required and field.name in mapping.taken - mapping.columns.keys() - mapping.constants.keys():
                raise MappingError(f"It takes {field.name} of a record for another field, and does not say where {field.name} is. Add it.")
        named = [of for name in mapping.columns if self._of_message(name) is not None and (of := mapping.field_of(name)) is not None]
        return [*(f for f in self._fields.values() if mapping.has_our_name(f.name)), *named]

    def _take(self, of: Field, column: MappedField) -> TakenField:
        is_token = of.name in self._mapping.tokens

        def value_of(text: str) -> Any:
            return token_of(text) if is_token else typed(of, text)

        default = None if column.default is None else value_of(column.default)
        if column.values:
            table = {theirs: value_of(text) for theirs, text in column.values.items()}
            return TakenField(of, column.paths, _by_table(table), str | int, default, table)
        convert, takes, inline = self._conversion(of, column)
        return TakenField(of, column.paths, convert, takes, default, inline=inline, is_minor=column.unit == "minor")

    def _conversion(self, of: Field, column: MappedField) -> tuple[Convert | None, Any, str]:
        mapping = self._mapping
        if of.kind is FieldKind.TIME:
            form = mapping.time_of(of.name)
            return form.reader(), form.takes, form.inline
        if of.kind is FieldKind.NUMBER and mapping.decimal and column.unit != "minor":
            return _by_sign(mapping.decimal), str | float, ""
        if of.name in mapping.tokens:
            return (lambda theirs: token_of(digits_as_text(theirs))), str | int, ""
        if of.kind is FieldKind.TEXT and of.name.startswith(ATTRIBUTE):
            return _as_own_text, OwnText, ""
        return (digits_as_text if of.kind is FieldKind.TEXT and of.name in mapping.columns else None), int, ""

    def _typed_by(self, of: AvroType, taken: TakenField) -> Convert | None:
        """What the type of a field says of its values; of a time that says it, the mapping's unit does not count."""
        found, *others = [self._at(of, taken, path) for path in taken.paths]
        if found is None or others:  # parts of a time are texts and numbers, whatever they mean
            return None
        by_type = converted(taken.of, found, taken.where)
        is_moment = found.logical.startswith("timestamp") or found.logical == "date"
        if taken.of.kind is FieldKind.TIME and is_moment and not (form := self._mapping.time_of(taken.of.name)).is_ours:
            said, what = (form.written, "format") if form.written else (form.unit, "unit")
            told = f"The schema says {taken.where} is {found.logical}, the mapping {said}. Take the {what} out of the mapping."
            raise RecordError(DeadLetterCode.SCHEMA_REFUSED, told)
        return by_type

    def _at(self, of: AvroType, taken: TakenField, path: Path) -> AvroType | None:
        """The type at a path; None where the schema does not have it, and need not."""
        for name in path:
            if name not in of.fields:
                if taken.default is None and (taken.of.name in self._mapping.columns or taken.of.required):
                    raise lacks(taken.of.name, ".".join(path))
                return None
            of = of.fields[name]
        return of


class MappedReader(MappedFields):
    """Reads payments by a mapping.

    Attributes:
        key: the path of the card in a record's key; empty: it is the whole key.
        card_token: what the card's id is replaced by, where it is.
    """

    def __init__(self, mapping: SourceMapping) -> None:
        """Compile a mapping. Raises as `MappedFields`."""
        super().__init__(mapping, {f.name: f for f in fields_of(Transaction)})
        self.key = mapping.key
        self.card_token: Callable[[str], str] | None = token_of if "card_id" in mapping.tokens else None
        self._decode, self._make = fast_way(self._taken, self._constants)

    def of_json(self, content: bytes) -> Transaction:
        """The payment in a JSON text.

        Raises:
            RecordError: there is none; why.
            msgspec.MsgspecError, UnicodeDecodeError, RecursionError: it is no JSON.
        """
        text = str(content, "utf-8")
        try:
            return self._make(self._decode(text))
        except (msgspec.ValidationError, AttributeError, KeyError, ValueError, TypeError, OverflowError, UnmappedError):
            return self.of_values(msgspec.json.decode(text))

    def of_avro(self, reader: AvroReader) -> Callable[[bytes], Transaction]:
        """What reads records of a schema. Raises as `types_in`."""
        of_types = self.types_in(reader)

        def read(content: bytes) -> Transaction:
            return self.of_values(reader.read(content), of_types)

        return read

    def of_values(self, record: Any, of_types: Mapping[str, Convert] | None = None) -> Transaction:
        """The payment in an object of plain values, see `values_in`."""
        return made(Transaction, self._fields, self.values_in(record, of_types))


def _at(record: Any, path: Path) -> Any:
    for name in path:
        if not isinstance(record, dict):
            return None
        record = record.get(name)
    return record


def _converted(taken: TakenField, parts: list[Any]) -> Any:
    """A value of ours, or the refusal by its cause."""
    theirs: Any = parts if len(parts) > 1 else parts[0]
    if taken.convert is None:
        return theirs
    try:
        theirs = joined(parts) if len(parts) > 1 else theirs
        return taken.convert(theirs)
    except UnmappedError as error:
        told = f"{taken.of.name}, at {taken.where}, is {shown(repr(theirs)[:_QUOTED])}; {error}."
        raise RecordError(DeadLetterCode.UNKNOWN_VALUE if isinstance(theirs, str) else DeadLetterCode.WRONG_TYPE, told) from None


def _by_table(table: Mapping[str, Any]) -> Convert:
    known = ", ".join(table)

    def convert(theirs: Any) -> Any:
        found = table.get(as_written(theirs))
        if found is None:
            raise UnmappedError(f"the mapping knows {shown(known)}")
        return found

    return convert


def _as_own_text(theirs: Any) -> Any:
    """One of a payment's own values that is a text by the mapping, whatever it is kept as."""
    return as_written(theirs) if isinstance(theirs, (bool, int, float)) else theirs


def _by_sign(sign: str) -> Convert:
    form = NumberForm.of(sign)
    matches = re.compile(form.pattern).fullmatch

    def convert(theirs: Any) -> Any:
        if type(theirs) is not str:
            return theirs
        if not matches(theirs):
            raise UnmappedError(form.must_be)
        return float(theirs.replace(form.between, "").replace(sign, "."))

    return convert
