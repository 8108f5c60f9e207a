"""How long topics must keep their records, and what is said where they do not."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from loguru import logger

from stream_app.adapters.memory_store import MemoryStore
from stream_app.errors import Unavailable
from stream_app.runtime import Runtime
from stream_app.settings import load_settings
from stream_app.topology import KEEP_DAYS, Kept, too_little
from tests.topics import MemoryTopics

DAY_MS = 86_400_000
LONG = Kept(KEEP_DAYS * DAY_MS, -1, "delete")


@pytest.mark.parametrize("kept", [LONG, Kept(-1, -1, "delete")], ids=["just long enough", "for ever"])
def test_topics_that_keep_the_horizon_are_well(kept: Kept) -> None:
    """38 days and one more."""
    assert too_little(load_settings(), {"transactions": kept, "fraud-labels": LONG}) is None


@pytest.mark.parametrize(
    ("kept", "why"),
    [
        (Kept(7 * DAY_MS, -1, "delete"), "keeps 7.0 days of the 39 that are needed"),
        (Kept(KEEP_DAYS * DAY_MS - 1, -1, "delete"), "retention.ms"),
        (Kept(-1, 10**9, "delete"), "retention.bytes 1000000000"),
        (Kept(-1, -1, "compact"), "compacted"),
        (Kept(-1, -1, "compact,delete"), "compacted"),
    ],
)
def test_topics_that_keep_less_are_named_with_the_command(kept: Kept, why: str) -> None:
    """Too short, bounded by size, or compacted: each alone, and only the topic that it is."""
    said = too_little(load_settings(), {"transactions": LONG, "fraud-labels": kept}) or ""
    assert why in said
    assert "topic 'transactions'" not in said
    assert "kafka-configs.sh --bootstrap-server localhost:9092 --alter --topic fraud-labels --add-config cleanup.policy=delete" in said
    assert f"retention.ms={KEEP_DAYS * DAY_MS}" in said


def started(answer: str | Unavailable | None) -> list[str]:
    """What a worker that starts warns of."""

    async def too_little() -> str | None:
        if isinstance(answer, Unavailable):
            raise answer
        return answer

    async def counts() -> dict[str, int]:
        return {"transactions": 1}

    async def no_model() -> None:
        await asyncio.Event().wait()

    async def start() -> None:
        publisher = MemoryTopics()
        place: Any = SimpleNamespace(away=lambda: None, publisher=publisher)
        outside: Any = SimpleNamespace(
            serving=SimpleNamespace(present=None, run=no_model), partition_counts=counts, too_little=too_little, on_fatal=None, seek=None
        )
        outside.partitions_changed, outside.unequal = (lambda _: None), str
        runtime = Runtime(MemoryStore(), lambda _: place, outside)
        await runtime.start()
        await runtime.stop()

    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), level="WARNING", format="{message}")
    try:
        asyncio.run(start())
    finally:
        logger.remove(sink)
    return [line.strip() for line in lines if "Retention" in line]


def test_a_worker_that_starts_says_so_in_one_line_and_starts() -> None:
    """And where the brokers do not tell, it says that."""
    assert started(None) == []
    assert started("topic 'labels' keeps 7 days") == ["Retention: topic 'labels' keeps 7 days"]
    assert started(Unavailable("TOPIC_AUTHORIZATION_FAILED")) == [
        "Retention: it is not known how long topics keep their records: TOPIC_AUTHORIZATION_FAILED"
    ]
