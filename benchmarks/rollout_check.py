"""`make rollout-check`: models come, are refused, challenge and go back under load; no transaction is lost, and nobody waits.

1. start Kafka, Redis and MLflow; simulate; train; a worker over two partitions, warmed up;
2. publish RATE payments a second on a schedule, for as long as the changes take;
3. meanwhile: a new champion; a version of other scores (refused); a challenger; a damaged version (refused); the challenger becomes
   champion; back to the first version; the challenger ends. Each is awaited in the metrics;
4. read `transaction-scores`: every payment published must have one score, no more.

The last line is one JSON object. `changes` and `refused` are the worker's own counts; `max_gap_ms` is the longest time between two
scores of one partition, by Kafka's timestamps; `max_latency_ms` the longest from a payment's timestamp to that of its score; `max_seen_s` the
longest from an alias that moved to the change, or the refusal, in the worker's count.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks.ground import fraudstream, scored
from stream_app.local.stack import LocalStack
from stream_app.local.watching import free_port
from tests.e2e.models import Shelf, metadata_of, variant, without_parity
from tests.e2e.workers import Worker, worker
from tests.waiting import until

RATE = float(os.environ.get("ROLLOUT_RATE", "500"))
PARTITIONS = 2
SEEN_WITHIN_S = 30.0
WARM_UP = 2000
TOPICS = ("TRANSACTIONS", "LABELS", "ALERTS", "SCORES", "TRANSACTIONS_DLQ", "LABELS_DLQ")


def main() -> None:
    """Check and print."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        os.chdir(home)
        stack = LocalStack(home / ".fraudstream")
        addresses = stack.up()
        servers = {"KAFKA_BOOTSTRAP_SERVERS": addresses.kafka, "REDIS_URL": addresses.redis, "MLFLOW_TRACKING_URI": addresses.mlflow}
        try:
            result = _checked(servers, home)
        finally:
            stack.down()
    print(json.dumps(result))


def _checked(servers: dict[str, str], home: Path) -> dict[str, Any]:
    file = home / "payments.parquet"
    fraudstream(servers, "simulate", "--out", str(file), "--customers", "1000", "--terminals", "2000", "--days", "80")
    fraudstream(servers, "train", "--data", str(file), "--profile", "velocity")
    env = {**servers, "CONSUMER_GROUP": "rollout", "CHALLENGER_SHARE": "0.2"} | {f"{t}_TOPIC": f"{t.lower()}-rollout" for t in TOPICS}
    fraudstream(env, "topics", "--partitions", str(PARTITIONS))
    with worker(env, free_port(), home) as running:
        until(running.ready, "the worker")
        traffic = Traffic(env)
        with traffic.flowing():
            until(lambda: scored(running) >= WARM_UP, "the warm-up", 120)
            began_ms = int(time.time() * 1000)
            seen_s = _roll(Shelf(servers["MLFLOW_TRACKING_URI"], "fraudstream"), running)
        until(lambda: scored(running) >= traffic.sent, "every payment to be scored", 120)
        changes = _of_role(running, "fraudstream_model_changes_total")
        refused = _of_role(running, "fraudstream_models_refused_total")
        running.stop()
    scores = asyncio.run(_scores(env))
    return {
        "sent": traffic.sent,
        **_judged(traffic.sent, scores, began_ms),
        "changes": changes - 1,
        "refused": refused,
        "max_seen_s": seen_s,
    }


def _roll(shelf: Shelf, running: Worker) -> float:
    """Every change, each awaited before the next; the longest time that one took, from the alias moved to the worker's count."""
    first = shelf.content()
    second = shelf.add(variant(first, threshold=min(0.99, metadata_of(first).threshold * 1.2)))
    changes = lambda: _of_role(running, "fraudstream_model_changes_total")  # noqa: E731 - a name for one line
    refusals = lambda: _of_role(running, "fraudstream_models_refused_total")  # noqa: E731

    took: list[float] = []

    def step(what: str, count: Callable[[], int], change: Callable[[], None]) -> None:
        before = count()
        change()
        began = time.perf_counter()
        until(lambda: count() > before, what, SEEN_WITHIN_S)
        took.append(time.perf_counter() - began)

    step("a new champion", changes, lambda: shelf.point("champion", second))
    step("a version of other scores, refused", refusals, lambda: shelf.point("champion", shelf.add(without_parity(first))))
    shelf.point("champion", second)
    challenger = shelf.add(variant(first, threshold=0.5))
    step("a challenger", changes, lambda: shelf.point("challenger", challenger))
    step("a damaged version, refused", refusals, lambda: shelf.point("champion", shelf.add(first, sha256="0" * 64)))
    step("the challenger as champion", changes, lambda: shelf.point("champion", challenger))
    step("the way back", changes, lambda: shelf.point("champion", "1"))
    step("the end of the challenger", changes, lambda: shelf.remove("challenger"))
    return round(max(took), 1)


