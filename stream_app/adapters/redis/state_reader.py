"""History out of Redis, see `state_reader.StateReader`: one MGET, so that all of it is of one moment (on a cluster: all of a partition).

Nothing is written, watched or locked.

No partitioner is needed: a card is looked for under every partition, and there are as many as the workers' cursors say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from stream_app.adapters.redis.doubts import Unread
from stream_app.adapters.redis.entity_memory import Values, add_parts
from stream_app.adapters.redis.namespace import CURSOR, prefix_of, space_of
from stream_app.adapters.redis.servers import RedisServers
from stream_app.adapters.redis.stored_cursor import NewerCursor, StoredCursor, decoded_cursor
from stream_app.errors import NewerState, StateError
from stream_app.features.compute import Rows
from stream_app.features.entities import KEPT_BY_DEFAULT, KeptEntities
from stream_app.features.packing import Packer
from stream_app.features.plan import NEWEST, Ints, RowLayout, catalogue_plan
from stream_app.scoring.degraded import NO_STATE, full_from
from stream_app.scoring.ports import Ids, StateSeen, WorkingSet
from stream_app.scoring.positions import Cursor
from stream_app.scoring.state_reader import StateQuery, StateSnapshot

_ANSWER_WITHIN_S = 5.0
_CONNECT_WITHIN_S = 2.0

type _CardValue = tuple[int, int, bytes]
"""The place of a card, a partition that knows it, and what that one has of it."""


class RedisStateReader:
    """See `state_reader.StateReader`; `group` is the workers' consumer group."""

    def __init__(self, url: str, group: str, entities: KeptEntities = KEPT_BY_DEFAULT) -> None:
        self.entities = entities
        self._servers = RedisServers(url, _ANSWER_WITHIN_S, _CONNECT_WITHIN_S)
        self._group = group
        self._partitions = 0
        self._plans = catalogue_plan().entities
        self._packers = tuple(Packer(plan.layout) for plan in self._plans)

    async def read(self, asked: Sequence[StateQuery]) -> StateSnapshot:
        """See `state_reader.StateReader`."""
        ids: Ids = tuple([name for query in asked for name in query.ids[n]] for n in range(len(self._plans)))
        while True:
            count = max(1, self._partitions)
            spaces = [space_of(self._group, p) for p in range(count)]
            keys = [space + CURSOR for space in spaces]
            for plan, wanted in zip(self._plans, ids, strict=True):
                keys += [f"{space}{prefix_of(plan.entity)}{name}" for space in spaces for name in wanted]
            values = await self._servers.mget(keys)
            cursors = [decoded_cursor(v) for v in values[:count]]
            self._partitions = max((c.partitions for c in cursors if c), default=0)
            if self._partitions in {0, count}:
                return self._seen(asked, ids, cursors, values[count:])

    async def cursors(self) -> list[StoredCursor]:
        """Of every partition; of one at least. Raises as `read`."""
        while True:
            count = max(1, self._partitions)
            cursors = [decoded_cursor(v) for v in await self._servers.mget([space_of(self._group, p) + CURSOR for p in range(count)])]
            self._partitions = max((c.partitions for c in cursors if c), default=0)
            if self._partitions in {0, count}:
                return cursors

    async def ping(self) -> None:
        """Answer, or raise Unavailable."""
        await self._servers.ping()

    async def close(self) -> None:
        """See `state_reader.StateReader`."""
        await self._servers.close()

    def _seen(self, asked: Sequence[StateQuery], ids: Ids, cursors: list[StoredCursor], values: Values) -> StateSnapshot:
        rest, unread = iter(values), [Unread() for _ in asked]
        by_entity = [[list(islice(rest, len(wanted))) for _ in cursors] for wanted in ids]
        asks = [[n for n, query in enumerate(asked) for _ in query.ids[e]] for e in range(len(ids))]
        holders, cards, cases = self._cards(ids[0], by_entity[0], [unread[n] for n in asks[0]])
        held: list[list[int]] = [[] for _ in asked]
        for n, holder in zip(asks[0], holders, strict=True):
            held[n] += [] if holder is None else [holder]
        rows = [Rows.alone(cards)]
        for plan, packer, wanted, parts, of in zip(self._plans[1:], self._packers[1:], ids[1:], by_entity[1:], asks[1:], strict=True):
            homes = [next(iter(held[n]), 0) for n in of]
            rows.append(_SharedParts(plan.layout, packer, wanted, [unread[n] for n in of]).rows(parts, homes))
        known = tuple(
            tuple(sum(part[n] is not None for part in parts) for n in range(len(w))) for w, parts in zip(ids, by_entity, strict=True)
        )
        doubts = [self._doubts(cursors, *of) for of in zip(unread, held, (q.at_ms for q in asked), strict=True)]
        stand = tuple(cursor.position for cursor in cursors if isinstance(cursor, Cursor))
        seen = [StateSeen(why, stand if len(stand) == len(cursors) else None) for why in doubts]
        return StateSnapshot(WorkingSet(ids, tuple(rows), cases, tuple(seen)), tuple(holders), known)

    def _cards(self, ids: list[str], parts: list[list[bytes | None]], unread: list[Unread]) -> tuple[list[int | None], Any, list[str]]:
        """Holder, row and case of each card; of one that several partitions know, those of the newest. `unread`: of each card's query."""
        width = self._plans[0].layout.width
        rows = np.zeros((len(ids), width), dtype=np.int64)
        holders: list[int | None] = [None] * len(ids)
        cases = [""] * len(ids)
        there = [(n, partition, value) for partition, values in enumerate(parts) for n, value in enumerate(values) if value is not None]
        read = np.zeros((len(there), width), dtype=np.int64)
        for i, case in self._unpacked(there, ids, read, unread):
            n, partition, _ = there[i]
            if holders[n] is None or read[i, NEWEST] > rows[n, NEWEST]:
                holders[n], rows[n], cases[n] = partition, read[i], case
        return holders, rows, cases

    def _unpacked(self, there: list[_CardValue], ids: list[str], read: Ints, unread: list[Unread]) -> list[tuple[int, str]]:
        """Unpack values into the rows of their places, all at once; the places and cases of those that can be read. Whose cannot, is found one by one."""
        packer, at = self._packers[0], np.arange(len(there))
        try:
            return list(enumerate(packer.unpack([value for *_, value in there], [ids[n] for n, *_ in there], read, at)))
        except StateError:
            readable: list[tuple[int, str]] = []
        for i, (n, partition, value) in enumerate(there):
            try:
                (case,) = packer.unpack([value], [ids[n]], read, at[i : i + 1])
            except NewerState:
                unread[n].newer.add(partition)
            except StateError as error:
                unread[n].damaged[partition] = str(error)
            else:
                readable.append((i, case))
        return readable

    def _doubts(self, cursors: list[StoredCursor], unread: Unread, held: list[int], at_ms: int | None) -> str | None:
        """Of one query: `held` are the partitions that hold its cards."""
        if not self._partitions:
            return NO_STATE
        known = {p: cursor for p, cursor in enumerate(cursors) if isinstance(cursor, Cursor)}
        unread.newer |= {p for p, cursor in enumerate(cursors) if isinstance(cursor, NewerCursor)}
        unfinished = {p for p, cursor in enumerate(cursors) if cursor is None or (p in known and known[p].rebuilding)}
        without = {p for p, cursor in known.items() if cursor.lacks(self.entities)}
        if why := unread.doubts(unfinished, without):
            return why
        full_from_ms = max((c.full_from_ms for p, c in known.items() if not held or p in held), default=0)
        if at_ms is None or at_ms >= full_from_ms:
            return None
        return full_from(full_from_ms)


