"""A connection to Redis of one's own, for commands that belong together: WATCH, what is read under it, EXEC."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any

from hiredis import pack_command
from redis.asyncio import Redis
from redis.asyncio.connection import Connection
from redis.exceptions import RedisError

from stream_app.errors import Unavailable

ANSWER_WITHIN_S = 10.0
CONNECT_WITHIN_S = 5.0


class RedisLine:
    """Sends commands in one write and reads all answers; connects again after a failure.

    The client should have no socket timeout: it would be set anew for the write and for each answer, here one holds for all.
    """

    def __init__(self, redis: Redis, connection: Connection) -> None:
        self._redis = redis
        self._connection: Connection | None = connection

    @classmethod
    async def open(cls, redis: Redis) -> RedisLine:
        """Take a connection out of the pool."""
        async with asyncio.timeout(CONNECT_WITHIN_S):
            return cls(redis, await redis.connection_pool.get_connection())  # type: ignore[no-untyped-call]

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._connection is None

    async def round_trip(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """The answers. A connection that failed half-way is closed: its WATCH goes with it.

        Raises:
            Unavailable: if Redis did not answer, or refused a command.
        """
        connection = self._connection
        if connection is None:
            raise Unavailable("The connection to Redis was given back; its partition is no longer held here.")
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                await connection.send_packed_command(b"".join(map(pack_command, commands)))
                return [await connection.read_response(timeout=math.inf) for _ in commands]
        except (RedisError, OSError) as error:
            await connection.disconnect()
            raise unavailable(error) from None
        except BaseException:
            await connection.disconnect()  # cancelled between command and answer: the next answer would be the wrong one
            raise

    async def close(self) -> None:
        """Give the connection back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect()
            await self._redis.connection_pool.release(connection)


def unavailable(error: Exception) -> Unavailable:
    """What to tell the operator of an error of Redis or of the way to it."""
    return Unavailable(f"Redis did not answer ({type(error).__name__}: {error}). Check FRAUDSTREAM_REDIS_URL and the server.")
