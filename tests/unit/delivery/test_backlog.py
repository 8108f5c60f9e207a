"""How much waits in a partition, and since when: told while there is no model, and while Kafka does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from loguru import logger

from stream_app.delivery.backlog import BacklogWatch
from stream_app.delivery.open_transactions import REMIND_S
from stream_app.delivery.partition import Partition, Undecided
from stream_app.delivery.ports import Bounds, OpenTransaction
from stream_app.errors import Unavailable
from stream_app.scoring.observation import Backlog
from stream_app.scoring.positions import Cursor
from tests.topics import MemoryTopics
from tests.unit.delivery.world import TOPICS, Counted
from tests.unit.scoring.test_scorer import NOW


@dataclass
class Held:
    """What is looked at of a partition."""

    cursor: Cursor = field(default_factory=lambda: Cursor("me"))
    oldest_ms: int | None = None

    def undecided(self, topic: str) -> Undecided:
        """See `Partition`."""
        at = dict(zip(TOPICS.read, self.cursor.position, strict=True))[topic]
        return Undecided(at, fetched=self.oldest_ms is not None and topic == TOPICS.transactions)


class Told(Counted):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.backlogs: list[Backlog] = []

    def waiting(self, backlog: Backlog) -> None:
        """See `observation.Observer`."""
        self.backlogs.append(backlog)


class Sometimes(MemoryTopics):
    """A Kafka that can be away, and whose logs may end in so many marks of transactions."""

    away = False
    marks = 0

    async def bounds(self, places: Any) -> Any:
        """See `ports.Log`."""
        if self.away:
            raise Unavailable("away")
        return {p: Bounds(of_log.begin, of_log.end + self.marks) for p, of_log in (await super().bounds(places)).items()}


def scene(records: int = 3) -> tuple[Sometimes, Held, Told, BacklogWatch]:
    """Partition 0 with so many transactions, one each ten seconds, the last at `NOW`; it is looked at at `NOW`."""
    topics, held, told = Sometimes(), Held(), Told()
    for n in range(records):
        topics.now_ms = NOW - 10_000 * (records - 1 - n)
        topics.append(("transactions", 0), b"c", b"{}")
    watch = BacklogWatch(lambda: {0: cast("Partition", held)}, topics, TOPICS, told, lambda: NOW / 1000)
    return topics, held, told, watch


def test_what_was_never_fetched_waits_since_it_came_to_kafka() -> None:
    """A worker without a model fetches nothing."""
    _, _, told, watch = scene()
    asyncio.run(watch.look())
    assert told.backlogs == [Backlog(0, transactions=3, labels=0, age_s=20.0)]


def test_the_oldest_in_hand_counts_before_the_oldest_in_kafka() -> None:
    """What is being decided is not decided yet."""
    _, held, told, watch = scene()
    held.oldest_ms = NOW - 70_000
    asyncio.run(watch.look())
    assert told.backlogs[0].age_s == 70.0


def test_nothing_waits_where_the_cursor_stands_at_the_end() -> None:
    """And nothing has an age."""
    _, held, told, watch = scene()
    held.cursor = Cursor("me", transactions=3)
    asyncio.run(watch.look())
    assert told.backlogs == [Backlog(0, transactions=0, labels=0, age_s=0.0)]


def test_what_retention_removed_does_not_wait() -> None:
    """A cursor below the first record that is kept."""
    topics, _, told, watch = scene()
    topics.first["transactions", 0] = 2
    asyncio.run(watch.look())
    assert told.backlogs == [Backlog(0, transactions=1, labels=0, age_s=0.0)]


def test_while_kafka_is_away_what_was_known_gets_older() -> None:
    """An alarm on the age goes on."""
    topics, _, told, _ = scene()
    times = iter((NOW / 1000, NOW / 1000 + 60))

    async def body() -> None:
        await watch.look()
        topics.away = True
        await watch.look()

    held = Held()
    watch = BacklogWatch(lambda: {0: cast("Partition", held)}, topics, TOPICS, told, lambda: next(times))
    asyncio.run(body())
    assert [b.age_s for b in told.backlogs] == [20.0, 80.0]
    assert told.backlogs[1].transactions == 3


def test_a_partition_that_was_given_away_meanwhile_is_not_told() -> None:
    """Its new owner tells of it."""
    topics, held, told, _ = scene()
    looks = iter(({0: held}, {0: held}, {0: Held()}))
    watch = BacklogWatch(lambda: cast("Any", next(looks)), topics, TOPICS, told, lambda: NOW / 1000)
    asyncio.run(watch.look())
    assert told.backlogs == []


@pytest.mark.parametrize(("at", "first", "undecided"), [(0, 0, 3), (1, 0, 2), (1, 2, 1), (3, 0, 0)])
def test_undecided_is_what_kafka_keeps_from_the_cursor_on(at: int, first: int, undecided: int) -> None:
    """What retention removed will not be decided any more."""
    topics, held, _, watch = scene()
    topics.first["transactions", 0] = first
    held.cursor = Cursor("me", transactions=at)
    assert asyncio.run(watch.undecided()) == undecided


def test_marks_of_transactions_are_nothing_that_is_undecided() -> None:
    """Nothing is fetched there, so the cursor stands before them until the next record comes: that is no worker that hangs."""
    topics, held, _, watch = scene()
    topics.marks = 2
    held.cursor = Cursor("me", transactions=3)
    assert asyncio.run(watch.undecided()) == 0


def test_that_kafka_is_away_is_not_taken_for_nothing_undecided() -> None:
    """The watchdog asks again."""
    topics, _, _, watch = scene()
    topics.away = True
    with pytest.raises(Unavailable):
        asyncio.run(watch.undecided())


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """Warnings."""
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), format="{message}", level="WARNING")
    yield lines
    logger.remove(sink)


def test_marks_of_transactions_are_no_lag() -> None:
    """Nor are aborted transactions: nothing that waits stands between the cursor and the end. The next record counts at once."""
    topics, held, told, watch = scene()
    held.cursor, topics.marks = Cursor("me", transactions=3), 2
    asyncio.run(watch.look())
    asyncio.run(watch.look())
    assert told.backlogs == 2 * [Backlog(0, transactions=0, labels=0, age_s=0.0)]
    topics.append(("transactions", 0), b"c", b"{}")
    asyncio.run(watch.look())
    assert told.backlogs[-1] == Backlog(0, transactions=3, labels=0, age_s=0.0)


def test_kafka_is_asked_nothing_of_what_was_fetched_and_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is behind would ask for each of its partitions, every few seconds, by connections of their own."""
    _, held, told, watch = scene()
    held.oldest_ms = NOW - 20_000
    monkeypatch.delattr(MemoryTopics, "timestamp")
    monkeypatch.delattr(MemoryTopics, "open_transactions")
    asyncio.run(watch.look())
    assert told.backlogs == [Backlog(0, transactions=3, labels=0, age_s=20.0)]


def test_what_waits_behind_an_open_transaction_is_lag_and_is_told_once_a_minute(logged: list[str]) -> None:
    """Its age is the transaction's; the line names the place, since when, and the remedy."""
    topics, held, told, _ = scene()
    held.cursor, topics.marks = Cursor("me", transactions=3), 2
    topics.open["transactions", 0] = OpenTransaction(3, NOW - 20_000)
    now_s = [NOW / 1000]
    watch = BacklogWatch(lambda: {0: cast("Partition", held)}, topics, TOPICS, told, lambda: now_s[0])
    asyncio.run(watch.look())
    asyncio.run(watch.look())
    assert told.backlogs == 2 * [Backlog(0, transactions=2, labels=0, age_s=20.0)]
    assert [line.count("abort --topic transactions --partition 0 --start-offset 3") for line in logged] == [1]
    now_s[0] += REMIND_S
    asyncio.run(watch.look())
    assert len(logged) == 2
