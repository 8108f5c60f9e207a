"""The routes: HTTP in, `stream_app.scoring.online_scoring` asked, JSON out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from loguru import logger
from starlette.exceptions import HTTPException

from stream_app.api.bodies import Json, body_of, json_of, takes_only
from stream_app.api.description import describe
from stream_app.api.direct import Direct
from stream_app.api.keys import Keys, Scope
from stream_app.api.messages import (
    Batch,
    Body,
    FeatureName,
    LabelRequest,
    ModelAnswer,
    OnePrediction,
    OneVector,
    TransactionRequest,
)
from stream_app.api.own_name import ByItsOwnName
from stream_app.api.pages import CONTENT_SECURITY, page_of
from stream_app.api.probes import Probes
from stream_app.api.problems import Refusal, answer_of, of_error, pointer_to, unexpected
from stream_app.api.rules import ListRoutes, RuleRoutes
from stream_app.delivery.answer_log import AnswerTaker, not_kept
from stream_app.delivery.rule_desk import RuleDesk
from stream_app.errors import FraudstreamError, Stop, Unavailable
from stream_app.features.entities import Entity
from stream_app.messages.card_numbers import is_card_number
from stream_app.messages.event_time import EARLIEST_EVENT_TIME_MS, MAX_EVENT_TIME_MS
from stream_app.messages.fields import fields_of
from stream_app.messages.transaction import Decoder, IntakeRules, Label, Transaction
from stream_app.scoring.online_scoring import LabelIntake, OnlineScoring, RowError
from stream_app.scoring.ports import Clock

IN_THE_LOOP = 32
"""Rows that are scored between two other requests; more go to a thread."""

_SCORE = "/v1/score"

type IdInPath = Annotated[str, Path(min_length=1, max_length=64)]
type At = Annotated[int | None, Query(ge=EARLIEST_EVENT_TIME_MS, le=MAX_EVENT_TIME_MS)]


@dataclass(frozen=True, slots=True)
class ApiParts:
    """What the routes serve from.

    Attributes:
        online, labels, desk: the use cases.
        keys: who may ask.
        rules: for transactions and labels, as in the worker.
        clock: transactions and labels may be an hour ahead of it, as of a worker's; that it is minutes wrong refuses nobody.
        most_rows: of a batch.
        probes: the routes that need none of these.
        answered: takes what was answered of a payment.
    """

    online: OnlineScoring
    labels: LabelIntake
    desk: RuleDesk
    keys: Keys
    rules: IntakeRules
    clock: Clock
    most_rows: int
    probes: Probes
    answered: AnswerTaker = not_kept


def create_app(parts: ApiParts, lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]] | None = None) -> FastAPI:
    """The application.

    Args:
        parts: what it serves from.
        lifespan: connects and disconnects it.
    """
    app = FastAPI(title="Fraudstream", docs_url=None, redoc_url=None, lifespan=lifespan, default_response_class=Json)
    _Predictions(parts).add_to(app)
    transactions = _Transactions(parts)
    transactions.add_to(app)
    _Looks(parts).add_to(app)
    RuleRoutes(parts.desk, parts.keys).add_to(app)
    ListRoutes(parts.desk, parts.keys).add_to(app)
    parts.probes.add_to(app)
    scores = next(r for r in app.routes if isinstance(r, APIRoute) and r.path == _SCORE)
    app.add_middleware(Direct, route=scores, endpoint=transactions.score, refuses=_of_ours)
    if not parts.keys:
        app.add_middleware(ByItsOwnName)
    app.get("/docs", include_in_schema=False)(_docs)
    _answer_head(app)
    _answer_errors(app)
    describe(app, most_rows=parts.most_rows, secured=bool(parts.keys))
    return app


class _Predictions:
    """The caller gives the features."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts
        self._one = Body(OneVector, 'an object like {"features": {"amount": 12.5}}')
        self._batch = Body(Batch, 'an object like {"rows": [{"amount": 12.5}]}')

    def add_to(self, app: FastAPI) -> None:
        app.post("/predict_one")(self.predict_one)
        app.post("/predict_batch")(self.predict_batch)

    async def predict_one(self, request: Request) -> Response:
        """Score one feature vector."""
        self._parts.keys.check(request.headers.get("authorization", ""), Scope.SCORE)
        row = self._one.of(await body_of(request)).features
        try:
            said = self._parts.online.predict([row])
        except RowError as error:
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", error.message, pointer_to(["features", error.feature])) from None
        return json_of(OnePrediction(score=said.scores[0], action=said.actions[0], threshold=said.threshold, model=said.model))

    async def predict_batch(self, request: Request) -> Response:
        """Score feature vectors in one call of the model."""
        parts = self._parts
        parts.keys.check(request.headers.get("authorization", ""), Scope.SCORE)
        rows = self._batch.of(await body_of(request)).rows
        if len(rows) > parts.most_rows:
            told = f"rows has {len(rows)} rows; {parts.most_rows} are allowed (FRAUDSTREAM_API_MAX_BATCH). Send several requests."
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "too-many-rows", told, "#/rows")
        if len(rows) <= IN_THE_LOOP:
            return json_of(parts.online.predict(rows))
        return json_of(await asyncio.to_thread(parts.online.predict, rows))


