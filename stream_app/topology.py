"""What to do with topics that do not fit together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stream_app.settings import Settings

KEEP_DAYS = 39
"""What the inputs must keep: the longest reach of any feature, 38 days, and a day for what is being rebuilt."""
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Kept:
    """What Kafka keeps of a topic.

    Attributes:
        ms: `retention.ms`; below 0 without end.
        size: `retention.bytes` of each partition; below 0 without bound.
        cleanup: `cleanup.policy`.
    """

    ms: int
    size: int
    cleanup: str


def too_little(settings: Settings, kept: Mapping[str, Kept]) -> str | None:
    """Which inputs keep less than lost state is rebuilt from, and how to mend it; None where all is well.

    Args:
        settings: the brokers, for the command.
        kept: of each topic that is read.
    """
    said = [f"topic {topic!r} {why}" for topic, found in kept.items() if (why := _why_too_little(found))]
    if not said:
        return None
    short = [topic for topic, found in kept.items() if _why_too_little(found)]
    command = f"kafka-configs.sh --bootstrap-server {settings.kafka_bootstrap_servers} --alter --topic {short[0]}"
    wanted = f"cleanup.policy=delete,retention.ms={KEEP_DAYS * _DAY_MS},retention.bytes=-1"
    return f"{'; '.join(said)}. State that is lost could not be rebuilt whole. Mend each: {command} --add-config {wanted}"


def _why_too_little(kept: Kept) -> str | None:
    if kept.cleanup != "delete":
        return f"is compacted (cleanup.policy {kept.cleanup}): of each card the last record alone is kept"
    if 0 <= kept.ms < KEEP_DAYS * _DAY_MS:
        return f"keeps {kept.ms / _DAY_MS:.1f} days of the {KEEP_DAYS} that are needed (retention.ms {kept.ms})"
    return f"is cut at a size, whatever its age (retention.bytes {kept.size})" if kept.size >= 0 else None


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
            f"Labels: make a new topic of {wanted} partitions, have them sent there, and name it in FRAUDSTREAM_LABELS_TOPIC; "
            "partitions added to this one would move cards between them. Where partitions were added to the transactions on purpose, "
            "docs/reliability.md says how to go on"
        )
    return f"{'. '.join(said)}."
