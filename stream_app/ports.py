"""What the scorer and the partition loop need from the outside. Adapters implement these; tests have fakes under one contract."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from stream_app.alert import ModelReference
from stream_app.features.compute import Rows, Vectors
from stream_app.model_metadata import ModelMetadata


class Record(Protocol):
    """A Kafka record, as aiokafka gives it."""

    @property
    def offset(self) -> int:
        """Place in the partition's log."""
        ...

    @property
    def timestamp(self) -> int:
        """Kafka timestamp, Unix ms."""
        ...

    @property
    def key(self) -> bytes | None:
        """As published."""
        ...

    @property
    def value(self) -> bytes | None:
        """As published; None is a tombstone."""
        ...


class Cursor(msgspec.Struct, frozen=True):
    """Where a partition stands; written in one transaction with its state.

    Attributes:
        owner: token of the worker that holds the partition, fresh at every takeover.
        transactions: next offset of the transactions topic.
        labels: next offset of the labels topic.
        format: version of this structure.
    """

    owner: str
    transactions: int = 0
    labels: int = 0
    format: int = 1


@dataclass(frozen=True, slots=True)
class WorkingSet:
    """The state that one micro-batch touches.

    Attributes:
        card_ids, terminal_ids: distinct, in row order.
        cards: rows of the cards.
        terminals: rows of the terminals: this partition's part, and the sum over all parts.
        case_ids: present case of each card, "" where none; changed in place.
    """

    card_ids: list[str]
    terminal_ids: list[str]
    cards: Rows
    terminals: Rows
    case_ids: list[str]


class PartitionState(Protocol):
    """The state of one partition, in the hands of its one owner."""

    async def read(self, card_ids: list[str], terminal_ids: list[str]) -> WorkingSet:
        """The state of these cards and terminals.

        Raises:
            NotOwner: if another worker took the partition over.
            StateError: if a value cannot be read.
            Unavailable: if the store does not answer.
        """
        ...

    async def write(self, work: WorkingSet, cursor: Cursor) -> None:
        """Write the working set and the cursor: all or nothing, and nothing if the cursor changed since `read`.

        Raises:
            NotOwner: if another worker took the partition over; nothing was written.
            Unavailable: if the store does not answer.
        """
        ...


class FeatureStore(Protocol):
    """Where the state of cards and terminals is kept."""

    async def take_over(self, partition: int, partitions: int) -> tuple[PartitionState, Cursor]:
        """Become the owner of a partition of a topic that has `partitions` of them.

        Raises:
            StateError: if the cursor cannot be read.
            Unavailable: if the store does not answer.
        """
        ...

    async def ping(self) -> None:
        """Answer, or raise Unavailable."""
        ...

    async def close(self) -> None:
        """Let go of all connections."""
        ...


class Model(Protocol):
    """A loaded model that has passed its parity check."""

    @property
    def reference(self) -> ModelReference:
        """Name and version in the registry."""
        ...

    @property
    def metadata(self) -> ModelMetadata:
        """Features, threshold, bands, parity vectors."""
        ...

    def score(self, vectors: Vectors) -> Vectors:
        """Probability of fraud of each row, float32 [rows]."""
        ...


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish, to the same partition number as its transaction's."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class Publisher(Protocol):
    """Publishes messages durably."""

    def publish(self, partition: int, messages: Sequence[Outgoing]) -> Awaitable[None]:
        """Publish all messages; return when every one is acknowledged by all in-sync replicas.

        Raises:
            Unavailable: if one was not acknowledged.
        """
        ...


class Clock(Protocol):
    """The time of day, passed in so that tests can set it."""

    def now_ms(self) -> int:
        """Unix time, ms."""
        ...


class Observer(Protocol):
    """What operators see of the work. Calls are cheap: once a micro-batch, never once a record."""

    def stage(self, name: str, seconds: float) -> None:
        """One stage of one micro-batch took so long."""
        ...

    def counted(self, what: str, count: int) -> None:
        """So many events of a kind: scored, alerts, labels, duplicates, late, unpriced, credits."""
        ...

    def refused(self, code: str) -> None:
        """One record went to the dead letters."""
        ...

    def latency(self, seconds: float) -> None:
        """From a record's Kafka timestamp to its decision acknowledged; the oldest record of a micro-batch."""
        ...
