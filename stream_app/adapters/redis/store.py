"""The feature store in Redis: everything a partition writes lives under one hash tag and is written with its cursor.

    {g:p}c:<card_id>      a card
    {g:p}t:<terminal_id>  this partition's part of a terminal
    {g:p}d:<device_id>    this partition's part of a device
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

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import Any, cast

import msgspec
from loguru import logger
from redis.exceptions import RedisError

from stream_app.adapters.redis.damage_mark import fresh_token, is_of_before
from stream_app.adapters.redis.doubts import Unread
from stream_app.adapters.redis.guard import Guard, GuardedWrite, in_transaction
from stream_app.adapters.redis.idle import idle_keys
from stream_app.adapters.redis.line import ANSWER_WITHIN_S, CONNECT_WITHIN_S, Command
from stream_app.adapters.redis.namespace import CURSOR, DAMAGED, Namespace, by_day, found_notes
from stream_app.adapters.redis.refusals import redis_error
from stream_app.adapters.redis.servers import Line, RedisServers
from stream_app.adapters.redis.stored_cursor import NewerCursor, StoredCursor, decoded_cursor, read_cursor
from stream_app.adapters.redis.write_through import Missing, ReadValues, RoundMemory, Values, WorkerMemory
from stream_app.delivery.ports import Packed, PartitionState, StateRequest
from stream_app.errors import NotOwner, SettingsError
from stream_app.scoring.outcomes import NO_NOTES, NoteKey, Notes
from stream_app.scoring.ports import Ids, StateSeen, WorkingSet
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
        self._held[partition] = _RedisPartition(line, space, self._memory, cursor)
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
            return await _RoundReading(self._memory, states, asked, guard).working_set()
        except BaseException:
            if guard is not None:
                guard.give_up()
            raise

    def _held_by(self, state: PartitionState) -> _RedisPartition:
        if not isinstance(state, _RedisPartition):
            raise TypeError(f"{type(state).__name__} is not a partition of this store.")
        return state

    async def _guard(self, states: Sequence[_RedisPartition]) -> Guard | None:
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


class _RedisPartition:
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
        return await _RoundReading(self._worker, [self], [StateRequest(self, ids, noted)], None).working_set()

    async def confirm(self) -> None:
        *_, found = await self.round_trip(_watching([("WATCH", self.space.cursor), ("MGET", self.space.cursor, self.space.damaged)]))
        self.look_at(found)

    def begin_round(self, memory: RoundMemory, guard: Guard | None) -> None:
        """A round has this partition from now on."""
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
        return self.round_memory.pack(work, [reached])[0]

    async def write(self, packed: Packed, cursor: Cursor, notes: Notes = NO_NOTES) -> None:
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
        *_, (found,) = await self.round_trip(_watching([("WATCH", self.space.cursor), ("MGET", self.space.cursor)]))
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
        self.leave_round()
        self._worker.forget_all(self.space.partition)

    async def let_go(self) -> None:
        """Give the connection back; whoever still holds this partition's state can read and write no more."""
        self.leave_round()
        await self._line.close()

    def _lost(self) -> NotOwner:
        return NotOwner(
            f"Partition {self.space.partition}: the cursor in Redis is not the one that this worker wrote: another worker took over, "
            "or Redis lost or restored data."
        )

    async def round_trip(self, commands: Sequence[Command]) -> list[Any]:
        """The answers, over the line of this partition; whether a WATCH stands is kept (rule 3)."""
        if self._line.closed:
            raise self._lost()
        try:
            answers = await self._line.round_trip(commands)
        except BaseException:
            self._guarded = False
            raise
        self._guarded = commands[-1][0] != "EXEC" and (self._guarded or commands[0][0] == "UNWATCH")  # rule 3
        return answers


def _watching(commands: Sequence[Command]) -> list[Command]:
    """Commands that begin with WATCH. What was watched over this line before may have been written since, with a round: it would fail EXEC."""
    return [("UNWATCH",), *commands]


