"""Reading the state of a round: of its partitions by the rules of `store`, what is remembered by those of `write_through`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, cast

from loguru import logger

from stream_app.adapters.redis.doubts import Unread
from stream_app.adapters.redis.entity_memory import Values
from stream_app.adapters.redis.guard import Guard
from stream_app.adapters.redis.line import Command
from stream_app.adapters.redis.namespace import CURSOR, by_day, found_notes
from stream_app.adapters.redis.stored_cursor import NewerCursor, StoredCursor, decoded_cursor
from stream_app.adapters.redis.write_through import Missing, ReadValues, RoundMemory, WorkerMemory
from stream_app.delivery.ports import StateRequest
from stream_app.scoring.outcomes import Notes
from stream_app.scoring.ports import StateSeen, WorkingSet
from stream_app.scoring.positions import START, Cursor, Position

if TYPE_CHECKING:
    from stream_app.adapters.redis.partition_state import RedisPartition


def watching(commands: Sequence[Command]) -> list[Command]:
    """Commands that begin with WATCH. What was watched over this line before may have been written since, with a round: it would fail EXEC."""
    return [("UNWATCH",), *commands]


class RoundReading:
    """Reads the state of a round: own cursors, marks and cards, parts of shared entities, notes."""

    def __init__(self, worker: WorkerMemory, states: Sequence[RedisPartition], asked: Sequence[StateRequest], guard: Guard | None) -> None:
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

    def _of_own(self, state: RedisPartition, n: int, missing: Missing) -> list[Command]:
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
        trips = first.round_trip(watching(of_own[0] + of_shared)), *(state.round_trip(watching(commands)) for state, commands in asked)
        found = await asyncio.gather(*trips, return_exceptions=True)  # a line whose answers are still to come is not asked again
        for answers_or_error in found:
            if isinstance(answers_or_error, BaseException):
                raise answers_or_error
        of_first, *others = cast("list[list[Any]]", found)
        end = 1 + len(of_own[0])
        return [of_first[1:end], *(answers[1:] for answers in others)], of_first[end:]

    def _own(self, state: RedisPartition, days: Mapping[int, Sequence[str]], answers: list[Any]) -> tuple[Values, Notes]:
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
        without = {p for p, cursor in cursors.items() if isinstance(cursor, Cursor) and cursor.lacks(self._worker.entities)}
        return lambda partition: unread.doubts(rebuilding - {partition}, without)
