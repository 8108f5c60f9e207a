"""How long topics must keep their records, and what is said where they do not."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from loguru import logger

from stream_app.adapters.kafka.topology import (
    KEEP_DAYS,
    MAX_BATCH_BYTES,
    Copies,
    TopicConfig,
    losing,
    too_little,
    unbounded,
    wrong_rule_topics,
)
from stream_app.delivery.runtime import Runtime
from stream_app.errors import Unavailable
from stream_app.features.aggregations import DAY_MS
from stream_app.settings import load_settings
from tests.memory_store import MemoryStore
from tests.topics import MemoryTopics

LONG = TopicConfig(KEEP_DAYS * DAY_MS, -1, "delete")


@pytest.mark.parametrize("kept", [LONG, TopicConfig(-1, -1, "delete")], ids=["just long enough", "for ever"])
def test_topics_that_keep_the_horizon_are_well(kept: TopicConfig) -> None:
    """38 days and one more."""
    assert too_little(load_settings(), {"transactions": kept, "fraud-labels": LONG}) is None


@pytest.mark.parametrize(
    ("kept", "why"),
    [
        (TopicConfig(7 * DAY_MS, -1, "delete"), "keeps 7.0 days of the 39 that are needed"),
        (TopicConfig(KEEP_DAYS * DAY_MS - 1, -1, "delete"), "retention.ms"),
        (TopicConfig(-1, 10**9, "delete"), "retention.bytes 1000000000"),
        (TopicConfig(-1, -1, "compact"), "compacted"),
        (TopicConfig(-1, -1, "compact,delete"), "compacted"),
    ],
)
def test_topics_that_keep_less_are_named_with_the_command(kept: TopicConfig, why: str) -> None:
    """Too short, bounded by size, or compacted: each alone, and only the topic that it is."""
    said = too_little(load_settings(), {"transactions": LONG, "fraud-labels": kept}) or ""
    assert why in said
    assert "topic 'transactions'" not in said
    assert "kafka-configs.sh --bootstrap-server localhost:9092 --alter --topic fraud-labels --add-config cleanup.policy=delete" in said
    assert f"retention.ms={KEEP_DAYS * DAY_MS}" in said


@pytest.mark.parametrize("topic", ["transactions-dlq", "fraud-labels-dlq"])
def test_dead_letters_are_kept_as_long_as_what_they_were_made_of(topic: str) -> None:
    """A rebuild knows from them alone what was refused."""
    short = too_little(load_settings(), {"transactions": LONG, topic: TopicConfig(7 * DAY_MS, -1, "delete")}) or ""
    assert f"topic '{topic}' keeps 7.0 days" in short
    assert f"retention.ms={KEEP_DAYS * DAY_MS}" in short
    assert "is compacted" in (too_little(load_settings(), {topic: replace(LONG, cleanup="compact")}) or "")


@pytest.mark.parametrize("topic", ["fraud-alerts", "scores"])
@pytest.mark.parametrize("cleanup", ["compact", "compact,delete"])
def test_a_compacted_output_loses_records_and_is_named_with_the_command(topic: str, cleanup: str) -> None:
    """Of a card's alerts the last alone would be left; how long they are kept is their readers' matter."""
    said = too_little(load_settings(), {"transactions": LONG, topic: TopicConfig(1, 1, cleanup)}) or ""
    assert f"topic '{topic}' is compacted (cleanup.policy {cleanup})" in said
    assert said.endswith(f"--alter --topic {topic} --add-config cleanup.policy=delete")
    assert too_little(load_settings(), {"transactions": LONG, topic: TopicConfig(1, 1, "delete")}) is None


@pytest.mark.parametrize(
    ("change", "why", "remedy"),
    [
        ({"ahead_ms": 2**63 - 1}, "dated in the future", "message.timestamp.after.max.ms=3600000"),
        ({"compression": "zstd"}, "fills their memory", "compression.type=producer"),
        ({"compression": "uncompressed"}, "fills their memory", "compression.type=producer"),
        ({"max_message_bytes": 10**8}, "100000000 bytes", f"max.message.bytes={MAX_BATCH_BYTES}"),
    ],
)
def test_an_input_that_takes_what_its_brokers_could_bound_is_named_with_the_command(change: dict[str, Any], why: str, remedy: str) -> None:
    """It is no fault: a worker bounds it too."""
    said = unbounded(load_settings(), {"transactions": LONG, "fraud-labels": replace(LONG, **change)}) or ""
    assert said.startswith("topic 'fraud-labels' ")
    assert why in said
    assert said.endswith(f"--alter --topic fraud-labels --add-config {remedy}")


def test_inputs_as_they_are_made_are_bounded_and_so_is_the_brokers_own_time() -> None:
    """Kafka's default, and a topic whose times the broker sets."""
    own_time = replace(LONG, timestamp_type="LogAppendTime", ahead_ms=2**63 - 1)
    assert unbounded(load_settings(), {"transactions": LONG, "fraud-labels": own_time}) is None


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
        place: Any = SimpleNamespace(away=lambda: None, publisher=publisher, rounds=SimpleNamespace(give_up=publisher.settle))
        outside: Any = SimpleNamespace(
            serving=SimpleNamespace(present=None, run=no_model), partition_counts=counts, too_little=too_little, on_fatal=None, seek=None
        )
        outside.partitions_changed, outside.unequal, outside.hear_witness = (lambda _: None), str, publisher.settle
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


