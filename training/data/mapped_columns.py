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
from stream_app.wire.mapping import MappingError, NumberForm, typed

if TYPE_CHECKING:
    from stream_app.messages.fields import Field
    from stream_app.wire.mapping import MappedField, Path, SourceMapping

_NAMES_ZONE = r".*(?:[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)"
_TIME_OF_DAY = r".*[T ].*"
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


def converted_column(column: Any, name: str, mapping: SourceMapping) -> Any:
    """A column whose values are ours, as far as the mapping says it; units of times and amounts come later.

    Raises:
        MappingError: the first row whose value is none that the mapping knows.
    """
    of, said = mapping.field_of(name), mapping.columns[name]
    if of is None:
        return column
    if said.values:  # noqa: PD011 - no frame
        column = _by_table(column, of, said)
    elif of.kind is FieldKind.TIME and mapping.zone:
        column = _zoned(column, mapping.zone)
    elif of.kind is FieldKind.NUMBER and mapping.decimal and _is_text(column):
        column = _by_sign(column, mapping.decimal, said.path)
    return column if said.default is None else pc.fill_null(column, pa.scalar(typed(of, said.default)).cast(column.type))


def into_major(column: Any, currencies: Any, path: Path) -> Any:
    """Amounts in minor units, in major ones.

    Raises:
        MappingError: the first row that holds no whole number.
    """
    minor = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    _refuse(~np.isnan(minor) & (np.floor(minor) != minor), column, path, "it must be a whole number of minor units")
    texts = pd.Series(["EUR"] * len(minor)) if currencies is None else currencies.cast(pa.string()).to_pandas()
    units = texts.fillna("").map({code: minor_units(code) for code in texts.dropna().unique()} | {"": 100})
    return pa.chunked_array([pa.array(minor / units.to_numpy(np.float64), from_pandas=True)])


def _by_table(column: Any, of: Field, said: MappedField) -> Any:
    texts = column.cast(pa.string())
    known = pa.array(list(said.values))
    place = pc.index_in(texts, known)
    wrong = pc.and_(pc.is_valid(texts), pc.is_null(place)).to_numpy()
    _refuse(wrong, texts, said.path, f"the mapping knows {shown(', '.join(said.values))}")
    made = pc.take(pa.array([*said.values.values()]), place)  # noqa: PD011 - no frame
    return made.cast(pa.bool_()) if of.kind is FieldKind.FLAG else made.cast(pa.float64()) if of.kind is FieldKind.NUMBER else made


def _by_sign(column: Any, sign: str, path: Path) -> Any:
    form = NumberForm.of(sign)
    wrong = pc.invert(pc.match_substring_regex(column, f"^(?:{form.pattern})$")).fill_null(False).to_numpy()
    _refuse(wrong, column, path, form.must_be)
    return pc.replace_substring(pc.replace_substring(column, form.between, ""), sign, ".").cast(pa.float64())


def _zoned(column: Any, zone: str) -> Any:
    """Times that name no zone are of this one; an hour that comes twice is the first one."""
    if pa.types.is_timestamp(column.type) and column.type.tz is None:
        moments = _localised(column.to_pandas(), zone).dt.tz_convert("UTC").dt.tz_localize(None)
        return pa.chunked_array([pa.array(moments.to_numpy(), from_pandas=True)])
    if not _is_text(column):
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


def _is_text(column: Any) -> bool:
    return bool(pa.types.is_string(column.type) or pa.types.is_large_string(column.type))


def _refuse(wrong: Any, column: Any, path: Path, why: str) -> None:
    if wrong.any():
        row = int(np.asarray(wrong).argmax())
        raise MappingError(f"column {'.'.join(path)!r} is {shown(repr(column[row].as_py())[:40])} in row {row + 1}; {why}.")
