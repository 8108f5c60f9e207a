"""Servers that a worker or the API cannot do without: told once when one stops answering, every 30 s while it is away, once when it is back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from loguru import logger

from stream_app.errors import FraudstreamError, NoAccess, NoHost, Unavailable

LOOK_EVERY_S = 1.0
ANSWER_TIMEOUT_S = 5.0
REMIND_S = 30.0


class Watch:
    """Asks one server whether it answers. The libraries that talk to it log each of their attempts; this tells of it in their place."""

    def __init__(
        self,
        server: str,
        address: str,
        remedy: str,
        ask: Callable[[], Awaitable[object]],
        now: Callable[[], float] = time.monotonic,
        timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> None:
        """Watch a server.

        Args:
            server: its name.
            address: where it is, without passwords.
            remedy: what the operator can look at, a sentence.
            ask: returns when it answers, raises Unavailable where it does not.
            now: seconds of a clock that only goes forward.
            timeout_s: a server that takes longer over its answer is away.
        """
        self.server, self._address = server, address
        self._silent = f"{server} does not answer at {address}: waiting."
        self._remedy, self._line = remedy, ""
        self._ask = ask
        self._now = now
        self._timeout_s = timeout_s
        self._answered = False
        self._since: float | None = None
        self._told = 0.0

    def away(self) -> str | None:
        """One line while it is away, with the cause where that is known; else None."""
        return None if self._since is None else self._line

    def is_up(self) -> bool:
        """Whether it answered when it was last asked; true before it was asked."""
        return self._since is None

    def has_answered(self) -> bool:
        """Whether it was asked at all, and answered the last time."""
        return self._answered and self._since is None

    async def look(self) -> None:
        """Ask once; tell where that is news. Whatever asking ends with is no answer: a watch that ended would say for ever what it saw last."""
        try:
            await asyncio.wait_for(self._ask(), self._timeout_s)
        except (NoAccess, NoHost) as error:
            self._tell_away(f"{self.server} at {self._address} is not reached: waiting. {error}")
        except (Unavailable, TimeoutError):
            self._tell_away(f"{self._silent} {self._remedy}")
        except Exception as error:  # noqa: BLE001 - as the docstring says
            told = str(error) if isinstance(error, FraudstreamError) else f"Asking it failed: {type(error).__name__}: {error}."
            self._tell_away(f"{self._silent} {told}")
        else:
            if self._since is not None:
                logger.info("{} answers again at {}, after {:.0f} s", self.server, self._address, self._now() - self._since)
            self._since, self._answered = None, True

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    def _tell_away(self, line: str) -> None:
        now, self._line = self._now(), line
        if self._since is None:
            self._since = now
        elif now < self._told + REMIND_S:
            return
        self._told = now
        logger.warning("{}", self.away())
