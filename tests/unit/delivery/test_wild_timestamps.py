"""Kafka timestamps are their producers' word: one that cannot be stops no takeover, and marks nobody's decisions."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from stream_app.delivery.outputs import Outputs
from stream_app.delivery.rebuild import began_ms
from stream_app.delivery.takeover import Takeover
from stream_app.features.aggregations import DAY_MS
from stream_app.messages.event_time import day_of
from tests.memory_store import MemoryStore
from tests.topics import MemoryTopics
from tests.unit.delivery.world import TOPICS, World, payment
from tests.unit.scoring.test_scorer import NOW, FakeClock

WILD = [2**62, NOW + 200 * DAY_MS, -1, 1, -(2**62), 0]


@pytest.mark.parametrize("wild_ms", WILD)
def test_one_records_time_does_not_say_when_its_partition_began(wild_ms: int) -> None:
    """It was taken for a partition that is new or older than the others: all decisions were degraded for months, or every worker ended."""
    topics = MemoryTopics(now_ms=NOW)
    for number in range(2):
        topics.append(("transactions", number), b"c", b"{}", at_ms=NOW - 60_000 if number else wild_ms)

    zero, one = ("transactions", 0), ("transactions", 1)
    assert asyncio.run(began_ms(topics, {zero: 0, one: 0}, NOW)) == {one: NOW - 60_000}
    store = MemoryStore()
    store.hold([1], 2)
    taken = asyncio.run(Takeover(store, topics, Outputs(topics), TOPICS, FakeClock()).of(1, 2))
    assert taken.cursor.full_from_ms == 0


@pytest.mark.parametrize("full_from_ms", [2**62, 10**17])
def test_a_day_that_does_not_exist_is_told_as_the_last_one(full_from_ms: int) -> None:
    """A cursor may hold what a version before took for the day from which windows are full."""
    assert str(day_of(full_from_ms)) == "9999-12-31"
    assert str(day_of(-(2**62))) == "1970-01-01"


def test_a_cursor_with_such_a_day_marks_decisions_and_ends_nobody() -> None:
    """Records that are refused go their way too."""
    world = World()
    world.send([payment("T1", 10.0, 0)])
    assert world.run() == "done"
    cursor = world.store.kept[0].cursor
    assert cursor is not None
    world.store.kept[0].cursor = msgspec.structs.replace(cursor, full_from_ms=2**62)
    world.send([payment("T2", 10.0, 1), b"not json"])
    assert world.run() == "done"
    assert world.codes() == {2: "not_json"}
    assert len(world.published("scores")) == 2
