"""The schema files themselves: valid, complete, and of the same fields and codes as the Python types."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pycountry
import pytest
from jsonschema import Draft202012Validator

from stream_app.messages.event_time import MAX_EVENT_TIME_MS
from stream_app.messages.iso import COUNTRIES, CURRENCIES
from stream_app.messages.refusals import DeadLetterCode
from tests.contract.schemas import DECODERS, NESTED, NOT_IN, PUBLISHED, READ, SCHEMAS

OF_RULES = ("rule", "rule_approval", "rule_release", "list", "list_entries", "list_removal", "checkpoint")


@pytest.mark.parametrize("name", ["transaction", "label", "alert", "answer", "score", "dead_letter", *OF_RULES])
def test_schema_is_itself_valid(name: str) -> None:
    """Each file is a JSON Schema 2020-12 with a relative name, a title and a description; the folder holds no others."""
    schema = SCHEMAS[name]
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    assert schema["$id"] == f"urn:fraudstream:{name}.v1"
    assert schema["title"]
    assert schema["description"]
    assert len(SCHEMAS) == 6 + len(OF_RULES)


def _nodes(node: Any) -> list[dict[str, Any]]:
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return ([node] if isinstance(node, dict) else []) + [n for child in children for n in _nodes(child)]


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_every_example_is_valid_and_every_field_is_described(name: str) -> None:
    """Examples of messages and of single fields keep their own schema; no field stands without description."""
    schema = SCHEMAS[name]
    assert schema["examples"]
    for node in [schema, *_nodes(schema["properties"]), *_nodes(schema.get("$defs", {}))]:
        validator = Draft202012Validator({"$defs": schema.get("$defs", {}), **{k: v for k, v in node.items() if k != "$id"}})
        if isinstance(node.get("examples"), list):
            assert all(validator.is_valid(e) for e in node["examples"]), node
    for field, node in [*schema["properties"].items(), *schema.get("$defs", {}).items()]:
        assert node.get("description") or node.get("$ref"), field


@pytest.mark.parametrize("name", sorted(READ | PUBLISHED))
def test_every_example_decodes(name: str) -> None:
    """What the schema shows as an example is what the program reads."""
    for example in SCHEMAS[name]["examples"]:
        value = json.dumps(example).encode()
        if name in READ:
            assert DECODERS[name].decode(value, b"card-58c1", 2 * MAX_EVENT_TIME_MS, None).transaction_id == "tx-7f3a91"
        else:
            assert msgspec.json.decode(value, type=PUBLISHED[name]).transaction_id == "tx-7f3a91"


@pytest.mark.parametrize("name", sorted(READ | PUBLISHED))
def test_schema_and_struct_have_the_same_fields(name: str) -> None:
    """No field is in one only. Input requires what has no default and is open; output requires all and is closed."""
    schema = SCHEMAS[name]
    fields = msgspec.structs.fields((READ | PUBLISHED)[name])
    assert set(schema["properties"]) == {f.encode_name for f in fields}
    required = {f.encode_name for f in fields if f.required or name in PUBLISHED}
    assert set(schema["required"]) == required
    assert schema["additionalProperties"] is (name in READ)


@pytest.mark.parametrize(("name", "part"), sorted((n, p) for n in PUBLISHED for p in NESTED if p not in NOT_IN[n]))
def test_schema_and_nested_structs_have_the_same_fields(name: str, part: str) -> None:
    """Model, reason, source and the other model's say are closed, complete, and the Python types'."""
    schema = SCHEMAS[name]["$defs"][part]
    fields = {f.encode_name for f in msgspec.structs.fields(NESTED[part])}
    assert set(schema["properties"]) == set(schema["required"]) == fields
    assert schema["additionalProperties"] is False


def test_score_is_an_alert_with_features_and_sequence() -> None:
    """`score.v1` is `alert.v1` for every decision: without `alert_id` (it follows from card and transaction), with what only a score holds."""
    alert, score = (SCHEMAS[n]["properties"] for n in ("alert", "score"))
    assert set(score) == set(alert) - {"alert_id"} | {"features", "sequence", "beside"}
    nullable = {"case_id", "action"}
    assert all(score[f] == alert[f] for f in set(score) & set(alert) - nullable)


def test_answer_is_a_score_that_no_worker_gave() -> None:
    """`answer.v1` is `score.v1` without what the stream alone knows: where the payment stands, in which order, what the other model says."""
    score, answer = (SCHEMAS[n]["properties"] for n in ("score", "answer"))
    assert set(answer) == set(score) - {"source", "sequence", "beside"}
    in_other_words = {"scored_at", "case_id", "action"}
    assert all(score[f] == answer[f] for f in set(answer) - in_other_words)


def test_dead_letter_codes_are_those_of_the_schema() -> None:
    """The header `error.code` has the codes of `DeadLetterCode`, no more and no less."""
    assert SCHEMAS["dead_letter"]["properties"]["error.code"]["enum"] == [c.value for c in DeadLetterCode]
    assert all(header["type"] == "string" for header in SCHEMAS["dead_letter"]["properties"].values())


def test_iso_lists_are_those_of_pycountry() -> None:
    """Currencies and countries are the present ISO 4217 and ISO 3166-1, in the program and in the schemas."""
    assert {c.alpha_3 for c in pycountry.currencies} == CURRENCIES
    assert {c.alpha_2 for c in pycountry.countries} == COUNTRIES
    for name in ("transaction", "alert", "answer", "score"):
        assert set(SCHEMAS[name]["$defs"]["currency"]["enum"]) == CURRENCIES
        assert set(SCHEMAS[name]["$defs"]["country"]["enum"]) == COUNTRIES
