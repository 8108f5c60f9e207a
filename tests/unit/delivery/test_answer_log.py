"""Answers on their way to their topic: nobody waits, nothing is unbounded, and what is lost is counted by its cause."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loguru import logger

from stream_app.delivery import answer_log
from stream_app.delivery.answer_log import MOST_BYTES, MOST_RECORDS, AnswerLog
from stream_app.errors import RecordError, Refused, TopologyError, Unavailable
from stream_app.messages.alert import AnsweredPayment, ModelReference
from stream_app.messages.records import Outgoing
from stream_app.messages.transaction import Transaction
from stream_app.scoring.observation import LostAnswer
from stream_app.scoring.online_scoring import Answered, Decision
from tests.unit.scoring.test_scorer import START

SEEN = (("source.seen", b"1:0"), ("source.rules", b"a:2,b:3"))


def answered(id_: str) -> Answered:
    """An answer."""
    payment = Transaction(id_, START, "c1", "t1", 12.5, "EUR")
    decision = Decision(
        transaction_id=id_,
        card_id="c1",
        score=0.5,
        raw_score=0.4,
        threshold=0.25,
        action="review",
        case_id="c",
        model=ModelReference("fake", "7"),
        reasons=(),
        degraded=None,
        scored_at=START + 4,
        features={"amount": 12.5},
    )
    return Answered(payment, decision, SEEN)


@dataclass
class AnswerTopic:
    """A topic of answers in memory; each attempt meets the next trouble, and `large` payments are too large."""

    troubles: list[Exception | None] = field(default_factory=list)
    large: set[str] = field(default_factory=set)
    messages: list[Outgoing] = field(default_factory=list)
    published: int = 0
    lost: Counter[LostAnswer] = field(default_factory=Counter)

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        """As `KeyedTopic.publish`."""
        await asyncio.sleep(0)
        if self.troubles and (trouble := self.troubles.pop(0)) is not None:
            raise trouble
        if self.large & set(ids(messages)):
            raise RecordError("decision_too_large", "Topic 'answers' does not take a message of 2000000 bytes")
        self.messages += messages

    def answers_published(self, count: int) -> None:
        """See `observation.AnswersObserver`."""
        self.published += count

    def answers_lost(self, why: LostAnswer, count: int) -> None:
        """See `observation.AnswersObserver`."""
        self.lost[why] += count


def ids(messages: Sequence[Outgoing]) -> list[str]:
    """Of the payments that messages are of."""
    return [msgspec.json.decode(m.value or b"", type=AnsweredPayment).transaction_id for m in messages]


def run(topic: AnswerTopic, body: Callable[[AnswerLog], Awaitable[None]]) -> None:
    """While answers are published; then the process ends."""

    async def beside() -> None:
        log = AnswerLog("answers", topic.publish, topic)
        async with asyncio.timeout(30):
            task = asyncio.create_task(log.run())
            await body(log)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await log.close()

    asyncio.run(beside())


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what must become true; the caller bounds it."""
    while not holds():  # noqa: ASYNC110 - it stands for a topic, which tells nobody
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tried again at once."""
    monkeypatch.setattr(answer_log, "AGAIN_S", 0.0)


def test_an_answer_stands_in_the_topic_with_what_it_had_seen_at_the_time_at_which_it_was_given() -> None:
    """Keyed by its card; the payment and the decision on it in one message."""
    topic = AnswerTopic()

    async def body(log: AnswerLog) -> None:
        log.take(answered("a"), 100)
        await until(lambda: topic.published == 1)

    run(topic, body)
    (message,) = topic.messages
    assert (message.topic, message.key, message.headers, message.at_ms) == ("answers", b"c1", SEEN, START + 4)
    said = msgspec.json.decode(message.value or b"", type=AnsweredPayment)
    assert (said.transaction_id, said.terminal_id, said.action, said.features) == ("a", "t1", "review", {"amount": 12.5})


@given(
    st.lists(st.sampled_from([None, Unavailable("Kafka did not answer."), Refused("No right."), TopologyError("No topic.")]), max_size=8),
    st.sets(st.sampled_from([str(n) for n in range(20)]), max_size=3),
    st.integers(1, 6),
)
def test_every_answer_is_published_or_counted_as_lost(troubles: list[Exception | None], large: set[str], at_once: int) -> None:
    """Rules 3, 4 and 5 of `answer_log`, whatever Kafka does meanwhile: an outage keeps them, in their order; a refusal loses those that were tried; what is too large is lost alone."""
    topic = AnswerTopic(list(troubles), large)

    async def body(log: AnswerLog) -> None:
        for number in range(20):
            log.take(answered(str(number)), 1)
        await until(lambda: topic.published + sum(topic.lost.values()) == 20)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answer_log, "AT_ONCE", at_once)
        run(topic, body)
    there = ids(topic.messages)
    assert len(there) == topic.published == 20 - sum(topic.lost.values())
    assert there == sorted(there, key=int)
    refusals = sum(isinstance(trouble, Refused | TopologyError) for trouble in troubles)
    assert topic.lost["refused"] <= refusals * at_once
    if not refusals:
        assert set(there) == {str(n) for n in range(20)} - large


@pytest.mark.parametrize(("size", "kept"), [(1, MOST_RECORDS), (MOST_BYTES // 4, 4)])
def test_what_comes_to_a_full_queue_is_lost_counted_and_told_once(size: int, kept: int) -> None:
    """Rules 1 and 2 of `answer_log`: bounded in records and in bytes while Kafka is away; at the end what waits is lost too, and counted as that."""
    topic, said = AnswerTopic([Unavailable("Kafka did not answer.")] * 1_000_000), list[str]()
    sink = logger.add(said.append, level="ERROR", format="{message}")

    async def body(log: AnswerLog) -> None:
        for _ in range(kept + 3):
            log.take(answered("a"), size)
        assert (topic.lost, len(said)) == ({"full": 3}, 1)

    run(topic, body)
    logger.remove(sink)
    assert topic.lost == {"full": 3, "stopped": kept}
    assert said == ["1 answers were given and are not published to topic 'answers': too many wait to be published\n"]


def test_a_process_that_ends_publishes_what_waits() -> None:
    """Once more, within its bounded time."""
    topic = AnswerTopic()

    async def body(log: AnswerLog) -> None:
        for number in range(3):
            log.take(answered(str(number)), 1)

    run(topic, body)
    assert (ids(topic.messages), topic.lost) == (["0", "1", "2"], {})
