"""Columns of a file by what a mapping says of their values, as `stream_app.wire.mapped` does it with those of a record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from stream_app.messages.fields import FieldKind
from stream_app.messages.iso import minor_units
from stream_app.messages.refusals import shown
from stream_app.messages.transaction import ATTRIBUTE
from stream_app.wire.mapping import MappedField, MappingError, NumberForm, as_written, ours, typed
from stream_app.wire.times import UNIT_MS, UnmappedError
from training.data.columns import as_text, is_text

if TYPE_CHECKING:
    from stream_app.messages.fields import Field
    from stream_app.wire.mapping import Path, SourceMapping
    from stream_app.wire.times import TimeForm

_NAMES_ZONE = r".*(?:[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)"
_TIME_OF_DAY = r".*[T ].*"
_BEYOND_MS = 2.0**60
"""What is larger is no time in any unit: it stays so large, and is refused."""
_SPRING = pd.Timedelta("1h")
"""How far an hour that there is not is moved."""


def column_at(table: Any, source: str, path: Path) -> Any:
    """The column of that name, or else the one that is nested at this path; None where there is none."""
    if source in table.column_names:
        return table[source]
    if path[0] not in table.column_names:
        return None
    column = table[path[0]]
    for name in path[1:]:
        if not pa.types.is_struct(column.type) or column.type.get_field_index(name) < 0:
            return None
        column = pc.struct_field(column, name)
    return column


def joined_columns(parts: list[Any]) -> Any:
    """The parts of a time as one text, a blank between; missing where one is."""
    return pc.binary_join_element_wise(*map(_texts, parts), " ")


def converted_column(column: Any, name: str, mapping: SourceMapping) -> Any:
    """A column whose values are ours, as far as the mapping says it; its default and its minor units come later.

    Raises:
        MappingError: the first row whose value is none that the mapping knows.
    """
    of, said = mapping.field_of(name) or ours(name), mapping.columns.get(name, MappedField((name,)))
    if of is None:
        return column
    if said.values:  # noqa: PD011 - no frame
        return _by_table(column, of, said)
    if of.kind is FieldKind.TIME:
        return _times(column, mapping.time_of(name), said.where)
    if of.kind is FieldKind.NUMBER and mapping.decimal and is_text(column.type) and said.unit != "minor":
        return _by_sign(column, mapping.decimal, said.where)
    return _texts(column) if of.kind is FieldKind.TEXT and name.startswith(ATTRIBUTE) else column


def with_default(column: Any, of: Field, text: str) -> Any:
    """A column of ours with the mapping's default where nothing stands."""
    value = pa.scalar(typed(of, text))
    if of.kind in {FieldKind.NUMBER, FieldKind.NUMBER_OR_TEXT} and is_text(column.type):
        value = pa.scalar(text)  # numbers as text are read later
    elif pa.types.is_string(value.type):
        column = _texts(column)
    return pc.fill_null(column.cast(value.type) if column.type != value.type else column, value)


def _milliseconds(column: Any, unit_ms: float, since_ms: int) -> Any:
    """Times that are numbers, in milliseconds since 1970; of any other kind as they are."""
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)) or (unit_ms, since_ms) == (1, 0):
        return column
    if pa.types.is_integer(column.type):  # a double does not hold them to the millisecond
        gone = column.is_null().to_numpy()
        numbers = column.cast(pa.int64(), safe=False).fill_null(0).to_numpy()
        most = int(_BEYOND_MS / max(1, unit_ms))
        scaled = numbers // round(1 / unit_ms) if unit_ms < 1 else np.clip(numbers, -most, most) * round(unit_ms)
        return pa.chunked_array([pa.array(scaled + since_ms, mask=gone)])
    exact = pc.round(pc.multiply(column.cast(pa.float64(), safe=False), unit_ms))
    within = pc.min_element_wise(pc.max_element_wise(exact, -_BEYOND_MS, skip_nulls=False), _BEYOND_MS, skip_nulls=False)
    return pc.add(pc.if_else(pc.is_nan(within), None, within).cast(pa.int64()), since_ms)


