"""No label is taken before a payment of an earlier time that Kafka already had when the label was fetched, however answers and records interleave."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from stream_app.delivery.inbox import Admission, Fetched, Inbox, KnownEnd
from stream_app.delivery.trusted_clock import TrustedClock
from stream_app.messages.transaction import IntakeRules
from stream_app.scoring.already_published import AlreadyPublished
from stream_app.scoring.positions import Cursor, SourceTopics
from stream_app.wire.inputs import Inputs
from tests.examples import examples
from tests.unit.delivery.test_inbox import Record
from tests.unit.messages.test_transaction import LABEL, TRANSACTION
from tests.unit.scoring.test_scorer import NOW, FakeClock

TOPICS = SourceTopics("transactions", "labels")
BEGAN_MS = NOW - 3_600_000

type Topic = Literal["transactions", "labels"]
type Step = tuple[Literal["sends", "asks", "answers", "hands_on", "batch"], int]
LED: tuple[tuple[tuple[Topic, ...], ...], ...] = ((("transactions", "labels"),), (("transactions",), ("labels",)))
"""Of which topics a broker is asked: of both, where it leads both; else there are two."""


class Answer(NamedTuple):
    """What a broker said, which the worker has not heard yet: of each topic its end, and the records from one offset to another."""

    told: dict[Topic, tuple[int, int, int]]


class Script:
    """One partition: its two logs, the brokers that lead them, what came and waits, and the inbox.

    Attributes:
        logs: of each topic the times of its records, which are sent in order.
        known: of each label that was fetched, how many payments Kafka had as it gave it.
        early: labels that were taken too early.
    """

    def __init__(self, brokers: int = 1) -> None:
        gate = Admission(Inputs.plain(IntakeRules()), TrustedClock(FakeClock()), AlreadyPublished())
        self._ends: dict[str, KnownEnd] = {}
        self._inbox = Inbox(Cursor(""), TOPICS, gate, self._ends.get)
        self._cursor = Cursor("")
        self._now_ms, self._heard = BEGAN_MS, 0
        self._led = LED[brokers - 1]
        self._under_way: dict[int, Answer] = {}
        self.logs: dict[Topic, list[int]] = {"transactions": [], "labels": []}
        self._fetched: dict[Topic, int] = {"transactions": 0, "labels": 0}
        self._waiting: dict[Topic, deque[tuple[int, int]]] = {"transactions": deque(), "labels": deque()}
        self.known: list[int] = []
        self.early: list[int] = []

    def sends(self, number: int) -> None:
        """A producer sends a record; from the second on, some at the same time as the one before."""
        self._now_ms += number // 2 % 3
        self.logs[TOPICS[number % 2]].append(self._now_ms)  # type: ignore[index]

    def asks(self, number: int) -> None:
        """A broker that has no question is asked, and answers: so many records more of each topic at the most. aiokafka asks for no topic whose records wait."""
        broker = number % len(self._led)
        if broker in self._under_way:
            return
        told: dict[Topic, tuple[int, int, int]] = {}
        for topic in self._led[broker]:
            if self._waiting[topic]:
                continue
            end, first = len(self.logs[topic]), self._fetched[topic]
            until = min(end, first + number // 2)
            told[topic] = end, first, until
            if topic == "labels":
                self.known[first:] = [len(self.logs["transactions"])] * (until - first)
        self._under_way[broker] = Answer(told)

    def answers(self, number: int) -> None:
        """The worker hears what a broker said; of two answers that come together, at the same moment."""
        answer = self._under_way.pop(number % len(self._led), None)
        if answer is None:
            return
        self._heard += number // 2 % 2
        for topic, (end, first, until) in answer.told.items():
            self._ends[topic] = KnownEnd(end, self._heard)
            self._fetched[topic] = until
            if until > first:
                self._waiting[topic].append((first, until))

    def hands_on(self, number: int) -> None:
        """The consumer hands the next records of a topic that it fetched to the partition."""
        topic: Topic = "labels" if number % 2 else "transactions"
        if self._waiting[topic]:
            first, end = self._waiting[topic].popleft()
            self._inbox.put(topic, Fetched([self._record(topic, offset) for offset in range(first, end)], lambda: None, end))

    def batch(self, most: int) -> None:
        """The partition takes a micro-batch."""
        batch = self._inbox.next(self._cursor, 1 + most)
        before = self._cursor
        reached = batch.offsets.after(before.position)
        self._cursor = msgspec.structs.replace(before, transactions=reached.transactions, labels=reached.labels)
        for offset in range(before.labels, reached.labels):
            at, had = self.logs["labels"][offset], self.logs["transactions"][: self.known[offset]]
            self.early += [offset] if any(time < at for time in had[reached.transactions :]) else []

    def to_the_end(self) -> tuple[int, int]:
        """How much was taken, once each broker has answered so often as a label waits for, and some more."""
        for _ in range(4):
            for broker in range(len(self._led)):
                self.answers(2 + broker)
                for topic in range(2):
                    self.hands_on(topic)
                self.asks(2_000 + broker)
                self.answers(2 + broker)
                for topic in range(2):
                    self.hands_on(topic)
                self.batch(0)
        for _ in range(len(self.logs["transactions"]) + len(self.logs["labels"])):
            self.batch(0)
        return self._cursor.position

    @property
    def to_take(self) -> int:
        """How many labels wait."""
        return len(self.logs["labels"]) - self._cursor.labels

    def _record(self, topic: Topic, offset: int) -> Record:
        at, name = self.logs[topic][offset], f"{topic}-{offset}"
        if topic == "transactions":
            told = TRANSACTION | {"transaction_id": name, "event_time": at}
        else:
            told = LABEL | {"transaction_id": name, "event_time": at - 1, "labelled_at": at}
        return Record(offset, at, b"card-1", msgspec.json.encode(told))


def played(steps: Sequence[Step], brokers: int = 1) -> Script:
    """A script after these steps."""
    script = Script(brokers)
    for step, number in steps:
        getattr(script, step)(number)
    return script


_A_LABEL_LATER: list[Step] = [("sends", 4), ("sends", 3)]
"""A payment, and a label of a later time."""
OLD_END: list[Step] = [("asks", 0), ("answers", 2), *_A_LABEL_LATER, ("asks", 3), ("answers", 3), ("hands_on", 1), ("batch", 3)]
"""Where nothing more was heard of the payments since there were none: under load that is a while."""
OLD_ANSWER: list[Step] = [("asks", 0), *_A_LABEL_LATER, ("asks", 3), ("answers", 3), ("hands_on", 1), ("answers", 2), ("batch", 3)]
"""Where the other broker said before that there are none, and is heard after the label."""
TOGETHER: list[Step] = [("asks", 0), *_A_LABEL_LATER, ("asks", 3), ("answers", 2), ("answers", 1), ("hands_on", 1), ("batch", 3)]
"""Where both are heard at the same moment."""

STEPS = st.one_of(
    st.tuples(st.just("sends"), st.integers(0, 5)),
    st.tuples(st.just("asks"), st.integers(0, 7)),
    st.tuples(st.just("answers"), st.integers(0, 3)),
    st.tuples(st.just("hands_on"), st.integers(0, 1)),
    st.tuples(st.just("batch"), st.integers(0, 3)),
)


@examples(400)
@given(steps=st.lists(STEPS, max_size=60), brokers=st.sampled_from([1, 2]))
@example(steps=OLD_END, brokers=2)
@example(steps=OLD_ANSWER, brokers=2)
@example(steps=TOGETHER, brokers=2)
def test_no_label_overtakes_a_payment_that_kafka_had_when_it_gave_the_label(steps: list[Step], brokers: int) -> None:
    """The oracle knows both logs. In the end, when the brokers have answered some times more, all is taken."""
    script = played(steps, brokers)
    assert script.early == []
    assert script.to_the_end() == (len(script.logs["transactions"]), len(script.logs["labels"]))
    assert script.early == []


def test_a_label_waits_for_two_answers_and_not_for_ever() -> None:
    """With payments that come all the while: those that nobody had as the label was given are later than it."""
    script = played([("sends", 3), ("asks", 2), ("answers", 2), ("hands_on", 1)])
    taken = []
    for _ in range(3):
        script.batch(3)
        taken.append(script.to_take)
        script.asks(2)
        script.answers(2)
    assert taken == [1, 1, 0]
