"""Reads a file of transactions into Arrow columns under our names, whatever its format and layout."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from stream_app.errors import DataError
from stream_app.messages.fields import Field, FieldKind, fields_of, names, one_of_own
from stream_app.messages.refusals import DeadLetterCode, kind_of, refused, shown
from stream_app.messages.transaction import ATTRIBUTE, Label, Transaction
from stream_app.wire.mapping import MappingError
from training.data.column_mapping import OURS, ColumnMapping, column_mapping_of, read_mapping
from training.data.columns import RefusedRow
from training.data.sources import FilePart, parts_of
from training.data.sources import shown as shown_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    type _ReadFile = tuple[Any, ColumnMapping, list[str]]
    """The columns that are wanted, what they are, and the names of all."""

SEPARATORS = ",;\t|"
_MOST_HEAD_BYTES = 2**20
_FIELDS = fields_of(Transaction)
_OF_OWN = ATTRIBUTE.removesuffix(".")
REQUIRED = names(_FIELDS, *FieldKind, required=True)
TEXTS = frozenset(names(_FIELDS, FieldKind.TEXT, FieldKind.CODE))
TIMES = frozenset({*names(_FIELDS, FieldKind.TIME), "sent_at", "labelled_at"})
LABEL_TEXTS = frozenset({"fraud_type", "source"})
"""Beside what payments have, in files of labels."""
KNOWN = frozenset(names(_FIELDS, *FieldKind)) | TIMES | {"is_fraud", "fraud_scenario"}
_BY_NAME = {f.name: f for f in (*fields_of(Label), *_FIELDS)}
_OURS = {
    "sent_at": replace(_BY_NAME["event_time"], name="sent_at"),
    "labelled_at": replace(_BY_NAME["labelled_at"], required=False),
    "fraud_scenario": Field("fraud_scenario", FieldKind.NUMBER, True, None, False, 0, 127, must_be="a whole number from 0 to 127"),
}


def columns_of(path: Path, mapping: Path | None = None, also: frozenset[str] = frozenset()) -> tuple[Any, ColumnMapping]:
    """The known columns of a file, under our names; ids and codes of text files as text, with their leading zeros; and its layout.

    Args:
        path: Parquet, CSV (parted by any of `SEPARATORS`) or JSON Lines, see `training.data.sources`.
        mapping: YAML, what its columns are; None: it is known by them.
        also: columns of text that are ours in such a file.

    Raises:
        DataError: one line with the file and what to do.
    """
    given = read_mapping(mapping) if mapping else None
    table, column_mapping, names = _read_all(path, given, also)
    if given and (missing := column_mapping.missing(table)):
        raise DataError(f"{shown_path(path)}: column {min(missing)!r} of {mapping} is not there. It has {', '.join(names)}.")
    twice = sorted({name for name in table.column_names if table.column_names.count(name) > 1})
    if twice:
        raise DataError(f"{shown_path(path)}: column {twice[0]!r} is there twice. Rename one of the two.")
    try:
        table = column_mapping.applied(table)
    except MappingError as error:
        raise DataError(f"{shown_path(path)}: {error}") from None
    return _flat(table.select([name for name in table.column_names if is_known(name) or name in also])), column_mapping


def unreadable(part: FilePart, error: Exception) -> DataError:
    """What is said of a file that a library cannot read."""
    why = " ".join(str(error).split())[:200].rstrip(".")
    return DataError(f"{part.name} cannot be read as {part.kind[1:]}: {why}. Mend it, or correct its suffix.")


def parse_options(part: FilePart, delimiter: str = "") -> Any:
    """How a CSV parts its columns: by the mapping's `delimiter`, else by the sign of `SEPARATORS` that stands most often in its first line."""
    if delimiter:
        return pyarrow.csv.ParseOptions(delimiter=delimiter)
    with part.opened() as stream:
        head = re.sub(r'"[^"]*"', "", stream.readline(_MOST_HEAD_BYTES).decode(errors="replace"))
    return pyarrow.csv.ParseOptions(delimiter=max(SEPARATORS, key=head.count))


