"""From Kafka records to events for the kernel: what cannot be read is set aside with its reason, its neighbours go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import accumulate, chain, repeat
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from stream_app.errors import RecordError, Unavailable
from stream_app.features import kernel
from stream_app.features.aggregations import Fact
from stream_app.features.compute import Events, to_minor
from stream_app.features.entities import ALL, ENTITIES, KINDS, OPTIONAL, Entity, KeptEntities
from stream_app.features.facts import CHANNELS, ONLINE, TYPES, country_numbers, facts_of, hashes, mcc_numbers, numbers_of
from stream_app.features.own_values import OwnColumn
from stream_app.features.plan import Ints
from stream_app.messages.money import Money
from stream_app.messages.records import Record
from stream_app.messages.refusals import DeadLetterCode
from stream_app.messages.transaction import CREDITS, Decoder, Label, Transaction
from stream_app.scoring.ports import Ids
from stream_app.wire.decoder import said_of_frames
from stream_app.wire.inputs import Reads, decode_one


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

    @classmethod
    def together(cls, of_each: Sequence[Decoded[T]]) -> Decoded[T]:
        """Those of several partitions, one after the other."""
        if len(of_each) == 1:
            return of_each[0]
        columns = ([getattr(d, f.name) for d in of_each] for f in fields(cls))
        return cls(*(list(chain.from_iterable(column)) for column in columns))

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


class RoundSlices(NamedTuple):
    """Where what is one partition's stands in a round.

    Attributes:
        payments, labels, events: its own.
        ids: of each entity.
    """

    payments: slice
    labels: slice
    events: slice
    ids: tuple[slice, ...]


@dataclass(frozen=True, slots=True)
class Intake:
    """A round: the payments and labels of some partitions, each partition's merged by time, one partition after the other.

    Attributes:
        payments, labels: as decoded.
        events: both as arrays, in processing order.
        places: int64 [payments], where each payment stands among the events.
        ids: for each entity, cards first, the distinct ids of each partition in the order that `events` names them by.
        shares: of each partition.
        kept: the entities that ids are named of.
    """

    payments: Decoded[Transaction]
    labels: Decoded[Label]
    events: Events
    places: Ints
    ids: Ids
    shares: tuple[RoundSlices, ...]
    kept: KeptEntities

    def incomplete_labels(self, partition: int) -> int:
        """How many labels of the n-th partition leave out a merchant, category, country or address though state of it is kept: they do not count there."""
        wanted = [KINDS[entity] for entity in OPTIONAL if entity in self.kept and KINDS[entity].labelled]
        if not wanted:
            return 0
        return sum(any(kind.id_of(label) is None for kind in wanted) for label in self.labels.messages[self.shares[partition].labels])

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


def decode_all[T: (Transaction, Label)](records: Sequence[Record], decoder: Reads[T], now_ms: int | None) -> Decoded[T]:
    """Decode records in order; one that cannot be read, for whatever reason, is set aside with it. `now_ms`: see `Decoder.decode`.

    Raises:
        Unavailable: a schema that a record was written by is not here; see `WireDecoder.lacks`.
    """
    decode = decoder.decode if isinstance(decoder, Decoder) else None
    decode_record = partial(decode_one, decoder) if isinstance(decoder, Decoder) else decoder.decode_record
    messages: list[T] = []
    read: list[Record] = []
    offsets: list[int] = []
    timestamps: list[int] = []
    refused: list[tuple[Record, RecordError]] = []
    for record in records:
        try:
            message = decode(record.value, record.key, record.timestamp, now_ms) if decode else decode_record(record, now_ms)
            messages.append(message)
        except RecordError as error:
            refused.append((record, said_of_frames(record, error) if decode else error))
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - a fault of the decoder's that one record brings to light stops no other
            told = f"The record could not be decoded: {type(error).__name__}: {error}."
            refused.append((record, RecordError(DeadLetterCode.SCORING_FAILED, told)))
        else:
            read.append(record)
            offsets.append(record.offset)
            timestamps.append(record.timestamp)
    return Decoded(messages, read, offsets, timestamps, refused)


def merge(payments: Decoded[Transaction], labels: Decoded[Label], money: Money, kept: KeptEntities = ALL) -> Intake:
    """The round of one partition, see `merge_all`."""
    return merge_all([(payments, labels)], money, kept)


def merge_all(of_each: Sequence[tuple[Decoded[Transaction], Decoded[Label]]], money: Money, kept: KeptEntities = ALL) -> Intake:
    """One order of the payments and labels of some partitions: within each a label comes before the first payment at or after `labelled_at`, as
    in training.

    Payments keep the order of the log, labels that of theirs; what counts for a label is the newest payment so far. Of entities that are not
    `kept` no id is named: nothing of them is read, computed or written.
    """
    payments, labels = (Decoded.together(of_topic) for of_topic in zip(*of_each, strict=True))
    index = _IdIndex([(p.messages, m.messages) for p, m in of_each], kept)
    events = _payment_events(payments.messages, index, money)
    places = np.arange(len(payments.messages))
    if labels.messages:
        given = _label_events(labels.messages, index)
        before = np.concatenate([_before(events, given, paid, told) for paid, told in zip(index.payments, index.labels, strict=True)])
        order = np.argsort(np.concatenate([2 * before, 2 * places + 1]), kind="stable")
        events = _in_order(given, events, order)
        places = np.flatnonzero(order >= len(labels.messages))
    count = len(events.kinds)
    if any(m.attributes for m in payments.messages):
        events = replace(events, own=lambda name, run: _own(payments.messages, name, places, count)[run])
    return Intake(payments, labels, events, places, index.ids, index.shares(), kept)


def _before(events: Events, given: Events, paid: slice, told: slice) -> Ints:
    """Of each label of a partition, the place among the payments of the first that comes after it."""
    newest = np.maximum.accumulate(events.times_ms[paid])
    before: Ints = np.maximum.accumulate(np.searchsorted(newest, given.labelled_ms[told], side="left")) + paid.start
    return before


class _IdIndex:
    """The distinct ids of the partitions of a round, one partition after the other: an id that two of them name has two places.

    Attributes:
        ids: of each entity.
        of_payments, of_labels: for each entity, int64 [messages], the place of its id; -1 where a message names none.
        payments, labels: of each partition.
    """

    def __init__(self, of_each: Sequence[tuple[Sequence[Transaction], Sequence[Label]]], kept: KeptEntities) -> None:
        self.kept = kept
        self.ids: Ids = tuple([] for _ in ENTITIES)
        self.payments, self.labels = (_slices([len(messages) for messages in of_topic]) for of_topic in zip(*of_each, strict=True))
        found: tuple[list[list[int]], ...] = tuple([[] for _ in ENTITIES] for _ in ("payments", "labels"))
        self._counts: list[list[int]] = []
        for of_partition in of_each:
            for n, (entity, ids) in enumerate(zip(ENTITIES, self.ids, strict=True)):
                known: dict[str, int] = {}
                first = len(ids)
                for messages, places in zip(of_partition, found, strict=True):
                    named = map(KINDS[entity].id_of, messages) if entity in kept else repeat(None, len(messages))
                    places[n] += [-1 if i is None else known.setdefault(i, first + len(known)) for i in named]
                ids.extend(known)
            self._counts.append([len(ids) for ids in self.ids])
        self.of_payments, self.of_labels = (tuple(np.array(places, dtype=np.int64) for places in of_topic) for of_topic in found)

    def shares(self) -> tuple[RoundSlices, ...]:
        """What is whose."""
        ends = [paid.stop + told.stop for paid, told in zip(self.payments, self.labels, strict=True)]
        events = map(slice, [0, *ends], ends)
        before = [[0] * len(ENTITIES), *self._counts]
        ids = [tuple(map(slice, first, end)) for first, end in zip(before, self._counts, strict=False)]
        return tuple(map(RoundSlices, self.payments, self.labels, events, ids))


def _slices(counts: Sequence[int]) -> list[slice]:
    ends = list(accumulate(counts))
    return list(map(slice, [0, *ends], ends))


def _own(messages: Sequence[Transaction], name: str, places: Ints, count: int) -> OwnColumn:
    """What payments say of a name in `attributes`, at the places that they have among the events."""
    codes = np.full(count, -1, dtype=np.int64)
    codes[places] = np.arange(len(messages))
    return OwnColumn(codes, [None if m.attributes is None else m.attributes.get(name) for m in messages])


def _in_order(given: Events, events: Events, order: Ints) -> Events:
    names = [f.name for f in fields(Events) if f.name not in {"entities", "own", "told"}]
    plain: dict[str, Any] = {name: np.concatenate([getattr(given, name), getattr(events, name)])[order] for name in names}
    entities = tuple(np.concatenate(pair)[order] for pair in zip(given.entities, events.entities, strict=True))
    return Events(**plain, entities=entities)


def _payment_events(messages: list[Transaction], index: _IdIndex, money: Money) -> Events:
    currency, of = money.currency, money.of
    based = np.array([m.amount if m.billing_amount is None and m.currency == currency else of(m) for m in messages], dtype=np.float64)
    priced = ~np.isnan(based)
    return Events(
        kinds=np.array([_kind(m) for m in messages], dtype=np.int8),
        times_ms=np.array([m.event_time for m in messages], dtype=np.int64),
        labelled_ms=np.zeros(len(messages), dtype=np.int64),
        ids=hashes([m.transaction_id for m in messages]),
        minor=np.where(priced, to_minor(np.where(priced, based, 0.0), money.unit), -1),
        entities=index.of_payments,
        facts=_facts(messages, index),
    )


def _facts(messages: list[Transaction], index: _IdIndex) -> Ints:
    """See `aggregations.Fact`; columns that no payment fills cost nothing."""
    cards, terminals, devices = (_hashes(messages, index, entity) for entity in _NAMED_IN_FACTS)
    channels, countries, mccs = [m.channel for m in messages], [m.country for m in messages], [m.mcc for m in messages]
    latitudes = [m.latitude for m in messages]
    return facts_of(
        terminals,
        cards=cards,
        devices=devices,
        channels=numbers_of(CHANNELS, channels) if any(channels) else None,
        types=numbers_of(TYPES, [m.type for m in messages]),
        mccs=mcc_numbers(mccs) if any(mccs) else None,
        online=np.array([c == ONLINE for c in channels], dtype=np.bool_) if ONLINE in channels else None,
        countries=country_numbers(countries) if any(countries) else None,
        place=None
        if latitudes.count(None) == len(latitudes)
        else (np.array(latitudes, dtype=np.float64), np.array([m.longitude for m in messages], dtype=np.float64)),
    )


_NAMED_IN_FACTS: tuple[Entity, ...] = ("card", "terminal", "device")


def _hashes(messages: list[Transaction], index: _IdIndex, entity: Entity) -> Ints:
    """Of each payment, the hash of the id that it names, whether state of it is kept or not; 0 where it names none."""
    n = ENTITIES.index(entity)
    if entity in index.kept:
        found: Ints = np.append(hashes(index.ids[n]), 0)[index.of_payments[n]]
        return found
    names = [KINDS[entity].id_of(m) for m in messages]
    return np.where([name is None for name in names], 0, hashes([name or "" for name in names]))


def _kind(tx: Transaction) -> int:
    if tx.type in CREDITS:
        return kernel.CREDIT
    return kernel.DECLINED if tx.approved is False else kernel.PAYMENT


def _label_events(messages: list[Label], index: _IdIndex) -> Events:
    count = len(messages)
    return Events(
        kinds=np.array([kernel.LABEL_FRAUD if m.is_fraud else kernel.LABEL_GENUINE for m in messages], dtype=np.int8),
        times_ms=np.array([m.event_time for m in messages], dtype=np.int64),
        labelled_ms=np.array([m.labelled_at for m in messages], dtype=np.int64),
        ids=hashes([m.transaction_id for m in messages]),
        minor=np.zeros(count, dtype=np.int64),
        entities=index.of_labels,
        facts=np.zeros((count, len(Fact)), dtype=np.int64),
    )
