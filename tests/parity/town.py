"""Several partitions over topics and a store in memory, in any order of steps: read, decide, be killed, take over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from stream_app.adapters.memory_store import MemoryStore
from stream_app.alert import ModelReference
from stream_app.audit.decisions import Decision, DecisionReader
from stream_app.audit.history import History
from stream_app.audit.verification import Report, Verification
from stream_app.features.compute import Vectors
from stream_app.features.definitions import VELOCITY
from stream_app.intake import Intake, decode_all, merge
from stream_app.model_metadata import Bands, ModelMetadata, ParityVectors
from stream_app.money import Money
from stream_app.ports import Position, WorkingSet
from stream_app.scorer import Output, Scorer
from stream_app.standing import position_header
from stream_app.takeover import Taken, Takeover, Topics
from stream_app.transaction import Decoder, IntakeRules, Label, Transaction
from tests.topics import MemoryTopics

TOPICS = Topics("transactions", "labels", "alerts", "scores", "dlq", "labels-dlq")
NOW = 1_535_760_000_000
RULES, MONEY = IntakeRules(), Money("EUR")


class EveryFeature:
    """A model of every feature: the score follows from the amount and from what the terminal did."""

    reference = ModelReference("every", "1")
    metadata = ModelMetadata(
        features=tuple((f.name, f.hash) for f in VELOCITY),
        threshold=0.4,
        bands=Bands(0.5, 0.9),
        typical=(0.0,) * len(VELOCITY),
        parity=ParityVectors(((0.0,) * len(VELOCITY),), (0.0,)),
        trained_at_ms=NOW,
    )

    def score(self, vectors: Vectors) -> Vectors:
        """See `ports.Model`."""
        scores: Vectors = np.minimum(vectors.sum(axis=1, dtype=np.float32) / np.float32(1e7), np.float32(1))
        return scores


@dataclass
class Ticks:
    """A clock that goes on by a millisecond each time it is looked at."""

    now: int = NOW

    def now_ms(self) -> int:
        """See `ports.Clock`."""
        self.now += 1
        return self.now

    def elapsed_s(self) -> float:
        """See `ports.Clock`."""
        return self.now / 1000


@dataclass
class Town:
    """Partitions, each with the worker that holds it; a batch is read in one step and decided in another."""

    partitions: int
    topics: MemoryTopics = field(default_factory=lambda: MemoryTopics(now_ms=NOW))
    store: MemoryStore = field(default_factory=MemoryStore)
    clock: Ticks = field(default_factory=Ticks)
    taken: dict[int, Taken] = field(default_factory=dict)
    open: dict[int, tuple[Intake, WorkingSet, Position]] = field(default_factory=dict)
    scorers: dict[int, Scorer] = field(default_factory=dict)

    def send(self, payments: Sequence[dict[str, Any]], labels: Sequence[dict[str, Any]] = ()) -> None:
        """Publish; the number in a card's id says its partition."""
        for topic, messages in (("transactions", payments), ("labels", labels)):
            for message in messages:
                place = (topic, int(message["card_id"][1:]) % self.partitions)
                self.topics.append(place, message["card_id"].encode(), msgspec.json.encode(message))

    async def take(self, partition: int) -> None:
        """A new worker takes a partition over; what the one before had read is gone."""
        self.open.pop(partition, None)
        self.store.hold(range(self.partitions), self.partitions)
        self.taken[partition] = await Takeover(self.store, self.topics, TOPICS).of(partition, self.partitions)
        self.scorers[partition] = Scorer(EveryFeature(), MONEY, Output("alerts", "scores"), self.clock)

    async def read(self, partition: int, payments: int, labels: int) -> None:
        """Take at most so many records, and read their state."""
        cursor = self.taken[partition].cursor
        logs = [self.topics.logs[topic, partition] for topic in TOPICS.read]
        tx, lb = logs[0][cursor.transactions :][:payments], logs[1][cursor.labels :][:labels]
        intake = merge(decode_all(tx, Decoder(Transaction, RULES)), decode_all(lb, Decoder(Label, RULES)), MONEY)
        work = await self.taken[partition].state.read(intake.ids)
        self.open[partition] = (intake, work, (cursor.transactions + len(tx), cursor.labels + len(lb)))

    async def finish(self, partition: int, *, dies_after: int | None = None) -> None:
        """Decide what was read, publish and write; or die after so many messages, before the write."""
        taken, (intake, work, reached) = self.taken[partition], self.open.pop(partition)
        decided = self.scorers[partition].decide(intake, work, ("transactions", partition), taken.standing)
        packed = taken.state.pack(work, reached)
        headers = (position_header(taken.cursor, TOPICS.read),)
        ends = await self.topics.publish(partition, decided.messages[:dies_after], headers)
        if dies_after is not None:
            await self.take(partition)
            return
        cursor = msgspec.structs.replace(taken.cursor, transactions=reached[0], labels=reached[1])
        standing = taken.standing
        if standing.passed_by(cursor):
            cursor, standing = msgspec.structs.replace(cursor, outputs=cursor.outputs | ends), type(standing)()
        await taken.state.write(packed, cursor)
        self.taken[partition] = Taken(taken.state, cursor, standing)

    async def drain(self) -> None:
        """Decide everything that is left."""
        for partition in range(self.partitions):
            if partition in self.open:
                await self.finish(partition)
            await self.read(partition, 1000, 1000)
            await self.finish(partition)

    def decisions(self) -> list[Decision]:
        """As published, partition by partition."""
        reader = DecisionReader()
        records = [r for p in range(self.partitions) for r in self.topics.logs["scores", p]]
        return [d for r in records if (d := reader.read(r)) is not None]

    def histories(self) -> list[History]:
        """What the topics hold."""
        found = []
        for partition in range(self.partitions):
            payments = decode_all(self.topics.logs["transactions", partition], Decoder(Transaction, RULES))
            labels = decode_all(self.topics.logs["labels", partition], Decoder(Label, RULES))
            found.append(History.of(payments, labels, MONEY))
        return found

    def verified(self) -> Report:
        """What `fraudstream verify` finds."""
        model = EveryFeature()
        name = (model.reference.name, model.reference.version)
        verification = Verification(self.histories(), {name: model}, {name: VELOCITY}, MONEY.unit)
        return verification.run(self.decisions())
