"""A file's rows one by one, under its own names and as it spells them: what `fraudstream inspect` looks at. Nothing is checked, little is held."""

from __future__ import annotations

from itertools import batched, chain, islice
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from stream_app.errors import DataError
from training.data.column_mapping import OURS, ROW, column_mapping_of, read_mapping
from training.data.columns import as_text
from training.data.files import is_known, parse_options, unreadable
from training.data.sources import FilePart, parts_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from training.data.column_mapping import ColumnMapping

__all__ = ["ROW", "is_known", "known_layout", "read_mapping", "rows_of"]
_BATCH = 5_000


def rows_of(path: Path, most: int, delimiter: str = "") -> Iterator[dict[str, Any]]:
    """The first rows of a file; of a CSV with the mapping's `delimiter`, where it says one.

    Raises:
        DataError: it cannot be read; one line with the file and what to do.
    """
    for number, row in enumerate(islice(chain.from_iterable(_of_part(part, delimiter) for part in parts_of(path)), most)):
        yield row | {ROW: str(number)}


def _of_part(part: FilePart, delimiter: str) -> Iterator[dict[str, Any]]:
    try:
        rows = _csv(part, delimiter) if part.kind == ".csv" else _READERS[part.kind](part)
        first = next(rows, None)
        prepared = None if first is None else column_mapping_of(list(first)).prepared
        for some in batched(() if first is None else chain([first], rows), _BATCH):
            yield from some if prepared is None else prepared(pa.Table.from_pylist(list(some))).to_pylist()
    except (ValueError, TypeError, OSError) as error:  # Arrow's errors are of these kinds
        raise unreadable(part, error) from None


def known_layout(names: list[str]) -> ColumnMapping | None:
    """What the columns are of a file whose layout is known; None of any other."""
    found = column_mapping_of(names)
    return None if found is OURS else found


def _parquet(part: FilePart) -> Iterator[dict[str, Any]]:
    with part.at_random() as opened:
        for batch in pyarrow.parquet.ParquetFile(opened).iter_batches(batch_size=_BATCH):
            columns = [as_text(c) if pa.types.is_fixed_size_binary(c.type) else c for c in batch.columns]
            yield from pa.RecordBatch.from_arrays(columns, batch.schema.names).to_pylist()


def _csv(part: FilePart, delimiter: str) -> Iterator[dict[str, Any]]:
    parse = parse_options(part, delimiter)
    with part.opened() as stream, pyarrow.csv.open_csv(stream, parse_options=parse) as first:
        names = first.schema.names
    texts = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), null_values=[""], strings_can_be_null=True)
    with part.opened() as stream, pyarrow.csv.open_csv(stream, parse_options=parse, convert_options=texts) as batches:
        for batch in batches:
            yield from batch.to_pylist()


def _json(part: FilePart) -> Iterator[dict[str, Any]]:
    with part.opened() as lines:
        for row, line in enumerate(lines, 1):
            try:
                if line.strip():
                    yield msgspec.json.decode(line, type=dict[str, Any])
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise DataError(f"{part.name}: row {row} is no JSON object: {error}. Mend it, or remove the row.") from None


_READERS = {".parquet": _parquet, ".jsonl": _json}
