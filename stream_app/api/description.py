"""The OpenAPI document: schemas from the types that check the bodies, examples that are taken as they stand, every problem listed."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from stream_app.api.keys import Scope
from stream_app.api.messages import Batch, Health, LabelRequest, ModelAnswer, OnePrediction, OneVector, TransactionRequest
from stream_app.api.probes import PROBES
from stream_app.api.problems import MEDIA_TYPE, Problem
from stream_app.api.rule_messages import (
    ApprovalRequest,
    DisableRequest,
    EntriesAnswer,
    EntriesRequest,
    ListAnswer,
    ListRequest,
    ListsAnswer,
    PutsAnswer,
    ReleasedAnswer,
    ReleaseRequest,
    RemovalRequest,
    RulesAnswer,
    RulesRequest,
)
from stream_app.messages.iso import CURRENCIES
from stream_app.scoring.online_scoring import Accepted, Decision, EntityState, Prediction

_ABOUT = """Scores card payments with the model and the history that the workers use.

`/predict_*`: the caller gives the features. `/v1/score`: the caller gives a transaction, its history comes from Redis as a worker sees
it; nothing is counted, so the transaction must still be published to Kafka. `/v1/labels` publishes labels, `/v1/rules` and `/v1/lists` change what decides; nothing else changes anything.
Errors are problem details (RFC 9457)."""

TRANSACTION_EXAMPLE = MappingProxyType(
    {
        "transaction_id": "tx-7f3a91",
        "event_time": 1795471200000,
        "card_id": "card-58c1",
        "terminal_id": "term-0042",
        "amount": 12.5,
        "currency": "EUR",
    }
)
LABEL_EXAMPLE = MappingProxyType(
    {
        "transaction_id": "tx-7f3a91",
        "card_id": "card-58c1",
        "terminal_id": "term-0042",
        "event_time": 1795471200000,
        "amount": 12.5,
        "is_fraud": True,
        "labelled_at": 1795557600000,
        "source": "chargeback",
    }
)
_PARAMETERS: dict[str, Any] = {name: TRANSACTION_EXAMPLE[name] for name in ("card_id", "terminal_id")} | {
    "at": TRANSACTION_EXAMPLE["event_time"],
    "code": "large_online",
    "name": "bad_terminals",
    "limit": 100,
}
_RULE = {
    "code": "large_online",
    "expression": 'amount > 500 and channel == "online"',
    "sentence": "{amount} online",
    "effect": "alert",
    "action": "review",
}
_VECTOR = {"amount": 12.5, "card_count_1d": 3.0}
_BODIES: dict[str, tuple[type[msgspec.Struct], dict[str, Any]]] = {
    "POST /predict_one": (OneVector, {"features": _VECTOR}),
    "POST /predict_batch": (Batch, {"rows": [_VECTOR]}),
    "POST /v1/score": (TransactionRequest, dict(TRANSACTION_EXAMPLE)),
    "POST /v1/labels": (LabelRequest, dict(LABEL_EXAMPLE)),
    "POST /v1/rules": (RulesRequest, {"rules": [_RULE]}),
    "POST /v1/rules/approvals": (ApprovalRequest, {"code": "large_online"}),
    "POST /v1/rules/releases": (ReleaseRequest, {"codes": ["large_online"], "why": "Large ones at the start of December."}),
    "POST /v1/rules/disabled": (DisableRequest, {"codes": ["large_online"], "why": "Too many hits."}),
    "PUT /v1/lists/{name}": (ListRequest, {"of": "terminal", "power": "block", "why": "Skimmed terminals."}),
    "POST /v1/lists/{name}/entries": (EntriesRequest, {"entries": [{"value": "term-0042"}], "why": "Skimmed."}),
    "POST /v1/lists/{name}/removals": (RemovalRequest, {"values": ["term-0042"], "why": "Mended."}),
}
_ANSWERS: dict[str, tuple[str, type]] = {
    "POST /predict_one": ("200", OnePrediction),
    "POST /predict_batch": ("200", Prediction),
    "POST /v1/score": ("200", Decision),
    "POST /v1/labels": ("202", Accepted),
    "GET /v1/cards/{card_id}": ("200", EntityState),
    "GET /v1/terminals/{terminal_id}": ("200", EntityState),
    "GET /v1/model": ("200", ModelAnswer),
    "GET /v1/rules": ("200", RulesAnswer),
    "GET /v1/rules/{code}": ("200", RulesAnswer),
    "POST /v1/rules": ("200", PutsAnswer),
    "POST /v1/rules/approvals": ("200", PutsAnswer),
    "POST /v1/rules/releases": ("200", ReleasedAnswer),
    "POST /v1/rules/disabled": ("200", ReleasedAnswer),
    "GET /v1/lists": ("200", ListsAnswer),
    "GET /v1/lists/{name}": ("200", EntriesAnswer),
    "PUT /v1/lists/{name}": ("200", ListAnswer),
    "POST /v1/lists/{name}/entries": ("200", ListAnswer),
    "POST /v1/lists/{name}/removals": ("200", ListAnswer),
    "GET /readyz": ("200", Health),
    "GET /startupz": ("200", Health),
    "GET /health": ("200", Health),
}
_TEXTS = {"/livez": "Alive", "/metrics": "Metrics"}
_SCOPES = {
    "POST /predict_one": Scope.SCORE,
    "POST /predict_batch": Scope.SCORE,
    "POST /v1/score": Scope.SCORE,
    "POST /v1/labels": Scope.LABEL,
    "GET /v1/cards/{card_id}": Scope.READ,
    "GET /v1/terminals/{terminal_id}": Scope.READ,
    "GET /v1/model": Scope.READ,
    "GET /v1/rules": f"{Scope.RULES}` or `{Scope.READ}",
    "GET /v1/rules/{code}": f"{Scope.RULES}` or `{Scope.READ}",
    "POST /v1/rules": Scope.RULES,
    "POST /v1/rules/approvals": Scope.RULES,
    "POST /v1/rules/releases": Scope.RULES,
    "POST /v1/rules/disabled": Scope.RULES,
    "GET /v1/lists": f"{Scope.LISTS}` or `{Scope.READ}",
    "GET /v1/lists/{name}": f"{Scope.LISTS}` or `{Scope.READ}",
    "PUT /v1/lists/{name}": Scope.LISTS,
    "POST /v1/lists/{name}/entries": Scope.LISTS,
    "POST /v1/lists/{name}/removals": Scope.LISTS,
}
_PROBLEMS = {
    "400": "Not JSON, or not UTF-8",
    "401": "No known key",
    "403": "The key lacks the scope",
    "404": "Not known",
    "408": "The body came too slowly",
    "409": "A worker has decided the transaction",
    "413": "The body is too large",
    "415": "The body is not said to be JSON",
    "421": "Without keys: the header Host names another machine",
    "422": "A field is wrong; `errors` names it; or a rule or a list is not what it must be",
    "500": "A fault of the API",
    "503": "A server behind the API does not answer, or it is busy",
}
_OF_PROBES = ("413", "421", "500")
_WITHOUT_KEYS = "421"
_REF = "#/components/schemas/{name}"


def describe(app: FastAPI, *, most_rows: int, secured: bool) -> None:
    """Have `/openapi.json` say all of it.

    Args:
        app: with its routes.
        most_rows: of a batch.
        secured: whether keys are asked for.
    """
    made: dict[str, Any] = {}

    def document() -> dict[str, Any]:
        if not made:
            made.update(get_openapi(title="Fraudstream", version="1", description=_ABOUT, routes=app.routes))
            _complete(made, most_rows, secured=secured)
        return made

    app.openapi = document  # type: ignore[method-assign]


def _complete(document: dict[str, Any], most_rows: int, *, secured: bool) -> None:
    kinds = [Problem, *(kind for kind, _ in _BODIES.values()), *(kind for _, kind in _ANSWERS.values())]
    _, schemas = msgspec.json.schema_components(dict.fromkeys(kinds), ref_template=_REF)
    schemas["Batch"]["properties"]["rows"]["maxItems"] = most_rows
    schemas["TransactionRequest"]["properties"]["currency"] = {"enum": sorted(CURRENCIES)}
    document["components"] = {"schemas": schemas}
    if secured:
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _describe_one(f"{method.upper()} {path}", operation, secured=secured)


def _describe_one(route: str, operation: dict[str, Any], *, secured: bool) -> None:
    path = route.partition(" ")[2]
    for parameter in operation.get("parameters", ()):
        parameter["example"] = _PARAMETERS[parameter["name"]]
    told = _OF_PROBES if path in PROBES else _PROBLEMS.keys()
    operation["responses"] = {status: _problem(_PROBLEMS[status]) for status in told if not (secured and status == _WITHOUT_KEYS)}
    if route in _ANSWERS:
        status, kind = _ANSWERS[route]
        operation["responses"][status] = {"description": "Answer", "content": {"application/json": {"schema": _ref(kind)}}}
    else:
        operation["responses"]["200"] = {"description": _TEXTS[path], "content": {"text/plain": {"schema": {"type": "string"}}}}
    if route in _ANSWERS and path in PROBES:
        operation["responses"]["503"] = {"description": "Not ready", "content": {"application/json": {"schema": _ref(Health)}}}
    if route in _BODIES:
        kind, example = _BODIES[route]
        example = example if secured or "author" not in kind.__struct_fields__ else {**example, "author": "ann"}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(kind), "example": example}}}
    if secured and route in _SCOPES:
        operation["security"] = [{"key": []}]
        operation["description"] = f"{operation.get('description', '')} Scope: `{_SCOPES[route]}`.".strip()


def _ref(kind: type) -> dict[str, str]:
    return {"$ref": _REF.format(name=kind.__name__)}


def _problem(why: str) -> dict[str, Any]:
    return {"description": why, "content": {MEDIA_TYPE: {"schema": _ref(Problem)}}}
