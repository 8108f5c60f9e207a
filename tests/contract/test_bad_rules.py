"""What no rule and no entry of a list may be, through each door: a file or an option of the command line, a request to the API, a record in the topic.

Each door says why, in one line; what was in force stays.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stream_app.commands.list_files import checked_file
from stream_app.commands.rule_files import read_rules
from stream_app.commands.signing import signed
from stream_app.errors import FraudstreamError, RuleError
from stream_app.rules.lists import CardList, ListEntries, Lists
from stream_app.rules.lists_log import ListsLog
from stream_app.rules.rule import release_of
from stream_app.rules.rules_log import RulesLog
from stream_app.rules.topic_log import TopicLog
from tests.unit.api.test_api import Api, problem
from tests.unit.delivery.test_live_rules import Desk
from tests.unit.rules.made import NOW_MS, rule

RULE: dict[str, Any] = {"code": "bad", "expression": "amount > 15", "sentence": "{amount}", "effect": "alert", "action": "review"}
DEEP, DEEPER = "not " * 30 + "approved", "-" * 30 + "amount > 1"
EXPRESSIONS = {
    "().__class__.__bases__": "a call of anything but|a row of values|only `attributes` has parts",
    "amount.__class__ == 1": "only `attributes` has parts",
    "__import__('os').system('x') == 1": "a call of anything but a function by its name",
    "eval('1') > 0": "there is no function 'eval'",
    "[a for a in (1, 2)]": "a loop is not allowed",
    "(amount := 1) > 0": "':' means nothing here",
    "f'{amount}' == channel": "put a space or an operator before",
    "lambda: amount": "':' means nothing here",
    "amount if approved else 1": "`if` is not allowed",
    "max(amount, *amount) > 1": "this is not allowed",
    "abs(**amount) > 1": "takes values alone",
    "terminal_id in @a in @b": "a list can only be asked|there is no list @a",
    "(amount in (1, 2)) in (3, 4)": "here stand constants",
    "amount in ((1, 2), 3)": "a row of values is not allowed",
    f"amount in ({', '.join(map(str, range(33)))})": "between 1 and 32 values",
    f"amount in ({', '.join(map(str, range(300)))})": "more than",
    "amunt > 1": "the nearest is 'amount'",
    "bad > 1": "there is no 'bad'",
    "abs > 1": "there is no 'abs'",
    "min(amount) > 1": "`min` takes 2 values",
    "amount > nan": "there is no 'nan'",
    "amount > 'x'": "a number is compared with a text",
    "approved == amount": "what is true or false is not compared",
    "amount > 1" + "0" * 400: "this number is too large",
    "amount > 1e999": "this number is too large",
    "amount > 1 / 0": "this never has a value",
    DEEP: "nested more than 24 deep",
    DEEPER: "nested more than 24 deep",
    "(" * 40 + "approved" + ")" * 40: "more than 16 brackets are open",
    "\u0430mount > 1": "U+0430",
    "amount\u200b > 1": "U+200B",
    "amount \uff1e 1": "U+FF1E",
    "merchant_id == 'p\u0430ypal'": "U+0430",
    "amount > 1\x00": "U+0000",
    " \t ": "it is empty",
    "amount > 1 or " * 146 + "approved": "2,0|length <= 2048",
    "é" * 1_500: "3,000 bytes",
    "amount > 1 or " * 80_000 + "approved": "length <= 2048|bytes are allowed|1,000,000 are allowed|larger than",
}
FIELDS: list[tuple[dict[str, Any], str]] = [
    ({"share": 0}, "> 0.0"),
    ({"share": 1.01}, "<= 1.0"),
    ({"share": float("nan")}, "> 0.0|invalid character|got `null`"),
    ({"share": 10**400}, "out of range"),
    ({"valid_from": 2 * 10**12, "valid_until": 2 * 10**12}, "valid_until is not after valid_from"),
    ({"valid_until": 10**400}, "out of range|<="),
    ({"sentence": "{value}"}, "there is no 'value'"),
    ({"sentence": "{amount.real}"}, "there is no 'amount.real'"),
    ({"sentence": "{amount!r:>9}"}, "nothing follows the name"),
    ({"sentence": "{"}, "its braces do not fit"),
    ({"sentence": "a\nb"}, "a control character or a line end"),
    ({"sentence": "a" * 301}, "length <= 300"),
    ({"action": None}, "one that alerts has an action"),
    ({"effect": "suppress"}, "one that suppresses has none"),
    ({"effect": "block"}, "Invalid enum value"),
    ({"mode": "on"}, "Invalid enum value"),
    ({"code": "Bad"}, "matching regex"),
    ({"code": "bad\n"}, "matching regex"),
    ({"code": "b\u0430d"}, "matching regex"),
    ({"more": 1}, "unknown field"),
    ({"expression": 5}, "Expected `str`"),
]
CASES = [({"expression": text}, told) for text, told in EXPRESSIONS.items()] + FIELDS


def of_toml(value: Any) -> str:
    """A value as TOML has it."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)


