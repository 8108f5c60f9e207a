"""The vectors of decisions in pure order of event time, as training sees a history, and why served ones differ from them.

1. Payments go by `event_time`, those of one time by `transaction_id`; a label comes before the payments of its `labelled_at`.
2. All partitions are one: there is one row for each card, terminal ….

A test holds this order equal to the one of training. A served vector may differ where the order of arrival was another: between
partitions, which nobody orders, or because a payment was late. Then an event of that card or terminal can be named that had been seen
and lies later, or the other way round. A difference without such an event is `unexplained`: there is none if the code is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stream_app.audit.decisions import Batch
from stream_app.audit.history import History, joined, taken
from stream_app.features import kernel
from stream_app.features.aggregations import ENTITIES, Quantity
from stream_app.features.compute import Events, Rows, Vectors, compute
from stream_app.features.definitions import Feature
from stream_app.features.plan import Ints, Plan, needs_of

KINDS = ("card", "label", "shared_delayed", "shared")
"""Kinds of features: of the card and the record; of labels; of shared entities, in delayed windows and in others."""


def kind_of(feature: Feature) -> str:
    """Which of `KINDS` a feature is of."""
    if Quantity.FRAUD in needs_of(feature):
        return "label"
    if feature.entity is None or feature.entity == ENTITIES[0]:
        return "card"
    return "shared_delayed" if feature.delay_s else "shared"


@dataclass(slots=True)
class Compared:
    """How served vectors compare with those in order of event time.

    Attributes:
        vectors: how many were compared.
        differing: of each kind, vectors with a difference in a feature of it.
        largest: of each feature with differences, how many and the largest.
        unexplained: differences of a vector in the features of an entity, whose events had all arrived in order of time.
        displaced_ms: the farthest that an event which explains a difference was out of order.
    """

    vectors: int = 0
    differing: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    largest: dict[str, tuple[int, float]] = field(default_factory=dict)
    unexplained: int = 0
    displaced_ms: int = 0


class EventOrder:
    """All partitions' events in order of time, and the vectors of their payments."""

    def __init__(self, histories: Sequence[History], plan: Plan, unit: int) -> None:
        self._histories, self._plan = histories, plan
        entities, counts = _numbered(histories)
        events = joined([h.events for h in histories], entities)
        self._runs = np.cumsum([0] + [len(h.events.kinds) for h in histories])
        order = _order(histories, self._runs)
        self._rank = np.empty(len(order), dtype=np.int64)
        self._rank[order] = np.arange(len(order))
        self._times = np.where(events.labelled_ms > 0, events.labelled_ms, events.times_ms)
        self._entities = entities_joined = tuple(np.concatenate(places) for places in entities)
        self._swapped = _swapped(entities_joined[0], events, self._rank)
        self._by_entity = [np.argsort(places, kind="stable") for places in entities_joined]
        rows = [np.zeros((n, e.layout.width), dtype=np.int64) for n, e in zip(counts, plan.entities, strict=True)]
        computed = compute(plan, taken(events, order), [Rows.alone(r) for r in rows], unit)
        self._vectors = computed.vectors[self._rank]
        self._scored = computed.scored[self._rank]

    def at(self, partition: int, places: Ints) -> Ints:
        """Where payments of a partition stand among all events."""
        at: Ints = self._runs[partition] + len(self._histories[partition].labels) + places
        return at

    def vectors(self, at: Ints) -> Vectors:
        """Their vectors, float32 [payments, features of the plan]."""
        vectors: Vectors = self._vectors[at]
        return vectors

    def scored(self, partition: int) -> Ints:
        """Offsets of the partition's payments that get a decision."""
        history = self._histories[partition]
        offsets: Ints = np.array(history.payment_offsets, dtype=np.int64)
        return offsets[self._scored[self.at(partition, np.arange(len(history.payments)))]]

    def compare(self, batch: Batch, served: Vectors, into: Compared) -> None:
        """Compare the vectors of a batch, float32 [decisions, features of the plan], NaN where a decision's model has no such feature."""
        at = self.at(batch.partition, np.array(batch.places))
        offline = self.vectors(at)
        differs = (served != offline) & ~np.isnan(served)
        into.vectors += len(served)
        if not differs.any():
            return
        for column in np.flatnonzero(differs.any(axis=0)).tolist():
            rows = differs[:, column]
            largest = float(np.abs(served[rows, column].astype(np.float64) - offline[rows, column]).max())
            count, before = into.largest.get(self._plan.features[column].name, (0, 0.0))
            into.largest[self._plan.features[column].name] = (count + int(rows.sum()), max(before, largest))
        for n in np.flatnonzero(differs.any(axis=1)).tolist():
            features = [f for f, other in zip(self._plan.features, differs[n].tolist(), strict=True) if other]
            for kind in {kind_of(f) for f in features}:
                into.differing[kind] += 1
            for entity in {0 if f.entity is None else ENTITIES.index(f.entity) for f in features}:
                moved_ms = self._displaced_ms(batch, n, int(at[n]), entity)
                into.unexplained += moved_ms is None
                into.displaced_ms = max(into.displaced_ms, moved_ms or 0)

    def _displaced_ms(self, batch: Batch, n: int, at: int, entity: int) -> int | None:
        """How far the events of a decision's card, terminal … were out of order, at most; None where they were in order."""
        by_entity, places = self._by_entity[entity], self._entities[entity]
        bounds = np.searchsorted(places[by_entity], [places[at], places[at] + 1])
        those = by_entity[bounds[0] : bounds[1]]
        swapped = those[self._swapped[those]]
        if len(swapped):
            return int(np.abs(self._times[swapped] - self._times[at]).max())
        those = those[those != at]
        seen = self._seen(batch, n, those)
        moved = seen != (self._rank[those] < self._rank[at])
        if moved.any():
            return int(np.abs(self._times[those[moved]] - self._times[at]).max())
        first, end = self._runs[batch.partition], self._runs[batch.partition + 1]
        labels = first + len(self._histories[batch.partition].labels)
        own = np.sort(those[seen])
        runs = (own[(own >= first) & (own < labels)], own[(own >= labels) & (own < end)])
        if not any((np.diff(self._rank[run]) < 0).any() for run in runs):
            return None
        return max(_behind_ms(self._times[run]) for run in runs if len(run))

    def _seen(self, batch: Batch, n: int, those: Ints) -> NDArray[np.bool_]:
        """Which of these events the n-th decision of a batch had seen."""
        partitions = np.searchsorted(self._runs, those, side="right") - 1
        inside = those - self._runs[partitions]
        seen = [*batch.seen]
        seen[batch.partition] = (batch.places[n], batch.before[n])
        labels = np.array([len(h.labels) for h in self._histories])[partitions]
        payments_seen, labels_seen = np.array(seen, dtype=np.int64)[partitions].T
        return np.asarray(np.where(inside < labels, inside < labels_seen, inside - labels < payments_seen), dtype=np.bool_)


