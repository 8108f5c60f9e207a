"""What a takeover asks of the broker: each question takes a connection, and a new group of many partitions waits for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from stream_app.delivery.outputs import Outputs
from stream_app.delivery.takeover import Takeover
from stream_app.messages.records import Place
from tests.memory_store import MemoryStore
from tests.topics import MemoryTopics
from tests.unit.delivery.world import TOPICS
from tests.unit.scoring.test_scorer import NOW, FakeClock

PARTITIONS = 32


@dataclass
class Asked(MemoryTopics):
    """Remembers of which places the first records of a topic were asked, question by question."""

    asked: list[set[Place]] = field(default_factory=list)

    async def timestamps(self, spans: Mapping[Place, tuple[int, int]]) -> Mapping[Place, Sequence[int]]:
        """See `ports.Log`."""
        if any(end > 0 for _, end in spans.values()):
            self.asked.append(set(spans))
        return await super().timestamps(spans)


def test_a_takeover_without_state_asks_for_the_first_records_of_all_partitions_at_once() -> None:
    """Asked of each partition by itself, a new group of 32 partitions took half a minute to be ready."""
    topics = Asked(now_ms=NOW)
    for number in range(PARTITIONS):
        topics.append(("transactions", number), b"c", b"{}")
    store = MemoryStore()
    store.hold([7], PARTITIONS)
    taken = asyncio.run(Takeover(store, topics, Outputs(topics), TOPICS, FakeClock()).of(7, PARTITIONS))
    assert taken.cursor.full_from_ms == 0
    assert topics.asked == [{("transactions", number) for number in range(PARTITIONS)}]
