"""Every decision as it is published, heard while it happens."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from aiokafka import TopicPartition

from stream_app.scoring.provenance import SOURCE_RULES
from tests.faults.published import headers_of, publisher, reader
from tests.faults.rulings import Read, Ruling, read_of, ruling_of
from tests.faults.scene import PARTITIONS, Scene


class Decided(NamedTuple):
    """A decision, the worker that took it, when Kafka had it from that worker (Unix ms), and up to where both topics had been read."""

    partition: int
    at_ms: int
    by: str
    transaction_id: str
    event_time: int
    read: Read
    ruling: Ruling


class Heard:
    """All decisions of a lane so far.

    Attributes:
        decisions: in the order in which they came.
    """

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.decisions: list[Decided] = []

    async def run(self) -> None:
        """Listen until cancelled."""
        places = [TopicPartition(self._scene.settings.scores_topic, partition) for partition in range(PARTITIONS)]
        async with reader(self._scene) as consumer:
            consumer.assign(places)
            await consumer.seek_to_beginning(*places)
            while True:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    self.decisions += map(_decided, records)

    def since(self, place: int) -> list[Decided]:
        """Those that came after so many."""
        return self.decisions[place:]


def _decided(record: Any) -> Decided:
    message = msgspec.json.decode(record.value)
    read = read_of(headers_of(record).get(SOURCE_RULES)) or Read(0, 0)
    named = message["transaction_id"], message["event_time"]
    return Decided(record.partition, record.timestamp, publisher(record), *named, read, ruling_of(message))


async def ends_of(scene: Scene) -> Read:
    """Where the topics of rules and lists end now."""
    places = [TopicPartition(topic, 0) for topic in scene.settings.rule_topics()]
    async with reader(scene) as consumer:
        ends = await consumer.end_offsets(places)
    return Read(*(ends[place] for place in places))
