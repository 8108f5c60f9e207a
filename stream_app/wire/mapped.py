"""A mapping, compiled once to what makes payments of records: of JSON nearly as fast as ours is decoded, of Avro, and of any object.

Fast, for JSON: a type is made of the paths that are needed and no others, msgspec decodes into it, and one compiled expression makes the payment of
it. Whatever does not fit there, a value missing, of another kind or out of bounds, is read again slowly, value by value; that way knows every
sentence, and has the last word. So the two cannot disagree on what is taken: the fast one takes less.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn, get_type_hints
from zoneinfo import ZoneInfo

import msgspec

from stream_app.errors import RecordError
from stream_app.messages.event_time import MAX_EVENT_TIME_MS
from stream_app.messages.fields import Field, FieldKind, fields_of
from stream_app.messages.iso import CURRENCIES, minor_units
from stream_app.messages.refusals import DeadLetterCode, shown
from stream_app.messages.transaction import ATTRIBUTE, MAX_AMOUNT, OwnText, Transaction
from stream_app.wire.avro import AvroReader, AvroType
from stream_app.wire.avro_fields import Convert, converted, lacks, made
from stream_app.wire.mapping import MappedField, NumberForm, Path, SourceMapping, token_of, typed

_EPOCH, _MS = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)
_MONEY = {"amount": "currency", "billing_amount": "billing_currency"}
_QUOTED = 40
_UNITS = {currency: minor_units(currency) for currency in CURRENCIES}
_TAKEN_OF_TIME: Mapping[str, tuple[Any, str]] = {
    "ms": (int, "{}"),
    "s": (int | float, "round({} * 1000)"),
    "us": (int, "{} // 1000"),
    "ns": (int, "{} // 1000000"),
    "iso8601": (str, ""),
}
"""By unit: what is taken of JSON, and the conversion as an expression."""


class UnmappedError(Exception):
    """A value that cannot be what the mapping takes it for; the text says why, after the field's name."""


@dataclass(frozen=True, slots=True)
class _Taken:
    """A field, and how its value is made of theirs.

    Attributes:
        of: the field.
        path: where it is.
        convert: what makes a value of ours of theirs; None: it is one.
        takes: the types that theirs may have, for the fast way.
        default: in place of one that is missing or null; None: there is none.
        table: of `convert`, where it is one: what it gives was checked when the mapping was read.
        inline: `convert` as an expression, for the fast way.
        whole_units: whether it is no amount in minor units.
    """

    of: Field
    path: Path
    convert: Convert | None
    takes: Any
    default: Any = None
    table: Mapping[str, Any] | None = None
    inline: str = ""
    whole_units: bool = True


