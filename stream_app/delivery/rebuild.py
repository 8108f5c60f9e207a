"""Rebuilding lost state from the topics: where that begins, and how far it has come, in a metric and in a log line every ten seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from loguru import logger

from stream_app.delivery.outputs import Outputs, starts_of
from stream_app.delivery.ports import Bounds, Log
from stream_app.delivery.topics import Topics
from stream_app.features.aggregations import DAY_S, HORIZON_S
from stream_app.features.entities import KeptEntities
from stream_app.features.kept_tiles import NOTHING, goes_on, kept_layouts, kept_text
from stream_app.messages.event_time import EARLIEST_EVENT_TIME_MS
from stream_app.messages.majority import MOST, median
from stream_app.messages.records import Place
from stream_app.scoring.observation import Observer
from stream_app.scoring.ports import Clock
from stream_app.scoring.positions import Cursor, Position

MOST_AHEAD_MS = 120_000
"""A transaction's event time lies at most so far ahead of its Kafka timestamp, with room for clocks that differ."""
REACH_S = HORIZON_S + DAY_S
"""No ring reaches back further from the newest payment. The oldest of its tiles is a whole day, of which late payments see all or, rebuilt from less, a part."""
LOOK_BACK_ALERTS = 200_000
"""Bound of the alerts of a day, from which the present cases of cards are known again."""
FIRST = 5
"""So many of the first records that a log keeps say when it begins."""
TELL_EVERY_S = 10.0


class LastDecided(NamedTuple):
    """When the last transactions that were decided came, by their Kafka timestamps; neither is after now.

    Attributes:
        most_ms: as most of them say: from here a horizon is counted back.
        newest_ms: of the newest of them.
    """

    most_ms: int
    newest_ms: int


class Horizon:
    """How far back a partition's state begins again where it was lost: asked of the topics alone."""

    def __init__(self, log: Log, outputs: Outputs, topics: Topics, clock: Clock) -> None:
        self._log = log
        self._outputs = outputs
        self._topics = topics
        self._clock = clock

    async def cursor(self, number: int, bounds: Mapping[Place, Bounds], ids: Mapping[str, str], kept: Cursor) -> Cursor:
        """Where to begin again: so far before what was decided as any tile reaches; the outputs from where they tell the cases of the last day.

        Args:
            number: of the partition.
            bounds: of its topics.
            ids: of the topics that are read.
            kept: the cursor that is known; nothing in it where none is.
        """
        topics, log = self._topics, self._log
        transactions, labels = (topics.transactions, number), (topics.labels, number)
        starts = starts_of([(t, number) for t in topics.written], {}, bounds)
        surely = await self._outputs.surely_decided(starts, topics.ids_of_read(ids))
        committed = await log.committed([transactions, labels])
        latest = kept.position.or_later(kept.decided).or_later(surely).or_later(Position(committed[transactions], committed[labels]))
        decided = Position(min(bounds[transactions].end, latest.transactions), min(bounds[labels].end, latest.labels))
        last = await self.last_decided(transactions, decided.transactions)
        if last is None:
            outputs = {t: offset for (t, _), offset in starts.items()}
            return Cursor("", bounds[transactions].begin, bounds[labels].begin, outputs=outputs, decided=decided, noted_from_ms=0)
        since_ms = last.most_ms - REACH_S * 1000 - MOST_AHEAD_MS
        alerts = (topics.alerts, number)
        at = await log.from_time({transactions: since_ms, labels: since_ms, alerts: last.most_ms - DAY_S * 1000 - MOST_AHEAD_MS})
        starts |= {alerts: max(min(at[alerts], starts[alerts]), bounds[alerts].end - LOOK_BACK_ALERTS)}
        return Cursor(
            "",
            transactions=min(at[transactions], decided.transactions),
            labels=min(at[labels], decided.labels),
            outputs={t: offset for (t, _), offset in starts.items()},
            decided=decided,
            noted_from_ms=last.newest_ms,
            full_from_ms=await self._full_from(transactions, at[transactions], bounds[transactions].begin),
        )

    async def last_decided(self, transactions: Place, decided: int) -> LastDecided | None:
        """When the last transactions below an offset came; None where there is none. No record alone says it, nor the clock."""
        times_ms = await self._timestamps(transactions, decided - MOST, decided)
        if not times_ms and decided:
            times_ms = await self._timestamps(transactions, decided, decided + MOST)
        now_ms = self._clock.now_ms()
        return LastDecided(min(median(times_ms), now_ms), min(max(times_ms), now_ms)) if times_ms else None

    async def _timestamps(self, place: Place, start: int, end: int) -> Sequence[int]:
        return (await self._log.timestamps({place: (start, end)}))[place]

    async def _full_from(self, transactions: Place, start: int, first: int) -> int:
        """Event time from which all windows are full; 0 where the log was not cut within the horizon."""
        if not first or start > first:
            return 0
        oldest_ms = (await began_ms(self._log, {transactions: first}, self._clock.now_ms())).get(transactions)
        return (oldest_ms or self._clock.now_ms()) + HORIZON_S * 1000 + MOST_AHEAD_MS

    async def moved_until(self, partitions: int) -> int:
        """Event time from which every window lies in one partition again, where some were added within the horizon; else 0.

        A partition is rebuilt from itself alone, and a card that moved has its earlier payments in another.
        """
        topic = self._topics.transactions
        bounds, now_ms = await self._log.bounds([(topic, number) for number in range(partitions)]), self._clock.now_ms()
        first_ms = await began_ms(self._log, {p: of_log.begin for p, of_log in bounds.items()}, now_ms)
        youngest_ms = max((at for p, at in first_ms.items() if not bounds[p].begin), default=0)
        if not youngest_ms or youngest_ms - min(first_ms.values()) <= DAY_S * 1000:
            return 0
        logger.warning(
            "Topic {!r} was given partitions within the last {} days, so what cards paid in others before is missing in a rebuilt one. "
            "To have it at once, stop all workers and run `fraudstream repartition --to NEW_GROUP`.",
            topic,
            HORIZON_S // DAY_S,
        )
        return youngest_ms + HORIZON_S * 1000 + MOST_AHEAD_MS


