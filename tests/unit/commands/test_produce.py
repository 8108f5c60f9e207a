"""Replaying: what is sent, in which order, at which time, in which bytes. Kafka itself is in tests/integration."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.commands.produce import ReplayTopics, produce, summary
from stream_app.commands.replay import Pace, Replay, Tally, label_records, replay_of, transaction_records
from stream_app.errors import DataError
from stream_app.features.aggregations import DAY_MS
from stream_app.messages.transaction import Decoder, IntakeRules, Label, Transaction
from tests.examples import examples

if TYPE_CHECKING:
    from collections.abc import Sequence

T0 = 1_522_540_800_000
TOPICS = ReplayTopics("transactions", "fraud-labels")


@dataclass
class MemoryPublisher:
    """Keeps what it is given."""

    sent: list[tuple[str, bytes, bytes]] = field(default_factory=list)
    flushed: bool = False

    async def publish(self, topic: str, records: Sequence[tuple[bytes, bytes]]) -> None:
        """Keep the records."""
        self.sent += [(topic, key, value) for key, value in records]

    async def flush(self) -> None:
        """Nothing is under way."""
        self.flushed = True

    def ids(self, topic: str = "") -> list[str]:
        """Transaction ids in the order sent; labels end in an L."""
        return [json.loads(value)["transaction_id"] + "L" * (name == TOPICS.labels) for name, _, value in self.sent if topic in name]


def frame_of(times: Sequence[int], labelled: Sequence[int | None]) -> pd.DataFrame:
    """Transactions 0, 1, … at `times`; those with a label are frauds."""
    number = len(times)
    return pd.DataFrame(
        {
            "transaction_id": pd.Series([str(i) for i in range(number)], dtype="str"),
            "event_time": np.array(times, np.int64),
            "card_id": pd.Categorical([f"C{i % 3}" for i in range(number)]),
            "terminal_id": pd.Categorical(["T1"] * number),
            "amount": np.arange(number) + 0.5,
            "currency": pd.Categorical(["EUR"] * number),
            "is_fraud": [label is not None for label in labelled],
            "fraud_scenario": np.zeros(number, np.int8),
            "labelled_at": pd.array(list(labelled), dtype="Int64"),
        }
    )


def run(replay: Replay, pace: Pace | None = None) -> tuple[MemoryPublisher, Tally]:
    """Produce into memory."""
    publisher, tally = MemoryPublisher(), Tally()
    asyncio.run(produce(replay, publisher, TOPICS, pace or Pace(), tally))
    return publisher, tally


def test_a_label_is_due_when_the_replay_reaches_its_time() -> None:
    """Labels win ties: what is known at t counts for a transaction at t.

    time   0      10     20     30
    tx     0 (F)  1      2      3
    label                0L            (labelled_at 20)
    """
    replay = replay_of(frame_of([T0, T0 + 10, T0 + 20, T0 + 30], [T0 + 20, None, None, None]))
    is_transaction, times = replay.order()
    assert is_transaction.tolist() == [True, True, False, True, True]
    assert (times - T0).tolist() == [0, 10, 20, 20, 30]
    assert run(replay)[0].ids() == ["0", "1", "0L", "2", "3"]


def test_everything_is_published_once_in_order_of_time() -> None:
    """Also from a file that is not sorted."""
    publisher, tally = run(replay_of(frame_of([T0 + 20, T0, T0 + 10], [T0 + 50, T0 + 40, None])))
    assert publisher.ids() == ["1", "2", "0", "1L", "0L"]
    assert (tally.transactions, tally.labels, publisher.flushed) == (3, 2, True)


@examples(60)
@given(
    events=st.lists(st.tuples(st.integers(0, 100), st.none() | st.integers(0, 60)), max_size=60),
    cut=st.integers(0, 170),
    labels=st.booleans(),
)
def test_windows_that_adjoin_replay_the_whole(events: list[tuple[int, int | None]], cut: int, labels: bool) -> None:  # noqa: FBT001 - drawn
    """[.., cut) and then [cut, ..) send what one replay sends: each transaction and label once, topic by topic in the same order."""
    frame = frame_of([T0 + time for time, _ in events], [None if delay is None else T0 + time + delay for time, delay in events])
    whole, _ = run(replay_of(frame, labels=labels))
    first, _ = run(replay_of(frame, labels=labels, window=(None, T0 + cut)))
    second, _ = run(replay_of(frame, labels=labels, window=(T0 + cut, None)))
    for topic in ("transactions", "labels"):
        assert first.ids(topic) + second.ids(topic) == whole.ids(topic)
    assert len(whole.ids("labels")) == labels * sum(delay is not None for _, delay in events)


def test_a_limit_leaves_out_labels_due_after_its_last_transaction() -> None:
    """The replay stands still there; what comes later is for a later replay."""
    frame = frame_of([T0, T0 + 10, T0 + 20], [T0 + 10, T0 + 11, None])
    publisher, _ = run(replay_of(frame, limit=2))
    assert publisher.ids("transactions") == ["0", "1"]
    assert publisher.ids("labels") == ["0L"]
    assert run(replay_of(frame, labels=False))[0].ids("labels") == []


def test_terminals_with_wrong_clocks_are_replayed_in_the_true_order() -> None:
    """`sent_at` decides the order; `event_time`, as the terminal states it, is in the message."""
    publisher, _ = run(replay_of(frame_of([T0, T0 + 10], [None, None]).assign(sent_at=[T0 + 30, T0 + 5])))
    assert publisher.ids() == ["1", "0"]
    assert "sent_at" not in json.loads(publisher.sent[0][2])


def test_a_rate_gives_each_transaction_its_second_and_labels_none() -> None:
    """Transaction i is due at i / rate, whatever its event time; a label goes along with the next transaction."""
    due = Pace(rate=2).due_s(np.array([True, True, False, True]), np.array([T0, T0, T0 + DAY_MS, T0 + DAY_MS]))
    assert due.tolist() == [0, 0.5, 1.0, 1.0]


def test_a_speed_divides_event_time() -> None:
    """A day at 86,400 takes a second."""
    due = Pace(speed=86_400).due_s(np.array([True, False, True]), np.array([T0, T0 + DAY_MS // 2, T0 + DAY_MS]))
    assert due.tolist() == [0, 0.5, 1.0]
    assert Pace(speed=2).due_s(np.zeros(0, bool), np.zeros(0, np.int64)).tolist() == []


def test_the_schedule_is_kept_and_lateness_is_said() -> None:
    """Open loop: a publisher that stalls makes the replay late, not slower; the summary says so."""
    replay = replay_of(frame_of([T0 + i for i in range(50)], [None] * 50))
    _, tally = run(replay, Pace(rate=200))
    assert tally.seconds == pytest.approx(0.245, abs=0.15)
    assert "Could not keep up" not in summary(tally, TOPICS)

    class Stalling(MemoryPublisher):
        async def publish(self, topic: str, records: Sequence[tuple[bytes, bytes]]) -> None:
            await asyncio.sleep(0.7 if not self.sent else 0)
            await super().publish(topic, records)

    publisher, tally = Stalling(), Tally()
    asyncio.run(produce(replay, publisher, TOPICS, Pace(rate=1000), tally))
    assert publisher.ids() == [str(i) for i in range(50)]
    assert "Could not keep up" in summary(tally, TOPICS)
    assert "Lower --rate or --speed" in summary(tally, TOPICS)


def test_the_first_failure_ends_the_replay() -> None:
    """What Kafka does not take is counted, and no more is sent."""

    @dataclass
    class Failing(MemoryPublisher):
        tally: Tally = field(default_factory=Tally)

        async def publish(self, topic: str, records: Sequence[tuple[bytes, bytes]]) -> None:
            await super().publish(topic, records)
            self.tally.failed += len(records)

    publisher = Failing()
    replay = replay_of(frame_of([T0 + i for i in range(5000)], [None] * 5000))
    asyncio.run(produce(replay, publisher, TOPICS, Pace(), publisher.tally))
    assert publisher.tally.transactions == publisher.tally.failed == 1000
    assert publisher.flushed


def test_messages_hold_the_contracts_fields_alone() -> None:
    """Keyed by card_id; is_fraud and its like never leak into a transaction; the label is label.v1."""
    publisher, _ = run(replay_of(frame_of([T0], [T0 + 5])))
    assert [sent[:2] for sent in publisher.sent] == [("transactions", b"C0"), ("fraud-labels", b"C0")]
    shared = {"transaction_id": "0", "event_time": T0, "card_id": "C0", "terminal_id": "T1", "amount": 0.5}
    assert json.loads(publisher.sent[0][2]) == shared | {"currency": "EUR"}
    assert json.loads(publisher.sent[1][2]) == shared | {"is_fraud": True, "labelled_at": T0 + 5}


def test_optional_fields_without_a_value_are_left_out() -> None:
    """None, NaN and pandas' NA are all "no value"; the producer's own features become `attributes`."""
    frame = frame_of([T0, T0 + 1], [None, None]).assign(
        country=pd.Categorical(["BE", None]),
        approved=pd.array([None, False], dtype="boolean"),
        latitude=[np.nan, 50.8],
        mcc=pd.Series(["5411", None], dtype="str"),
        type=pd.Categorical(["withdrawal", None]),
    )
    frame["attributes.v1"] = [0.5, np.nan]
    frame["attributes.v2"] = [np.nan, np.nan]
    publisher, _ = run(replay_of(frame))
    first, second = (json.loads(value) for _, _, value in publisher.sent)
    optional = {"country", "approved", "latitude", "mcc", "type", "attributes"}
    assert {name: first[name] for name in optional & set(first)} == {
        "country": "BE",
        "mcc": "5411",
        "type": "withdrawal",
        "attributes": {"v1": 0.5},
    }
    assert {name: second[name] for name in optional & set(second)} == {"approved": False, "latitude": 50.8}


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)


@given(card=TEXT, amount=st.floats(0, 1e9), event_time=st.integers(T0, T0 + 10**9), country=st.sampled_from(["BE", None]))
def test_workers_read_what_was_written(card: str, amount: float, event_time: int, country: str | None) -> None:
    """Encoded here, decoded and checked by the worker's own decoder: the same values."""
    columns: dict[str, Any] = {
        "transaction_id": ["1"],
        "event_time": [event_time],
        "card_id": [card],
        "terminal_id": ["T"],
        "amount": [amount],
        "currency": ["EUR"],
    }
    rules = IntakeRules(refuse_card_numbers=False)
    ((key, value),) = transaction_records(columns | {"country": [country]}, 0, 1)
    read = Decoder(Transaction, rules).decode(value, key, event_time, None)
    assert read == Transaction("1", event_time, card, "T", amount, "EUR", country=country)
    ((key, value),) = label_records(columns | {"is_fraud": [True], "labelled_at": [event_time + 1]}, 0, 1)
    assert Decoder(Label, rules).decode(value, key, event_time + 1, None) == Label("1", card, "T", event_time, amount, True, event_time + 1)


@pytest.mark.parametrize("records", [transaction_records, label_records])
def test_a_column_that_every_message_must_have_is_not_left_out_in_silence(records: Any) -> None:
    """Each message would be a dead letter; the column is named before one is sent."""
    with pytest.raises(DataError, match="Column 'transaction_id' is missing"):
        records({"card_id": ["c1"], "event_time": [1]}, 0, 1)
