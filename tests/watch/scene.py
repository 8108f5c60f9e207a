"""A lane of the check: a group with topics of its own, real workers, and a real Prometheus that starts with empty data."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import msgspec
from aiokafka import AIOKafkaProducer

from stream_app.adapters.kafka.partitioners import by_murmur2
from stream_app.delivery.placement import Partitioner
from stream_app.local.prometheus import Prometheus
from stream_app.local.watching import free_port
from stream_app.rules.lists import CardList, ListedValue, ListEntries
from stream_app.rules.rule import Release, Rule, release_of
from stream_app.settings import PREFIX, Settings
from tests.faults import model as rule
from tests.faults.ground import Ground
from tests.watch import model
from tests.watch.queries import at_once, firing

PARTITIONS = 2
TIMEOUT_S = 120.0
START_S = 300.0
"""Of a worker on a machine that does much else."""
SCRAPE_S = 1
LOOK_S = 0.25
TOPICS = ("TRANSACTIONS", "LABELS", "ALERTS", "SCORES", "TRANSACTIONS_DLQ", "LABELS_DLQ", "RULES", "LISTS")


class Awaited(Exception):  # noqa: N818 - what did not come
    """What was awaited did not come."""


class Process:
    """A worker, or an API, of a scene."""

    def __init__(self, folder: Path, command: str, env: Mapping[str, str]) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / f"{command}-{self.port}.log"
        port = "METRICS_PORT" if command == "worker" else "API_PORT"
        settings = {**os.environ, **{f"{PREFIX}{k}": v for k, v in {**env, port: str(self.port)}.items()}}
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "stream_app.cli", command], env=settings, cwd=folder, stdout=output, stderr=output
            )

    def page(self, path: str) -> str:
        """A page that it shows; empty where it does not answer, or is not ready."""
        try:
            answer = httpx.get(f"{self.url}/{path}", timeout=1)
        except httpx.HTTPError:
            return ""
        return answer.text if answer.is_success else ""

    def metric(self, name: str) -> float:
        """Sum over the samples of a metric."""
        lines = [line for line in self.page("metrics").splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def end(self) -> None:
        """Kill it, stopped or not."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Scene:
    """A lane."""

    def __init__(self, ground: Ground, folder: Path, name: str) -> None:
        self.ground, self.name, self.folder = ground, name, folder / name
        self.workers: list[Process] = []
        self.apis: list[Process] = []
        self.prometheus = Prometheus(self.folder / "prometheus", free_port(), at_once(self.folder / "rules.yml"), SCRAPE_S, 1)
        self._sender: AIOKafkaProducer | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Settings of its workers."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.ground.addresses.kafka,
            "REDIS_URL": self.ground.addresses.redis,
            "MLFLOW_TRACKING_URI": rule.NO_REGISTRY,
            "MODEL_NAME": rule.NAME,
            "MODEL_ALIAS": rule.ALIAS,
            "MODEL_CACHE": str(self.folder / "models"),
            "CONSUMER_GROUP": self.name,
            **{f"{topic}_TOPIC": f"{self.name}-{topic.lower()}" for topic in TOPICS},
        }

    @property
    def settings(self) -> Settings:
        """The same, read."""
        return Settings.model_validate({name.lower(): value for name, value in self.environment.items()})

    async def __aenter__(self) -> Self:
        """Topics, a model trained now, and Prometheus."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.place_model()
        await self.ground.create_topics(self.settings, PARTITIONS)
        await asyncio.to_thread(self.prometheus.start)
        self._sender = AIOKafkaProducer(bootstrap_servers=self.ground.addresses.kafka, max_request_size=4_194_304)
        await self._sender.start()
        return self

    async def __aexit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None) -> None:
        """End all; where something failed, show what the workers said last."""
        for process in (*self.workers, *self.apis):
            process.end()
            if error is not None:
                print("\n".join(process.log.read_text(errors="replace").splitlines()[-5:]))  # noqa: T201 - the check's report
        if self._sender is not None:
            await self._sender.stop()
        await asyncio.to_thread(self.prometheus.stop)

    def place_model(self, age_days: float = 0.0) -> None:
        """The model that workers find, trained so long ago."""
        model.place(self.folder / "models", int((time.time() - age_days * 86_400) * 1000))

    async def start(self, count: int = 1, *, ready: bool = True, **changes: str) -> None:
        """Start workers and wait until they score (or, for one that never will, until it shows its metrics), and Prometheus reads them."""
        self.workers += [Process(self.folder, "worker", self.environment | changes) for _ in range(count)]
        page = "readyz" if ready else "metrics"
        await self.until(lambda: all(w.page(page) for w in self.workers), f"{count} workers to show /{page}", START_S)
        await self._watched()

    async def start_api(self) -> Process:
        """Start an API and wait until it can score, and Prometheus reads it."""
        api = Process(self.folder, "api", self.environment)
        self.apis.append(api)
        await self.until(lambda: api.page("readyz"), "the API to be ready", START_S)
        await self._watched()
        return api

    async def _watched(self) -> None:
        jobs = {"fraudstream": self.workers, "fraudstream-api": self.apis}
        self.prometheus.watch({job: [f"127.0.0.1:{p.port}" for p in processes] for job, processes in jobs.items() if processes})
        count = len(self.workers) + len(self.apis)
        await self.until(lambda: self.number("sum(up)") == count, "Prometheus to read every process")

    async def send(
        self,
        payments: Iterable[Mapping[str, Any] | bytes],
        labels: Iterable[Mapping[str, Any]] = (),
        ahead_s: float = 0.0,
        place: Partitioner = by_murmur2,
    ) -> None:
        """Publish payments, or bytes that are none, and labels, by a producer whose clock is so far ahead, of this partitioner."""
        if self._sender is None:
            raise AssertionError("a scene is entered before anything is sent")
        sent = []
        for topic, messages in ((self.settings.transactions_topic, payments), (self.settings.labels_topic, labels)):
            for message in messages:
                key, value = (b"?", message) if isinstance(message, bytes) else (message["card_id"].encode(), json.dumps(message).encode())
                at = int((time.time() + ahead_s) * 1000)
                sent.append(await self._sender.send(topic, value, key=key, partition=place(key, PARTITIONS), timestamp_ms=at))
        await asyncio.gather(*sent)

    async def put_rules(self) -> None:
        """Put a rule that is told and does nothing into force, and a list that holds something; what is refused of them is told."""
        everything = Rule("everything", 1, "amount > 0", "{amount}", "alert", "ann", action="review", expected_share=1.0)
        await self.put(
            everything,
            release_of([everything], "ann", "to be seen", None),
            CardList("watched", "terminal", "ask", "ann", "to be seen"),
            ListEntries("watched", (ListedValue("M-none"),), "ann", "to be seen"),
        )

    async def put(self, *records: Rule | Release | CardList | ListEntries | bytes) -> None:
        """Put records of rules and lists, in order; bytes that are none go to the rules."""
        if self._sender is None:
            raise AssertionError("a scene is entered before anything is sent")
        for record in records:
            topic = self.settings.lists_topic if isinstance(record, CardList | ListEntries) else self.settings.rules_topic
            await self._sender.send_and_wait(topic, record if isinstance(record, bytes) else msgspec.json.encode(record))

    def done(self) -> float:
        """Records that the workers are through with."""
        names = ("transactions_scored", "transactions_duplicate", "transactions_credit", "dead_letters", "labels")
        return sum(w.metric(f"fraudstream_{name}_total") for w in self.workers for name in names)

    async def through(self, count: int) -> None:
        """Wait until the workers are through with so many records."""
        await self.until(lambda: self.done() >= count, f"{count} records to be decided or refused")

    def number(self, expr: str) -> float | None:
        """The one number that a query gives now."""
        found = httpx.get(f"{self.prometheus.url}/api/v1/query", params={"query": expr}, timeout=30).json()["data"]["result"]
        return float(found[0]["value"][1]) if found else None

    async def fires(self, alarms: Iterable[str], timeout_s: float = TIMEOUT_S) -> None:
        """Wait until each of these alarms has fired.

        Raises:
            Awaited: one does not.
        """
        left = set(alarms)

        def all_fired() -> bool:
            left.difference_update(firing(self.prometheus.url))
            return not left

        try:
            await self.until(all_fired, "", timeout_s)
        except Awaited:
            raise Awaited(f"{self.name}: {', '.join(sorted(left))} did not fire within {timeout_s:.0f} s") from None

    async def until(self, look: Callable[[], object], what: str, timeout_s: float = TIMEOUT_S) -> None:
        """Look until it is so.

        Raises:
            Awaited: it does not become so.
        """
        deadline = time.monotonic() + timeout_s
        while not await asyncio.to_thread(look):
            if time.monotonic() > deadline:
                raise Awaited(f"{self.name}: waited {timeout_s:.0f} s for {what}")
            await asyncio.sleep(LOOK_S)

    def signal(self, number: signal.Signals) -> None:
        """A signal to the first worker."""
        self.workers[0].process.send_signal(number)
