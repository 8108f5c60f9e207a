"""Several partitions of one worker over topics in memory and any store, in any order of steps: read, decide, write, die, be taken over."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from stream_app.audit.decisions import DecisionReader, ServedDecision
from stream_app.audit.history import PartitionHistory
from stream_app.audit.verification import Verification, VerificationReport
from stream_app.delivery.inbox import MicroBatch, NextOffsets
from stream_app.delivery.outputs import Outputs
from stream_app.delivery.ports import FeatureStore, Packed
from stream_app.delivery.rounds import RoundDependencies, RoundPart, Rounds
from stream_app.delivery.takeover import OwnedPartition, Takeover
from stream_app.delivery.topics import Topics
from stream_app.features.compute import Floats, Vectors
from stream_app.features.definitions import VELOCITY
from stream_app.features.model_metadata import Bands, ModelMetadata, ParityVectors
from stream_app.messages.alert import ModelReference
from stream_app.messages.money import Money
from stream_app.messages.records import Outgoing
from stream_app.messages.transaction import Decoder, IntakeRules, Label, Transaction
from stream_app.scoring.already_published import position_header
from stream_app.scoring.intake import Intake, decode_all, merge
from stream_app.scoring.ports import Scores, WorkingSet
from stream_app.scoring.positions import Position
from stream_app.scoring.publication import Output
from stream_app.scoring.scorer import Scorer
from tests.memory_store import MemoryStore
from tests.topics import MemoryTopics
from tests.unit.delivery.world import Counted

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
        parity=ParityVectors(((0.0,) * len(VELOCITY),), (0.0,)),
        trained_at_ms=NOW,
    )

    def score(self, vectors: Vectors) -> Scores:
        """See `ports.Model`."""
        raw: Vectors = vectors.sum(axis=1, dtype=np.float32) / np.float32(1e7)
        return Scores(np.minimum(raw, np.float32(1)), raw)

    def contributions(self, vectors: Vectors) -> Floats:
        """See `ports.Model`."""
        return vectors.astype(np.float64) / 1e7


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
    """Partitions; a batch is read in one step, decided and published in another, and written in a third.

    Attributes:
        one_worker: all are held by one worker, which remembers their sums: it decides what it has read before any other step.
    """

    partitions: int
    one_worker: bool = False
    topics: MemoryTopics = field(default_factory=lambda: MemoryTopics(now_ms=NOW))
    store: FeatureStore = field(default_factory=MemoryStore)
    clock: Ticks = field(default_factory=Ticks)
    taken: dict[int, OwnedPartition] = field(default_factory=dict)
    open: dict[int, tuple[Intake, WorkingSet, Position]] = field(default_factory=dict)
    unwritten: dict[int, tuple[Packed, OwnedPartition]] = field(default_factory=dict)
    scorers: dict[int, Scorer] = field(default_factory=dict)

    def send(self, payments: Sequence[dict[str, Any]], labels: Sequence[dict[str, Any]] = ()) -> None:
        """Publish; the number in a card's id says its partition."""
        for topic, messages in (("transactions", payments), ("labels", labels)):
            for message in messages:
                place = (topic, int(message["card_id"][1:]) % self.partitions)
                self.topics.append(place, message["card_id"].encode(), msgspec.json.encode(message))

    async def take(self, partition: int) -> None:
        """A partition is taken over, for the first time or again; what was read and not written is gone."""
        self.open.pop(partition, None)
        self.unwritten.pop(partition, None)
        if not self.taken:
            self.store.hold(range(self.partitions), self.partitions)
        self.taken[partition] = await Takeover(self.store, self.topics, Outputs(self.topics), TOPICS, self.clock).of(
            partition, self.partitions
        )
        self.scorers[partition] = Scorer(EveryFeature(), MONEY, Output("alerts", "scores"), self.clock)

    async def read(self, partition: int, payments: int, labels: int) -> None:
        """Take at most so many records, and read their state."""
        cursor = self.taken[partition].cursor
        logs = [self.topics.logs[topic, partition] for topic in TOPICS.read]
        tx, lb = logs[0][cursor.transactions :][:payments], logs[1][cursor.labels :][:labels]
        intake = merge(decode_all(tx, Decoder(Transaction, RULES), None), decode_all(lb, Decoder(Label, RULES), None), MONEY)
        work = await self.taken[partition].state.read(intake.ids)
        self.open[partition] = (intake, work, Position(cursor.transactions + len(tx), cursor.labels + len(lb)))

    async def decide(self, partition: int, *, dies_after: int | None = None) -> None:
        """Decide what was read, and publish; or die after so many messages."""
        taken, (intake, work, reached) = self.taken[partition], self.open.pop(partition)
        decided = self.scorers[partition].decide(intake, work, ("transactions", partition), taken.published)
        packed = taken.state.pack(work, reached)
        if dies_after is not None:
            await self.topics.publish(partition, decided.messages[:dies_after], (position_header(taken.cursor, TOPICS.read),))
            await self.take(partition)
            return
        await self._published(partition, decided.messages, packed, reached)

    async def _published(self, partition: int, messages: Sequence[Outgoing], packed: Packed, reached: Position) -> None:
        taken = self.taken[partition]
        ends = await self.topics.publish(partition, messages, (position_header(taken.cursor, TOPICS.read),))
        cursor = msgspec.structs.replace(taken.cursor, transactions=reached.transactions, labels=reached.labels)
        standing = taken.published
        if standing.passed_by(cursor):
            cursor, standing = msgspec.structs.replace(cursor, outputs=cursor.outputs | ends), type(standing)()
        self.unwritten[partition] = packed, OwnedPartition(taken.state, cursor, standing)

    async def write(self, partition: int) -> None:
        """Write what was decided."""
        packed, self.taken[partition] = self.unwritten.pop(partition)
        await self.taken[partition].state.write(packed, self.taken[partition].cursor)

    async def step(self, partition: int, what: str, some: int, more: int) -> None:
        """One step, if it is this partition's turn for it."""
        idle = partition not in self.open and partition not in self.unwritten
        if idle and (what == "read" or (what == "die" and self.one_worker)):
            await self.read(partition, some, more)
            if self.one_worker:
                await self.decide(partition, dies_after=more if what == "die" else None)
        elif what in {"decide", "die"} and partition in self.open:
            await self.decide(partition, dies_after=some if what == "die" else None)
        elif what == "write" and partition in self.unwritten:
            await self.write(partition)
        elif what == "take":
            await self.take(partition)
        elif what == "round":
            await self.round(some, more)

    async def round(self, payments: int, labels: int) -> None:
        """All partitions that are idle take at most so many records each, and decide and publish them in a round."""
        idle = [p for p in range(self.partitions) if p not in self.open and p not in self.unwritten]
        rounds = Rounds(RoundDependencies(self.store, lambda: self.scorers[0], MONEY, TOPICS.transactions, Counted()))
        parts = [self._part(partition, payments, labels) for partition in idle]
        for part, share in zip(parts, await asyncio.gather(*map(rounds.decide, parts)), strict=True):
            await self._published(part.number, share.decided.messages, share.packed, part.reached)
            rounds.written(part.number)

    def _part(self, partition: int, payments: int, labels: int) -> RoundPart:
        taken = self.taken[partition]
        tx, lb = (
            self.topics.logs[t, partition][at:][:n] for t, at, n in zip(TOPICS.read, taken.cursor.position, (payments, labels), strict=True)
        )
        reached = Position(taken.cursor.transactions + len(tx), taken.cursor.labels + len(lb))
        decoded = decode_all(tx, Decoder(Transaction, RULES), None), decode_all(lb, Decoder(Label, RULES), None)
        stands = None if taken.published.passed_by(taken.cursor) else taken.published
        return RoundPart(partition, taken.state, MicroBatch(*decoded, NextOffsets(*reached)), reached, 0, stands)

    async def drain(self) -> None:
        """Decide everything that is left."""
        for partition in range(self.partitions):
            for what in ("decide", "write", "read", "decide", "write"):
                await self.step(partition, what, 1000, 1000)

    def decisions(self) -> list[ServedDecision]:
        """As published, partition by partition."""
        reader = DecisionReader()
        records = [r for p in range(self.partitions) for r in self.topics.logs["scores", p]]
        return [d for r in records if (d := reader.read(r)) is not None]

    def histories(self) -> list[PartitionHistory]:
        """What the topics hold."""
        found = []
        for partition in range(self.partitions):
            payments = decode_all(self.topics.logs["transactions", partition], Decoder(Transaction, RULES), None)
            labels = decode_all(self.topics.logs["labels", partition], Decoder(Label, RULES), None)
            found.append(PartitionHistory.of(payments, labels, MONEY))
        return found

    def verified(self) -> VerificationReport:
        """What `fraudstream verify` finds."""
        model = EveryFeature()
        name = (model.reference.name, model.reference.version)
        verification = Verification(self.histories(), {name: model}, {name: VELOCITY}, MONEY.unit)
        return verification.run(self.decisions())
