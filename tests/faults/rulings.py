"""What rules and lists must have decided: by the records of their topics alone, as far as a decision says that it had read them.

It knows the order of power by heart, and as much of the language as the suite writes; it runs nothing of the product.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Any, NamedTuple

ACTIONS = (None, "review", "step_up", "decline")
POWERS = (("final_block", "decline"), ("allow", None), ("block", "decline"))
BANDS = {"threshold": 0.5, "step_up": 0.75, "decline": 0.95}
"""The model's own."""
_COMPARISON = re.compile(r'(amount|channel) (>=|<|==) (?:(\d+)|"(\w+)")')
_READ = re.compile(rb"[^:]*:(\d+),[^:]*:(\d+)")


class Read(NamedTuple):
    """The next offset of both topics, as a decision says that they were read."""

    rules: int
    lists: int


class Asked(NamedTuple):
    """A payment and its score, as rules see them. `amount` is None where there is no rate."""

    card: str
    terminal: str
    channel: str | None
    event_time: int
    amount: float | None
    score: float


class Ruling(NamedTuple):
    """What is decided: action, by whom, the rules that hit as code, version and mode, and the lists."""

    action: str | None
    decided_by: str
    rules: tuple[tuple[str, int, str], ...] = ()
    lists: tuple[str, ...] = ()


def asked_of(payment: Mapping[str, Any], minor: int, score: float) -> Asked:
    """What is asked of a payment; `minor` is -1 where there is no rate."""
    amount = None if minor < 0 else minor / 100
    return Asked(payment["card_id"], payment["terminal_id"], payment.get("channel"), payment["event_time"], amount, score)


def of_model(score: float, bands: Mapping[str, float] = BANDS) -> str | None:
    """What the model alone does."""
    if score < bands["threshold"]:
        return None
    return "decline" if score >= bands["decline"] else "step_up" if score >= bands["step_up"] else "review"


def read_of(header: bytes | None) -> Read | None:
    """What a header `source.rules` says; None where there is none."""
    found = _READ.fullmatch(header or b"")
    return None if found is None else Read(int(found[1]), int(found[2]))


def ruling_of(message: Mapping[str, Any]) -> Ruling:
    """What a score or an alert says."""
    rules = tuple((hit["code"], hit["version"], hit["mode"]) for hit in message.get("rules", ()))
    return Ruling(message["action"], message.get("decided_by", "model"), rules, tuple(message.get("lists", ())))


class Books:
    """Both topics at every offset. A record is its offset, and what its JSON means."""

    def __init__(self, rules: Iterable[tuple[int, Any]] = (), lists: Iterable[tuple[int, Any]] = ()) -> None:
        self._releases = _releases(rules)
        self._lists = _contents(lists)

    def ruling(self, asked: Asked, read: Read | None) -> Ruling:
        """What is decided by one who has read so far; None: by nobody who reads them."""
        if read is None:
            return Ruling(of_model(asked.score), "model")
        release, lists = _at(self._releases, read.rules) or {}, _at(self._lists, read.lists) or {}
        hits = [rule for rule in release.get("of", ()) if _holds(rule, asked)]
        live = [rule for rule in hits if _mode(rule) == "live"]
        held = [name for name, (one, values) in lists.items() if one["power"] != "ask" and getattr(asked, one["of"]) in values]
        told = tuple((rule["code"], rule["version"], _mode(rule)) for rule in hits), tuple(held)
        for power, action in POWERS:
            if any(lists[name][0]["power"] == power for name in held):
                return Ruling(action, power, *told)
        if any(rule["effect"] == "suppress" for rule in live):
            return Ruling(None, "suppression", *told)
        if acting := max((ACTIONS.index(rule["action"]) for rule in live), default=0):
            return Ruling(ACTIONS[acting], "rule", *told)
        return Ruling(of_model(asked.score, release.get("policy") or BANDS), "model", *told)


def _at(states: list[tuple[int, Any]], offset: int) -> Any:
    place = bisect_right(states, offset, key=itemgetter(0))
    return states[place - 1][1] if place else None


def _releases(records: Iterable[tuple[int, Any]]) -> list[tuple[int, Any]]:
    """Releases with their rules, and from which offset on each is in force; one that does not follow is none."""
    known: dict[tuple[str, int], Any] = {}
    found: list[tuple[int, Any]] = []
    for offset, record in records:
        if record["kind"] == "rule":
            known.setdefault((record["code"], record["version"]), record)
        elif record["kind"] == "release" and record.get("previous") == (found[-1][1]["name"] if found else None):
            found.append((offset + 1, record | {"of": [known[of["code"], of["version"]] for of in record["rules"]]}))
    return found


def _contents(records: Iterable[tuple[int, Any]]) -> list[tuple[int, Any]]:
    """What all lists hold, by name, in the order in which they came: the list, and its values."""
    now: dict[str, tuple[Any, frozenset[str]]] = {}
    found: list[tuple[int, Any]] = []
    for offset, record in records:
        kind, name = record["kind"], record.get("name")
        one, values = now.get(name, (record, frozenset()))
        if kind == "list":
            now = now | {name: (record, values)}
        elif kind == "list_entries":
            now = now | {name: (one, values | {entry["value"] for entry in record["entries"]})}
        elif kind == "list_removal":
            now = now | {name: (one, values - {*record["values"]})}
        found.append((offset + 1, now))
    return found


def _mode(rule: Mapping[str, Any]) -> str:
    return str(rule.get("mode", "shadow"))


def _holds(rule: Mapping[str, Any], asked: Asked) -> bool:
    """Whether a rule's expression is true, and it is its time; what is unknown is not true."""
    if not rule.get("valid_from", 0) <= asked.event_time < rule.get("valid_until", 2**63):
        return False
    return all(_is_true(part, asked) for part in rule["expression"].split(" and "))


def _is_true(comparison: str, asked: Asked) -> bool:
    found = _COMPARISON.fullmatch(comparison)
    assert found, f"the suite writes {comparison!r}, and does not know what it means"
    name, operator, number, text = found.groups()
    if name == "channel":
        return asked.channel == text
    if asked.amount is None:
        return False
    return asked.amount >= int(number) if operator == ">=" else asked.amount < int(number)
