"""Reads a file of transactions into Arrow columns under our names, whatever its format and layout."""

from __future__ import annotations

import codecs
import gzip
import io
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
from stream_app.messages.fields import Field, FieldKind, fields_of, names, one_of_numbers
from stream_app.messages.refusals import DeadLetterCode, kind_of, refused, shown
from stream_app.messages.transaction import ATTRIBUTE, Label, Transaction
from stream_app.wire.mapping import MappingError
from training.data.column_mapping import OURS, ColumnMapping, column_mapping_of, read_mapping
from training.data.columns import RefusedRow

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    type _ReadFile = tuple[Any, ColumnMapping, list[str]]
    """The columns that are wanted, what they are, and the names of all."""

PACKED = ".gz"
SEPARATORS = ",;\t|"
_KINDS = {".parquet": ".parquet", ".csv": ".csv", ".jsonl": ".jsonl", ".ndjson": ".jsonl", ".tsv": ".csv"}
_MOST_HEAD_BYTES = 2**20
_FIELDS = fields_of(Transaction)
REQUIRED = names(_FIELDS, *FieldKind, required=True)
TEXTS = frozenset(names(_FIELDS, FieldKind.TEXT, FieldKind.CODE))
TIMES = frozenset({*names(_FIELDS, FieldKind.TIME), "sent_at", "labelled_at"})
KNOWN = frozenset(names(_FIELDS, *FieldKind)) | TIMES | {"is_fraud", "fraud_scenario"}
_BY_NAME = {f.name: f for f in (*fields_of(Label), *_FIELDS)}
_OURS = {
    "sent_at": replace(_BY_NAME["event_time"], name="sent_at"),
    "labelled_at": replace(_BY_NAME["labelled_at"], required=False),
    "fraud_scenario": Field("fraud_scenario", FieldKind.NUMBER, True, None, False, 0, 127, must_be="a whole number from 0 to 127"),
}


def columns_of(path: Path, mapping: Path | None = None) -> tuple[Any, ColumnMapping]:
    """The known columns of a file, under our names; ids and codes of text files as text, with their leading zeros; and its layout.

    Args:
        path: Parquet, CSV (parted by any of `SEPARATORS`) or JSON Lines, by its suffix; the last two also packed, `.csv.gz`.
        mapping: YAML, what its columns are; None: it is known by them.

    Raises:
        DataError: one line with the file and what to do.
    """
    reader = _READERS[kind_of_file(path)]
    given = read_mapping(mapping) if mapping else None
    try:
        table, column_mapping, names = reader(path, given)
    except (ValueError, TypeError, OSError) as error:  # Arrow's errors are of these kinds
        raise unreadable(path, error) from None
    missing = column_mapping.missing(names)
    if given and missing:
        raise DataError(f"{path}: column {min(missing)!r} of {mapping} is not there. It has {', '.join(names)}.")
    twice = sorted({name for name in table.column_names if table.column_names.count(name) > 1})
    if twice:
        raise DataError(f"{path}: column {twice[0]!r} is there twice. Rename one of the two.")
    try:
        table = column_mapping.applied(table)
    except MappingError as error:
        raise DataError(f"{path}: {error}") from None
    return _flat(table.select([name for name in table.column_names if is_known(name)])), column_mapping


def kind_of_file(path: Path) -> str:
    """`.parquet`, `.csv` or `.jsonl`, by the suffix; `.gz` behind it is unpacked.

    Raises:
        DataError: the suffix is of no known format, or there is no such file, or nothing in it.
    """
    suffix = path.with_suffix("").suffix if path.suffix.lower() == PACKED else path.suffix
    kind = _KINDS.get(suffix.lower())
    if kind is None or (kind == ".parquet" and path.suffix.lower() == PACKED):
        raise DataError(f"{path}: the suffix {path.suffix!r} is of no known format. Convert or rename the file to {', '.join(_KINDS)}.")
    if path.is_dir():
        raise DataError(f"{path} is a folder. Give one file; parts are put together first, in order of time.")
    if not path.is_file():
        raise DataError(f"{path} is not there. Check the path; `fraudstream simulate --out {path}` makes such a file.")
    if not path.stat().st_size:
        raise DataError(f"{path} is empty (0 bytes). Give a file with transactions; `fraudstream simulate` makes one.")
    return kind


def unreadable(path: Path, error: Exception) -> DataError:
    """What is said of a file that a library cannot read."""
    why = " ".join(str(error).split())[:200].rstrip(".")
    return DataError(f"{path} cannot be read as {kind_of_file(path)[1:]}: {why}. Mend it, or correct its suffix.")


def opened(path: Path) -> Any:
    """A file's bytes, unpacked where its name ends in `.gz`; without the mark of UTF-8 that some programs write first."""
    buffered = io.BufferedReader(gzip.open(path, "rb") if path.suffix.lower() == PACKED else path.open("rb"))  # noqa: SIM115 - the caller closes it
    if buffered.peek(len(codecs.BOM_UTF8)).startswith(codecs.BOM_UTF8):
        buffered.read(len(codecs.BOM_UTF8))
    return buffered


