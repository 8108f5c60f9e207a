"""What waits in Kafka for the partitions that this worker holds: how much, and since when. Asked of Kafka itself, every few seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from stream_app.delivery.partition import Partition
from stream_app.delivery.ports import Log
from stream_app.delivery.takeover import Topics
from stream_app.errors import Unavailable
from stream_app.messages.records import Place
from stream_app.scoring.observation import Backlog, Observer

EVERY_S = 5.0


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
        self._ends: Mapping[Place, tuple[int, int]] = {}
        self._asked: dict[int, tuple[int, int | None]] = {}

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
                self._ends = await self._log.bounds(places)
        for number, partition in self._held().items():
            await self._tell(number, partition)

    async def _tell(self, number: int, partition: Partition) -> None:
        transactions, labels = (self._waiting((topic, number), at) for topic, at in self._stand(partition))
        oldest_ms = partition.oldest_ms
        if oldest_ms is None and transactions:
            oldest_ms = await self._oldest_in_kafka(number, partition.cursor.transactions)
        if self._held().get(number) is not partition:
            return
        age_s = 0.0 if oldest_ms is None else max(0.0, self._now() - oldest_ms / 1000)
        self._observer.waiting(Backlog(number, transactions, labels, age_s))

    def _stand(self, partition: Partition) -> tuple[tuple[str, int], tuple[str, int]]:
        return (self._topics.transactions, partition.cursor.transactions), (self._topics.labels, partition.cursor.labels)

    def _waiting(self, place: Place, cursor: int) -> int:
        begin, end = self._ends.get(place, (0, 0))
        return max(0, end - max(begin, cursor))

    async def _oldest_in_kafka(self, number: int, offset: int) -> int | None:
        """Kafka timestamp of the first transaction from an offset on; asked once, as it does not change."""
        if number not in self._asked or self._asked[number][0] != offset:
            try:
                async with asyncio.timeout(EVERY_S):
                    self._asked[number] = (offset, await self._log.timestamp((self._topics.transactions, number), offset))
            except (Unavailable, TimeoutError):
                return None
        return self._asked[number][1]
