"""One lane of the suite: a group with topics of its own, its workers under a supervisor, a continuous load, its ledger, rules that change."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka.errors import KafkaError
from redis.exceptions import RedisError

from stream_app.features.aggregations import Quantity
from stream_app.features.entities import Entity
from stream_app.settings import PREFIX, Settings
from tests.faults import model
from tests.faults.fleet import Fleet, Worker
from tests.faults.ground import Ground
from tests.faults.ledger import KINDS, Kind, Ledger
from tests.faults.rules import EVERY_S, Changer, Choices
from tests.faults.sender import Sender
from tests.faults.traffic import AHEAD, Pace, Traffic

PARTITIONS = 4
LOOK_S = 0.05
TIMEOUT_S = 180.0
GRACE_S, MOST_GRACE_S = 2.0, 30.0
"""What is under way when a fault begins is done by then; at the latest, where others take the machine."""
MOST_RECORDS = 200
"""Largest micro-batch of a worker here: several are on the way at any time."""


class Stuck(Exception):  # noqa: N818 - what became of the workers
    """What was awaited did not come."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What the faults of a lane need of it.

    Attributes:
        proxied: its workers go through the proxies.
        copies: of each partition of its topics; of two one is away.
        pace: of the event time of its payments.
    """

    proxied: bool = False
    copies: int = 1
    pace: Pace = AHEAD


NOTHING = Needs()


class Scene:
    """A lane.

    Args:
        ground: its servers, which lanes share.
        folder: for what its workers write.
        name: of its group, and before the names of its topics.
        seed: of its load and faults.
        control: see `controls`; empty: the product as it is.
        needs: what its faults need.

    Attributes:
        wanted: how many workers the supervisor keeps.
        forgets: whether Kafka is told of dead members; else it misses them after the session timeout.
        timeout_s: how long anything is awaited.
        unnamed: damaged values that no worker named.
        unbidden: workers that a fault ended which should stop nobody, and state that was rebuilt without need.
        left_alone: whether workers hold state of a later version, whose cursor stays: what is decided is what is awaited.
        not_kept: of each entity, quantities of which tiles may be missing: a version worked here that had no place for them, and knew no list of features.
        decided_by: who took how many decisions, once they were checked.
        whole_from_ms: from when on no decision may be degraded because of another version; None: no other version worked here.
    """

    def __init__(self, ground: Ground, folder: Path, name: str, seed: int, control: str = "", needs: Needs = NOTHING) -> None:
        self.ground, self.name, self.folder = ground, name, folder
        self._copies = needs.copies
        self._servers = ground.proxied if needs.proxied else ground.addresses
        self.random = random.Random(seed)
        self.traffic = Traffic(seed, pace=needs.pace)
        self.ledger = Ledger(PARTITIONS)
        self.settings = self._settings()
        self.fleet = Fleet(folder, {f"{PREFIX}{k}": v for k, v in self._environment().items()}, control)
        topics: dict[Kind, str] = {"transactions": self.settings.transactions_topic, "labels": self.settings.labels_topic}
        self.sender = Sender(ground.addresses.kafka, topics, self.ledger, self.traffic)
        self.changer = Changer(ground.addresses.kafka, self.settings, Choices(seed, self.traffic.terminals, self.traffic.cards))
        self.wanted, self.forgets, self.timeout_s = 0, True, TIMEOUT_S
        self.unnamed: list[str] = []
        self.unbidden: list[str] = []
        self.left_alone = False
        self.not_kept: Mapping[Entity, Collection[Quantity]] = {}
        self.decided_by: Counter[str] = Counter()
        self.whole_from_ms: int | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._load: asyncio.Task[None] | None = None
        self._changes: asyncio.Task[None] | None = None

    def _environment(self) -> dict[str, str]:
        name = self.name
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self._servers.kafka,
            "REDIS_URL": self._servers.redis,
            "MLFLOW_TRACKING_URI": model.NO_REGISTRY,
            "MODEL_NAME": model.NAME,
            "MODEL_ALIAS": model.ALIAS,
            "MODEL_CACHE": str(self.folder / "models"),
            "CONSUMER_GROUP": name,
            "TRANSACTIONS_TOPIC": f"{name}-transactions",
            "LABELS_TOPIC": f"{name}-labels",
            "ALERTS_TOPIC": f"{name}-alerts",
            "SCORES_TOPIC": f"{name}-scores",
            "TRANSACTIONS_DLQ_TOPIC": f"{name}-transactions-dlq",
            "LABELS_DLQ_TOPIC": f"{name}-labels-dlq",
            "RULES_TOPIC": f"{name}-rules",
            "LISTS_TOPIC": f"{name}-lists",
            "BATCH_MAX_RECORDS": str(MOST_RECORDS),
            "METRICS_PORT": "0",
        }

    def _settings(self) -> Settings:
        return Settings.model_validate({name.lower(): value for name, value in self._environment().items()})

    async def open(self, *, changes: bool = True) -> None:
        """Topics, model, a first worker, rules and lists that change from then on, the opening payments; then the load runs."""
        self.folder.mkdir(parents=True)
        model.place(self.folder / "models")
        await self.ground.create_topics(self.settings, PARTITIONS, self._copies)
        self.wanted = 1
        self._tasks.append(asyncio.create_task(self._supervise()))
        if changes:
            await self.change()
        await self.sender.open()
        self._load = asyncio.create_task(self.sender.run())
        await self.recovered("the start")

    async def change(self, every_s: float = EVERY_S) -> None:
        """Have rules and lists change."""
        await self.changer.open()
        self._changes = asyncio.create_task(self.changer.run(every_s))

    async def drain(self) -> None:
        """Stop the load; wait until everything is decided."""
        await self.hush()
        await self.recovered("the end")

    async def hush(self) -> None:
        """Stop the load and the changes; every chunk is in the ledger then."""
        under_way = [task for task in (self._load, self._changes) if task is not None]
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        await self.sender.send([])

    async def close(self) -> None:
        """End everything of this lane."""
        await self.hush()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.fleet.end()
        await self.sender.close()

    async def _supervise(self) -> None:
        """Start a worker for each one that ended, whyever."""
        while True:
            before = list(self.fleet.running)
            self.fleet.look()
            for dead in [w for w in before if w not in self.fleet.running]:
                if self.forgets:
                    with suppress(KafkaError, OSError, TimeoutError):
                        await asyncio.wait_for(self.ground.forget_members(self.name, dead.name), 10)
            while len(self.fleet.running) < self.wanted:
                self.fleet.start()
            await asyncio.sleep(LOOK_S)

    @property
    def worker(self) -> Worker:
        """The worker that runs longest."""
        return self.fleet.running[0]

    async def until(self, look: Callable[[], Awaitable[bool]], what: str) -> None:
        """Look until it is so.

        Raises:
            Stuck: if it does not become so.
        """
        deadline = time.monotonic() + self.timeout_s
        while not await look():
            for task in [*self._tasks, self._load, self._changes]:
                if task is not None and task.done() and not task.cancelled():
                    task.result()
            if time.monotonic() > deadline:
                raise Stuck(f"waited {self.timeout_s:.0f} s for {what}")
            await asyncio.sleep(LOOK_S)

    async def recovered(self, after: str) -> None:
        """Wait until something more was sent, where there is a load, and all that is in the ledger then is decided."""
        sent = self.ledger.sent

        async def more() -> bool:
            return self._load is None or self._load.done() or self.ledger.sent > sent

        await self.until(more, f"another chunk to be sent, after {after}")
        await self.decided(f"the cursors to pass all that was sent, after {after}")

    async def decided(self, what: str) -> None:
        """Wait until all that is in the ledger now is decided."""
        ends = self.ledger.due()

        async def done() -> bool:
            with suppress(RedisError):
                cursors = await self.ground.cursors(self.name, PARTITIONS)
                return all(self._done(cursors[p], kind) >= end for (kind, p), end in ends.items())
            return False

        await self.until(done, what)

    @asynccontextmanager
    async def nobody_ends(self, but_with: int | None = None) -> AsyncIterator[None]:
        """Workers that end by themselves meanwhile are told; one exit code may be what is awaited."""
        before = self.fleet.ended.copy()
        try:
            yield
        finally:
            unbidden = self.fleet.ended - before
            self.unbidden += [f"with {code}, {n} times" for code, n in unbidden.items() if code != but_with]

    async def stands_still(self, seconds: float) -> None:
        """Wait so long, and on until no cursor has moved for all of it but `GRACE_S`.

        Raises:
            Stuck: if cursors go on moving: then the fault does nothing, and its round would prove nothing.
        """
        before, began = await self.ground.cursors(self.name, PARTITIONS), time.monotonic()
        since = began
        while (now := time.monotonic()) < max(began + seconds, since + seconds - GRACE_S):
            if now > began + seconds + MOST_GRACE_S:
                raise Stuck(f"workers went on for {now - began:.0f} s: the fault does nothing")
            await asyncio.sleep(LOOK_S)
            if (cursors := await self.ground.cursors(self.name, PARTITIONS)) != before:
                before, since = cursors, time.monotonic()

    def _done(self, cursor: Mapping[str, Any], kind: Kind) -> int:
        decided = dict(zip(KINDS, cursor.get("decided", (-1, -1)), strict=True))
        return int(max(cursor.get(kind, -1), decided[kind] if self.left_alone else -1))

    async def owners(self) -> list[str]:
        """The owner's token of each partition."""
        return [str(c.get("owner", "")) for c in await self.ground.cursors(self.name, PARTITIONS)]
