"""The JSON Schemas and the Python types say the same: on every field, every example and thousands of generated messages.

Where they differ, they differ on purpose, and the difference is a test of its own here:

- *integers*: 1.0 is an integer to JSON Schema; the decoders refuse it. The schemas' descriptions say so.
- *surrogates*: a lone surrogate is a string to JSON Schema; the decoders refuse it.
- *what we publish* is described strictly (closed, every field there) and read tolerantly (see `_TOLERATED`).
- *beyond a schema*: a record's key, the clock, Luhn, the order of two times.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pycountry
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from stream_app.alert import Alert, ModelReference, Reason, Score, Source
from stream_app.errors import RecordError
from stream_app.iso import COUNTRIES, CURRENCIES
from stream_app.transaction import MAX_EVENT_TIME_MS, DeadLetterCode, Decoder, IntakeRules, Label, Transaction

if TYPE_CHECKING:
    from collections.abc import Callable

    from jsonschema.exceptions import ValidationError

SCHEMAS = {
    p.name.removesuffix(".v1.json"): json.loads(p.read_text()) for p in Path(__file__).parents[2].joinpath("schemas").glob("*.v1.json")
}
VALIDATORS = {name: Draft202012Validator(schema) for name, schema in SCHEMAS.items()}
READ: dict[str, type[Transaction | Label]] = {"transaction": Transaction, "label": Label}
PUBLISHED: dict[str, type[Alert | Score]] = {"alert": Alert, "score": Score}
NESTED: dict[str, type[ModelReference | Reason | Source]] = {"model": ModelReference, "reason": Reason, "source": Source}

_EXHAUSTIVE = settings(max_examples=2000, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
_THOROUGH = settings(_EXHAUSTIVE, max_examples=500)
_RULES = IntakeRules(refuse_card_numbers=False)
_DECODERS: dict[str, Decoder[Any]] = {"transaction": Decoder(Transaction, _RULES), "label": Decoder(Label, _RULES)}

_text = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=64)
_id = _text.filter(bool)
_any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=70)
_amount = st.floats(0, 1e9) | st.integers(0, 10**9)
_time = st.integers(0, MAX_EVENT_TIME_MS)
_double = st.floats(allow_nan=False, allow_infinity=False)
_currency = st.sampled_from(sorted(CURRENCIES))
_count = st.integers(0, 2**63 - 1)
_TRANSACTION = {"transaction_id": _id, "event_time": _time, "card_id": _id, "terminal_id": _id, "amount": _amount, "currency": _currency}
_OPTIONAL = {
    "billing_amount": st.none() | _amount,
    "billing_currency": st.none() | _currency,
    "type": st.sampled_from(["purchase", "withdrawal", "refund", "reversal", "verification"]),
    "approved": st.none() | st.booleans(),
    "merchant_id": st.none() | _text,
    "mcc": st.none() | st.from_regex(r"\A[0-9]{4}\Z"),
    "country": st.none() | st.sampled_from(sorted(COUNTRIES)),
    "channel": st.sampled_from([None, "chip", "contactless", "magstripe", "online", "moto", "atm"]),
    "latitude": st.none() | st.floats(-90, 90),
    "longitude": st.none() | st.floats(-180, 180),
    "device_id": st.none() | _text,
    "ip": st.none() | _text,
    "attributes": st.none() | st.dictionaries(_any_text, _double, max_size=3),
}
_reason = st.fixed_dictionaries(
    {"code": _id, "feature": _id, "value": _double, "usual": st.none() | _double, "contribution": _double, "text": _id},
)
_DECIDED = (
    _TRANSACTION
    | _OPTIONAL
    | {
        "score": st.floats(0, 1),
        "raw_score": _double,
        "threshold": st.floats(0, 1),
        "model": st.fixed_dictionaries({"name": _id, "version": _id}),
        "reasons": st.lists(_reason, max_size=2),
        "degraded": st.none() | _text,
        "source": st.fixed_dictionaries({"topic": _id, "partition": st.integers(0, 2**31 - 1), "offset": _count}),
        "scored_at": _time,
    }
)
_action = st.sampled_from(["review", "step_up", "decline"])
_LABEL = {k: _TRANSACTION[k] for k in ("transaction_id", "card_id", "terminal_id", "event_time", "amount")}
VALID: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "transaction": st.fixed_dictionaries(_TRANSACTION, optional=_OPTIONAL),
    "label": st.fixed_dictionaries(_LABEL | {"is_fraud": st.booleans(), "labelled_at": _time}, optional={"source": st.none() | _text}),
    "alert": st.fixed_dictionaries({"alert_id": _id} | _DECIDED | {"case_id": _id, "action": _action}),
    "score": st.fixed_dictionaries(
        _DECIDED
        | {
            "case_id": st.none() | _id,
            "action": st.none() | _action,
            "features": st.dictionaries(_any_text, _double, max_size=3),
            "sequence": _count,
        }
    ),
}

# Values at and just over every bound of the schemas, and of every wrong type. No whole floats: they would be integers to JSON Schema.
_AWKWARD_VALUES: list[Any] = [
    *(None, True, False, [], {}, [1], {"a": 1}, {"a": None}, {"a": "1"}, {"a": True}, {"a": 10**300}, {"a": 10**400}, {"a": [0.5]}),
    *(0, 1, -1, 90, 91, -90, -91, 180, 181, -181, 10**9, 10**9 + 1, 2**31 - 1, 2**31, 2**63 - 1, 2**63, 2**64, 10**30, -(10**30)),
    *(MAX_EVENT_TIME_MS, MAX_EVENT_TIME_MS + 1, 10**400, -(10**400)),
    *(0.5, -0.5, 1e-320, -1e-320, 90.00000000000001, -180.00000000000003, 1.0000000000000002, 1_000_000_000.0000001),
    *("", " ", "x" * 63, "x" * 64, "x" * 65, "x" * 249, "x" * 250, "é" * 64, "😀" * 64, "😀" * 65, "e\u0301" * 32, "e\u0301" * 33),
    *("\x00", "a\x1fb", "a\x7f", "\x80", "a\x9f", "a\n", "\xa0", "\u2028", "\u200b", "\ufeff", "\ufffe"),
    *("1", "1.5", "true", "null", "1234", "12345", "123", "1234\n", "١٢٣٤", "eur", "EUR", "EUR\n", "EUX", "FR", "fr", "XX", "FRA"),
    *("purchase", "Purchase", "atm", "decline", "block", "4111111111111111"),
]
_AWKWARD = st.sampled_from(_AWKWARD_VALUES)


@st.composite
def _messages(draw: st.DrawFn, name: str) -> bytes:
    """A valid message of `name` with none to three faults or oddities, in JSON."""
    message = draw(VALID[name])
    for _ in range(draw(st.sampled_from([0, 1, 1, 2, 3]))):
        fault = draw(st.sampled_from(["missing", "awkward", "awkward", "awkward", "inside", "extra", "random"]))
        field = draw(st.sampled_from(sorted(SCHEMAS[name]["properties"])))
        if fault == "missing":
            message.pop(field, None)
        elif fault == "extra":
            message[draw(st.sampled_from(["added", "Amount", "card_ID", ""]))] = draw(_AWKWARD)
        elif fault == "inside" and isinstance(message.get(field), dict):
            inner = message[field]
            key = draw(st.sampled_from([*sorted(inner), "added"]))
            message[field] = {k: v for k, v in inner.items() if k != key} | draw(st.just({}) | st.builds(lambda v, k=key: {k: v}, _AWKWARD))
        else:
            message[field] = draw(_AWKWARD if fault == "awkward" else _any_text | st.integers())
    return json.dumps(message, ensure_ascii=draw(st.booleans())).encode()


def _refusal_of_intake(name: str, value: bytes) -> DeadLetterCode | None:
    """The code with which the intake refuses `value`; None where only a rule beyond the schema is broken."""
    message = json.loads(value)
    card_id = message.get("card_id")
    try:
        _DECODERS[name].decode(value, card_id.encode() if isinstance(card_id, str) else b"", 2 * MAX_EVENT_TIME_MS)
    except RecordError as refusal:
        code = DeadLetterCode(refusal.code)
        return None if code is DeadLetterCode.LABEL_BEFORE_EVENT else code
    return None


def _can_read(decode: Callable[[bytes], object], value: bytes) -> bool:
    try:
        decode(value)
    except msgspec.ValidationError:
        return False
    return True


def _is_optional(name: str, field: str) -> bool:
    return any(f.name == field and not f.required for f in msgspec.structs.fields(PUBLISHED[name]))


_TOLERATED: dict[str, Callable[[str, ValidationError], bool]] = {
    "additionalProperties": lambda _name, _error: True,
    "required": lambda name, error: not error.absolute_path and _is_optional(name, error.message.split("'")[1]),
    "not": lambda _name, error: isinstance(error.instance, str),
    "enum": lambda _name, error: _is_code(error),
    "anyOf": lambda _name, error: _is_code(error),
}
"""What the readers of alerts and scores let pass, by the schema's keyword: fields of later versions, fields that earlier versions
did not have, control characters, and codes of countries and currencies that came into the world later."""


def _is_tolerated(name: str, error: ValidationError) -> bool:
    rule = _TOLERATED.get(str(error.validator))
    return rule is not None and rule(name, error)


def _is_code(error: ValidationError) -> bool:
    length = {"currency": 3, "billing_currency": 3, "country": 2}.get(str(error.absolute_path[-1]))
    return isinstance(error.instance, str) and len(error.instance) == length


@pytest.mark.parametrize("name", sorted(READ))
def test_schema_and_intake_agree_on_thousands_of_messages(name: str) -> None:
    """A message is valid to the schema exactly if the decoder takes it: valid ones, and ones with up to three faults."""
    seen: Counter[DeadLetterCode | None] = Counter()

    @_EXHAUSTIVE
    @given(_messages(name))
    def agree(value: bytes) -> None:
        refusal = _refusal_of_intake(name, value)
        errors = [e.message for e in VALIDATORS[name].iter_errors(json.loads(value))]
        assert (refusal is None) == (not errors), (refusal, errors)
        seen[refusal] += 1

    agree()
    assert 0.2 < seen[None] / seen.total() < 0.8, seen
    assert {"missing_field", "wrong_type", "out_of_range", "control_character"} <= seen.keys(), seen


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_schema_and_readers_agree_on_thousands_of_published_messages(name: str) -> None:
    """What the schema allows can be read; what it forbids is refused, the listed tolerances aside."""
    decode: Callable[[bytes], object] = msgspec.json.Decoder(PUBLISHED[name]).decode
    seen: Counter[str] = Counter()

    @_EXHAUSTIVE
    @given(_messages(name))
    def agree(value: bytes) -> None:
        errors = list(VALIDATORS[name].iter_errors(json.loads(value)))
        serious = [e.message for e in errors if not _is_tolerated(name, e)]
        assert _can_read(decode, value) == (not serious), serious
        seen["refused" if serious else "tolerated" if errors else "valid"] += 1

    agree()
    assert min(seen["refused"], seen["tolerated"], seen["valid"]) > seen.total() / 30, seen


def _with_one_oddity(name: str) -> list[bytes]:
    """Every awkward value in every field of the fullest example, and in every field inside it."""
    example = SCHEMAS[name]["examples"][0 if name in PUBLISHED else -1]
    odd = [example | {field: value} for field in SCHEMAS[name]["properties"] for value in _AWKWARD_VALUES]
    inside = [(field, inner) for field, inner in example.items() if isinstance(inner, dict)]
    odd += [example | {field: inner | {key: value}} for field, inner in inside for key in inner for value in _AWKWARD_VALUES]
    for reason in example.get("reasons", []):
        odd += [example | {"reasons": [reason | {key: value}]} for key in reason for value in _AWKWARD_VALUES]
    return [json.dumps(message).encode() for message in odd]


@pytest.mark.parametrize("name", sorted(READ | PUBLISHED))
def test_schema_and_decoder_agree_on_every_awkward_value_in_every_field(name: str) -> None:
    """One oddity at a time, so that no other fault hides it: every bound and type of every field, all combinations."""
    for value in _with_one_oddity(name):
        errors = list(VALIDATORS[name].iter_errors(json.loads(value)))
        if name in READ:
            assert (_refusal_of_intake(name, value) is None) == (not errors), value
        else:
            serious = [e for e in errors if not _is_tolerated(name, e)]
            assert _can_read(msgspec.json.Decoder(PUBLISHED[name]).decode, value) == (not serious), value


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_what_is_published_is_valid(name: str) -> None:
    """Any `Alert` or `Score`, encoded, is valid to its schema and reads back as itself."""
    kind = PUBLISHED[name]
    encode, decode = msgspec.json.Encoder().encode, msgspec.json.Decoder(kind).decode

    @_THOROUGH
    @given(VALID[name])
    def valid(fields: dict[str, Any]) -> None:
        published = msgspec.convert(fields, kind)
        value = encode(published)
        assert VALIDATORS[name].is_valid(json.loads(value))
        assert decode(value) == published

    valid()


@pytest.mark.parametrize(("name", "path"), [("alert", "raw_score"), ("score", "features")])
def test_a_number_that_is_not_finite_is_never_valid(name: str, path: str) -> None:
    """NaN would be written as null: schema and reader both refuse it, so that it cannot pass for a value."""
    example = msgspec.convert(SCHEMAS[name]["examples"][0], PUBLISHED[name])
    broken: Any = math.nan if path == "raw_score" else {"amount": math.nan}
    value = msgspec.json.encode(msgspec.structs.replace(example, **{path: broken}))
    assert not VALIDATORS[name].is_valid(json.loads(value))
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(value, type=PUBLISHED[name])


@pytest.mark.parametrize("text", ["1.0", "1e3", "0.0", "-0.0", "1E0"])
def test_an_integer_is_written_as_one(text: str) -> None:
    """The decoder refuses a time with fraction or exponent, which JSON Schema would take; the schema's description says so."""
    value = json.dumps(SCHEMAS["transaction"]["examples"][0]).replace("1795471200000", text).encode()
    assert VALIDATORS["transaction"].is_valid(json.loads(value))
    assert _refusal_of_intake("transaction", value) is DeadLetterCode.WRONG_TYPE
    for name, field in (("transaction", "event_time"), ("label", "event_time"), ("label", "labelled_at")):
        assert "1.0 is an integer to JSON Schema, but is refused" in SCHEMAS[name]["properties"][field]["description"]


