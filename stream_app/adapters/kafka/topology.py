"""What to do with topics that do not fit together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from stream_app.features.aggregations import DAY_MS
from stream_app.settings import Settings

KEEP_DAYS = 39
"""What the inputs must keep: the longest reach of any feature, 38 days, and a day for what is being rebuilt."""
MAX_BATCH_BYTES = 1_048_588
"""What a topic's batch may have: Kafka's own default. Producers' batches are made for it, and dead letters fit."""
PRODUCER_AHEAD_MS = 3_600_000
"""Of a producer's clock before the broker's: Kafka 4's own default. Older brokers take any time."""
_LARGE_BATCH_BYTES = 8 * 2**20


@dataclass(frozen=True, slots=True)
class TopicConfig:
    """What brokers do with a topic's records, by Kafka's names.

    Attributes:
        retention_ms: below 0 without end.
        retention_bytes: of each partition; below 0 without bound.
        cleanup: `cleanup.policy`.
        max_message_bytes: largest batch, as it is compressed.
        compression: `compression.type`; `producer` leaves batches as they come.
        timestamp_type: `CreateTime`, the producer's, or `LogAppendTime`, the broker's.
        min_insync: `min.insync.replicas`: copies that hold a record before its producer is told that it stands.
        unclean: `unclean.leader.election.enable`: whether a copy that lacks records may become the log.
        ahead_ms: `message.timestamp.after.max.ms`: how far a producer's time may lie ahead of the broker's.
    """

    retention_ms: int
    retention_bytes: int
    cleanup: str
    max_message_bytes: int = MAX_BATCH_BYTES
    compression: str = "producer"
    timestamp_type: str = "CreateTime"
    ahead_ms: int = PRODUCER_AHEAD_MS
    min_insync: int = 2
    unclean: bool = False


def too_little(settings: Settings, found: Mapping[str, TopicConfig]) -> str | None:
    """Which topics keep less than lost state is rebuilt from, which outputs lose records, and how to mend it; None where all is well.

    State is rebuilt from the inputs, without what the dead letters say was refused.

    Args:
        settings: names of the topics; the brokers, for the command.
        found: of each topic.
    """
    rebuilt_from = {settings.transactions_topic, settings.labels_topic, settings.transactions_dlq_topic, settings.labels_dlq_topic}
    why = {t: _why_too_little(config) if t in rebuilt_from else _why_lost(config) for t, config in found.items()}
    said = [f"topic {topic!r} {text}" for topic, text in why.items() if text]
    if not said:
        return None
    first = next(topic for topic, text in why.items() if text)
    wanted = f",retention.ms={KEEP_DAYS * DAY_MS},retention.bytes=-1" if first in rebuilt_from else ""
    consequence = "State that is lost could not be rebuilt whole" if first in rebuilt_from else "What readers have not read yet is gone"
    return f"{'; '.join(said)}. {consequence}. Mend each: {_alter(settings, first)} cleanup.policy=delete{wanted}"


def _why_too_little(config: TopicConfig) -> str | None:
    if config.cleanup != "delete":
        return f"is compacted (cleanup.policy {config.cleanup}): of each card the last record alone is kept"
    if 0 <= config.retention_ms < KEEP_DAYS * DAY_MS:
        return f"keeps {config.retention_ms / DAY_MS:.1f} days of the {KEEP_DAYS} that are needed (retention.ms {config.retention_ms})"
    size = config.retention_bytes
    return f"is cut at a size, whatever its age (retention.bytes {size})" if size >= 0 else None


def _why_lost(config: TopicConfig) -> str | None:
    return f"is compacted (cleanup.policy {config.cleanup}): of each card the last alone is kept" if "compact" in config.cleanup else None


def wrong_rule_topics(settings: Settings, counts: Mapping[str, int], found: Mapping[str, TopicConfig]) -> str | None:
    """Which of the topics of rules and lists cannot hold what is in force, and how to mend it; None where both can.

    Args:
        settings: names of the topics; the brokers, for the commands.
        counts: partitions of each topic.
        found: of each topic.
    """
    for topic in settings.rule_topics():
        if counts[topic] != 1:
            command = f"kafka-topics.sh --bootstrap-server {settings.kafka_bootstrap_servers} --delete --topic {topic}; fraudstream topics"
            return (
                f"topic {topic!r} has {counts[topic]} partitions: its records have an order in one alone. Delete and make again: {command}"
            )
        for wrong, wanted in _wrong(found[topic]):
            return f"topic {topic!r} {wrong}. Mend it: {_alter(settings, topic)} {wanted}"
    return None


def _wrong(config: TopicConfig) -> Iterator[tuple[str, str]]:
    if config.cleanup != "delete":
        yield f"is compacted (cleanup.policy {config.cleanup}): what is in force follows from all its records", "cleanup.policy=delete"
    if 0 <= config.retention_ms < KEEP_DAYS * DAY_MS:
        told = f"keeps {config.retention_ms / DAY_MS:.1f} days (retention.ms {config.retention_ms}): entries of lists live for longer"
        yield told, "retention.ms=-1"
    if config.retention_bytes >= 0:
        yield f"is cut at a size, whatever its age (retention.bytes {config.retention_bytes})", "retention.bytes=-1"
    if config.max_message_bytes < MAX_BATCH_BYTES:
        told = f"takes {config.max_message_bytes} bytes at once (max.message.bytes); a record may have a million"
        yield told, f"max.message.bytes={MAX_BATCH_BYTES}"


