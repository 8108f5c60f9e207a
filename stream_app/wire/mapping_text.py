"""A mapping as YAML says it: what other people's columns and fields are to us. One form for files and for records.

    columns:                                # ours: theirs
      transaction_id: id
      event_time: {path: paid_at, unit: s}  # s, ms (the default), us, ns or iso8601; min, h and d with since: 2018-04-01T00:00:00Z; or
                                            # {path: at, format: "%d/%m/%Y %H:%M"}; of several columns, with a blank between: {paths: [day, hour], …}
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
    delimiter: ";"                          # between the columns of a CSV; without it, what stands most often in its first line
    key: payload.card                       # which part of a record's key is the card; without it the whole key

Everything is text as it is written: no `NO` is false, no `0742` is 482. Whatever is not known, stands twice or cannot be is refused with its line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

import yaml

from stream_app.messages.fields import Field, FieldKind
from stream_app.messages.refusals import refused, shown
from stream_app.wire.mapping import OURS, MappedField, MappingError, Path, SourceMapping, ours, typed
from stream_app.wire.time_formats import names_zone, time_format
from stream_app.wire.times import ISO, OF_A_START, UNIT_MS, TimeForm, UnmappedError

MOST_MAPPING_BYTES = 65_536
MOST_NESTED = 16
TIME_UNITS = (*UNIT_MS, ISO)
AMOUNT_UNITS = ("major", "minor")
_UNITS_OF_ALL = tuple(unit for unit in TIME_UNITS if unit not in OF_A_START)
_MOST_PARTS_OF_TIME = 8
_PARTS = ("columns", "constants", "tokens", "time_unit", "zone", "decimal", "delimiter", "key")
_OF_COLUMN = ("path", "paths", "unit", "since", "format", "values", "default")
_NO_CODE = "A mapping holds plain text, lists and `name: value`"


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
    time_unit = given("time_unit", lambda node: _one_of(node, "time_unit", _UNITS_OF_ALL), "ms")
    made = SourceMapping(
        MappingProxyType(columns),
        MappingProxyType(constants),
        tokens,
        time_unit,
        given("zone", _zone, ""),
        given("decimal", lambda node: _one_of(node, "decimal", (",", ".")), ""),
        given("key", _path, ()),
        given("delimiter", _delimiter, ""),
    )
    _check_paths(made, parts["columns"][1])
    for name, column in made.columns.items():
        if column.written and not made.zone and not names_zone(column.written):
            _refuse(
                parts["columns"][1],
                f"{name} has a format that names no zone: write %z where it stands, or say which it is (zone: Europe/Berlin)",
            )
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
    if ("path" in parts) == ("paths" in parts):
        _refuse(node, f"column {of.name} has {'a path and paths' if 'path' in parts else 'no path'}")
    path, *also = _paths(of, parts["paths"]) if "paths" in parts else [_path(parts["path"])]
    values = {theirs: _value(of, value) for theirs, _, value in _pairs(parts["values"], "values")} if "values" in parts else {}
    default = _value(of, parts["default"]) if "default" in parts else None
    unit, since_ms, written = _unit(of, parts), _since(of, parts), _format(of, parts)
    if (unit or written) and values:
        _refuse(
            node, f"{of.name} has a {'unit' if unit else 'format'} and a table of values, which are ours already. Take one of the two out"
        )
    if also and not (written or unit == ISO):
        _refuse(node, f"{of.name} has several parts; say how they are written together, as format: '%d/%m/%Y %H:%M', or unit: {ISO}")
    return MappedField(path, unit, MappingProxyType(values), default, since_ms, written, tuple(also))


def _unit(of: Field, parts: Mapping[str, Any]) -> str:
    if "unit" not in parts:
        return ""
    units = TIME_UNITS if of.kind is FieldKind.TIME else AMOUNT_UNITS if of.name in {"amount", "billing_amount"} else ()
    if not units:
        _refuse(parts["unit"], f"{of.name} has no unit: times and amounts have one")
    unit = _one_of(parts["unit"], "unit", units)
    if unit in OF_A_START and "since" not in parts:
        _refuse(parts["unit"], f"{of.name} counts in {unit}, and nobody says from when: write since: 2018-04-01T00:00:00Z")
    return unit


def _since(of: Field, parts: Mapping[str, Any]) -> int:
    if (node := parts.get("since")) is None:
        return 0
    _refuse_unless_time(of, node, "counts from nothing")
    if "format" in parts or ("unit" in parts and _text(parts["unit"]) == ISO):
        _refuse(node, f"{of.name} is text, which counts from nothing. Take since out")
    text = _text(node)
    try:
        return TimeForm(ISO).milliseconds(text)
    except UnmappedError as error:
        _refuse(node, f"since is {shown(text)!r}; {error}")


def _format(of: Field, parts: Mapping[str, Any]) -> str:
    if (node := parts.get("format")) is None:
        return ""
    _refuse_unless_time(of, node, "has no format")
    if "unit" in parts:
        _refuse(node, f"{of.name} has a unit and a format. Take one of the two out")
    text = _text(node)
    try:
        time_format(text)
    except ValueError as error:
        _refuse(node, f"format {shown(text)!r} cannot be read: {error}")
    return text


def _refuse_unless_time(of: Field, node: Any, why: str) -> None:
    if of.kind is not FieldKind.TIME:
        _refuse(node, f"{of.name} {why}: only times do" if "counts" in why else f"{of.name} {why}: only times have one")


def _paths(of: Field, node: Any) -> list[Path]:
    """Where the parts of a time are."""
    if of.kind is not FieldKind.TIME:
        _refuse(node, f"{of.name} is in one place: only times have several parts. Write one path")
    if not isinstance(node, yaml.SequenceNode) or not 1 < len(node.value) <= _MOST_PARTS_OF_TIME:
        _refuse(node, f"paths are a list of two to {_MOST_PARTS_OF_TIME}, as [day, hour]")
    return [_path(each) for each in node.value]


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


def _delimiter(node: Any) -> str:
    text = str(node.value) if isinstance(node, yaml.ScalarNode) else ""
    if len(text) != 1 or not (text.isprintable() or text == "\t") or not text.isascii() or text.isalnum() or text in "\"' ":
        _refuse(node, 'delimiter is one sign that parts columns, as ";" or "\\t"')
    return text


def _check_paths(made: SourceMapping, node: Any) -> None:
    """A value is no object: no path may go on where another one ends."""
    paths = {path: name for name, column in made.columns.items() for path in column.paths}
    for path, name in paths.items():
        for length in range(1, len(path)):
            if (other := paths.get(path[:length])) is not None:
                _refuse(node, f"{name} is at {'.'.join(path)}, within what {other} takes for a value. One of the two paths cannot be")
