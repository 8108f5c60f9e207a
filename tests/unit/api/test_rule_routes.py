"""The routes of rules and lists over topics in memory: who may do what, in whose name, and what is refused in the commands' words."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest

from stream_app.api.keys import Keys, Scope, new_key
from stream_app.api.rule_messages import RuleDraft
from stream_app.rules.rule import Rule
from tests.unit.api.test_api import Api, problem
from tests.unit.delivery.test_live_rules import LIST, Desk

RULE = {"code": "large", "expression": "amount > 15", "sentence": "{amount}", "effect": "alert", "action": "review", "mode": "live"}
WHY = {"why": "for tests", "author": "ann"}


def test_a_rule_goes_its_whole_way_over_http() -> None:
    """Put, approved, released, looked at, disabled."""
    api = Api(followed=Desk())

    def post(path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = api.ask("POST", path, json=body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    assert post("/v1/rules", {"rules": [RULE], "author": "ann"}) == {"rules": [{"code": "large", "version": 1, "new": True}]}
    assert post("/v1/rules/approvals", {"code": "large", "author": "bob"})["rules"][0]["version"] == 1
    bands = {"threshold": 0.5, "step_up": 0.6, "decline": 0.7}
    released = post("/v1/rules/releases", {"codes": ["large"], "confirm": ["large"], "bands": bands} | WHY)
    assert released["changes"] == ["+ large 1 (live, review): amount > 15"]
    assert post("/v1/rules", {"rules": [RULE | {"expression": "amount > 20"}], "author": "ann"})["rules"][0]["version"] == 2
    seen = api.ask("GET", "/v1/rules").json()
    assert seen["release"] == {"name": released["release"], "author": "ann", "why": "for tests", "bands": bands}
    told = [(one["rule"]["version"], one["rule"].get("approver"), one["in_force"]) for one in seen["rules"]]
    assert told == [(1, "bob", True), (2, None, False)]
    assert [one["rule"]["version"] for one in api.ask("GET", "/v1/rules/large").json()["rules"]] == [2, 1]
    assert post("/v1/rules/disabled", {"codes": ["large"]} | WHY)["changes"] == ["- large 1 (live, review): amount > 15"]
    assert api.ask("GET", "/v1/rules").json()["rules"] == [{"rule": seen["rules"][1]["rule"], "in_force": False}]


def test_a_list_goes_its_whole_way_over_http() -> None:
    """Made, filled, looked at, emptied."""
    api = Api(followed=Desk())
    made = api.ask("PUT", "/v1/lists/bad", json={"of": "terminal", "power": "block"} | WHY).json()
    assert made == {"name": "bad", "of": "terminal", "power": "block", "entries": 0, "author": "ann", "why": "for tests"}
    entries = [{"value": "t1"}, {"value": "t2", "until": 4_000_000_000_000}]
    assert api.ask("POST", "/v1/lists/bad/entries", json={"entries": entries} | WHY).json()["entries"] == 2
    assert api.ask("POST", "/v1/lists/bad/removals", json={"values": ["t1"]} | WHY).json()["entries"] == 1
    held = {"value": "t2", "until": 4_000_000_000_000, "author": "ann", "why": "for tests"}
    assert api.ask("GET", "/v1/lists/bad").json() == {"list": made | {"entries": 1}, "entries": [held]}
    assert api.ask("GET", "/v1/lists/bad?limit=0").json()["entries"] == []
    assert api.ask("GET", "/v1/lists").json() == {"lists": [made | {"entries": 1}]}


BAD: list[tuple[str, str, dict[str, Any], int, str, str]] = [
    ("POST", "/v1/rules", {"rules": [RULE]}, 422, "author is missing", "#/author"),
    ("POST", "/v1/rules", {"rules": [], "author": "ann"}, 422, "length >= 1", "#/rules"),
    ("POST", "/v1/rules", {"rules": [RULE | {"code": f"c{n}"} for n in range(51)], "author": "ann"}, 422, "length <= 50", "#/rules"),
    ("POST", "/v1/rules", {"rules": [RULE, RULE | {"mode": "shadow"}], "author": "ann"}, 422, "Rule 'large' stands there twice", "#"),
    ("POST", "/v1/rules", {"rules": [RULE | {"version": 2}], "author": "ann"}, 422, "unknown field `version`", "#/rules/0/version"),
    ("POST", "/v1/rules", {"rules": [RULE | {"expression": "amout > 15"}], "author": "ann"}, 422, "amount", "#"),
    (
        "POST",
        "/v1/rules",
        {"rules": [RULE | {"expression": "().__class__"}], "author": "ann"},
        422,
        "Rule 'large', version 1, expression",
        "#",
    ),
    ("POST", "/v1/rules/approvals", {"code": "none", "author": "ann"}, 422, "There is no rule 'none'", "#"),
    ("POST", "/v1/rules/releases", {"codes": ["none"]} | WHY, 422, "There is no rule 'none'", "#"),
    ("POST", "/v1/rules/releases", {"codes": []} | WHY | {"why": "a\nb"}, 422, "why", "#/why"),
    ("POST", "/v1/rules/disabled", {"codes": ["none"]} | WHY, 422, "Rule 'none' is not in force", "#"),
    ("GET", "/v1/rules/none", {}, 404, "There is no rule 'none'", ""),
    ("GET", "/v1/rules/None", {}, 422, "code: String should match pattern", "path: code"),
    ("PUT", "/v1/lists/bad", {"of": "card"} | WHY, 422, "holds values of kind 'terminal'", "#"),
    ("PUT", "/v1/lists/new", {"of": "dog"} | WHY, 422, "of", "#/of"),
    ("POST", "/v1/lists/none/entries", {"entries": [{"value": "t1"}]} | WHY, 422, "There is no list 'none'", "#"),
    ("POST", "/v1/lists/bad/entries", {"entries": [{"value": "t1"}] * 1_001} | WHY, 422, "length <= 1000", "#/entries"),
    ("POST", "/v1/lists/bad/entries", {"entries": [{"value": "t1", "until": 1_000_000_000_000}]} | WHY, 422, "is past", "#"),
    ("POST", "/v1/lists/bad/removals", {"values": []} | WHY, 422, "length >= 1", "#/values"),
    ("GET", "/v1/lists/none", {}, 404, "There is no list 'none'", ""),
    ("GET", "/v1/lists/bad?most=1", {}, 422, "'most' is unknown; `limit` is the only one", "query: most"),
    ("GET", "/v1/lists/bad?limit=1001", {}, 422, "limit: Input should be less than or equal to 1000", "query: limit"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "why", "pointer"), BAD)
def test_a_change_that_is_refused_is_told_and_nothing_is_written(
    method: str, path: str, body: dict[str, Any], status: int, why: str, pointer: str
) -> None:
    """In the words of the commands, where it is a matter of rules and lists; else with its field."""
    process = Desk()
    process.lists.put(LIST)
    found = problem(Api(followed=process).ask(method, path, **({"json": body} if body else {})))
    assert (found[0], found[2]) == (status, pointer), found
    assert why in found[1]
    assert (process.rules.records, len(process.lists.records or ())) == ([], 1)


def test_of_a_rules_versions_the_one_in_force_is_told() -> None:
    """The newest stands first, and may be another."""
    api = Api(followed=Desk())
    for path, body in (
        ("/v1/rules", {"rules": [RULE], "author": "ann"}),
        ("/v1/rules/releases", {"codes": ["large"], "confirm": ["large"]} | WHY),
        ("/v1/rules", {"rules": [RULE | {"expression": "amount > 20"}], "author": "ann"}),
    ):
        assert api.ask("POST", path, json=body).status_code == 200
    told = api.ask("GET", "/v1/rules/large").json()["rules"]
    assert [(one["rule"]["version"], one["in_force"]) for one in told] == [(2, False), (1, True)]


def test_each_change_is_signed_and_each_answer_says_what_is_there() -> None:
    """By who said so; a rule that is there is not new, a version may be named, and one that is in force and newest stands once."""
    process = Desk()
    api = Api(followed=process)

    def post(path: str, body: dict[str, Any]) -> Any:
        answer = api.ask("POST", path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    rules = {"rules": [RULE], "author": "ann"}
    assert [post("/v1/rules", rules)["rules"][0]["new"] for _ in range(2)] == [True, False]
    post("/v1/rules/releases", {"codes": ["large"], "confirm": ["large"]} | WHY)
    assert [one["in_force"] for one in api.ask("GET", "/v1/rules").json()["rules"]] == [True]
    post("/v1/rules", {"rules": [RULE | {"expression": "amount > 20"}], "author": "ann"})
    assert post("/v1/rules/approvals", {"code": "large", "version": 1, "author": "bob"})["rules"][0]["version"] == 1
    post("/v1/rules/disabled", {"codes": ["large"], "why": "over", "author": "bob"})
    assert api.ask("GET", "/v1/rules").json()["release"]["author"] == "bob"
    process.lists.put(LIST)
    post("/v1/lists/bad/entries", {"entries": [{"value": "t1"}]} | WHY)
    assert api.ask("GET", "/v1/lists/bad").json()["entries"] == [{"value": "t1", "until": None, "author": "ann", "why": "for tests"}]
    post("/v1/lists/bad/removals", {"values": ["t1"], "why": "over", "author": "bob"})
    assert msgspec.json.decode((process.lists.records or [])[-1])["author"] == "bob"


@pytest.mark.parametrize("scopes", [(Scope.SCORE, Scope.LABEL), (Scope.READ,)], ids=["neither", "read"])
def test_every_route_of_rules_and_lists_asks_for_a_scope(scopes: tuple[Scope, ...]) -> None:
    """Who may score alone looks at nothing here; who may look changes nothing."""
    api, headers = with_key(*scopes)
    asked = 0
    for route in api.routes:
        path = getattr(route, "path", "").replace("{code}", "large").replace("{name}", "bad")
        for method in route.methods if path.startswith(("/v1/rules", "/v1/lists")) else ():  # type: ignore[attr-defined] # of our routes
            asked += 1
            status = api.ask(method, path, json={}, headers=headers).status_code
            assert (status == 403) is (method not in {"GET", "HEAD"} or Scope.READ not in scopes), (method, path, status)
    assert asked > 10


def test_a_rule_of_a_request_has_every_field_of_a_rule_that_its_author_decides() -> None:
    """With its form and its default: what a command takes and the API forgot would be lost with the next version that is put over HTTP."""
    said_by_us = {"version", "author", "approver"}
    of_rule = {field.name: field for field in msgspec.structs.fields(Rule) if field.name not in said_by_us}
    assert {field.name: field for field in msgspec.structs.fields(RuleDraft)} == of_rule
    everything = RULE | {"share": 0.5, "valid_from": 10**12, "valid_until": 2 * 10**12, "expected_share": 0.25}
    api = Api(followed=Desk())
    assert api.ask("POST", "/v1/rules", json={"rules": [everything], "author": "ann"}).status_code == 200
    (told,) = api.ask("GET", "/v1/rules").json()["rules"]
    assert everything.items() <= told["rule"].items()


def with_key(*scopes: Scope) -> tuple[Api, dict[str, str]]:
    """An API with one key, `bob`'s, and its header."""
    process = Desk()
    process.lists.put(LIST)
    text, key = new_key("bob", scopes)
    return Api(followed=process, keys=Keys((key,))), {"Authorization": f"Bearer {text}"}


