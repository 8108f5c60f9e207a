"""Removes cards and terminals that have been idle for so long that they contribute nothing: Redis' MSET carries no expiry."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from stream_app.errors import Unavailable
from stream_app.features.aggregations import DAY_S, HORIZON_S
from stream_app.observation import Observer

LATEST_LABEL_S = 90 * DAY_S
IDLE_MS = (HORIZON_S + LATEST_LABEL_S) * 1000
"""Idle for so long, nothing of a card or terminal is in a window of a payment that comes up to 90 days late, and no label within 90 days of
its transaction misses the label before it. What comes later than that finds a new card."""
EVERY_S = 1.0


class Sweeper:
    """Sweeps a little of one partition, once a second at most, between two micro-batches: so its task stays the only writer."""

    def __init__(self, sweep: Callable[[int], Awaitable[int]], observer: Observer, now: Callable[[], float] = time.monotonic) -> None:
        self._sweep = sweep
        self._observer = observer
        self._now = now
        self._due = now() + EVERY_S

    async def after(self, newest_ms: int) -> None:
        """A micro-batch is done, and this is the newest event time of the partition.

        Raises:
            NotOwner: if the partition is another's; nothing was removed.
            StateError: if a value cannot be read.
        """
        now = self._now()
        if now < self._due:
            return
        self._due = now + EVERY_S
        try:
            self._observer.counted("swept", await self._sweep(newest_ms - IDLE_MS))
        except Unavailable:  # the next batch needs the store too, and waits for it
            return