class MappedReader:
    """Reads payments by a mapping.

    Attributes:
        key: the path of the card in a record's key; empty: it is the whole key.
        card_token: what the card's id is replaced by, where it is.
    """

    def __init__(self, mapping: SourceMapping) -> None:
        """Compile a mapping."""
        self._mapping = mapping
        self.key = mapping.key
        self.card_token: Callable[[str], str] | None = token_of if "card_id" in mapping.tokens else None
        self._fields = {f.name: f for f in fields_of(Transaction)}
        self._constants = {name: typed(of, text) for name, text in mapping.constants.items() if (of := self._fields.get(name)) is not None}
        self._taken = [self._take(of, mapping.columns.get(of.name, MappedField((of.name,)))) for of in self._named()]
        minor = frozenset(name for name in _MONEY if (column := mapping.columns.get(name)) is not None and column.unit == "minor")
        self._decode, self._make = _fast(self._taken, self._constants, minor)

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
        """What reads records of a schema.

        Raises:
            RecordError: the schema lacks a field that the mapping names, or it is of a type that cannot be one.
        """
        of_types = {of.path: found for of in self._taken if (found := self._typed_by(reader.type, of)) is not None}

        def read(content: bytes) -> Transaction:
            return self.of_values(reader.read(content), of_types)

        return read

    def of_values(self, record: Any, of_types: Mapping[Path, Convert] | None = None) -> Transaction:
        """The payment in an object of plain values; with `of_types`, what their types say first."""
        if not isinstance(record, dict):
            raise RecordError(DeadLetterCode.WRONG_SHAPE, "The message is no object; send one object.")
        values: dict[str, Any] = dict(self._constants)
        own: dict[str, Any] = {}
        for taken in self._taken:
            theirs = _at(record, taken.path)
            if theirs is not None and of_types is not None and taken.path in of_types:
                theirs = of_types[taken.path](theirs)
            value = taken.default if theirs is None else _converted(taken, theirs)
            if value is not None and (name := taken.of.name).startswith(ATTRIBUTE):
                own[name.removeprefix(ATTRIBUTE)] = value
            elif value is not None:
                values[name] = value
        self._into_major(values)
        if own:
            values["attributes"] = own
        return made(Transaction, self._fields, values)

    def _into_major(self, values: dict[str, Any]) -> None:
        for name, currency in _MONEY.items():
            column = self._mapping.columns.get(name)
            if column is not None and column.unit == "minor" and name in values:
                if type(values[name]) is not int:
                    raise RecordError(DeadLetterCode.WRONG_TYPE, f"{name} is no whole number of minor units, as the mapping says.")
                values[name] = _major(values[name], str(values.get(currency, "")))

    def _named(self) -> list[Field]:
        """Those that are taken from a record: all but the constants; our own values by the mapping alone."""
        plain = [f for f in self._fields.values() if f.kind is not FieldKind.OWN and f.name not in self._constants]
        return [
            *plain,
            *(of for name in self._mapping.columns if name.startswith(ATTRIBUTE) and (of := self._mapping.field_of(name)) is not None),
        ]

    def _take(self, of: Field, column: MappedField) -> _Taken:
        default = None if column.default is None else typed(of, column.default)
        if column.values:
            table = {theirs: typed(of, text) for theirs, text in column.values.items()}
            return _Taken(of, column.path, _by_table(table), str | int, default, table)
        convert, takes, inline = self._conversion(of, column)
        return _Taken(of, column.path, convert, takes, default, inline=inline, whole_units=column.unit != "minor")

    def _conversion(self, of: Field, column: MappedField) -> tuple[Convert | None, Any, str]:
        mapping = self._mapping
        if of.kind is FieldKind.TIME:
            unit = column.unit or mapping.time_unit
            return _times(unit, mapping.zone), *_TAKEN_OF_TIME[unit]
        if of.kind is FieldKind.NUMBER and mapping.decimal and column.unit != "minor":
            return _by_sign(mapping.decimal), str | int | float, ""
        if of.name in mapping.tokens:
            return (lambda theirs: token_of(_as_text(theirs))), str | int, ""
        return (_as_text if of.kind is FieldKind.TEXT and of.name in mapping.columns else None), int, ""

    def _typed_by(self, of: AvroType, taken: _Taken) -> Convert | None:
        """What the type of a field says of its values; of a time that says it, the mapping's unit does not count."""
        found = of
        for name in taken.path:
            if name not in found.fields:
                if taken.of.name in self._mapping.columns and taken.default is None:
                    raise lacks(taken.of.name, ".".join(taken.path))
                if taken.of.required and taken.default is None:
                    raise lacks(taken.of.name, taken.of.name)
                return None
            found = found.fields[name]
        by_type = converted(taken.of, found, ".".join(taken.path))
        unit = (
            (self._mapping.columns.get(taken.of.name, MappedField(())).unit or self._mapping.time_unit)
            if taken.of.kind is FieldKind.TIME
            else "ms"
        )
        if found.logical.startswith("timestamp") and unit != "ms":
            raise RecordError(
                DeadLetterCode.SCHEMA_REFUSED,
                f"The schema says {'.'.join(taken.path)} is {found.logical}, the mapping {unit}. Take the unit out of the mapping.",
            )
        return by_type


