"""A worker's partition over topics and a store in memory, with servers that fail and a process that is killed where a test says."""

from __future__ import annotations

import asyncio
import copy
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import msgspec

from stream_app.delivery.batch_size import BatchSize
from stream_app.delivery.inbox import Fetched, KnownEnd
from stream_app.delivery.outputs import Outputs
from stream_app.delivery.partition import Partition, PartitionDependencies
from stream_app.delivery.placement import KeyWatch
from stream_app.delivery.ports import FeatureStore
from stream_app.delivery.rounds import RoundDependencies, Rounds
from stream_app.delivery.takeover import Takeover
from stream_app.delivery.topics import Topics
from stream_app.delivery.trusted_clock import TrustedClock
from stream_app.errors import NotOwner, RecordError
from stream_app.features.compute import Vectors
from stream_app.messages.headers import header
from stream_app.messages.money import Money
from stream_app.messages.records import Outgoing
from stream_app.messages.transaction import IntakeRules
from stream_app.scoring.bound_rules import RulesInForce
from stream_app.scoring.observation import Backlog, Decisions, EventKind
from stream_app.scoring.outcomes import LabelOutcomes
from stream_app.scoring.ports import Scores
from stream_app.scoring.positions import Cursor
from stream_app.scoring.publication import Output
from stream_app.scoring.scorer import Scorer
from tests.memory_store import MemoryStore
from tests.topics import MemoryTopics
from tests.unit.scoring.test_scorer import NOW, FakeClock, FakeModel, payment
from tests.waiting import DEADLINE_S

TOPICS = Topics("transactions", "labels", "alerts", "scores", "dlq", "labels-dlq")
BATCH = 3


class Killed(BaseException):
    """The process is gone."""


@dataclass
class Fuse:
    """Counts effects; the process is killed when it has burnt down. None: never."""

    left: int | None = None

    def burn(self) -> None:
        """One effect is about to happen."""
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Killed


@dataclass
class Fussy(FakeModel):
    """Breaks on payments of certain amounts, as a fault that nobody foresaw."""

    poison: frozenset[int]

    def score(self, vectors: Vectors) -> Scores:
        """See `ports.Model`."""
        broken = self.poison & set(vectors[:, 0].astype(int).tolist())
        if broken:
            raise ZeroDivisionError(f"amount {min(broken)}")
        return super().score(vectors)


class Counted:
    """What operators would see."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.outcomes: dict[str, int] = {}
        self.hits: dict[tuple[str, str, bool], int] = {}
        self.letters: dict[str, int] = {}
        self.unknown = 0

    def counted(self, what: EventKind, count: int) -> None:
        """See `observation.Observer`."""
        self.counts[what] = self.counts.get(what, 0) + count

    def stage(self, name: str, seconds: float) -> None:
        """See `observation.Observer`."""

    def refused(self, code: str) -> None:
        """See `observation.Observer`."""
        self.letters[code] = self.letters.get(code, 0) + 1

    def batch(self, records: int) -> None:
        """See `observation.Observer`."""

    def decided(self, decisions: Decisions, published_s: float, written_s: float) -> None:
        """See `observation.Observer`."""

    def label_outcomes(self, outcomes: LabelOutcomes) -> None:
        """See `observation.Observer`."""
        for (outcome, added), count in outcomes.payments.items():
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + (count if added else -count)
        self.unknown += outcomes.unknown
        for key, count in outcomes.hits.items():
            self.hits[key[:3]] = self.hits.get(key[:3], 0) + (count if key.added else -count)

    def rebuild_begun(self) -> None:
        """See `observation.Observer`."""

    def rebuilding(self, partition: int, records_left: int) -> None:
        """See `observation.Observer`."""

    def waiting(self, backlog: Backlog) -> None:
        """See `observation.Observer`."""


class Publishing:
    """Publishes message by message; the process can be killed before each. Topics take none of certain offsets' decisions."""

    def __init__(self, topics: MemoryTopics, fuse: Fuse, too_large: frozenset[int]) -> None:
        self._topics, self._fuse, self._too_large = topics, fuse, too_large

    async def publish(self, partition: int, messages: Sequence[Outgoing], headers: Sequence[tuple[str, bytes]] = ()) -> dict[str, int]:
        """See `ports.Publisher`."""
        ends: dict[str, int] = {}
        refused = False
        for message in messages:
            told = dict(message.headers)
            if "error.code" not in told and int(told["source.offset"]) in self._too_large:
                refused = True
                continue
            self._fuse.burn()
            ends |= await self._topics.publish(partition, [message], headers)
        if refused:
            raise RecordError("decision_too_large", "Topic 'alerts' does not take it.")
        return ends

    async def settle(self) -> None:
        """See `ports.Publisher`."""


