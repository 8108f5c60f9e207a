"""A worker's partitions over a real Redis that is damaged, emptied or rolled back while they work; topics in memory."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import msgspec
import pytest
from redis import Redis

from stream_app.adapters.redis.store import RedisStore
from stream_app.delivery import held_partitions
from stream_app.delivery.held_partitions import HeldPartitions
from stream_app.delivery.inbox import Fetched, KnownEnd
from stream_app.delivery.outputs import Outputs
from stream_app.delivery.partition import PartitionDependencies
from stream_app.delivery.takeover import Takeover
from stream_app.delivery.trusted_clock import TrustedClock
from stream_app.messages.money import Money
from stream_app.messages.records import Place
from stream_app.messages.transaction import IntakeRules
from stream_app.scoring.publication import Output
from stream_app.scoring.scorer import Scorer
from tests.servers import Servers
from tests.topics import MemoryTopics
from tests.unit.delivery.world import TOPICS, Counted, rounds_of
from tests.unit.scoring.test_scorer import NOW, FakeClock, FakeModel, payment
from tests.waiting import DEADLINE_S

PARTITIONS = 3
pytestmark = pytest.mark.servers


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """No heartbeat to wait for."""
    monkeypatch.setattr(held_partitions, "RETAKE_AFTER_S", 0.05)


@dataclass
class Fleet:
    """A worker with three partitions, or some of them, whose payments all go to one terminal, and its consumer."""

    url: str
    group: str
    numbers: tuple[int, ...] = tuple(range(PARTITIONS))
    topics: MemoryTopics = field(default_factory=lambda: MemoryTopics(now_ms=NOW))
    positions: dict[Place, int] = field(default_factory=dict)
    fatal: list[BaseException] = field(default_factory=list)
    sent: int = 0

    def __post_init__(self) -> None:
        """Connect to Redis behind the worker's back."""
        self.redis: Any = Redis.from_url(self.url)

    def send(self, count: int) -> None:
        """So many payments to each partition, one in ten alerted."""
        for number in self.numbers:
            for i in range(count):
                at = self.sent + i
                message = payment(f"T{number}-{at}", 900.0 if at % 10 == 0 else 20.0, at * 1000, card_id=f"c{number}")
                self.topics.append(("transactions", number), f"c{number}".encode(), msgspec.json.encode(message))
        self.sent += count

    async def work(self, meanwhile: Callable[[], None] | None = None) -> None:
        """Hold its partitions until everything is decided; `meanwhile` is done when a third is."""
        store = RedisStore(self.url, self.group)
        held = HeldPartitions(store, self._dependencies(store), self._seek, lambda error, _: self.fatal.append(error))
        self.positions = await held.take(self.numbers, PARTITIONS, self._seek)
        began = self._decided()
        try:
            async with asyncio.timeout(DEADLINE_S):
                while not self.fatal and self._decided() < len(self.numbers) * self.sent:
                    await self._fetch(held)
                    if meanwhile and self._decided() - began > len(self.numbers) * self.sent // 3:
                        meanwhile = meanwhile()
            await held.let_go()
        finally:
            await store.close()

    async def _fetch(self, held: HeldPartitions) -> None:
        for place, at in self.positions.items():
            taker = held.get(place[1])
            if taker is not None and taker.wants(place[0]) and (records := self.topics.logs[place][at : at + 4]):
                taker.put(place[0], Fetched(records, lambda: None))
                self.positions[place] += len(records)
        await asyncio.sleep(0.001)

    async def _seek(self, positions: Mapping[Place, int]) -> None:
        self.positions |= positions

    def _decided(self) -> int:
        return len({r.value for n in range(PARTITIONS) for r in self.topics.logs["scores", n]})

    def _dependencies(self, store: RedisStore) -> PartitionDependencies:
        scorer, outputs = Scorer(FakeModel(), Money("EUR"), Output("alerts", "scores"), FakeClock()), Outputs(self.topics)
        answers = count(1)
        return PartitionDependencies(
            rounds=rounds_of(store, scorer),
            end_of=lambda topic, number: KnownEnd(len(self.topics.logs[topic, number]), next(answers)),
            publisher=self.topics,
            takeover=Takeover(store, self.topics, outputs, TOPICS, FakeClock()),
            outputs=outputs,
            observer=Counted(),
            topics=TOPICS,
            rules=IntakeRules(),
            present=TrustedClock(FakeClock()),
            money=Money("EUR"),
            most_records=4,
        )

    def keys(self, pattern: str) -> list[bytes]:
        """Keys of the group."""
        return sorted(self.redis.scan_iter(match=f"{{{self.group}:{pattern}"))

    def counts(self) -> Counter[str]:
        """How often each transaction was decided."""
        return Counter(
            msgspec.json.decode(r.value or b"")["transaction_id"] for n in range(PARTITIONS) for r in self.topics.logs["scores", n]
        )

    def state(self) -> dict[bytes, bytes]:
        """All cards and terminals."""
        keys = [k for k in self.keys("*") if not k.endswith(b"cursor")]
        return dict(zip([k.split(b"}")[0][-2:] + k.split(b"}")[1] for k in keys], self.redis.mget(keys), strict=True))


@pytest.fixture
def fleet(stack: Servers, unique: str) -> Fleet:
    """A worker of its own."""
    return Fleet(stack.redis, f"fleet-{unique}")


@pytest.fixture
def calm(stack: Servers, unique: str) -> Fleet:
    """Another, to which nothing happens: what should come out."""
    calm = Fleet(stack.redis, f"calm-{unique}")
    calm.send(60)
    asyncio.run(calm.work())
    return calm


def assert_as(calm: Fleet, fleet: Fleet) -> None:
    """Everything decided once, and the same state."""
    assert fleet.fatal == []
    assert fleet.counts() == calm.counts()
    assert set(fleet.counts().values()) == {1}
    assert fleet.state() == calm.state()


def test_state_that_is_emptied_at_work_is_rebuilt(fleet: Fleet, calm: Fleet) -> None:
    """All partitions lose it at once, and each finds out by itself."""
    fleet.send(60)
    asyncio.run(fleet.work(lambda: fleet.redis.delete(*fleet.keys("*")) and None))
    assert_as(calm, fleet)


def test_a_damaged_part_that_two_other_partitions_meet_is_rebuilt_once_and_stops_nobody(fleet: Fleet, calm: Fleet) -> None:
    """The worker holds all three: a new one reads the terminal's parts, and that of partition 1 is garbage."""
    fleet.send(20)
    asyncio.run(fleet.work())
    (key,) = fleet.keys("1}t:*")
    fleet.redis.set(key, b"garbage")
    fleet.send(40)
    asyncio.run(fleet.work())
    assert_as(calm, fleet)


def test_state_that_goes_back_at_work_is_taken_up_from_there(fleet: Fleet, calm: Fleet) -> None:
    """What was published since stands."""
    fleet.send(20)
    asyncio.run(fleet.work())
    old = {key: fleet.redis.dump(key) for key in fleet.keys("*")}

    def go_back() -> None:
        with fleet.redis.pipeline(transaction=True) as pipeline:
            for key, value in old.items():
                pipeline.restore(key, 0, value, replace=True)
            pipeline.execute()

    fleet.send(40)
    asyncio.run(fleet.work(go_back))
    assert_as(calm, fleet)
