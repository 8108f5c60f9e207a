"""Where a partition stands: offsets below which everything is counted."""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

import msgspec

from stream_app.features.definitions import LAYOUT_VERSION
from stream_app.features.entities import KEPT_BY_DEFAULT, Entity, KeptEntities, in_order
from stream_app.messages.records import Record


class SourceTopics(NamedTuple):
    """Names of the topics that are read."""

    transactions: str
    labels: str


class Position(NamedTuple):
    """Next offsets of a partition's transactions and labels: what lies below is counted. Its order as a tuple says nothing: see `has_passed`."""

    transactions: int
    labels: int

    def has_passed(self, other: Position) -> bool:
        """Whether all that lies below the other lies below this one too."""
        return self.transactions >= other.transactions and self.labels >= other.labels

    def or_later(self, other: Position) -> Position:
        """The first position that has passed both."""
        return Position(max(self.transactions, other.transactions), max(self.labels, other.labels))


START = Position(0, 0)
"""Nothing is counted."""


class Fingerprint(NamedTuple):
    """By what a record is known again: its offset, and a hash of that, its Kafka timestamp, key and value."""

    offset: int
    hashed: str


def fingerprint(record: Record) -> Fingerprint:
    """Of a record as Kafka gave it. Key and value are told apart, and nothing from empty."""
    hashed = blake2b(f"{record.offset} {record.timestamp}".encode(), digest_size=8)
    for part in (record.key, record.value):
        hashed.update(b" -" if part is None else b" %d " % len(part))
        hashed.update(part or b"")
    return Fingerprint(record.offset, hashed.hexdigest())


class Cursor(msgspec.Struct, frozen=True):
    """Where a partition stands; written in one transaction with its state.

    Attributes:
        owner: token of the worker that holds the partition. The store sets it, whatever it is given: fresh at every takeover and `begin`.
        transactions, labels: next offset of each topic.
        outputs: for each output topic, the next offset of its partition: everything below belongs to what was written with a cursor.
        decided: below it everything was decided before this state was begun: such records are counted again, nothing is published for
            them.
        full_from_ms: event time from which every window is full; before it decisions are degraded. 0: always.
        topic_ids: Kafka's id of each topic that is read.
        last: of each topic that is read, the last record that was taken; none in cursors of before, nor where none was. A version that does
            not know it drops it with its first write, and says nothing false.
        partitions: how many the topics have; `takeover.UNFINISHED` while `fraudstream repartition` makes the state.
        noted_from_ms: event time from which alerts are noted; None in cursors of before.
        kept: which tiles its rows keep and since when, see `stream_app.features.kept_tiles`; nothing in cursors of before. It is read at takeovers
            and promotions alone: text is written with every batch at no cost of taking it apart.
        layout: `LAYOUT_VERSION` of the newest version that took it over: its rows may hold tiles that earlier ones have no place for. Cursors of
            before have none: nothing in their rows is newer than this version.
        entities: shared entities of which the state is whole; cursors of before have those that there were then.
        begun: False between a takeover that found nothing and the first position.
        format: version of this structure; a reader reads the one before.
    """

    owner: str
    transactions: int = 0
    labels: int = 0
    outputs: dict[str, int] = {}
    decided: Position = START
    full_from_ms: int = 0
    topic_ids: dict[str, str] = {}
    partitions: int = 0
    begun: bool = True
    noted_from_ms: int | None = None
    last: dict[str, Fingerprint] = {}
    kept: str = ""
    layout: int = LAYOUT_VERSION
    entities: tuple[str, ...] = in_order(KEPT_BY_DEFAULT)
    format: int = 2

    @property
    def position(self) -> Position:
        """Where the partition stands."""
        return Position(self.transactions, self.labels)

    def lacks(self, kept: KeptEntities) -> tuple[Entity, ...]:
        """Which of these entities it has no whole state of."""
        return tuple(entity for entity in in_order(kept) if entity not in self.entities)

    @property
    def of_later_layout(self) -> bool:
        """Whether its rows may hold tiles that this version has no place for, and would drop if it wrote them."""
        return self.layout > LAYOUT_VERSION

    def taken_over(self, owner: str) -> Cursor:
        """The same in the hands of a new owner, of this version."""
        return msgspec.structs.replace(self, owner=owner, layout=max(self.layout, LAYOUT_VERSION))

    @property
    def rebuilding(self) -> bool:
        """Whether the state still lacks what was decided before."""
        return not self.begun or not self.position.has_passed(self.decided)
