"""Workers of one consumer group over topics and a store in memory, whose partitions grow in number."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import msgspec
import numpy as np

from stream_app.adapters.kafka.partitioners import by_crc32
from stream_app.adapters.redis.entity_memory import add_parts
from stream_app.delivery.inbox import Fetched, KnownEnd
from stream_app.delivery.outputs import Outputs
from stream_app.delivery.partition import Partition, PartitionDependencies
from stream_app.delivery.ports import Bounds
from stream_app.delivery.repartition import Repartition, RepartitionDependencies, Repartitioned
from stream_app.delivery.takeover import Takeover
from stream_app.delivery.trusted_clock import TrustedClock
from stream_app.features.packing import Packer
from stream_app.features.plan import Ints, catalogue_plan
from stream_app.messages.money import Money
from stream_app.messages.records import Place, Record
from stream_app.messages.transaction import IntakeRules
from stream_app.scoring.positions import Cursor
from stream_app.scoring.publication import Output
from stream_app.scoring.scorer import Scorer
from stream_app.wire.inputs import Inputs
from tests.topics import MemoryTopics
from tests.unit.delivery.world import TOPICS, Counted, Fuse, Publishing, Store, rounds_of
from tests.unit.scoring.test_scorer import NOW, FakeClock, FakeModel


class MemoryHistory:
    """See `timeline.LogSpans`: two records at a time."""

    def __init__(self, topics: MemoryTopics, spans: Mapping[Place, Bounds]) -> None:
        self._topics, self._spans = topics, dict(spans)

    async def more(self, places: Collection[Place]) -> Mapping[Place, Sequence[Record]]:
        """See `timeline.LogSpans`."""
        found: dict[Place, Sequence[Record]] = {}
        for place in places:
            start, end = self._spans[place]
            self._spans[place] = Bounds(start + 2, end)
            found[place] = self._topics.logs[place][start : min(start + 2, end)]
        return found


@dataclass
class Bank:
    """What outlives every process."""

    partitions: int
    threshold: float = 1.0
    topics: MemoryTopics = field(default_factory=lambda: MemoryTopics(now_ms=NOW))
    stores: dict[str, Store] = field(default_factory=dict)
    seen: Counted = field(default_factory=Counted)
    clock: FakeClock = field(default_factory=FakeClock)

    def home(self, card_id: str) -> int:
        """Where the producers put a card."""
        return by_crc32(card_id.encode(), self.partitions)

    def send(self, topic: str, messages: Sequence[Mapping[str, Any]]) -> None:
        """Publish payments or labels."""
        for message in messages:
            self.topics.append((topic, self.home(message["card_id"])), message["card_id"].encode(), msgspec.json.encode(message))

    def store(self, group: str, fuse: Fuse | None = None) -> Store:
        """The state of a group."""
        store = self.stores.setdefault(group, Store())
        store.fuse = fuse or Fuse()
        return store

    def work(self, group: str, most: int | None = None) -> None:
        """One worker decides everything, or `most` records of each topic and partition."""
        asyncio.run(self._work(group, most))

    async def _work(self, group: str, most: int | None) -> None:
        store = self.store(group)
        store.hold(range(self.partitions), self.partitions)
        takeover = Takeover(store, self.topics, Outputs(self.topics), TOPICS, self.clock)
        for number in range(self.partitions):
            await self._work_on(number, store, takeover, most)

    async def _work_on(self, number: int, store: Store, takeover: Takeover, most: int | None) -> None:
        taken = await takeover.of(number, self.partitions)
        ends = {t: len(self.topics.logs[t, number][:most]) for t in TOPICS.read}
        partition = Partition(number, taken, self._dependencies(store, takeover, ends))
        for topic, at in zip(TOPICS.read, (taken.cursor.transactions, taken.cursor.labels), strict=True):
            if records := self.topics.logs[topic, number][at : ends[topic]]:
                partition.put(topic, Fetched(records, lambda: None))
        task = asyncio.create_task(partition.run())
        while not task.done() and (partition.cursor.transactions, partition.cursor.labels) != tuple(ends.values()):  # noqa: ASYNC110 - one loop
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def _dependencies(self, store: Store, takeover: Takeover, ends: Mapping[str, int]) -> PartitionDependencies:
        scorer, answers = Scorer(FakeModel(), Money("EUR"), Output("alerts", "scores"), FakeClock(), self.threshold), count(1)
        return PartitionDependencies(
            rounds=rounds_of(store, scorer),
            end_of=lambda topic, _: KnownEnd(ends[topic], next(answers)),
            publisher=Publishing(self.topics, Fuse(), frozenset()),
            takeover=takeover,
            outputs=Outputs(self.topics),
            observer=self.seen,
            topics=TOPICS,
            rules=IntakeRules(),
            present=TrustedClock(self.clock),
            money=Money("EUR"),
            most_records=3,
        )

    def repartition(self, old: str, new: str, kill_after: int | None = None) -> Repartitioned:
        """What the command does, or half of it."""
        return asyncio.run(self._repartition(self.store(old), self.store(new, Fuse(kill_after))))

    async def _repartition(self, old: Store, new: Store) -> Repartitioned:
        @asynccontextmanager
        async def history(spans: Mapping[Place, Bounds]) -> AsyncIterator[MemoryHistory]:
            yield MemoryHistory(self.topics, spans)

        work = Repartition(
            RepartitionDependencies(
                old, new, self.topics, history, TOPICS, Inputs.plain(IntakeRules()), Money("EUR"), self.partitions, self.clock
            )
        )
        return await work.run(await work.take_over_old_group(), self.home, lambda _done, _all: None)

    def decisions(self) -> list[tuple[str, dict[str, float], str | None]]:
        """Id, features and case of every decision there ever was, by id."""
        scores = [msgspec.json.decode(r.value or b"") for (topic, _), log in self.topics.logs.items() if topic == "scores" for r in log]
        return sorted((s["transaction_id"], s["features"], s["case_id"]) for s in scores)

    def card(self, group: str, card_id: str) -> bytes | None:
        """The packed value of a card where its next payment comes."""
        return self.stores[group].kept[self.home(card_id)].values.get(f"c:{card_id}")

    def terminal(self, group: str, terminal_id: str) -> Ints:
        """The sum over all parts of a terminal."""
        layout = catalogue_plan().entities[1].layout
        total: Ints = np.zeros((1, layout.width), dtype=np.int64)
        for number, kept in sorted(self.stores[group].kept.items()):
            add_parts(Packer(layout), total, np.zeros(1, dtype=np.int64), [terminal_id], [kept.values.get(f"t:{terminal_id}")], number)
        part: Ints = total[0]
        return part

    def cursor(self, group: str, number: int) -> Cursor:
        """Where a partition stands."""
        cursor = self.stores[group].kept[number].cursor
        assert cursor is not None
        return cursor