@pytest.mark.parametrize("number", ["1e309", "-1e309", "1.7976931348623159e308"])
def test_a_number_beyond_a_double_is_out_of_range_to_both(number: str) -> None:
    """An attribute that no double can hold is refused by schema and decoder; the largest double is taken."""
    example = json.dumps(SCHEMAS["transaction"]["examples"][1])
    value = example.replace("-1.36", number).encode()
    assert not VALIDATORS["transaction"].is_valid(json.loads(value))
    assert _refusal_of_intake("transaction", value) is DeadLetterCode.OUT_OF_RANGE
    largest = example.replace("-1.36", "1.7976931348623157e308").encode()
    assert VALIDATORS["transaction"].is_valid(json.loads(largest))
    assert _refusal_of_intake("transaction", largest) is None


@pytest.mark.parametrize("escape", [r"\ud800", r"\udc00", r"\ud800\ud800", r"\udc00\ud800"])
@pytest.mark.parametrize("field", ["tx-7f3a91", "dev-9b"])
def test_a_lone_surrogate_is_refused(escape: str, field: str) -> None:
    """Half a character has no UTF-8: it could neither be a key nor be published again."""
    value = json.dumps(SCHEMAS["transaction"]["examples"][1]).replace(field, f"{escape}-and-more-text").encode()
    assert _refusal_of_intake("transaction", value) is DeadLetterCode.NOT_JSON