@pytest.mark.parametrize(
    ("change", "copies", "why", "remedy"),
    [
        (
            {"unclean": True},
            3,
            "unclean.leader.election.enable",
            "kafka-configs.sh .* --topic scores --add-config unclean.leader.election.enable=false",
        ),
        ({"min_insync": 1}, 3, "one copy alone holds", "kafka-configs.sh .* --topic scores --add-config min.insync.replicas=2"),
        ({}, 1, "is kept once", "kafka-reassign-partitions.sh --bootstrap-server localhost:9092"),
    ],
)
def test_a_topic_that_may_lose_what_it_took_is_named_with_the_command(change: dict[str, Any], copies: int, why: str, remedy: str) -> None:
    """Of several brokers, whatever the topic; the others are well."""
    kept = Copies(3, {"transactions": 3, "scores": copies})
    said = losing(load_settings(), {"transactions": LONG, "scores": replace(LONG, **change)}, kept) or ""
    assert re.search(f"^topic 'scores' .*{why}.*{remedy}", said)
    assert "'transactions'" not in said


def test_one_broker_is_told_as_a_trial_and_copies_are_not_asked_of_it() -> None:
    """It cannot give any."""
    said = losing(load_settings(), {"scores": replace(LONG, min_insync=1)}, Copies(1, {"scores": 1})) or ""
    assert "for trials" in said
    assert "'scores'" not in said
    assert losing(load_settings(), {"scores": LONG}, Copies(3, {"scores": 3})) is None


ENDLESS = TopicConfig(-1, -1, "delete", timestamp_type="LogAppendTime")


@pytest.mark.parametrize(
    ("wrong", "told", "mended"),
    [
        ({"cleanup": "compact"}, "is compacted", "cleanup.policy=delete"),
        ({"retention_ms": 7 * DAY_MS}, "keeps 7.0 days", "retention.ms=-1"),
        ({"retention_bytes": 10**9}, "is cut at a size", "retention.bytes=-1"),
        ({"max_message_bytes": 1_000_000}, "takes 1000000 bytes at once", f"max.message.bytes={MAX_BATCH_BYTES}"),
    ],
)
def test_what_topics_of_rules_and_lists_may_lose_is_named_with_the_command(wrong: dict[str, Any], told: str, mended: str) -> None:
    """Of the topic that it is; where both hold all, nothing is said."""
    counts = {"fraud-rules": 1, "fraud-lists": 1}
    assert wrong_rule_topics(load_settings(), counts, dict.fromkeys(counts, ENDLESS)) is None
    said = wrong_rule_topics(load_settings(), counts, {"fraud-rules": ENDLESS, "fraud-lists": replace(ENDLESS, **wrong)}) or ""
    assert said.startswith(f"topic 'fraud-lists' {told}")
    assert said.endswith(f"--alter --topic fraud-lists --add-config {mended}")


def test_a_topic_of_rules_has_one_partition() -> None:
    """With more, records of two of them have no order."""
    said = wrong_rule_topics(load_settings(), {"fraud-rules": 4, "fraud-lists": 1}, {}) or ""
    assert said.startswith("topic 'fraud-rules' has 4 partitions")
    assert said.endswith("--delete --topic fraud-rules; fraudstream topics")
