"""What waits in Kafka for the partitions that this worker holds: how much, and since when. Asked of Kafka itself, every few seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

from stream_app.delivery.partition import Partition
from stream_app.delivery.ports import Bounds, Log
from stream_app.delivery.topics import Topics
from stream_app.errors import Unavailable
from stream_app.messages.records import Place
from stream_app.scoring.observation import Backlog, Observer

EVERY_S = 5.0


class _Oldest(NamedTuple):
    """The first transaction from an offset on: its Kafka timestamp, None where there is none."""

    offset: int
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
        self._oldest: dict[int, _Oldest] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(EVERY_S)

    async def look(self) -> None:
        """Tell of each partition. While Kafka does not answer, what was known of it gets older."""
        places = [(topic, number) for number in self._held() for topic in self._topics.read]
        if not places:
            return
        with suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(EVERY_S):
                self._bounds = await self._log.bounds(places)
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
        transactions, labels = (
            self._waiting((topic, number), at) for topic, at in zip(self._topics.read, partition.cursor.position, strict=True)
        )
        oldest_ms = partition.oldest_ms
        if oldest_ms is None and transactions:
            oldest_ms = await self._oldest_in_kafka(number, partition.cursor.transactions)
        if self._held().get(number) is not partition:
            return
        age_s = 0.0 if oldest_ms is None else max(0.0, self._now() - oldest_ms / 1000)
        self._observer.waiting(Backlog(number, transactions, labels, age_s))

    def _waiting(self, place: Place, cursor: int) -> int:
        known = self._bounds.get(place)
        return 0 if known is None else max(0, known.end - max(known.begin, cursor))

    async def _oldest_in_kafka(self, number: int, offset: int) -> int | None:
        """Kafka timestamp of the first transaction from an offset on; asked once, as it does not change."""
        if number not in self._oldest or self._oldest[number].offset != offset:
            try:
                async with asyncio.timeout(EVERY_S):
                    self._oldest[number] = _Oldest(offset, await self._log.timestamp((self._topics.transactions, number), offset))
            except (Unavailable, TimeoutError):
                return None
        return self._oldest[number].timestamp_ms
