"""What is in force in a process while topics change: releases by their moment, lists by record, and what goes wrong with either."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
import pytest
from loguru import logger

from stream_app.delivery import live_rules, topic_follower
from stream_app.delivery.live_rules import LiveRules
from stream_app.delivery.topic_follower import TopicSource
from stream_app.errors import TopologyError, Unavailable
from stream_app.features.entities import KEPT_BY_DEFAULT
from stream_app.rules.lists import CardList, ListedValue, ListEntries
from stream_app.rules.lists_log import ListsLog
from stream_app.rules.rule import Rule, release_of
from stream_app.rules.rules_log import RulesLog
from stream_app.rules.topic_log import RefusedRecord, TopicLog
from stream_app.scoring.bound_rules import RulesInForce
from stream_app.scoring.observation import ListFill, ReleaseInForce
from stream_app.scoring.provenance import RulesRead
from stream_app.scoring.scorer import Scorer
from tests.unit.rules.made import rule
from tests.unit.scoring.test_scorer import FakeRecord, Till, alerts, payment
from tests.waiting import DEADLINE_S

_POLL_S = 0.001
LIST = CardList("bad", "terminal", "block", "ann", "for tests")


@dataclass
class Topic[L: TopicLog[Any]]:
    """A topic in memory; None: it is not there."""

    empty: Callable[[], L]
    records: list[bytes] | None = field(default_factory=list)
    trouble: Exception | None = None
    opened: int = 0
    id: str = "first"

    def put(self, *messages: Any) -> None:
        """Append records."""
        assert self.records is not None
        self.records += [m if isinstance(m, bytes) else msgspec.json.encode(m) for m in messages]

    @asynccontextmanager
    async def open(self, refused: Callable[[RefusedRecord], None]) -> AsyncIterator[Any]:
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
    """See `topic_follower.FollowedTopic`."""

    topic: Topic[L]
    log: L
    at: int = 0
    answered_s: float | None = None

    async def poll(self) -> Sequence[FakeRecord]:
        """What came since; where nothing did, others get the processor first, as while Kafka is waited for."""
        await asyncio.sleep(0 if self.at < len(self.topic.records or ()) else _POLL_S)
        if self.topic.trouble is not None:
            raise self.topic.trouble
        records = self.topic.records or []
        self.answered_s = time.time()
        found = [FakeRecord(n, b"", value) for n, value in enumerate(records[self.at :], self.at)]
        self.at = len(records)
        return found


@dataclass
class Told:
    """See `observation.RulesObserver`."""

    releases: list[ReleaseInForce | None] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    asked: dict[str, float] = field(default_factory=dict)
    fills: dict[str, ListFill] = field(default_factory=dict)

    def release_in_force(self, release: ReleaseInForce | None) -> None:
        """Kept."""
        self.releases.append(release)

    def rules_asked(self, kind: Literal["rules", "lists"], answered_s: float) -> None:
        """Kept."""
        self.asked[kind] = answered_s

    def lists_hold(self, fills: Mapping[str, ListFill]) -> None:
        """Kept."""
        self.fills = dict(fills)

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
        self.live = LiveRules(
            TopicSource("rules", "rules", self._id_of, self.rules.open),
            TopicSource("lists", "lists", self._id_of, self.lists.open),
            self.told,
            KEPT_BY_DEFAULT,
        )
        self.scorer: Scorer | None = None
        self.bound = self.live.in_force
        self.previous: str | None = None

    async def _id_of(self, topic: str) -> str | None:
        of = self.rules if topic == "rules" else self.lists
        if of.id == "away":
            raise Unavailable("Kafka did not answer.")
        return None if of.records is None else f"id-{topic}" if of.id == "first" else of.id

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
        self.live.reading, self.live._taking = asyncio.Lock(), asyncio.Lock()  # of this loop: it may be another

        async def followed() -> None:
            async with asyncio.timeout(DEADLINE_S):
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
        await asyncio.sleep(_POLL_S)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looked for again at once."""
    monkeypatch.setattr(topic_follower, "AGAIN_S", 0.0)


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
        assert [dict(one.modes) for one in desk.told.releases if one] == [{"a_rule": "live"}, {"other": "live"}, {"a_rule": "live"}]

    desk.run(body)


def test_without_topics_payments_are_decided_as_before_and_a_topic_that_comes_is_followed() -> None:
    """Rule 1 of `topic_follower`: no header, no rule; once the topics are made, they are read."""
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
    """Rule 2 of `topic_follower`: torn records, a release that follows another, a rule that cannot be: before the start and after it."""
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


def test_a_release_that_asks_for_an_entity_of_which_no_state_is_kept_is_refused() -> None:
    """Its feature would be neutral for every payment, and the rule would never hit: the release before stays."""
    desk = Desk()
    desk.release(rule("amount > 15"))

    async def body() -> None:
        desk.release(rule("merchant_count_1h > 5", code="other"))
        await until(lambda: desk.told.refused == ["release"])
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
    """Rule 3 of `topic_follower`: never a time without rules in between."""
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
    """Rule 1 of `live_rules`: a topic that is there and lost its beginning is told with its remedy; a Kafka that is away, once it was waited for."""
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


