"""What waits in Kafka for the partitions that this worker holds: how much, and since when. Asked of Kafka itself, every few seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

from stream_app.delivery.open_transactions import OpenTransactionLog
from stream_app.delivery.partition import Partition, Undecided
from stream_app.delivery.ports import Bounds, Log, OpenTransaction
from stream_app.delivery.topics import Topics
from stream_app.errors import Unavailable
from stream_app.messages.records import Place
from stream_app.scoring.observation import Backlog, Observer

EVERY_S = 5.0


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
        self._open_log = OpenTransactionLog(now)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(EVERY_S)

    async def look(self) -> None:
        """Tell of each partition. While Kafka does not answer, what was known of it gets older."""
        undecided = {
            (topic, number): partition.undecided(topic) for number, partition in self._held().items() for topic in self._topics.read
        }
        if not undecided:
            return
        with suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(EVERY_S):
                self._bounds = await self._log.bounds(undecided)
                self._open = await self._open_transactions(undecided)
        self._open_log.tell(self._open)
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
        (transactions, since_ms), (labels, _) = [
            await self._waiting((topic, number), partition.undecided(topic)) for topic in self._topics.read
        ]
        oldest_ms = since_ms if partition.oldest_ms is None else partition.oldest_ms
        if self._held().get(number) is not partition:
            return
        age_s = 0.0 if oldest_ms is None else max(0.0, self._now() - oldest_ms / 1000)
        self._observer.waiting(Backlog(number, transactions, labels, age_s))

    def _offsets_left(self, place: Place, first: int) -> int:
        known = self._bounds.get(place)
        return 0 if known is None else max(0, known.end - max(known.begin, first))

    async def _waiting(self, place: Place, undecided: Undecided) -> tuple[int, int | None]:
        """How many records wait, and since when, Unix ms, where none of them was fetched and Kafka says it.

        Marks of transactions do not wait, nor do aborted ones: where only such follow, it is none.
        """
        left = self._offsets_left(place, undecided.first)
        if not left or undecided.fetched:
            return left, None
        try:
            async with asyncio.timeout(EVERY_S):
                since_ms = await self._oldest_in_kafka(place, undecided.first)
        except (Unavailable, TimeoutError):
            return left, None
        if since_ms is None and place in self._open:
            since_ms = self._open[place].since_ms
        return 0 if since_ms is None else left, since_ms

    async def _oldest_in_kafka(self, place: Place, offset: int) -> int | None:
        """Kafka timestamp of the first record from an offset on; asked once, as it does not change where there is one."""
        known, end = self._oldest.get(place), self._bounds[place].end
        if known is None or known.offset != offset or (known.timestamp_ms is None and (known.end != end or place in self._open)):
            self._oldest[place] = known = _Oldest(offset, end, await self._log.timestamp(place, offset))
        return known.timestamp_ms

    async def _open_transactions(self, undecided: Mapping[Place, Undecided]) -> Mapping[Place, OpenTransaction]:
        """Those behind which something waits: where all is read none is open, and where records were fetched it is not what they wait for."""
        behind = [place for place, of in undecided.items() if not of.fetched and self._offsets_left(place, of.first)]
        return await self._log.open_transactions(behind) if behind else {}
