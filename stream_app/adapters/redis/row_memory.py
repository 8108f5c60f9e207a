"""Rows by id in one array, bounded: the least recently used give way.

A *tick* is the number of a batch, in the order in which batches begin. Rules:

1. A row is used at a tick, and never falls back to an earlier one: a batch that began earlier may look later.
2. Rows that were used since the oldest batch in flight began stay. Of the others the least recently used give way, an eighth of all at a time.
3. Where too few may give way, the array grows: `rows` is another array then, with what the one before held.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stream_app.features.plan import Ints

_GIVE_WAY = 8  # one row in so many at a time (2): choosing the oldest costs a pass over all


class RowMemory:
    """Rows of one entity.

    Attributes:
        rows: int64 [capacity, width]. Look it up after each `add` (rule 3).
    """

    def __init__(self, width: int, capacity: int) -> None:
        self.rows: Ints = np.empty((capacity, width), dtype=np.int64)  # pages are committed when first written
        self._slots: dict[str, int] = {}
        self._ids: list[str] = []
        self._used = np.zeros(capacity, dtype=np.int64)
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self._slots)

    def missing(self, ids: Sequence[str], tick: int) -> list[str]:
        """Those that are not remembered; the others are used at `tick`."""
        found = [*map(self._slots.get, ids)]
        missing = [name for name, slot in zip(ids, found, strict=True) if slot is None]
        there = [slot for slot in found if slot is not None]
        self._used[there] = np.maximum(self._used[there], tick)  # rule 1
        return missing

    def find(self, ids: Sequence[str], tick: int) -> Ints:
        """The rows of `ids`, all remembered; used at `tick`."""
        at = np.array([*map(self._slots.__getitem__, ids)], dtype=np.int64)
        self._used[at] = np.maximum(self._used[at], tick)  # rule 1
        return at

    def add(self, ids: Sequence[str], tick: int, in_use_since: int) -> tuple[Ints, list[str]]:
        """Rows for new ids, to be filled by the caller, and the ids that gave way; `in_use_since` is the oldest tick in flight (rule 2)."""
        gone = self._make_room(len(ids) - len(self._free), in_use_since)
        at = [self._free.pop() if self._free else self._grown() for _ in ids]
        for name, slot in zip(ids, at, strict=True):
            self._slots[name] = slot
            self._ids[slot] = name
        slots = np.array(at, dtype=np.int64)
        self._used[slots] = tick
        return slots, gone

    def forget(self, prefix: str) -> list[str]:
        """Forget the ids that begin so; which they were."""
        gone = [name for name in self._slots if name.startswith(prefix)]
        self.drop(gone)
        return gone

    def drop(self, ids: Sequence[str]) -> None:
        """Forget these, all remembered."""
        for name in ids:
            slot = self._slots.pop(name)
            self._used[slot] = 0
            self._free.append(slot)

    def _grown(self) -> int:
        self._ids.append("")
        return len(self._ids) - 1

    def _make_room(self, wanted: int, in_use_since: int) -> list[str]:
        """Free rows where the array would not hold `wanted` more (rule 2), or make it larger (rule 3)."""
        used = len(self._ids)
        if used + wanted <= len(self.rows):
            return []
        idle = np.flatnonzero((self._used[:used] < in_use_since) & (self._used[:used] > 0))
        if len(idle) < wanted:
            more = max(wanted, len(self.rows))
            self.rows = np.concatenate([self.rows, np.empty((more, self.rows.shape[1]), dtype=np.int64)])
            self._used = np.concatenate([self._used, np.zeros(more, dtype=np.int64)])
            return []
        leave = min(len(idle), max(wanted, used // _GIVE_WAY))
        oldest = idle[np.argpartition(self._used[idle], leave - 1)[:leave]].tolist()
        gone = [self._ids[slot] for slot in oldest]
        for slot, name in zip(oldest, gone, strict=True):
            del self._slots[name]
            self._used[slot] = 0
        self._free += oldest
        return gone
