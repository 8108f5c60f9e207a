"""Servers that a worker or the API cannot do without: told once when one stops answering, every 30 s while it is away, once when it is back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from loguru import logger

from stream_app.errors import Unavailable

LOOK_EVERY_S = 1.0
PATIENCE_S = 5.0
"""A server that takes longer over its answer is away."""
REMIND_S = 30.0


class Watch:
    """Asks one server whether it answers. The libraries that talk to it log each of their attempts; this tells of it in their place."""

    def __init__(
        self, server: tuple[str, str], remedy: str, ask: Callable[[], Awaitable[object]], now: Callable[[], float] = time.monotonic
    ) -> None:
        """Watch a server.

        Args:
            server: its name and its address, without passwords.
            remedy: what the operator can look at, a sentence.
            ask: returns when it answers, raises Unavailable where it does not.
            now: seconds of a clock that only goes forward.
        """
        self.server, self._address = server
        self._remedy = remedy
        self._ask = ask
        self._now = now
        self._since: float | None = None
        self._told = 0.0

    def away(self) -> str | None:
        """One line while it does not answer, else None."""
        return None if self._since is None else f"{self.server} does not answer at {self._address}: waiting. {self._remedy}"

    def is_up(self) -> bool:
        """Whether it answered when it was last asked."""
        return self._since is None

    async def look(self) -> None:
        """Ask once; tell where that is news."""
        try:
            await asyncio.wait_for(self._ask(), PATIENCE_S)
        except (Unavailable, TimeoutError):
            self._tell_away(self._now())
        else:
            if self._since is not None:
                logger.info("{} answers again at {}, after {:.0f} s", self.server, self._address, self._now() - self._since)
            self._since = None

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    def _tell_away(self, now: float) -> None:
        if self._since is None:
            self._since = now
        elif now < self._told + REMIND_S:
            return
        self._told = now
        logger.warning("{}", self.away())
