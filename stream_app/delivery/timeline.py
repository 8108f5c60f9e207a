"""Payments and labels of many partitions as one history, merged by time as in training."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple, Protocol

from stream_app.messages.records import Place, Record
from stream_app.messages.transaction import Label, Transaction
from stream_app.scoring.already_published import Refusals
from stream_app.scoring.intake import Decoded, decode_all
from stream_app.wire.inputs import Inputs, some_ready


class LogSpans(Protocol):
    """Spans of partitions' logs, each read once and in order."""

    async def more(self, places: Collection[Place]) -> Mapping[Place, Sequence[Record]]:
        """The next records of some of these places, one at least; nothing for a place says that its span has ended.

        Raises:
            Unavailable: if they do not come.
        """
        ...


class Moment(NamedTuple):
    """A payment or label in its place of the history.

    Attributes:
        newest_ms: the newest event time (of labels: `labelled_at`) up to here in its partition.
        is_payment: labels come before the payments of the same time.
        place: where it was read.
        offset, timestamp_ms, record: of its record.
    """

    newest_ms: int
    is_payment: bool
    place: Place
    offset: int
    timestamp_ms: int
    record: Record
    message: Any


class Timeline:
    """Merges what a history holds; what cannot be read, or was refused, is left out: it was, or will be, a dead letter."""

    def __init__(self, history: LogSpans, refused: Mapping[Place, Refusals], transactions: str, inputs: Inputs, now_ms: int | None) -> None:
        """Merge partitions.

        Args:
            history: what is read.
            refused: its partitions, each of transactions or of labels, with what dead letters stand.
            transactions: name of the topic of transactions.
            inputs: how records are read.
            now_ms: what time it is; None where all of it was decided before.
        """
        self._history = history
        self._refused = refused
        self._waiting: dict[Place, list[Moment]] = {place: [] for place in refused}
        self._newest_ms = dict.fromkeys(refused, 0)
        self._inputs, self._now_ms = inputs, now_ms
        self._transactions = transactions
        self._open = set(refused)

    async def steps(self) -> AsyncIterator[list[Moment]]:
        """The history in steps: each is sorted, and nothing in a later one is older. No more is held than was read last of each partition."""
        while True:
            while dry := [place for place in sorted(self._open) if not self._waiting[place]]:
                for place, records in (await self._history.more(dry)).items():
                    await self._take_in(place, records)
            upto_ms = min([self._waiting[place][-1].newest_ms for place in self._open], default=None)
            step = sorted(chain.from_iterable(self._leaving(place, upto_ms) for place in self._waiting), key=_order)
            if not step:
                return
            yield step

    async def _take_in(self, place: Place, records: Sequence[Record]) -> None:
        if not records:
            self._open.discard(place)
            return
        is_payment, newest_ms = place[0] == self._transactions, self._newest_ms[place]
        decoder: Any = self._inputs.payments if is_payment else self._inputs.labels
        async for ready in some_ready(self._refused[place].without(records), decoder, self._inputs):
            decoded: Decoded[Any] = decode_all(ready, decoder, self._now_ms)
            for message, record in zip(decoded.messages, decoded.records, strict=True):
                newest_ms = max(newest_ms, message.event_time if is_payment else message.labelled_at)
                self._waiting[place].append(Moment(newest_ms, is_payment, place, record.offset, record.timestamp, record, message))
        self._newest_ms[place] = newest_ms

    def _leaving(self, place: Place, upto_ms: int | None) -> list[Moment]:
        """Those that no partition can have older ones than: up to where the slowest has been read."""
        waiting = self._waiting[place]
        end = len(waiting) if upto_ms is None else bisect_right(waiting, upto_ms, key=lambda moment: moment.newest_ms)
        self._waiting[place] = waiting[end:]
        return waiting[:end]


def decoded(moments: Sequence[Moment]) -> tuple[Decoded[Transaction], Decoded[Label]]:
    """The payments and the labels of a step, as they were read."""
    return _decoded([m for m in moments if m.is_payment]), _decoded([m for m in moments if not m.is_payment])


def _decoded(moments: Sequence[Moment]) -> Decoded[Any]:
    times_ms = [m.timestamp_ms for m in moments]
    return Decoded([m.message for m in moments], [m.record for m in moments], [m.offset for m in moments], times_ms, [])


def _order(moment: Moment) -> tuple[int, bool, Place, int]:
    return moment.newest_ms, moment.is_payment, moment.place, moment.offset
