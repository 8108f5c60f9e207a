"""Whether systems do the same work: each scores the same payments in order, and every score must be that of the oracle's vector."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.bank import Bank
from benchmarks.peers.oracle import Oracle, Payment
from benchmarks.peers.systems import System
from tests.waiting import until
from training.fitting.export import onnx_scores, onnx_session

TOLERANCE = 1e-6
_SCORE_S = 900


def agreement(of: Bank, systems: Iterable[System], model: Path, count: int) -> dict[str, float]:
    """The share of the payments whose score agrees, by system.

    Args:
        of: a bank of one partition with a topic of scores, so that all see the payments in one order.
        systems: each begins with no state.
        model: the ONNX file.
        count: payments, published here.
    """
    of.publish(count)
    expected = expected_scores(_values(of, of.env["TRANSACTIONS_TOPIC"]), model.read_bytes())
    shares = {}
    for system in systems:
        with system.running(of, model, 0.0, count) as running:
            until(lambda running=running: running.scored()[0] >= count, f"{system.name} to score {count} payments", _SCORE_S)  # type: ignore[misc]
        topic = system.alerts_of(of) if system.command else of.env["SCORES_TOPIC"]
        shares[system.name] = share(expected, {alert["transaction_id"]: alert["score"] for alert in _values(of, topic)})
    return shares


def expected_scores(payments: Iterable[Mapping[str, Any]], model: bytes) -> dict[str, float]:
    """What the model says of the oracle's vectors, by transaction.

    Args:
        payments: messages in order.
        model: the ONNX file's bytes.
    """
    oracle, ids, vectors = Oracle(), list[str](), list[list[float]]()
    for payment in payments:
        cents = round(payment["amount"] * 100)
        ids.append(payment["transaction_id"])
        vectors.append(oracle.vector(Payment(payment["event_time"], payment["card_id"], payment["terminal_id"], cents)))
    scores = onnx_scores(onnx_session(model), np.array(vectors, dtype=np.float32))
    return dict(zip(ids, scores.tolist(), strict=True))


def share(expected: Mapping[str, float], found: Mapping[str, float]) -> float:
    """Share of the expected scores that were found, within the tolerance."""
    return sum(abs(found.get(name, np.inf) - score) <= TOLERANCE for name, score in expected.items()) / len(expected)


def _values(of: Bank, topic: str) -> list[dict[str, Any]]:
    return asyncio.run(_read(of.env["KAFKA_BOOTSTRAP_SERVERS"], [TopicPartition(topic, n) for n in range(of.partitions)]))


async def _read(brokers: str, places: Sequence[TopicPartition]) -> list[dict[str, Any]]:
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers)
    await consumer.start()
    try:
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        ends, found = await consumer.end_offsets(places), list[dict[str, Any]]()
        while any([await consumer.position(place) < ends[place] for place in places]):
            for records in (await consumer.getmany(timeout_ms=1000, max_records=5000)).values():
                found += [json.loads(record.value) for record in records]
    finally:
        await consumer.stop()
    return found
