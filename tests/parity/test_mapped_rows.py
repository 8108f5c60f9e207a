"""One mapping for files and records: what training reads of a row, a worker reads of the same record, to the value."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from stream_app.errors import DataError, RecordError
from stream_app.messages.event_time import MAX_EVENT_TIME_MS
from stream_app.messages.transaction import ATTRIBUTE, IntakeRules, Transaction
from stream_app.wire.decoder import WireDecoder
from stream_app.wire.mapped import MappedReader
from stream_app.wire.mapping import SourceMapping
from stream_app.wire.mapping_text import mapping_of
from tests.examples import examples
from tests.unit.wire.records import Sent
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
        names = dict.fromkeys(name for row in rows for name in row)
        pa.parquet.write_table(pa.Table.from_pydict({name: [row.get(name) for row in rows] for name in names}), path)
    frame = read_transactions(path, mapping=path.with_suffix(".yml"))
    read = []
    for row in frame.to_dict("records"):
        values = {str(name): value for name, value in row.items() if not pd.isna(value) and name in Transaction.__struct_fields__}
        own = {
            str(name).removeprefix(ATTRIBUTE): value
            for name, value in row.items()
            if str(name).startswith(ATTRIBUTE) and not pd.isna(value)
        }
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


@dataclass(frozen=True)
class TheirField:
    """Where a field of ours comes from in a made-up mapping: what the mapping says of it, and what may stand there; of several parts a tuple."""

    said: dict[str, Any] | None
    values: st.SearchStrategy[Any]
    parts: int = 1


_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)
_GONE = st.sampled_from([None, ...])
_TABLE = {"P": "purchase", "7": "refund", "w x": "withdrawal"}


def mostly(right: list[Any] | st.SearchStrategy[Any], wrong: list[Any] | st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Seldom wrong, so that whole rows are right now and then."""
    some, others = (of if isinstance(of, st.SearchStrategy) else st.sampled_from(of) for of in (right, wrong))
    return st.integers(0, 29).flatmap(lambda drawn: others if drawn == 0 else some)


