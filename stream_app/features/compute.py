"""Features of a run of events: the one call that training, worker and API share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_app.features import kernel
from stream_app.features.aggregations import DAY_MS, HOUR_MS, Fact, Measure
from stream_app.features.definitions import Feature
from stream_app.features.facts import derived
from stream_app.features.own_values import OwnColumn
from stream_app.features.plan import EntityPlan, Ints, Plan

type Floats = NDArray[np.float64]
type Bytes = NDArray[np.int8]
type Vectors = NDArray[np.float32]

_LAST_NIGHT_HOUR = 6
_SATURDAY = 5
_EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday; Monday is 0


@dataclass(frozen=True, slots=True)
class Events:
    """Payments and labels in processing order, as arrays of one length.

    Attributes:
        kinds: int8, `kernel.PAYMENT`, `DECLINED`, `CREDIT`, `LABEL_GENUINE` or `LABEL_FRAUD`.
        times_ms: event time; a label carries that of its transaction.
        labelled_ms: when the label was given; 0 for payments.
        ids: hash of the transaction id, never 0.
        minor: amount in minor units of the base currency, -1 where it cannot be converted.
        entities: for each entity of the plan, the place of the event's card, terminal … among the rows; -1 where it has none.
        facts: int64 [events, facts], from `facts.facts_of`; None where no payment has any.
        own: the payments' own values of a name, of a run of the events. None where no payment has any.
        told: int64, the label before of a label's transaction, 2 * labelled_at + is_fraud, as far as it is known beside the card's own last
            labels; 0 where it is not. None where none is.
    """

    kinds: Bytes
    times_ms: Ints
    labelled_ms: Ints
    ids: Ints
    minor: Ints
    entities: tuple[Ints, ...]
    facts: Ints | None = None
    own: Callable[[str, slice], OwnColumn] | None = None
    told: Ints | None = None

    def part(self, run: slice) -> Events:
        """Some of them, without copying."""
        own = self.own
        return Events(
            self.kinds[run],
            self.times_ms[run],
            self.labelled_ms[run],
            self.ids[run],
            self.minor[run],
            tuple(entity[run] for entity in self.entities),
            None if self.facts is None else self.facts[run],
            None if own is None else lambda name, within: own(name, run)[within],
            None if self.told is None else self.told[run],
        )


class PlacedRows(NamedTuple):
    """Rows int64 [any, width], and int64 [entities], the row of the n-th entity."""

    rows: Ints
    at: Ints


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one entity: the part that may be written, and the sum over the parts of all partitions.

    Attributes:
        own: int64 [any, width], the part that this partition writes; updated in place.
        total: int64 [any, width], the sum that features are read from; the same array as `own` where there is one part only.
        own_at, total_at: int64 [entities], the row of the n-th entity in each.
        also: further rows that every payment and label is counted in, or None.
    """

    own: Ints
    total: Ints
    own_at: Ints
    total_at: Ints
    also: PlacedRows | None = None

    @staticmethod
    def alone(rows: Ints) -> Rows:
        """Entities that have one part only, in the order of `rows`."""
        at = np.arange(len(rows))
        return Rows(rows, rows, at, at)


@dataclass(frozen=True, slots=True)
class Computed:
    """What became of each event.

    Attributes:
        vectors: float32 [events, features of the plan]; only rows of scored events mean anything.
        scored: bool, payments that get a decision.
        duplicates: bool, transactions seen before on their card.
        late: bool, payments behind every window of their card: scored, not counted.
        effects: int8, what `kernel.admit` made of each.
    """

    vectors: Vectors
    scored: NDArray[np.bool_]
    duplicates: NDArray[np.bool_]
    late: NDArray[np.bool_]
    effects: Bytes