class Writing:
    """A partition's state; the process can be killed before and after each write."""

    def __init__(self, state: Any, fuse: Fuse) -> None:
        self._state, self._fuse = state, fuse
        self.read, self.pack, self.forget, self.sweep = state.read, state.pack, state.forget, state.sweep
        self.number = state.number

    async def write(self, *written: Any) -> None:
        """See `ports.PartitionState`."""
        self._fuse.burn()
        await self._state.write(*written)
        self._fuse.burn()

    async def begin(self, cursor: Any) -> None:
        """See `ports.PartitionState`."""
        self._fuse.burn()
        await self._state.begin(cursor)
        self._fuse.burn()


class Store(MemoryStore):
    """A store whose partitions burn the fuse."""

    fuse: Fuse

    async def take_over(self, partition: int) -> Any:
        """See `ports.FeatureStore`."""
        state, cursor = await super().take_over(partition)
        self.fuse.burn()
        return Writing(state, self.fuse), cursor


def rounds_of(store: FeatureStore, scorer: Scorer) -> Rounds:
    """Rounds that score by this scorer."""
    return Rounds(RoundDependencies(store, lambda: scorer, Money("EUR"), TOPICS.transactions, Counted()))


async def _until_there(partition: Partition, task: asyncio.Task[None], logs: Mapping[str, Sequence[Any]]) -> None:
    ends = tuple(len(log) for log in logs.values())
    async with asyncio.timeout(DEADLINE_S):
        while not task.done() and (partition.cursor.transactions, partition.cursor.labels) != ends:  # noqa: ASYNC110 - one loop, no events
            await asyncio.sleep(0)