def attributes_in(path: Path, mapping: Path | None = None) -> tuple[str, ...]:
    """The names of a file's attributes, in its order. Raises as `columns_of`."""
    table, _ = columns_of(path, mapping)
    return tuple(name.removeprefix(ATTRIBUTE) for name in table.column_names if name.startswith(ATTRIBUTE))


def field_of(name: str) -> Field:
    """What a column of ours must hold: a field of a payment or of its label, a value of the producer's own, or what only files have."""
    if name.startswith(ATTRIBUTE):
        return one_of_own(_BY_NAME[_OF_OWN], name.removeprefix(ATTRIBUTE))
    return _OURS.get(name) or _BY_NAME[name]


def is_known(name: str) -> bool:
    """Whether a column is one of ours."""
    return name in KNOWN or name.startswith(ATTRIBUTE)


def _read_all(path: Path, given: ColumnMapping | None, also: frozenset[str]) -> _ReadFile:
    """All parts, one after the other, by the columns of the first."""
    tables: list[Any] = []
    first: _ReadFile | None = None
    for part in parts_of(path):
        try:
            table, column_mapping, names = _READERS[part.kind](part, given, also)
        except (ValueError, TypeError, OSError) as error:  # Arrow's errors are of these kinds
            raise unreadable(part, error) from None
        if first is not None and {*table.column_names} != {*tables[0].column_names}:
            differ = ", ".join(sorted({*table.column_names} ^ {*tables[0].column_names}))
            raise DataError(f"{part.name} has other columns than the files before it ({differ}). Give files of one form.")
        first = first or (table, column_mapping, names)
        tables.append(table)
    assert first is not None  # noqa: S101 - there is a part, or an error
    try:
        whole = tables[0] if len(tables) == 1 else pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        told = " ".join(str(error).split())[:200]
        raise DataError(
            f"{shown_path(path)}: a column is of one kind in some files and of another in others ({told}). Write it alike."
        ) from None
    return whole, first[1], first[2]


def _read_parquet(part: FilePart, given: ColumnMapping | None, also: frozenset[str]) -> _ReadFile:
    with part.at_random() as opened:
        return _of_parquet(pyarrow.parquet.ParquetFile(opened), given, also)


def _of_parquet(file: Any, given: ColumnMapping | None, also: frozenset[str]) -> _ReadFile:
    names = file.schema_arrow.names
    column_mapping = given or column_mapping_of(names)
    wanted = [name for name in names if is_known(name) or name in also or column_mapping.reads(name)]
    return file.read(columns=wanted), column_mapping, names


def _read_csv(part: FilePart, given: ColumnMapping | None, also: frozenset[str]) -> _ReadFile:
    parse = parse_options(part, given.said.delimiter if given else "")
    with part.opened() as stream, pyarrow.csv.open_csv(stream, parse_options=parse) as first:
        names = first.schema.names
    column_mapping = given or column_mapping_of(names)
    texts = {column_mapping.theirs(name): pa.string() for name in TEXTS | also}  # "NA" is Namibia, not a missing value
    texts |= dict.fromkeys(
        _own(names, column_mapping) + sorted(column_mapping.as_written), pa.string()
    )  # "2018-04-01" is a text of theirs, no date
    options = pyarrow.csv.ConvertOptions(column_types=texts, null_values=[""], strings_can_be_null=True)
    with part.opened() as stream:
        return pyarrow.csv.read_csv(stream, parse_options=parse, convert_options=options), column_mapping, names


def _read_json(part: FilePart, given: ColumnMapping | None, also: frozenset[str]) -> _ReadFile:
    with part.opened() as lines:
        for row, line in enumerate((line.decode().strip() for line in lines), 1):
            # Also what makes pyarrow 25 end the process: a null in place of an object.
            if line and (line[0] != "{" or line[-1] != "}" or ("null" in line and re.search(r"\}\s*null", line))):
                raise pa.ArrowInvalid(f"row {row} is not one JSON object: {line[:40]!r}")
    try:
        return _parsed_json(part, given, also)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # its rows count from the beginning of a block
        _refuse_mixed(part, given or OURS)
        raise


