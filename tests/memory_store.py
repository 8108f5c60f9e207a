"""A feature store in memory, under the same contract as the one in Redis (`tests/contract/test_feature_store.py`): it forgets.

It remembers nothing beside its dict of packed values and reads all of them anew for each batch: slow and plain.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import numpy as np

from stream_app.adapters.redis.damage_mark import fresh_token, is_of_before
from stream_app.adapters.redis.doubts import Unread
from stream_app.adapters.redis.entity_memory import add_parts
from stream_app.adapters.redis.idle import idle_keys
from stream_app.adapters.redis.namespace import prefix_of
from stream_app.delivery.ports import Packed, PartitionState, StateRequest
from stream_app.errors import NotOwner, StateError
from stream_app.features.compute import Rows
from stream_app.features.entities import KEPT_BY_DEFAULT, KeptEntities
from stream_app.features.packing import Packer
from stream_app.features.plan import EntityPlan, catalogue_plan
from stream_app.scoring.outcomes import NO_NOTES, NoteKey, Notes
from stream_app.scoring.ports import Ids, StateSeen, WorkingSet
from stream_app.scoring.positions import START, Cursor, Position


@dataclass
class _Kept:
    """What a partition has: its cursor, its values, and a reader's mark, see `damage_mark`."""

    cursor: Cursor | None = None
    values: dict[str, bytes] = field(default_factory=dict)
    mark: bytes | None = None
    notes: dict[NoteKey, bytes] = field(default_factory=dict)


class MemoryStore:
    """Values and cursors in dicts, packed as in Redis."""

    def __init__(self, entities: KeptEntities = KEPT_BY_DEFAULT) -> None:
        self.entities = entities
        self.kept: dict[int, _Kept] = {}
        self._partitions = 0

    def hold(self, owned: Collection[int], partitions: int) -> None:
        """See `ports.FeatureStore`."""
        self._partitions = partitions
        for partition in owned:
            self.kept.setdefault(partition, _Kept())

    async def take_over(self, partition: int) -> tuple[PartitionState, Cursor]:
        """See `ports.FeatureStore`."""
        kept = self.kept.setdefault(partition, _Kept())
        found = kept.cursor or Cursor("", begun=False)
        kept.cursor, kept.mark = found.taken_over(fresh_token()), None
        others = {p: self.kept.setdefault(p, _Kept()) for p in range(self._partitions) if p != partition}
        return _MemoryPartition(partition, kept, others, kept.cursor, self.entities), kept.cursor

    async def read(self, asked: Sequence[StateRequest]) -> WorkingSet:
        """See `ports.FeatureStore`: each partition's by itself, then all as if those before it in the round were written."""
        return _together(asked, [await one.state.read(one.ids, one.noted) for one in asked])

    def pack(self, asked: Sequence[StateRequest], work: WorkingSet) -> list[Packed]:
        """See `ports.FeatureStore`."""
        return [one.state.pack(of_one, one.reached) for one, of_one in zip(asked, _apart(asked, work), strict=True)]

    async def ping(self) -> None:
        """Always there."""

    async def check(self) -> None:
        """It drops nothing."""

    async def close(self) -> None:
        """Nothing to let go of."""