def compute(plan: Plan, events: Events, rows: Sequence[Rows], unit: int = 100, across: Callable[..., Iterable[None]] = map) -> Computed:
    """Features of every payment among `events`, in order; each payment and label is then counted in the rows.

    Args:
        plan: the features wanted.
        events: in processing order.
        rows: those of each entity of the plan, cards first; updated in place.
        unit: minor units of one major unit of the base currency.
        across: maps over the entities, which have nothing in common: an executor's `map` folds them at once (kernels hold no lock).
    """
    count = len(events.kinds)
    vectors = np.repeat(plan.neutral[None], count, axis=0)
    facts = derived(np.zeros((count, len(Fact)), dtype=np.int64) if events.facts is None else events.facts, events.times_ms, events.minor)
    told = np.zeros(count, dtype=np.int64) if events.told is None else events.told
    effects = np.empty(count, dtype=np.int8)
    kinds = events.kinds.copy()
    kernel.admit(rows[0].own, rows[0].own_at, events.entities[0], kinds, events.ids, events.labelled_ms, told, effects)
    late = np.zeros((len(rows), count), dtype=np.uint8)

    def fold(entity: EntityPlan, of_entity: Rows, slots: Ints, behind: NDArray[np.uint8]) -> None:
        _fold(entity, of_entity, slots, events, unit, effects=effects, facts=facts, vectors=vectors, late=behind)

    list(across(fold, plan.entities, rows, events.entities, late))
    for column, feature in plan.of_record:
        vectors[:, column] = _of_record(feature, events, unit)
    scored = (effects == kernel.COUNT) | (effects == kernel.SCORE)
    return Computed(vectors, scored, kinds < 0, late[0].view(np.bool_), effects)


def _fold(  # noqa: PLR0913 - arrays
    plan: EntityPlan,
    rows: Rows,
    slots: Ints,
    events: Events,
    unit: int,
    *,
    effects: Bytes,
    facts: Ints,
    vectors: Vectors,
    late: NDArray[np.uint8],
) -> None:
    if not len(rows.own_at):  # no event names one: every value is the neutral one
        return
    layout, scratch = plan.layout, (np.empty(plan.sums, dtype=np.int64), np.empty(len(Measure), dtype=np.int64))
    own, total = PlacedRows(rows.own, rows.own_at), PlacedRows(rows.total, rows.total_at)
    of_events = slots, effects, events.times_ms, events.minor, facts
    shared = rows.own is not rows.total
    kernel.fold(layout.table, layout.header, plan.terms, plan.features, *own, *total, shared, *of_events, unit, vectors, late, *scratch)
    if rows.also is not None:
        wanted, unheeded = (plan.terms[:0], plan.features[:0]), np.empty_like(late)
        kernel.fold(layout.table, layout.header, *wanted, *rows.also, *rows.also, False, *of_events, unit, vectors, unheeded, *scratch)


def _of_record(feature: Feature, events: Events, unit: int) -> Vectors:
    match feature.aggregation:
        case "amount":
            return (np.maximum(events.minor, 0) / unit).astype(np.float32)
        case "weekend":
            return ((events.times_ms // DAY_MS + _EPOCH_WEEKDAY) % 7 >= _SATURDAY).astype(np.float32)
        case "night":
            return (events.times_ms // HOUR_MS % 24 <= _LAST_NIGHT_HOUR).astype(np.float32)
        case "channel_code" | "type_code" | "mcc_code":
            return _code(feature, events)
        case "attributes" | "category":
            return _own(feature, events)
    raise NotImplementedError(f"Nobody says what {feature.aggregation!r} makes of a payment. Add it to `compute._of_record`.")


_CODES = MappingProxyType({"channel_code": Fact.CHANNEL, "type_code": Fact.TYPE, "mcc_code": Fact.MCC})


def _code(feature: Feature, events: Events) -> Vectors:
    if events.facts is None:
        return np.full(len(events.kinds), feature.of.neutral, dtype=np.float32)
    return (events.facts[:, _CODES[feature.aggregation]] + feature.of.neutral).astype(np.float32)


def _own(feature: Feature, events: Events) -> Vectors:
    if events.own is None:
        return np.full(len(events.kinds), feature.of.neutral, dtype=np.float32)
    column = events.own(feature.field, slice(None))
    values = column.places(feature.vocabulary) if feature.is_category else column.clipped(feature.of.neutral)
    return values.astype(np.float32)


def to_minor(amounts: Floats, unit: int) -> Ints:
    """Major to minor units, rounded half to even."""
    return np.rint(amounts * unit).astype(np.int64)
