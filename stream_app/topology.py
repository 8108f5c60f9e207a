"""What to do with topics that do not fit together."""

from __future__ import annotations

from collections.abc import Mapping

from stream_app.settings import Settings


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
            "partitions added to this one would move cards between them"
        )
    return f"{'. '.join(said)}."
