"""Generated messages: valid ones, and ones with faults at and just over every bound of the schemas."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from stream_app.messages.event_time import EARLIEST_EVENT_TIME_MS, MAX_EVENT_TIME_MS
from stream_app.messages.transaction import Transaction
from tests.contract.schemas import SCHEMAS
from tests.examples import examples

MANY = settings(examples(1000), suppress_health_check=list(HealthCheck))
SOME = settings(examples(250), suppress_health_check=list(HealthCheck))

_text = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=64)
ID = _text.filter(bool)
_any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=70)
_CLOCK = st.integers(0, MAX_EVENT_TIME_MS)
_time = st.integers(EARLIEST_EVENT_TIME_MS, MAX_EVENT_TIME_MS)
_double = st.floats(allow_nan=False, allow_infinity=False)
COUNT = st.integers(0, 2**63 - 1)


def _of(held: msgspec.inspect.Type) -> st.SearchStrategy[Any]:  # noqa: PLR0911, C901 - one for each type
    """What a field of such a type may hold; of a type that is new, nobody has said it yet."""
    match held:
        case msgspec.inspect.UnionType(types=types):
            return st.one_of(*map(_of, types))
        case msgspec.inspect.NoneType():
            return st.none()
        case msgspec.inspect.Metadata(extra={"codes": codes}):
            return st.sampled_from(sorted(codes))
        case msgspec.inspect.Metadata(type=inner):
            return _of(inner)
        case msgspec.inspect.LiteralType(values=values):
            return st.sampled_from(values)
        case msgspec.inspect.StrType(pattern=str() as pattern):
            return st.from_regex(pattern.replace("^", r"\A").replace("$", r"\Z"))
        case msgspec.inspect.StrType(min_length=least, max_length=64):
            return ID if least else _text
        case msgspec.inspect.FloatType(ge=least, le=most) if least is not None and most is not None:
            return st.floats(least, most) | st.integers(int(least), int(most))
        case msgspec.inspect.IntType(ge=least, le=most):
            return st.integers(least, most)
        case msgspec.inspect.BoolType():
            return st.booleans()
        case msgspec.inspect.DictType(value_type=msgspec.inspect.UnionType()):
            return st.dictionaries(_any_text, _double | _text, max_size=3)
    raise TypeError(f"Say here what a field of {held} may hold.")


_FIELDS = {field.name: (_of(field.type), field.required) for field in msgspec.inspect.type_info(Transaction).fields}  # type: ignore[attr-defined]
_TRANSACTION = {name: drawn for name, (drawn, required) in _FIELDS.items() if required}
_OPTIONAL = {name: drawn for name, (drawn, required) in _FIELDS.items() if not required}
_reason = st.fixed_dictionaries(
    {
        "code": ID,
        "feature": ID,
        "value": _double,
        "usual": st.none() | _double,
        "contribution": _double,
        "text": ID,
        "sampled": st.booleans(),
    },
)
_hit = st.fixed_dictionaries(
    {
        "code": ID,
        "version": st.integers(1, 10**6),
        "mode": st.sampled_from(["shadow", "live"]),
        "effect": st.sampled_from(["alert", "suppress"]),
        "action": st.none() | st.sampled_from(["review", "step_up", "decline"]),
        "values": st.dictionaries(_any_text, _double | _any_text | st.booleans() | st.none(), max_size=3),
        "text": _any_text,
    }
)
_DECIDED = (
    _TRANSACTION
    | _OPTIONAL
    | {
        "score": st.floats(0, 1),
        "raw_score": _double,
        "threshold": st.floats(0, 1),
        "model": st.fixed_dictionaries({"name": ID, "version": ID}),
        "reasons": st.lists(_reason, max_size=2),
        "degraded": st.none() | _text,
        "source": st.fixed_dictionaries({"topic": ID, "partition": st.integers(0, 2**31 - 1), "offset": COUNT}),
        "scored_at": _CLOCK,
        "decided_by": st.sampled_from(["model", "rule", "suppression", "block", "allow", "final_block"]),
        "rules": st.lists(_hit, max_size=2),
        "lists": st.lists(ID, max_size=2),
    }
)
_action = st.sampled_from(["review", "step_up", "decline"])
_beside = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["champion", "challenger"]),
        "model": st.fixed_dictionaries({"name": ID, "version": ID}),
        "score": st.floats(0, 1),
        "threshold": st.floats(0, 1),
        "action": st.none() | _action,
    }
)
_LABEL = {k: _TRANSACTION[k] for k in ("transaction_id", "card_id", "terminal_id", "event_time", "amount")}
VALID: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "transaction": st.fixed_dictionaries(_TRANSACTION, optional=_OPTIONAL),
    "label": st.fixed_dictionaries(_LABEL | {"is_fraud": st.booleans(), "labelled_at": _time}, optional={"source": st.none() | _text}),
    "alert": st.fixed_dictionaries({"alert_id": ID} | _DECIDED | {"case_id": ID, "action": _action}),
    "answer": st.fixed_dictionaries(
        {name: drawn for name, drawn in _DECIDED.items() if name != "source"}
        | {"case_id": st.none() | ID, "action": st.none() | _action, "features": st.dictionaries(_any_text, _double, max_size=3)}
    ),
    "score": st.fixed_dictionaries(
        _DECIDED
        | {
            "case_id": st.none() | ID,
            "action": st.none() | _action,
            "features": st.dictionaries(_any_text, _double, max_size=3),
            "sequence": COUNT,
            "beside": st.none() | _beside,
        }
    ),
}

# Values at and just over every bound of the schemas, and of every wrong type. No whole floats: they would be integers to JSON Schema.
AWKWARD_VALUES: list[Any] = [
    *(
        None,
        True,
        False,
        [],
        {},
        [1],
        {"a": 1},
        {"a": None},
        {"a": "1"},
        {"a": ""},
        {"a": "x" * 64},
        {"a": "x" * 65},
        {"a": "x\n"},
        {"a": True},
        {"a": 10**300},
        {"a": 10**400},
        {"a": [0.5]},
    ),
    *(0, 1, -1, 90, 91, -90, -91, 180, 181, -181, 10**9, 10**9 + 1, 2**31 - 1, 2**31, 2**63 - 1, 2**63, 2**64, 10**30, -(10**30)),
    *(EARLIEST_EVENT_TIME_MS - 1, EARLIEST_EVENT_TIME_MS, MAX_EVENT_TIME_MS, MAX_EVENT_TIME_MS + 1, 10**400, -(10**400)),
    *(0.5, -0.5, 1e-320, -1e-320, 90.00000000000001, -180.00000000000003, 1.0000000000000002, 1_000_000_000.0000001),
    *("", " ", "x" * 63, "x" * 64, "x" * 65, "x" * 249, "x" * 250, "é" * 64, "😀" * 64, "😀" * 65, "e\u0301" * 32, "e\u0301" * 33),
    *("\x00", "a\x1fb", "a\x7f", "\x80", "a\x9f", "a\n", "\xa0", "\u2028", "\u200b", "\ufeff", "\ufffe"),
    *("1", "1.5", "true", "null", "1234", "12345", "123", "1234\n", "١٢٣٤", "eur", "EUR", "EUR\n", "EUX", "FR", "fr", "XX", "FRA"),
    *("purchase", "Purchase", "atm", "decline", "block", "4111111111111111"),
]
_AWKWARD = st.sampled_from(AWKWARD_VALUES)


@st.composite
def messages(draw: st.DrawFn, name: str) -> bytes:
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
