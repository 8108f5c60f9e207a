"""Changes of rules and lists by a process that follows them: nothing that would be refused, and nothing past another author's change.

1. A change is held against what is in force here, a moment behind the topic at the most: one that would be refused is not written.
2. It is written, acknowledged by all copies in step, and this process waits until it has read it: where another author was faster and it was refused,
   its author is told. So what is answered to its author is in force here.
3. Changes of one process are written one after another.
4. What a start would have to read behind the newest checkpoint is bounded: whoever writes beyond that writes a checkpoint, beside its answers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
from loguru import logger

from stream_app.delivery.live_rules import LiveRules
from stream_app.errors import FraudstreamError, RuleError
from stream_app.rules.authoring import approval_of, check_lists, next_release, unconfirmed, without
from stream_app.rules.changes import differences, in_force, is_known, newest, version_of
from stream_app.rules.lists import ListChange
from stream_app.rules.rule import ReleasePolicy, Rule, checked_rule
from stream_app.rules.rules_log import RulesLog
from stream_app.rules.topic_log import TopicLog


@dataclass(frozen=True, slots=True)
class RuleTopicWriter:
    """Writes to the topics of rules and lists.

    Attributes:
        write: topic, record, and where the newest checkpoint begins, to the record's offset once it is acknowledged.
        checkpoint: writes one of all that the topic holds.
        is_due: whether one is due.
    """

    write: Callable[[str, bytes, int | None], Awaitable[int]]
    checkpoint: Callable[[str], Awaitable[None]]
    is_due: Callable[[TopicLog[Any]], bool]


class PutRule(NamedTuple):
    """A version of a rule that says what was wanted; whether it is new."""

    rule: Rule
    is_new: bool


class Released(NamedTuple):
    """What a release came to: the name of the one in force now, and what it changed, a line for each rule."""

    name: str
    changes: tuple[str, ...]


class RuleDesk:
    """Where rules and lists are changed, by the rules above."""

    def __init__(self, live: LiveRules, writer: RuleTopicWriter, *, needs_approval: bool) -> None:
        """Args: `needs_approval`: whether a live rule comes into force only when another than its author approved it."""
        self.live = live
        self._writer = writer
        self._needs_approval = needs_approval
        self._turn = asyncio.Lock()
        self._beside: set[asyncio.Task[None]] = set()

    async def put(self, rules: Sequence[Rule], author: str) -> list[PutRule]:
        """Put new versions of rules that differ from those there are. Nothing comes into force by it.

        Args:
            rules: whatever version and author they say.
            author: theirs.

        Raises:
            RuleError: one cannot be run, asks a list that there is not, or stands there twice.
            NotFound, Unavailable: as `LiveRules.rules_log`.
        """
        codes = [rule.code for rule in rules]
        if twice := next((code for n, code in enumerate(codes) if code in codes[:n]), None):
            raise RuleError(f"Rule {twice!r} stands there twice. Put one version of it at a time.")
        checked = [checked_rule(rule) for rule in rules]
        if any(one.expression.lists for one in checked):
            check_lists(checked, self.live.lists_log.lists)
        async with self._turn:
            async with self.live.reading:
                log = self.live.rules_log
                put = [PutRule(rule, not is_known(log, rule)) for rule in (version_of(log, one, author) for one in rules)]
            await self._write_rules([msgspec.json.encode(one.rule) for one in put if one.is_new])
        return put

    async def approve(self, code: str, version: int | None, approver: str) -> Rule:
        """Approve a version of a rule, None: the newest. Its author cannot.

        Raises:
            RuleError: there is none, or it is the approver's own.
            NotFound, Unavailable: as `LiveRules.rules_log`.
        """
        async with self._turn:
            async with self.live.reading:
                rule, approval = approval_of(self.live.rules_log, code, version, approver)
            await self._write_rules([msgspec.json.encode(approval)])
        return rule

    async def release(
        self,
        codes: Collection[str],
        signature: tuple[str, str],
        bands: ReleasePolicy | msgspec.UnsetType | None,
        confirmed: Collection[str],
    ) -> Released:
        """Bring the newest versions of some rules into force; the others stay.

        Args:
            codes: theirs.
            signature: author, and why.
            bands: of the model; None: its own again; unset: as they are.
            confirmed: codes of rules that may hit as much as they do: here no payments of the past are at hand to try them on.

        Raises:
            RuleError: a rule is not there, not approved, not confirmed, or asks a list that there is not.
            NotFound, Unavailable: as `LiveRules.rules_log`.
        """
        async with self._turn:
            async with self.live.reading:
                log = self.live.rules_log
                wanted = in_force(log) | {code: newest(log, code) for code in codes}
                if open_ := unconfirmed(log, [*wanted.values()], confirmed):
                    code = open_[0].code
                    raise RuleError(
                        f"Rule {code!r} would act on payments, and nothing says how many. Try it on past ones (fraudstream rules release {code} "
                        f'--topics), or say that it is meant: "confirm": ["{code}"].'
                    )
                policy = (log.in_force.policy if log.in_force else None) if isinstance(bands, msgspec.UnsetType) else bands
            return await self._release(wanted, signature, policy)

    async def disable(self, codes: Collection[str], signature: tuple[str, str]) -> Released:
        """Take rules out of force at once. Their versions stay.

        Raises:
            RuleError: one is not in force.
            NotFound, Unavailable: as `LiveRules.rules_log`.
        """
        async with self._turn:
            async with self.live.reading:
                log = self.live.rules_log
                wanted, policy = without(log, codes), log.in_force.policy if log.in_force else None
            return await self._release(wanted, signature, policy)

    async def change_list(self, change: ListChange) -> None:
        """Make a list, or change its power; put entries on it, or take values off.

        Raises:
            RuleError: why it is not taken.
            NotFound, Unavailable: as `LiveRules.lists_log`.
        """
        async with self._turn:
            log, value = self.live.lists_log, msgspec.json.encode(change)
            log.check(value, _now_ms())
            await self._written(self.live.lists_topic, log, [value])

    async def _release(self, wanted: Mapping[str, Rule], signature: tuple[str, str], policy: ReleasePolicy | None) -> Released:
        async with self.live.reading:
            log = self.live.rules_log
            one = next_release(log, wanted, signature, policy, needs_approval=self._needs_approval)
            told = tuple(differences(in_force(log), wanted))
        if one is None:
            return Released(_name_of(self.live.rules_log) or "", ())
        checked = [checked_rule(rule) for rule in wanted.values()]
        if any(rule.expression.lists for rule in checked):
            check_lists(checked, self.live.lists_log.lists)
        await self._write_rules([msgspec.json.encode(one)])
        if self.live.unusable == one.name:
            raise RuleError(f"Release {one.name[:12]} is written, and cannot be used here: the one before stays. The log says why.")
        return Released(one.name, told)

    async def _write_rules(self, values: Sequence[bytes]) -> None:
        async with self.live.reading:
            log = self.live.rules_log
            for value in values:
                log.check(value, _now_ms())
        await self._written(self.live.rules_topic, log, values)

    async def _written(self, topic: str, log: TopicLog[Any], values: Sequence[bytes]) -> None:
        """Write records that are right for what there is, by rules 2 and 4."""
        offsets = [await self._writer.write(topic, value, log.checkpoint) for value in values]
        for offset in offsets:
            if (why := await self.live.taken(topic, offset)) is not None:
                raise RuleError(f"Another author was faster; this was written at offset {offset}, and is not in force. {why}")
        if offsets and self._writer.is_due(log) and not self._beside:
            task = asyncio.create_task(self._checkpoint(topic))
            self._beside.add(task)
            task.add_done_callback(self._beside.discard)

    async def _checkpoint(self, topic: str) -> None:
        try:
            await self._writer.checkpoint(topic)
        except FraudstreamError as error:
            logger.warning("No checkpoint of topic {!r} was written; the next change tries again. {}", topic, error)


def _name_of(log: RulesLog) -> str | None:
    return log.in_force.name if log.in_force else None


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
