"""The state of one partition in Redis, in the hands of its owner: by the rules of `store`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
from loguru import logger
from redis.exceptions import RedisError

from stream_app.adapters.redis.damage_mark import fresh_token, is_of_before
from stream_app.adapters.redis.guard import Guard, GuardedWrite, in_transaction
from stream_app.adapters.redis.idle import idle_keys
from stream_app.adapters.redis.line import Command
from stream_app.adapters.redis.namespace import DAMAGED, Namespace
from stream_app.adapters.redis.refusals import redis_error
from stream_app.adapters.redis.round_reading import RoundReading, watching
from stream_app.adapters.redis.servers import Line
from stream_app.adapters.redis.write_through import RoundMemory, WorkerMemory
from stream_app.delivery.ports import Packed, StateRequest
from stream_app.errors import NotOwner
from stream_app.scoring.outcomes import NO_NOTES, NoteKey, Notes
from stream_app.scoring.ports import Ids, WorkingSet
from stream_app.scoring.positions import Cursor, Position

_SCAN = 1000
_SWEPT_AT_ONCE = 300
"""Keys that a step of sweeping looks at, of whatever partition: half a millisecond of Redis."""


class RedisPartition:
    """One partition over a line of its own: WATCH belongs to a connection."""

    def __init__(self, line: Line, space: Namespace, memory: WorkerMemory, cursor: Cursor) -> None:
        self._line = line
        self.space = space
        self._worker = memory
        self.round_memory = RoundMemory(memory, [])
        self.others = {p: prefix for p, prefix in space.all.items() if p not in memory.owned and p != space.partition}
        self._owner, self._cursor = cursor.owner, msgspec.json.encode(cursor)
        self._mark_of_before = False
        self._told: dict[int, str] = {}
        memory.stands(space.partition, cursor)
        (memory.newer.add if cursor.of_later_layout else memory.newer.discard)(space.partition)
        memory.cards.forget(space.partition)
        self._guarded = False
        self._together: Guard | None = None
        self._attempted = b""
        self._swept_to: Any = b"0"

    async def read(self, ids: Ids, noted: Collection[NoteKey] = ()) -> WorkingSet:
        """See `ports.PartitionState`."""
        return await RoundReading(self._worker, [self], [StateRequest(self, ids, noted)], None).working_set()

    async def confirm(self) -> None:
        """See `ports.PartitionState`."""
        *_, found = await self.round_trip(watching([("WATCH", self.space.cursor), ("MGET", self.space.cursor, self.space.damaged)]))
        self.look_at(found)

    def begin_round(self, memory: RoundMemory, guard: Guard | None) -> None:
        """A round has this partition from now on.

        Raises:
            NotOwner: if the partition was let go of: its next state here remembers on its own.
        """
        self._raise_if_let_go()
        self.leave_round()
        self._guarded = False
        self.round_memory, self._together = memory, guard

    def leave_round(self) -> None:
        """Whoever is in the round too does not wait for this partition."""
        if self._together is not None:
            self._together.leave(self.space.partition)
            self._together = None

    def look_at(self, found: Sequence[bytes | None]) -> None:
        """Raise where the cursor is not as this owner left it (rule 2), or a mark says that the state is damaged."""
        self._raise_if_let_go()
        if found[0] != self._cursor:
            raise self._lost()
        self._mark_of_before = is_of_before(found[1], self._owner, self.space.partition)

    async def tell_of_damage(self, owners: Mapping[int, str], damaged: Mapping[int, str]) -> None:
        """Mark partitions of which a part could not be read, by the token of their owners. One without a cursor needs no mark: its owner misses it."""
        for partition, owner in owners.items():
            await self.round_trip([("SET", self.others[partition] + DAMAGED, owner)])
            if self._told.get(partition) != owner:
                logger.warning("Partition {} has damaged state; its owner is told to rebuild it. {}", partition, damaged[partition])
            self._told[partition] = owner

    def pack(self, work: WorkingSet, reached: Position) -> Packed:
        """See `ports.PartitionState`."""
        return self.round_memory.pack(work, [reached])[0]

    async def write(self, packed: Packed, cursor: Cursor, notes: Notes = NO_NOTES) -> None:
        """See `ports.PartitionState`."""
        encoded = msgspec.json.encode(msgspec.structs.replace(cursor, owner=self._owner))
        pairs: list[str | bytes] = [self.space.cursor, encoded]
        for key, value in packed:
            pairs += (self.space.own + key, value)
        fallen = [("UNLINK", self.space.damaged)] if self._mark_of_before else []
        guarded = GuardedWrite(self.space.partition, pairs, [*self.space.notes_written(notes), *fallen])
        if not await self._written_together(guarded, encoded):
            await self._write_alone(guarded, encoded)
        self._cursor, self._mark_of_before = encoded, False
        self._worker.written(self.space.partition, cursor, self.round_memory.generation)

    async def _written_together(self, write: GuardedWrite, encoded: bytes) -> bool:
        """Whether it was written with the round (rule 8)."""
        guard, self._together = self._together, None
        if guard is None:
            return False
        self._attempted = encoded
        return await guard.write(write)

    async def _write_alone(self, write: GuardedWrite, encoded: bytes) -> None:
        if not self._guarded and await self._stands(encoded):  # rules 3, 4
            return
        self._attempted, self._guarded = encoded, False
        *_, written = await self.round_trip(in_transaction([write]))
        if written is None:
            raise self._lost()
        if isinstance(written[0], RedisError):  # an error of a command within EXEC comes as a value
            raise redis_error(written[0])

    async def _stands(self, encoded: bytes) -> bool:
        """Whether a write of `encoded` whose answer was lost was done (rule 4). The cursor is watched again (rule 3)."""
        *_, (found,) = await self.round_trip(watching([("WATCH", self.space.cursor), ("MGET", self.space.cursor)]))
        if found == encoded == self._attempted:
            return True
        if found != self._cursor:
            raise self._lost()
        return False

    async def begin(self, cursor: Cursor) -> None:
        """See `ports.PartitionState`."""
        self.forget()
        at: Any = b"0"
        while True:
            await self._stands(b"")
            ((at, keys),) = await self.round_trip([("SCAN", at, "MATCH", self.space.pattern, "COUNT", _SCAN)])
            old = [k for k in keys if k != self.space.cursor.encode()]
            if old and (await self.round_trip([("MULTI",), ("UNLINK", *old), ("EXEC",)]))[-1] is None:
                raise self._lost()
            if at == b"0":
                break
        try:
            await self._line.whole()
        except BaseException:
            self._guarded = False
            raise
        self._worker.newer.discard(self.space.partition)
        self._owner, self._mark_of_before = fresh_token(), True
        await self.write([], cursor)

    async def sweep(self, before_ms: int) -> int:
        """See `ports.PartitionState`."""
        await self._stands(b"")
        space, scan = self.space, ("SCAN", self._swept_to, "MATCH", self.space.pattern, "COUNT", _SWEPT_AT_ONCE)
        ((self._swept_to, keys),) = await self.round_trip([scan])
        if not keys:
            return 0
        (values,) = await self.round_trip([("MGET", *keys)])
        names = [key.decode().removeprefix(space.own) for key in keys]
        idle = [space.own + name for name in idle_keys(names, values, before_ms, space.partition)]
        if idle and (await self.round_trip([("MULTI",), ("UNLINK", *idle), ("EXEC",)]))[-1] is None:
            raise self._lost()
        return len(idle)

    def forget(self) -> None:
        """See `ports.PartitionState`."""
        self.leave_round()
        self._worker.forget_all(self.space.partition)

    async def let_go(self) -> None:
        """Give the connection back; whoever still holds this partition's state can read and write no more."""
        self.leave_round()
        await self._line.close()

    def _raise_if_let_go(self) -> None:
        """Whoever still reads for it may have asked before, over the line of a round: nothing of that is remembered for the next state of this partition."""
        if self._line.closed:
            raise self._lost()

    def _lost(self) -> NotOwner:
        return NotOwner(
            f"Partition {self.space.partition}: the cursor in Redis is not the one that this worker wrote: another worker took over, "
            "or Redis lost or restored data."
        )

    async def round_trip(self, commands: Sequence[Command]) -> list[Any]:
        """The answers, over the line of this partition; whether a WATCH stands is kept (rule 3)."""
        self._raise_if_let_go()
        try:
            answers = await self._line.round_trip(commands)
        except BaseException:
            self._guarded = False
            raise
        self._guarded = commands[-1][0] != "EXEC" and (self._guarded or commands[0][0] == "UNWATCH")  # rule 3
        return answers
