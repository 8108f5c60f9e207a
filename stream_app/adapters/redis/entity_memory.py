"""Rows that a worker remembers: of cards, and the sums and parts of shared entities, by the rules of `write_through`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from stream_app.adapters.redis.doubts import Unread
from stream_app.adapters.redis.row_memory import RowMemory
from stream_app.errors import StateError
from stream_app.features.compute import PlacedRows, Rows
from stream_app.features.packing import Packer
from stream_app.features.plan import Ints, RowLayout

type Values = Sequence[bytes | None]
type OfEach = Sequence[tuple[int, list[str]]]
"""Partitions, and ids of each."""

CARD_MEMORY_BYTES = 48 * 2**20
"""Of all cards of a worker."""
SHARED_MEMORY_BYTES = 72 * 2**20
"""Of the sums of one shared entity of a worker."""


class RowUse(NamedTuple):
    """When a round uses rows, in ticks; rows used since the tick of the oldest batch in flight stay where they are."""

    used_at: int
    in_use_since: int


class CardMemory:
    """The cards of all partitions held here, and their cases."""

    def __init__(self, layout: RowLayout, packer: Packer) -> None:
        self._packer = packer
        self._rows = RowMemory(layout.width, max(1, CARD_MEMORY_BYTES // (8 * layout.width)))
        self._cases: dict[str, str] = {}

    def missing(self, of_each: Sequence[list[str]], tick: int) -> list[list[str]]:
        """Of each partition, the ids of those of its cards, as they are `known_as`, that are not remembered."""
        return [[name.partition(" ")[2] for name in self._rows.missing(names, tick)] for names in of_each]

    def learn(self, of_each: OfEach, values: Sequence[Values], use: RowUse) -> set[int]:
        """Remember cards as read, values of each partition; partitions of which a later version wrote one.

        Raises:
            StateError: if a value cannot be read; its `partition` says whose, and nothing of that partition is remembered.
        """
        newer = set[int]()
        for (partition, ids), of_partition in zip(of_each, values, strict=True):
            if not ids:
                continue
            names = known_as(partition, ids)
            slots, gone = self._rows.add(names, *use)
            for name in gone:
                self._cases.pop(name, None)
            try:
                cases, some_newer = self._packer.unpack_known(of_partition, ids, self._rows.rows, slots)
            except StateError as error:
                self.forget(partition)
                raise StateError(str(error), partition) from None
            if some_newer:
                newer.add(partition)
            self._cases.update((name, case) for name, case in zip(names, cases, strict=True) if case)
        return newer

    def rows(self, names: Sequence[str], tick: int) -> tuple[Rows, list[str]]:
        """Rows and cases of cards, as they are `known_as`, all learnt."""
        at, cases = self._rows.find(names, tick), self._cases
        return Rows(self._rows.rows, self._rows.rows, at, at), [cases.get(name, "") for name in names]

    def keep(self, names: Sequence[str], cases: Sequence[str]) -> None:
        """Remember the present cases of cards, as they are `known_as`."""
        self._cases.update((name, case) for name, case in zip(names, cases, strict=True) if case)

    def forget(self, partition: int) -> None:
        """Forget the cards of a partition."""
        for name in self._rows.forget(known_as(partition, [""])[0]):
            self._cases.pop(name, None)


def known_as(partition: int, ids: Sequence[str]) -> list[str]:
    """What cards of a partition are remembered as: two partitions may have the same card."""
    prefix = f"{partition} "
    return [prefix + name for name in ids]


class SharedMemory:
    """One shared entity: sums over the parts held here, and these parts packed (rule 5).

    Attributes:
        sums: a row of each id.
        parts: of each id its packed parts, beside `owned`; None where a partition has none.
    """

    def __init__(self, layout: RowLayout, packer: Packer, owned: Collection[int], *, kept: bool) -> None:
        """Args: `kept`: whether there is state of this entity; of others nothing is remembered, and no room is made."""
        self._layout, self._packer = layout, packer
        self._capacity = max(1, SHARED_MEMORY_BYTES // (8 * layout.width)) if kept else 1
        self.sums = RowMemory(layout.width, self._capacity)
        self._place = {partition: n for n, partition in enumerate(owned)}
        self.parts: dict[str, list[bytes | None]] = {}
        self._none = Rows.alone(np.empty((0, layout.width), dtype=np.int64))

    def clear(self) -> None:
        """Forget all. A batch in flight keeps the array that it works on; where there is none in use, none is made anew."""
        if len(self.sums):
            self.sums = RowMemory(self._layout.width, self._capacity)
        self.parts.clear()

    def learn(self, ids: list[str], values: dict[int, Values], use: RowUse) -> set[int]:
        """Remember the parts as read, a list for each partition held here; ids that came meanwhile stay as they are (rule 5).

        Returns:
            the partitions of which a later version wrote a part.

        Raises:
            StateError: if a value cannot be read; its `partition` says whose.
        """
        names = self.sums.missing(ids, use.used_at)
        if not names:
            return set()
        wanted: list[Values] = [values[partition] for partition in self._place]
        if len(names) < len(ids):
            new = set(names)
            chosen = [n for n, name in enumerate(ids) if name in new]
            wanted = [[of_partition[n] for n in chosen] for of_partition in wanted]
        slots, gone = self.sums.add(names, *use)
        for name in gone:
            del self.parts[name]
        partitions = [*self._place]
        try:
            newer = self._packer.sum(wanted, names, self.sums.rows, slots)
        except StateError as error:
            self.sums.drop(names)
            raise StateError(str(error), None if error.partition is None else partitions[error.partition]) from None
        self.parts.update(zip(names, map(list, zip(*wanted, strict=True)), strict=True))
        return {partitions[n] for n in newer}

    def keep(self, partition: int, names: Sequence[str], values: Sequence[bytes]) -> None:
        """Remember the present parts of a partition, of ids that are all learnt."""
        place, parts = self._place[partition], self.parts
        for name, value in zip(names, values, strict=True):
            parts[name][place] = value

    def rows(self, of_each: Sequence[tuple[int, list[str]]], others: dict[int, Values], tick: int, unread: Unread) -> Rows:
        """Rows of the ids of each partition of a round, all learnt.

        Args:
            of_each: partitions, and the ids of which each writes a part.
            others: values of the parts that other workers hold, by partition, of the distinct ids.
            tick: of the round.
            unread: gets what could not be read.
        """
        ids = [name for _, names in of_each for name in names]
        if not ids:
            return self._none
        at, here = self.sums.find(ids, tick), np.arange(len(ids))
        own = np.empty((len(ids), self._layout.width), dtype=np.int64)
        places, parts = self._place, self.parts
        values = [parts[name][place] for place, names in ((places[p], names) for p, names in of_each) for name in names]
        self._packer.unpack_known(values, ids, own, here)
        if not others:
            return Rows(own, self.sums.rows, here, at)
        first = {name: n for n, name in enumerate(dict.fromkeys(ids))}
        names, total_at = list(first), np.array([first[name] for name in ids], dtype=np.int64)
        total = self.sums.rows[self.sums.find(names, tick)]
        all_of_them = np.arange(len(names))
        for other, of_other in others.items():
            try:
                if add_parts(self._packer, total, all_of_them, names, of_other, other):
                    unread.newer.add(other)
            except StateError as error:
                unread.damaged[other] = str(error)
        return Rows(own, total, here, total_at, PlacedRows(self.sums.rows, at))


def add_parts(packer: Packer, rows: Ints, at: Ints, ids: Sequence[str], values: Values, partition: int) -> bool:
    """Add the packed parts of `partition` to `rows[at]`; whether there were some of a later version, which are left out.

    Raises:
        StateError: if a value cannot be read; then nothing was added.
    """
    try:
        return packer.add(values, ids, rows, at)
    except StateError as error:
        raise StateError(str(error), partition) from None