@dataclass(frozen=True, slots=True)
class _SharedParts:
    """Reads the parts of one shared entity.

    Attributes:
        ids: that are asked for.
        unread: of each id's query: gets what cannot be read.
    """

    layout: RowLayout
    packer: Packer
    ids: list[str]
    unread: list[Unread]

    def rows(self, parts: list[list[bytes | None]], homes: list[int]) -> Rows:
        """Of each id the sum over all parts, beside the part of its home: the partition that its payment would be counted in.

        Args:
            parts: the values, of each partition.
            homes: of each id.
        """
        count = len(self.ids)
        sums, at = np.zeros((2 * count, self.layout.width), dtype=np.int64), np.arange(count)
        total, own = sums[:count], sums[count:]
        there = [(n, value) for values in parts for n, value in enumerate(values) if value is not None]
        there += [(count + n, value) for n, home in enumerate(homes) if (value := parts[home][n]) is not None]
        if there and not self._added(sums, there):
            sums[:] = 0
            self._add_singly(total, own, parts, homes)
        return Rows(own, total, at, at)

    def _added(self, sums: Ints, there: list[tuple[int, bytes]]) -> bool:
        """Add values to the rows of their places; whether each could be read."""
        names = [self.ids[n % len(self.ids)] for n, _ in there]
        try:
            return not self.packer.add([value for _, value in there], names, sums, np.array([n for n, _ in there]))
        except StateError:
            return False

    def _add_singly(self, total: Ints, own: Ints, parts: list[list[bytes | None]], homes: list[int]) -> None:
        """The same one by one, passing over what cannot be read, which is noted."""
        at = np.arange(len(self.ids))
        for partition, values in enumerate(parts):
            for n, value in enumerate(values):
                name, here = [self.ids[n]], at[n : n + 1]
                try:
                    if add_parts(self.packer, total, here, name, [value], partition):
                        self.unread[n].newer.add(partition)
                    elif homes[n] == partition:
                        add_parts(self.packer, own, here, name, [value], partition)
                except StateError as error:
                    self.unread[n].damaged[partition] = str(error)
