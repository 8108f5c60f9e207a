"""The rules and lists in force in this process: both topics are read to their end at the start, then followed.

1. A start waits, for a bounded time, until both topics were read as far as they went. A topic that is not there holds nothing: that is told, and it is
   looked for again.
2. A release is compiled, tried on a payment and bound to a scorer off the live path, and taken between two rounds. Where that fails, the one before
   stays, and decisions go on saying that they had read no further than it; it is tried again with the next record.
3. A list changes record by record, between two rounds: both run in one event loop, and a round gives it up to nobody once its state was read.
4. A record that is refused changes nothing; it is told and metered.
5. Where a topic lost what was to be read next, it is read anew; what was in force stays until then.
6. A topic that is gone, or was made anew under its name (it has another id), is read no further: what was in force stays until the process is
   started again. That is told, with what to do. Records are taken where the id was asked for after the last ones, or a second ago.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from loguru import logger

from stream_app.errors import FraudstreamError, NotFound, TopologyError, Unavailable
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
AGAIN_S = 2.0
"""A topic that is not there, or cannot be read, is looked for again after so long."""


LOOK_S = 30.0
"""So often the id of a topic at rest is asked for, and how much lists hold is told."""
_ID_HOLDS_S = 1.0
"""So long an id that was asked for holds for records that come."""


class FollowedTopic[L](Protocol):
    """A topic of rules or lists that was read to the end that it had."""

    @property
    def log(self) -> L:
        """What its records came to."""

    @property
    def answered_s(self) -> float | None:
        """When the topic's broker answered last, with records or without, Unix time."""

    def poll(self) -> Awaitable[Sequence[Record]]:
        """The next records, in order and bounded in bytes; none where none came for a while."""


type OnRefused = Callable[[RefusedRecord], None]
type Opened[L] = Callable[[str, OnRefused], AbstractAsyncContextManager[FollowedTopic[L]]]


