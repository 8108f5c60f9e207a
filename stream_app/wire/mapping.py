"""A mapping: what other people's columns and fields are to us, as YAML says it. One form for files and for records.

    columns:                                # ours: theirs
      transaction_id: id
      event_time: {path: paid_at, unit: s}  # s, ms (the default), us, ns or iso8601
      amount: {path: sum, unit: minor}      # major (the default) or minor: cents
      card_id: payload.after.pan            # a path in a nested record; where a name holds a dot: [payload, after.x]
      type: {path: kind, values: {P: purchase, R: refund}, default: purchase}
      attributes.v1: score_of_the_gateway
    constants:                              # ours: the same for all; text stays as it is written
      currency: USD
    tokens: [card_id]                       # replaced by a hash: card numbers stand there
    time_unit: s                            # of every time that says no unit of its own
    zone: Europe/Berlin                     # of times of ISO 8601 that name none
    decimal: ","                            # of amounts, and our own numbers, that are text
    key: payload.card                       # which part of a record's key is the card; without it the whole key

Everything is text as it is written: no `NO` is false, no `0742` is 482. Whatever is not known, stands twice or cannot be is refused with its line.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

import yaml

from stream_app.messages.fields import Field, FieldKind, fields_of, one_of_own
from stream_app.messages.fraud_types import FRAUD_TYPE
from stream_app.messages.refusals import refused, shown
from stream_app.messages.transaction import ATTRIBUTE, Label, Transaction

MOST_MAPPING_BYTES = 65_536
MOST_NESTED = 16
TIME_UNITS = ("s", "ms", "us", "ns", "iso8601")
AMOUNT_UNITS = ("major", "minor")
_PARTS = ("columns", "constants", "tokens", "time_unit", "zone", "decimal", "key")
_OF_COLUMN = ("path", "unit", "values", "default")
_NO_CODE = "A mapping holds plain text, lists and `name: value`"

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
    """

    path: Path
    unit: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    default: str | None = None


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
    """

    columns: Mapping[str, MappedField]
    constants: Mapping[str, str] = field(default_factory=dict)
    tokens: frozenset[str] = frozenset()
    time_unit: str = "ms"
    zone: str = ""
    decimal: str = ""
    key: Path = ()

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


def is_number(text: str) -> bool:
    """Whether a text is a finite number as it stands."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def mapping_of(text: str) -> SourceMapping:
    """The mapping that a text in YAML says.

    Raises:
        MappingError: it cannot be used.
    """
    parts = {name: (at, node) for name, at, node in _pairs(_composed(text), "the mapping", _PARTS)}

    def given[T](part: str, read: Callable[[Any], T], otherwise: T) -> T:
        return read(parts[part][1]) if part in parts else otherwise

    none: dict[str, MappedField] = {}
    columns = given("columns", _columns, none)
    if not columns:
        raise MappingError("It has no `columns`. Write them as `ours: theirs`, one a line.")
    no_constants: dict[str, str] = {}
    constants = given("constants", _constants, no_constants)
    for name in columns.keys() & constants.keys():
        _refuse(parts["constants"][1], f"{name} is a column and a constant. Take one of the two out")
    no_tokens: frozenset[str] = frozenset()
    tokens = given("tokens", lambda node: _tokens(node, columns), no_tokens)
    time_unit = given("time_unit", lambda node: _one_of(node, "time_unit", TIME_UNITS), "ms")
    made = SourceMapping(
        MappingProxyType(columns),
        MappingProxyType(constants),
        tokens,
        time_unit,
        given("zone", _zone, ""),
        given("decimal", lambda node: _one_of(node, "decimal", (",", ".")), ""),
        given("key", _path, ()),
    )
    _check_paths(made, parts["columns"][1])
    return made


def _composed(text: str) -> yaml.Node:
    """The text's nodes, nothing made of them: no tag is obeyed, no alias followed."""
    if len(text.encode(errors="replace")) > MOST_MAPPING_BYTES:
        raise MappingError(f"It is larger than {MOST_MAPPING_BYTES} bytes.")
    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MOST_NESTED:
                raise MappingError(f"It is nested more than {MOST_NESTED} deep. {_NO_CODE}.")
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) or getattr(event, "tag", None):
                _refuse(event, f"a tag, an anchor or an alias. {_NO_CODE}")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, MappingError):
            raise
        raise MappingError(f"It is no YAML: {' '.join(str(error).split())[:200]}.") from None
    if not isinstance(node, yaml.MappingNode):
        raise MappingError("It has no `columns`. Write them as `ours: theirs`, one a line.")
    return node