def test_a_change_is_signed_by_the_name_of_its_key_and_by_no_other() -> None:
    """So that who approves is another than the author, whatever either says."""
    api, headers = with_key(Scope.RULES)

    def put(**more: str) -> httpx.Response:
        return api.ask("POST", "/v1/rules", json={"rules": [RULE], **more}, headers=headers)

    found = problem(put(author="ann"))
    assert (found[0], found[2], "by the name of its key, 'bob'" in found[1]) == (422, "#/author", True)
    assert put().status_code == put(author="bob").status_code == 200
    assert api.ask("GET", "/v1/rules", headers=headers).json()["rules"][0]["rule"]["author"] == "bob"
    told = problem(api.ask("POST", "/v1/rules/approvals", json={"code": "large"}, headers=headers))
    assert (told[0], "its author cannot approve it" in told[1]) == (422, True)


@pytest.mark.parametrize("scope", list(Scope))
def test_rules_and_lists_have_scopes_of_their_own_and_who_may_read_may_look(scope: Scope) -> None:
    """Neither changes the other; a key that scores changes nothing."""
    api, headers = with_key(scope)
    entries = {"entries": [{"value": "t1"}], "why": "for tests"}
    may = {
        "rules": api.ask("POST", "/v1/rules", json={"rules": [RULE]}, headers=headers).status_code == 200,
        "lists": api.ask("POST", "/v1/lists/bad/entries", json=entries, headers=headers).status_code == 200,
        "look at rules": api.ask("GET", "/v1/rules", headers=headers).status_code == 200,
        "look at lists": api.ask("GET", "/v1/lists/bad", headers=headers).status_code == 200,
    }
    wanted = {
        Scope.RULES: {"rules", "look at rules"},
        Scope.LISTS: {"lists", "look at lists"},
        Scope.READ: {"look at rules", "look at lists"},
    }
    assert {what for what, allowed in may.items() if allowed} == wanted.get(scope, set())


def test_an_api_that_does_not_follow_the_topics_says_so() -> None:
    """Not read yet: it may be tried again. Not there: with what makes them."""
    assert problem(Api().ask("GET", "/v1/rules"))[0] == 503
    process = Desk()
    process.rules.records = process.lists.records = None
    for path in ("/v1/rules", "/v1/lists"):
        found = problem(Api(followed=process).ask("GET", path))
        assert (found[0], "does not exist. Create all that are missing: `fraudstream topics`" in found[1]) == (404, True)
