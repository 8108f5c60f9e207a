"""What the commands that change rules write, and what they refuse before anything is written; on a topic in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
import typer

from stream_app.commands import rule_changes
from stream_app.commands.signing import Signature
from stream_app.commands.wide_rules import WideRules
from stream_app.errors import RuleError
from stream_app.rules.changes import in_force
from stream_app.rules.rule import Approval, ReleasePolicy, Rule, digest_of
from stream_app.rules.rules_log import RulesLog
from stream_app.settings import load_settings
from tests.unit.rules.made import NOW_MS, rule

LIVE, QUIET = rule("amount > 5", code="large"), rule("amount > 1", code="quiet", mode="shadow")
ANN = Signature("ann", "for tests")
NOT_TRIED = WideRules(None, None, ())
"""Nothing says how much a rule hits."""


class Written:
    """A topic of rules, as `RuleWriter` has it: what would be refused is not written."""

    def __init__(self, *records: msgspec.Struct) -> None:
        self.log, self.count = RulesLog(10), 0
        asyncio.run(self.write(map(msgspec.json.encode, records)))

    async def write(self, values: Iterable[bytes]) -> None:
        """See `RuleWriter`."""
        for value in values:
            self.log.check(value, NOW_MS)
            assert self.log.apply(self.log.offset, value, NOW_MS) is None
            self.count += 1

    def release(self, *rules: Rule, wide: WideRules | None = None, policy: ReleasePolicy | None = None, **settings: Any) -> None:
        """Bring rules into force."""
        wanted = {one.code: one for one in rules}
        writer: Any = self
        asyncio.run(rule_changes._release(writer, wanted, ANN, load_settings(**settings), wide, policy))


def test_a_release_follows_the_one_in_force_and_the_same_again_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Its difference is told."""
    topic = Written(LIVE, QUIET)
    topic.release(QUIET)
    topic.release(LIVE, QUIET)
    assert list(in_force(topic.log)) == ["large", "quiet"]
    assert "+ large 1 (live, review): amount > 5" in capsys.readouterr().out
    before = topic.count
    topic.release(QUIET, LIVE)
    assert topic.count == before
    assert "nothing changes" in capsys.readouterr().out
    topic.release(QUIET, LIVE, policy=ReleasePolicy(0.1, 0.2, 0.3))
    assert topic.count == before + 1


def test_where_rules_need_approval_a_live_one_waits_for_another_person() -> None:
    """Nothing is written until then; one in shadow needs nobody, and where none is needed nobody is asked."""
    topic = Written(LIVE, QUIET)
    topic.release(QUIET, rules_need_approval=True)
    before = topic.count
    with pytest.raises(RuleError, match=r"Nobody approved large .*rules approve large"):
        topic.release(LIVE, QUIET, rules_need_approval=True)
    assert topic.count == before
    asyncio.run(topic.write([msgspec.json.encode(Approval("large", 1, digest_of(LIVE), "bob"))]))
    topic.release(topic.log.rules["large"][1], QUIET, rules_need_approval=True)
    other = Written(LIVE)
    other.release(LIVE)
    assert list(in_force(topic.log)) == ["large", "quiet"]
    assert list(in_force(other.log)) == ["large"]


def test_what_comes_to_act_is_tried_before_anything_is_written() -> None:
    """What acts already, and what is in shadow, is not asked again."""
    topic = Written(LIVE, QUIET)
    topic.release(QUIET, wide=NOT_TRIED)
    before = topic.count
    with pytest.raises(RuleError, match="Rule 'large' would act on payments, and nothing says how many"):
        topic.release(LIVE, QUIET, wide=NOT_TRIED)
    assert topic.count == before
    topic.release(LIVE, QUIET, wide=WideRules(None, None, ("large",)))
    topic.release(LIVE, wide=NOT_TRIED)
    assert list(in_force(topic.log)) == ["large"]


def test_only_new_versions_are_put(capsys: pytest.CaptureFixture[str]) -> None:
    """What is there already is told as that."""
    topic: Any = Written(LIVE)
    asyncio.run(rule_changes._put(topic, [LIVE, QUIET]))
    assert topic.count == 2
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == ["unchanged", "put"]


def test_bands_are_three_numbers_or_the_models_own_and_stay_where_none_are_given() -> None:
    """What is no number, or falls, is refused in words."""
    topic, policy = Written(LIVE), ReleasePolicy(0.25, 0.5, 0.75)
    topic.release(LIVE, policy=policy)
    assert rule_changes._policy(topic.log, None) == policy
    assert rule_changes._policy(topic.log, "model") is None
    assert rule_changes._policy(topic.log, "0.1,0.2,0.3") == ReleasePolicy(0.1, 0.2, 0.3)
    assert rule_changes._policy(RulesLog(), None) is None
    for wrong in ("0.1,0.2", "0.1,0.2,x", ""):
        with pytest.raises(typer.BadParameter, match="is not three numbers"):
            rule_changes._policy(topic.log, wrong)
    for wrong in ("nan,nan,nan", "0.1,0.2,1.5", "-1,0,1"):
        with pytest.raises(RuleError):
            rule_changes._policy(topic.log, wrong)
    with pytest.raises(RuleError, match="must not fall"):
        topic.release(LIVE, policy=rule_changes._policy(topic.log, "0.9,0.5,0.1"))
