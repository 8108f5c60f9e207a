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
from stream_app.messages.iso import CURRENCIES
from stream_app.scoring.online_scoring import Accepted, Decision, EntityState, Prediction

_ABOUT = """Scores card payments with the model and the history that the workers use.

`/predict_*`: the caller gives the features. `/v1/score`: the caller gives a transaction, its history comes from Redis as a worker sees
it; nothing is counted, so the transaction must still be published to Kafka. Only `/v1/labels` changes anything.
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
    "at": TRANSACTION_EXAMPLE["event_time"]
}
_VECTOR = {"amount": 12.5, "card_count_1d": 3.0}
_BODIES: dict[str, tuple[type, dict[str, Any]]] = {
    "/predict_one": (OneVector, {"features": _VECTOR}),
    "/predict_batch": (Batch, {"rows": [_VECTOR]}),
    "/v1/score": (TransactionRequest, dict(TRANSACTION_EXAMPLE)),
    "/v1/labels": (LabelRequest, dict(LABEL_EXAMPLE)),
}
_ANSWERS: dict[str, tuple[str, type]] = {
    "/predict_one": ("200", OnePrediction),
    "/predict_batch": ("200", Prediction),
    "/v1/score": ("200", Decision),
    "/v1/labels": ("202", Accepted),
    "/v1/cards/{card_id}": ("200", EntityState),
    "/v1/terminals/{terminal_id}": ("200", EntityState),
    "/v1/model": ("200", ModelAnswer),
    "/readyz": ("200", Health),
    "/startupz": ("200", Health),
    "/health": ("200", Health),
}
_TEXTS = {"/livez": "Alive", "/metrics": "Metrics"}
_SCOPES = {
    "/predict_one": Scope.SCORE,
    "/predict_batch": Scope.SCORE,
    "/v1/score": Scope.SCORE,
    "/v1/labels": Scope.LABEL,
    "/v1/cards/{card_id}": Scope.READ,
    "/v1/terminals/{terminal_id}": Scope.READ,
    "/v1/model": Scope.READ,
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
    "422": "A field is wrong; `errors` names it",
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
        for operation in operations.values():
            _describe_one(path, operation, secured=secured)


def _describe_one(path: str, operation: dict[str, Any], *, secured: bool) -> None:
    for parameter in operation.get("parameters", ()):
        parameter["example"] = _PARAMETERS[parameter["name"]]
    told = _OF_PROBES if path in PROBES else _PROBLEMS.keys()
    operation["responses"] = {status: _problem(_PROBLEMS[status]) for status in told if not (secured and status == _WITHOUT_KEYS)}
    if path in _ANSWERS:
        status, kind = _ANSWERS[path]
        operation["responses"][status] = {"description": "Answer", "content": {"application/json": {"schema": _ref(kind)}}}
    else:
        operation["responses"]["200"] = {"description": _TEXTS[path], "content": {"text/plain": {"schema": {"type": "string"}}}}
    if path in _ANSWERS and path in PROBES:
        operation["responses"]["503"] = {"description": "Not ready", "content": {"application/json": {"schema": _ref(Health)}}}
    if path in _BODIES:
        kind, example = _BODIES[path]
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(kind), "example": example}}}
    if secured and path in _SCOPES:
        operation["security"] = [{"key": []}]
        operation["description"] = f"{operation.get('description', '')} Scope: `{_SCOPES[path]}`.".strip()


def _ref(kind: type) -> dict[str, str]:
    return {"$ref": _REF.format(name=kind.__name__)}


def _problem(why: str) -> dict[str, Any]:
    return {"description": why, "content": {MEDIA_TYPE: {"schema": _ref(Problem)}}}