_MOMENTS = mostly(
    ["2026-11-23T22:00:00Z", "2026-11-23 22:00:00.25+02:00", "20261123T230000Z", "2026-11-23T22:00Z"],
    ["x", "2026-13-01T00:00Z", "2026-11-23T25:00Z"],
)
_ZONELESS = st.sampled_from(["2026-10-25 02:30:00", "2026-03-29 02:30", "2026-11-23", "2026-11-23T12:00:00Z"])
_COUNTS = mostly(st.integers(10**9, 3 * 10**9), st.integers(-10, 10))
TIMES = [
    TheirField({"unit": "s"}, _COUNTS),
    TheirField({"unit": "s"}, st.floats(1e9, 3e9)),
    TheirField({"unit": "us"}, _COUNTS.map(lambda s: s * 10**6 + 1_999)),
    TheirField({"unit": "ns"}, _COUNTS.map(lambda s: s * 10**9 + 1_999_999)),
    TheirField({}, _COUNTS.map(lambda s: s * 1000 + 5)),
    TheirField({"unit": "iso8601"}, _MOMENTS),
    TheirField({"unit": "iso8601"}, _ZONELESS),
    TheirField(
        {"unit": "h", "since": "2018-04-01T00:00:00Z"}, mostly(st.integers(-2, 90_000) | st.floats(0, 9e4), st.integers(-(10**7), -(10**6)))
    ),
    TheirField({"unit": "us", "since": "2018-04-01T00:00:00+02:00"}, st.integers(-2_001, 10**15)),
    TheirField({"default": "1795471200000"}, _COUNTS.map(lambda s: s * 1000) | _GONE),
    TheirField(None, _COUNTS.map(lambda s: s * 1000)),
    TheirField(
        {"format": "%d/%m/%Y %H:%M %z"}, mostly(["25/12/2025 14:03 Z", "3/4/2025 4:03 +0200"], ["12/25/2025 14:03 Z", "25/12/2025"])
    ),
    TheirField({"format": "%Y%m%d%z"}, st.just("20260103Z")),
    TheirField(
        {"format": "%b %d, %y %I:%M:%S.%f %p%z"}, st.sampled_from(["Dec 25, 25 02:03:04.5 PM-01:30", "dec 1, 25 12:00:00.1239 amZ"])
    ),
    TheirField(
        {"unit": "iso8601"},
        st.tuples(st.sampled_from(["2026-11-23", "2026-11-24"]), mostly(["10:00Z", "10:00:00.25+02:00"], ["x"])),
        2,
    ),
    TheirField(
        {"format": "%Y %m %d %H %z"},
        st.tuples(
            *(
                mostly(st.integers(*right), st.integers(*wrong))
                for right, wrong in (((2024, 2025), (24, 25)), ((1, 12), (13, 14)), ((1, 28), (29, 32)), ((0, 23), (24, 25)))
            ),
            st.just("Z"),
        ),
        5,
    ),
    TheirField({"format": "%d.%m.%Y %H:%M%z"}, st.tuples(mostly(["01.02.2025"], _GONE), st.just("10:00Z")), 2),
]
AMOUNTS = [
    TheirField({}, mostly(st.floats(0, 1e9) | st.integers(0, 10), [-1, -0.5, 2e9])),
    TheirField({"unit": "minor"}, mostly(st.integers(0, 10**6), [-1])),
    TheirField({"unit": "minor", "default": "3.5"}, st.integers(0, 10**6) | _GONE),
    TheirField({}, mostly(["12,5", "1.234,56", "0,05", "7"], ["1,2,3", "12.5", "-1"])),
    TheirField({"default": "3.5"}, st.floats(0, 9) | _GONE),
    TheirField({"values": {"cheap": "1", "dear": "100.5"}}, st.sampled_from(["cheap", "dear"])),
]
IDS = [
    TheirField({}, _TEXT),
    TheirField({}, st.integers(0, 2**53)),
    TheirField(None, _TEXT),
    TheirField({"default": "none"}, _TEXT | _GONE),
    TheirField({"values": {"a": "A", "1": "one"}}, st.sampled_from(["a", "1"])),
    TheirField({"values": {"true": "yes", "1.5": "half", "2": "two"}}, st.booleans()),
    TheirField({"values": {"1.5": "half", "2": "two"}}, st.sampled_from([1.5, 2.0])),
]
OPTIONAL = {
    "currency": [TheirField({}, mostly(["EUR", "JPY", "KWD"], ["eur"])), TheirField({"values": {"E": "EUR", "J": "JPY"}, "default": "KWD"}, st.sampled_from(["E", "J"]) | _GONE)],
    "type": [TheirField({"values": _TABLE, "default": "reversal"}, mostly(st.sampled_from([*_TABLE]) | _GONE, ["X"])), TheirField({"values": _TABLE}, st.sampled_from(["P", "7"]) | _GONE)],
    "approved": [TheirField({"values": {"J": "true", "N": "false"}}, st.sampled_from(["J", "N"]) | _GONE), TheirField({"default": "false"}, st.booleans() | _GONE)],
    "merchant_id": [*IDS, TheirField({}, _TEXT | st.just("") | _GONE)],
    "mcc": [TheirField({}, mostly(["0742", "5411"], ["42"])), TheirField({"values": {"742": "0742"}}, st.just("742"))],
    "latitude": [TheirField({}, mostly(st.floats(-90, 90) | st.integers(-90, 90) | _GONE, [91, -90.5]))],
    "attributes.v1": [TheirField({}, st.floats(-5, 5) | st.integers(-5, 5) | _GONE), TheirField({"default": "7"}, st.floats(-5, 5) | _GONE), TheirField({"values": {"hi": "1", "lo": "0.5"}}, st.sampled_from(["hi", "lo"]) | _GONE)],
    "attributes.t": [TheirField({}, st.sampled_from(["a", "2018-04-01", "12:30:00", "2018-04-01T10:00:00Z", "true", "NO"]) | _GONE), TheirField({"values": {"x": "first", "y": "2"}, "default": "none"}, st.sampled_from(["x", "y"]) | _GONE)],
}  # fmt: skip
CONSTANTS = {
    "currency": ["EUR", "JPY"], "terminal_id": ["T1", "0742"], "mcc": ["0742"], "country": ["NO"], "approved": ["false", "TRUE"], "amount": ["5", "1.5"],
    "latitude": ["-12.5"], "type": ["refund"], "attributes.c": ["fixed", "NO"], "attributes.n": ["7", "0.25"], "attributes.v1": ["0742"],
}  # fmt: skip
PATHS = [lambda n: (f"f{n}",), lambda n: ("p", f"f{n}"), lambda n: ("p", "q.r", f"f{n}"), lambda n: (f"f.{n}",)]


