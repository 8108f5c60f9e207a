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
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.messages.alert import Reason
from stream_app.messages.refusals import DeadLetterCode
from tests.contract.messages import AWKWARD_VALUES, COUNT, ID, MANY, SOME, VALID, messages
from tests.contract.schemas import PUBLISHED, READ, SCHEMAS, VALIDATORS, refusal_of_intake

if TYPE_CHECKING:
    from collections.abc import Callable

    from jsonschema.exceptions import ValidationError


def _can_read(decode: Callable[[bytes], object], value: bytes) -> bool:
    try:
        decode(value)
    except msgspec.ValidationError:
        return False
    return True


def _is_optional(name: str, error: ValidationError) -> bool:
    """Whether earlier versions did not write what is missing, in the message itself or in one of its reasons."""
    of, field = (Reason if "reasons" in error.absolute_path else PUBLISHED[name]), error.message.split("'")[1]
    return any(f.name == field and not f.required for f in msgspec.structs.fields(of))


_TOLERATED: dict[str, Callable[[str, ValidationError], bool]] = {
    "additionalProperties": lambda _name, _error: True,
    "required": _is_optional,
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

    @MANY
    @given(messages(name))
    def agree(value: bytes) -> None:
        refusal = refusal_of_intake(name, value)
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

    @MANY
    @given(messages(name))
    def agree(value: bytes) -> None:
        errors = list(VALIDATORS[name].iter_errors(json.loads(value)))
        serious = [e.message for e in errors if not _is_tolerated(name, e)]
        assert _can_read(decode, value) == (not serious), serious
        seen["refused" if serious else "tolerated" if errors else "valid"] += 1

    agree()
    assert min(seen["refused"], seen["tolerated"], seen["valid"]) > seen.total() / 100, seen


def _with_one_oddity(name: str) -> list[bytes]:
    """Every awkward value in every field of the fullest example, in every field inside it, and where no other optional field is given."""
    example = SCHEMAS[name]["examples"][0 if name in PUBLISHED else -1]
    bare = {field: example[field] for field in SCHEMAS[name]["required"]}
    odd = [given | {field: value} for given in (example, bare) for field in SCHEMAS[name]["properties"] for value in AWKWARD_VALUES]
    inside = [(field, inner) for field, inner in example.items() if isinstance(inner, dict)]
    odd += [example | {field: inner | {key: value}} for field, inner in inside for key in inner for value in AWKWARD_VALUES]
    for many in ("reasons", "rules"):
        for one in example.get(many, []):
            odd += [example | {many: [one | {key: value}]} for key in one for value in AWKWARD_VALUES]
    return [json.dumps(message).encode() for message in odd]


@pytest.mark.parametrize("name", sorted(READ | PUBLISHED))
def test_schema_and_decoder_agree_on_every_awkward_value_in_every_field(name: str) -> None:
    """One oddity at a time, so that no other fault hides it: every bound and type of every field, all combinations."""
    for value in _with_one_oddity(name):
        errors = list(VALIDATORS[name].iter_errors(json.loads(value)))
        if name in READ:
            assert (refusal_of_intake(name, value) is None) == (not errors), value
        else:
            serious = [e for e in errors if not _is_tolerated(name, e)]
            assert _can_read(msgspec.json.Decoder(PUBLISHED[name]).decode, value) == (not serious), value


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_what_is_published_is_valid(name: str) -> None:
    """Any `Alert` or `Score`, encoded, is valid to its schema and reads back as itself."""
    kind = PUBLISHED[name]
    encode, decode = msgspec.json.Encoder().encode, msgspec.json.Decoder(kind).decode

    @SOME
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


@pytest.mark.parametrize("text", ["1795471200000.0", "1e12", "946684800000.0", "1795471200.000e3", "17954712E5"])
def test_an_integer_is_written_as_one(text: str) -> None:
    """The decoder refuses a time with fraction or exponent, which JSON Schema would take; the schema's description says so."""
    value = json.dumps(SCHEMAS["transaction"]["examples"][0]).replace("1795471200000", text).encode()
    assert VALIDATORS["transaction"].is_valid(json.loads(value))
    assert refusal_of_intake("transaction", value) is DeadLetterCode.WRONG_TYPE
    for name, field in (("transaction", "event_time"), ("label", "event_time"), ("label", "labelled_at")):
        assert "1.0 is an integer to JSON Schema, but is refused" in SCHEMAS[name]["properties"][field]["description"]


@pytest.mark.parametrize("number", ["1e309", "-1e309", "1.7976931348623159e308"])
def test_a_number_beyond_a_double_is_out_of_range_to_both(number: str) -> None:
    """An attribute that no double can hold is refused by schema and decoder; the largest double is taken."""
    example = json.dumps(SCHEMAS["transaction"]["examples"][1])
    value = example.replace("-1.36", number).encode()
    assert not VALIDATORS["transaction"].is_valid(json.loads(value))
    assert refusal_of_intake("transaction", value) is DeadLetterCode.OUT_OF_RANGE
    largest = example.replace("-1.36", "1.7976931348623157e308").encode()
    assert VALIDATORS["transaction"].is_valid(json.loads(largest))
    assert refusal_of_intake("transaction", largest) is None


@pytest.mark.parametrize("escape", [r"\ud800", r"\udc00", r"\ud800\ud800", r"\udc00\ud800"])
@pytest.mark.parametrize("field", ["tx-7f3a91", "dev-9b"])
def test_a_lone_surrogate_is_refused(escape: str, field: str) -> None:
    """Half a character has no UTF-8: it could neither be a key nor be published again."""
    value = json.dumps(SCHEMAS["transaction"]["examples"][1]).replace(field, f"{escape}-and-more-text").encode()
    assert refusal_of_intake("transaction", value) is DeadLetterCode.NOT_JSON


@SOME
@given(st.sampled_from(list(DeadLetterCode)), ID, st.integers(0, 2**31 - 1), COUNT)
def test_headers_of_a_dead_letter_are_valid(code: DeadLetterCode, message: str, partition: int, offset: int) -> None:
    """Any code, message and place in Kafka makes headers that the schema takes; a number in place of a string is refused."""
    headers: dict[str, Any] = {"error.code": code, "error.message": message, "source.topic": "transactions"}
    headers |= {"source.partition": str(partition), "source.offset": str(offset)}
    assert VALIDATORS["dead_letter"].is_valid(headers)
    assert not VALIDATORS["dead_letter"].is_valid(headers | {"source.offset": offset})
    assert not VALIDATORS["dead_letter"].is_valid(headers | {"error.code": "unknown"})
