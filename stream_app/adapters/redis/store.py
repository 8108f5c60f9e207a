"""The feature store in Redis: everything a partition writes lives under one hash tag and is written with its cursor.

    {g:p}c:<card_id>      a card
    {g:p}t:<terminal_id>  this partition's part of a terminal
    {g:p}d:<device_id>    this partition's part of a device
    {g:p}cursor           owner and next offsets
    {g:p}n:<day>          notes on that day's alerts and labels (a hash that expires), see `outcomes`
    {g:p}damaged          set by a reader that met a damaged part: the owner rebuilds, see `damage_mark`

g is the consumer group, p the partition. Two round trips a micro-batch: read under WATCH of the cursor, write under EXEC. Rules:

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

    owner before                               writes t, cursor
    takeover        forget · WATCH, cursor ···················· EXEC fails · WATCH, cursor · EXEC · forget
    partition 0                     reads t
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

import msgspec
from loguru import logger
from redis.exceptions import RedisError

from stream_app.adapters.redis.damage_mark import fresh_token, is_of_before
from stream_app.adapters.redis.doubts import Unread
from stream_app.adapters.redis.idle import idle_keys
from stream_app.adapters.redis.line import ANSWER_WITHIN_S, CONNECT_WITHIN_S
from stream_app.adapters.redis.namespace import CURSOR, DAMAGED, Namespace, by_day, found_notes
from stream_app.adapters.redis.refusals import redis_error
from stream_app.adapters.redis.servers import Line, RedisServers
from stream_app.adapters.redis.stored_cursor import NewerCursor, StoredCursor, decoded_cursor, read_cursor
from stream_app.adapters.redis.write_through import PartitionMemory, ReadValues, Values, WorkerMemory
from stream_app.delivery.ports import Packed, PartitionState
from stream_app.errors import NotOwner, SettingsError
from stream_app.scoring.outcomes import NO_NOTES, NoteKey, Notes
from stream_app.scoring.ports import Ids, WorkingSet
from stream_app.scoring.positions import START, Cursor, Position

_SCAN = 1000
_SWEPT_AT_ONCE = 300
"""Keys that a step of sweeping looks at, of whatever partition: half a millisecond of Redis."""


class RedisStore:
    """Cards and terminals of a consumer group in one Redis or one Redis Cluster."""

    def __init__(self, url: str, group: str) -> None:
        self._servers = RedisServers(url, ANSWER_WITHIN_S, CONNECT_WITHIN_S)
        self._group = group
        self._held: dict[int, _RedisPartition] = {}
        self._memory = WorkerMemory()
        self._partitions = 0

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
        self._held[partition] = _RedisPartition(line, space, self._memory, cursor)
        return self._held[partition], cursor

    async def _take_cursor(self, line: Line, space: Namespace) -> Cursor:
        """The cursor, under a fresh owner (rule 2); read again where an owner wrote meanwhile, so that cursor and state stay together."""
        key = space.cursor
        while True:
            _, (before,) = await line.round_trip([("WATCH", key), ("MGET", key)])
            cursor = msgspec.structs.replace(read_cursor(before, key), owner=fresh_token())
            transaction = [("MULTI",), ("SET", key, msgspec.json.encode(cursor)), ("UNLINK", space.damaged), ("EXEC",)]
            *_, written = await line.round_trip(transaction)
            if written is not None:
                return cursor

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
        await self._servers.close()


class _RedisPartition:
    """One partition over a line of its own: WATCH belongs to a connection."""

    def __init__(self, line: Line, space: Namespace, memory: WorkerMemory, cursor: Cursor) -> None:
        self._line = line
        self._space = space
        self._worker = memory
        self._memory = PartitionMemory(memory, space.partition)
        self._others = {p: prefix for p, prefix in space.all.items() if p not in memory.owned and p != space.partition}
        self._owner, self._cursor = cursor.owner, msgspec.json.encode(cursor)
        self._mark_of_before = False
        self._told: dict[int, str] = {}
        memory.stands(space.partition, cursor)
        self._guarded = False
        self._attempted = b""
        self._swept_to: Any = b"0"

    async def read(self, ids: Ids, noted: Collection[NoteKey] = ()) -> WorkingSet:
        days, told = by_day(noted), set[int]()
        while True:
            missing = self._memory.missing(ids)
            answers = iter(await self._round_trip(self._questions(ids, missing) + self._space.notes_wanted(days)))
            next(answers)
            own = self._own(next(answers), missing)
            if not self._memory.still_there:  # `write_through`, rule 3
                continue
            of_others = [
                {p: own[entity] if p == self._space.partition else next(answers) for p in self._worker.owned} if lacked else {}
                for entity, lacked in enumerate(missing[1:], 1)
            ]
            cursors, foreign = self._foreign({p: iter(next(answers)) for p in self._others}, ids)
            notes = found_notes(days, answers)
            work, unread = self._memory.assemble(ids, ReadValues(missing, own[0], of_others, foreign))
            owners = {p: cursor.owner for p in unread.damaged.keys() - told if isinstance(cursor := cursors[p], Cursor)}
            if not owners:
                return self._with_doubts(replace(work, positions=self._positions(cursors), notes=notes), cursors, unread)
            await self._tell_of_damage(owners, unread.damaged)
            told |= owners.keys()  # and all of it again: another batch may have made the arrays larger meanwhile (`row_memory`, rule 3)

    async def confirm(self) -> None:
        _, found = await self._round_trip([("WATCH", self._space.cursor), ("MGET", self._space.cursor, self._space.damaged)])
        self._own(found, ())

    def _questions(self, ids: Ids, missing: Ids) -> list[tuple[Any, ...]]:
        """WATCH; own keys; missing parts of the partitions held here; cursor and parts of each partition of other workers (rule 5)."""
        space, prefixes = self._space, self._worker.prefixes
        own = [space.own + prefix + name for prefix, lacked in zip(prefixes, missing, strict=True) for name in lacked]
        commands: list[tuple[Any, ...]] = [("WATCH", space.cursor), ("MGET", space.cursor, space.damaged, *own)]
        for prefix, lacked in zip(prefixes[1:], missing[1:], strict=True):
            commands += [
                ("MGET", *[space.all[p] + prefix + name for name in lacked]) for p in self._worker.owned if lacked and p != space.partition
            ]
        parts = [prefix + name for prefix, wanted in zip(prefixes[1:], ids[1:], strict=True) for name in wanted]
        return commands + [("MGET", other + CURSOR, *[other + part for part in parts]) for other in self._others.values()]

    def _foreign(self, values: dict[int, Iterator[bytes | None]], ids: Ids) -> tuple[dict[int, StoredCursor], list[dict[int, Values]]]:
        """The cursors of other workers' partitions; and for each shared entity all parts."""
        cursors = {p: decoded_cursor(next(of_other)) for p, of_other in values.items()}
        return cursors, [{p: list(islice(of_other, len(wanted))) for p, of_other in values.items()} if wanted else {} for wanted in ids[1:]]

    def _positions(self, cursors: dict[int, StoredCursor]) -> tuple[Position, ...] | None:
        """What the parts of every partition contain; None where nobody of this version can say."""
        held = self._worker.positions
        if held is None or any(isinstance(cursor, NewerCursor) for cursor in cursors.values()):
            return None
        known = held | {p: cursor.position if isinstance(cursor, Cursor) else START for p, cursor in cursors.items()}
        return tuple(known[p] for p in self._space.all)

    def _own(self, values: list[bytes | None], missing: Ids) -> list[Values]:
        """The values of what was missing, for each entity, after a look at cursor (rule 2) and mark."""
        if values[0] != self._cursor:
            raise self._lost()
        self._mark_of_before = is_of_before(values[1], self._owner, self._space.partition)
        rest = iter(values[2:])
        return [list(islice(rest, len(lacked))) for lacked in missing]

    async def _tell_of_damage(self, owners: Mapping[int, str], damaged: Mapping[int, str]) -> None:
        """Mark partitions of which a part could not be read, by the token of their owners. One without a cursor needs no mark: its owner misses it."""
        for partition, owner in owners.items():
            await self._round_trip([("SET", self._others[partition] + DAMAGED, owner)])
            if self._told.get(partition) != owner:
                logger.warning("Partition {} has damaged state; its owner is told to rebuild it. {}", partition, damaged[partition])
            self._told[partition] = owner

    def _with_doubts(self, work: WorkingSet, cursors: dict[int, StoredCursor], unread: Unread) -> WorkingSet:
        """The working set, degraded where the state of another partition is not whole, or a later version's."""
        unread.newer |= {p for p, cursor in cursors.items() if isinstance(cursor, NewerCursor)}
        for partition in unread.newer - self._worker.told_newer - {self._space.partition}:
            logger.warning(
                "A later version wrote state of partition {}. It is left as it is; payments that need it are decided without it, and marked "
                "degraded. Let all workers have that version.",
                partition,
            )
            self._worker.told_newer.add(partition)
        rebuilding = {p for p, cursor in cursors.items() if cursor is None or (isinstance(cursor, Cursor) and cursor.rebuilding)}
        rebuilding |= self._worker.rebuilding - {self._space.partition}
        return replace(work, degraded=unread.doubts(rebuilding))

    def pack(self, work: WorkingSet, reached: Position) -> Packed:
        return self._memory.pack(work, reached)

    async def write(self, packed: Packed, cursor: Cursor, notes: Notes = NO_NOTES) -> None:
        encoded = msgspec.json.encode(msgspec.structs.replace(cursor, owner=self._owner))
        if not self._guarded and await self._stands(encoded):  # rules 3, 4
            self._now_at(cursor, encoded)
            return
        pairs: list[str | bytes] = [self._space.cursor, encoded]
        for key, value in packed:
            pairs += (self._space.own + key, value)
        self._attempted, self._guarded = encoded, False
        fallen = [("UNLINK", self._space.damaged)] if self._mark_of_before else []
        *_, written = await self._round_trip([("MULTI",), ("MSET", *pairs), *self._space.notes_written(notes), *fallen, ("EXEC",)])
        if written is None:
            raise self._lost()
        if isinstance(written[0], RedisError):  # an error of a command within EXEC comes as a value
            raise redis_error(written[0])
        self._now_at(cursor, encoded)

    def _now_at(self, cursor: Cursor, encoded: bytes) -> None:
        """The batch in flight is written."""
        self._cursor, self._mark_of_before = encoded, False
        self._memory.written(cursor)

    async def _stands(self, encoded: bytes) -> bool:
        """Whether a write of `encoded` whose answer was lost was done (rule 4). The cursor is watched again (rule 3)."""
        _, (found,) = await self._round_trip([("WATCH", self._space.cursor), ("MGET", self._space.cursor)])
        if found == encoded == self._attempted:
            return True
        if found != self._cursor:
            raise self._lost()
        return False

    async def begin(self, cursor: Cursor) -> None:
        self.forget()
        at: Any = b"0"
        while True:
            await self._stands(b"")
            ((at, keys),) = await self._round_trip([("SCAN", at, "MATCH", self._space.pattern, "COUNT", _SCAN)])
            old = [k for k in keys if k != self._space.cursor.encode()]
            if old and (await self._round_trip([("MULTI",), ("UNLINK", *old), ("EXEC",)]))[-1] is None:
                raise self._lost()
            if at == b"0":
                break
        try:
            await self._line.whole()
        except BaseException:
            self._guarded = False
            raise
        self._owner, self._mark_of_before = fresh_token(), True
        await self.write([], cursor)

    async def sweep(self, before_ms: int) -> int:
        await self._stands(b"")
        space, scan = self._space, ("SCAN", self._swept_to, "MATCH", self._space.pattern, "COUNT", _SWEPT_AT_ONCE)
        ((self._swept_to, keys),) = await self._round_trip([scan])
        if not keys:
            return 0
        (values,) = await self._round_trip([("MGET", *keys)])
        names = [key.decode().removeprefix(space.own) for key in keys]
        idle = [space.own + name for name in idle_keys(names, values, before_ms, space.partition)]
        if idle and (await self._round_trip([("MULTI",), ("UNLINK", *idle), ("EXEC",)]))[-1] is None:
            raise self._lost()
        return len(idle)

    def forget(self) -> None:
        self._memory.forget()

    async def let_go(self) -> None:
        """Give the connection back; whoever still holds this partition's state can read and write no more."""
        await self._line.close()

    def _lost(self) -> NotOwner:
        return NotOwner(
            f"Partition {self._space.partition}: the cursor in Redis is not the one that this worker wrote: another worker took over, "
            "or Redis lost or restored data."
        )

    async def _round_trip(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        if self._line.closed:
            raise self._lost()
        try:
            answers = await self._line.round_trip(commands)
        except BaseException:
            self._guarded = False
            raise
        self._guarded = commands[-1][0] != "EXEC" and (self._guarded or commands[0][0] == "WATCH")  # rule 3
        return answers
