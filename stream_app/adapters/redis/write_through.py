"""What a worker remembers of the partitions that it holds, so that it need not read again what it wrote itself.

- *Cards* of a partition: rows, as the kernel changes them, and their cases.
- *Shared entities* (terminals …): for each, one row that is the sum over the parts of all partitions held here, and each of these
  parts in its packed form. So a payment in one partition counts at once for the next payment at the terminal in another.
  Parts of partitions that other workers hold are read each time.

Nobody else writes any of it: the store finds out where somebody did (`store`, rule 2). A batch is *in flight* from `missing` until it is
`written` or its partition is forgotten; its *tick* is its number, in the order in which batches begin. Rules:

1. A batch counts in the sums before it is written: memory runs ahead of the store by the batches in flight.
2. A batch that fails takes every sum along, and its partition's cards: they contain what was not written.
3. A batch that asked before sums were dropped asks again, before it is assembled.
4. A batch that was packed before sums were dropped drops those that were made since when it is written: they may lack it.

    partition 0    asks ······· packs ··············································· written: sums dropped
    partition 1         asks ········· fails: sums dropped · asks · reads 0's part as it was

5. A shared id is in the sum and in every part, or in none. What is there is never replaced by what was read.
6. A row that is used stays until every batch has ended that had begun by then: it may have asked for the same row, and what it is told
   is older.

    partition 0    asks for t ····················································· told: nothing · t is there: passed over (5)
    partition 1         asks for t · told: nothing · counts in t · written
    partition 2                                                       fills the memory: t stays (6)

7. The sums contain what is known of each partition held here: all that is written, and what is packed. Where sums were dropped under a
   batch that was packed, nobody can say so until it is written: what is read meanwhile has it, or has it not.
8. A value of a later version is left out of the sums. A partition held here that has one is *of a newer version* until it is taken over
   again: nothing of it is packed, for a value that cannot be read cannot be changed. What is counted stays in memory.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from stream_app.adapters.redis.doubts import Unread
from stream_app.adapters.redis.namespace import prefix_of
from stream_app.adapters.redis.row_memory import RowMemory
from stream_app.delivery.ports import Packed
from stream_app.errors import StateError
from stream_app.features import kernel
from stream_app.features.compute import PlacedRows, Rows
from stream_app.features.packing import Packer
from stream_app.features.plan import Ints, RowLayout, catalogue_plan
from stream_app.scoring.ports import Ids, WorkingSet
from stream_app.scoring.positions import Cursor, Position

type Values = Sequence[bytes | None]

CARD_MEMORY_BYTES = 48 * 2**20
"""Of all cards of a worker."""
SHARED_MEMORY_BYTES = 72 * 2**20
"""Of the sums of one shared entity of a worker."""


class RowUse(NamedTuple):
    """When a micro-batch uses rows, in ticks; rows used since the tick of the oldest batch in flight stay where they are."""

    used_at: int
    in_use_since: int


class ReadValues(NamedTuple):
    """What was read for a micro-batch, packed.

    Attributes:
        missing: ids that are not remembered.
        cards: of the missing cards.
        shared: for each shared entity, of what is missing of it: its parts in every partition held here.
        others: for each shared entity, of all ids of the batch: its parts in every partition that other workers hold.
    """

    missing: Ids
    cards: Values
    shared: Sequence[dict[int, Values]]
    others: Sequence[dict[int, Values]]


class WorkerMemory:
    """What the partitions of one worker share.

    Attributes:
        rebuilding: those whose state is not whole.
        newer: those of a newer version (rule 8); `told_newer` are those that were told of, here or elsewhere.
    """

    def __init__(self) -> None:
        plan = catalogue_plan()
        self.layouts = tuple(entity.layout for entity in plan.entities)
        self.prefixes = tuple(prefix_of(entity.entity) for entity in plan.entities)
        self.packers = tuple(Packer(layout) for layout in self.layouts)
        self.shared: list[SharedMemory] = []
        self.generation = 0
        self.rebuilding: set[int] = set()
        self.newer: set[int] = set()
        self.told_newer: set[int] = set()
        self._tick = 0
        self._in_flight: dict[int, int] = {}
        self._written: dict[int, Position] = {}
        self._counted: dict[int, Position] = {}
        self._unsettled: set[int] = set()
        self.hold(())

    def hold(self, owned: Collection[int]) -> None:
        """Forget everything; remember these partitions from now on."""
        self.owned = tuple(sorted(owned))
        self.generation += 1
        self.rebuilding.clear()
        self.newer.clear()
        self.told_newer.clear()
        for known in (self._in_flight, self._written, self._counted, self._unsettled):
            known.clear()
        pairs = zip(self.layouts[1:], self.packers[1:], strict=True)
        self.shared = [SharedMemory(layout, packer, self.owned) for layout, packer in pairs]

    def stands(self, partition: int, cursor: Cursor) -> None:
        """The store has a partition's state as of this cursor."""
        (self.rebuilding.add if cursor.rebuilding else self.rebuilding.discard)(partition)
        self._written[partition] = cursor.position

    def counts(self, partition: int, reached: Position) -> None:
        """The sums include a partition's batch, which ends here and is not written yet (rule 1)."""
        self._counted[partition] = reached

    @property
    def positions(self) -> dict[int, Position] | None:
        """What the parts held here contain; None where nobody can say (rule 7)."""
        return None if self._unsettled else self._written | self._counted

    def start(self, partition: int) -> RowUse:
        """A batch of this partition begins."""
        self._tick += 1
        self._in_flight[partition] = self._tick
        return RowUse(self._tick, min(self._in_flight.values()))

    @property
    def newest(self) -> int:
        """The newest tick given out: what is used now is used at it (rule 6)."""
        return self._tick

    def end(self, partition: int) -> None:
        """The batch in flight is written."""
        self._in_flight.pop(partition, None)
        self._counted.pop(partition, None)
        self._unsettled.discard(partition)

    def forget(self, partition: int) -> None:
        """Drop every sum (rules 2, 4); what is packed and not written is in doubt from now on (rule 7)."""
        self.end(partition)
        self._unsettled |= self._counted.keys()
        self._counted.clear()
        self.generation += 1
        for shared in self.shared:
            shared.clear()


