"""From Kafka records to events for the kernel: what cannot be read is set aside with its reason, its neighbours go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from operator import itemgetter
from typing import Any

import numpy as np

from stream_app.errors import RecordError
from stream_app.features import kernel
from stream_app.features.aggregations import ENTITIES, Fact
from stream_app.features.compute import Events, Floats, to_minor
from stream_app.features.facts import ONLINE, country_numbers, facts_of, hashes
from stream_app.features.plan import Ints
from stream_app.messages.money import Money
from stream_app.messages.records import Record
from stream_app.messages.transaction import CREDITS, DeadLetterCode, Decoder, Label, Transaction
from stream_app.scoring.ports import Ids


@dataclass(frozen=True, slots=True)
class Decoded[T: (Transaction, Label)]:
    """Records of one topic, decoded in order.

    Attributes:
        messages: what could be read.
        records: as they came, one for each message.
        offsets: their offsets.
        timestamps_ms: their Kafka timestamps.
        refused: what could not be read, and why.
    """

    messages: list[T]
    records: list[Record]
    offsets: list[int]
    timestamps_ms: list[int]
    refused: list[tuple[Record, RecordError]]

    @classmethod
    def of_none(cls) -> Decoded[T]:
        """No record at all."""
        return cls([], [], [], [], [])

    def __len__(self) -> int:
        return len(self.messages) + len(self.refused)

    @property
    def offset(self) -> int:
        """Of the only record."""
        return self.records[0].offset if self.records else self.refused[0][0].offset

    @property
    def last(self) -> Record | None:
        """The last record in the log's order; None where there is none."""
        return max((*self.records[-1:], *(record for record, _ in self.refused)), key=lambda record: record.offset, default=None)

    @property
    def oldest_ms(self) -> int | None:
        """Kafka timestamp of the first record; None where there is none."""
        return self.timestamps_ms[0] if self.timestamps_ms else self.refused[0][0].timestamp if self.refused else None

    def all_refused(self, error: RecordError) -> Decoded[T]:
        """The same with what could be read refused too."""
        return Decoded([], [], [], [], [*self.refused, *((record, error) for record in self.records)])

    def singles(self, time_of: Callable[[T], int]) -> Iterator[tuple[int, Decoded[T]]]:
        """Each record by itself in the log's order, with the newest time up to it, ms."""
        read = zip(self.messages, self.records, strict=True)
        alone: list[tuple[int, Decoded[T]]] = [(r.offset, Decoded([m], [r], [r.offset], [r.timestamp], [])) for m, r in read]
        alone += [(r.offset, Decoded([], [], [], [], [(r, error)])) for r, error in self.refused]
        alone.sort(key=itemgetter(0))
        newest_ms = 0
        one: Decoded[T]
        for _, one in alone:
            newest_ms = max([newest_ms, *map(time_of, one.messages)])
            yield newest_ms, one


@dataclass(frozen=True, slots=True)
class Intake:
    """A micro-batch: payments and labels of one partition, merged by time.

    Attributes:
        payments, labels: as decoded.
        events: both as arrays, in processing order.
        places: int64 [payments], where each payment stands among the events.
        ids: for each entity, cards first, the distinct ids in the order that `events` names them by.
    """

    payments: Decoded[Transaction]
    labels: Decoded[Label]
    events: Events
    places: Ints
    ids: Ids

    @property
    def of_labels(self) -> Ints:
        """int64 [labels], where each label stands among the events."""
        return np.flatnonzero(self.events.kinds >= kernel.LABEL_GENUINE)

    def told(self, before: Sequence[int]) -> Intake:
        """The same where of each label's transaction the label before is known, see `Events.told`."""
        if not any(before):
            return self
        told = np.zeros(len(self.events.kinds), dtype=np.int64)
        told[self.of_labels] = before
        return replace(self, events=replace(self.events, told=told))


def decode_all[T: (Transaction, Label)](records: Sequence[Record], decoder: Decoder[T], now_ms: int | None) -> Decoded[T]:
    """Decode records in order; one that cannot be read, for whatever reason, is set aside with it. `now_ms`: see `Decoder.decode`."""
    decode = decoder.decode
    messages: list[T] = []
    read: list[Record] = []
    offsets: list[int] = []
    timestamps: list[int] = []
    refused: list[tuple[Record, RecordError]] = []
    for record in records:
        try:
            messages.append(decode(record.value, record.key, record.timestamp, now_ms))
        except RecordError as error:
            refused.append((record, error))
        except Exception as error:  # noqa: BLE001 - a fault of the decoder's that one record brings to light stops no other
            told = f"The record could not be decoded: {type(error).__name__}: {error}."
            refused.append((record, RecordError(DeadLetterCode.SCORING_FAILED, told)))
        else:
            read.append(record)
            offsets.append(record.offset)
            timestamps.append(record.timestamp)
    return Decoded(messages, read, offsets, timestamps, refused)


