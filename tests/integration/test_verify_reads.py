"""What `fraudstream verify` reads from a real Kafka is what was decided, and no more of it than was asked for."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaProducer

from stream_app.adapters.kafka.log import KafkaLog
from stream_app.adapters.kafka.options import client_options
from stream_app.adapters.kafka.topics import create_topics
from stream_app.audit.verification import Verification, VerificationReport
from stream_app.commands.evidence import Evidence, gathered
from stream_app.errors import DataError, SettingsError, TopologyError
from stream_app.features.definitions import VELOCITY
from stream_app.scoring.already_published import position_header
from stream_app.settings import Settings, load_settings
from tests.parity.test_recorded_order import DAY, START, label, payment
from tests.parity.town import MONEY, TOPICS, EveryFeature, Town
from tests.topics import MemoryTopics

if TYPE_CHECKING:
    from tests.servers import Servers

NAMES = ("transactions", "labels", "scores")


@pytest.fixture
def settings(stack: Servers, unique: str) -> Settings:
    """Topics of three partitions."""
    names = {f"{name}_topic": f"{name}-{unique}" for name in (*NAMES, "alerts", "transactions_dlq", "labels_dlq")}
    found = load_settings(kafka_bootstrap_servers=stack.kafka, consumer_group=unique, **names)
    asyncio.run(create_topics(client_options(found), found, partitions=3))
    return found


async def decided(settings: Settings) -> Town:
    """A town whose decisions were made from these very topics."""
    ids = await KafkaLog(client_options(settings), "any").topic_ids((settings.transactions_topic, settings.labels_topic))
    known = {"transactions": ids[settings.transactions_topic], "labels": ids[settings.labels_topic]}
    town = Town(3, topics=MemoryTopics(now_ms=START + 60 * DAY, ids=known))
    payments = [payment(f"T{n}", START + n * 60_000, f"c{n % 3}") for n in range(12)]
    town.send(payments, [label(payments[0], 0)])
    for partition in range(3):
        await town.take(partition)
    for partition, what in ((0, "read"), (1, "read"), (1, "decide"), (1, "write"), (0, "decide"), (0, "write")):
        await town.step(partition, what, 2, 1)
    await town.drain()
    return town


async def published(settings: Settings, town: Town, name: str) -> None:
    """A topic of the town, into Kafka."""
    topic = getattr(settings, f"{name}_topic")
    async with AIOKafkaProducer(**client_options(settings)) as producer:
        for partition in range(3):
            for record in town.topics.logs[name, partition]:
                await producer.send(topic, record.value, key=record.key, partition=partition, headers=list(record.headers))


def verified(evidence: Evidence) -> VerificationReport:
    """What is found in it."""
    model = EveryFeature()
    name = (model.reference.name, model.reference.version)
    return Verification(evidence.histories, {name: model}, {name: VELOCITY}, MONEY.unit).run(evidence.decisions, evidence.full_from_ms)


def test_all_decisions_or_those_of_a_span_are_read_with_what_they_were_made_from(settings: Settings) -> None:
    """The whole topic; a span before anything was decided, and one that ends then."""

    async def put() -> int:
        town = await decided(settings)
        for name in ("transactions", "labels"):
            await published(settings, town, name)
        began = int(time.time() * 1000)
        await published(settings, town, "scores")
        return began

    began = asyncio.run(put())
    for span in ((None, None), (began - 1000, None), (None, began + 3_600_000)):
        evidence = asyncio.run(gathered(settings, MONEY, span))
        report = verified(evidence)
        assert (report.vectors, report.differences, report.scores, report.score_differences) == (12, 0, 12, 0)
        assert (report.unserved, report.event_order.unexplained, evidence.foreign, evidence.full_from_ms) == (0, 0, 0, 0)
    with pytest.raises(DataError, match="has no decision in that time"):
        asyncio.run(gathered(settings, MONEY, (None, began - 1000)))


def test_what_was_refused_is_no_part_of_the_history_though_it_could_be_read(settings: Settings) -> None:
    """Its dead letter stands, whatever the reason: a payment that a worker's clock refused, and which lies in the past by now."""

    async def put() -> int:
        town = await decided(settings)
        refused = payment("refused", START + 3 * 60_000, "c0")
        town.send([refused])
        for name in ("transactions", "labels", "scores"):
            await published(settings, town, name)
        offset = len(town.topics.logs["transactions", 0]) - 1
        position = position_header(town.taken[0].cursor, TOPICS.read)
        headers = [("error.code", b"future"), ("source.offset", str(offset).encode()), position]
        async with AIOKafkaProducer(**client_options(settings)) as producer:
            await producer.send_and_wait(settings.transactions_dlq_topic, b"{}", key=b"c0", partition=0, headers=headers)
        return offset

    offset = asyncio.run(put())
    evidence = asyncio.run(gathered(settings, MONEY, (None, None)))
    assert offset not in evidence.histories[0].payment_offsets
    assert len(evidence.histories[0].payment_offsets) == offset
    assert verified(evidence).differences == 0


def test_without_scores_or_topics_it_says_what_to_do(settings: Settings) -> None:
    """Each in one line."""
    with pytest.raises(SettingsError, match="FRAUDSTREAM_SCORES_TOPIC is empty"):
        asyncio.run(gathered(settings.model_copy(update={"scores_topic": ""}), MONEY, (None, None)))
    with pytest.raises(TopologyError, match="'none-such' does not exist"):
        asyncio.run(gathered(settings.model_copy(update={"scores_topic": "none-such"}), MONEY, (None, None)))
