"""The API's routes over a fake model and a history in memory: answers, and every refusal as a problem that names the field."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from loguru import logger

from stream_app.api.app import ApiParts, create_app
from stream_app.api.description import LABEL_EXAMPLE, TRANSACTION_EXAMPLE
from stream_app.api.keys import Keys, Scope, new_key
from stream_app.api.limits import Limits
from stream_app.api.probes import Probes
from stream_app.errors import Unavailable
from stream_app.features.compute import Rows, Vectors
from stream_app.features.entities import KEPT_BY_DEFAULT, KeptEntities
from stream_app.features.plan import NEWEST, catalogue_plan
from stream_app.messages.alert import alert_id_of
from stream_app.messages.event_time import NOT_MILLISECONDS
from stream_app.messages.money import Money
from stream_app.messages.transaction import Decoder, IntakeRules, Label
from stream_app.scoring.online_scoring import Answered, LabelIntake, OnlineScoring
from stream_app.scoring.ports import Ids, Scores, StateSeen, WorkingSet
from stream_app.scoring.publication import NO_OUTPUT
from stream_app.scoring.scorer import Scorer
from stream_app.scoring.state_reader import StateQuery, StateSnapshot
from tests.topics import MemoryTopics
from tests.unit.delivery.rule_desks import desk_of
from tests.unit.delivery.test_live_rules import Desk
from tests.unit.scoring.test_scorer import HOUR, NOW, START, FakeClock, FakeModel, payment

HEADER = "Authorization"


@dataclass
class MemoryHistory:
    """See `state_reader.StateReader`: nothing is known but the cards named here, with empty rows, each in a partition."""

    cards: dict[str, int] = field(default_factory=dict)
    away: bool = False
    hangs: bool = False
    breaks: bool = False
    asked: int = 0
    entities: KeptEntities = field(default=KEPT_BY_DEFAULT, init=False)

    async def read(self, asked: Sequence[StateQuery]) -> StateSnapshot:
        """See `state_reader.StateReader`."""
        await self._answer(len(asked))
        ids: Ids = tuple([name for query in asked for name in query.ids[n]] for n in range(len(asked[0].ids)))
        plans = catalogue_plan().entities
        rows = tuple(Rows.alone(np.zeros((len(w), p.layout.width), dtype=np.int64)) for w, p in zip(ids, plans, strict=True))
        rows[0].own[:, NEWEST] = START
        holders = tuple(self.cards.get(card) for card in ids[0])
        parts = tuple(tuple(int(name in self.cards) for name in wanted) for wanted in ids)
        return StateSnapshot(WorkingSet(ids, rows, [""] * len(ids[0]), (StateSeen(),) * len(asked)), holders, parts)

    async def _answer(self, queries: int = 1) -> None:
        self.asked += queries
        if self.hangs:
            await asyncio.sleep(3600)
        if self.breaks:
            raise ZeroDivisionError
        if self.away:
            raise Unavailable("Redis at secret-host did not answer.")

    async def close(self) -> None:
        """See `state_reader.StateReader`."""


class Slow(FakeModel):
    """Breaks where the amount is 13."""

    def score(self, vectors: Vectors) -> Scores:
        """See `ports.Model`."""
        if 13 in vectors[:, 0]:
            raise ZeroDivisionError("a secret of the inside")
        return super().score(vectors)


@dataclass
class Api:
    """The application in this process."""

    keys: Keys = field(default_factory=lambda: Keys(()))
    history: MemoryHistory = field(default_factory=lambda: MemoryHistory({"c1": 3}))
    topics: MemoryTopics = field(default_factory=lambda: MemoryTopics(now_ms=NOW))
    seen: list[tuple[str, str, int]] = field(default_factory=list)
    answered: list[tuple[Answered, int]] = field(default_factory=list)
    longest_s: float = 5.0
    most_bytes: int = 100_000
    why_not_ready: str | None = None
    followed: Desk | None = None

    def __post_init__(self) -> None:
        """Put it together."""
        scorer = Scorer(Slow(), Money("EUR"), NO_OUTPUT, FakeClock())

        async def publisher() -> MemoryTopics:
            return self.topics

        online, labels = OnlineScoring(lambda: scorer, self.history, Money("EUR")), LabelIntake(self.history, publisher, "labels")
        probes = Probes(lambda: self.why_not_ready, lambda: b"m 1\n")
        self.desk = desk_of(self.followed or Desk())
        parts = ApiParts(
            online, labels, self.desk, self.keys, IntakeRules(), FakeClock(), 10, probes, lambda *one: self.answered.append(one)
        )
        app = create_app(parts)
        self.routes = app.routes
        self.app = Limits(app, self.most_bytes, self.longest_s, lambda m, p, s, _: self.seen.append((m, p, s)))

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """One request."""
        answers: list[httpx.Response] = []

        async def once() -> None:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                answers.append(await client.request(method, path, **more))

        if self.followed is None:
            asyncio.run(once())
        else:
            self.followed.run(once)
        return answers[0]


def problem(answer: httpx.Response) -> tuple[int, str, str]:
    """Status, sentence and pointer of a problem; its other fields are as RFC 9457 has them."""
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["type"].startswith("urn:fraudstream:problem:")
    assert body["status"] == answer.status_code
    assert body["title"]
    return answer.status_code, body["detail"], body.get("errors", [{"pointer": ""}])[0]["pointer"]


def vector(**changes: Any) -> dict[str, Any]:
    """A feature vector of the fake model."""
    return {"amount": 300.0, "card_count_1d": 1.0, "card_mean_amount_1d": 2.0} | changes


def test_a_caller_who_gives_the_features_gets_score_and_action() -> None:
    """One, and a batch in order."""
    api = Api()
    one = api.ask("POST", "/predict_one", json={"features": vector()}).json()
    assert (round(one["score"], 6), one["action"], one["threshold"], one["model"]["version"]) == (0.3, "review", 0.25, "7")
    batch = api.ask("POST", "/predict_batch", json={"rows": [vector(amount=a) for a in (100, 600, 950)]}).json()
    assert batch["actions"] == [None, "step_up", "decline"]
    assert api.seen == [("POST", "/predict_one", 200), ("POST", "/predict_batch", 200)]


def test_a_transaction_gets_the_decision_that_a_worker_would_make() -> None:
    """Score, action, case, reasons, features."""
    api = Api()
    said = api.ask("POST", "/v1/score", json=payment("a", 300)).json()
    assert (said["action"], said["case_id"], said["degraded"]) == ("review", alert_id_of("c1", "a"), None)
    assert said["features"] == {"amount": 300.0, "card_count_1d": 1.0, "card_mean_amount_1d": 300.0}
    assert said["reasons"][0]["feature"] == "amount"
    assert api.seen == [("POST", "/v1/score", 200)]


def test_what_was_answered_of_a_payment_is_handed_on_and_nothing_of_a_request_that_was_refused() -> None:
    """With its size in bytes, about: what waits to be published is bounded by it."""
    api = Api()
    said = api.ask("POST", "/v1/score", json=payment("a", 300))
    ((answered, size),) = api.answered
    assert (answered.payment.transaction_id, msgspec.json.encode(answered.decision)) == ("a", said.content)
    assert size > len(said.content)
    assert api.ask("POST", "/v1/score", json=payment("b", -1)).status_code == 422
    assert len(api.answered) == 1


VECTOR = {"features": vector()}
BAD: list[tuple[str, Any, int, str, str]] = [
    ("/predict_one", {"features": vector() | {"v1": 1}}, 422, "'v1' is no feature", "#/features/v1"),
    ("/predict_one", {"features": {"amount": 1.0}}, 422, "'card_count_1d' is missing", "#/features/card_count_1d"),
    ("/predict_one", {"features": vector(amount="1")}, 422, "amount: Expected `float`, got `str`", "#/features/amount"),
    ("/predict_one", {"features": vector(amount=1e39)}, 422, "'amount' is larger", "#/features/amount"),
    ("/predict_one", VECTOR | {"more": 1}, 422, "unknown field `more`", "#/more"),
    ("/predict_one", {}, 422, "required field `features`", "#/features"),
    ("/predict_one", [], 422, "Expected `object`, got `array`", "#"),
    ("/predict_batch", {"rows": []}, 422, "length >= 1", "#/rows"),
    ("/predict_batch", {"rows": [vector()] * 11}, 422, "11 rows; 10 are allowed", "#/rows"),
    ("/predict_batch", {"rows": [vector(), vector(amount=None)]}, 422, "amount: Expected `float`, got `null`", "#/rows/1/amount"),
    ("/predict_batch", {"rows": [vector(), {"a/b": 1}]}, 422, "Row 1: Feature 'amount' is missing", "#/rows/1/amount"),
    ("/v1/score", payment("a", -1), 422, "amount is -1; send a number from 0", "#/amount"),
    ("/v1/score", payment("a", note=1), 422, "unknown field `note`", "#/note"),
    ("/v1/score", payment("a", currency="XYZ"), 422, "'XYZ' is not of ISO 4217", "#/currency"),
    ("/v1/score", payment("a", card_id="4111111111111111"), 422, "card_id is a card number", "#/card_id"),
    ("/v1/score", payment("a", terminal_id="a\x00"), 422, "terminal_id contains a control character", "#/terminal_id"),
    ("/v1/score", payment("a", at=NOW), 422, "event_time is", "#/event_time"),
    ("/v1/score", payment("a", type="refund"), 422, "'refund' is not scored", "#/type"),
    (
        "/v1/score",
        payment("a", attributes={"v1": "x" * 65}),
        422,
        "attributes.v1 has 65 characters; send a finite number, or a text of up to 64",
        "#/attributes",
    ),
    ("/v1/labels", dict(LABEL_EXAMPLE) | {"event_time": START, "labelled_at": START - 1}, 422, "labelled_at is before", "#/labelled_at"),
    (
        "/v1/labels",
        dict(LABEL_EXAMPLE) | {"labelled_at": NOW // 1000},
        422,
        f"labelled_at is {NOW // 1000} (seconds?); {NOT_MILLISECONDS}.",
        "#/labelled_at",
    ),
    (
        "/v1/score",
        payment("a") | {"event_time": NOW // 1000},
        422,
        f"event_time is {NOW // 1000} (seconds?); {NOT_MILLISECONDS}.",
        "#/event_time",
    ),
    ("/v1/labels", dict(LABEL_EXAMPLE) | {"labelled_at": START, "event_time": START}, 404, "'card-58c1' is not known", ""),
]


@pytest.mark.parametrize(("path", "body", "status", "why", "pointer"), BAD)
def test_a_refused_body_is_told_with_its_field(path: str, body: Any, status: int, why: str, pointer: str) -> None:
    """Field and reason in one sentence, and where it stands; nothing is published."""
    api = Api()
    found = problem(api.ask("POST", path, json=body))
    assert (found[0], found[2]) == (status, pointer)
    assert why in found[1]
    assert not any(api.topics.logs.values())


DEEP = b"[" * 40_000 + b"]" * 40_000


@pytest.mark.parametrize(
    ("path", "content", "status", "why"),
    [
        ("/v1/score", b"", 400, "not JSON"),
        ("/v1/labels", b"{", 400, "not JSON"),
        ("/predict_one", b'{"features": {"amount": NaN}}', 400, "not JSON"),
        ("/predict_one", b'{"features": {"amount": 1e999}}', 422, "out of range"),
        ("/v1/score", b"\xff", 400, "not UTF-8: byte 0"),
        ("/predict_one", b'{"features": {"amount":' + DEEP + b"}}", 422, "Expected `float`, got `array`"),
        ("/v1/score", b'{"attributes": {"v1": ' + DEEP + b"}}", 422, "Expected `float | str`, got `array`"),
        ("/predict_batch", DEEP, 422, "Expected `object`, got `array`"),
        ("/v1/labels", b" " * 100_001, 413, "larger than 100000 bytes"),
    ],
)
def test_a_body_that_is_no_json_or_absurd_is_refused(path: str, content: bytes, status: int, why: str) -> None:
    """Whatever the bytes."""
    found = problem(Api().ask("POST", path, content=content, headers={"Content-Type": "application/json"}))
    assert (found[0], why in found[1]) == (status, True), found


def test_a_body_without_length_is_counted_as_it_comes() -> None:
    """Chunked, it says no length."""

    async def chunks() -> Any:
        for _ in range(3):
            yield b" " * 50_000

    assert problem(Api().ask("POST", "/v1/score", content=chunks(), headers={"Content-Type": "application/json"}))[0] == 413


def test_a_body_that_comes_too_slowly_is_ended() -> None:
    """The caller hears why."""

    async def never() -> Any:
        yield b"{"
        await asyncio.sleep(3600)

    found = problem(Api(longest_s=0.05).ask("POST", "/v1/score", content=never(), headers={"Content-Type": "application/json"}))
    assert (found[0], "did not arrive within 0.05 s" in found[1]) == (408, True)


def test_a_form_and_an_unknown_path_or_method_are_refused() -> None:
    """What a browser sends of itself is not taken for a label."""
    api = Api()
    assert problem(api.ask("POST", "/v1/labels", content=json.dumps(dict(LABEL_EXAMPLE))))[0] == 415
    assert problem(api.ask("GET", "/v2/score"))[0] == 404
    refused = api.ask("GET", "/v1/score")
    assert (problem(refused)[0], refused.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    ("path", "status", "why"),
    [
        ("/v1/cards/c2", 404, "'c2' is not known"),
        (f"/v1/cards/{'x' * 65}", 422, "card_id: String should have at most 64"),
        ("/v1/cards/4111111111111111", 422, "card_id is a card number"),
        ("/v1/cards/c1?at=-1", 422, "at: Input should be greater"),
        ("/v1/cards/c1?at=1e9", 422, "at: Input should be a valid integer"),
        ("/v1/cards/c1?when=1", 422, "'when' is unknown"),
        ("/v1/terminals/t9", 404, "'t9' is not known"),
    ],
)
def test_a_look_at_what_is_not_there_is_told(path: str, status: int, why: str) -> None:
    """Unknown ids, wrong parameters."""
    found = problem(Api().ask("GET", path))
    assert (found[0], why in found[1]) == (status, True)


def test_an_id_with_a_slash_is_looked_up_by_its_encoded_form() -> None:
    """As tokens in base64 have it: the card is not known here, and the path is."""
    for kind in ("cards", "terminals"):
        found = problem(Api().ask("GET", f"/v1/{kind}/q9%2FZk%2B3w%3D%3D"))
        assert (found[0], "'q9/Zk+3w==' is not known" in found[1]) == (404, True)


def test_a_packed_body_is_refused_as_such() -> None:
    """It is not unpacked: neither time nor memory of that is bounded by the size of the body."""
    packed = gzip.compress(json.dumps(payment("a")).encode())
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    found = problem(Api().ask("POST", "/v1/score", content=packed, headers=headers))
    assert (found[0], "Content-Encoding 'gzip'" in found[1]) == (415, True)


def test_a_card_is_shown_as_its_next_payment_would_find_it() -> None:
    """At the newest time that it has seen, or another."""
    api = Api()
    card = api.ask("GET", "/v1/cards/c1").json()
    assert (card["id"], card["at"], card["partition"]) == ("c1", START, 3)
    assert card["features"]["card_count_30d"] == 0
    assert not any("amount_ratio" in name or name == "amount" for name in card["features"])
    assert api.ask("GET", f"/v1/cards/c1?at={NOW}").json()["at"] == NOW


def test_a_label_goes_to_the_partition_that_holds_the_card() -> None:
    """Keyed by it; the answer says where it stands."""
    api = Api()
    label = {**LABEL_EXAMPLE, "card_id": "c1", "event_time": START, "labelled_at": START}
    answer = api.ask("POST", "/v1/labels", json=label)
    assert (answer.status_code, answer.json()["partition"], answer.json()["offset"]) == (202, 3, 0)
    (record,) = api.topics.logs["labels", 3]
    assert (record.key, msgspec.json.decode(record.value or b"")) == (b"c1", label)


@pytest.mark.parametrize(("ahead_ms", "status"), [(120_000, 200), (HOUR, 200), (HOUR + 1, 422)])
def test_an_api_whose_clock_is_minutes_slow_refuses_nobody(ahead_ms: int, status: int) -> None:
    """A request has no time but its own: it may be an hour beyond the clock, as for a worker."""
    tx = payment("a", 300) | {"event_time": NOW + ahead_ms}
    assert Api().ask("POST", "/v1/score", json=tx).status_code == status
    label = {**LABEL_EXAMPLE, "card_id": "c1", "event_time": START, "labelled_at": NOW + ahead_ms}
    api = Api()
    assert api.ask("POST", "/v1/labels", json=label).status_code == {200: 202}.get(status, status)
    for record in api.topics.logs["labels", 3]:
        assert (
            Decoder(Label, IntakeRules(max_ahead_s=0)).decode(record.value, record.key, record.timestamp, NOW).labelled_at == NOW + ahead_ms
        )


def test_a_label_of_long_ago_is_kept_as_long_as_any_other() -> None:
    """Its record is of the time when it was given: Kafka removes records by that."""
    api = Api()
    assert (
        api.ask("POST", "/v1/labels", json={**LABEL_EXAMPLE, "card_id": "c1", "event_time": START, "labelled_at": START}).status_code == 202
    )
    assert [record.timestamp for record in api.topics.logs["labels", 3]] == [NOW]


def test_the_log_says_which_server_a_label_could_not_reach() -> None:
    """The caller hears only that one is away."""
    lines: list[str] = []
    heard = logger.add(lines.append, format="{message}")
    label = {**LABEL_EXAMPLE, "card_id": "c1", "event_time": START, "labelled_at": START}
    answer = Api(history=MemoryHistory(away=True)).ask("POST", "/v1/labels", json=label)
    logger.remove(heard)
    assert problem(answer)[0] == 503
    assert lines == ["A label was not published: Redis at secret-host did not answer.\n"]


def test_the_model_is_shown_with_its_features() -> None:
    """By name and hash, in order."""
    model = Api().ask("GET", "/v1/model").json()
    assert (model["name"], model["version"], [f["name"] for f in model["features"]]) == ("fake", "7", list(vector()))


def test_a_server_that_is_away_is_told_without_its_address() -> None:
    """503 with a time to try again."""
    api = Api(history=MemoryHistory(away=True))
    for answer in (api.ask("POST", "/v1/score", json=payment("a")), api.ask("GET", "/v1/cards/c1")):
        assert problem(answer)[0] == 503
        assert answer.headers["retry-after"] == "1"
        assert "secret" not in answer.text


def test_a_server_that_never_answers_is_no_fault_of_the_caller() -> None:
    """503 in time, whether the request has a body or none; not 408."""
    api = Api(history=MemoryHistory(hangs=True), longest_s=0.05)
    for answer in (api.ask("POST", "/v1/score", json=payment("a")), api.ask("GET", "/v1/cards/c1")):
        assert (problem(answer)[0], "No answer within 0.05 s" in answer.json()["detail"]) == (503, True)
        assert answer.headers["retry-after"] == "1"


def test_a_fault_of_ours_leaves_no_trace_outside() -> None:
    """500, a sentence, nothing of the inside."""
    answer = Api().ask("POST", "/predict_one", json={"features": vector(amount=13.0)})
    assert (problem(answer)[0], "secret" in answer.text, "Traceback" in answer.text) == (500, False, False)


@pytest.mark.parametrize("fault", [{"breaks": True}, {"away": True}, {}], ids=["broken", "away", "well"])
def test_no_log_holds_what_a_request_holds(fault: dict[str, bool]) -> None:
    """Every route, in its path and its body: whatever fails, the log names the route by its template."""
    lines: list[str] = []
    heard = logger.add(lines.append, format="{message}", level="DEBUG", backtrace=False, diagnose=False)  # as `set_up_logs` has it
    api = Api(history=MemoryHistory({"a-token": 3}, **fault))
    asked = {"transaction_id": "a-token", "card_id": "a-token", "terminal_id": "a-token"}
    for path in ("/v1/cards/a-token", "/v1/terminals/a-token", "/v1/cards/a-token?at=a-token", "/a-token"):
        api.ask("GET", path)
    api.ask("POST", "/v1/score", json={**payment("a"), **asked})
    api.ask("POST", "/v1/labels", json={**LABEL_EXAMPLE, **asked, "event_time": START, "labelled_at": START})
    logger.remove(heard)
    assert [line for line in lines if "a-token" in line] == []
    assert any("GET /v1/cards/{card_id} failed" in line for line in lines) == ("breaks" in fault)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "127.9.9.9", "[::1]:8000", ""])
def test_without_keys_the_api_is_asked_by_a_name_of_this_machine(host: str) -> None:
    """Or by none, as an old program asks."""
    assert Api().ask("GET", "/v1/model", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example:8000", "127.0.0.1.evil.example", "10.0.0.1", "[::2]", "a@localhost"]
)
@pytest.mark.parametrize("path", ["/v1/model", "/metrics", "/openapi.json", "/nothing"])
def test_without_keys_another_name_is_refused_with_the_remedy(host: str, path: str) -> None:
    """A web page whose name was made to lead to this machine asks by its own; with keys any name will do, for it has none."""
    status, told, _ = problem(Api().ask("GET", path, headers={"Host": host}))
    assert (status, "Ask 127.0.0.1 or localhost" in told, "FRAUDSTREAM_API_KEYS_FILE" in told) == (421, True, True)
    text, key = new_key("reader", [Scope.READ])
    asks = {"Host": host, "Authorization": f"Bearer {text}"}
    assert Api(keys=Keys([key])).ask("GET", "/v1/model", headers=asks).status_code == 200


def test_keys_open_what_their_scopes_say() -> None:
    """401 without one, 403 with another's scope."""
    made = {scope: new_key(scope.value, [scope]) for scope in Scope}
    api = Api(keys=Keys([key for _, key in made.values()]))
    asks: dict[Scope, list[Callable[[dict[str, str]], httpx.Response]]] = {
        Scope.SCORE: [
            lambda h: api.ask("POST", "/predict_one", json=VECTOR, headers=h),
            lambda h: api.ask("POST", "/predict_batch", json={"rows": [vector()]}, headers=h),
            lambda h: api.ask("POST", "/v1/score", json=payment("a"), headers=h),
        ],
        Scope.READ: [
            lambda h: api.ask("GET", "/v1/model", headers=h),
            lambda h: api.ask("GET", "/v1/cards/c1", headers=h),
            lambda h: api.ask("GET", "/v1/terminals/c1", headers=h),
        ],
        Scope.LABEL: [
            lambda h: api.ask(
                "POST", "/v1/labels", json={**LABEL_EXAMPLE, "card_id": "c1", "event_time": START, "labelled_at": START}, headers=h
            )
        ],
    }
    for scope, requests in asks.items():
        for request in requests:
            for given in ({}, {HEADER: "Bearer fs_wrong"}, {HEADER: f"Basic {made[scope][0]}"}):
                refused = request(given)
                assert (problem(refused)[0], refused.headers["www-authenticate"]) == (401, "Bearer")
            for other in set(Scope) - {scope}:
                assert problem(request({HEADER: f"Bearer {made[other][0]}"}))[:2][0] == 403
            assert request({HEADER: f"Bearer {made[scope][0]}"}).is_success