def _of_role(running: Worker, name: str) -> int:
    return int(running.metric(name))


class Traffic:
    """Payments on a schedule, from a thread of their own, until told to stop; `sent` are those that Kafka acknowledged."""

    def __init__(self, env: dict[str, str]) -> None:
        self.sent = 0
        self._env = env
        self._stop = threading.Event()

    @contextmanager
    def flowing(self) -> Iterator[None]:
        """Publish while the block runs."""
        thread = threading.Thread(target=lambda: asyncio.run(self._publish()), name="traffic")
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    async def _publish(self) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self._env["KAFKA_BOOTSTRAP_SERVERS"], acks="all")
        await producer.start()
        start, sent = time.perf_counter(), []
        for n in itertools.count():
            if self._stop.is_set():
                break
            await asyncio.sleep(max(0.0, start + n / RATE - time.perf_counter()))
            card = f"card-{n % 997}"
            body = msgspec.json.encode(_payment(n, card))
            sent.append(await producer.send(self._env["TRANSACTIONS_TOPIC"], body, key=card.encode(), partition=n % 997 % PARTITIONS))
        await asyncio.gather(*sent)
        await producer.stop()
        self.sent = len(sent)


def _payment(n: int, card: str) -> dict[str, Any]:
    now_ms = int(time.time() * 1000)
    amount = 5.0 + n * 37 % 400
    return {
        "transaction_id": f"t{n}",
        "event_time": now_ms,
        "card_id": card,
        "terminal_id": f"term-{n % 313}",
        "amount": amount,
        "currency": "EUR",
    }


async def _scores(env: dict[str, str]) -> list[tuple[int, int, dict[str, Any]]]:
    """Partition, Kafka timestamp and content of every score."""
    places = [TopicPartition(env["SCORES_TOPIC"], p) for p in range(PARTITIONS)]
    consumer = AIOKafkaConsumer(bootstrap_servers=env["KAFKA_BOOTSTRAP_SERVERS"], auto_offset_reset="earliest")
    consumer.assign(places)
    await consumer.start()
    try:
        ends, found = await consumer.end_offsets(places), list[tuple[int, int, dict[str, Any]]]()
        while any([await consumer.position(p) < end for p, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += [(r.partition, r.timestamp, msgspec.json.decode(r.value)) for r in records]
        return found
    finally:
        await consumer.stop()


def _judged(sent: int, scores: list[tuple[int, int, dict[str, Any]]], began_ms: int) -> dict[str, Any]:
    """What was lost or scored twice, and the waits from the first change on."""
    times = Counter(score["transaction_id"] for _, _, score in scores)
    lost = sum(f"t{n}" not in times for n in range(sent))
    of_partition: dict[int, list[int]] = {}
    for partition, at_ms, score in scores:
        if score["event_time"] >= began_ms:
            of_partition.setdefault(partition, []).append(at_ms)
    gaps = [b - a for stamps in of_partition.values() for a, b in itertools.pairwise(sorted(stamps))]
    latency = [at_ms - score["event_time"] for _, at_ms, score in scores if score["event_time"] >= began_ms]
    versions = {score["model"]["version"] for _, _, score in scores}
    return {
        "lost": lost,
        "twice": sum(n - 1 for n in times.values()),
        "max_gap_ms": max(gaps),
        "max_latency_ms": max(latency),
        "p99_latency_ms": sorted(latency)[int(len(latency) * 0.99)],
        "versions_that_decided": len(versions),
        "beside": sum(score["beside"] is not None for _, _, score in scores),
    }


if __name__ == "__main__":
    main()
