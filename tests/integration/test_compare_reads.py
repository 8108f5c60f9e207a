"""What `fraudstream compare` reads from a real Kafka adds up to what the same payments add up to in memory."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from stream_app.adapters.kafka.log import KafkaLog
from stream_app.adapters.kafka.options import client_options
from stream_app.adapters.kafka.topics import create_topics
from stream_app.commands.compare import compare_command
from stream_app.comparing.live_comparison import LiveComparison
from stream_app.errors import DataError
from stream_app.features.aggregations import DAY_MS
from stream_app.messages.alert import Source
from stream_app.scoring.already_published import SOURCE_CURSOR
from stream_app.settings import Settings, load_settings
from tests.unit.comparing.made import BEGIN, Judged, compared, label, score
from tests.unit.comparing.test_live_comparison import town

if TYPE_CHECKING:
    from tests.servers import Servers

PARTITIONS, LAST = 2, 17
"""The last payment is of the day from which those of ten days are due."""


@pytest.fixture
def settings(stack: Servers, unique: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Topics of this test alone."""
    names = {
        f"{name}_topic": f"{name}-{unique}" for name in ("transactions", "labels", "scores", "alerts", "transactions_dlq", "labels_dlq")
    }
    for name, value in (names | {"kafka_bootstrap_servers": stack.kafka, "consumer_group": unique}).items():
        monkeypatch.setenv(f"FRAUDSTREAM_{name.upper()}", value)
    made = load_settings()
    asyncio.run(create_topics(client_options(made), made, partitions=PARTITIONS))
    return made


async def publish(settings: Settings, payments: list[Judged]) -> None:
    """Their scores, one twice, with what is none among them; and the labels, a corrected one and some that cannot be read among them."""
    inputs = (settings.transactions_topic, settings.labels_topic)
    ids = await KafkaLog(client_options(settings), "any").topic_ids(inputs)
    headers = [(SOURCE_CURSOR, ",".join(f"{ids[topic]}:0" for topic in inputs).encode())]
    async with AIOKafkaProducer(**client_options(settings)) as producer:

        async def send(topic: str, value: bytes, key: str, number: int, **also: Any) -> None:
            await producer.send(topic, value, key=key.encode(), partition=number % PARTITIONS, **also)

        for number, of in enumerate(payments):
            made = msgspec.structs.replace(score(number, of), source=Source(settings.transactions_topic, number % PARTITIONS, number))
            for _ in range(1 + (number == 0)):
                await send(settings.scores_topic, msgspec.json.encode(made), of.card, number, headers=headers, timestamp_ms=made.event_time)
            await send(settings.scores_topic, msgspec.json.encode(made), of.card, number + 1, headers=headers)  # of another partition
            if of.fraud is not None:
                for is_fraud, later in ((not of.fraud, 1), (of.fraud, 2)):
                    told = label(number, of, is_fraud=is_fraud, days_later=later)
                    await send(settings.labels_topic, msgspec.json.encode(told), of.card, number)
        await send(settings.scores_topic, b"{}", "x", 0, headers=headers)
        await send(settings.labels_topic, b"no label", "x", 0)
        await producer.flush()


def told(capsys: pytest.CaptureFixture[str], **options: Any) -> tuple[int, LiveComparison]:
    """Exit code and JSON of the command."""
    defaults: dict[str, Any] = {"days": 30, "since": None, "until": None, "delay_days": 7.0, "review_cost": 5.0, "alerts_a_day": None}
    with pytest.raises(SystemExit) as ended:
        compare_command(**(defaults | {"champion": "", "challenger": "", "show": 10} | options), as_json=True)
    return int(ended.value.code or 0), msgspec.json.decode(capsys.readouterr().out, type=LiveComparison)


def test_scores_and_labels_of_a_real_kafka_are_joined_by_card_and_transaction(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of them; then those of a span: what lies before it is not even read."""
    payments = [*town(challenger_finds=True), Judged(LAST, "last", 0.1, 0.1)]
    asyncio.run(publish(settings, payments))
    code, found = told(capsys)
    expected = compared(payments, days=10)
    assert (code, found.preferred, found.days) == (0, "challenger", 10)
    assert found.figures == expected.figures
    assert (found.judged, found.due, found.frauds, found.not_due) == (131, 130, 30, 1)
    assert found.apart == {"records that are no score of these topics": len(payments) + 1, "published twice": 1}
    code, found = told(capsys, since=str(BEGIN + 3 * DAY_MS), until=str(BEGIN + 5 * DAY_MS))
    assert (code, found.days, found.due, found.frauds) == (4, 2, 26, 6)
    assert found.lacks == ("2 days have such a payment, and 7 are needed", "6 of them are known to be fraud, and 10 are needed")
    with pytest.raises(DataError, match="versions 1 and 2 together"):
        compare_command(days=30, champion="1", challenger="2")
    with pytest.raises(DataError, match="or by these versions"):
        compare_command(challenger="2")