def _at(record: Any, path: Path) -> Any:
    for name in path:
        if not isinstance(record, dict):
            return None
        record = record.get(name)
    return record


def _converted(taken: _Taken, theirs: Any) -> Any:
    """A value of ours, or the refusal by its cause."""
    if taken.convert is None:
        return theirs
    try:
        return taken.convert(theirs)
    except UnmappedError as error:
        told = f"{taken.of.name}, at {'.'.join(taken.path)}, is {shown(repr(theirs)[:_QUOTED])}; {error}."
        raise RecordError(DeadLetterCode.UNKNOWN_VALUE if isinstance(theirs, str) else DeadLetterCode.WRONG_TYPE, told) from None


def _by_table(table: Mapping[str, Any]) -> Convert:
    known = ", ".join(table)

    def convert(theirs: Any) -> Any:
        found = table.get(theirs if type(theirs) is str else _as_written(theirs))
        if found is None:
            raise UnmappedError(f"the mapping knows {shown(known)}")
        return found

    return convert


def _as_written(theirs: Any) -> str:
    return msgspec.json.encode(theirs).decode() if isinstance(theirs, bool | int | float) else ""


def _as_text(theirs: Any) -> Any:
    """Ids are numbers with some; one with a fraction is none."""
    return str(theirs) if type(theirs) is int else theirs


def _times(unit: str, zone: str) -> Convert | None:
    if unit == "iso8601":
        return _by_iso(ZoneInfo(zone) if zone else None)
    return {"s": _of_seconds, "us": _of_parts(1_000), "ns": _of_parts(1_000_000)}.get(unit)


def _of_seconds(theirs: Any) -> Any:
    if type(theirs) is int:
        return theirs * 1000
    return round(theirs * 1000) if type(theirs) is float and abs(theirs) < MAX_EVENT_TIME_MS else theirs


def _of_parts(count: int) -> Convert:
    return lambda theirs: theirs // count if type(theirs) is int else theirs


def _by_iso(zone: ZoneInfo | None) -> Convert:
    def convert(theirs: Any) -> Any:
        try:
            at = datetime.fromisoformat(theirs)
        except (ValueError, TypeError):
            raise UnmappedError("it must be a time of ISO 8601, for example 2026-11-23T10:00:00Z") from None
        if at.tzinfo is None:
            if zone is None:
                raise UnmappedError("it names no zone; add it there, or say in the mapping which it is (zone: Europe/Berlin)")
            at = at.replace(tzinfo=zone)
        return (at - _EPOCH) // _MS

    return convert


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


def _major(minor: int, currency: str) -> float:
    return minor / minor_units(currency)


def _fast(
    taken: list[_Taken], constants: Mapping[str, Any], minor: frozenset[str]
) -> tuple[Callable[[str], Any], Callable[[Any], Transaction]]:
    """See the module: what decodes what is needed, and what makes a payment of it."""
    tree: dict[str, Any] = {}
    for of in taken:
        node = tree
        for name in of.path[:-1]:
            node = node.setdefault(name, {})
        node.setdefault(of.path[-1], []).append(of)
    made_of = _Compiled()
    shape = made_of.shape(tree, "m")
    given = {of.of.name: made_of.expression(of) for of in taken} | {name: made_of.bind(value) for name, value in constants.items()}
    for name in minor:
        given[name] = made_of.bounded(f"{given[name]} / units[{given[_MONEY[name]]}]", 0, MAX_AMOUNT)
    own = ", ".join(f"({name.removeprefix(ATTRIBUTE)!r}, {source})" for name, source in given.items() if name.startswith(ATTRIBUTE))
    if own:
        given["attributes"] = f"own({own})"
    fields = fields_of(Transaction)
    last = max(number for number, of in enumerate(fields) if of.name in given)
    arguments = [given[of.name] if of.name in given else made_of.bind(of.default) for of in fields[: last + 1]]
    lines = [*made_of.lines, f"return Transaction({', '.join(arguments)})"]
    exec("def make(m):\n    " + "\n    ".join(lines), made_of.bound)  # noqa: S102 - of our own words; theirs stand in it as positions alone, our own values' as literals
    return msgspec.json.Decoder(shape).decode, made_of.bound["make"]