class _Transactions:
    """The caller gives a transaction, or a label of one."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts
        self._transaction = Body(TransactionRequest, "one transaction (transaction.v1)", fields_of(Transaction))
        self._label = Body(LabelRequest, "one label (label.v1)", fields_of(Label))
        self._checked = Decoder(Transaction, parts.rules)
        self._checked_label = Decoder(Label, parts.rules)

    def add_to(self, app: FastAPI) -> None:
        app.post(_SCORE)(self.score)
        app.post("/v1/labels", status_code=HTTPStatus.ACCEPTED)(self.label)

    async def score(self, request: Request) -> Response:
        """What a worker would decide of this transaction now. Changes no state."""
        parts = self._parts
        parts.keys.check(request.headers.get("authorization", ""), Scope.SCORE)
        content = await body_of(request)
        given = self._transaction.of(content)
        tx = self._checked.decode(content, given.card_id.encode(), None, parts.clock.now_ms(), lambda _: given)
        answered = await parts.online.decide(tx)
        answer = json_of(answered.decision)
        parts.answered(answered, len(content) + len(answer.body))
        return answer

    async def label(self, request: Request) -> Response:
        """Publish a label: a chargeback, or an analyst's verdict."""
        parts = self._parts
        parts.keys.check(request.headers.get("authorization", ""), Scope.LABEL)
        content = await body_of(request)
        given = self._label.of(content)
        now_ms = parts.clock.now_ms()
        label = self._checked_label.decode(content, given.card_id.encode(), None, now_ms, lambda _: given)
        try:
            accepted = await parts.labels.take(label, now_ms)
        except Unavailable as error:
            logger.warning("A label was not published: {}", error)
            raise
        return json_of(accepted, HTTPStatus.ACCEPTED)


class _Looks:
    """The caller looks."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts

    def add_to(self, app: FastAPI) -> None:
        app.get("/v1/cards/{card_id:path}")(self.card)
        app.get("/v1/terminals/{terminal_id:path}")(self.terminal)
        app.get("/v1/model")(self.model)

    async def card(self, request: Request, card_id: IdInPath, at: At = None) -> Response:
        """The card's features as its next payment would find them."""
        if self._parts.rules.refuse_card_numbers and is_card_number(card_id):
            told = "card_id is a card number (13 to 19 digits that pass Luhn). Ask by its token."
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "card-number", told, "path: card_id")
        return await self._standing(request, "card", card_id, at)

    async def terminal(self, request: Request, terminal_id: IdInPath, at: At = None) -> Response:
        """The terminal's features as its next payment would find them, over all partitions."""
        return await self._standing(request, "terminal", terminal_id, at)

    async def _standing(self, request: Request, entity: Entity, id_: str, at: int | None) -> Response:
        self._parts.keys.check(request.headers.get("authorization", ""), Scope.READ)
        takes_only(request, "at")
        return json_of(await self._parts.online.look_up(entity, id_, at))

    async def model(self, request: Request) -> Response:
        """The model in use."""
        self._parts.keys.check(request.headers.get("authorization", ""), Scope.READ)
        scorer = self._parts.online.scorer()
        metadata, policy, reference = scorer.model.metadata, scorer.policy, scorer.model.reference
        return json_of(
            ModelAnswer(
                name=reference.name,
                version=reference.version,
                threshold=policy.threshold,
                step_up=policy.step_up,
                decline=policy.decline,
                base_currency=metadata.base_currency,
                trained_at=metadata.trained_at_ms,
                features_hash=metadata.features_hash(),
                features=tuple(FeatureName(name, digest) for name, digest in metadata.features),
            )
        )


def _answer_head(app: FastAPI) -> None:
    """HEAD wherever there is GET; the server leaves the body out."""
    for route in [r for r in app.routes if isinstance(r, APIRoute) and r.methods == {"GET"}]:
        app.head(route.path, include_in_schema=False)(route.endpoint)


async def _docs(request: Request) -> Response:
    """All routes, for people."""
    page = page_of(request.app.openapi(), str(request.base_url))
    return Response(page, media_type="text/html", headers={"Content-Security-Policy": CONTENT_SECURITY})


def _answer_errors(app: FastAPI) -> None:
    """Every error becomes a problem; the last one is for faults of ours, which `Limits` logs."""

    def handle(kind: type[Exception], refuse: Callable[[Any], Refusal]) -> None:
        async def handler(_: Request, error: Exception) -> Response:
            return answer_of(refuse(error))

        app.add_exception_handler(kind, handler)

    handle(Refusal, _of_ours)
    handle(FraudstreamError, _of_ours)
    handle(HTTPException, _of_http)
    handle(RequestValidationError, _of_parameters)
    handle(Exception, lambda _: unexpected())


def _of_ours(error: Refusal | FraudstreamError) -> Refusal:
    if isinstance(error, Refusal):
        return error
    if isinstance(error, Stop):  # a caller is not told which right is missing where
        logger.error("A request was not answered: {}", error)
    return of_error(error)


def _of_http(error: HTTPException) -> Refusal:
    status = HTTPStatus(error.status_code)
    told = {
        HTTPStatus.NOT_FOUND: "There is no such path. /docs and /openapi.json have all.",
        HTTPStatus.METHOD_NOT_ALLOWED: "The path is not for this method. /openapi.json says for which.",
    }
    headers = {name: "GET, HEAD" if (name, value) == ("Allow", "GET") else value for name, value in (error.headers or {}).items()}
    return Refusal(status, "http", told.get(status, f"{status.phrase}."), headers=headers)


def _of_parameters(error: RequestValidationError) -> Refusal:
    first = error.errors()[0]
    where, name = str(first["loc"][0]), str(first["loc"][-1])
    return Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", f"{name}: {first['msg']}.", f"{where}: {name}")
