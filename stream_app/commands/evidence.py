"""The evidence of `fraudstream verify`, gathered from Kafka: decisions, and the payments and labels that they were made from."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from stream_app.adapters.kafka.log import KafkaLog
from stream_app.adapters.kafka.options import client_options
from stream_app.adapters.kafka.topics import partition_counts
from stream_app.adapters.kafka.topology import unequal
from stream_app.audit.decisions import DecisionReader, ServedDecision
from stream_app.audit.history import PartitionHistory
from stream_app.bootstrap import topics_of
from stream_app.bootstrap_inputs import inputs_of
from stream_app.delivery.outputs import Outputs
from stream_app.delivery.rebuild import MOST_AHEAD_MS, began_ms
from stream_app.errors import DataError, SettingsError, TopologyError
from stream_app.features.aggregations import HORIZON_S
from stream_app.messages.money import Money
from stream_app.messages.records import Place, Published
from stream_app.messages.transaction import Label, Transaction
from stream_app.scoring.already_published import Refusals, of_these_topics
from stream_app.scoring.intake import Decoded, decode_all
from stream_app.settings import Settings
from stream_app.wire.inputs import Inputs, Reads, some_ready

type Period = tuple[int | None, int | None]
"""From, to (not included), Unix ms; None: no bound."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is compared.

    Attributes:
        decisions: those of a partition in the order of the log.
        foreign: records of the topic of scores that are none, or were made from topics that are gone.
        histories: of every partition.
        full_from_ms: event time from which they fill every window.
    """

    decisions: list[ServedDecision]
    foreign: int
    histories: list[PartitionHistory]
    full_from_ms: int


async def gathered(settings: Settings, money: Money, span: Period) -> Evidence:
    """Decisions that were published within a span of time; payments and labels from one horizon before the earliest of them.

    Raises:
        SettingsError: if scores are not published.
        TopologyError: if a topic is missing, or they differ in their number of partitions.
        DataError: if there is no decision.
        Unavailable: if Kafka does not answer.
    """
    log = KafkaLog(client_options(settings), settings.consumer_group, topics_of(settings).written)
    count = await equal_partitions(settings)
    decisions, foreign = await _decisions(log, settings, count, span)
    if not decisions:
        raise DataError(
            f"Topic {settings.scores_topic!r} has no decision in that time. Give another --since or --until, or let a worker run with "
            f"FRAUDSTREAM_SCORES_TOPIC={settings.scores_topic}."
        )
    topics = (settings.transactions_topic, settings.labels_topic)
    places = [(topic, number) for topic in topics for number in range(count)]
    bounds = await log.bounds(places)
    since_ms = min(d.event_time_ms for d in decisions) - HORIZON_S * 1000 - MOST_AHEAD_MS
    at = await log.from_time(dict.fromkeys(places, since_ms))
    starts = {p: max(at[p], bounds[p][0]) for p in places}
    cut = [p for p in places if p[0] == topics[0] and 0 < bounds[p][0] == starts[p]]
    began = await began_ms(log, {p: bounds[p][0] for p in cut}, time.time_ns() // 1_000_000)
    oldest = [began.get(p, 0) for p in cut]
    full_from_ms = max(oldest) + HORIZON_S * 1000 + MOST_AHEAD_MS if oldest else 0
    return Evidence(decisions, foreign, await _histories(log, settings, money, starts), full_from_ms)


async def equal_partitions(settings: Settings) -> int:
    """How many partitions payments, labels and scores have, each.

    Raises:
        SettingsError: scores are not published.
        TopologyError: a topic is missing, or they differ.
    """
    if not settings.scores_topic:
        raise SettingsError(
            "FRAUDSTREAM_SCORES_TOPIC is empty: decisions are not published. Set it for the worker and here, as transaction-scores."
        )
    names = (settings.transactions_topic, settings.labels_topic, settings.scores_topic)
    counts = await partition_counts(client_options(settings), names)
    missing = [name for name in names if name not in counts]
    if missing:
        raise TopologyError(f"Topic {missing[0]!r} does not exist. Create all that are missing: `fraudstream topics --partitions 4`.")
    if len(set(counts.values())) > 1:
        raise TopologyError(unequal(settings, counts))
    return counts[settings.transactions_topic]


async def _decisions(log: KafkaLog, settings: Settings, count: int, span: Period) -> tuple[list[ServedDecision], int]:
    topic, (since_ms, until_ms) = settings.scores_topic, span
    found: list[list[ServedDecision]] = [[] for _ in range(count)]
    known = await input_ids(log, settings)
    reader, others = DecisionReader(), 0
    async for (_, partition), records in log.walk(await _starts(log, topic, count, since_ms)):
        chosen = [r for r in records if until_ms is None or r.timestamp < until_ms]
        read = [d for r in of_these_topics(chosen, known) if (d := reader.read(r)) is not None and d.partition == partition]
        found[partition] += read
        others += len(chosen) - len(read)
    return [d for of_partition in found for d in of_partition], others


async def _starts(log: KafkaLog, topic: str, count: int, since_ms: int | None) -> Mapping[Place, int]:
    places = [(topic, number) for number in range(count)]
    first = {p: begin for p, (begin, _) in (await log.bounds(places)).items()}
    return first if since_ms is None else await log.from_time(dict.fromkeys(places, since_ms))


@dataclass(slots=True)
class _Reading[T: (Transaction, Label)]:
    """Messages of one topic and partition, without the bytes that they came in."""

    inputs: Inputs
    decoder: Reads[T]
    refused: Refusals
    messages: list[T] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)

    async def add(self, records: Sequence[Published]) -> None:
        async for ready in some_ready(self.refused.without(records), self.decoder, self.inputs):
            decoded = decode_all(ready, self.decoder, None)
            self.messages += decoded.messages
            self.offsets += decoded.offsets

    def decoded(self) -> Decoded[T]:
        return Decoded(self.messages, [], self.offsets, [], [])


async def _histories(log: KafkaLog, settings: Settings, money: Money, starts: Mapping[Place, int]) -> list[PartitionHistory]:
    inputs, _ = inputs_of(settings)
    numbers = sorted({number for _, number in starts})
    refused = await Outputs(log).refusals(topics_of(settings).dead_letters(numbers), await input_ids(log, settings))
    payments = [_Reading(inputs, inputs.payments, refused[settings.transactions_topic, n]) for n in numbers]
    labels = [_Reading(inputs, inputs.labels, refused[settings.labels_topic, n]) for n in numbers]
    async for (topic, number), records in log.walk(starts):
        await (payments[number] if topic == settings.transactions_topic else labels[number]).add(records)
    return [PartitionHistory.of(p.decoded(), of_labels.decoded(), money) for p, of_labels in zip(payments, labels, strict=True)]


async def input_ids(log: KafkaLog, settings: Settings) -> list[str]:
    """Kafka's ids of transactions and labels."""
    topics = (settings.transactions_topic, settings.labels_topic)
    ids = await log.topic_ids(topics)
    return [ids.get(topic, "") for topic in topics]
