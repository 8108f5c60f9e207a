"""The payments and labels of one partition, as arrays, and the orders they can be taken in."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from stream_app.features.compute import Events
from stream_app.features.own_values import OwnColumn
from stream_app.features.plan import Ints
from stream_app.messages.money import Money
from stream_app.messages.transaction import Label, Transaction
from stream_app.scoring.intake import Decoded, merge
from stream_app.scoring.outcomes import NO_NOTES, before_each
from stream_app.scoring.ports import Ids
from stream_app.scoring.positions import Position


class Count(NamedTuple):
    """How many payments and how many labels of a history are counted: a position in terms of what the history holds."""

    payments: int
    labels: int


@dataclass(frozen=True, slots=True, eq=False)
class PartitionHistory:
    """What a partition's topics hold, in the order of the log.

    Attributes:
        events: all labels, then all payments.
        payments, labels: as decoded.
        payment_offsets, label_offsets: rising.
        ids: for each entity the distinct ids, in the order that `events` names them by.
    """

    events: Events
    payments: list[Transaction]
    labels: list[Label]
    payment_offsets: list[int]
    label_offsets: list[int]
    ids: Ids

    @staticmethod
    def of(payments: Decoded[Transaction], labels: Decoded[Label], money: Money) -> PartitionHistory:
        """The history of these records."""
        intake = merge(payments, labels, money)
        intake = intake.told(before_each(labels.messages, NO_NOTES))
        is_label = np.ones(len(intake.events.kinds), dtype=np.bool_)
        is_label[intake.places] = False
        events = _remembering(selected(intake.events, np.concatenate([np.flatnonzero(is_label), intake.places])))
        return PartitionHistory(events, payments.messages, labels.messages, payments.offsets, labels.offsets, intake.ids)

    def count(self, position: Position) -> Count:
        """How many payments and labels lie below a position."""
        return Count(self.payments_below(position.transactions), self.labels_below(position.labels))

    def payments_below(self, offset: int) -> int:
        """How many payments lie below an offset: the place of the payment that stands there, if one does."""
        return bisect_left(self.payment_offsets, offset)

    def labels_below(self, offset: int) -> int:
        """How many labels lie below an offset."""
        return bisect_left(self.label_offsets, offset)

    def interleaved(self, start: Count, end: Count, before: Ints) -> Ints:
        """The places among `events` of what lies between two counts, in processing order.

        Args:
            start: payments and labels counted before.
            end: and after.
            before: for each of these payments, how many labels are counted when its turn comes, at least; labels are taken as late as that
                allows, what is left of them at the end.
        """
        known = np.maximum.accumulate(np.clip(before, start.labels, end.labels))
        labels, payments = np.arange(start.labels, end.labels), np.arange(start.payments, end.payments)
        first = np.searchsorted(known, labels, side="right")
        order = np.argsort(np.concatenate([2 * first, 2 * np.arange(len(payments)) + 1]), kind="stable")
        return np.concatenate([labels, len(self.labels) + payments])[order]


def _remembering(events: Events) -> Events:
    """The same; the payments' own values are looked up once, not for each micro-batch."""
    own = events.own
    if own is None:
        return events
    column = cache(lambda name: own(name, slice(None)))
    return replace(events, own=lambda name, run: column(name)[run])


def selected(events: Events, order: Ints) -> Events:
    """These of the events, in this order."""
    return Events(**{f.name: _selected(getattr(events, f.name), order) for f in fields(Events)})


def _selected(value: Any, order: Ints) -> Any:
    if value is None:
        return None
    if callable(value):
        return lambda name, run: value(name, slice(None))[order][run]
    return tuple(part[order] for part in value) if isinstance(value, tuple) else value[order]


def joined(runs: list[Events], entities: tuple[list[Ints], ...]) -> Events:
    """Runs of events one behind the other.

    Args:
        runs: one at least, each with its facts.
        entities: for each entity, the places of each run's events among the ids of all runs.
    """
    names = [f.name for f in fields(Events) if f.name not in {"entities", "own", "told"}]
    plain: dict[str, Any] = {name: np.concatenate([getattr(run, name) for run in runs]) for name in names}

    def own(name: str, run: slice) -> OwnColumn:
        return OwnColumn.joined([_column(of_run, name) for of_run in runs])[run]

    told = np.concatenate([np.zeros(len(run.kinds), dtype=np.int64) if run.told is None else run.told for run in runs])
    return Events(**plain, entities=tuple(np.concatenate(places) for places in entities), own=own, told=told)


def _column(events: Events, name: str) -> OwnColumn:
    return OwnColumn.of_none(len(events.kinds)) if events.own is None else events.own(name, slice(None))
