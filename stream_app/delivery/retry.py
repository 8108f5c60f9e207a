"""Waiting for a server that is away: the same step again, for a bounded time. What is no record's fault is never dead-lettered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from loguru import logger

from stream_app.errors import NoAccess, Unavailable

RETRY_FOR_S = 60.0
"""How long a step waits for Kafka or Redis before the worker stops and leaves it to its supervisor."""
QUIET_S, REMIND_S = 5.0, 30.0
"""A step that is tried again for this long is told of, and again after that."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0


async def with_retries[T](step: Callable[[], Awaitable[T]], who: str, away: Callable[[], str | None], *, at_start: bool = False) -> T:
    """What the step returns, once its servers answer.

    Args:
        step: done again as a whole after Unavailable.
        who: waits, for the log.
        away: which server does not answer, where somebody else tells of it, or None.
        at_start: whether a login that is refused ends it at once. While a worker runs, a new password may be on its way.

    Raises:
        Unavailable: if a server stayed away, or refuses the login.
    """
    began, pause = time.monotonic(), _FIRST_PAUSE_S
    tell_at = began + QUIET_S
    while True:
        try:
            return await step()
        except Unavailable as error:
            if (now := time.monotonic()) > began + RETRY_FOR_S or (at_start and isinstance(error, NoAccess)):
                raise
            if now > tell_at and away() is None:
                logger.warning("{}: {} Trying again.", who, error)
                tell_at = now + REMIND_S
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)
