"""Decisions as they were published, and the micro-batches that they were made in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import numpy as np

from stream_app.audit.history import Count, PartitionHistory
from stream_app.features.compute import Vectors
from stream_app.features.plan import Ints
from stream_app.messages.alert import Action, Decider, ModelReference, RuleHit, Source
from stream_app.messages.event_time import EventTimeMs
from stream_app.messages.records import Published, decoded
from stream_app.scoring.positions import Position
from stream_app.scoring.provenance import Provenance, read_provenance


class _ServedScore(msgspec.Struct, frozen=True):
    """What of a score is compared."""

    card_id: str
    transaction_id: str
    event_time: EventTimeMs
    score: float
    raw_score: float
    model: ModelReference
    source: Source
    features: dict[str, float]
    sequence: int
    scored_at: int
    degraded: str | None = None
    threshold: float = 0.0
    action: Action | None = None
    decided_by: Decider = "model"
    rules: tuple[RuleHit, ...] = ()
    lists: tuple[str, ...] = ()


_SCORE = msgspec.json.Decoder(_ServedScore)


class ServedRuling(NamedTuple):
    """What was done about a payment, by whose word, and what rules and lists said."""

    action: Action | None
    decided_by: Decider
    rules: tuple[RuleHit, ...]
    lists: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ServedDecision:
    """A decision as it was published.

    Attributes:
        offset: of the transaction in its partition.
        features: names, in the order of `vector`: the model's, then those that rules asked for beside them.
        vector: float32 [features].
        provenance: what it had seen; None where it does not say.
        threshold: from which the model would alert.
        ruling: what was decided.
    """

    card_id: str
    transaction_id: str
    event_time_ms: int
    partition: int
    offset: int
    sequence: int
    scored_at_ms: int
    model: ModelReference
    features: tuple[str, ...]
    vector: Vectors
    score: float
    raw_score: float
    degraded: str | None
    provenance: Provenance | None
    threshold: float
    ruling: ServedRuling


class DecisionReader:
    """Reads scores. Names of features are kept once for all decisions of a model."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, ...], tuple[str, ...]] = {}

    def read(self, record: Published) -> ServedDecision | None:
        """The decision in a record of the topic of scores; None of a record that is no score."""
        score = decoded(_SCORE, record.value)
        if score is None:
            return None
        names = tuple(score.features)
        return ServedDecision(
            score.card_id,
            score.transaction_id,
            score.event_time,
            score.source.partition,
            score.source.offset,
            score.sequence,
            score.scored_at,
            score.model,
            self._names.setdefault(names, names),
            np.fromiter(score.features.values(), dtype=np.float32, count=len(names)),
            score.score,
            score.raw_score,
            score.degraded,
            read_provenance(record.headers),
            score.threshold,
            ServedRuling(score.action, score.decided_by, score.rules, score.lists),
        )


@dataclass(slots=True, eq=False)
class ServedBatch:
    """Decisions of one partition that were made from one state: where it stood, and what it saw of every partition.

    Attributes:
        start: payments and labels of the partition counted before.
        seen: of each partition, what its parts of shared entities contained.
        decisions: in processing order.
        places: of each of them, the place of its payment in the history.
        before: of each of them, how many labels were counted when its turn came.
    """

    partition: int
    start: Count
    seen: tuple[Count, ...]
    decisions: list[ServedDecision] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    before: list[int] = field(default_factory=list)

    def takes(self, place: int, before: int, sequence: int) -> bool:
        """Whether a decision may follow those here: a payment that comes again was taken by another worker."""
        return not self.places or (place > self.places[-1] and before >= self.before[-1] and sequence > self.decisions[-1].sequence)

    def add(self, decision: ServedDecision, place: int, before: int) -> None:
        """Put a decision behind those here."""
        self.decisions.append(decision)
        self.places.append(place)
        self.before.append(before)


def batches(decisions: Iterable[ServedDecision], histories: Sequence[PartitionHistory]) -> list[ServedBatch]:
    """The micro-batches of these decisions, oldest first.

    Args:
        decisions: those of a partition in the order of the log; each says what it had seen, of a payment that its history holds.
        histories: of each partition.
    """
    found: list[ServedBatch] = []
    open_: dict[int, tuple[tuple[Position, tuple[Position, ...]], ServedBatch]] = {}
    for decision in decisions:
        provenance, history = decision.provenance, histories[decision.partition]
        if provenance is None:
            raise ValueError(f"Decision {decision.transaction_id} of card {decision.card_id} does not say what it had seen.")
        place, before = history.payments_below(decision.offset), history.labels_below(provenance.labels)
        made_from = (provenance.start, provenance.seen)
        known = open_.get(decision.partition)
        if known is None or known[0] != made_from or not known[1].takes(place, before, decision.sequence):
            seen = tuple(h.count(position) for h, position in zip(histories, provenance.seen, strict=True))
            known = (made_from, ServedBatch(decision.partition, history.count(provenance.start), seen))
            open_[decision.partition] = known
            found.append(known[1])
        known[1].add(decision, place, before)
    found.sort(key=lambda batch: (batch.decisions[0].scored_at_ms, batch.decisions[0].sequence))
    return found


def labels_before(decisions: Iterable[ServedDecision], histories: Sequence[PartitionHistory]) -> list[Ints]:
    """For each payment of each history how many labels were counted when its turn came, as the last decision of it says; 0 where none does."""
    before = [np.zeros(len(history.payments), dtype=np.int64) for history in histories]
    for decision in decisions:
        if decision.provenance is not None:
            history = histories[decision.partition]
            before[decision.partition][history.payments_below(decision.offset)] = history.labels_below(decision.provenance.labels)
    return before