@dataclass(frozen=True, slots=True)
class RuleTopics:
    """Where rules and lists come from.

    Attributes:
        rules_topic, lists_topic: their names.
        id_of: Kafka's id of a topic, empty where brokers tell none; None where there is no such topic.
        rules, lists: opens a topic, and reads it to its end; told of each record that is refused.
    """

    rules_topic: str
    lists_topic: str
    id_of: Callable[[str], Awaitable[str | None]]
    rules: Opened[RulesLog]
    lists: Opened[ListsLog]


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

    def __init__(self, topics: RuleTopics, observer: RulesObserver, kept: KeptEntities) -> None:
        """Args: `kept`: the entities that state is kept of; a release that asks for others is refused."""
        self._kept = kept
        self._topics = topics
        self._observer = observer
        self._ids = ["", ""]
        self._followed = [False, False]
        self._id_asked = [0.0, 0.0]
        self._rules_log, self._lists_log = RulesLog(), ListsLog()
        self._bound = _Bound(None, 0)
        self.in_force = self._bound_to(self._bound, self._lists_log)
        self._taking = asyncio.Lock()
        self._rebind: Callable[[], None] = lambda: None
        self._begun: dict[str, asyncio.Future[None]] = {}
        self._known: set[str] = set()
        self._read_to: dict[str, int] = {}
        self._moved = asyncio.Event()
        self._refusals: dict[tuple[str, int], str] = {}
        self.reading = asyncio.Lock()
        self.unusable: str | None = None
        self._said: dict[str, str] = {}
        self._failed: set[tuple[str, str]] = set()

    async def run(self, rebind: Callable[[], None]) -> None:
        """Follow both topics until cancelled.

        Args:
            rebind: makes the scorer anew, of `in_force`; called in a thread.
        """
        self._rebind = rebind
        self._expect()
        topics = self._topics
        await asyncio.gather(
            self._follow(topics.rules_topic, self._rules), self._follow(topics.lists_topic, self._lists), self._tell_what_lists_hold()
        )

    async def begun(self) -> None:
        """Return when both topics were read to the end that they had, or are not there.

        Raises:
            Unavailable: that took too long.
            FraudstreamError: a topic is there and cannot be read: what was in force is not known.
        """
        try:
            async with asyncio.timeout(START_WITHIN_S):
                await asyncio.gather(*self._expect().values())
        except TimeoutError:
            why = " ".join(self._said.values()) or "Look at the brokers, and at the size of these topics."
            raise Unavailable(f"Rules and lists could not be read within {START_WITHIN_S:.0f} s. {why}") from None

    @property
    def unknown(self) -> bool:
        """Whether what is in force is not known yet: true until both topics were read to the end that they had, or are not there; for ever false then."""
        return len(self._known) < len((self._topics.rules_topic, self._topics.lists_topic))

    @property
    def rules_topic(self) -> str:
        """The topic's name."""
        return self._topics.rules_topic

    @property
    def lists_topic(self) -> str:
        """The topic's name."""
        return self._topics.lists_topic

    @property
    def rules_log(self) -> RulesLog:
        """What the topic of rules came to so far; look at it while you hold `reading`.

        Raises:
            Unavailable: that is not known yet.
            NotFound: there is no such topic.
        """
        self._must_be_followed(0, self.rules_topic)
        return self._rules_log

    @property
    def lists_log(self) -> ListsLog:
        """What the topic of lists came to so far; it changes whenever you wait.

        Raises:
            As `rules_log`.
        """
        self._must_be_followed(1, self.lists_topic)
        return self._lists_log

    def _must_be_followed(self, place: int, topic: str) -> None:
        if self.unknown:
            raise Unavailable("Rules and lists are not read yet.")
        if not self._followed[place]:
            raise NotFound(f"Topic {topic!r} does not exist. Create all that are missing: `fraudstream topics`.")

    async def taken(self, topic: str, offset: int) -> str | None:
        """Return once a record was taken here, and is in force where it says so; why it was refused, or None. The caller bounds the wait."""
        while self._read_to.get(topic, 0) <= offset:
            await self._moved.wait()
        return self._refusals.get((topic, offset))

    def _moves(self, topic: str, offset: int) -> None:
        self._read_to[topic] = offset
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    def _expect(self) -> dict[str, asyncio.Future[None]]:
        if not self._begun:
            loop, topics = asyncio.get_running_loop(), self._topics
            self._begun = {topic: loop.create_future() for topic in (topics.rules_topic, topics.lists_topic)}
        return self._begun

    async def _follow(self, topic: str, read: Callable[[str], Awaitable[None]]) -> None:
        while True:
            try:
                await read(topic)
            except Unavailable as error:
                self._tell(topic, str(error))
            except FraudstreamError as error:
                self._tell(topic, str(error))
                self._begins(topic, error)
            except Exception as error:  # noqa: BLE001 - nobody else hears of it, and payments are decided meanwhile
                logger.opt(exception=error).error("Following topic {!r} failed", topic)
                self._begins(topic, Unavailable(f"Following topic {topic!r} failed: {type(error).__name__}: {error}."))
            await asyncio.sleep(AGAIN_S)

    def _begins(self, topic: str, error: FraudstreamError | None = None) -> None:
        if error is None:
            self._known.add(topic)
        if not (begun := self._begun[topic]).done():
            if error is None:
                begun.set_result(None)
            else:
                begun.set_exception(error)

    def _tell(self, topic: str, text: str) -> None:
        """Say once what is wrong with a topic."""
        if self._said.get(topic) != text:
            self._said[topic] = text
            what = (
                "Rules and lists in force stay as they are"
                if topic in self._known
                else "What rules and lists are in force is not known yet"
            )
            logger.warning("{}: {}", what, text)

    async def _there(self, topic: str, place: int) -> bool:
        """Whether a topic is there; its id is kept."""
        found = await self._topics.id_of(topic)
        self._refuse_another(topic, place, found)
        if found is None:
            if topic not in self._said:
                what = ("no rules", "no lists")[place]
                logger.info("Topic {!r} does not exist: {} are in force. `fraudstream topics` makes it.", topic, what)
            self._said[topic] = "missing"
            self._begins(topic)
            return False
        self._ids[place] = found
        return True

    def _refuse_another(self, topic: str, place: int, found: str | None) -> None:
        """Rule 6.

        Raises:
            TopologyError: what was read of a topic is not what is there now.
        """
        if not self._followed[place] or found in (self._ids[place], "") or (found and not self._ids[place]):
            return
        again = ("`fraudstream rules apply FOLDER`", "`fraudstream lists import`, of an export")[place]
        raise TopologyError(
            f"Topic {topic!r} {'was made anew' if found else 'is gone'}: it is not the one that was read. What was in force stays until this "
            f"process ends. Make it with `fraudstream topics` if it is not there, fill it again ({again}), then start workers and API again."
        )

    async def _polled[L](self, topic: str, place: int, reading: FollowedTopic[L]) -> Sequence[Record]:
        """The next records of the topic that was opened."""
        records = await reading.poll()
        if reading.answered_s is not None:
            self._observer.rules_asked("lists" if place else "rules", reading.answered_s)
        if time.monotonic() - self._id_asked[place] >= (_ID_HOLDS_S if records else LOOK_S):
            try:
                found = await self._topics.id_of(topic)
            except FraudstreamError:
                return records  # nobody says what it is: it is asked again with the next ones
            self._id_asked[place] = time.monotonic()
            self._refuse_another(topic, place, found)
        return records

    async def _rules(self, topic: str) -> None:
        if not await self._there(topic, 0):
            return
        async with self._topics.rules(topic, self._refused(topic)) as reading:
            self._rules_log, self._followed[0] = reading.log, True
            await self._release(reading.log.in_force, reading.log.offset)
            self._settled(topic, reading.log.offset)
            while True:
                for record in await self._polled(topic, 0, reading):
                    await self._take_rule(topic, record)

    async def _take_rule(self, topic: str, record: Record) -> None:
        log = self._rules_log
        async with self.reading:
            refused = await asyncio.to_thread(log.apply, record.offset, record.value, record.timestamp)
        if refused is not None:
            self._refused(topic)(refused)
        if log.in_force is not self._bound.release:
            await self._release(log.in_force, log.offset)
        else:
            self._bound.offset = log.offset
        self._observer.rules_read("rules", log.offset, record.timestamp)
        self._moves(self.rules_topic, log.offset)

    async def _lists(self, topic: str) -> None:
        if not await self._there(topic, 1):
            return
        async with self._topics.lists(topic, self._refused(topic)) as reading:
            self._followed[1] = True
            await self._take(lists=reading.log)
            self._settled(topic, reading.log.offset)
            while True:
                for record in await self._polled(topic, 1, reading):
                    refused = reading.log.apply(record.offset, record.value, record.timestamp)
                    if refused is not None:
                        self._refused(topic)(refused)
                    self._observer.rules_read("lists", reading.log.offset, record.timestamp)
                    self._moves(topic, reading.log.offset)
                    await asyncio.sleep(0)

    async def _tell_what_lists_hold(self) -> None:
        """Again and again: entries end by themselves."""
        while True:
            lists, now_ms = self._lists_log.lists, time.time_ns() // 1_000_000
            holding, ending = await asyncio.to_thread(lists.entries.fills, now_ms, now_ms + DAY_MS)
            self._observer.lists_hold({name: ListFill(int(holding[n]), int(ending[n])) for n, name in enumerate(lists.known)})
            await asyncio.sleep(LOOK_S)

    def _settled(self, topic: str, offset: int) -> None:
        self._said.pop(topic, None)
        self._observer.rules_read("rules" if topic == self._topics.rules_topic else "lists", offset, None)
        logger.info("Topic {!r} is read up to offset {}, and followed.", topic, offset)
        self._moves(topic, offset)
        self._begins(topic)

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
            return RulesRead(self._ids[0], bound.offset, self._ids[1], lists.offset).header() if any(self._followed) else b""

        return RulesInForce(
            rules=release.rules if release else (),
            lists=lists.lists,
            policy=release.policy if release else None,
            read=read,
            failed=self._rules_failed,
        )

    def _refused(self, topic: str) -> OnRefused:
        def tell(refused: RefusedRecord) -> None:
            self._observer.record_refused("rules" if topic == self._topics.rules_topic else "lists")
            self._refusals[topic, refused.offset] = refused.why
            if len(self._refusals) > _MOST_SAID:
                del self._refusals[next(iter(self._refusals))]
            logger.warning("Topic {!r}, offset {}: refused, nothing changed. {}", topic, refused.offset, refused.why)

        return tell

    def _rules_failed(self, failed: Mapping[str, str]) -> None:
        """Count rules that could not be run, and say why once for each release."""
        for code, why in failed.items():
            self._observer.rule_failed(code)
            if (code, why) not in self._failed and len(self._failed) < _MOST_SAID:
                self._failed.add((code, why))
                logger.error("Rule {!r} cannot be run, and hits nothing: {}", code, why)


_MOST_SAID = 1_000


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