def by_file(fields: dict[str, Any]) -> str:
    """`fraudstream rules check`: why, after file and rule."""
    Path("rules.toml").write_text("[[rule]]\n" + "".join(f"{k} = {of_toml(v)}\n" for k, v in fields.items() if v is not None), "utf-8")
    found = read_rules(Path("rules.toml"))
    assert found.rules == ()
    (why,) = found.wrong
    assert why.startswith("rules.toml, rule 1: ")
    return why


@cache
def api_of_rules() -> tuple[Api, Desk]:
    """One for all: none of these requests changes anything."""
    process = Desk()
    process.release(rule("amount > 15"))
    return Api(followed=process), process


def by_api(fields: dict[str, Any]) -> str:
    """`POST /v1/rules`: what it answers."""
    api, process = api_of_rules()
    content = json.dumps({"rules": [fields], "author": "ann"}).encode()
    status, why, _ = problem(api.ask("POST", "/v1/rules", content=content, headers={"content-type": "application/json"}))
    assert status in {400, 413, 422}
    assert len(process.rules.records or ()) == 2
    assert [one.rule.code for one in process.live.in_force.rules] == ["a_rule"]
    return why


def refused_in(log: TopicLog[Any], value: bytes) -> str:
    """Why a record is not taken; the log holds what it held."""
    before = list(log.records(0))
    refused = log.apply(log.offset, value, NOW_MS)
    assert refused is not None
    assert list(log.records(0)) == before
    return refused.why


def log_of_rules() -> RulesLog:
    """With a release in force."""
    one, log = rule("amount > 15"), RulesLog()
    records = map(msgspec.json.encode, (one, release_of([one], "ann", "for tests", None)))
    assert [log.apply(n, value, NOW_MS) for n, value in enumerate(records)] == [None, None]
    return log


def by_topic(fields: dict[str, Any]) -> str:
    """A record of `fraud-rules` that another program wrote."""
    log = log_of_rules()
    why = refused_in(log, json.dumps({"kind": "rule", "version": 1, "author": "ann"} | fields).encode())
    assert log.in_force is not None
    return why


@pytest.mark.parametrize("door", [by_file, by_api, by_topic], ids=["file", "api", "topic"])
@pytest.mark.parametrize(("fields", "told"), CASES, ids=range(len(CASES)))
def test_what_is_no_rule_is_refused_through_each_door(fields: dict[str, Any], told: str, door: Callable[[dict[str, Any]], str]) -> None:
    """In the same words where they are ours, and in one line; nothing changes."""
    why = door(RULE | fields)
    assert any(words in why for words in told.split("|")), why
    assert "\n" not in why
    assert len(why) < 600, "what was written is not said back at length"


BAD_ENTRIES: list[tuple[str, list[dict[str, Any]], str]] = [
    ("card", [{"value": "4111111111111111"}], "this is a card number"),
    ("card", [{"value": "tok-1"}, {"value": "tok-1"}], "stands twice|stands there again"),
    ("card", [{"value": "tok-1", "until": NOW_MS - 1}], "is past"),
    ("card", [{"value": "tok-1", "until": 10**400}], "out of range|<=|no time|until"),
    ("card", [{"value": "tok-\u0430"}], "U+0430"),
    ("card", [{"value": "tok\u200b"}], "U+200B"),
    ("card", [{"value": "a\x00b"}], "matching regex|no control character|no CSV"),
    ("card", [{"value": "a" * 65}], "matching regex|1 to 64 signs"),
    ("country", [{"value": "UK"}], "'UK' is no country"),
]


def log_of(kind: Any) -> ListsLog:
    """A list of this kind that blocks."""
    log = ListsLog()
    assert log.apply(0, msgspec.json.encode(CardList("watched", kind, "block", "ann", "for tests")), NOW_MS) is None
    return log


