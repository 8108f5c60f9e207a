"""How long a change takes to be live: from the broker's time of its record to the first decision under it in the last partition."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from aiokafka import TopicPartition

from tests.faults.published import reader, whole
from tests.faults.rules import Change
from tests.faults.scene import PARTITIONS, Scene
from tests.rules_check.heard import Decided

type Times = Mapping[Change, int]
"""When the broker had the record of a change, Unix ms."""


async def written_at(scene: Scene) -> Times:
    """Of every record of both topics."""
    found: dict[Change, int] = {}
    async with reader(scene) as consumer:
        for kind, topic in zip(("rules", "lists"), scene.settings.rule_topics(), strict=True):
            async for record in whole(consumer, [TopicPartition(topic, 0)]):
                found[Change(kind, record.offset + 1)] = record.timestamp
    return found


def live_ms(changes: Sequence[Change], written: Times, decisions: Iterable[Decided]) -> list[int]:
    """Of each change, until the last partition's first decision under it was published.

    Raises:
        AssertionError: a partition decided nothing under one: then nothing was measured.
    """
    firsts: dict[str, list[dict[int, int]]] = {kind: [{} for _ in range(PARTITIONS)] for kind in ("rules", "lists")}
    for one in decisions:
        for kind, offset in one.read._asdict().items():
            firsts[kind][one.partition].setdefault(offset, one.at_ms)
    took: list[int] = []
    for change in changes:
        under = [[at for offset, at in first.items() if offset >= change.offset] for first in firsts[change.topic]]
        assert all(under), f"{change}: a partition decided nothing under it"
        took.append(max(map(min, under)) - written[change])
    return took


def percentile(values: Sequence[int], share: float) -> int:
    """The nearest-rank percentile."""
    return sorted(values)[math.ceil(share * len(values)) - 1]
