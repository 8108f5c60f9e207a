"""What the scorer and the partition loop need from the outside. Adapters implement these; tests have fakes under one contract."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from stream_app.alert import ModelReference
from stream_app.features.compute import Floats, Rows, Vectors
from stream_app.headers import Headers
from stream_app.model_metadata import ModelMetadata
from stream_app.outcomes import NO_NOTES, NoteKey, Notes


class Record(Protocol):
    """A Kafka record, as aiokafka gives it."""

    @property
    def offset(self) -> int:
        """Place in the partition's log."""

    @property
    def timestamp(self) -> int:
        """Kafka timestamp, Unix ms."""

    @property
    def key(self) -> bytes | None:
        """As published."""

    @property
    def value(self) -> bytes | None:
        """As published; None is a tombstone."""


class Published(Record, Protocol):
    """A record of an output topic."""

    @property
    def headers(self) -> Headers:
        """As published."""


type Place = tuple[str, int]
"""A topic and the number of one of its partitions."""
type Position = tuple[int, int]
"""Next offsets of a partition's transactions and labels: what lies below is counted."""
type Ids = tuple[list[str], ...]
"""Distinct ids of each entity, in the order of `definitions.ENTITIES`: cards first."""


class Cursor(msgspec.Struct, frozen=True):
    """Where a partition stands; written in one transaction with its state.

    Attributes:
        owner: token of the worker that holds the partition. The store sets it, whatever it is given: fresh at every takeover and `begin`.
        transactions, labels: next offset of each topic.
        outputs: for each output topic, the next offset of its partition: everything below belongs to what was written with a cursor.
        decided: offsets of transactions and of labels below which everything was decided before this state was begun: such records
            are counted again, nothing is published for them.
        full_from_ms: event time from which every window is full; before it decisions are degraded. 0: always.
        topic_ids: Kafka's id of each topic that is read.
        partitions: how many the topics have; `takeover.UNFINISHED` while `fraudstream repartition` makes the state.
        noted_from_ms: event time from which alerts are noted; None in cursors of before.
        begun: False between a takeover that found nothing and the first position.
        format: version of this structure; a reader reads the one before.
    """

    owner: str
    transactions: int = 0
    labels: int = 0
    outputs: dict[str, int] = {}
    decided: tuple[int, int] = (0, 0)
    full_from_ms: int = 0
    topic_ids: dict[str, str] = {}
    partitions: int = 0
    begun: bool = True
    noted_from_ms: int | None = None
    format: int = 2

    @property
    def position(self) -> Position:
        """Where the partition stands."""
        return self.transactions, self.labels

    @property
    def rebuilding(self) -> bool:
        """Whether the state still lacks what was decided before."""
        return not self.begun or self.transactions < self.decided[0] or self.labels < self.decided[1]


@dataclass(frozen=True, slots=True)
class WorkingSet:
    """The state that one micro-batch touches.

    Attributes:
        ids: distinct, in row order.
        rows: of each entity.
        case_ids: present case of each card, "" where none; changed in place.
        degraded: why sums over all partitions are not whole now, or None.
        positions: of each partition, what its parts in the sums contain; None where that is not known after a failure.
        notes: of those that were asked for.
    """

    ids: Ids
    rows: tuple[Rows, ...]
    case_ids: list[str]
    degraded: str | None = None
    positions: tuple[Position, ...] | None = None
    notes: Notes = field(default_factory=dict)


type Packed = Sequence[tuple[str, bytes]]
"""Keys below the partition's prefix (`c:<card>`, `t:<terminal>`) and their packed values."""


class PartitionState(Protocol):
    """The state of one partition, in the hands of its one owner: `read`, `pack`, `write`, and again."""

    async def read(self, ids: Ids, noted: Collection[NoteKey] = ()) -> WorkingSet:
        """The state of these cards, terminals …, and these notes.

        Raises:
            NotOwner: if the cursor is not as this owner left it.
            StateError: if a value of this partition cannot be read, or another worker found so since it was taken over or begun.
            Unavailable: if the store does not answer.
        """
        ...

    def pack(self, work: WorkingSet, reached: Position) -> Packed:
        """The changed working set as it will be written. What this worker remembers includes it, up to `reached`, from here on."""
        ...

    async def write(self, packed: Packed, cursor: Cursor, notes: Notes = NO_NOTES) -> None:
        """Write values, notes and cursor: all or nothing, and nothing if the cursor is not as this owner left it.

        May be called again after Unavailable, with the same arguments: what was written then is not written twice.

        Raises:
            NotOwner: if the cursor is not as this owner left it; nothing was written.
            Unavailable: if the store does not answer.
        """
        ...

    async def begin(self, cursor: Cursor) -> None:
        """Start anew: every value of the partition is removed, then the cursor is written, under a fresh owner.

        Raises:
            NotOwner, Unavailable: as `write`.
        """
        ...

    async def sweep(self, before_ms: int) -> int:
        """Remove what is idle since this event time among the next few values; how many. It goes round. Raises as `read` and `write`."""
        ...

    def forget(self) -> None:
        """Drop what is remembered of this partition: the next `read` takes it from the store."""
        ...


