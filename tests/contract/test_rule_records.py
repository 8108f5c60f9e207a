"""The records of the topics of rules and lists: their JSON Schemas and the Python types say the same."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from stream_app.rules.checkpoint import Checkpoint
from stream_app.rules.lists import CardList, ListedValue, ListEntries, ListRemoval
from stream_app.rules.lists_log import ListsLog
from stream_app.rules.rule import Approval, Release, ReleasePolicy, Rule, RuleReference, checked_rule
from stream_app.rules.rules_log import RulesLog
from tests.contract.messages import AWKWARD_VALUES
from tests.contract.schemas import SCHEMAS, VALIDATORS

RECORDS: dict[str, Any] = {
    "rule": Rule,
    "rule_approval": Approval,
    "rule_release": Release,
    "list": CardList,
    "list_entries": ListEntries,
    "list_removal": ListRemoval,
    "checkpoint": Checkpoint,
}
DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Rule | Approval | Release | CardList | ListEntries | ListRemoval | Checkpoint)
NESTED: dict[tuple[str, str], Any] = {("rule_release", "reference"): RuleReference, ("list_entries", "entry"): ListedValue}
MORE: list[Any] = [
    "a\n",
    "ann\n",
    "watched\n",
    "A",
    "é",
    "a" * 49,
    "a" * 200,
    "a" * 201,
    "0" * 64 + "\n",
    1_000_000,
    1_000_001,
    9_999,
    10_000,
]
EMPTY_OR_MANY: list[Any] = [[], [{"value": "a"}] * 1_001, ["a"] * 1_000, ["a"] * 1_001]


def can_read(message: Any) -> bool:
    """Whether a topic's decoder takes it."""
    try:
        DECODER.decode(json.dumps(message).encode())
    except msgspec.ValidationError:
        return False
    return True


@pytest.mark.parametrize("name", RECORDS)
def test_schema_and_struct_have_the_same_fields(name: str) -> None:
    """Required is what has no default, and the kind; closed."""
    schema, fields = SCHEMAS[name], msgspec.structs.fields(RECORDS[name])
    assert set(schema["properties"]) == {"kind", *(f.encode_name for f in fields)}
    assert set(schema["required"]) == {"kind", *(f.encode_name for f in fields if f.required)}
    assert schema["additionalProperties"] is False
    assert schema["properties"]["kind"]["enum"] == [RECORDS[name].__struct_config__.tag]


def test_nested_parts_are_those_of_the_structs() -> None:
    """References, entries, bands."""
    parts = {key: SCHEMAS[key[0]]["$defs"][key[1]] for key in NESTED}
    for key, schema in parts.items():
        assert set(schema["properties"]) == {f.encode_name for f in msgspec.structs.fields(NESTED[key])}
        assert schema["additionalProperties"] is False
    assert set(SCHEMAS["rule_release"]["properties"]["policy"]["properties"]) == set(ReleasePolicy.__struct_fields__)


@pytest.mark.parametrize("name", RECORDS)
def test_every_example_is_taken(name: str) -> None:
    """And written as it was read, defaults aside."""
    for example in SCHEMAS[name]["examples"]:
        record = DECODER.decode(json.dumps(example).encode())
        assert type(record) is RECORDS[name]
        written = json.loads(msgspec.json.encode(record))
        assert VALIDATORS[name].is_valid(written)
        assert written.items() <= example.items()


def test_the_example_of_a_rule_can_be_run() -> None:
    """And the topics take what the examples show."""
    for example in SCHEMAS["rule"]["examples"]:
        checked_rule(msgspec.convert(example, Rule))
    rules, lists = RulesLog(), ListsLog()
    assert rules.apply(0, json.dumps(SCHEMAS["rule"]["examples"][0]).encode(), 0) is None
    for offset, name in enumerate(["list", "list_entries", "list_removal"]):
        assert lists.apply(offset, json.dumps(SCHEMAS[name]["examples"][0]).encode(), 0) is None


def places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a message: what holds it, and its key."""
    for key in list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
        yield node, key
        yield from places(node[key])


@pytest.mark.parametrize("name", RECORDS)
def test_schema_and_decoder_agree_on_every_awkward_value_in_every_place(name: str) -> None:
    """One oddity at a time: a value of another type or beyond a bound, a field that is missing, one too many."""
    seen = set()
    for example in SCHEMAS[name]["examples"]:
        count = len(list(places(example)))
        for number in range(count):
            for value in [*AWKWARD_VALUES, *MORE, *EMPTY_OR_MANY, "missing", "added"]:
                message = copy.deepcopy(example)
                holder, key = list(places(message))[number]
                if name == "checkpoint" and (holder is not message or key == "records"):
                    continue  # its records are other messages
                if value == "missing":
                    del holder[key]
                elif value == "added" and isinstance(holder, dict):
                    holder["added"] = 1
                else:
                    holder[key] = value
                errors = [e.message for e in VALIDATORS[name].iter_errors(message)]
                assert can_read(message) == (not errors), (message, errors)
                seen.add(not errors)
    assert seen == {True, False}
