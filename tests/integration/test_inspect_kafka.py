"""`fraudstream inspect TOPIC` against real Kafka: what a worker would say of its records, and what only a topic tells."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from stream_app.adapters.kafka.partitioners import by_crc32, by_murmur2
from stream_app.commands.inspect import inspect_command
from stream_app.errors import DataError
from tests.e2e.kafka import make_topic
from tests.unit.messages.test_transaction import NOW_MS, TRANSACTION

pytestmark = pytest.mark.servers
PARTITIONS = 4


async def published(servers: str, topic: str, records: list[tuple[bytes | None, bytes, int]]) -> None:
    """Records by key, value and partition."""
    await make_topic(servers, topic, PARTITIONS)
    producer = AIOKafkaProducer(bootstrap_servers=servers)
    await producer.start()
    try:
        for key, value, partition in records:
            await producer.send_and_wait(topic, value, key=key, partition=partition, timestamp_ms=NOW_MS)
    finally:
        await producer.stop()


def payment(number: int, **changes: Any) -> tuple[bytes, bytes, int]:
    """A payment, where Java's clients put it."""
    card = f"card-{number % 9}"
    message = (
        TRANSACTION
        | {
            "transaction_id": f"tx-{number}",
            "card_id": card,
            "event_time": NOW_MS - number,
            "amount": number + 0.5,
            "terminal_id": f"t{number % 5}",
        }
        | changes
    )
    return card.encode(), json.dumps(message).encode(), by_murmur2(card.encode(), PARTITIONS)


def inspected(topic: str, capsys: pytest.CaptureFixture[str], rows: int = 100_000) -> tuple[int, dict[str, Any]]:
    """Exit code, and what is told."""
    with pytest.raises(SystemExit) as ended:
        inspect_command(topic, None, rows, None, as_json=True)
    return int(ended.value.code or 0), json.loads(capsys.readouterr().out)


def test_a_topic_is_inspected_as_a_worker_would_take_it(
    stack: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right records are taken; each wrong one has the code and sentence of its dead letter; then keys of another partitioner are told."""
    monkeypatch.setenv("FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS", stack.kafka)
    right, mixed = (f"inspected-{uuid.uuid4().hex[:8]}" for _ in range(2))
    asyncio.run(published(stack.kafka, right, [payment(n) for n in range(60)]))
    code, told = inspected(right, capsys)
    assert (code, told["rows"], told["refused_rows"], told["suspicions"], told["whole"]) == (0, 60, 0, [], True)
    assert inspected(right, capsys, rows=7)[1]["whole"] is False
    wrong: list[tuple[bytes | None, bytes, int]] = [
        payment(60, country="FRA"),
        payment(61, event_time=NOW_MS // 1000),
        (b"card-1", b"\x00\x00\x00\x00\x05\x08tx-1\xff", 0),
        (None, payment(62)[1], 0),
    ]
    elsewhere = [(key, value, by_crc32(key, PARTITIONS)) for key, value, _ in (payment(n) for n in range(100, 140))]
    asyncio.run(published(stack.kafka, mixed, [*(payment(n) for n in range(60)), *wrong, *elsewhere]))
    code, told = inspected(mixed, capsys)
    assert (code, told["rows"], told["refused_rows"]) == (1, 104, 4)
    refused = {r["code"]: r["message"] for r in told["refused"]}
    assert refused.keys() == {"unknown_value", "out_of_range", "schema_framed", "wrong_key"}
    assert refused["unknown_value"] == "country 'FRA' is not of ISO 3166-1 alpha-2; send 'FR'."
    assert any("Keys stand where no one partitioner puts them all" in sentence for sentence in told["suspicions"])


def test_an_empty_topic_is_said_to_be_empty(stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that fills one."""
    monkeypatch.setenv("FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS", stack.kafka)
    topic = f"inspected-{uuid.uuid4().hex[:8]}"
    asyncio.run(published(stack.kafka, topic, []))
    with pytest.raises(DataError, match="has no records"):
        inspect_command(topic, rows=10)