@dataclass
class World:
    """One partition's topics and state, which outlive every process."""

    topics: MemoryTopics = field(default_factory=lambda: MemoryTopics(now_ms=NOW))
    store: Store = field(default_factory=Store)
    past: list[Any] = field(default_factory=list)
    seen: Counted = field(default_factory=Counted)
    threshold: float | None = None
    scores: str = "scores"
    poison: frozenset[int] = frozenset()
    too_large: frozenset[int] = frozenset()
    clock: FakeClock = field(default_factory=FakeClock)
    at_once: int = BATCH
    batch_size: BatchSize = field(default_factory=BatchSize)
    keys: Any = field(default_factory=lambda: KeyWatch({}))
    answers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    rules: RulesInForce | None = None

    def send(self, payments: Sequence[dict[str, Any] | bytes], labels: Sequence[dict[str, Any]] = ()) -> None:
        """Publish payments, or bytes that are none, and labels."""
        for message in payments:
            raw = message if isinstance(message, bytes) else msgspec.json.encode(message)
            key = b"?" if isinstance(message, bytes) else message["card_id"].encode()
            self.topics.append(("transactions", 0), key, raw)
        for label in labels:
            self.topics.append(("labels", 0), label["card_id"].encode(), msgspec.json.encode(label))

    def run(self, *, kill_after: int | None = None, remembered: Cursor | None = None, again: Callable[[], None] | None = None) -> str:
        """One life of a worker: until all is decided, or it is killed, or it finds that it lost the partition; which of them.

        With `again`, this is done to the topics then, and the consumer is sent back to their begin, before one more payment comes.
        """
        try:
            asyncio.run(self._live(Fuse(kill_after), remembered, again))
        except Killed:
            return "killed"
        except NotOwner:
            return "lost"
        self.past.append(copy.deepcopy(self.store.kept))
        return "done"

    async def _live(self, fuse: Fuse, remembered: Cursor | None, again: Callable[[], None] | None) -> None:
        self.store.fuse = fuse
        self.store.hold([0], 1)
        takeover = Takeover(self.store, self.topics, Outputs(self.topics), TOPICS, self.clock)
        taken = await takeover.of(0, 1, remembered=remembered)
        partition = Partition(0, taken, self._dependencies(takeover, fuse))
        logs = {topic: self.topics.logs[topic, 0] for topic in TOPICS.read}
        for topic, at in zip(TOPICS.read, (taken.cursor.transactions, taken.cursor.labels), strict=True):
            if logs[topic][at:]:
                partition.put(topic, Fetched(logs[topic][at:], lambda: None))
        task = asyncio.create_task(partition.run())
        await _until_there(partition, task, logs)
        if again is not None:
            again()
            partition.put("transactions", Fetched(logs["transactions"][:], lambda: None))
            if len(logs["transactions"]) == partition.cursor.transactions:
                self.send([payment("one more", 20.0)])
                partition.put("transactions", Fetched(logs["transactions"][-1:], lambda: None))
            await _until_there(partition, task, logs)
        task.cancel()
        for error in await asyncio.gather(task, return_exceptions=True):
            if isinstance(error, BaseException) and not isinstance(error, asyncio.CancelledError):
                raise error

    def _dependencies(self, takeover: Takeover, fuse: Fuse) -> PartitionDependencies:
        scorer = Scorer(Fussy(self.poison), Money("EUR"), Output("alerts", self.scores), FakeClock(), self.threshold, rules=self.rules)
        return PartitionDependencies(
            rounds=rounds_of(self.store, scorer),
            end_of=lambda topic, number: KnownEnd(len(self.topics.logs[topic, number]), next(self.answers)),
            publisher=Publishing(self.topics, fuse, self.too_large),
            takeover=takeover,
            outputs=Outputs(self.topics),
            observer=self.seen,
            topics=TOPICS,
            rules=IntakeRules(),
            present=TrustedClock(self.clock),
            money=Money("EUR"),
            most_records=self.at_once,
            batch_size=self.batch_size,
            keys=self.keys,
        )

    def commit(self) -> None:
        """Kafka learns where the partition stands now."""
        cursor = self.store.kept[0].cursor
        assert cursor is not None
        self.topics.commits = {("transactions", 0): cursor.transactions, ("labels", 0): cursor.labels}

    def lose_all(self) -> None:
        """FLUSHALL."""
        self.store.kept.clear()

    def go_back(self, steps: int) -> None:
        """Redis starts from an older file."""
        if self.past:
            self.store.kept = copy.deepcopy(self.past[-min(steps, len(self.past))])

    def published(self, topic: str) -> list[Any]:
        """The messages of an output in the order of the log, as namespaces; only what must not depend on when it was decided."""
        found = [msgspec.json.decode(r.value or b"") for r in self.topics.logs[topic, 0]]
        return [
            SimpleNamespace(offset=m["source"]["offset"], id=m["transaction_id"], score=m["score"], action=m["action"], case=m["case_id"])
            for m in found
        ]

    def refused(self) -> list[bytes]:
        """Source offsets of the dead letters of transactions."""
        return [header(r.headers, "source.offset") for r in self.topics.logs["dlq", 0]]

    def codes(self) -> dict[int, str]:
        """Codes of the dead letters of transactions, by source offset."""
        headers = [r.headers for r in self.topics.logs["dlq", 0]]
        return {int(header(h, "source.offset")): header(h, "error.code").decode() for h in headers}

    def state(self) -> dict[str, bytes]:
        """The partition's values."""
        return dict(self.store.kept[0].values)


__all__ = ["BATCH", "TOPICS", "Publishing", "World", "Writing", "payment"]