class FeatureStore(Protocol):
    """Where the state of cards and terminals is kept."""

    def hold(self, owned: Collection[int], partitions: int) -> None:
        """Say which partitions, of how many, this worker holds from now on. What was remembered before is dropped."""
        ...

    async def take_over(self, partition: int) -> tuple[PartitionState, Cursor]:
        """Become the owner of a partition; its cursor, not `begun` where there is none that can be read.

        Raises:
            StateError: if the cursor is of a version that this program cannot read.
            Unavailable: if the store does not answer.
        """
        ...

    async def ping(self) -> None:
        """Answer, or raise Unavailable."""
        ...

    async def check(self) -> None:
        """Refuse a store that may drop what it was given.

        Raises:
            SettingsError: naming what to change.
            Unavailable: if the store does not answer.
        """
        ...

    async def close(self) -> None:
        """Let go of all connections."""
        ...


@dataclass(frozen=True, slots=True)
class Scores:
    """What a model says of some payments, float32 each.

    Attributes:
        probability: of fraud; what decisions are taken on.
        raw: what the model added up before that; contributions are parts of it.
    """

    probability: Vectors
    raw: Vectors


class Model(Protocol):
    """A loaded model that has passed its parity check."""

    @property
    def reference(self) -> ModelReference:
        """Name and version in the registry."""

    @property
    def metadata(self) -> ModelMetadata:
        """Features, threshold, bands, parity vectors."""

    def score(self, vectors: Vectors) -> Scores:
        """Probability of fraud, and raw score, of each row."""

    def contributions(self, vectors: Vectors) -> Floats:
        """What each feature added to the raw score, float64 [rows, features]: with the model's expected raw score they add up to it."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish, to the same partition number as its transaction's.

    Attributes:
        shorter: makes what is published in its place where its topic does not take so many bytes; None: nothing.
        at_ms: its Kafka timestamp; None: when it is published.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    shorter: Callable[[], Outgoing] | None = None
    at_ms: int | None = None


class Publisher(Protocol):
    """Publishes messages durably."""

    def publish(self, partition: int, messages: Sequence[Outgoing], headers: Sequence[tuple[str, bytes]] = ()) -> Awaitable[dict[str, int]]:
        """Publish all messages, each with these headers beside its own; return when every one is acknowledged by all in-sync replicas.

        Returns:
            for each topic, the next offset of its partition after these messages.

        Raises:
            Unavailable: if one was not acknowledged; each of the others may be published or not.
            RecordError: if a topic does not take a message, nor its shortest form: the record's that it was made from.
            Refused: if Kafka refuses one for another reason; trying again changes nothing.
        """
        ...

    async def settle(self) -> None:
        """Return when nothing is under way any more: every message of a publication that was cancelled is there, or will never be."""
        ...


class Log(Protocol):
    """Reads topics outside the consumer group. Every method raises Unavailable if Kafka does not answer."""

    async def bounds(self, places: Collection[Place]) -> Mapping[Place, tuple[int, int]]:
        """Offset of the first record kept, and the next offset to be written."""
        ...

    def walk(self, starts: Mapping[Place, int]) -> AsyncIterator[tuple[Place, Sequence[Published]]]:
        """The records from these offsets, none of which lies below the first kept, to the end as it is now: piece by piece, for a log need
        not fit into memory. It may take as long as records come.
        """
        ...

    async def from_time(self, times_ms: Mapping[Place, int]) -> Mapping[Place, int]:
        """Offset of the first record whose Kafka timestamp is at or after this time; the end where there is none."""
        ...

    async def timestamp(self, place: Place, offset: int) -> int | None:
        """Kafka timestamp of the first record at or after an offset, Unix ms; None where there is none."""
        ...

    async def timestamps(self, place: Place, start: int, end: int) -> Sequence[int]:
        """Kafka timestamps of the records that are kept from an offset to below another, Unix ms."""
        ...

    async def committed(self, places: Collection[Place]) -> Mapping[Place, int]:
        """The offset that the consumer group committed; 0 where it did not."""
        ...

    async def topic_ids(self, topics: Collection[str]) -> Mapping[str, str]:
        """Kafka's id of each topic; empty where the brokers know none (before Kafka 2.8)."""
        ...


class Clock(Protocol):
    """The time of day, passed in so that tests can set it."""

    def now_ms(self) -> int:
        """Unix time, ms."""

    def elapsed_s(self) -> float:
        """Seconds of a clock that only goes forward: differences tell how long something took."""