def said_of(level: str, said: list[str]) -> int:
    """What is logged goes there."""
    return logger.add(said.append, level=level, format="{message}")


@pytest.mark.parametrize("kind", ["rules", "lists"])
@pytest.mark.parametrize("now", ["another", None])
def test_a_topic_that_was_made_anew_or_is_gone_is_read_no_further_and_what_was_in_force_stays(
    kind: str, now: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 4 of `topic_follower`: by its id, also where it holds more than was read; told once, with what to do, until the process is started again."""
    monkeypatch.setattr(topic_follower, "LOOK_S", 0.01)
    monkeypatch.setattr(topic_follower, "_ID_HOLDS_S", 0.0)
    desk, said = Desk(), list[str]()
    desk.release(rule("terminal_id in @bad"))
    desk.lists.put(LIST, ListEntries("bad", (ListedValue("t1"),), "ann", "seen"))
    sink = said_of("WARNING", said)

    async def body() -> None:
        before = desk.read()
        topic = desk.rules if kind == "rules" else desk.lists
        if now is None:
            topic.records = None
        else:
            topic.id = now
            removed = {"kind": "list_removal", "name": "bad", "values": ["t1"], "author": "eve", "why": "forged"}
            topic.put(rule("amount > 5", version=2) if kind == "rules" else msgspec.json.encode(removed))
        await until(lambda: bool(said))
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(said) == 1
        told = f"Topic '{kind}' {'is gone' if now is None else 'was made anew'}: it is not the one that was read. What was in force stays"
        assert told in said[0]
        assert "rules apply" in said[0] if kind == "rules" else "lists import" in said[0]
        assert desk.read() == before
        assert await desk.alerted(payment("b", 10)) == ["b decline"]

    desk.run(body)
    logger.remove(sink)


def test_an_id_that_nobody_tells_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Brokers that are old, or away for a moment: what comes is taken."""
    monkeypatch.setattr(topic_follower, "_ID_HOLDS_S", 0.0)
    desk = Desk()
    desk.release(rule("amount > 15"))

    async def body() -> None:
        desk.rules.id = ""
        desk.rules.put(rule("amount > 5", code="other"))
        await until(lambda: desk.read().rules == 3)
        desk.rules.id = "away"
        desk.rules.put(rule("amount > 6", code="third"))
        await until(lambda: desk.read().rules == 4)

    desk.run(body)


def test_operators_are_told_when_topics_answered_what_lists_hold_and_what_rules_expect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Again and again: of entries those that hold now, and of these the ones that end within a day."""
    monkeypatch.setattr(live_rules, "FILLS_S", 0.01)
    desk, now_ms = Desk(), int(time.time() * 1000)
    desk.release(rule("amount > 15", expected_share=0.25))
    ends = {"ended": now_ms - 1000, "soon": now_ms + 3_600_000, "later": now_ms + 3 * 86_400_000, "never": None}
    desk.lists.put(LIST, ListEntries("bad", tuple(ListedValue(v, end) for v, end in ends.items()), "ann", "seen"))

    async def body() -> None:
        await until(lambda: desk.told.asked.keys() == {"rules", "lists"} and desk.told.fills == {"bad": ListFill(3, 1)})
        assert time.time() - min(desk.told.asked.values()) < 30
        assert [one.expected for one in desk.told.releases if one] == [{"a_rule": 0.25}]

    desk.run(body)


def test_what_is_in_force_is_unknown_until_both_topics_were_read_and_known_from_then_on() -> None:
    """Whoever does not wait for a start asks before each decision: neither an outage of one topic nor one that cannot be read is an empty release."""
    desk, said = Desk(), list[str]()
    desk.rules.trouble, desk.lists.trouble = Unavailable("Kafka did not answer."), TopologyError("no whole checkpoint")
    sink = logger.add(said.append, level="WARNING", format="{message}")

    def known() -> bool:
        return not desk.live.unknown

    async def body() -> None:
        async with asyncio.timeout(30):
            following = asyncio.create_task(desk.live.run(desk.rebind))
            await until(lambda: len(said) == 2)
            assert not known()
            desk.rules.trouble = None
            await until(lambda: desk.rules.opened == 1)
            await asyncio.sleep(0.01)
            assert not known()
            desk.lists.trouble = None
            await until(known)
            desk.rules.trouble = desk.lists.trouble = Unavailable("Kafka did not answer.")
            await until(lambda: len(said) == 4)
            assert known()
            following.cancel()
            await asyncio.gather(following, desk.live.begun(), return_exceptions=True)

    asyncio.run(body())
    logger.remove(sink)
    assert [text.partition(":")[0] for text in said] == ["What rules and lists are in force is not known yet"] * 2 + [
        "Rules and lists in force stay as they are"
    ] * 2


def test_a_rule_that_cannot_be_run_is_counted_each_time_and_said_once() -> None:
    """Its list is not there yet; where it comes, the rule is run without another release."""
    desk, said = Desk(), list[str]()
    desk.release(rule("terminal_id in @later"))
    sink = said_of("ERROR", said)

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