class SharedMemory:
    """One shared entity: sums over the parts held here, and these parts packed (rule 5)."""

    def __init__(self, layout: RowLayout, packer: Packer, owned: Collection[int]) -> None:
        self._layout, self._packer = layout, packer
        self._capacity = max(1, SHARED_MEMORY_BYTES // (8 * layout.width))
        self.sums = RowMemory(layout.width, self._capacity)
        self.parts: dict[int, dict[str, bytes | None]] = {p: {} for p in owned}

    def clear(self) -> None:
        """Forget all. A batch in flight keeps the array that it works on; where there is none in use, none is made anew."""
        if len(self.sums):
            self.sums = RowMemory(self._layout.width, self._capacity)
        for part in self.parts.values():
            part.clear()

    def learn(self, ids: list[str], values: dict[int, Values], use: RowUse) -> set[int]:
        """Remember the parts as read, a list for each partition held here; ids that came meanwhile stay as they are (rule 5).

        Returns:
            the partitions of which a later version wrote a part.

        Raises:
            StateError: if a value cannot be read; its `partition` says whose.
        """
        new = set(self.sums.missing(ids, use.used_at))
        if not new:
            return set()
        chosen = [n for n, name in enumerate(ids) if name in new]
        names = [ids[n] for n in chosen]
        total, newer = np.zeros((len(names), self._layout.width), dtype=np.int64), set[int]()
        for partition in self.parts:
            if add_parts(total, self._layout, self._packer, names, [values[partition][n] for n in chosen], partition):
                newer.add(partition)
        slots, gone = self.sums.add(names, *use)
        self.sums.rows[slots] = total
        for partition, parts in self.parts.items():
            parts.update(zip(names, (values[partition][n] for n in chosen), strict=True))
            for name in gone:
                del parts[name]
        return newer

    def rows(self, partition: int, ids: list[str], others: dict[int, Values], tick: int, unread: Unread) -> Rows:
        """Rows of `ids`, all learnt.

        Args:
            partition: whose part is to be written.
            ids: distinct.
            others: values of the parts that other workers hold, by partition.
            tick: of the batch.
            unread: gets what could not be read.
        """
        at, here = self.sums.find(ids, tick), np.arange(len(ids))
        own = np.empty((len(ids), self._layout.width), dtype=np.int64)
        self._packer.unpack_known([*map(self.parts[partition].__getitem__, ids)], ids, own, here)
        if not others:
            return Rows(own, self.sums.rows, here, at)
        total = self.sums.rows[at]
        for other, values in others.items():
            try:
                if add_parts(total, self._layout, self._packer, ids, values, other):
                    unread.newer.add(other)
            except StateError as error:
                unread.damaged[other] = str(error)
        return Rows(own, total, here, here, PlacedRows(self.sums.rows, at))


class PartitionMemory:
    """What is remembered of one partition, from a takeover on."""

    def __init__(self, worker: WorkerMemory, partition: int) -> None:
        self._worker = worker
        worker.newer.discard(partition)
        self._partition = partition
        self._packer = worker.packers[0]
        self._width = worker.layouts[0].width
        self._capacity = max(1, CARD_MEMORY_BYTES // (8 * self._width * max(1, len(worker.owned))))
        self._use = RowUse(0, 0)
        self._generation = worker.generation
        self._clear()

    def _clear(self) -> None:
        self._cards = RowMemory(self._width, self._capacity)
        self._cases: dict[str, str] = {}

    def missing(self, ids: Ids) -> Ids:
        """What must be read of this partition, and of the others held here, before `assemble`; the rest stays until `written` (rule 6)."""
        self._use, self._generation = self._worker.start(self._partition), self._worker.generation
        rows = (self._cards, *(memory.sums for memory in self._worker.shared))
        return tuple(memory.missing(wanted, self._use.used_at) for memory, wanted in zip(rows, ids, strict=True))

    @property
    def still_there(self) -> bool:
        """Whether no sum was dropped since `missing`: if not, ask again (rule 3)."""
        return self._generation == self._worker.generation

    def assemble(self, ids: Ids, read: ReadValues) -> tuple[WorkingSet, Unread]:
        """The working set, and what could not be read of other partitions.

        Args:
            ids: distinct, of each entity.
            read: what `missing` asked for, and what other workers hold.

        Raises:
            StateError: if a value of a partition held here cannot be read; its `partition` says whose.
        """
        use = RowUse(self._worker.newest, self._use.in_use_since)
        self._learn_cards(read.missing[0], read.cards, use)
        at = self._cards.find(ids[0], use.used_at)
        rows, unread = [Rows(self._cards.rows, self._cards.rows, at, at)], Unread()
        for memory, wanted, lacked, values, foreign in zip(
            self._worker.shared, ids[1:], read.missing[1:], read.shared, read.others, strict=True
        ):
            self._worker.newer |= memory.learn(lacked, values, use)
            rows.append(memory.rows(self._partition, wanted, foreign, use.used_at, unread))
        unread.newer |= self._worker.newer
        cases, of_newer = self._cases, self._partition in self._worker.newer
        return WorkingSet(ids, tuple(rows), [cases.get(c, "") for c in ids[0]], of_newer=of_newer), unread

    def _learn_cards(self, ids: list[str], values: Values, use: RowUse) -> None:
        if not ids:
            return
        slots, gone = self._cards.add(ids, *use)
        for name in gone:
            self._cases.pop(name, None)
        try:
            cases, newer = self._packer.unpack_known(values, ids, self._cards.rows, slots)
        except StateError as error:
            self._clear()
            raise StateError(str(error), self._partition) from None
        if newer:
            self._worker.newer.add(self._partition)
        self._cases.update((name, case) for name, case in zip(ids, cases, strict=True) if case)

    def pack(self, work: WorkingSet, reached: Position) -> Packed:
        """See `ports.PartitionState.pack`."""
        self._cases.update((name, case) for name, case in zip(work.ids[0], work.case_ids, strict=True) if case)
        packed: list[tuple[str, bytes]] = []
        for entity, (ids, rows) in enumerate(zip(work.ids, work.rows, strict=True)):
            values = self._worker.packers[entity].pack(rows.own, rows.own_at, None if entity else work.case_ids)
            prefix = self._worker.prefixes[entity]
            packed += zip([prefix + name for name in ids], values, strict=True)
            if entity and self.still_there:
                self._worker.shared[entity - 1].parts[self._partition].update(zip(ids, values, strict=True))
        self._worker.counts(self._partition, reached)
        return [] if work.of_newer else packed  # rule 8

    def written(self, cursor: Cursor) -> None:
        """The batch in flight is in the store (rule 4)."""
        self._worker.stands(self._partition, cursor)
        if self.still_there:
            self._worker.end(self._partition)
        else:
            self._worker.forget(self._partition)

    def forget(self) -> None:
        """See `ports.PartitionState.forget`."""
        self._clear()
        self._worker.forget(self._partition)


def add_parts(total: Ints, layout: RowLayout, packer: Packer, ids: list[str], values: Values, partition: int) -> bool:
    """Add the packed parts of `partition` to the rows of `total`; whether there were some of a later version, which are left out.

    Raises:
        StateError: if a value cannot be read; then nothing was added.
    """
    there = [n for n, v in enumerate(values) if v is not None]
    if not there:
        return False
    rows = np.empty((len(there), layout.width), dtype=np.int64)
    try:
        _, newer = packer.unpack_known([values[n] for n in there], [ids[n] for n in there], rows, np.arange(len(there)))
    except StateError as error:
        raise StateError(str(error), partition) from None
    kernel.absorb_all(layout.table, total, np.array(there, dtype=np.int64), rows)  # what was left out is zeros, and adds nothing
    return newer
