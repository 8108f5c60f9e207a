"""What is in force in a process while topics change: releases by their moment, lists by record, and what goes wrong with either."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
import pytest
from loguru import logger

from stream_app.delivery import live_rules
from stream_app.delivery.live_rules import LiveRules, RuleTopics
from stream_app.errors import TopologyError, Unavailable
from stream_app.rules.lists import CardList, ListedValue, ListEntries
from stream_app.rules.lists_log import ListsLog
from stream_app.rules.rule import Rule, release_of
from stream_app.rules.rules_log import RulesLog
from stream_app.rules.topic_log import RefusedRecord, TopicLog
from stream_app.scoring.bound_rules import RulesInForce
from stream_app.scoring.provenance import RulesRead
from stream_app.scoring.scorer import Scorer
from tests.unit.rules.made import rule
from tests.unit.scoring.test_scorer import FakeRecord, Till, alerts, payment

LIST = CardList("bad", "terminal", "block", "ann", "for tests")


@dataclass
class Topic[L: TopicLog[Any]]:
    """A topic in memory; None: it is not there."""

    empty: Callable[[], L]
    records: list[bytes] | None = field(default_factory=list)
    trouble: Exception | None = None
    opened: int = 0

    def put(self, *messages: Any) -> None:
        """Append records."""
        assert self.records is not None
        self.records += [m if isinstance(m, bytes) else msgspec.json.encode(m) for m in messages]

    @asynccontextmanager
    async def open(self, _topic: str, refused: Callable[[RefusedRecord], None]) -> AsyncIterator[Any]:
        """As `RuleTopic.open`: read to its end."""
        if self.trouble is not None:
            raise self.trouble
        self.opened += 1
        reading = Reading(self, self.empty())
        for record in await reading.poll():
            if (why := reading.log.apply(record.offset, record.value, record.timestamp)) is not None:
                refused(why)
        yield reading


@dataclass
class Reading[L: TopicLog[Any]]:
    """See `live_rules.FollowedTopic`."""

    topic: Topic[L]
    log: L
    at: int = 0

    async def poll(self) -> Sequence[FakeRecord]:
        """What came since."""
        await asyncio.sleep(0)
        if self.topic.trouble is not None:
            raise self.topic.trouble
        records = self.topic.records or []
        found = [FakeRecord(n, b"", value) for n, value in enumerate(records[self.at :], self.at)]
        self.at = len(records)
        return found


@dataclass
class Told:
    """See `observation.RulesObserver`."""

    releases: list[tuple[str | None, int, int]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def release_in_force(self, name: str | None, live: int, shadow: int) -> None:
        """Kept."""
        self.releases.append((name, live, shadow))

    def release_refused(self) -> None:
        """Kept."""
        self.refused.append("release")

    def rules_read(self, kind: Literal["rules", "lists"], offset: int, at_ms: int | None) -> None:
        """Passed over."""

    def record_refused(self, kind: Literal["rules", "lists"]) -> None:
        """Kept."""
        self.refused.append(kind)

    def rule_failed(self, code: str) -> None:
        """Kept."""
        self.failed.append(code)


@dataclass
class Desk:
    """A process that decides by what is live."""

    rules: Topic[RulesLog] = field(default_factory=lambda: Topic(RulesLog))
    lists: Topic[ListsLog] = field(default_factory=lambda: Topic(ListsLog))
    told: Told = field(default_factory=Told)
    broken: bool = False

    def __post_init__(self) -> None:
        """Nothing is followed yet."""
        self.live = LiveRules(RuleTopics("rules", "lists", self._id_of, self.rules.open, self.lists.open), self.told)
        self.scorer: Scorer | None = None
        self.bound = self.live.in_force
        self.previous: str | None = None

    async def _id_of(self, topic: str) -> str | None:
        of = self.rules if topic == "rules" else self.lists
        return None if of.records is None else f"id-{topic}"

    def rebind(self) -> None:
        """As `Serving.rebind`."""
        if self.broken:
            raise RuntimeError("no scorer can be made")
        in_force = self.live.in_force
        self.scorer = Till(rules=in_force).scorer
        self.bound = in_force

    def release(self, *rules: Rule) -> None:
        """Put rules, and a release of them."""
        released = release_of(rules, "ann", "for tests", self.previous)
        self.previous = released.name
        self.rules.put(*rules, released)

    def read(self) -> RulesRead:
        """How far a decision of now says that it had read."""
        parts = self.bound.read().decode().replace(",", ":").split(":")
        return RulesRead(parts[0], int(parts[1]), parts[2], int(parts[3]))

    async def alerted(self, *payments: dict[str, Any]) -> list[str]:
        """What is alerted now."""
        return await asyncio.to_thread(self._alerted, payments)

    def _alerted(self, payments: tuple[dict[str, Any], ...]) -> list[str]:
        till = Till()
        till.scorer = self.scorer or till.scorer
        return [f"{a.transaction_id} {a.action}" for a in alerts(till.take(*payments))]

    def run(self, body: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """While it is followed."""

        async def followed() -> None:
            async with asyncio.timeout(30):
                task = asyncio.create_task(self.live.run(self.rebind))
                try:
                    await self.live.begun()
                    await body()
                finally:
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)

        asyncio.run(followed())


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what must become true; the caller bounds it."""
    while not holds():  # noqa: ASYNC110 - it stands for a topic, which tells nobody
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looked for again at once."""
    monkeypatch.setattr(live_rules, "AGAIN_S", 0.0)


def test_a_start_knows_what_stands_in_both_topics_and_each_change_is_taken_without_a_restart() -> None:
    """Rule 3 of `live_rules`: a release, a list, another release, going back: decisions follow, and say how far both topics were read."""
    desk = Desk()
    first = rule("amount > 15")
    desk.release(first)
    desk.lists.put(LIST)

    async def body() -> None:
        assert await desk.alerted(payment("a", 20), payment("b", 10)) == ["a review"]
        assert desk.read() == RulesRead("id-rules", 2, "id-lists", 1)
        desk.lists.put(ListEntries("bad", (ListedValue("t1"),), "ann", "seen"))
        await until(lambda: desk.read().lists == 2)
        assert await desk.alerted(payment("b", 10)) == ["b decline"]
        desk.release(rule("amount > 5", code="other", action="step_up"))
        desk.lists.put(msgspec.json.encode({"kind": "list_removal", "name": "bad", "values": ["t1"], "author": "ann", "why": "over"}))
        await until(lambda: desk.read() == RulesRead("id-rules", 4, "id-lists", 3))
        assert await desk.alerted(payment("b", 10)) == ["b step_up"]
        desk.rules.put(release_of([first], "ann", "back", desk.previous))
        await until(lambda: desk.read().rules == 5)
        assert await desk.alerted(payment("a", 20), payment("b", 10)) == ["a review"]
        assert [live for _, live, _ in desk.told.releases] == [1, 1, 1]

    desk.run(body)


def test_without_topics_payments_are_decided_as_before_and_a_topic_that_comes_is_followed() -> None:
    """Rule 1 of `live_rules`: no header, no rule; once the topics are made, they are read."""
    desk = Desk()
    desk.rules.records = desk.lists.records = None

    async def body() -> None:
        assert desk.bound.read() == b""
        assert await desk.alerted(payment("a", 20)) == []
        desk.rules.records, desk.lists.records = [], []
        desk.release(rule("amount > 15"))
        await until(lambda: bool(desk.bound.read()) and desk.read().rules == 2)
        assert await desk.alerted(payment("a", 20)) == ["a review"]

    desk.run(body)


def test_what_is_refused_is_told_and_what_was_in_force_stays() -> None:
    """Rule 4 of `live_rules`: torn records, a release that follows another, a rule that cannot be: before the start and after it."""
    desk = Desk()
    desk.release(rule("amount > 15"))
    desk.rules.put(b"torn")

    async def body() -> None:
        assert desk.told.refused == ["rules"]
        desk.rules.put(rule("amout > 5", code="wrong"), release_of([], "eve", "forged", None))
        desk.lists.put(b"{}")
        await until(lambda: desk.read() == RulesRead("id-rules", 5, "id-lists", 1))
        assert sorted(desk.told.refused) == ["lists", "rules", "rules", "rules"]
        assert await desk.alerted(payment("a", 20), payment("b", 10)) == ["a review"]

    desk.run(body)


def test_a_release_that_cannot_be_bound_leaves_the_one_before_and_what_decisions_say_of_it() -> None:
    """Rule 2 of `live_rules`: they go on saying that they had read no further than it; it is tried again with the next record."""
    desk = Desk()
    desk.release(rule("amount > 15"))

    async def body() -> None:
        desk.broken = True
        desk.release(rule("amount > 5", code="other"))
        await until(lambda: desk.told.refused == ["release"])
        desk.rules.put(rule("amount > 7", code="third"))
        desk.lists.put(LIST)
        await until(lambda: desk.told.refused == ["release", "release"])
        assert desk.read() == RulesRead("id-rules", 3, "id-lists", 1)
        assert await desk.alerted(payment("a", 20), payment("b", 10)) == ["a review"]
        desk.broken = False
        desk.rules.put(rule("amount > 8", code="fourth"))
        await until(lambda: desk.read().rules == 6)
        assert await desk.alerted(payment("b", 10)) == ["b review"]

    desk.run(body)


def test_a_topic_that_lost_what_was_to_be_read_is_read_anew_and_what_was_in_force_stays_until_then() -> None:
    """Rule 5 of `live_rules`: never a time without rules in between."""
    desk = Desk()
    desk.release(rule("amount > 15"))

    async def body() -> None:
        bound: list[RulesInForce] = []

        def rebind() -> None:
            desk.rebind()
            bound.append(desk.live.in_force)  # after it: this is what is waited for

        desk.live._rebind = rebind
        desk.rules.trouble = TopologyError("lost")
        await asyncio.sleep(0.01)
        assert await desk.alerted(payment("a", 20)) == ["a review"]
        desk.rules.records, desk.previous = [], None
        desk.release(rule("amount > 5", code="anew"))
        desk.rules.trouble = None
        await until(lambda: bool(bound))
        assert all(one.rules for one in bound)
        assert await desk.alerted(payment("b", 10)) == ["b review"]

    desk.run(body)


def test_a_start_ends_where_what_was_in_force_cannot_be_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """A topic that is there and lost its beginning is told with its remedy; a Kafka that is away, once it was waited for."""
    desk = Desk()
    desk.rules.trouble = TopologyError("Topic 'rules' begins at offset 1 and holds no whole checkpoint.")

    async def body() -> None:
        raise AssertionError("it began")

    with pytest.raises(TopologyError, match="no whole checkpoint"):
        desk.run(body)
    monkeypatch.setattr(live_rules, "START_WITHIN_S", 0.05)
    desk = Desk()
    desk.lists.trouble = Unavailable("Kafka did not answer.")
    with pytest.raises(Unavailable, match=r"could not be read within 0 s\. Kafka did not answer"):
        desk.run(body)


def test_a_rule_that_cannot_be_run_is_counted_each_time_and_said_once() -> None:
    """Its list is not there yet; where it comes, the rule is run without another release."""
    desk, said = Desk(), list[str]()
    desk.release(rule("terminal_id in @later"))
    sink = logger.add(said.append, level="ERROR", format="{message}")

    async def body() -> None:
        assert await desk.alerted(payment("a", 20)) == []
        assert await desk.alerted(payment("a", 20)) == []
        assert desk.told.failed == ["a_rule", "a_rule"]
        assert said == ["Rule 'a_rule' cannot be run, and hits nothing: There is no list 'later'. Make it first.\n"]
        desk.lists.put(CardList("later", "terminal", "ask", "ann", "x"), ListEntries("later", (ListedValue("t1"),), "ann", "x"))
        await until(lambda: desk.read().lists == 2)
        assert await desk.alerted(payment("a", 20)) == ["a review"]

    desk.run(body)
    logger.remove(sink)
