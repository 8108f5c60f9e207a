"""What somebody wants of the rules, held against what there is: no version more than is needed, and every difference told."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from stream_app.errors import RuleError
from stream_app.rules.changes import acting, before, differences, in_force, is_known, newest, released, version_of
from stream_app.rules.rule import Approval, digest_of, release_of
from stream_app.rules.rules_log import RulesLog
from tests.unit.rules.made import NOW_MS, rule


def holding(*records: Any) -> RulesLog:
    """A log of these."""
    log = RulesLog(10)
    for record in records:
        assert log.apply(log.offset, msgspec.json.encode(record), NOW_MS) is None
    return log


ONE, TWO = rule("amount > 1", code="one"), rule("amount > 2", code="one", version=2)
OTHER = rule("amount < 1", code="other", mode="shadow")
FIRST = release_of([ONE, OTHER], "ann", "why", None)


def test_what_says_the_same_is_no_new_version() -> None:
    """As the newest, or as the one in force; whoever wrote it, and whoever approved it."""
    log = holding(ONE, OTHER, FIRST, TWO, Approval("one", 1, digest_of(ONE), "bob"))
    assert version_of(log, rule("amount > 2", code="one"), "cid") == TWO
    in_force_now = version_of(log, rule("amount > 1", code="one", version=7), "cid")
    assert (in_force_now.version, in_force_now.approver) == (1, "bob")
    third = version_of(log, rule("amount > 3", code="one", approver="ann", author="ann"), "cid")  # as a file may say it
    assert (third.version, third.author, third.approver) == (3, "cid", None)
    assert not is_known(log, third)
    assert is_known(log, TWO)
    fresh = version_of(log, rule("amount > 3", code="fresh"), "cid")
    assert (fresh.version, is_known(log, fresh)) == (1, False)


def test_what_is_not_there_is_told_with_what_is() -> None:
    """Rules, and releases of the past."""
    log = holding(ONE, OTHER, FIRST)
    assert newest(holding(ONE, TWO), "one") == TWO
    with pytest.raises(RuleError, match="no rule 'none'; there are: one, other"):
        newest(log, "none")
    with pytest.raises(RuleError, match="no release of the past begins with 'zzz'"):
        released(log, "zzz")
    with pytest.raises(RuleError, match="2 releases of the past begin with ''"):
        released(holding(ONE, OTHER, FIRST, release_of([ONE], "ann", "why", FIRST.name)), "")
    with pytest.raises(RuleError, match="No release before this one"):
        before(log)


def test_the_release_before_is_the_last_one_that_holds_something_else() -> None:
    """One that was released again is not gone back to."""
    second = release_of([ONE], "ann", "why", FIRST.name)
    again = release_of([ONE], "bob", "again", second.name)
    log = holding(ONE, OTHER, FIRST, second, again)
    assert before(log).name == FIRST.name
    assert released(log, second.name[:8]).name == second.name


def test_each_rule_that_differs_is_told_once() -> None:
    """Added, taken out, changed; what is alike is not told."""
    changed = rule("amount > 2", code="one", version=2, mode="shadow", share=0.5)
    of, to = {"one": ONE, "gone": rule("score > 0", code="gone")}, {"one": changed, "other": OTHER}
    assert list(differences(of, to)) == [
        "- gone 1 (live, review): score > 0",
        "~ one 1 → 2: expression amount > 1 → amount > 2; mode live → shadow; share 1.0 → 0.5",
        "+ other 1 (shadow, review): amount < 1",
    ]
    assert list(differences(to, to)) == []
    assert list(differences({"one": ONE}, {"one": rule("amount > 1", code="one", version=2)})) == ["~ one 1 → 2: the same, put again"]


def test_what_comes_to_act_is_live_and_was_not_in_force() -> None:
    """A rule in shadow does nothing; one that is in force goes on."""
    log, quiet = holding(ONE, OTHER, FIRST, TWO), rule("score > 0", code="quiet", mode="shadow")
    assert [(one.code, one.version) for one in acting([TWO, OTHER, rule("score > 0", code="live"), quiet], log)] == [
        ("one", 2),
        ("live", 1),
    ]
    assert acting([*in_force(log).values()], log) == []