def unbounded(settings: Settings, found: Mapping[str, TopicConfig]) -> str | None:
    """Which inputs take what their brokers could refuse or should leave alone, and how to mend it; None where none does.

    A worker bounds all of it by itself: this spares it, and the brokers, the work.

    Args:
        settings: the brokers, for the command.
        found: of each input.
    """
    for topic, config in found.items():
        for loose, wanted in _loose(config):
            return f"topic {topic!r} {loose}. Better: {_alter(settings, topic)} {wanted}"
    return None


def _loose(config: TopicConfig) -> Iterator[tuple[str, str]]:
    if config.timestamp_type == "CreateTime" and config.ahead_ms > DAY_MS:
        yield "takes records dated in the future, whatever the producer's clock says", f"message.timestamp.after.max.ms={PRODUCER_AHEAD_MS}"
    if config.compression != "producer":
        told = f"has its batches packed anew by the brokers (compression.type {config.compression}), which unpack each whole for it"
        yield f"{told}: a small one that unfolds to gigabytes fills their memory", "compression.type=producer"
    if config.max_message_bytes > _LARGE_BATCH_BYTES:
        told = f"takes batches of {config.max_message_bytes} bytes (max.message.bytes); a payment has 65,536 at the most"
        yield told, f"max.message.bytes={MAX_BATCH_BYTES}"


@dataclass(frozen=True, slots=True)
class Copies:
    """How often records are kept.

    Attributes:
        brokers: in the cluster.
        of: copies of each topic's partitions, of the partition that has fewest.
    """

    brokers: int
    of: Mapping[str, int]


def losing(settings: Settings, found: Mapping[str, TopicConfig], copies: Copies) -> str | None:
    """Which topics may lose records that they took, and how to mend it; None where none does.

    Args:
        settings: the brokers, for the commands.
        found: of each topic.
        copies: of each topic.
    """
    said = [text for topic, config in found.items() for text in _losing(settings, topic, config, copies)]
    if copies.brokers == 1:
        said.insert(0, "there is one broker, which is for trials: what its disk loses is lost")
    return ". ".join(said) or None


def _losing(settings: Settings, topic: str, config: TopicConfig, copies: Copies) -> Iterator[str]:
    if config.unclean:
        told = "lets a copy that lacks records become the log (unclean.leader.election.enable)"
        yield f"topic {topic!r} {told}: {_alter(settings, topic)} unclean.leader.election.enable=false"
    if copies.brokers == 1:
        return
    if copies.of[topic] == 1:
        yield (
            f"topic {topic!r} is kept once: a disk that fails takes it. Give it three copies: kafka-reassign-partitions.sh --bootstrap-server "
            f"{settings.kafka_bootstrap_servers} --execute --reassignment-json-file FILE (Kafka's manual, *Increasing replication factor*)"
        )
    elif config.min_insync == 1:
        told = "takes records that one copy alone holds (min.insync.replicas 1)"
        yield f"topic {topic!r} {told}: {_alter(settings, topic)} min.insync.replicas=2"


def _alter(settings: Settings, topic: str) -> str:
    return f"kafka-configs.sh --bootstrap-server {settings.kafka_bootstrap_servers} --alter --topic {topic} --add-config"


def unequal(settings: Settings, counts: Mapping[str, int]) -> str:
    """What differs from the transactions, and how to mend each topic.

    Partitions are never added to an input: its cards would move to other partitions, away from their state and out of their order.

    Args:
        settings: names of the topics, and the brokers, for the commands.
        counts: partitions of every topic.
    """
    wanted = counts[settings.transactions_topic]
    command = f"kafka-topics.sh --bootstrap-server {settings.kafka_bootstrap_servers}"
    outputs = {t: n for t, n in counts.items() if t != settings.labels_topic}
    said = ["Topics differ in their number of partitions (" + ", ".join(f"{t} {n}" for t, n in counts.items()) + ")"]
    said += [f"Add partitions: {command} --alter --topic {t} --partitions {wanted}" for t, n in outputs.items() if n < wanted]
    said += [f"Delete and make again: {command} --delete --topic {t}; fraudstream topics" for t, n in outputs.items() if n > wanted]
    if counts[settings.labels_topic] != wanted:
        said.append(
            f"Labels: make a new topic of {wanted} partitions, have them sent there, with those of the last {KEEP_DAYS} days, and name it in "
            "FRAUDSTREAM_LABELS_TOPIC, with a new name in FRAUDSTREAM_CONSUMER_GROUP where workers have read the former; "
            "partitions added to this one would move cards between them. Where partitions were added to the transactions on purpose, "
            "docs/reliability.md says how to go on"
        )
    return f"{'. '.join(said)}."
