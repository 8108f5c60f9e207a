"""What scoring needs from the outside: a model, somebody who publishes, the time. Adapters implement these; tests have fakes under one contract."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from stream_app.features.compute import Floats, Rows, Vectors
from stream_app.features.model_metadata import ModelMetadata
from stream_app.messages.alert import ModelReference
from stream_app.messages.headers import OwnHeaders
from stream_app.messages.records import Outgoing
from stream_app.scoring.outcomes import Notes
from stream_app.scoring.positions import Position

type Ids = tuple[list[str], ...]
"""Ids of each entity, in the order of `aggregations.ENTITIES`: cards first."""


@dataclass(frozen=True, slots=True)
class StateSeen:
    """What was read for one partition of a round, beside its rows.

    Attributes:
        degraded: why sums over all partitions are not whole now, or None.
        positions: of each partition, what its parts in the sums contain when the turn of this one comes; None where that is not known after a
            failure.
        notes: of those that were asked for.
        of_newer: whether a later version wrote values of this partition: no value of it may be written.
    """

    degraded: str | None = None
    positions: tuple[Position, ...] | None = None
    notes: Notes = field(default_factory=dict)
    of_newer: bool = False


@dataclass(frozen=True, slots=True)
class WorkingSet:
    """The state that a round touches.

    Attributes:
        ids: distinct within a partition, in row order.
        rows: of each entity.
        case_ids: present case of each card, "" where none; changed in place.
        seen: of each partition of the round.
    """

    ids: Ids
    rows: tuple[Rows, ...]
    case_ids: list[str]
    seen: tuple[StateSeen, ...] = (StateSeen(),)


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


class Publisher(Protocol):
    """Publishes messages durably."""

    def publish(self, partition: int, messages: Sequence[Outgoing], headers: OwnHeaders = ()) -> Awaitable[dict[str, int]]:
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


class Clock(Protocol):
    """The time of day, passed in so that tests can set it."""

    def now_ms(self) -> int:
        """Unix time, ms."""

    def elapsed_s(self) -> float:
        """Seconds of a clock that only goes forward: differences tell how long something took."""
