"""A line to Redis does not wait for ever."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from stream_app.adapters.redis import line as redis_line
from stream_app.adapters.redis.line import RedisLine
from stream_app.errors import Unavailable


class Silent:
    """A connection over which nothing comes back."""

    closed = False

    async def send_packed_command(self, _command: bytes) -> None:
        """Gone."""

    async def read_response(self, **_: Any) -> Any:
        """Never."""
        await asyncio.Event().wait()

    async def disconnect(self, **_: Any) -> None:
        """Its WATCH goes with it."""
        self.closed = True


def test_a_redis_that_does_not_answer_is_unavailable_and_its_connection_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the deadline of the whole round trip; an answer that comes later would be taken for that of the next command."""
    monkeypatch.setattr(redis_line, "ANSWER_WITHIN_S", 0.01)
    connection: Any = Silent()
    line = RedisLine(connection)

    async def ask() -> None:
        async with asyncio.timeout(30):
            await line.round_trip([("WATCH", "cursor"), ("MGET", "cursor")])

    with pytest.raises(Unavailable, match="FRAUDSTREAM_REDIS_URL"):
        asyncio.run(ask())
    assert connection.closed
