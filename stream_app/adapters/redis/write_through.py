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
   again: nothing of it is packed, for a value that cannot be read cannot be changed. So is one whose cursor is of a later layout: its values
   can be read, and would lose the tiles that have no place here. What is counted stays in memory.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import chain, islice
from typing import NamedTuple

from stream_app.adapters.redis.doubts import Unread
from stream_app.adapters.redis.entity_memory import CardMemory, RowUse, SharedMemory, Values, known_as
from stream_app.adapters.redis.namespace import prefix_of
from stream_app.delivery.ports import Packed
from stream_app.features.entities import KeptEntities
from stream_app.features.packing import Packer
from stream_app.features.plan import catalogue_plan
from stream_app.scoring.ports import Ids, StateSeen, WorkingSet
from stream_app.scoring.positions import Cursor, Position


class Missing(NamedTuple):
    """What a round needs and this worker does not remember.

    Attributes:
        cards: of each partition of the round.
        shared: of each shared entity, distinct.
    """

    cards: list[list[str]]
    shared: list[list[str]]


class ReadValues(NamedTuple):
    """What was read for a round, packed.

    Attributes:
        missing: ids that are not remembered.
        cards: of the missing cards of each partition.
        shared: for each shared entity, of what is missing of it: its parts in every partition held here.
        others: for each shared entity, of all its distinct ids in the round: its parts in every partition that other workers hold.
    """

    missing: Missing
    cards: Sequence[Values]
    shared: Sequence[dict[int, Values]]
    others: Sequence[dict[int, Values]]


class WorkerMemory:
    """What the partitions of one worker share.

    Attributes:
        entities: that this worker keeps state of.
        rebuilding: those whose state is not whole.
        newer: those of a newer version (rule 8); `told_newer` are those that were told of, here or elsewhere.
    """

    def __init__(self, entities: KeptEntities) -> None:
        self.entities = entities
        plan = catalogue_plan()
        self.layouts = tuple(entity.layout for entity in plan.entities)
        self.prefixes = tuple(prefix_of(entity.entity) for entity in plan.entities)
        self.packers = tuple(Packer(layout) for layout in self.layouts)
        self.cards = CardMemory(self.layouts[0], self.packers[0])
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
        self.cards = CardMemory(self.layouts[0], self.packers[0])
        pairs = zip(self.layouts[1:], self.packers[1:], strict=True)
        self.shared = [SharedMemory(layout, packer, self.owned, kept=layout.entity in self.entities) for layout, packer in pairs]

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

    def written(self, partition: int, cursor: Cursor, generation: int) -> None:
        """The batch in flight, begun in this generation of the sums, is in the store (rule 4)."""
        self.stands(partition, cursor)
        if generation == self.generation:
            self.end(partition)
        else:
            self.forget(partition)

    def forget_all(self, partition: int) -> None:
        """Drop every sum, and this partition's cards (rule 2)."""
        self.cards.forget(partition)
        self.forget(partition)

    def forget(self, partition: int) -> None:
        """Drop every sum (rules 2, 4); what is packed and not written is in doubt from now on (rule 7)."""
        self.end(partition)
        self._unsettled |= self._counted.keys()
        self._counted.clear()
        self.generation += 1
        for shared in self.shared:
            shared.clear()


class RoundMemory:
    """What a worker remembers for one round: micro-batches of some of its partitions, one after the other. From question to packing."""

    def __init__(self, worker: WorkerMemory, of_each: Sequence[tuple[int, Ids]]) -> None:
        """Args: `of_each`: the partitions, and the ids that each asks for, distinct."""
        self._worker = worker
        self.partitions = [partition for partition, _ in of_each]
        self._cards, *self._shared = [[(p, ids[n]) for p, ids in of_each] for n in range(len(worker.layouts))]
        self._known = [known_as(partition, ids) for partition, ids in self._cards]
        self._names = list(chain.from_iterable(self._known))
        self.distinct = [list(dict.fromkeys(name for _, names in entity for name in names)) for entity in self._shared]
        self._use, self.generation = RowUse(0, 0), worker.generation

    def missing(self) -> Missing:
        """What must be read before `assemble`; the rest stays until it is `written` (rule 6)."""
        worker = self._worker
        for partition in self.partitions:
            self._use = worker.start(partition)
        self.generation, tick = worker.generation, self._use.used_at
        shared = [memory.sums.missing(wanted, tick) for memory, wanted in zip(worker.shared, self.distinct, strict=True)]
        return Missing(worker.cards.missing(self._known, tick), shared)

    @property
    def still_there(self) -> bool:
        """Whether no sum was dropped since `missing`: if not, ask again (rule 3)."""
        return self.generation == self._worker.generation

    def assemble(self, read: ReadValues) -> tuple[WorkingSet, Unread]:
        """The working set, and what could not be read of other partitions.

        Args:
            read: what `missing` asked for, and what other workers hold.

        Raises:
            StateError: if a value of a partition held here cannot be read; its `partition` says whose.
        """
        worker, use = self._worker, RowUse(self._worker.newest, self._use.in_use_since)
        lacked = list(zip(self.partitions, read.missing.cards, strict=True))
        worker.newer |= worker.cards.learn(lacked, read.cards, use)
        of_cards, cases = worker.cards.rows(self._names, use.used_at)
        rows, unread = [of_cards], Unread()
        for memory, wanted, missing, values, foreign in zip(
            worker.shared, self._shared, read.missing.shared, read.shared, read.others, strict=True
        ):
            worker.newer |= memory.learn(missing, values, use)
            rows.append(memory.rows(wanted, foreign, use.used_at, unread))
        unread.newer |= worker.newer
        ids = tuple([name for _, names in entity for name in names] for entity in (self._cards, *self._shared))
        return WorkingSet(ids, tuple(rows), cases, tuple(StateSeen(of_newer=p in worker.newer) for p in self.partitions)), unread

    def pack(self, work: WorkingSet, reached: Sequence[Position]) -> list[Packed]:
        """See `ports.FeatureStore.pack`."""
        worker = self._worker
        worker.cards.keep(self._names, work.case_ids)
        packed: list[list[tuple[str, bytes]]] = [[] for _ in self.partitions]
        for entity, (of_each, rows) in enumerate(zip((self._cards, *self._shared), work.rows, strict=True)):
            values = iter(worker.packers[entity].pack(rows.own, rows.own_at, None if entity else work.case_ids))
            prefix = worker.prefixes[entity]
            for of_partition, (partition, names) in zip(packed, of_each, strict=True):
                own = list(islice(values, len(names)))
                of_partition.extend(zip([prefix + name for name in names], own, strict=True))
                if entity and self.still_there:
                    worker.shared[entity - 1].keep(partition, names, own)
        for partition, position in zip(self.partitions, reached, strict=True):
            worker.counts(partition, position)
        return [[] if seen.of_newer else of_partition for seen, of_partition in zip(work.seen, packed, strict=True)]  # rule 8
