"""What delivery needs from the outside: a store, and topics to read. Adapters implement these; tests have fakes under one contract."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from stream_app.features.entities import KeptEntities
from stream_app.messages.records import Place, Published, Record
from stream_app.scoring.outcomes import NO_NOTES, NoteKey, Notes
from stream_app.scoring.ports import Ids, WorkingSet
from stream_app.scoring.positions import START, Cursor, Position

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

    async def confirm(self) -> None:
        """Look whether the store still holds this partition as this owner left it: where no payment comes, nothing else asks.

        Raises:
            NotOwner, StateError, Unavailable: as `read`.
        """
        ...

    def pack(self, work: WorkingSet, reached: Position) -> Packed:
        """The changed working set as it will be written: nothing where it is `of_newer`. From here on other partitions of this worker read sums that include it, up to `reached`."""
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


class StateRequest(NamedTuple):
    """What one partition of a round needs.

    Attributes:
        state: of the partition.
        ids: distinct, of each entity.
        noted: of which notes.
        reached: where its part of the round ends: what those behind it in the round see of it.
    """

    state: PartitionState
    ids: Ids
    noted: Collection[NoteKey] = ()
    reached: Position = START


class FeatureStore(Protocol):
    """Where state is kept."""

    @property
    def entities(self) -> KeptEntities:
        """The entities that this deployment keeps state of: payments name no others to it."""

    def hold(self, owned: Collection[int], partitions: int) -> None:
        """Say which partitions, of how many, this worker holds from now on. What was remembered before is dropped."""
        ...

    async def take_over(self, partition: int) -> tuple[PartitionState, Cursor]:
        """Become the owner of a partition; its cursor, not `begun` where there is none that can be read.

        Raises:
            NewerState: if the cursor is of a version that this program cannot read.
            Unavailable: if the store does not answer.
        """
        ...

    async def read(self, asked: Sequence[StateRequest]) -> WorkingSet:
        """The state of a round of partitions, in one: the ids of each behind those of the one before.

        Where one partition's cannot be read, nothing is; who asks for each by itself learns whose.

        Raises:
            NotOwner, StateError, Unavailable: as `PartitionState.read`.
        """
        ...

    def pack(self, asked: Sequence[StateRequest], work: WorkingSet) -> list[Packed]:
        """As `PartitionState.pack`, for each partition of a round that was read."""
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


class Bounds(NamedTuple):
    """A stretch of a partition's log: the offset it begins at, and the next one after it."""

    begin: int
    end: int


class OpenTransaction(NamedTuple):
    """A producer's transaction that is neither committed nor aborted: the offset it begins at, and when, by Kafka's timestamp, Unix ms."""

    offset: int
    since_ms: int


class Log(Protocol):
    """Reads topics outside the consumer group. Every method raises Unavailable if Kafka does not answer.

    Of inputs `walk` and `timestamp` know the records of committed transactions alone, up to the first open one; outputs are read whole, and
    one `walk` has either. All other methods know no transactions: they are asked when a log begins, or whether it is the same, not what it says.
    """

    async def bounds(self, places: Collection[Place]) -> Mapping[Place, Bounds]:
        """From the first record that is kept to the next that will be written."""
        ...

    async def open_transactions(self, places: Collection[Place]) -> Mapping[Place, OpenTransaction]:
        """The first open transaction of each place that has one."""
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

    async def timestamps(self, spans: Mapping[Place, tuple[int, int]]) -> Mapping[Place, Sequence[int]]:
        """Of each place, Kafka timestamps of the records that are kept from an offset to below another, Unix ms."""
        ...

    async def at(self, offsets: Mapping[Place, int]) -> Mapping[Place, Record]:
        """The record at the offset of each place, none below the first kept nor at the end; without those that have none at that very offset."""
        ...

    async def compacted(self, topic: str) -> bool:
        """Whether the brokers drop records of a topic that have a later one under their key."""
        ...

    async def committed(self, places: Collection[Place]) -> Mapping[Place, int]:
        """The offset that the consumer group committed; 0 where it did not."""
        ...

    async def topic_ids(self, topics: Collection[str]) -> Mapping[str, str]:
        """Kafka's id of each topic; empty where the brokers know none (before Kafka 2.8)."""
        ...