def constant_column(of: Field | None, text: str, rows: int) -> Any:
    """The same value in every row, held once."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int8)), [text if of is None else typed(of, text)])


def into_major(column: Any, currencies: Any, where: str) -> Any:
    """Amounts in minor units, in major ones.

    Raises:
        MappingError: the first row that holds no whole number.
    """
    minor = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    _refuse(~np.isnan(minor) & (np.floor(minor) != minor), column, where, "it must be a whole number of minor units")
    texts = pd.Series(["EUR"] * len(minor)) if currencies is None else currencies.cast(pa.string()).to_pandas()
    units = texts.fillna("").map({code: minor_units(code) for code in texts.dropna().unique()} | {"": 100})
    return pa.chunked_array([pa.array(minor / units.to_numpy(np.float64), from_pandas=True)])


def _by_table(column: Any, of: Field, said: MappedField) -> Any:
    texts = _texts(column)
    place = pc.index_in(texts, pa.array(list(said.values)))
    wrong = pc.and_(pc.is_valid(texts), pc.is_null(place)).to_numpy()
    _refuse(wrong, texts, said.where, f"the mapping knows {shown(', '.join(said.values))}")
    return pc.take(pa.array([typed(of, text) for text in said.values.values()]), place)  # noqa: PD011 - no frame


def _texts(column: Any) -> Any:
    """A column's values as they are written in a table of values."""
    if is_text(column.type):
        return column
    if pa.types.is_floating(column.type):  # Arrow writes them otherwise
        encoded = column.dictionary_encode().combine_chunks()
        texts = pa.array([None if value is None else as_written(value) for value in encoded.dictionary.to_pylist()], pa.string())
        return pa.chunked_array([pa.DictionaryArray.from_arrays(encoded.indices, texts).cast(pa.string())])
    return as_text(column)


def _times(column: Any, form: TimeForm, where: str) -> Any:
    if form.written and pa.types.is_integer(column.type):
        column = _texts(column)
    if is_text(column.type) and form.is_text:
        return _read(column, form.reader(), where)
    if form.zone and (is_text(column.type) or pa.types.is_timestamp(column.type)):
        return _zoned(column, form.zone)
    return column if form.is_text else _milliseconds(column, UNIT_MS[form.unit], form.since_ms)


def _read(column: Any, read: Any, where: str) -> Any:
    """Each text by what reads those of records, piece by piece."""
    done, rows = [], 0
    for piece in column.iterchunks():
        found = []
        for text in piece.to_pylist():
            rows += 1
            try:
                found.append(read(text) if text else None)
            except UnmappedError as error:
                raise MappingError(f"column {where!r} is {shown(repr(text))[:40]} in row {rows}; {error}.") from None
        done.append(pa.array(found, pa.int64()))
    return pa.chunked_array(done, pa.int64())


def _by_sign(column: Any, sign: str, where: str) -> Any:
    form = NumberForm.of(sign)
    wrong = pc.invert(pc.match_substring_regex(column, f"^(?:{form.pattern})$")).fill_null(False).to_numpy()
    _refuse(wrong, column, where, form.must_be)
    return pc.replace_substring(pc.replace_substring(column, form.between, ""), sign, ".").cast(pa.float64())


def _zoned(column: Any, zone: str) -> Any:
    """Times that name no zone are of this one; an hour that comes twice is the first one."""
    if pa.types.is_timestamp(column.type) and column.type.tz is None:
        moments = _localised(column.to_pandas(), zone).dt.tz_convert("UTC").dt.tz_localize(None)
        return pa.chunked_array([pa.array(moments.to_numpy(), from_pandas=True)])
    if not is_text(column.type):
        return column
    texts = column.to_pandas()
    local = pd.to_datetime(
        texts.where(texts.str.match(_TIME_OF_DAY) & ~texts.str.fullmatch(_NAMES_ZONE, na=True)), format="ISO8601", errors="coerce"
    )
    given = local.notna()
    named = _localised(local[given], zone).dt.tz_convert("UTC").dt.strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"
    return pa.chunked_array([pa.array(texts.where(~given, named.reindex(texts.index)), pa.string(), from_pandas=True)])


def _localised(local: Any, zone: str) -> Any:
    return local.dt.tz_localize(zone, ambiguous=np.ones(len(local), dtype=bool), nonexistent=_SPRING)


def _refuse(wrong: Any, column: Any, where: str, why: str) -> None:
    if wrong.any():
        row = int(np.asarray(wrong).argmax())
        raise MappingError(f"column {where!r} is {shown(repr(column[row].as_py())[:40])} in row {row + 1}; {why}.")
