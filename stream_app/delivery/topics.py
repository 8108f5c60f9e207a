"""The topics of a worker: which are read, which are written, and where the dead letters of each go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from stream_app.messages.records import Place
from stream_app.scoring.positions import SourceTopics


@dataclass(frozen=True, slots=True)
class Topics:
    """Names of the topics that a partition reads and writes; `scores` is empty where they are not published."""

    transactions: str
    labels: str
    alerts: str
    scores: str
    transactions_dlq: str
    labels_dlq: str

    @property
    def read(self) -> SourceTopics:
        """Those that are read."""
        return SourceTopics(self.transactions, self.labels)

    @property
    def decisions(self) -> tuple[str, ...]:
        """Those that decisions are written to."""
        return tuple(t for t in (self.scores, self.alerts) if t)

    @property
    def written(self) -> tuple[str, ...]:
        """Those that are written."""
        return *self.decisions, self.transactions_dlq, self.labels_dlq

    def ids_of_read(self, known: Mapping[str, str]) -> list[str]:
        """Kafka's ids of those that are read, transactions first; "" of one that has none."""
        return [known.get(topic, "") for topic in self.read]

    def dead_letters(self, numbers: Iterable[int]) -> dict[Place, Place]:
        """Of each partition that is read, where its dead letters go."""
        pairs = (self.transactions, self.transactions_dlq), (self.labels, self.labels_dlq)
        return {(topic, n): (dead_letters, n) for topic, dead_letters in pairs for n in numbers}


class Topology(NamedTuple):
    """The topics that are read, as Kafka has them.

    Attributes:
        names: of them.
        ids: Kafka's id of each; none where the brokers know none.
        partitions: how many each has.
    """

    names: SourceTopics
    ids: Mapping[str, str]
    partitions: int
