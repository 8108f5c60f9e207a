"""Ends a worker that makes no progress though records wait and nobody says why: its supervisor starts it anew, from the cursor.

A thread of its own looks, because a loop that hangs cannot see that it hangs.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable

from loguru import logger

from stream_app.errors import NoProgress, Unavailable

EXIT_CODE = NoProgress.exit_code
PROGRESS_TIMEOUT_S = 120.0
"""Longer than any wait of a step for its server."""
_LOOK_EVERY_S = 1.0
_ASK_KAFKA_AFTER_S = 30.0


def end_within(seconds: float, exit_code: Callable[[], int], end: Callable[[int], object] = os._exit) -> None:
    """End the process after so many seconds, whatever still waits: it may be killed at any time, so it may also end itself."""

    def over() -> None:
        logger.warning(
            "Not stopped after {:.0f} s, as where Kafka is away: the worker ends without waiting. Nothing is lost by it.", seconds
        )
        end(exit_code())

    timer = threading.Timer(seconds, over)
    timer.daemon = True
    timer.start()


class Watchdog:
    """Is fed while there is progress, nothing to do, or a declared wait."""

    def __init__(
        self,
        progress: Callable[[], int],
        behind: Callable[[], Awaitable[int]],
        waits: Callable[[], bool],
        end: Callable[[int], object] = os._exit,
    ) -> None:
        """Watch a worker.

        Args:
            progress: a number that changes with each batch, and with each step of a takeover.
            behind: records that wait in Kafka for this worker, asked of Kafka itself; asked when nothing was done for a while.
            waits: whether the worker waits for something and says so.
            end: ends the process.
        """
        self._progress = progress
        self._behind = behind
        self._waits = waits
        self._end = end
        self._hungry = 0
        self._stopped = threading.Event()

    async def run(self) -> None:
        """Watch until cancelled."""
        threading.Thread(target=self.watch, name="watchdog", daemon=True).start()
        try:
            seen, since = self._progress(), time.monotonic()
            while True:
                await asyncio.sleep(_LOOK_EVERY_S)
                now = self._progress()
                if now != seen or self._waits():
                    seen, since = now, time.monotonic()
                    self.feed()
                elif time.monotonic() - since > _ASK_KAFKA_AFTER_S and not await self._records_wait():
                    since = time.monotonic()
                    self.feed()
        finally:
            self._stopped.set()

    async def _records_wait(self) -> bool:
        try:
            return await self._behind() > 0
        except Unavailable:
            return True

    def feed(self) -> None:
        """All is well now."""
        self._hungry = 0

    def watch(self, every_s: float = _LOOK_EVERY_S) -> None:
        """Count the looks since the last feeding, not the time: a process that was stopped and goes on has not hung."""
        while not self._stopped.wait(every_s):
            self._hungry += 1
            if self._hungry * _LOOK_EVERY_S > PROGRESS_TIMEOUT_S:
                logger.error(
                    "No progress for {:.0f} s though records wait, and no server is known to be away. The worker ends with exit code {}; "
                    "its supervisor starts it anew, from the cursor. Report this with the log above.",
                    PROGRESS_TIMEOUT_S,
                    EXIT_CODE,
                )
                self._end(EXIT_CODE)
                return