def merge(payments: Decoded[Transaction], labels: Decoded[Label], money: Money) -> Intake:
    """One order of payments and labels: a label comes before the first payment at or after `labelled_at`, as in training.

    Payments keep the order of the log, labels that of theirs; what counts for a label is the newest payment so far.
    """
    known: tuple[dict[str, int], ...] = tuple({} for _ in ENTITIES)
    events = _payment_events(payments.messages, known, money)
    places = np.arange(len(payments.messages))
    if labels.messages:
        given = _label_events(labels.messages, known)
        newest = np.maximum.accumulate(events.times_ms)
        before = np.maximum.accumulate(np.searchsorted(newest, given.labelled_ms, side="left"))
        order = np.argsort(np.concatenate([2 * before, 2 * places + 1]), kind="stable")
        events = _in_order(given, events, order)
        places = np.flatnonzero(order >= len(labels.messages))
    count = len(events.kinds)
    if any(m.attributes for m in payments.messages):
        events = replace(events, attribute=lambda name, run: _attribute(payments.messages, name, places, count)[run])
    return Intake(payments, labels, events, places, tuple(list(index) for index in known))


def _attribute(messages: list[Transaction], name: str, places: Ints, count: int) -> Floats:
    column = np.full(count, np.nan)
    column[places] = [np.nan if m.attributes is None else m.attributes.get(name, np.nan) for m in messages]
    return column


def _in_order(given: Events, events: Events, order: Ints) -> Events:
    names = [f.name for f in fields(Events) if f.name not in {"entities", "attribute", "told"}]
    plain: dict[str, Any] = {name: np.concatenate([getattr(given, name), getattr(events, name)])[order] for name in names}
    entities = tuple(np.concatenate(pair)[order] for pair in zip(given.entities, events.entities, strict=True))
    return Events(**plain, entities=entities)


def _places(messages: Sequence[Transaction | Label], known: Sequence[dict[str, int]]) -> tuple[Ints, ...]:
    """The place of each message's card, terminal … among the distinct ones, which `known` gathers; -1 where it names none."""
    places = []
    for entity, index in zip(ENTITIES, known, strict=True):
        ids = [getattr(m, f"{entity}_id", None) for m in messages]
        places.append(np.array([-1 if i is None else index.setdefault(i, len(index)) for i in ids], dtype=np.int64))
    return tuple(places)


def _payment_events(messages: list[Transaction], known: Sequence[dict[str, int]], money: Money) -> Events:
    currency, of = money.currency, money.of
    based = np.array([m.amount if m.billing_amount is None and m.currency == currency else of(m) for m in messages], dtype=np.float64)
    priced = ~np.isnan(based)
    entities = _places(messages, known)
    return Events(
        kinds=np.array([_kind(m) for m in messages], dtype=np.int8),
        times_ms=np.array([m.event_time for m in messages], dtype=np.int64),
        labelled_ms=np.zeros(len(messages), dtype=np.int64),
        ids=hashes([m.transaction_id for m in messages]),
        minor=np.where(priced, to_minor(np.where(priced, based, 0.0), money.unit), -1),
        entities=entities,
        facts=_facts(messages, entities, known),
    )


def _facts(messages: list[Transaction], entities: tuple[Ints, ...], known: Sequence[dict[str, int]]) -> Ints:
    """See `aggregations.Fact`; columns that no payment fills cost nothing."""
    terminals, devices = (np.append(hashes(list(known[ENTITIES.index(e)])), 0)[entities[ENTITIES.index(e)]] for e in ("terminal", "device"))
    channels, countries = [m.channel for m in messages], [m.country for m in messages]
    latitudes = [m.latitude for m in messages]
    return facts_of(
        terminals,
        devices=devices,
        online=np.array([c == ONLINE for c in channels], dtype=np.bool_) if ONLINE in channels else None,
        countries=country_numbers(countries) if any(countries) else None,
        place=None
        if latitudes.count(None) == len(latitudes)
        else (np.array(latitudes, dtype=np.float64), np.array([m.longitude for m in messages], dtype=np.float64)),
    )


def _kind(tx: Transaction) -> int:
    if tx.type in CREDITS:
        return kernel.CREDIT
    return kernel.DECLINED if tx.approved is False else kernel.PAYMENT


def _label_events(messages: list[Label], known: Sequence[dict[str, int]]) -> Events:
    count = len(messages)
    return Events(
        kinds=np.array([kernel.LABEL_FRAUD if m.is_fraud else kernel.LABEL_GENUINE for m in messages], dtype=np.int8),
        times_ms=np.array([m.event_time for m in messages], dtype=np.int64),
        labelled_ms=np.array([m.labelled_at for m in messages], dtype=np.int64),
        ids=hashes([m.transaction_id for m in messages]),
        minor=np.zeros(count, dtype=np.int64),
        entities=_places(messages, known),
        facts=np.zeros((count, len(Fact)), dtype=np.int64),
    )
