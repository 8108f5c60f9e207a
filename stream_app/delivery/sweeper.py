"""Removes cards and terminals that have been idle for so long that they contribute nothing: Redis' MSET carries no expiry."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence

from stream_app.errors import Unavailable
from stream_app.features.aggregations import DAY_S, HORIZON_S
from stream_app.messages.majority import Majority
from stream_app.scoring.observation import Observer

LATEST_LABEL_S = 90 * DAY_S
IDLE_MS = (HORIZON_S + LATEST_LABEL_S) * 1000
"""Idle for so long, nothing of a card or terminal is in a window of a payment that comes up to 90 days late, and no label within 90 days of
its transaction misses the label before it. What comes later than that finds a new card."""
EVERY_S = 1.0


class Sweeper:
    """Sweeps a little of one partition, once a second at most, between two micro-batches: so its task stays the only writer.

    What is idle is told by the event time of most of the last payments, and by the clock where that is earlier: no payment dated ahead,
    nor any minority of them, and no clock alone removes what is in use.
    """

    def __init__(
        self,
        sweep: Callable[[int], Awaitable[int]],
        observer: Observer,
        clock_ms: Callable[[], int],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Sweep a partition.

        Args:
            sweep: removes what is idle since an event time.
            observer: told how much.
            clock_ms: the time of day, Unix ms.
            now: seconds of a clock that only goes forward.
        """
        self._sweep = sweep
        self._observer = observer
        self._clock_ms = clock_ms
        self._now = now
        self._due = now() + EVERY_S
        self._times_ms = Majority()

    async def after(self, times_ms: Sequence[int]) -> None:
        """A micro-batch is done, and these are event times of its payments.

        Raises:
            NotOwner: if the partition is another's; nothing was removed.
            StateError: if a value cannot be read.
        """
        self._times_ms.add(times_ms)
        now = self._now()
        if now < self._due or (reached_ms := self._times_ms.says) is None:
            return
        self._due = now + EVERY_S
        try:
            self._observer.counted("swept", await self._sweep(min(reached_ms, self._clock_ms()) - IDLE_MS))
        except Unavailable:  # the next batch needs the store too, and waits for it
            return