@pytest.mark.parametrize("name", ["transaction", "label", "alert", "score", "dead_letter"])
def test_schema_is_itself_valid(name: str) -> None:
    """Each file is a JSON Schema 2020-12 with a relative name, a title and a description; the folder holds no others."""
    schema = SCHEMAS[name]
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    assert schema["$id"] == f"urn:fraudstream:{name}.v1"
    assert schema["title"]
    assert schema["description"]
    assert len(SCHEMAS) == 5


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
            assert _DECODERS[name].decode(value, b"card-58c1", 2 * MAX_EVENT_TIME_MS).transaction_id == "tx-7f3a91"
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


@pytest.mark.parametrize("name", sorted(PUBLISHED))
@pytest.mark.parametrize("part", sorted(NESTED))
def test_schema_and_nested_structs_have_the_same_fields(name: str, part: str) -> None:
    """Model, reason and source are closed, complete, and the Python types'."""
    schema = SCHEMAS[name]["$defs"][part]
    fields = {f.encode_name for f in msgspec.structs.fields(NESTED[part])}
    assert set(schema["properties"]) == set(schema["required"]) == fields
    assert schema["additionalProperties"] is False


def test_score_is_an_alert_with_features_and_sequence() -> None:
    """`score.v1` is `alert.v1` for every decision: without `alert_id` (it is the transaction's id), with `features` and `sequence`."""
    alert, score = (SCHEMAS[n]["properties"] for n in ("alert", "score"))
    assert set(score) == set(alert) - {"alert_id"} | {"features", "sequence"}
    nullable = {"case_id", "action"}
    assert all(score[f] == alert[f] for f in set(score) & set(alert) - nullable)