class _MemoryPartition:
    def __init__(self, partition: int, kept: _Kept, others: dict[int, _Kept], cursor: Cursor, entities: KeptEntities) -> None:
        self._entities = entities
        self.number = self._partition = partition
        self._kept = kept
        self._others = others
        self._cursor = cursor
        self._mark_of_before = False
        self._of_newer = cursor.of_later_layout

    async def read(self, ids: Ids, noted: Collection[NoteKey] = ()) -> WorkingSet:
        self._check()
        self._mark_of_before = is_of_before(self._kept.mark, self._cursor.owner, self._partition)
        unread = Unread()
        rows, cases = [], [""]
        for entity, wanted in zip(catalogue_plan().entities, ids, strict=True):
            own = np.empty((len(wanted), entity.layout.width), dtype=np.int64)
            found = Packer(entity.layout)
            try:
                read, of_newer = found.unpack_known(_values(self._kept, entity, wanted), wanted, own, np.arange(len(wanted)))
            except StateError as error:
                raise StateError(str(error), self._partition) from None
            self._of_newer |= of_newer
            if entity.entity == "card":
                cases = read
                rows.append(Rows.alone(own))
            else:
                rows.append(self._shared(entity, wanted, own, unread))
        unfinished = {p for p, other in self._others.items() if other.cursor is None or other.cursor.rebuilding}
        without = {p for p, other in self._others.items() if other.cursor is not None and other.cursor.lacks(self._entities)}
        unread.newer |= {self._partition} if self._of_newer else set()
        cursors = {p: other.cursor for p, other in self._others.items()} | {self._partition: self._cursor}
        positions = tuple(cursor.position if cursor else START for _, cursor in sorted(cursors.items()))
        notes = {key: self._kept.notes[key] for key in noted if key in self._kept.notes}
        return WorkingSet(ids, tuple(rows), cases, (StateSeen(unread.doubts(unfinished, without), positions, notes, self._of_newer),))

    async def confirm(self) -> None:
        self._check()
        self._mark_of_before = is_of_before(self._kept.mark, self._cursor.owner, self._partition)

    def _shared(self, entity: EntityPlan, wanted: list[str], own: np.ndarray[tuple[int, int], np.dtype[np.int64]], unread: Unread) -> Rows:
        total, here = own.copy(), np.arange(len(wanted))
        for partition, other in self._others.items():
            try:
                if add_parts(Packer(entity.layout), total, np.arange(len(wanted)), wanted, _values(other, entity, wanted), partition):
                    unread.newer.add(partition)
            except StateError as error:
                other.mark = other.cursor.owner.encode() if other.cursor else other.mark
                unread.damaged[partition] = str(error)
        return Rows(own, total, here, here) if self._others else Rows.alone(own)

    def pack(self, work: WorkingSet, reached: Position) -> Packed:  # noqa: ARG002 - nothing is remembered: the cursor says it
        packed: list[tuple[str, bytes]] = []
        for entity, wanted, rows in zip(catalogue_plan().entities, work.ids, work.rows, strict=True):
            values = Packer(entity.layout).pack(rows.own, rows.own_at, work.case_ids if entity.entity == "card" else None)
            packed += zip([_key(entity, name) for name in wanted], values, strict=True)
        return [] if work.seen[0].of_newer else packed

    async def write(self, packed: Packed, cursor: Cursor, notes: Notes = NO_NOTES) -> None:
        self._check()
        self._kept.values.update(packed)
        self._kept.notes.update(notes)
        self._now_at(cursor, self._cursor.owner)

    async def begin(self, cursor: Cursor) -> None:
        self._check()
        self._kept.values.clear()
        self._kept.notes.clear()
        self._of_newer = False
        self._mark_of_before = True
        self._now_at(cursor, fresh_token())

    def _now_at(self, cursor: Cursor, owner: str) -> None:
        self._kept.cursor = self._cursor = msgspec.structs.replace(cursor, owner=owner)
        if self._mark_of_before:
            self._kept.mark, self._mark_of_before = None, False

    async def sweep(self, before_ms: int) -> int:
        self._check()
        values = self._kept.values
        idle = idle_keys([*values], [*values.values()], before_ms, self._partition)
        for name in idle:
            del values[name]
        return len(idle)

    def forget(self) -> None:
        pass

    def _check(self) -> None:
        if self._kept.cursor != self._cursor:
            raise NotOwner(f"Partition {self._partition}: another worker took over.")


def _together(asked: Sequence[StateRequest], works: Sequence[WorkingSet]) -> WorkingSet:
    """A round of what was read for each. All that name a terminal share its sum, so each sees those before it in the round."""
    if len(works) == 1:
        return works[0]
    rows = []
    for n, entity in enumerate(zip(*(work.rows for work in works), strict=True)):
        own, here = np.concatenate([of_one.own[of_one.own_at] for of_one in entity]), np.arange(sum(len(work.ids[n]) for work in works))
        names = [name for work in works for name in work.ids[n]]
        if n == 0:
            rows.append(Rows(own, own, here, here))
            continue
        first = {name: place for place, name in reversed(list(enumerate(names)))}
        total = np.concatenate([of_one.total[of_one.total_at] for of_one in entity])
        rows.append(Rows(own, total, here, np.array([first[name] for name in names], dtype=np.int64)))
    ids = tuple([name for work in works for name in work.ids[n]] for n in range(len(rows)))
    return WorkingSet(ids, tuple(rows), [case for work in works for case in work.case_ids], tuple(_seen(asked, works)))


def _seen(asked: Sequence[StateRequest], works: Sequence[WorkingSet]) -> Iterator[StateSeen]:
    moved: dict[int, Position] = {}
    for one, work in zip(asked, works, strict=True):
        (seen,) = work.seen
        at = tuple(moved.get(p, position) for p, position in enumerate(seen.positions or ()))
        yield replace(seen, positions=at)
        moved[number_of(one.state)] = one.reached


def number_of(state: Any) -> int:
    """Of the partition whose state this is, however it is wrapped."""
    number: int = state.number
    return number


def _apart(asked: Sequence[StateRequest], work: WorkingSet) -> Iterator[WorkingSet]:
    """What is each partition's of a round."""
    if len(asked) == 1:
        yield work
        return
    at = [0] * len(work.ids)
    for one, seen in zip(asked, work.seen, strict=True):
        runs = [slice(first, first + len(names)) for first, names in zip(at, one.ids, strict=True)]
        at = [run.stop for run in runs]
        rows = tuple(Rows(r.own, r.total, r.own_at[run], r.total_at[run]) for r, run in zip(work.rows, runs, strict=True))
        yield WorkingSet(one.ids, rows, work.case_ids[runs[0]], (seen,))


def _key(entity: EntityPlan, name: str) -> str:
    return f"{prefix_of(entity.entity)}{name}"


def _values(kept: _Kept, entity: EntityPlan, wanted: Sequence[str]) -> list[bytes | None]:
    return [kept.values.get(_key(entity, name)) for name in wanted]
