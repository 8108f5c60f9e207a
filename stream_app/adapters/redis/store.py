"""The feature store in Redis: everything a partition writes lives under one hash tag and is written with its cursor.

    {g:p}c:<card_id>      a card
    {g:p}t:<terminal_id>  this partition's part of a terminal
    {g:p}d:<device_id>    this partition's part of a device
    {g:p}m:<merchant_id>  of a merchant, where they are kept; `mc:` of a merchant category, `co:` of a country, `i:` of an IP network
    {g:p}cursor           owner and next offsets
    {g:p}n:<day>          notes on that day's alerts and labels (a hash that expires), see `outcomes`
    {g:p}damaged          set by a reader that met a damaged part: the owner rebuilds, see `damage_mark`

g is the consumer group, p the partition. Two round trips a round: read under WATCH of the cursors, write under EXEC. Rules:

1. What a partition writes is written with its cursor in one transaction: all or nothing.
2. A takeover, or a beginning anew, writes a fresh owner into the cursor. Who finds another cursor than it wrote last has lost the partition:
   it reads and writes no more.
3. A WATCH stands from the look at the cursor to EXEC. Where it fell, by EXEC or with the connection, the cursor is looked at again before
   anything is written.
4. A write whose answer was lost is done once: not again where the cursor is that of the write, again where it is that of before.
5. The cursor of another worker's partition comes in one command with the parts: it says exactly what they contain.
6. A takeover forgets sums before and after: other partitions go on meanwhile, and read parts that the owner before still writes.
7. What a later version wrote is not damaged: nobody is told to rebuild it, nothing is written over it, sweeping passes over it. Decisions
   that need it are degraded.
8. Partitions of one round are read and written together, where all lie in one Redis; their cursors fall or stand together then (`guard`). Where
   one fell, nothing of the round is written: each partition looks at its own, over a line of its own, and goes on by rules 3 and 4.

    owner before                               writes t, cursor
    takeover        forget · WATCH, cursor ···················· EXEC fails · WATCH, cursor · EXEC · forget
    partition 0                     reads t
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from stream_app.adapters.redis.damage_mark import fresh_token
from stream_app.adapters.redis.guard import Guard
from stream_app.adapters.redis.line import ANSWER_WITHIN_S, CONNECT_WITHIN_S
from stream_app.adapters.redis.namespace import Namespace
from stream_app.adapters.redis.partition_state import RedisPartition
from stream_app.adapters.redis.round_reading import RoundReading
from stream_app.adapters.redis.servers import Line, RedisServers
from stream_app.adapters.redis.stored_cursor import decoded_cursor, read_cursor
from stream_app.adapters.redis.write_through import WorkerMemory
from stream_app.delivery.ports import Packed, PartitionState, StateRequest
from stream_app.errors import SettingsError
from stream_app.features.entities import KEPT_BY_DEFAULT, KeptEntities
from stream_app.scoring.ports import WorkingSet
from stream_app.scoring.positions import Cursor


class RedisStore:
    """State of a consumer group in one Redis or one Redis Cluster. `entities`: see `ports.FeatureStore`."""

    def __init__(self, url: str, group: str, entities: KeptEntities = KEPT_BY_DEFAULT) -> None:
        self.entities = entities
        self._servers = RedisServers(url, ANSWER_WITHIN_S, CONNECT_WITHIN_S)
        self._group = group
        self._held: dict[int, RedisPartition] = {}
        self._memory = WorkerMemory(entities)
        self._partitions = 0
        self._lines: list[Line] = []

    def hold(self, owned: Collection[int], partitions: int) -> None:
        """See `ports.FeatureStore`."""
        self._memory.hold(owned)
        self._partitions = partitions

    async def take_over(self, partition: int) -> tuple[PartitionState, Cursor]:
        """See `ports.FeatureStore`, and rules 2 and 6."""
        space = Namespace(self._group, partition, self._partitions)
        for number in self._held.keys() - set(self._memory.owned) | self._held.keys() & {partition}:
            await self._held.pop(number).let_go()
        self._memory.forget(partition)  # rule 6
        line = await self._servers.line(space.own)
        try:
            cursor = await self._take_cursor(line, space)
        except BaseException:
            await line.close()
            raise
        self._memory.forget(partition)  # rule 6, again
        self._held[partition] = RedisPartition(line, space, self._memory, cursor)
        return self._held[partition], cursor

    async def _take_cursor(self, line: Line, space: Namespace) -> Cursor:
        """The cursor, under a fresh owner (rule 2); read again where an owner wrote meanwhile, so that cursor and state stay together."""
        key = space.cursor
        while True:
            _, (before,) = await line.round_trip([("WATCH", key), ("MGET", key)])
            cursor = read_cursor(before, key).taken_over(fresh_token())
            transaction = [("MULTI",), ("SET", key, msgspec.json.encode(cursor)), ("UNLINK", space.damaged), ("EXEC",)]
            *_, written = await line.round_trip(transaction)
            if written is not None:
                return cursor

    async def read(self, asked: Sequence[StateRequest]) -> WorkingSet:
        """See `ports.FeatureStore`, and rule 8."""
        states = [self._held_by(one.state) for one in asked]
        guard = await self._guard(states) if len(states) > 1 else None
        try:
            return await RoundReading(self._memory, states, asked, guard).working_set()
        except BaseException:
            if guard is not None:
                guard.give_up()
            raise

    def _held_by(self, state: PartitionState) -> RedisPartition:
        if not isinstance(state, RedisPartition):
            raise TypeError(f"{type(state).__name__} is not a partition of this store.")
        return state

    async def _guard(self, states: Sequence[RedisPartition]) -> Guard | None:
        """A line that watches the cursors of all; None on a cluster, where each lies in a slot of its own."""
        if await self._servers.cluster():
            return None
        line = self._lines.pop() if self._lines else await self._servers.line(states[0].space.own)
        return Guard(line, [state.space.partition for state in states], self._lines.append)

    def pack(self, asked: Sequence[StateRequest], work: WorkingSet) -> list[Packed]:
        """See `ports.FeatureStore`."""
        memory = self._held_by(asked[0].state).round_memory
        return memory.pack(work, [one.reached for one in asked])

    async def ping(self) -> None:
        """See `ports.FeatureStore`."""
        await self._servers.ping()

    async def check(self) -> None:
        """See `ports.FeatureStore`: a Redis that evicts keys loses cards without anybody noticing."""
        for address, memory in (await self.info("memory")).items():
            policy = memory.get("maxmemory_policy", "noeviction")
            if policy != "noeviction":
                named = f" ({address})" if address else ""
                raise SettingsError(
                    f"Redis at FRAUDSTREAM_REDIS_URL{named} evicts keys when its memory is full (maxmemory-policy {policy}): cards would be "
                    "lost. Set it: `redis-cli config set maxmemory-policy noeviction`, and in its configuration file."
                )

    async def now_ms(self) -> int:
        """What time it is by Redis' clock, see `RedisServers.now_ms`."""
        return await self._servers.now_ms()

    async def info(self, section: str) -> dict[str, dict[str, Any]]:
        """A section of INFO of each server by its address, for `doctor`; "" for one Redis."""
        return await self._servers.info(section)

    async def without_cursor(self, partitions: int) -> list[int]:
        """Those of so many partitions of which there is no state, or none that can be read, for `doctor`.

        Raises:
            Unavailable: if Redis does not answer.
        """
        values = await self._servers.mget([Namespace(self._group, p, partitions).cursor for p in range(partitions)])
        cursors = map(decoded_cursor, values)
        return [p for p, cursor in enumerate(cursors) if cursor is None or (isinstance(cursor, Cursor) and not cursor.begun)]

    async def close(self) -> None:
        """See `ports.FeatureStore`."""
        for held in self._held.values():
            await held.let_go()
        for line in self._lines:
            await line.close()
        await self._servers.close()