class _RoundReading:
    """Reads the state of a round: own cursors, marks and cards, parts of shared entities, notes."""

    def __init__(self, worker: WorkerMemory, states: Sequence[_RedisPartition], asked: Sequence[StateRequest], guard: Guard | None) -> None:
        self._worker = worker
        self._states = states
        self._guard = guard
        self._memory = RoundMemory(worker, [(state.space.partition, one.ids) for state, one in zip(states, asked, strict=True)])
        self._asked = asked
        self._days = [by_day(one.noted) for one in asked]
        self._others = states[0].others
        for state in states:
            state.begin_round(self._memory, guard)

    async def working_set(self) -> WorkingSet:
        """What was asked for.

        Raises:
            NotOwner, StateError, Unavailable: see `ports.PartitionState.read`.
        """
        told = set[int]()
        while True:
            missing = self._memory.missing()
            questions = [self._of_own(state, n, missing) for n, state in enumerate(self._states)]
            of_own, of_shared = await self._answers(questions, self._of_shared(missing))
            cards, notes = zip(*map(self._own, self._states, self._days, of_own), strict=True)
            if not self._memory.still_there:  # `write_through`, rule 3
                continue
            answers = iter(of_shared)
            shared = [{p: next(answers) for p in self._worker.owned} if lacked else {} for lacked in missing.shared]
            cursors, foreign = self._foreign({p: iter(next(answers)) for p in self._others})
            work, unread = self._memory.assemble(ReadValues(missing, cards, shared, foreign))
            owners = {p: cursor.owner for p in unread.damaged.keys() - told if isinstance(cursor := cursors[p], Cursor)}
            if not owners:
                return replace(work, seen=self._seen(work, notes, cursors, unread))
            await self._states[0].tell_of_damage(owners, unread.damaged)
            told |= owners.keys()  # and all of it again: another round may have made the arrays larger meanwhile (`row_memory`, rule 3)

    def _of_own(self, state: _RedisPartition, n: int, missing: Missing) -> list[Command]:
        """WATCH; cursor, mark, and cards that are not remembered; notes."""
        space = state.space
        cards = [space.own + self._worker.prefixes[0] + name for name in missing.cards[n]]
        return [("WATCH", space.cursor), ("MGET", space.cursor, space.damaged, *cards), *space.notes_wanted(self._days[n])]

    def _of_shared(self, missing: Missing) -> list[Command]:
        """Missing parts of the partitions held here; cursor and parts of each partition of other workers (rule 5)."""
        spaces, prefixes = self._states[0].space.all, self._worker.prefixes[1:]
        commands: list[Command] = []
        for prefix, lacked in zip(prefixes, missing.shared, strict=True):
            commands += [("MGET", *[spaces[p] + prefix + name for name in lacked]) for p in self._worker.owned if lacked]
        parts = [prefix + name for prefix, wanted in zip(prefixes, self._memory.distinct, strict=True) for name in wanted]
        return commands + [("MGET", other + CURSOR, *[other + part for part in parts]) for other in self._others.values()]

    async def _answers(self, of_own: list[list[Command]], of_shared: list[Command]) -> tuple[list[list[Any]], list[Any]]:
        """Together over the guard's line; else over each partition's own, the first asks for what is shared."""
        if self._guard is not None:
            answers = iter(await self._guard.read([*chain.from_iterable(of_own), *of_shared]))
            return [list(islice(answers, len(commands))) for commands in of_own], list(answers)
        first, *rest = self._states
        asked = zip(rest, of_own[1:], strict=True)
        trips = first.round_trip(_watching(of_own[0] + of_shared)), *(state.round_trip(_watching(commands)) for state, commands in asked)
        found = await asyncio.gather(*trips, return_exceptions=True)  # a line whose answers are still to come is not asked again
        for answers_or_error in found:
            if isinstance(answers_or_error, BaseException):
                raise answers_or_error
        of_first, *others = cast("list[list[Any]]", found)
        end = 1 + len(of_own[0])
        return [of_first[1:end], *(answers[1:] for answers in others)], of_first[end:]

    def _own(self, state: _RedisPartition, days: Mapping[int, Sequence[str]], answers: list[Any]) -> tuple[Values, Notes]:
        """The values of the cards that were missing, after a look at cursor and mark; the notes."""
        _, values, *notes = answers
        state.look_at(values)
        return values[2:], found_notes(days, iter(notes))

    def _foreign(self, values: dict[int, Iterator[bytes | None]]) -> tuple[dict[int, StoredCursor], list[dict[int, Values]]]:
        """The cursors of other workers' partitions; and for each shared entity all parts."""
        cursors = {p: decoded_cursor(next(of_other)) for p, of_other in values.items()}
        asked = self._memory.distinct
        return cursors, [{p: list(islice(of_other, len(wanted))) for p, of_other in values.items()} if wanted else {} for wanted in asked]

    def _seen(self, work: WorkingSet, notes: Sequence[Notes], cursors: dict[int, StoredCursor], unread: Unread) -> tuple[StateSeen, ...]:
        """What each partition is told beside the rows: those before it in the round are counted when its turn comes."""
        degraded, positions = self._doubts(cursors, unread), self._positions(cursors)
        seen: list[StateSeen] = []
        for one, state, known, noted in zip(self._asked, self._states, work.seen, notes, strict=True):
            at = None if positions is None else tuple(positions[p] for p in state.space.all)
            seen.append(replace(known, degraded=degraded(state.space.partition), positions=at, notes=noted))
            if positions is not None:
                positions[state.space.partition] = one.reached
        return tuple(seen)

    def _positions(self, cursors: dict[int, StoredCursor]) -> dict[int, Position] | None:
        """What the parts of every partition contain; None where nobody of this version can say."""
        held = self._worker.positions
        if held is None or any(isinstance(cursor, NewerCursor) for cursor in cursors.values()):
            return None
        return held | {p: cursor.position if isinstance(cursor, Cursor) else START for p, cursor in cursors.items()}

    def _doubts(self, cursors: dict[int, StoredCursor], unread: Unread) -> Callable[[int], str | None]:
        """Why what a partition is told is not whole: the state of another is not, or a later version's."""
        unread.newer |= {p for p, cursor in cursors.items() if isinstance(cursor, NewerCursor)}
        for partition in unread.newer - self._worker.told_newer - {state.space.partition for state in self._states}:
            logger.warning(
                "A later version wrote state of partition {}. It is left as it is; payments that need it are decided without it, and marked "
                "degraded. Let all workers have that version.",
                partition,
            )
            self._worker.told_newer.add(partition)
        rebuilding = {p for p, cursor in cursors.items() if cursor is None or (isinstance(cursor, Cursor) and cursor.rebuilding)}
        rebuilding |= self._worker.rebuilding
        return lambda partition: unread.doubts(rebuilding - {partition})
