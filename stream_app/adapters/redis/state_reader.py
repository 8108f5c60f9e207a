"""History out of Redis, see `state_reader.StateReader`: one MGET, so that all of it is of one moment (on a cluster: all of a partition).

Nothing is written, watched or locked.

No partitioner is needed: a card is looked for under every partition, and there are as many as the workers' cursors say.
"""

from __future__ import annotations

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
from stream_app.features.packing import Packer
from stream_app.features.plan import NEWEST, EntityPlan, catalogue_plan
from stream_app.scoring.degraded import NO_STATE, full_from
from stream_app.scoring.ports import Ids, StateSeen, WorkingSet
from stream_app.scoring.positions import Cursor
from stream_app.scoring.state_reader import StateSnapshot

_ANSWER_WITHIN_S = 5.0
_CONNECT_WITHIN_S = 2.0


class RedisStateReader:
    """See `state_reader.StateReader`; `group` is the workers' consumer group."""

    def __init__(self, url: str, group: str) -> None:
        self._servers = RedisServers(url, _ANSWER_WITHIN_S, _CONNECT_WITHIN_S)
        self._group = group
        self._partitions = 0
        self._plans = catalogue_plan().entities
        self._packers = tuple(Packer(plan.layout) for plan in self._plans)

    async def read(self, ids: Ids, at_ms: int | None = None) -> StateSnapshot:
        """See `state_reader.StateReader`."""
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
                return self._seen(ids, cursors, values[count:], at_ms)

    async def ping(self) -> None:
        """Answer, or raise Unavailable."""
        await self._servers.ping()

    async def close(self) -> None:
        """See `state_reader.StateReader`."""
        await self._servers.close()

    def _seen(self, ids: Ids, cursors: list[StoredCursor], values: Values, at_ms: int | None) -> StateSnapshot:
        rest, unread = iter(values), Unread()
        by_entity = [[list(islice(rest, len(wanted))) for _ in cursors] for wanted in ids]
        holders, cards, cases = self._cards(ids[0], by_entity[0], unread)
        rows = [Rows.alone(cards)]
        for plan, packer, wanted, parts in zip(self._plans[1:], self._packers[1:], ids[1:], by_entity[1:], strict=True):
            rows.append(_shared(plan, packer, wanted, parts, partition=next(filter(None, holders), 0), unread=unread))
        known = tuple(
            tuple(sum(part[n] is not None for part in parts) for n in range(len(w))) for w, parts in zip(ids, by_entity, strict=True)
        )
        degraded = self._doubts(cursors, unread, holders, at_ms)
        return StateSnapshot(WorkingSet(ids, tuple(rows), cases, (StateSeen(degraded),)), tuple(holders), known)

    def _cards(self, ids: list[str], parts: list[list[bytes | None]], unread: Unread) -> tuple[list[int | None], Any, list[str]]:
        """Holder, row and case of each card; of one that several partitions know, those of the newest."""
        width, packer = self._plans[0].layout.width, self._packers[0]
        rows = np.zeros((len(ids), width), dtype=np.int64)
        holders: list[int | None] = [None] * len(ids)
        cases = [""] * len(ids)
        one, first = np.zeros((1, width), dtype=np.int64), np.zeros(1, dtype=np.int64)
        for partition, values in enumerate(parts):
            for n, value in enumerate(values):
                if value is None:
                    continue
                try:
                    (case,) = packer.unpack([value], [ids[n]], one, first)
                except NewerState:
                    unread.newer.add(partition)
                    continue
                except StateError as error:
                    unread.damaged[partition] = str(error)
                    continue
                if holders[n] is None or one[0, NEWEST] > rows[n, NEWEST]:
                    holders[n], rows[n], cases[n] = partition, one[0], case
        return holders, rows, cases

    def _doubts(self, cursors: list[StoredCursor], unread: Unread, holders: list[int | None], at_ms: int | None) -> str | None:
        if not self._partitions:
            return NO_STATE
        known = {p: cursor for p, cursor in enumerate(cursors) if isinstance(cursor, Cursor)}
        unread.newer |= {p for p, cursor in enumerate(cursors) if isinstance(cursor, NewerCursor)}
        unfinished = {p for p, cursor in enumerate(cursors) if cursor is None or (p in known and known[p].rebuilding)}
        if why := unread.doubts(unfinished):
            return why
        held = [p for p in holders if p is not None]
        full_from_ms = max((c.full_from_ms for p, c in known.items() if not held or p in held), default=0)
        if at_ms is None or at_ms >= full_from_ms:
            return None
        return full_from(full_from_ms)


def _shared(plan: EntityPlan, packer: Packer, ids: list[str], parts: list[list[bytes | None]], *, partition: int, unread: Unread) -> Rows:
    """The sum over all parts, beside the part of the partition that a payment would be counted in; `unread` gets those that cannot be read."""
    total, own = (np.zeros((len(ids), plan.layout.width), dtype=np.int64) for _ in range(2))
    for number, values in enumerate(parts):
        try:
            if add_parts(total, plan.layout, packer, ids, values, number):
                unread.newer.add(number)
            if number == partition:
                add_parts(own, plan.layout, packer, ids, values, number)
        except StateError as error:
            unread.damaged[number] = str(error)
    at = np.arange(len(ids))
    return Rows(own, total, at, at)