class _Compiled:
    """What the fast way is made of.

    Attributes:
        lines: of source, that name the objects in which values are.
        bound: what the source names.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.bound: dict[str, Any] = {"Transaction": Transaction, "own": _own, "units": _UNITS, "refuse": _refuse}
        self._hints = get_type_hints(Transaction, include_extras=True)
        self._places: dict[str, str] = {}

    def bind(self, value: Any) -> str:
        """A name for a value."""
        name = f"v{len(self.bound)}"
        self.bound[name] = value
        return name

    def shape(self, tree: Mapping[str, Any], place: str) -> type[msgspec.Struct]:
        """The type of an object of which these names are needed."""
        required: list[Any] = []
        optional: list[Any] = []
        for number, below in enumerate(tree.values()):
            mine = f"f{number}"
            if isinstance(below, dict):
                self.lines.append(f"{place}_{number} = {place}.{mine}")
                required.append((mine, self.shape(below, f"{place}_{number}")))
                continue
            self._places |= {of.of.name: f"{place}.{mine}" for of in below}
            takes = self._takes(below[0]) if len(below) == 1 else Any
            if any(of.of.required and of.default is None for of in below):
                required.append((mine, takes))
            else:
                optional.append((mine, Any if takes is Any else takes | None, None))
        rename = {f"f{number}": theirs for number, theirs in enumerate(tree)}
        return msgspec.defstruct("Needed", [*required, *optional], rename=rename, gc=False, frozen=True)

    def _takes(self, of: _Taken) -> Any:
        """What msgspec takes there, checked by it where it is ours as it stands."""
        if of.of.kind is FieldKind.NUMBER_OR_TEXT:
            return float | OwnText
        if of.of.name.startswith(ATTRIBUTE):
            return float if of.of.kind is FieldKind.NUMBER else str
        if of.convert is None:
            return self._hints[of.of.name] if of.whole_units else int
        return self._hints[of.of.name] | int if of.convert is _as_text else of.takes

    def expression(self, of: _Taken) -> str:
        """What makes a field's value of the message's parts."""
        place = self._places[of.of.name]
        source = self._converted(of, place)
        if of.of.required and of.default is None:
            return source
        otherwise = of.of.default if of.default is None else of.default
        return place if source == place and otherwise is None else f"({self.bind(otherwise)} if {place} is None else {source})"

    def _converted(self, of: _Taken, place: str) -> str:
        if of.convert is None:
            return place
        if of.convert is _as_text:
            return f"({place} if {place}.__class__ is str else str({place}))"
        if of.table is not None:
            whole = {
                int(theirs): value
                for theirs, value in of.table.items()
                if theirs.isascii() and theirs.isdigit() and str(int(theirs)) == theirs
            }
            return f"{self.bind({**of.table, **whole})}[{place}]"
        inline = of.inline.format(place) if of.inline else f"{self.bind(of.convert)}({place})"
        return (
            inline
            if of.of.least is None or of.of.kind not in {FieldKind.TIME, FieldKind.NUMBER}
            else self.bounded(inline, of.of.least, of.of.most)
        )

    def bounded(self, source: str, least: float, most: float | None) -> str:
        """The same, if it lies in these bounds: nobody looks at it again."""
        name = f"x{len(self.bound)}"
        self.bound[name] = None
        return f"({name} if {self.bind(least)} <= ({name} := {source}) <= {self.bind(most)} else refuse())"


def _refuse() -> NoReturn:
    raise UnmappedError


def _own(*pairs: tuple[str, float | str | None]) -> dict[str, float | str] | None:
    return {name: value for name, value in pairs if value is not None} or None