def test_dead_letter_codes_are_those_of_the_schema() -> None:
    """The header `error.code` has the codes of `DeadLetterCode`, no more and no less."""
    assert SCHEMAS["dead_letter"]["properties"]["error.code"]["enum"] == [c.value for c in DeadLetterCode]
    assert all(header["type"] == "string" for header in SCHEMAS["dead_letter"]["properties"].values())


@_THOROUGH
@given(st.sampled_from(list(DeadLetterCode)), _id, st.integers(0, 2**31 - 1), _count)
def test_headers_of_a_dead_letter_are_valid(code: DeadLetterCode, message: str, partition: int, offset: int) -> None:
    """Any code, message and place in Kafka makes headers that the schema takes; a number in place of a string is refused."""
    headers: dict[str, Any] = {"error.code": code, "error.message": message, "source.topic": "transactions"}
    headers |= {"source.partition": str(partition), "source.offset": str(offset)}
    assert VALIDATORS["dead_letter"].is_valid(headers)
    assert not VALIDATORS["dead_letter"].is_valid(headers | {"source.offset": offset})
    assert not VALIDATORS["dead_letter"].is_valid(headers | {"error.code": "unknown"})


def test_iso_lists_are_those_of_pycountry() -> None:
    """Currencies and countries are the present ISO 4217 and ISO 3166-1, in the program and in the schemas."""
    assert {c.alpha_3 for c in pycountry.currencies} == CURRENCIES
    assert {c.alpha_2 for c in pycountry.countries} == COUNTRIES
    for name in ("transaction", "alert", "score"):
        assert set(SCHEMAS[name]["$defs"]["currency"]["enum"]) == CURRENCIES
        assert set(SCHEMAS[name]["$defs"]["country"]["enum"]) == COUNTRIES
