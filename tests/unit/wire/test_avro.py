"""Avro: what a schema may be, and what is read by it. A schema is written by whoever may write to the registry."""

from __future__ import annotations

import json
import tracemalloc
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.errors import RecordError
from stream_app.messages.refusals import DeadLetterCode
from stream_app.wire.avro import MOST_DEPTH, MOST_SCHEMA_BYTES, AvroReader
from tests.unit.wire.records import PAYMENT, schema, written


def record(*types: Any, name: str = "R") -> dict[str, Any]:
    """A record with a field of each type."""
    return {"type": "record", "name": name, "fields": [{"name": f"f{i}", "type": of} for i, of in enumerate(types)]}


def nested(depth: int) -> Any:
    """Arrays of arrays."""
    return "int" if not depth else {"type": "array", "items": nested(depth - 1)}


def laughs(doublings: int) -> Any:
    """A record of two, of two each …: written out 2**doublings of them."""
    return record("int", name="R0") if not doublings else record(laughs(doublings - 1), f"R{doublings - 1}", name=f"R{doublings}")


def refusal(of: Any) -> RecordError:
    """Of a schema."""
    with pytest.raises(RecordError) as refused:
        AvroReader(of if isinstance(of, str) else json.dumps(of))
    return refused.value


LINKED = record(["null", "R"])
REFUSED: list[tuple[str, Any, str]] = [
    ("holds itself", LINKED, "'R' holds itself"),
    ("holds itself in a namespace", LINKED | {"namespace": "a.b"}, "'R' holds itself"),
    ("holds itself by another", record(record({"type": "map", "values": "R"}, name="S")), "'R' holds itself"),
    ("nested too deep", record(nested(MOST_DEPTH)), f"nested more than {MOST_DEPTH} deep"),
    ("nested 5,000 deep", '{"type":"array","items":' * 5_000 + '"int"' + "}" * 5_000, "deep"),
    ("written out too large", laughs(16), "more than 10000 types"),
    ("5 MB", json.dumps(record("int") | {"doc": "x" * 5_000_000}), f"{MOST_SCHEMA_BYTES} are allowed"),
    ("nulls without a byte", record({"type": "array", "items": "null"}), "takes no byte"),
    ("records without a byte", record({"type": "array", "items": record(name="S")}), "takes no byte"),
    ("null without a byte", record("null"), "takes no byte"),
    ("fixed without a byte", record({"type": "fixed", "name": "F", "size": 0}), "takes no byte"),
    ("another subject's type", record("other.Type"), "'other.Type', which is defined neither in it nor in the schemas that it refers to"),
    ("a name twice", record({"type": "fixed", "name": "R", "size": 2}), "'R' is defined twice"),
    ("a field twice", {"type": "record", "name": "R", "fields": [{"name": "x", "type": "int"}] * 2}, "no name of its own"),
    ("no type", record({"type": 7}), "is no type of Avro"),
    ("no schema", "[]", "has no types"),
    ("no JSON", "syntax = 'proto3';", "is not JSON"),
    ("a name that is none", record("int", name="1 R"), "'1 R' is no name of Avro"),
    ("an enum of nothing", record({"type": "enum", "name": "E", "symbols": []}), "no symbols"),
]


@pytest.mark.parametrize(("of", "says"), [(of, says) for _, of, says in REFUSED], ids=[name for name, *_ in REFUSED])
def test_a_schema_that_could_harm_or_is_none_is_refused(of: Any, says: str) -> None:
    """Without fastavro having seen it: by the first of these it reads until the process ends, by others until the memory is full."""
    found = refusal(of)
    assert (found.code, says in found.message) == (DeadLetterCode.SCHEMA_REFUSED, True), found


MONEY: dict[str, Any] = {
    "type": "record",
    "name": "Money",
    "namespace": "shared",
    "fields": [{"name": "sum", "type": "double"}, {"name": "of", "type": "Code"}],
}
CODE = {"type": "enum", "name": "Code", "namespace": "shared", "symbols": ["EUR", "USD"]}
PLAIN = {"type": "fixed", "name": "Plain", "size": 2}


