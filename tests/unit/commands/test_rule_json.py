"""Rules, lists and their history as JSON: every field is always there, and they say what is."""

from __future__ import annotations

import msgspec

from stream_app.commands.rule_json import differences_told, entries_told, list_told, record_told, rule_told, rules_told, versions_told
from stream_app.rules.changes import in_force
from stream_app.rules.checkpoint import pieces_of
from stream_app.rules.entries import FOREVER, Entry
from stream_app.rules.lists import CardList
from stream_app.rules.rule import Approval, ReleasePolicy, Rule, digest_of, release_of
from stream_app.rules.rules_log import RulesLog
from tests.unit.rules.made import NOW_MS, rule
from tests.unit.scoring.test_scorer import FakeRecord

FIRST, SECOND = rule("amount > 5", code="large"), rule("amount > 9", code="large", version=2, expected_share=0.5)
OTHER = rule("amount > 1", code="other", mode="shadow", share=0.5)


def log_of(*records: msgspec.Struct) -> RulesLog:
    """What these records come to."""
    log = RulesLog()
    for record in records:
        assert log.apply(log.offset, msgspec.json.encode(record), NOW_MS) is None
    return log


def test_a_rule_has_all_fields_and_its_hash_whatever_was_left_out() -> None:
    """Those of `rule.v1`, but for what the record is."""
    told = rule_told(FIRST)
    assert told.keys() == {*Rule.__struct_fields__, "sha256"}
    assert (told["share"], told["valid_until"], told["approver"], told["sha256"]) == (1.0, None, None, digest_of(FIRST))


def test_the_release_and_of_each_rule_what_is_in_force_and_what_is_newest_are_told() -> None:
    """Before the first release nothing is in force, and null says so."""
    nothing = {"release": None, "rules": [{"code": "large", "in_force": None, "newest": rule_told(FIRST)}]}
    assert rules_told(log_of(FIRST)) == nothing
    log = log_of(FIRST, release_of([FIRST], "bob", "why", None, ReleasePolicy(0.1, 0.2, 0.3)), SECOND, OTHER)
    told = rules_told(log)
    assert log.in_force is not None
    assert told["release"] == {
        "name": log.in_force.name,
        "author": "bob",
        "why": "why",
        "policy": {"threshold": 0.1, "step_up": 0.2, "decline": 0.3},
    }
    assert told["rules"] == [
        {"code": "large", "in_force": rule_told(FIRST), "newest": rule_told(SECOND)},
        {"code": "other", "in_force": None, "newest": rule_told(OTHER)},
    ]
    assert versions_told(log, "large") == {"code": "large", "in_force": 1, "versions": [rule_told(SECOND), rule_told(FIRST)]}
    assert versions_told(log, "other")["in_force"] is None


def test_a_difference_names_what_comes_what_goes_and_which_fields_change() -> None:
    """What is the same is left out, and so is who approved it meanwhile."""
    log = log_of(FIRST, OTHER, release_of([FIRST, OTHER], "bob", "why", None))
    now = in_force(log)
    approved = msgspec.structs.replace(OTHER, approver="eve")
    assert differences_told(now, now | {"other": approved}) == {"different": False, "changes": []}
    assert differences_told(now, {"large": SECOND, "third": FIRST}) == {
        "different": True,
        "changes": [
            {"code": "large", "from": rule_told(FIRST), "to": rule_told(SECOND), "changed": ["expression", "expected_share"]},
            {"code": "other", "from": rule_told(OTHER), "to": None, "changed": []},
            {"code": "third", "from": None, "to": rule_told(FIRST), "changed": []},
        ],
    }


def test_a_record_of_the_history_says_what_it_is_and_why_it_was_refused() -> None:
    """What cannot be read too; of a checkpoint what says which piece it is."""
    approval = Approval("large", 1, digest_of(FIRST), "bob")
    (piece,) = pieces_of([msgspec.json.encode(FIRST)], "one", 3, 0)
    found = [
        record_told(FakeRecord(n, b"", value), why)
        for n, (value, why) in enumerate(((msgspec.json.encode(approval), None), (piece, None), (b"torn", "it is torn")))
    ]
    assert [(told["offset"], told["kind"], told["refused"]) for told in found] == [
        (0, "rule_approval", None),
        (1, "checkpoint", None),
        (2, None, "it is torn"),
    ]
    assert found[0]["record"] == {"code": "large", "version": 1, "sha256": digest_of(FIRST), "approver": "bob"}
    assert found[1]["record"] == {"id": "one", "at": 3, "piece": 0}
    assert found[2]["record"] is None
    assert all(told.keys() == {"offset", "at_ms", "kind", "record", "refused"} for told in found)


def test_a_list_and_its_entries_are_told_with_their_ends() -> None:
    """Null is an entry without one."""
    one = CardList("bad", "terminal", "block", "ann", "for tests")
    head = {"name": "bad", "of": "terminal", "power": "block", "author": "ann", "why": "for tests"}
    assert list_told(one, 3, 1) == head | {"count": 3, "ending": 1}
    entries = [Entry("t1", FOREVER, "seen", "bob"), Entry("t2", NOW_MS, "seen", "bob")]
    assert entries_told(one, 3, entries) == head | {
        "count": 3,
        "entries": [
            {"value": "t1", "until": None, "reason": "seen", "author": "bob"},
            {"value": "t2", "until": NOW_MS, "reason": "seen", "author": "bob"},
        ],
    }