def entries_by_command(kind: str, entries: list[dict[str, Any]]) -> str:
    """`fraudstream lists add`, but for Kafka."""
    with pytest.raises(RuleError) as refused:
        log_of(kind).check(signed(ListEntries, name="watched", entries=entries, author="ann", why="for tests"), NOW_MS)
    return str(refused.value)


def entries_by_file(kind: str, entries: list[dict[str, Any]]) -> str:
    """`fraudstream lists import`, but for Kafka."""
    Path("list.csv").write_text("value,until\n" + "".join(f"{one['value']},{one.get('until', '')}\n" for one in entries), "utf-8")
    with pytest.raises(FraudstreamError) as refused:
        checked_file(Path("list.csv"), log_of(kind).lists.known["watched"], Lists(), None, NOW_MS, refuse_card_numbers=True)
    return str(refused.value)


@cache
def api_of_lists(kind: Any) -> tuple[Api, Desk]:
    """With a list of this kind."""
    process = Desk()
    process.lists.put(CardList("watched", kind, "block", "ann", "for tests"))
    return Api(followed=process), process


def entries_by_api(kind: str, entries: list[dict[str, Any]]) -> str:
    """`POST /v1/lists/watched/entries`."""
    api, process = api_of_lists(kind)
    content = json.dumps({"entries": entries, "author": "ann", "why": "for tests"}).encode()
    headers = {"content-type": "application/json"}
    status, why, _ = problem(api.ask("POST", "/v1/lists/watched/entries", content=content, headers=headers))
    assert status in {400, 413, 422}
    assert len(process.lists.records or ()) == 1
    return why


def entries_by_topic(kind: str, entries: list[dict[str, Any]]) -> str:
    """A record of `fraud-lists` that another program wrote."""
    record = {"kind": "list_entries", "name": "watched", "entries": entries, "author": "ann", "why": "for tests"}
    return refused_in(log_of(kind), json.dumps(record).encode())


DOORS = [entries_by_command, entries_by_file, entries_by_api, entries_by_topic]


@pytest.mark.parametrize("door", DOORS, ids=["command", "file", "api", "topic"])
@pytest.mark.parametrize(("kind", "entries", "told"), BAD_ENTRIES, ids=range(len(BAD_ENTRIES)))
def test_what_is_no_entry_is_refused_through_each_door(
    kind: str, entries: list[dict[str, Any]], told: str, door: Callable[[str, list[dict[str, Any]]], str]
) -> None:
    """With all that came beside it; a card number is not said back."""
    why = door(kind, [{"value": "FR" if kind == "country" else "right"}, *entries])
    assert any(words in why for words in told.split("|")), why
    assert "4111111111111111" not in why


@pytest.mark.parametrize("door", [entries_by_api, entries_by_topic], ids=["api", "topic"])
def test_a_million_entries_at_once_are_refused(door: Callable[[str, list[dict[str, Any]]], str]) -> None:
    """As a request and as a record; a file of them is sent in thousand records, and what `lists add` is given too."""
    why = door("card", [{"value": "tok"}] * 1_000_000)
    assert any(words in why for words in ("1,000,000 are allowed", "The body is larger than")), why
    assert "length <= 1000" in door("card", [{"value": f"tok-{n}"} for n in range(1_001)])


def test_a_release_of_too_many_rules_or_of_some_that_are_not_there_leaves_the_one_before() -> None:
    """100,000 of them as a request, and as a record."""
    (api, process), codes, log = api_of_rules(), [f"r{n}" for n in range(100_000)], log_of_rules()
    request = {"codes": codes, "why": "many", "author": "ann"}
    assert "larger than" in problem(api.ask("POST", "/v1/rules/releases", json=request))[1]
    assert "length <= 1000" in problem(api.ask("POST", "/v1/rules/releases", json=request | {"codes": codes[:1_001]}))[1]
    assert "There is no rule 'r0'" in problem(api.ask("POST", "/v1/rules/releases", json=request | {"codes": codes[:1_000]}))[1]
    references = [{"code": code, "version": 1, "sha256": "0" * 64} for code in codes]
    record = {"kind": "release", "name": "0" * 64, "rules": references, "author": "ann", "why": "many"}
    assert "1,000,000 are allowed" in refused_in(log, json.dumps(record).encode())
    assert "length <= 1000" in refused_in(log, json.dumps(record | {"rules": references[:1_001]}).encode())
    assert len(process.rules.records or ()) == 2
