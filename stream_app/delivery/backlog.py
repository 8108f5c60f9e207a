"""What waits in Kafka for the partitions that this worker holds: how much, and since when. Asked of Kafka itself, every few seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple

from loguru import logger

from stream_app.delivery.partition import Partition
from stream_app.delivery.ports import Bounds, Log, OpenTransaction
from stream_app.delivery.topics import Topics
from stream_app.errors import Unavailable
from stream_app.messages.records import Place
from stream_app.scoring.observation import Backlog, Observer

EVERY_S = 5.0
OPEN_FOR_S = 10.0
"""Transactions of a usual length are nobody's matter."""
REMIND_S = 60.0


class _Oldest(NamedTuple):
    """The first record from an offset on, of a log that ends at another: its Kafka timestamp, None where there is none."""

    offset: int
    end: int
    timestamp_ms: int | None


class BacklogWatch:
    """Tells the backlog of each partition that is held, also while there is no model and nothing is fetched."""

    def __init__(
        self,
        held: Callable[[], Mapping[int, Partition]],
        log: Log,
        topics: Topics,
        observer: Observer,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Watch a worker.

        Args:
            held: the partitions that it holds, by number.
            log: where they end.
            topics: names of the topics.
            observer: told of each.
            now: Unix time, s.
        """
        self._held = held
        self._log = log
        self._topics = topics
        self._observer = observer
        self._now = now
        self._bounds: Mapping[Place, Bounds] = {}
        self._oldest: dict[Place, _Oldest] = {}
        self._open: Mapping[Place, OpenTransaction] = {}
        self._told: dict[Place, float] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(EVERY_S)

    async def look(self) -> None:
        """Tell of each partition. While Kafka does not answer, what was known of it gets older."""
        cursors = {
            (topic, number): offset
            for number, partition in self._held().items()
            for topic, offset in zip(self._topics.read, partition.cursor.position, strict=True)
        }
        if not cursors:
            return
        with suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(EVERY_S):
                self._bounds = await self._log.bounds(cursors)
                self._open = await self._open_transactions(cursors)
        self._tell_of_open()
        for number, partition in self._held().items():
            await self._tell(number, partition)

    async def undecided(self) -> int:
        """Transactions that wait, asked of Kafka now; where only marks of transactions follow, which are no records, none does.

        Raises:
            Unavailable: if Kafka does not answer.
        """
        cursors = {(self._topics.transactions, number): partition.cursor.transactions for number, partition in self._held().items()}
        bounds = await self._log.bounds(cursors)
        behind = {place: max(at, bounds[place].begin) for place, at in cursors.items() if at < bounds[place].end}
        return sum([bounds[place].end - at for place, at in behind.items() if await self._log.timestamp(place, at) is not None])

    async def _tell(self, number: int, partition: Partition) -> None:
        place = (self._topics.transactions, number)
        (transactions, first_ms), (labels, _) = [
            await self._records_waiting((topic, number), at) for topic, at in zip(self._topics.read, partition.cursor.position, strict=True)
        ]
        oldest_ms = partition.oldest_ms
        if oldest_ms is None:
            oldest_ms = self._open[place].since_ms if first_ms is None and transactions and place in self._open else first_ms
        if self._held().get(number) is not partition:
            return
        age_s = 0.0 if oldest_ms is None else max(0.0, self._now() - oldest_ms / 1000)
        self._observer.waiting(Backlog(number, transactions, labels, age_s))

    def _waiting(self, place: Place, cursor: int) -> int:
        known = self._bounds.get(place)
        return 0 if known is None else max(0, known.end - max(known.begin, cursor))

    async def _records_waiting(self, place: Place, cursor: int) -> tuple[int, int | None]:
        """How many wait, and Kafka's timestamp of the first, None where it is not known. Marks of transactions, and aborted ones, do not."""
        if not (waiting := self._waiting(place, cursor)):
            return 0, None
        try:
            async with asyncio.timeout(EVERY_S):
                oldest_ms = await self._oldest_in_kafka(place, cursor)
        except (Unavailable, TimeoutError):
            return waiting, None
        return 0 if oldest_ms is None and place not in self._open else waiting, oldest_ms

    async def _oldest_in_kafka(self, place: Place, offset: int) -> int | None:
        """Kafka timestamp of the first record from an offset on; asked once, as it does not change where there is one."""
        known, end = self._oldest.get(place), self._bounds[place].end
        if known is None or known.offset != offset or (known.timestamp_ms is None and (known.end != end or place in self._open)):
            self._oldest[place] = known = _Oldest(offset, end, await self._log.timestamp(place, offset))
        return known.timestamp_ms

    async def _open_transactions(self, cursors: Mapping[Place, int]) -> Mapping[Place, OpenTransaction]:
        """Those before which a cursor waits; where all is read none is open."""
        behind = [place for place, at in cursors.items() if self._waiting(place, at)]
        return await self._log.open_transactions(behind) if behind else {}

    def _tell_of_open(self) -> None:
        """Of each that has been open for a while, once and again."""
        for place, found in self._open.items():
            now = self._now()
            if now - found.since_ms / 1000 > OPEN_FOR_S and now - self._told.get(place, 0.0) >= REMIND_S:
                self._told[place] = now
                logger.warning("{}", open_for_long(place, found))


def open_for_long(place: Place, found: OpenTransaction) -> str:
    """What an open transaction stops, and how to end it."""
    topic, number = place
    since = datetime.fromtimestamp(found.since_ms / 1000, UTC).isoformat(timespec="seconds")
    return (
        f"Topic {topic!r}, partition {number}: a producer's transaction is open since {since}, from offset {found.offset} on. What came after "
        "it waits until its producer ends it, or the broker does after the producer's transaction.timeout.ms. Where it hangs for longer: "
        f"kafka-transactions.sh --bootstrap-server SERVERS find-hanging --topic {topic}, then "
        f"kafka-transactions.sh --bootstrap-server SERVERS abort --topic {topic} --partition {number} --start-offset {found.offset}"
    )
