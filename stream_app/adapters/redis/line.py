"""A connection to Redis of one's own, for commands that belong together: WATCH, what is read under it, EXEC."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from hiredis import pack_command
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisClusterException, RedisError

from stream_app.adapters.redis.refusals import redis_error
from stream_app.errors import Unavailable

ANSWER_WITHIN_S = 10.0
CONNECT_WITHIN_S = 5.0
_MOST_IDLE = 32
FAILURES = (RedisError, RedisClusterException, OSError)
"""What redis-py and the way to a server fail with."""

type Command = tuple[Any, ...]


class RedisLine:
    """Sends commands in one write and reads all answers; connects when first used, and again after a failure.

    The connection should have no socket timeout: it would be set anew for the write and for each answer, here one holds for all.
    """

    def __init__(self, connection: AbstractConnection) -> None:
        self._connection = connection
        self.closed = False

    async def round_trip(self, commands: Sequence[Command]) -> list[Any]:
        """The answers. A connection that failed half-way is closed: its WATCH goes with it.

        Raises:
            Unavailable, NoAccess, Refused: if Redis did not answer, or refused; see `redis_error`.
        """
        return (await exchange([(self, commands)]))[0]

    async def whole(self) -> None:
        """Raise Unavailable where keys are on their way to another server; here they never are."""

    async def send(self, commands: Sequence[Command]) -> None:
        """Send commands whose answers are read next."""
        if self.closed:
            raise Unavailable("The connection to Redis was given back; its partition is no longer held here.")
        await self._connection.send_packed_command(b"".join(map(pack_command, commands)))

    async def answers(self, count: int) -> list[Any]:
        """The next answers."""
        return [await self._connection.read_response(timeout=math.inf) for _ in range(count)]

    async def drop(self) -> None:
        """Disconnect, which ends a WATCH and throws away what was not read."""
        await self._connection.disconnect(nowait=True)  # nobody waits for a server that does not answer

    async def drop_if_lost(self) -> None:
        """Where the server ended the connection meanwhile: the next command connects again."""
        with suppress(*FAILURES):  # redis-py has disconnected it then
            if self._connection.is_connected and await self._connection.can_read():
                await self.drop()

    async def close(self) -> None:
        """Disconnect for good."""
        self.closed = True
        await self.drop()


class IdleLines:
    """Lines of nobody, each taken for one exchange: what redis-py's own pool does for a command costs more than the command."""

    def __init__(self, connection: Callable[[], AbstractConnection], answer_within_s: float) -> None:
        """Args: `connection` makes one without a socket timeout, see `RedisLine`."""
        self._connection = connection
        self._answer_within_s = answer_within_s
        self._idle: list[RedisLine] = []
        self._closed = False

    async def round_trip(self, commands: Sequence[Command]) -> list[Any]:
        """See `RedisLine.round_trip`."""
        line = self._idle.pop() if self._idle else RedisLine(self._connection())
        await line.drop_if_lost()
        (answers,) = await exchange([(line, commands)], self._answer_within_s)
        if self._closed or len(self._idle) >= _MOST_IDLE:
            await line.close()
        else:
            self._idle.append(line)
        return answers

    async def close(self) -> None:
        """Let go of all."""
        self._closed = True
        while self._idle:
            await self._idle.pop().close()


async def exchange(parts: Sequence[tuple[RedisLine, Sequence[Command]]], answer_within_s: float = ANSWER_WITHIN_S) -> list[list[Any]]:
    """The answers of each line to its commands. All is sent before the first answer is read: one round trip, to however many servers.

    Raises:
        Unavailable, NoAccess, Refused: if a server did not answer, or refused; see `redis_error`. All of these lines are disconnected then.
    """
    try:
        async with asyncio.timeout(answer_within_s):
            for line, commands in parts:
                await line.send(commands)
            return [await line.answers(len(commands)) for line, commands in parts]
    except BaseException as error:  # cancelled between command and answer, too: the next answer would be the wrong one
        for line, _ in parts:
            await line.drop()
        if isinstance(error, FAILURES):
            raise redis_error(error) from None
        raise
