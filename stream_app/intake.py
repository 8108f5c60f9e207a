"""From Kafka records to events for the kernel: what cannot be read is set aside with its reason, its neighbours go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import xxhash

from stream_app.errors import RecordError
from stream_app.features import kernel
from stream_app.features.compute import Events, to_minor
from stream_app.money import Money
from stream_app.ports import Outgoing, Record
from stream_app.transaction import CREDITS, Decoder, Label, Transaction, redact


@dataclass(frozen=True, slots=True)
class Intake[T: (Transaction, Label)]:
    """A decoded micro-batch of one topic.

    Attributes:
        messages: what could be read, in order.
        offsets: their offsets.
        refused: what could not be read, and why.
        events: the messages as arrays.
        card_ids, terminal_ids: the distinct ones, in the order of the rows that `events` names.
    """

    messages: list[T]
    offsets: list[int]
    refused: list[tuple[Record, RecordError]]
    events: Events
    card_ids: list[str]
    terminal_ids: list[str]


def take_in[T: (Transaction, Label)](
    records: Sequence[Record], decoder: Decoder[T], to_events: Callable[[list[T], dict[str, int], dict[str, int]], Events]
) -> Intake[T]:
    """Decode records in order."""
    decode = decoder.decode
    messages: list[T] = []
    offsets: list[int] = []
    refused: list[tuple[Record, RecordError]] = []
    for record in records:
        try:
            messages.append(decode(record.value, record.key, record.timestamp))
        except RecordError as error:
            refused.append((record, error))
        else:
            offsets.append(record.offset)
    cards: dict[str, int] = {}
    terminals: dict[str, int] = {}
    events = to_events(messages, cards, terminals)
    return Intake(messages, offsets, refused, events, list(cards), list(terminals))


def transaction_events(money: Money) -> Callable[[list[Transaction], dict[str, int], dict[str, int]], Events]:
    """How transactions become events in the base currency of `money`."""

    def events(messages: list[Transaction], cards: dict[str, int], terminals: dict[str, int]) -> Events:
        currency, of = money.currency, money.of
        based = np.array([m.amount if m.billing_amount is None and m.currency == currency else of(m) for m in messages], dtype=np.float64)
        known = ~np.isnan(based)
        count = len(messages)
        return Events(
            kinds=np.array([_kind(m) for m in messages], dtype=np.int8),
            times_ms=np.array([m.event_time for m in messages], dtype=np.int64),
            labelled_ms=np.zeros(count, dtype=np.int64),
            ids=transaction_hashes([m.transaction_id for m in messages]),
            minor=np.where(known, to_minor(np.where(known, based, 0.0), money.unit), -1),
            amounts=np.array([m.amount for m in messages], dtype=np.float64),
            cards=np.array([cards.setdefault(m.card_id, len(cards)) for m in messages], dtype=np.int64),
            terminals=np.array([terminals.setdefault(m.terminal_id, len(terminals)) for m in messages], dtype=np.int64),
        )

    return events


def _kind(tx: Transaction) -> int:
    if tx.type in CREDITS:
        return kernel.CREDIT
    return kernel.DECLINED if tx.approved is False else kernel.PAYMENT


def label_events(messages: list[Label], cards: dict[str, int], terminals: dict[str, int]) -> Events:
    """Labels as events."""
    count = len(messages)
    return Events(
        kinds=np.array([kernel.LABEL_FRAUD if m.is_fraud else kernel.LABEL_GENUINE for m in messages], dtype=np.int8),
        times_ms=np.array([m.event_time for m in messages], dtype=np.int64),
        labelled_ms=np.array([m.labelled_at for m in messages], dtype=np.int64),
        ids=transaction_hashes([m.transaction_id for m in messages]),
        minor=np.zeros(count, dtype=np.int64),
        amounts=np.zeros(count, dtype=np.float64),
        cards=np.array([cards.setdefault(m.card_id, len(cards)) for m in messages], dtype=np.int64),
        terminals=np.array([terminals.setdefault(m.terminal_id, len(terminals)) for m in messages], dtype=np.int64),
    )


def transaction_hashes(ids: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """63 bits of XXH3 of each transaction id, never 0."""
    digest = xxhash.xxh3_64_intdigest
    return np.array([(digest(i) >> 1) or 1 for i in ids], dtype=np.int64)


def dead_letter(record: Record, error: RecordError, source: tuple[str, int], topic: str, *, redacted: bool) -> Outgoing:
    """The dead letter of a refused record: its bytes as they came, card numbers taken out, the reason in the headers.

    Args:
        record: the refused record.
        error: why.
        source: topic and partition that it came from.
        topic: the dead-letter topic.
        redacted: whether card numbers are taken out of key and value.
    """
    key, value = redact(record.key, record.value) if redacted else (record.key, record.value)
    headers = (
        ("error.code", str(error.code).encode()),
        ("error.message", error.message.encode()),
        ("source.topic", source[0].encode()),
        ("source.partition", str(source[1]).encode()),
        ("source.offset", str(record.offset).encode()),
    )
    return Outgoing(topic, key, value, headers)
