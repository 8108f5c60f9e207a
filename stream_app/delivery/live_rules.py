"""The rules and lists in force in this process: both topics are read to their end at the start, then followed, see `topic_follower`.

1. A start waits, for a bounded time, until both topics were read as far as they went.
2. A release is compiled, tried on a payment and bound to a scorer off the live path, and taken between two rounds. Where that fails, the one before
   stays, and decisions go on saying that they had read no further than it; it is tried again with the next record.
3. A list changes record by record, between two rounds: both run in one event loop, and a round gives it up to nobody once its state was read.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from loguru import logger

from stream_app.delivery.topic_follower import TopicFollower, TopicReader, TopicSource
from stream_app.errors import Unavailable
from stream_app.features.aggregations import DAY_MS
from stream_app.features.entities import KeptEntities
from stream_app.messages.records import Record
from stream_app.messages.transaction import Transaction
from stream_app.rules.columns import ScoredBatch
from stream_app.rules.lists import Lists
from stream_app.rules.lists_log import ListsLog
from stream_app.rules.rules_log import InForce, RulesLog
from stream_app.rules.topic_log import RefusedRecord
from stream_app.rules.verdicts import RuleBook
from stream_app.scoring.bound_rules import RulesInForce
from stream_app.scoring.observation import ListFill, ReleaseInForce, RulesObserver
from stream_app.scoring.provenance import RulesRead
from stream_app.scoring.supply import refuse_unkept

START_WITHIN_S = 60.0
FILLS_S = 30.0
"""So often it is told how much lists hold."""
_MOST_SAID = 1_000


@dataclass(slots=True)
class _Bound:
    """A release as a scorer has it, and the offset up to which the topic says that it is in force."""

    release: InForce | None
    offset: int


class LiveRules:
    """See the module.

    Attributes:
        in_force: what the next scorer is bound to.
        reading: held while a record is taken into the log of rules, by a thread: whoever looks at that log holds it.
        unusable: the name of the newest release, where it could not be used; None else.
    """

    def __init__(self, rules: TopicSource[RulesLog], lists: TopicSource[ListsLog], observer: RulesObserver, kept: KeptEntities) -> None:
        """Args: `kept`: the entities that state is kept of; a release that asks for others is refused."""
        self._kept = kept
        self._rules = TopicFollower(rules, TopicReader(self._begin_rules, self._take_rule), observer)
        self._lists = TopicFollower(lists, TopicReader(self._begin_lists, self._take_list), observer)
        self._observer = observer
        self._rules_log, self._lists_log = RulesLog(), ListsLog()
        self._bound = _Bound(None, 0)
        self.in_force = self._bound_to(self._bound, self._lists_log)
        self._taking = asyncio.Lock()
        self._rebind: Callable[[], None] = lambda: None
        self.reading = asyncio.Lock()
        self.unusable: str | None = None
        self._failed: set[tuple[str, str]] = set()

    async def run(self, rebind: Callable[[], None]) -> None:
        """Follow both topics until cancelled.

        Args:
            rebind: makes the scorer anew, of `in_force`; called in a thread.
        """
        self._rebind = rebind
        await asyncio.gather(self._rules.run(), self._lists.run(), self._tell_what_lists_hold())

    async def begun(self) -> None:
        """Return when both topics were read to the end that they had, or are not there.

        Raises:
            Unavailable: that took too long.
            FraudstreamError: a topic is there and cannot be read: what was in force is not known.
        """
        try:
            async with asyncio.timeout(START_WITHIN_S):
                await asyncio.gather(self._rules.begun(), self._lists.begun())
        except TimeoutError:
            troubles = [one.trouble for one in (self._rules, self._lists) if one.trouble]
            why = " ".join(troubles) or "Look at the brokers, and at the size of these topics."
            raise Unavailable(f"Rules and lists could not be read within {START_WITHIN_S:.0f} s. {why}") from None

    @property
    def unknown(self) -> bool:
        """Whether what is in force is not known yet: true until both topics were read to the end that they had, or are not there; for ever false then."""
        return not (self._rules.is_known and self._lists.is_known)

    @property
    def rules_topic(self) -> str:
        """The topic's name."""
        return self._rules.name

    @property
    def lists_topic(self) -> str:
        """The topic's name."""
        return self._lists.name

    @property
    def rules_log(self) -> RulesLog:
        """What the topic of rules came to so far; look at it while you hold `reading`.

        Raises:
            Unavailable: that is not known yet.
            NotFound: there is no such topic.
        """
        self._must_be_known()
        self._rules.must_be_there()
        return self._rules_log

    @property
    def lists_log(self) -> ListsLog:
        """What the topic of lists came to so far; it changes whenever you wait.

        Raises:
            As `rules_log`.
        """
        self._must_be_known()
        self._lists.must_be_there()
        return self._lists_log

    def _must_be_known(self) -> None:
        if self.unknown:
            raise Unavailable("Rules and lists are not read yet.")

    async def taken(self, topic: str, offset: int) -> str | None:
        """Return once a record was taken here, and is in force where it says so; why it was refused, or None. The caller bounds the wait."""
        return await (self._rules if topic == self.rules_topic else self._lists).taken(offset)

    async def _begin_rules(self, log: RulesLog) -> None:
        self._rules_log = log
        await self._release(log.in_force, log.offset)

    async def _take_rule(self, log: RulesLog, record: Record) -> RefusedRecord | None:
        async with self.reading:
            refused = await asyncio.to_thread(log.apply, record.offset, record.value, record.timestamp)
        if log.in_force is not self._bound.release:
            await self._release(log.in_force, log.offset)
        else:
            self._bound.offset = log.offset
        return refused

    async def _begin_lists(self, log: ListsLog) -> None:
        await self._take(lists=log)

    @staticmethod
    async def _take_list(log: ListsLog, record: Record) -> RefusedRecord | None:
        return log.apply(record.offset, record.value, record.timestamp)

    async def _tell_what_lists_hold(self) -> None:
        """Again and again: entries end by themselves."""
        while True:
            lists, now_ms = self._lists_log.lists, time.time_ns() // 1_000_000
            holding, ending = await asyncio.to_thread(lists.entries.fills, now_ms, now_ms + DAY_MS)
            self._observer.lists_hold({name: ListFill(int(holding[n]), int(ending[n])) for n, name in enumerate(lists.known)})
            await asyncio.sleep(FILLS_S)

    async def _release(self, now: InForce | None, offset: int) -> None:
        """Take a release, by rule 2."""
        try:
            await asyncio.to_thread(_try, now, self._kept)
            await self._take(bound=_Bound(now, offset))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a release: the one before stays
            self._observer.release_refused()
            self.unusable = now.name if now else None
            logger.opt(exception=error).error("Release {} cannot be used; the one before stays: {}", now.name[:12] if now else None, error)
            return
        self._failed.clear()
        self.unusable = None
        self._observer.release_in_force(_told(now))
        if now is not None:
            logger.info("Release {}… of {} is in force, with {} rules: {}", now.name[:12], now.author, len(now.rules), now.why)

    async def _take(self, bound: _Bound | None = None, lists: ListsLog | None = None) -> None:
        """Bind a scorer to another release, or to other lists."""
        async with self._taking:
            before = self._bound, self._lists_log, self.in_force
            self._bound, self._lists_log = bound or self._bound, lists or self._lists_log
            self.in_force = self._bound_to(self._bound, self._lists_log)
            try:
                await asyncio.to_thread(self._rebind)
            except Exception:
                self._bound, self._lists_log, self.in_force = before
                raise

    def _bound_to(self, bound: _Bound, lists: ListsLog) -> RulesInForce:
        release = bound.release

        def read() -> bytes:
            if not (self._rules.is_read or self._lists.is_read):
                return b""
            return RulesRead(self._rules.id, bound.offset, self._lists.id, lists.offset).header()

        return RulesInForce(
            rules=release.rules if release else (),
            lists=lists.lists,
            policy=release.policy if release else None,
            read=read,
            failed=self._rules_failed,
        )

    def _rules_failed(self, failed: Mapping[str, str]) -> None:
        """Count rules that could not be run, and say why once for each release."""
        for code, why in failed.items():
            self._observer.rule_failed(code)
            if (code, why) not in self._failed and len(self._failed) < _MOST_SAID:
                self._failed.add((code, why))
                logger.error("Rule {!r} cannot be run, and hits nothing: {}", code, why)


def _told(release: InForce | None) -> ReleaseInForce | None:
    if release is None:
        return None
    rules = [one.rule for one in release.rules]
    expected = {rule.code: rule.expected_share for rule in rules if rule.expected_share is not None}
    return ReleaseInForce(release.name, {rule.code: rule.mode for rule in rules}, expected)


def _try(release: InForce | None, kept: KeptEntities) -> None:
    """Compile a release and ask it about a payment: what is wrong with it breaks here."""
    if release is None:
        return
    book = RuleBook(release.rules, Lists())
    refuse_unkept("One of its rules", book.features, kept)
    columns = [feature.name for feature in book.features]
    payment = Transaction("trial", 10**12, "trial", "trial", 1.0, "EUR")
    vectors = np.zeros((1, len(columns)), dtype=np.float32)
    of_one = ScoredBatch([payment], np.ones(1), vectors, np.ones(1, dtype=np.float32), np.zeros(1, dtype=np.int8))
    RuleBook(release.rules, Lists(), columns).verdicts(of_one).rule_hits(0)
