"""A guard: one line that watches the cursors of several partitions, from the time they are read until they are written together.

EXEC drops every WATCH of its connection, and writes all or nothing. So:

1. The writes of a round wait for one another, for `LATE_S` from the first on; then those that are there go in one transaction.
2. Who comes later, or whose round was not written, is told so and goes on alone: the guard is gone.
3. Who leaves (its publication failed, it was revoked) is not waited for.

    partition 0    read ··· publish ··· write ·························· written
    partition 1    read ··· publish ············ late ···················· alone
    partition 2    read ··· publish ······· write ······················· written
                                        |<-- LATE_S -->| MULTI 0, 2 EXEC
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from redis.exceptions import RedisError

from stream_app.adapters.redis.line import Command
from stream_app.adapters.redis.refusals import redis_error
from stream_app.adapters.redis.servers import Line

LATE_S = 0.02
"""Longer than publications of one broker differ by."""


@dataclass(frozen=True, slots=True)
class GuardedWrite:
    """What one partition writes: keys and values in turn, its cursor first, and commands beside."""

    partition: int
    pairs: Sequence[str | bytes]
    beside: Sequence[Command]


def in_transaction(writes: Sequence[GuardedWrite]) -> list[Command]:
    """All of it, or nothing."""
    pairs = chain.from_iterable(write.pairs for write in writes)
    return [("MULTI",), ("MSET", *pairs), *chain.from_iterable(write.beside for write in writes), ("EXEC",)]


class Guard:
    """See above; used once."""

    def __init__(self, line: Line, partitions: Sequence[int], give_back: Callable[[Line], None]) -> None:
        """Guard these partitions over a line, and give it back."""
        self._line = line
        self._awaited = set(partitions)
        self._give_back = give_back
        self._writes: list[GuardedWrite] = []
        self._written: asyncio.Future[bool] | None = None
        self._late: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None
        self._over = False

    async def read(self, commands: Sequence[Command]) -> list[Any]:
        """The answers to commands, which watch the cursors; what was watched over this line before no longer counts.

        Raises:
            Unavailable, NoAccess, Refused: see `RedisLine.round_trip`.
        """
        return (await self._line.round_trip([("UNWATCH",), *commands]))[1:]

    async def write(self, write: GuardedWrite) -> bool:
        """Write together with the others of the round: whether it is written. If not, nothing of it is there.

        Raises:
            Unavailable, NoAccess, Refused: if Redis did not answer, or refused; it may be written or not.
        """
        if self._over or write.partition not in self._awaited:
            return False
        self._awaited.discard(write.partition)
        self._writes.append(write)
        if self._written is None:
            loop = asyncio.get_running_loop()
            self._written, self._late = loop.create_future(), loop.call_later(LATE_S, self._end)
        if not self._awaited:
            self._end()
        return await asyncio.shield(self._written)

    def leave(self, partition: int) -> None:
        """Nobody waits for this partition any more."""
        self._awaited.discard(partition)
        if not self._awaited:
            self._end()

    def give_up(self) -> None:
        """Nothing will be written under this guard."""
        self._awaited.clear()
        self._end()

    def _end(self) -> None:
        """Write what is there."""
        if self._over:
            return
        self._over = True
        if self._late is not None:
            self._late.cancel()
        if self._written is None:
            self._give_back(self._line)
            return
        self._writing = asyncio.create_task(self._write(self._written))

    async def _write(self, written: asyncio.Future[bool]) -> None:
        try:
            *_, executed = await self._line.round_trip(in_transaction(self._writes))
        except Exception as error:  # noqa: BLE001 - each partition of the round gets it
            _failed(written, error)
        else:
            refused = next((answer for answer in executed or () if isinstance(answer, RedisError)), None)
            if refused is None:
                written.set_result(executed is not None)
            else:  # an error of a command within EXEC comes as a value
                _failed(written, redis_error(refused))
        finally:
            self._give_back(self._line)


def _failed(written: asyncio.Future[bool], error: Exception) -> None:
    written.set_exception(error)
    written.exception()  # nobody may be there to take it: all of them cancelled