def _swapped(cards: Ints, events: Events, rank: Ints) -> NDArray[np.bool_]:
    """Payments that repeat a transaction, or are repeated, where another of them is the first in order of time than in that of arrival."""
    swapped = np.zeros(len(rank), dtype=np.bool_)
    payments = np.flatnonzero(events.kinds < kernel.LABEL_GENUINE)
    _, of_transaction, counts = np.unique(
        np.stack([cards[payments], events.ids[payments]]), axis=1, return_inverse=True, return_counts=True
    )
    of_transaction = of_transaction.ravel()
    repeated = payments[counts[of_transaction] > 1]
    groups = of_transaction[counts[of_transaction] > 1]
    for group in np.unique(groups).tolist():
        copies = repeated[groups == group]
        swapped[copies] = bool((np.diff(rank[copies]) < 0).any())
    return swapped


def _behind_ms(times_ms: Ints) -> int:
    """How far an event lies behind the newest before it, at most."""
    return int((np.maximum.accumulate(times_ms) - times_ms).max())


def _numbered(histories: Sequence[History]) -> tuple[tuple[list[Ints], ...], list[int]]:
    """For each entity the places of every history's events among the ids of all, -1 where an event has none; and how many ids there are."""
    places: list[list[Ints]] = []
    counts: list[int] = []
    for entity in range(len(ENTITIES)):
        known: dict[str, int] = {}
        of_entity = []
        for history in histories:
            numbers = np.array([known.setdefault(name, len(known)) for name in history.ids[entity]] + [-1], dtype=np.int64)
            of_entity.append(numbers[history.events.entities[entity]])
        places.append(of_entity)
        counts.append(len(known))
    return tuple(places), counts


def _order(histories: Sequence[History], runs: Ints) -> Ints:
    """All events in order of time."""
    labels = np.concatenate([run + np.arange(len(h.labels)) for h, run in zip(histories, runs.tolist(), strict=False)])
    payments = np.concatenate(
        [run + np.arange(len(h.labels), len(h.events.kinds)) for h, run in zip(histories, runs.tolist(), strict=False)]
    )
    labelled = np.concatenate([h.events.labelled_ms[: len(h.labels)] for h in histories])
    times = np.concatenate([h.events.times_ms[len(h.labels) :] for h in histories])
    names = np.array([message.transaction_id for h in histories for message in h.payments], dtype=object)
    ranks = np.unique(names, return_inverse=True)[1] if len(names) else np.zeros(0, dtype=np.int64)
    by_time = np.lexsort((ranks, times))
    by_label = np.argsort(labelled, kind="stable")
    merged = np.argsort(np.concatenate([labelled[by_label], times[by_time]]), kind="stable")
    return np.concatenate([labels[by_label], payments[by_time]])[merged]
