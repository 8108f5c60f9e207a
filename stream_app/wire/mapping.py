"""A mapping, checked: what other people's columns and fields are to us. YAML says it (`stream_app.wire.mapping_text`), of files and of records."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from stream_app.messages.fields import Field, FieldKind, fields_of, one_of_own
from stream_app.messages.fraud_types import FRAUD_TYPE
from stream_app.messages.transaction import ATTRIBUTE, Label, Transaction
from stream_app.wire.times import TimeForm

OURS: Mapping[str, Field] = MappingProxyType(
    {f.name: f for message in (Label, Transaction) for f in fields_of(message)} | {FRAUD_TYPE.name: FRAUD_TYPE}
)
"""What a mapping may name, beside `attributes.NAME`; some of it only files have."""

type Path = tuple[str, ...]


class MappingError(ValueError):
    """A mapping that cannot be used: in one sentence, where, why, and what to write."""


@dataclass(frozen=True, slots=True)
class MappedField:
    """Where a field of ours comes from.

    Attributes:
        path: names from the outermost object inwards.
        unit: of a time or an amount; empty: as the mapping says, or the default.
        values: theirs → ours, where only those are meant; as text.
        default: ours, where theirs is missing or null; as text.
        since_ms: what a time that is a number counts from.
        written: the format of a time that is text, see `stream_app.wire.time_formats`.
        also: where the other parts of a time are, that follow the first with a blank between.
    """

    path: Path
    unit: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    default: str | None = None
    since_ms: int = 0
    written: str = ""
    also: tuple[Path, ...] = ()

    @property
    def paths(self) -> tuple[Path, ...]:
        """Where it is, or its parts are."""
        return (self.path, *self.also)

    @property
    def where(self) -> str:
        """The same as a mapping writes it."""
        return " and ".join(map(".".join, self.paths))


@dataclass(frozen=True, slots=True)
class SourceMapping:
    """A mapping, checked.

    Attributes:
        columns: where each field of ours comes from; one that is not named has our name there.
        constants: ours → the same for all, as text.
        tokens: ours, whose values are replaced by a hash.
        time_unit: of times that say none of their own.
        zone: of times of ISO 8601 that name none; empty: they are refused.
        decimal: the sign of amounts that are text; empty: they are refused.
        key: the path of the card in a record's key; empty: it is the whole key.
        delimiter: between the columns of a text file; empty: it is found by the first line.
    """

    columns: Mapping[str, MappedField]
    constants: Mapping[str, str] = field(default_factory=dict)
    tokens: frozenset[str] = frozenset()
    time_unit: str = "ms"
    zone: str = ""
    decimal: str = ""
    key: Path = ()
    delimiter: str = ""

    def field_of(self, name: str) -> Field | None:
        """What a column of ours must hold here; None where the name is none.

        One of a payment's own values is what the mapping makes of it: a number where all that it says of it are, or where texts are read as numbers
        (`decimal`); a text where it says another; as it stands where it says nothing.
        """
        found, column = ours(name), self.columns.get(name)
        if found is None or column is None or found.kind is not FieldKind.NUMBER_OR_TEXT:
            return found
        said = [*column.values.values(), *([] if column.default is None else [column.default])]
        if said and not all(map(is_number, said)):
            return replace(found, kind=FieldKind.TEXT)
        return replace(found, kind=FieldKind.NUMBER, most=None) if said or self.decimal else found

    @property
    def taken(self) -> frozenset[str]:
        """Their outermost names that stand for something: none of them is a field of ours by its name besides."""
        return frozenset(path[0] for column in self.columns.values() for path in column.paths)

    def has_our_name(self, name: str) -> bool:
        """Whether a field is taken from under our name, since the mapping says nothing else of it."""
        return name not in self.columns and name not in self.constants and name not in self.taken

    def says(self, name: str) -> bool:
        """Whether it says itself where a field of ours is, or what it always is."""
        return name in self.columns or name in self.constants

    def time_of(self, name: str) -> TimeForm:
        """How the times of a field are written."""
        column = self.columns.get(name)
        if column is None:
            return TimeForm(self.time_unit, self.zone)
        return TimeForm(column.unit or self.time_unit, self.zone, column.since_ms, column.written)

    def path_of(self, name: str) -> Path:
        """Where a field of ours is: by the mapping, or under our name."""
        column = self.columns.get(name)
        return (name,) if column is None else column.path


@dataclass(frozen=True, slots=True)
class NumberForm:
    """How numbers are written as text with a decimal sign; the other sign may stand between thousands.

    Attributes:
        sign: before the decimals.
        between: between thousands.
        pattern: what such a number looks like, from its begin to its end.
        must_be: in words.
    """

    sign: str
    between: str
    pattern: str
    must_be: str

    @classmethod
    def of(cls, sign: str) -> NumberForm:
        """By its decimal sign, one of two."""
        between = "." if sign == "," else ","
        whole = rf"(?:[0-9]{{1,15}}|[0-9]{{1,3}}(?:[{between}][0-9]{{3}}){{1,4}})"
        told = f"it must be a number with the decimal sign {sign!r}, and nothing or {between!r} between thousands"
        return cls(sign, between, rf"[+-]?{whole}(?:[{sign}][0-9]{{1,15}})?", told)


def token_of(text: str) -> str:
    """What stands in the place of a card number: distinct ones stay distinct. It keeps them out of models, not from who can try all of them."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def ours(name: str) -> Field | None:
    """The field that a name in a mapping means; None where it is none."""
    if name.startswith(ATTRIBUTE) and len(name) > len(ATTRIBUTE):
        return replace(one_of_own(OURS[ATTRIBUTE.removesuffix(".")], name.removeprefix(ATTRIBUTE)), nullable=True)
    found = OURS.get(name)
    return None if found is None or found.kind is FieldKind.OWN else found


def as_written(theirs: Any) -> str:
    """A value as a table of values has it: numbers without a fraction are their digits, whatever they are kept as."""
    if isinstance(theirs, bool):
        return "true" if theirs else "false"
    if isinstance(theirs, float) and theirs.is_integer():
        return str(int(theirs))
    return repr(theirs) if isinstance(theirs, (int, float)) else theirs if isinstance(theirs, str) else ""


def is_number(text: str) -> bool:
    """Whether a text is a finite number as it stands."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def typed(of: Field, text: str) -> Any:
    """A value of ours that a mapping says as text.

    Raises:
        ValueError: it is none.
    """
    if of.kind is FieldKind.FLAG:
        if text.lower() not in {"true", "false"}:
            raise ValueError(text)
        return text.lower() == "true"
    if of.kind is FieldKind.NUMBER:
        return float(text)
    if of.kind is FieldKind.NUMBER_OR_TEXT:
        return float(text) if is_number(text) else text
    return int(text) if of.kind is FieldKind.TIME else text