def _refuse(node: Any, why: str) -> NoReturn:
    raise MappingError(f"Line {node.start_mark.line + 1}: {why}.")


def _text(node: Any) -> str:
    if not isinstance(node, yaml.ScalarNode):
        _refuse(node, "here stands a list or an object; write a text")
    if not node.value.isprintable():
        _refuse(node, "a sign that cannot be printed")
    return str(node.value)


def _pairs(node: Any, of: str, known: tuple[str, ...] = ()) -> list[tuple[str, Any, Any]]:
    """Names, their places and values; none twice, and with `known` no other."""
    if not isinstance(node, yaml.MappingNode):
        _refuse(node, f"{of} must be written as `name: value`")
    found: dict[str, tuple[str, Any, Any]] = {}
    for at, value in node.value:
        name = _text(at)
        if name in found:
            _refuse(at, f"{shown(name)!r} stands twice in {of}. Take one of the two out")
        if known and name not in known:
            _refuse(at, f"{shown(name)!r} is no part of {of}{_nearest(name, known)}")
        found[name] = name, at, value
    return list(found.values())


def _nearest(name: str, known: Any) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; the nearest is {near[0]}" if near else f"; there are {', '.join(known)}"


def _named(at: Any, name: str) -> Field:
    found = ours(name)
    if found is None:
        _refuse(at, f"{shown(name)!r} is none of our fields{_nearest(name, list(OURS))}")
    return found


def _columns(node: Any) -> dict[str, MappedField]:
    return {name: _column(_named(at, name), value) for name, at, value in _pairs(node, "columns")}


def _column(of: Field, node: Any) -> MappedField:
    if not isinstance(node, yaml.MappingNode):
        return MappedField(_path(node))
    parts = {name: value for name, _, value in _pairs(node, f"column {of.name}", _OF_COLUMN)}
    if "path" not in parts:
        _refuse(node, f"column {of.name} has no path")
    units = TIME_UNITS if of.kind is FieldKind.TIME else AMOUNT_UNITS if of.name in {"amount", "billing_amount"} else ()
    if "unit" in parts and not units:
        _refuse(parts["unit"], f"{of.name} has no unit: times and amounts have one")
    unit = _one_of(parts["unit"], "unit", units) if "unit" in parts else ""
    values = {theirs: _value(of, value) for theirs, _, value in _pairs(parts["values"], "values")} if "values" in parts else {}
    return MappedField(_path(parts["path"]), unit, MappingProxyType(values), _value(of, parts["default"]) if "default" in parts else None)


def _constants(node: Any) -> dict[str, str]:
    return {name: _value(_named(at, name), value) for name, at, value in _pairs(node, "constants")}


def _value(of: Field, node: Any) -> str:
    """A value of ours, as it is written; it is one."""
    text = _text(node)
    try:
        refusal = refused(of, typed(of, text))
    except ValueError:
        _refuse(node, f"{shown(text)!r} cannot be {of.name}: {of.must_be}")
    if refusal is not None:
        _refuse(node, refusal.message.rstrip("."))
    return text


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


def _one_of(node: Any, what: str, known: tuple[str, ...]) -> str:
    text = _text(node)
    if text not in known:
        _refuse(node, f"{what} is {shown(text)!r}; it is one of {', '.join(known)}")
    return text


def _path(node: Any) -> Path:
    names = tuple(map(_text, node.value)) if isinstance(node, yaml.SequenceNode) else tuple(_text(node).split("."))
    if not names or "" in names or len(names) > MOST_NESTED:
        _refuse(node, f"{shown('.'.join(names))!r} is no path: write names with a dot between, or a list of them where a name holds a dot")
    return names


def _tokens(node: Any, columns: Mapping[str, MappedField]) -> frozenset[str]:
    if not isinstance(node, yaml.SequenceNode):
        _refuse(node, "tokens are a list, as [card_id]")
    for each in node.value:
        if (found := ours(_text(each))) is None or found.kind is not FieldKind.TEXT or found.name not in columns:
            _refuse(each, f"{shown(_text(each))!r} is no column of text that this mapping names")
    return frozenset(map(_text, node.value))


def _zone(node: Any) -> str:
    name = _text(node)
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        _refuse(node, f"{shown(name)!r} is no time zone: write one as Europe/Berlin or UTC")
    return name


def _check_paths(made: SourceMapping, node: Any) -> None:
    """A value is no object: no path may go on where another one ends."""
    paths = {column.path: name for name, column in made.columns.items()}
    for path, name in paths.items():
        for length in range(1, len(path)):
            if (other := paths.get(path[:length])) is not None:
                _refuse(node, f"{name} is at {'.'.join(path)}, within what {other} takes for a value. One of the two paths cannot be")
