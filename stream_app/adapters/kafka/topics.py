"""Topics: made where they are missing, checked to fit together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    IncompatibleBrokerVersion,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    for_code,
)

from stream_app.adapters.kafka.errors import answering
from stream_app.adapters.kafka.refusals import no_right
from stream_app.adapters.kafka.topic_ids import TopicIdsRequest
from stream_app.adapters.kafka.topology import MAX_BATCH_BYTES, PRODUCER_AHEAD_MS, Copies, TopicConfig
from stream_app.errors import Unavailable
from stream_app.features.aggregations import DAY_MS
from stream_app.settings import Settings

_AHEAD = "message.timestamp.after.max.ms"
RETENTION_MS = 40 * DAY_MS
"""Longer than the horizon of 38 days, from which lost state is rebuilt."""
BROKERS_DEFAULT = -1
KNOWN_WITHIN_S = 30.0


async def partition_counts(client_options: dict[str, Any], topics: Sequence[str]) -> dict[str, int]:
    """Partitions of each topic that exists. All are asked for: by its name, a broker may create one that is missing.

    Raises:
        Refused: if this user may not describe one.
        Unavailable: if Kafka does not answer.
    """
    async with _admin(client_options) as admin:
        found = {t["topic"]: len(t["partitions"]) for t in await admin.describe_topics() if t["error_code"] == 0}
        if unseen := [topic for topic in topics if topic not in found]:
            await _raise_where_hidden(admin, unseen)
    return {topic: found[topic] for topic in topics if topic in found}


async def _raise_where_hidden(admin: AIOKafkaAdminClient, topics: Sequence[str]) -> None:
    """A topic that this user may not describe is not in the list of all; asked for by its name, it is told. This question creates none."""
    with suppress(IncompatibleBrokerVersion, NotImplementedError):  # before Kafka 2.8 it looks like one that is missing
        answer = await admin._send_request(TopicIdsRequest(topics))  # noqa: SLF001 - aiokafka's own question may create a topic
        hidden = {t["name"] for t in answer.to_object()["topics"] if for_code(t["error_code"]) is TopicAuthorizationFailedError}
        if hidden:
            raise no_right("DESCRIBE", "topic", next(topic for topic in topics if topic in hidden))


async def copies_of(client_options: dict[str, Any], topics: Sequence[str]) -> Copies:
    """How often the records of topics that exist are kept.

    Raises:
        Unavailable: if Kafka does not answer.
    """
    async with _admin(client_options) as admin:
        brokers = len((await admin.describe_cluster())["brokers"])
        found = {t["topic"]: min(len(p["replicas"]) for p in t["partitions"]) for t in await admin.describe_topics() if t["partitions"]}
    return Copies(brokers, {topic: found[topic] for topic in topics})


async def topic_configs(client_options: dict[str, Any], topics: Sequence[str]) -> dict[str, TopicConfig]:
    """What the brokers do with each topic's records.

    Raises:
        Refused: if this user may not describe one.
        Unavailable: if Kafka does not answer, or tells nothing.
    """
    async with _admin(client_options) as admin:
        answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics])
    found = {}
    for code, _message, _kind, topic, entries in (resource for answer in answers for resource in answer.resources):
        if for_code(code) is TopicAuthorizationFailedError:
            raise no_right("DESCRIBE_CONFIGS", "topic", topic)
        if code:
            raise Unavailable(f"Kafka does not tell the configuration of topic {topic!r}: {for_code(code).__name__}.")
        values = {name: value for name, value, *_ in entries}
        found[topic] = TopicConfig(
            int(values["retention.ms"]),
            int(values["retention.bytes"]),
            values["cleanup.policy"],
            int(values["max.message.bytes"]),
            values["compression.type"],
            values["message.timestamp.type"],
            int(values.get(_AHEAD) or values["message.timestamp.difference.max.ms"]),  # before Kafka 3.6
            int(values["min.insync.replicas"]),
            values["unclean.leader.election.enable"] == "true",
        )
    return found


async def create_topics(
    client_options: dict[str, Any], settings: Settings, partitions: int, replication: int = BROKERS_DEFAULT
) -> tuple[list[str], dict[str, int]]:
    """Create the topics that are missing, all with the same number of partitions but those of rules and lists, which have one; when this returns,
    the next command finds them.

    Args:
        client_options: how to reach Kafka.
        settings: names of the topics.
        partitions: of each of `Settings.topics`, where none exists that says otherwise: the transactions first, then the labels.
        replication: copies of each partition; by default as many as the brokers' `default.replication.factor` says.

    Returns:
        the topics created, and how many partitions each topic has.

    Raises:
        Refused: if this user may not create one.
        Unavailable: if Kafka does not answer, or does not create one.
    """
    names = settings.topics() + settings.own_topics() + settings.rule_topics()
    there = await partition_counts(client_options, names)
    missing = [n for n in names if n not in there]
    partitions = next((there[n] for n in settings.topics() if n in there), partitions)
    wanted = dict.fromkeys(settings.topics() + settings.own_topics(), partitions) | dict.fromkeys(settings.rule_topics(), 1)
    answer = None
    async with _admin(client_options) as admin:
        with suppress(TopicAlreadyExistsError):
            answer = (
                await admin.create_topics([_new(n, _config(n, settings), wanted[n], replication) for n in missing]) if missing else None
            )
    for name, code, *_ in answer.topic_errors if answer else ():
        if for_code(code) in (TopicAuthorizationFailedError, ClusterAuthorizationFailedError):
            raise no_right("CREATE", "topic", name)
        if code and for_code(code) is not TopicAlreadyExistsError:
            raise Unavailable(f"Kafka did not create topic {name!r}: {for_code(code).__name__}.")
    await _until_known(client_options, missing)
    return missing, {n: there.get(n, wanted[n]) for n in names}


async def _until_known(client_options: dict[str, Any], topics: Sequence[str]) -> None:
    """Kafka answers once a topic is decided on; brokers tell of it a moment later, which Kafka tells nobody."""
    deadline_s = time.monotonic() + KNOWN_WITHIN_S
    while topics and (unknown := set(topics) - set(await partition_counts(client_options, topics))):
        if time.monotonic() > deadline_s:
            raise Unavailable(
                f"Kafka created {', '.join(sorted(unknown))}, and does not show it after {KNOWN_WITHIN_S:.0f} s. Look at its brokers."
            )
        await asyncio.sleep(0.1)


def _config(name: str, settings: Settings) -> dict[str, str]:
    """Batches stay as their producers packed them: a broker that packs them anew unpacks each whole, whatever it unfolds to. Scores are
    packed there.

    What is in force is said by all records of rules and lists: they are kept without end. The time of one is the broker's: it says whether an
    entry's end was past.
    """
    config = {"cleanup.policy": "delete", "retention.ms": str(RETENTION_MS), "max.message.bytes": str(MAX_BATCH_BYTES)}
    if name in (settings.transactions_topic, settings.labels_topic):
        config |= {"compression.type": "producer", _AHEAD: str(PRODUCER_AHEAD_MS)}
    if name in (settings.scores_topic, settings.answers_topic):  # the largest by far, and written by us alone
        config |= {"compression.type": "zstd"}
    if name in settings.rule_topics():
        days = settings.rules_keep_days
        kept_ms = -1 if days is None else days * DAY_MS
        config |= {"retention.ms": str(kept_ms), "retention.bytes": "-1", "message.timestamp.type": "LogAppendTime"}
    return config


def _new(name: str, config: dict[str, str], partitions: int, replication: int) -> NewTopic:
    topic = NewTopic(name, partitions, 1, topic_configs=config)
    topic.replication_factor = replication  # its constructor refuses the brokers' default, the brokers do not
    return topic


@asynccontextmanager
async def _admin(client_options: dict[str, Any]) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**client_options)
    with answering(right="DESCRIBE"):
        try:
            await admin.start()
            yield admin
        finally:
            await admin.close()
