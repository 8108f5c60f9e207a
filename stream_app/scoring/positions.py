"""Where a partition stands: offsets below which everything is counted."""

from __future__ import annotations

import msgspec

type Position = tuple[int, int]
"""Next offsets of a partition's transactions and labels: what lies below is counted."""


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
