"""What a connection may take beside its requests: a place among so many, and so long for a head. Around uvicorn's own protocol.

Bodies and answers are bounded by `limits.py`, which begins with the head complete. By itself uvicorn closes a connection that idles after an
answer, and no other: one that says nothing, or half a head, would stay for ever, and one that takes no answer too.

1. While a connection is owed no answer it has a deadline: `MOVES_WITHIN_S` for a head that is begun, or a first one; uvicorn's keep-alive for
   what idles. What drips does not move it.
2. A caller takes what is sent within `MOVES_WITHIN_S` of our having to wait for it.
3. There are `MOST_CONNECTIONS`. One more has that closed which is owed no answer for longest: who comes, a probe too, gets in.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_CONNECTIONS = 512
"""Well under the 1,024 files that a process may have open by default."""
MOVES_WITHIN_S = 10.0


class Connection(HttpToolsProtocol):
    """A connection of a caller, closed where it keeps the API waiting."""

    waits_since = 0.0
    _has_begun = False
    _deadline: asyncio.TimerHandle | None = None
    _unsent: asyncio.TimerHandle | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether it is owed no answer: no head is complete that is not answered."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        self._begin()
        if len(self.connections) > MOST_CONNECTIONS:
            longest = min(_waiting(self.connections), key=lambda connection: connection.waits_since)
            self.connections.discard(longest)
            longest.transport.abort()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        super().data_received(data)
        if not self.is_waiting:
            self._has_begun = False
            _cancel(self._deadline)
        elif not self._has_begun:
            self._begin()

    def on_response_complete(self) -> None:
        """See `HttpToolsProtocol`."""
        super().on_response_complete()
        if self.is_waiting:
            self._wait(self.timeout_keep_alive)

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        super().pause_writing()
        self._unsent = self.loop.call_later(MOVES_WITHIN_S, self.transport.abort)

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        super().resume_writing()
        _cancel(self._unsent)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        super().connection_lost(exc)
        _cancel(self._deadline)
        _cancel(self._unsent)

    def _begin(self) -> None:
        self._has_begun = True
        self._wait(MOVES_WITHIN_S)

    def _wait(self, most_s: float) -> None:
        _cancel(self._deadline)
        self.waits_since = time.monotonic()
        self._deadline = self.loop.call_later(most_s, self.transport.abort)


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()


def _waiting(connections: Iterable[object]) -> list[Connection]:
    return [c for c in connections if isinstance(c, Connection) and c.is_waiting]