def test_the_openapi_document_describes_every_route_and_its_examples_are_taken() -> None:
    """Each body has a closed schema and an example; the examples of the topics' contracts are scored and published as they stand."""
    api = Api()
    document = api.ask("GET", "/openapi.json").json()
    routes = {f"{method.upper()} {path}": operation for path, of in document["paths"].items() for method, operation in of.items()}
    bodies = {route: of["requestBody"]["content"]["application/json"] for route, of in routes.items() if not route.startswith("GET ")}
    assert {"POST /predict_one", "POST /v1/score", "POST /v1/labels", "POST /v1/rules", "PUT /v1/lists/{name}"} < set(bodies)
    for content in bodies.values():
        schema = document["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
        assert (schema["additionalProperties"], bool(content["example"])) == (False, True)
    assert api.ask("POST", "/v1/score", json={**TRANSACTION_EXAMPLE, "event_time": START}).is_success
    parameters = [p for path in document["paths"].values() for operation in path.values() for p in operation.get("parameters", ())]
    assert {p["name"]: p["example"] for p in parameters} == {n: TRANSACTION_EXAMPLE[n] for n in ("card_id", "terminal_id")} | {
        "at": TRANSACTION_EXAMPLE["event_time"],
        "code": "large_online",
        "name": "bad_terminals",
        "limit": 100,
    }


def test_docs_are_a_page_of_every_route_that_asks_nobody_else() -> None:
    """Each route with a command that can be pasted; no script, no other server, a name that is asked for written as text."""
    api = Api()
    answer = api.ask("GET", "/docs")
    document = api.ask("GET", "/openapi.json").json()
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    for path, operations in document["paths"].items():
        assert all(f"<code>{method.upper()} {path}</code>" in answer.text for method in operations)
    assert "<script" not in answer.text
    assert set(re.findall(r'(?:src|href)="([^"]*)"', answer.text)) == {"/openapi.json"}
    assert "/v1/cards/card-58c1" in answer.text
    assert "curl -s -X PUT http://localhost/v1/lists/bad_terminals" in answer.text
    assert "&quot;card_id&quot;: &quot;card-58c1&quot;" in answer.text
    assert "Must have <code>transaction_id</code>" in answer.text
    assert "Bearer KEY" not in answer.text
    _, key = new_key("reader", [Scope.READ])
    secured = Api(keys=Keys([key])).ask("GET", "/docs", headers={"Host": "a<b>"})
    assert "Bearer KEY" in secured.text
    assert "a<b>" not in secured.text