def kept_anew(full_from_ms: int, kept: KeptEntities) -> str:
    """What state that is made from the topics keeps, as a cursor holds it: since ever, or since the topics' oldest payments where they were cut.

    Args:
        full_from_ms: event time from which every window of it is full; 0: always.
        kept: of which entities.
    """
    return kept_text(goes_on(NOTHING, kept_layouts(kept), max(0, full_from_ms - HORIZON_S * 1000)))


async def began_ms(log: Log, firsts: Mapping[Place, int], now_ms: int) -> Mapping[Place, int]:
    """Of each place, when the records from the first that is kept on came, as most of a few say whose time can be; without those that have none."""
    found = await log.timestamps({place: (first, first + FIRST) for place, first in firsts.items()})
    could_be = {place: [at for at in of if EARLIEST_EVENT_TIME_MS <= at <= now_ms + DAY_S * 1000] for place, of in found.items()}
    return {place: median(times_ms) for place, times_ms in could_be.items() if times_ms}


class RebuildProgress:
    """Follows the cursor of one partition until all that was decided before is counted again."""

    def __init__(self, number: int, cursor: Cursor, observer: Observer, now: Callable[[], float] = time.monotonic) -> None:
        self._number = number
        self._observer = observer
        self._now = now
        self._all = self._left = _left(cursor)
        self._began = self._told = now()
        observer.rebuild_begun()
        observer.rebuilding(number, self._left)

    @property
    def done(self) -> bool:
        """Whether nothing is left."""
        return not self._left

    def reached(self, cursor: Cursor) -> None:
        """The cursor stands there now."""
        self._left, now = _left(cursor), self._now()
        self._observer.rebuilding(self._number, self._left)
        if self.done:
            logger.info("Partition {}: rebuilt from {:,} records in {:.0f} s.", self._number, self._all, now - self._began)
        elif now >= self._told + TELL_EVERY_S:
            self._told = now
            share = 100 * (self._all - self._left) / self._all
            logger.info("Partition {}: rebuilding, {:.0f} %, {:,} records left.", self._number, share, self._left)


def _left(cursor: Cursor) -> int:
    return sum(max(0, decided - at) for decided, at in zip(cursor.decided, cursor.position, strict=True))