def parse_options(path: Path) -> Any:
    """How a CSV parts its columns: by the sign of `SEPARATORS` that stands most often in its first line."""
    with opened(path) as stream:
        head = re.sub(r'"[^"]*"', "", stream.readline(_MOST_HEAD_BYTES).decode(errors="replace"))
    return pyarrow.csv.ParseOptions(delimiter=max(SEPARATORS, key=head.count))


def attributes_in(path: Path, mapping: Path | None = None) -> tuple[str, ...]:
    """The names of a file's attributes, in its order. Raises as `columns_of`."""
    table, _ = columns_of(path, mapping)
    return tuple(name.removeprefix(ATTRIBUTE) for name in table.column_names if name.startswith(ATTRIBUTE))


def field_of(name: str) -> Field:
    """What a column of ours must hold: a field of a payment or of its label, a number of the producer's, or what only files have."""
    if name.startswith(ATTRIBUTE):
        return one_of_numbers(_BY_NAME["attributes"], name.removeprefix(ATTRIBUTE))
    return _OURS.get(name) or _BY_NAME[name]


def is_known(name: str) -> bool:
    """Whether a column is one of ours."""
    return name in KNOWN or name.startswith(ATTRIBUTE)


def _read_parquet(path: Path, given: ColumnMapping | None) -> _ReadFile:
    names = pyarrow.parquet.read_schema(path).names
    column_mapping = given or column_mapping_of(names)
    wanted = [name for name in names if is_known(name) or column_mapping.reads(name)]
    return pyarrow.parquet.ParquetFile(path).read(columns=wanted), column_mapping, names


def _read_csv(path: Path, given: ColumnMapping | None) -> _ReadFile:
    parse = parse_options(path)
    with opened(path) as stream, pyarrow.csv.open_csv(stream, parse_options=parse) as first:
        names = first.schema.names
    column_mapping = given or column_mapping_of(names)
    texts = {column_mapping.theirs(name): pa.string() for name in TEXTS}  # "NA" is Namibia, not a missing value
    options = pyarrow.csv.ConvertOptions(column_types=texts, null_values=[""], strings_can_be_null=True)
    with opened(path) as stream:
        return pyarrow.csv.read_csv(stream, parse_options=parse, convert_options=options), column_mapping, names


def _read_json(path: Path, given: ColumnMapping | None) -> _ReadFile:
    with opened(path) as lines:
        for row, line in enumerate((line.decode().strip() for line in lines), 1):
            # Also what makes pyarrow 25 end the process: a null in place of an object.
            if line and (line[0] != "{" or line[-1] != "}" or ("null" in line and re.search(r"\}\s*null", line))):
                raise pa.ArrowInvalid(f"row {row} is not one JSON object: {line[:40]!r}")
    try:
        return _parsed_json(path, given)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # its rows count from the beginning of a block
        _refuse_mixed(path, given or OURS)
        raise


def _parsed_json(path: Path, given: ColumnMapping | None) -> _ReadFile:
    schema = pa.schema([(given.theirs(name) if given else name, pa.string()) for name in sorted(TEXTS)])
    try:
        with opened(path) as stream:
            table = pyarrow.json.read_json(stream, parse_options=pyarrow.json.ParseOptions(explicit_schema=schema))
    except pa.ArrowInvalid:  # ids may be integers; what else is wrong comes up again
        with opened(path) as stream:
            table = pyarrow.json.read_json(stream)
    else:
        table = table.drop_columns([name for name in schema.names if table[name].null_count == table.num_rows])
    return table, given or column_mapping_of(table.column_names), table.column_names


def _refuse_mixed(path: Path, mapping: ColumnMapping) -> None:
    """Stop at the first row of JSON Lines that is no JSON, or in which a column of ours is of another kind than in the rows before."""
    ours = {mapping.theirs(name): name for name in KNOWN}
    kinds: dict[str, str] = {}
    with opened(path) as lines:
        for row, line in enumerate(lines, 1):
            try:
                values = msgspec.json.decode(line, type=dict[str, Any]) if line.strip() else {}
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise DataError(f"{path}: row {row} is no JSON object: {error}. Mend it, or remove the row.") from None
            for name, value in values.items():
                kind = kind_of(value)
                if name in ours and value is not None and kinds.setdefault(name, kind) != kind:
                    field = field_of(ours[name])
                    told = refused(field, value)
                    why = told.message if told else f"it is {kind}, and {kinds[name]} in rows before; write one of them throughout."
                    code = told.code if told else DeadLetterCode.WRONG_TYPE
                    raise RefusedRow(f"{path}: column {name!r} is wrong in row {row} ({shown(repr(value))}): {why}", code, row)


_READERS: dict[str, Callable[[Path, ColumnMapping | None], _ReadFile]] = {
    ".parquet": _read_parquet,
    ".csv": _read_csv,
    ".jsonl": _read_json,
}


def _flat(table: Any) -> Any:
    """Lay a column `attributes` of objects out as columns; leave out optional columns without any value."""
    if "attributes" in table.column_names:
        column = table["attributes"]
        table = table.drop_columns("attributes")
        for field in column.type if pa.types.is_struct(column.type) else ():
            table = table.append_column(ATTRIBUTE + field.name, pc.struct_field(column, field.name))
    empty = [name for name in table.column_names if name not in REQUIRED and table.num_rows and table[name].null_count == table.num_rows]
    return table.drop_columns(empty)