def test_types_of_other_subjects_are_read_where_they_are_named() -> None:
    """In whatever order they came; one that another names, one that is named twice, one without a namespace named out of two, several of one subject."""
    names = {"f0": "shared.Money", "f1": "Plain", "f2": "shared.Money", "f3": "shared.Code", "f4": record("Plain", name="third.Other")}
    types = {**names, "f0": MONEY | {"fields": [MONEY["fields"][0], {"name": "of", "type": CODE}]}, "f1": PLAIN | {"name": "own.Plain"}}
    types["f4"] = record("own.Plain", name="third.Other")
    whole, alone = ({"type": "record", "name": "own.R", "fields": [{"name": n, "type": t} for n, t in of.items()]} for of in (names, types))
    expected = {"f0": {"sum": 1.5, "of": "USD"}, "f1": b"ab", "f2": {"sum": 2.5, "of": "EUR"}, "f3": "USD", "f4": {"f0": b"cd"}}
    content = written(json.dumps(alone), expected)
    for references in ((MONEY, CODE, PLAIN), (PLAIN, CODE, MONEY), ([PLAIN, CODE], MONEY)):
        reader = AvroReader(json.dumps(whole), tuple(map(json.dumps, references)))
        assert reader.read(content) == expected
        assert reader.type.fields["f0"].fields["of"].name == "enum"


@pytest.mark.parametrize(
    ("references", "says"),
    [
        ([MONEY], "'Code', which is defined neither"),
        ([record("R", name="shared.Money")], "'R' holds itself"),
        ([record(["null", "Money"], name="Money") | {"namespace": "shared"}], "'Money' holds itself"),
        (["no schema"], "'shared.Money', which is defined neither"),
        ([record(nested(MOST_DEPTH - 1), name="shared.Money")], f"nested more than {MOST_DEPTH} deep"),
        ([record(laughs(16), name="shared.Money")], "more than 10000 types"),
        ([MONEY | {"doc": "x" * MOST_SCHEMA_BYTES}, CODE], "characters with those it refers to; 1048576 are allowed"),
        ([record(record(name="S"), name="shared.Money")], "takes no byte"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_what_is_referred_to_is_bounded_as_if_it_stood_there(references: list[Any], says: str) -> None:
    """Also what refers back: no type holds itself by way of another subject."""
    with pytest.raises(RecordError) as refused:
        AvroReader(json.dumps(record("shared.Money")), [json.dumps(one) for one in references])
    assert (refused.value.code, says in refused.value.message) == (DeadLetterCode.SCHEMA_REFUSED, True), refused.value


def test_what_is_large_and_harmless_is_read() -> None:
    """Some hundred fields, a dozen levels, named types that are used twice, defaults, remarks and namespaces."""
    place = {"type": "record", "name": "Place", "namespace": "a", "fields": [{"name": "city", "type": "string", "default": "x"}]}
    of = record(place, ["null", "a.Place"], nested(12), *["string"] * 300)
    values = {"f0": {"city": "A"}, "f1": {"city": "B"}, "f2": [], **{f"f{i}": "x" for i in range(3, 303)}}
    assert AvroReader(json.dumps(of)).read(written(json.dumps(of), values)) == values


@pytest.mark.parametrize("cut", [1, 5, -1])
def test_content_that_is_cut_or_goes_on_is_no_avro(cut: int) -> None:
    """By another schema than the one that wrote it, bytes are left or missing as a rule: that is seen."""
    content = written(schema(), PAYMENT)
    for wrong in (content[:cut], content + b"\0"):
        with pytest.raises(RecordError) as refused:
            AvroReader(schema()).read(wrong)
        assert refused.value.code == DeadLetterCode.NOT_AVRO


ANY = AvroReader(
    json.dumps(
        record(
            ["null", "string"],
            {"type": "array", "items": {"type": "map", "values": ["null", "bytes", "double"]}},
            {"type": "enum", "name": "E", "symbols": ["A", "B"]},
            {"type": "fixed", "name": "F", "size": 3},
            "boolean",
            "long",
        )
    )
)


@given(st.binary(max_size=200))
def test_whatever_the_bytes_are_they_are_a_record_or_refused(content: bytes) -> None:
    """No other error leaves the reader."""
    with suppress(RecordError):
        assert set(ANY.read(content)) == {f"f{i}" for i in range(6)}


def test_what_is_read_is_bounded_by_the_bytes() -> None:
    """64 kB that say they hold 2**40 of something take no more than some megabytes."""
    content = b"\x02a" + b"\x80" * 5 + b"\x01" + b"\x00" * 65_000
    tracemalloc.start()
    with pytest.raises(RecordError):
        ANY.read(content)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 30 * 2**20
