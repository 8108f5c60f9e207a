"""One mapping for files and records: what training reads of a row, a worker reads of the same record, to the value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from stream_app.errors import DataError, RecordError
from stream_app.messages.transaction import ATTRIBUTE, Transaction
from stream_app.wire.mapped import MappedReader
from stream_app.wire.mapping import mapping_of
from training.data.dataset import read_transactions

AT = 1_795_471_200
NESTED = """
columns:
  transaction_id: p.after.id
  event_time: {path: p.after.at, unit: us}
  card_id: p.after.pan
  terminal_id: p.after.shop
  amount: {path: p.after.cents, unit: minor}
  currency: p.after.cur
  type: {path: p.after.kind, values: {P: purchase, "7": refund}, default: withdrawal}
  approved: {path: p.after.ok, values: {J: true, N: false}}
  attributes.v1: p.score
constants: {mcc: 0742, country: NO}
tokens: [card_id]
"""
FLAT = """
columns:
  transaction_id: [a.id]
  event_time: {path: at, unit: iso8601}
  card_id: card
  amount: sum
  merchant_id: shop
constants: {currency: EUR, terminal_id: T1}
zone: Europe/Berlin
decimal: ","
"""


def nested(**row: Any) -> dict[str, Any]:
    """A row of the first mapping."""
    usual = {"id": "x", "at": AT * 10**6, "pan": "4111111111111111", "shop": "s", "cents": 1999, "cur": "EUR", "kind": "P", "ok": "J"}
    return {"p": {"after": usual | row, "score": 0.25}}


def flat(**row: Any) -> dict[str, Any]:
    """A row of the second."""
    return {"a.id": "x", "at": "2026-11-23 23:00:00", "card": "c", "sum": "12,5", "shop": "m"} | row


CASES = [
    (NESTED, [nested(), nested(cur="JPY"), nested(cur="KWD", kind="7"), nested(kind=None, ok="N"), nested(at=AT * 10**6 + 1999)]),
    (NESTED, [nested(id=12), nested(id=13)]),
    (FLAT, [flat(), flat(sum="1"), flat(sum="0,05")]),
    (FLAT, [flat(at="2026-11-23T22:00:00Z"), flat(at="2026-07-01T12:00:00.5"), flat(at="2026-11-23T22:00:00+02:00")]),
    (FLAT, [flat(at="2026-10-25 02:30:00"), flat(at="2026-03-29 02:30:00"), flat(at="2026-10-25 03:30:00")]),
]


def by_file(path: Path, mapping: str, rows: list[dict[str, Any]]) -> list[Transaction]:
    """What training reads."""
    path.with_suffix(".yml").write_text(mapping)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pa.parquet.write_table(pa.Table.from_pylist(rows), path)
    frame = read_transactions(path, mapping=path.with_suffix(".yml"))
    read = []
    for row in frame.to_dict("records"):
        values = {str(name): value for name, value in row.items() if not pd.isna(value) and name in Transaction.__struct_fields__}
        own = {str(name).removeprefix(ATTRIBUTE): value for name, value in row.items() if str(name).startswith(ATTRIBUTE)}
        read.append(Transaction(**values | ({"attributes": own} if own else {})))
    return read


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
@pytest.mark.parametrize(("mapping", "rows"), CASES)
def test_a_mapping_makes_the_same_payments_of_a_file_and_of_records(
    tmp_path: Path, suffix: str, mapping: str, rows: list[dict[str, Any]]
) -> None:
    """Paths, units, currencies, tables, defaults, tokens, zones with their odd hours, signs and constants."""
    reader = MappedReader(mapping_of(mapping))
    assert by_file(tmp_path / f"t{suffix}", mapping, rows) == [reader.of_json(json.dumps(row).encode()) for row in rows]


@pytest.mark.parametrize(
    ("mapping", "row", "says"),
    [
        (NESTED, nested(kind="X"), "the mapping knows P, 7"),
        (NESTED, nested(cents=1.5), "whole number"),
        (FLAT, flat(sum="1.23,5"), "between thousands"),
        (FLAT, flat(sum="12.5"), "decimal sign ','"),
    ],
)
def test_what_a_mapping_does_not_know_is_refused_by_both(tmp_path: Path, mapping: str, row: dict[str, Any], says: str) -> None:
    """With the path, and of a file the row."""
    with pytest.raises(RecordError, match=says):
        MappedReader(mapping_of(mapping)).of_json(json.dumps(row).encode())
    with pytest.raises(DataError, match=says) as refused:
        by_file(tmp_path / "t.jsonl", mapping, [nested() if mapping == NESTED else flat(), row])
    assert "in row 2" in str(refused.value)
