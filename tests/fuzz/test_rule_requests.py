"""Requests about rules and lists that are nearly right, by callers with one right or another: what is refused leaves the topics as they are."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from stream_app.api.keys import Keys, Scope, new_key
from stream_app.rules.lists import CardList
from stream_app.rules.lists_log import ListsLog
from stream_app.rules.rules_log import RulesLog
from stream_app.rules.topic_log import TopicLog
from tests.examples import examples
from tests.fuzz.mangled import JSON, NUMBERS, TEXTS, mangled_bytes
from tests.unit.api.test_api import Api, problem
from tests.unit.delivery.test_live_rules import LIST, Desk, Topic
from tests.unit.rules.made import rule

MADE = {frozenset(scopes): new_key("-".join(scopes), scopes) for scopes in ([s] for s in Scope)}
MADE[frozenset({Scope.RULES, Scope.LISTS})] = new_key("both", [Scope.RULES, Scope.LISTS])
CALLERS: dict[str, frozenset[Scope]] = {text: scopes for scopes, (text, _) in MADE.items()} | {"fs_nobody": frozenset(), "": frozenset()}
EVERYTHING = max(CALLERS, key=lambda caller: len(CALLERS[caller]))
PROCESS = Desk()
API = Api(followed=PROCESS, keys=Keys([key for _, key in MADE.values()]))
ROUTES = sorted(
    {
        (method, str(route.path))  # type: ignore[attr-defined] # of routes that have one
        for route in API.routes
        if getattr(route, "path", "").startswith(("/v1/rules", "/v1/lists"))
        for method in route.methods  # type: ignore[attr-defined] # as above
    }
)

WRITING = [one for one in ROUTES if one[0] in {"POST", "PUT"}]


def mostly(right: st.SearchStrategy[Any], odd: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Seven of eight times what is right in form: a request has many fields."""
    return st.integers(0, 7).flatmap(lambda n: right if n else odd)


CODES, NAMES = st.sampled_from(["large", "other", "none"]), st.sampled_from(["bad", "cards", "new"])
WHY = mostly(st.just("seen"), TEXTS)
TIMES = st.sampled_from([None, 1_795_471_200_000, 4_102_444_800_000])
TABLES = st.fixed_dictionaries(
    {
        "code": CODES,
        "expression": mostly(
            st.sampled_from(["amount > 5", "amount > 50", "card_id in @cards"]),
            st.sampled_from(["card_id in @bad", "amount > 1/0", "().__class__"]) | TEXTS,
        ),
        "sentence": mostly(st.just("{amount}"), st.sampled_from(["{value}", "{"]) | TEXTS),
        "effect": st.just("alert"),
        "action": mostly(st.sampled_from(["review", "decline"]), st.none()),
    },
    optional={
        "mode": mostly(st.sampled_from(["live", "shadow"]), st.just("on")),
        "share": mostly(st.just(0.5), NUMBERS),
        "valid_from": mostly(TIMES, NUMBERS),
        "valid_until": mostly(TIMES, NUMBERS),
    },
)  # fmt: skip
ENTRIES = st.fixed_dictionaries(
    {"value": mostly(st.sampled_from(["t1", "t2"]), st.sampled_from(["4111111111111111", "pay\u0440al"]) | TEXTS)},
    optional={"until": mostly(TIMES, NUMBERS)},
)
BODIES: dict[str, st.SearchStrategy[Any]] = {
    "/v1/rules": st.fixed_dictionaries({"rules": st.lists(TABLES, max_size=3)}, optional={"author": TEXTS}),
    "/v1/rules/approvals": st.fixed_dictionaries({"code": CODES}, optional={"version": mostly(st.just(1), NUMBERS), "author": TEXTS}),
    "/v1/rules/releases": st.fixed_dictionaries(
        {"codes": st.lists(CODES, max_size=3), "why": WHY},
        optional={
            "confirm": st.lists(CODES, max_size=3),
            "bands": st.none() | st.fixed_dictionaries(dict.fromkeys(("threshold", "step_up", "decline"), NUMBERS)),
        },
    ),
    "/v1/rules/disabled": st.fixed_dictionaries({"codes": st.lists(CODES, max_size=3), "why": WHY}),
    "/v1/lists/{name}": st.fixed_dictionaries(
        {"of": st.sampled_from(["terminal", "card", "dog"]), "power": st.sampled_from(["block", "ask", "all"]), "why": WHY}
    ),
    "/v1/lists/{name}/entries": st.fixed_dictionaries({"entries": st.lists(ENTRIES, max_size=3), "why": WHY}),
    "/v1/lists/{name}/removals": st.fixed_dictionaries({"values": st.lists(mostly(st.just("t1"), TEXTS), max_size=3), "why": WHY}),
}


def anew() -> None:
    """A process whose topics hold a rule that is in force, and two lists."""
    PROCESS.rules.records, PROCESS.lists.records, PROCESS.previous = [], [], None
    PROCESS.__post_init__()
    API.desk.live = PROCESS.live
    PROCESS.release(rule("amount > 15", code="large"))
    PROCESS.lists.put(LIST, CardList("cards", "card", "ask", "ann", "for tests"))


def written(topic: Topic[Any], log: TopicLog[Any]) -> list[bytes]:
    """What a topic holds: every record of it is one that its readers take."""
    records = list(topic.records or ())
    for offset, record in enumerate(records):
        assert (refused := log.apply(offset, record, 0)) is None, refused
    return records


def both_topics() -> tuple[list[bytes], list[bytes]]:
    """What they hold."""
    return written(PROCESS.rules, RulesLog()), written(PROCESS.lists, ListsLog())


@st.composite
def contents(draw: st.DrawFn, path: str) -> bytes:
    """A body of the route, right in form but for some of its values; now and then any other, or some bytes of it turned."""
    body = draw(BODIES.get(path, JSON) if draw(st.integers(0, 19)) else JSON)
    content = json.dumps(body, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    return draw(mangled_bytes(content)) if draw(st.integers(0, 9)) == 0 else content


@examples(20)
@given(data=st.data())
def test_a_request_about_rules_or_lists_is_answered_and_changes_what_its_caller_may_change_alone(data: st.DataObject) -> None:
    """Below 500; a refusal is a problem, and writes nothing; who writes has the right to; and what is written is taken by its readers."""
    anew()
    for _ in range(data.draw(st.integers(1, 4))):
        method, route = data.draw(mostly(st.sampled_from(WRITING), st.sampled_from(ROUTES)))
        caller = data.draw(mostly(st.just(EVERYTHING), st.sampled_from(sorted(CALLERS))))
        path = route.replace("{code}", quote(data.draw(mostly(CODES, TEXTS)), safe="%"))
        path = path.replace("{name}", quote(data.draw(mostly(NAMES, TEXTS)), safe="%"))
        headers = {"authorization": f"Bearer {caller}", "content-type": "application/json"}
        before = both_topics()
        answer = API.ask(method, path, content=data.draw(contents(route)), headers=headers)
        after = both_topics()
        assert answer.status_code < 500, answer.text
        if answer.status_code >= 400:
            assert after == before
            if method != "HEAD":
                problem(answer)
        for scope, old, new in zip((Scope.RULES, Scope.LISTS), before, after, strict=True):
            assert new[: len(old)] == old
            assert new == old or (scope in CALLERS[caller] and method in {"POST", "PUT"})
