"""Clients with different partitioners, on real servers: what stands elsewhere is counted apart and told; what agrees is not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaProducer

from stream_app.adapters.kafka.partitioners import by_crc32, by_murmur2
from tests.e2e.kafka import LABEL, NOW_MS, TRANSACTION, raw
from tests.e2e.test_one_id import outcomes
from tests.e2e.test_operate import command, findings
from tests.e2e.workers import worker
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from stream_app.delivery.placement import Partitioner

PARTITIONS = 2
CARDS = [f"C{n}" for n in range(120)]
APART = sum(by_crc32(card.encode(), PARTITIONS) != by_murmur2(card.encode(), PARTITIONS) for card in CARDS)
PAID = NOW_MS - 86_400_000


async def publish(servers: str, topic: str, records: Sequence[tuple[str, bytes]], place: Partitioner) -> None:
    """Publish all where a client's partitioner puts them: librdkafka's is computed, for it is no part of this environment."""
    producer = AIOKafkaProducer(bootstrap_servers=servers)
    await producer.start()
    try:
        for sent in [
            await producer.send(topic, value, key=card.encode(), partition=place(card.encode(), PARTITIONS)) for card, value in records
        ]:
            await sent
    finally:
        await producer.stop()


def send(env: Mapping[str, str], topic: str, place: Partitioner) -> None:
    """A payment of each card, or a fraud label of it."""
    if topic == "TRANSACTIONS_TOPIC":
        records = [(card, raw(TRANSACTION, transaction_id=f"T-{card}", card_id=card, event_time=PAID)) for card in CARDS]
    else:
        records = [(card, raw(LABEL, transaction_id=f"T-{card}", card_id=card, event_time=PAID, labelled_at=PAID + 1)) for card in CARDS]
    asyncio.run(publish(env["KAFKA_BOOTSTRAP_SERVERS"], env[topic], records, place))


@pytest.mark.parametrize("labels_by", [by_murmur2, by_crc32], ids=["another", "the same"])
def test_labels_by_another_partitioner_are_elsewhere_and_told(
    env: dict[str, str], port: int, tmp_path: Path, labels_by: Partitioner
) -> None:
    """Payments by librdkafka's default (all alerted: threshold 0), labels by Java's: none is missed. By one partitioner all are caught."""
    apart = APART if labels_by is by_murmur2 else 0
    with worker(env | {"THRESHOLD": "0", "BATCH_MAX_RECORDS": "1"}, port, tmp_path) as running:
        until(running.ready, "the worker to be ready")
        send(env, "TRANSACTIONS_TOPIC", by_crc32)
        until(lambda: running.metric("fraudstream_transactions_scored_total") == len(CARDS), "all to be decided")
        send(env, "LABELS_TOPIC", labels_by)
        until(lambda: sum(outcomes(running).values()) == len(CARDS), "every label to be judged")
        assert {o: n for o, n in outcomes(running).items() if n} == {
            o: n for o, n in (("caught", len(CARDS) - apart), ("elsewhere", apart)) if n
        }
        assert running.metric("fraudstream_keys_astray_ratio") == pytest.approx(apart / len(CARDS))
        assert running.stop() == 0, running.log.read_text()
    found = findings(env)
    keys = found["keys"]
    assert keys.well is (not apart), keys.text
    assert ("`partitioner=murmur2_random`" in keys.text) is bool(apart)
    if not apart:
        assert keys.text == "payments stand where crc32 puts them; labels too"
    unwell = {name for name, one in found.items() if not one.well}
    assert unwell - {"fields"} == ({"keys"} if apart else set())  # these payments lack what those of the model's training had
    assert "keys" in command(env, "doctor").stdout


def test_payments_of_two_clients_are_told(env: dict[str, str], port: int, tmp_path: Path) -> None:
    """Each card pays through both: its windows see half of it, and somebody says so."""
    with worker(env | {"BATCH_MAX_RECORDS": "1"}, port, tmp_path) as running:
        until(running.ready, "the worker to be ready")
        for place in (by_murmur2, by_crc32):
            half = [(card, raw(TRANSACTION, transaction_id=f"{place.__name__}-{card}", card_id=card)) for card in CARDS]
            half = half[: len(CARDS) // 2] if place is by_murmur2 else half[len(CARDS) // 2 :]
            asyncio.run(publish(env["KAFKA_BOOTSTRAP_SERVERS"], env["TRANSACTIONS_TOPIC"], half, place))
        until(lambda: running.metric("fraudstream_transactions_scored_total") == len(CARDS), "all to be decided")
        assert running.metric("fraudstream_keys_astray_ratio") > 0.1
        assert running.stop() == 0, running.log.read_text()
    assert "newest keys of payments were put elsewhere" in findings(env)["keys"].text