@st.composite
def mapped_sources(draw: st.DrawFn) -> tuple[str, list[dict[str, Any]]]:
    """A mapping in YAML, and rows that are as it says, or nearly."""
    named = {
        "transaction_id": IDS,
        "event_time": TIMES,
        "card_id": IDS[:3],
        "terminal_id": IDS,
        "amount": AMOUNTS,
        "currency": OPTIONAL["currency"],
    }
    optional = draw(st.lists(st.sampled_from(sorted(set(OPTIONAL) - {"currency"})), unique=True))
    constants = {n: draw(st.sampled_from(CONSTANTS[n])) for n in draw(st.lists(st.sampled_from(sorted(CONSTANTS)), unique=True))}
    sources = {n: draw(st.sampled_from(of)) for n, of in (named | {n: OPTIONAL[n] for n in optional}).items() if n not in constants}
    paths: dict[str, list[tuple[str, ...]]] = {
        n: [(n,)] if s.said is None else _places(draw(st.sampled_from(PATHS))(number), s.parts)
        for number, (n, s) in enumerate(sources.items())
    }
    said: dict[str, Any] = {"columns": {n: _where(paths[n]) | s.said for n, s in sources.items() if s.said is not None}, "decimal": ","}
    said |= {"constants": constants} if constants else {}
    said |= {"zone": draw(st.sampled_from(["Europe/Berlin", "UTC"]))} if draw(st.integers(0, 9)) else {}
    said |= {"tokens": ["card_id"]} if "card_id" in said["columns"] and draw(st.booleans()) else {}
    said |= {"time_unit": "s"} if draw(st.integers(0, 29)) == 0 else {}
    beside: dict[str, Any] = draw(
        st.sampled_from([{}, {}, {"currency": "USD"}, {"attributes": {"own": 1.5}}, {"country": "FR", "mcc": "5411"}])
    )
    kept = {n: v for n, v in beside.items() if n not in sources}
    rows = []
    for _ in range(draw(st.integers(1, 3))):
        drawn = {n: draw(s.values) for n, s in sources.items()}
        given_values = {n: value if sources[n].parts > 1 else (value,) for n, value in drawn.items()}
        rows.append(kept | nested_row({path: value for n in sources for path, value in zip(paths[n], given_values[n], strict=True)}))
    everywhere = [path for of in paths.values() for path in of]
    assume(all(any(at(row, path) is not ... for row in rows) for path in everywhere))  # one that no row has is told of a file
    return json.dumps(said, ensure_ascii=False), rows  # which is YAML too


def _places(path: tuple[str, ...], parts: int) -> list[tuple[str, ...]]:
    return [(*path[:-1], f"{path[-1]}{part or ''}") for part in range(parts)]


def _where(paths: list[tuple[str, ...]]) -> dict[str, Any]:
    return {"path": list(paths[0])} if len(paths) == 1 else {"paths": [list(path) for path in paths]}


def at(row: Any, path: tuple[str, ...]) -> Any:
    """What stands at a path; `...`: nothing."""
    for name in path:
        row = row.get(name, ...) if isinstance(row, dict) else ...
    return row


def nested_row(values: dict[tuple[str, ...], Any]) -> dict[str, Any]:
    """An object with each value at its path; `...` leaves it out."""
    row: dict[str, Any] = {}
    for path, value in values.items():
        if value is not ...:
            node = row
            for name in path[:-1]:
                node = node.setdefault(name, {})
            node[path[-1]] = value
    return row


def by_records(mapping: str, rows: list[dict[str, Any]]) -> list[Transaction]:
    """What a worker reads."""
    said = mapping_of(mapping)
    decoder = WireDecoder(Transaction, IntakeRules(), None, MappedReader(said))
    return [decoder.decode_record(Sent(json.dumps(row).encode(), key_of(said, row), timestamp=MAX_EVENT_TIME_MS), None) for row in rows]


def key_of(said: SourceMapping, row: Any) -> bytes:
    """The card, as the producer has it."""
    for name in said.path_of("card_id"):
        row = row[name]
    return str(row).encode()


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_whatever_a_mapping_says_a_file_and_records_give_the_same_payments(tmp_path: Path, suffix: str) -> None:
    """Paths, units, tables, defaults, constants, tokens, zones and signs in any company: the same values, or both refuse."""
    path, taken = tmp_path / f"t{suffix}", 0

    @settings(examples(100), suppress_health_check=list(HealthCheck))
    @given(mapped_sources())
    def alike(source: tuple[str, list[dict[str, Any]]]) -> None:
        nonlocal taken
        mapping, rows = source
        try:
            expected: Any = by_records(mapping, rows)
        except RecordError as error:
            expected = error
        try:
            found: Any = by_file(path, mapping, rows)
        except DataError as error:
            found = error
        if isinstance(expected, RecordError) or isinstance(found, DataError):
            assert (type(expected), isinstance(found, DataError)) == (RecordError, True), (mapping, rows, expected, found)
        else:
            assert found == expected, (mapping, rows)
            taken += 1

    alike()
    assert taken > 20