def _parsed_json(part: FilePart, given: ColumnMapping | None, also: frozenset[str]) -> _ReadFile:
    schema = pa.schema([(given.theirs(name) if given else name, pa.string()) for name in sorted(TEXTS | also)])
    try:
        with part.opened() as stream:
            table = pyarrow.json.read_json(stream, parse_options=pyarrow.json.ParseOptions(explicit_schema=schema))
    except pa.ArrowInvalid:  # ids may be integers; what else is wrong comes up again
        with part.opened() as stream:
            table = pyarrow.json.read_json(stream)
    else:
        empty = {name for name in schema.names if table[name].null_count == table.num_rows}
        if given and empty & given.sources:  # null in every row, or in none there at all
            with part.opened() as stream:
                empty -= {*pyarrow.json.read_json(stream).column_names}
        table = table.drop_columns(sorted(empty))
    dates = {
        name: kind
        for name in table.column_names
        if (given or name not in TIMES) and (kind := _without_dates(table[name].type)) != table[name].type
    }
    if dates:  # Arrow takes texts for them
        schema = pa.schema([field if field.name not in dates else field.with_type(dates[field.name]) for field in table.schema])
        with part.opened() as stream:
            table = pyarrow.json.read_json(stream, parse_options=pyarrow.json.ParseOptions(explicit_schema=schema))
    return table, given or column_mapping_of(table.column_names), table.column_names


def _own(names: list[str], mapping: ColumnMapping) -> list[str]:
    """Those of a file's columns that hold values of the producer's own, or the object of all of them."""
    mapped = {mapping.theirs(name) for name in mapping.columns if name.startswith(ATTRIBUTE)}
    return [name for name in names if name.startswith(ATTRIBUTE) or name == _OF_OWN or name in mapped]


def _without_dates(kind: Any) -> Any:
    """An Arrow type with text where Arrow found moments."""
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, _without_dates(field.type)) for field in kind])
    return pa.string() if pa.types.is_temporal(kind) else kind


def _refuse_mixed(part: FilePart, mapping: ColumnMapping) -> None:
    """Stop at the first row of JSON Lines that is no JSON, or in which a column of ours is of another kind than in the rows before."""
    ours = {mapping.theirs(name): name for name in [*KNOWN, *mapping.columns]}
    kinds: dict[str, str] = {}
    with part.opened() as lines:
        for row, line in enumerate(lines, 1):
            try:
                values = msgspec.json.decode(line, type=dict[str, Any]) if line.strip() else {}
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise DataError(f"{part.name}: row {row} is no JSON object: {error}. Mend it, or remove the row.") from None
            own = values.get(_OF_OWN)
            flat = values | {ATTRIBUTE + name: value for name, value in own.items()} if isinstance(own, dict) else values
            for name, value in flat.items():
                kind = kind_of(value)
                called = name if name.startswith(ATTRIBUTE) else ours.get(name)
                if called is not None and value is not None and kinds.setdefault(name, kind) != kind:
                    field = field_of(called)
                    told = refused(field, value)
                    why = told.message if told else f"it is {kind}, and {kinds[name]} in rows before; write one of them throughout."
                    code = told.code if told else DeadLetterCode.WRONG_TYPE
                    raise RefusedRow(f"{part.name}: column {name!r} is wrong in row {row} ({shown(repr(value))}): {why}", code, row)


_READERS: dict[str, Callable[[FilePart, ColumnMapping | None, frozenset[str]], _ReadFile]] = {
    ".parquet": _read_parquet,
    ".csv": _read_csv,
    ".jsonl": _read_json,
}


def _flat(table: Any) -> Any:
    """Lay a column `attributes` of objects out as columns; leave out optional columns without any value."""
    if _OF_OWN in table.column_names:
        column = table[_OF_OWN]
        table = table.drop_columns(_OF_OWN)
        for field in column.type if pa.types.is_struct(column.type) else ():
            if ATTRIBUTE + field.name in table.column_names:
                continue  # what the mapping says of it has the last word
            table = table.append_column(ATTRIBUTE + field.name, pc.struct_field(column, field.name))
    empty = [name for name in table.column_names if name not in REQUIRED and table.num_rows and table[name].null_count == table.num_rows]
    return table.drop_columns(empty)
