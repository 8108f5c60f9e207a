"""The vectors of decisions in pure order of event time, as training sees a history, and why served ones differ from them.

1. Payments go by `event_time`, those of one time by `transaction_id` and `card_id`; a label comes before the payments of its `labelled_at`.
2. All partitions are one: there is one row for each card, terminal ….

A test holds this order equal to the one of training. A served vector may differ where the order of arrival was another: between
partitions, which nobody orders, or because a payment was late. Then an event of that card or terminal can be named that had been seen
and lies later, or the other way round. A difference without such an event is `unexplained`: there is none if the code is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from stream_app.audit.arrivals import Arrivals, swapped
from stream_app.audit.decisions import ServedBatch
from stream_app.audit.history import PartitionHistory, joined, selected
from stream_app.features import kernel
from stream_app.features.aggregations import Measure
from stream_app.features.compute import Rows, Vectors, compute
from stream_app.features.definitions import Feature
from stream_app.features.entities import ENTITIES
from stream_app.features.plan import Ints, Plan, needs_of

KINDS = ("card", "label", "shared_delayed", "shared")
"""Kinds of features: of the card and the record; of labels; of shared entities, in delayed windows and in others."""


def kind_of(feature: Feature) -> str:
    """Which of `KINDS` a feature is of."""
    if any(quantity.of is Measure.FRAUD for quantity in needs_of(feature)):
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

    def __init__(self, histories: Sequence[PartitionHistory], plan: Plan, unit: int) -> None:
        self._histories, self._plan = histories, plan
        entities, counts = _numbered(histories)
        events = joined([h.events for h in histories], entities)
        self._bounds = np.cumsum([0] + [len(run) for h in histories for run in (h.labels, h.payments)])
        order = _order(histories, self._bounds)
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        times_ms = np.where(events.kinds < kernel.LABEL_GENUINE, events.times_ms, events.labelled_ms)
        copies = swapped(np.flatnonzero(events.kinds < kernel.LABEL_GENUINE), events.entities[0], events.ids, rank)
        self._arrivals = [Arrivals(places, rank, times_ms, self._bounds, copies) for places in events.entities]
        rows = [np.zeros((n, e.layout.width), dtype=np.int64) for n, e in zip(counts, plan.entities, strict=True)]
        computed = compute(plan, selected(events, order), [Rows.alone(r) for r in rows], unit)
        self._vectors = computed.vectors[rank]
        self._scored = computed.scored[rank]

    def at(self, partition: int, places: Ints) -> Ints:
        """Where payments of a partition stand among all events."""
        at: Ints = self._bounds[2 * partition + 1] + places
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

    def compare(self, batch: ServedBatch, served: Vectors, into: Compared) -> None:
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
                moved_ms = self._arrivals[entity].displaced_ms(int(at[n]), _seen(batch, n), 2 * batch.partition)
                into.unexplained += moved_ms is None
                into.displaced_ms = max(into.displaced_ms, moved_ms or 0)


def _seen(batch: ServedBatch, n: int) -> list[int]:
    """How many labels and payments of each partition the n-th decision of a batch had seen."""
    seen = [count for payments, labels in batch.seen for count in (labels, payments)]
    seen[2 * batch.partition : 2 * batch.partition + 2] = batch.before[n], batch.places[n]
    return seen


def _numbered(histories: Sequence[PartitionHistory]) -> tuple[tuple[list[Ints], ...], list[int]]:
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


def _order(histories: Sequence[PartitionHistory], bounds: Ints) -> Ints:
    """All events in order of time."""
    runs = [np.arange(first, end) for first, end in pairwise(bounds.tolist())]
    labels, payments = np.concatenate(runs[::2]), np.concatenate(runs[1::2])
    labelled = np.concatenate([h.events.labelled_ms[: len(h.labels)] for h in histories])
    times = np.concatenate([h.events.times_ms[len(h.labels) :] for h in histories])
    names, cards = (_ranks([getattr(m, name) for h in histories for m in h.payments]) for name in ("transaction_id", "card_id"))
    by_time = np.lexsort((cards, names, times))
    by_label = np.argsort(labelled, kind="stable")
    merged = np.argsort(np.concatenate([labelled[by_label], times[by_time]]), kind="stable")
    return np.concatenate([labels[by_label], payments[by_time]])[merged]


def _ranks(texts: Sequence[str]) -> Ints:
    return np.unique(np.array(texts, dtype=object), return_inverse=True)[1] if texts else np.zeros(0, dtype=np.int64)
