"""A feature store in memory, under the same contract as the one in Redis. For tests and for trying things out: it forgets."""

from __future__ import annotations

from itertools import count

from stream_app.adapters.packed_rows import PackedRows
from stream_app.errors import NotOwner
from stream_app.ports import Cursor, PartitionState, WorkingSet


class MemoryStore:
    """Values and cursors in dicts, packed as in Redis."""

    def __init__(self) -> None:
        self._values: dict[tuple[int, str, str], bytes] = {}
        self._cursors: dict[int, Cursor] = {}
        self._owners = count(1)

    async def take_over(self, partition: int, partitions: int) -> tuple[PartitionState, Cursor]:
        """See `ports.FeatureStore`."""
        before = self._cursors.get(partition, Cursor(""))
        cursor = Cursor(f"memory-{next(self._owners)}", before.transactions, before.labels)
        self._cursors[partition] = cursor
        return _MemoryPartition(self, partition, partitions, cursor), cursor

    async def ping(self) -> None:
        """Always there."""

    async def close(self) -> None:
        """Nothing to let go of."""

    def get(self, partition: int, kind: str, name: str) -> bytes | None:
        """The packed value of a card or terminal part."""
        return self._values.get((partition, kind, name))

    def put(self, partition: int, expected: Cursor, cursor: Cursor, values: dict[tuple[str, str], bytes]) -> None:
        """All or nothing, and nothing where the cursor is not as expected."""
        self.check(partition, expected)
        self._values.update({(partition, kind, name): value for (kind, name), value in values.items()})
        self._cursors[partition] = cursor

    def check(self, partition: int, expected: Cursor) -> None:
        """The cursor must be as its owner left it."""
        if self._cursors[partition] != expected:
            raise NotOwner(f"Partition {partition} was taken over by another worker; this one let go of it.")


class _MemoryPartition:
    def __init__(self, store: MemoryStore, partition: int, partitions: int, cursor: Cursor) -> None:
        self._store = store
        self._partition = partition
        self._others = [p for p in range(partitions) if p != partition]
        self._cursor = cursor
        self._packed = PackedRows()

    async def read(self, card_ids: list[str], terminal_ids: list[str]) -> WorkingSet:
        store, own = self._store, self._partition
        store.check(own, self._cursor)
        parts = [[store.get(p, "t", t) for t in terminal_ids] for p in self._others]
        return self._packed.unpack(
            (card_ids, [store.get(own, "c", c) for c in card_ids]), (terminal_ids, [store.get(own, "t", t) for t in terminal_ids]), parts
        )

    async def write(self, work: WorkingSet, cursor: Cursor) -> None:
        cards, terminals = self._packed.pack(work)
        values = {("c", name): value for name, value in zip(work.card_ids, cards, strict=True)}
        values |= {("t", name): value for name, value in zip(work.terminal_ids, terminals, strict=True)}
        self._store.put(self._partition, self._cursor, cursor, values)
        self._cursor = cursor
