"""A bank for benchmarks: topics and a consumer group of its own, a portfolio of cards, and a client that publishes their payments.

The client is librdkafka in a process of its own: it costs less than a worker, and its schedule does not wait for the broker.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from benchmarks.ground import fraudstream
from benchmarks.payments import Portfolio
from tests.foreign import foreign_client

PARTITIONS = 4
_CLIENT_S = 900
_TOPICS = ("TRANSACTIONS", "LABELS", "ALERTS", "TRANSACTIONS_DLQ", "LABELS_DLQ")


class AlertSeen(NamedTuple):
    """An alert in its topic.

    Attributes:
        due_ms: when its payment was due, Unix ms.
        late_ms: how long after that the broker appended it, ms.
        partition: where, which is where its payment is too.
    """

    due_ms: float
    late_ms: float
    partition: int


@dataclass(slots=True)
class Bank:
    """Publishes payments of a portfolio.

    Attributes:
        portfolio: whose payments.
        env: settings of workers.
        home: folder for files.
        at_ms: the next payment's event time, where they are sent without a rate.
        partitions: of each topic.
        sent: payments so far.
    """

    portfolio: Portfolio
    env: Mapping[str, str]
    home: Path
    at_ms: float
    partitions: int = PARTITIONS
    sent: int = 0

    def publish(self, count: int, rate: float = 0, name: str = "B") -> dict[str, Any]:
        """Publish so many payments, dated one after the other; with a rate, at that many a second and dated so. What the client says of itself.

        Args:
            count: how many.
            rate: a second, on an open-loop schedule; 0 for all at once.
            name: what their ids begin with.
        """
        file = self.home / "payments"
        with file.open("wb") as out:
            out.writelines(self.portfolio.lines(count))
        apart_ms = self.portfolio.apart_ms
        plan = {
            "brokers": self.env["KAFKA_BOOTSTRAP_SERVERS"], "topic": self.env["TRANSACTIONS_TOPIC"], "file": str(file), "rate": rate,
            "start_ms": self.at_ms, "apart_ms": apart_ms, "name": name,
        }  # fmt: skip
        command: list[str | Path] = [foreign_client(self.home).python, Path(__file__).with_name("client.py"), json.dumps(plan)]
        ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=_CLIENT_S)
        file.unlink()
        self.sent += count
        self.at_ms += count * apart_ms
        told: dict[str, Any] = json.loads(ran.stdout)
        return told

    def alerted(self, name: str) -> list[AlertSeen]:
        """The alerts of payments of this name."""
        return asyncio.run(_alerted(self.env, f'"transaction_id":"{name}-'.encode(), self.partitions))


def bank(
    servers: Mapping[str, str], home: Path, portfolio: Portfolio, history: int, partitions: int = PARTITIONS, kind: str = "cards"
) -> Bank:
    """A bank with topics of its own, and so many payments to send that are dated before now; its alerts carry the broker's time.

    Raises:
        RuntimeError: there is a bank of this kind with as many cards and partitions already: the two would share topics and state.
    """
    name = f"{kind}-{portfolio.cards}-{partitions}"
    env = {**servers, "CONSUMER_GROUP": name} | {f"{t}_TOPIC": f"{t.lower()}-{name}" for t in _TOPICS}
    asyncio.run(_topic_of_broker_time(env["KAFKA_BOOTSTRAP_SERVERS"], env["ALERTS_TOPIC"], partitions))
    fraudstream(env, "topics", "--partitions", str(partitions))
    return Bank(portfolio, env, home, time.time() * 1000 - history * portfolio.apart_ms, partitions)


async def _topic_of_broker_time(brokers: str, topic: str, partitions: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        made = await admin.create_topics([NewTopic(topic, partitions, 1, topic_configs={"message.timestamp.type": "LogAppendTime"})])
    finally:
        await admin.close()
    if refused := [message for _, code, message in made.topic_errors if code]:
        raise RuntimeError(f"Topic {topic!r} could not be made: {refused[0]}. Give each bank of a run a kind of its own.")


async def _alerted(env: Mapping[str, str], named: bytes, partitions: int) -> list[AlertSeen]:
    places = [TopicPartition(env["ALERTS_TOPIC"], n) for n in range(partitions)]
    consumer = AIOKafkaConsumer(bootstrap_servers=env["KAFKA_BOOTSTRAP_SERVERS"])
    await consumer.start()
    try:
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        ends, found = await consumer.end_offsets(places), list[AlertSeen]()
        while any([await consumer.position(p) < ends[p] for p in places]):
            for place, records in (await consumer.getmany(timeout_ms=1000, max_records=5000)).items():
                ids = ((r.timestamp, r.value.partition(named)[2]) for r in records)
                due_ms = ((appended_ms, int(rest.partition(b"-")[0]) / 1000) for appended_ms, rest in ids if rest)
                found += [AlertSeen(due, appended_ms - due, place.partition) for appended_ms, due in due_ms]
    finally:
        await consumer.stop()
    return found
