"""The kernels of the table of list entries: open addressing with linear probing over hashes.

A slot holds 1 + the place of an entry, 0 where it is empty. Two values whose 64 bits of hash are the same are told apart by the caller.
"""

from __future__ import annotations

from typing import Any

from stream_app.features.compiled import jit

EMPTY = 0


@jit  # type: ignore[untyped-decorator]
def find(slots: Any, hashes: Any, wanted: Any, found: Any) -> None:
    """The place of the first entry with each hash that is wanted; -1 where there is none."""
    mask = len(slots) - 1
    for i in range(len(wanted)):
        h = wanted[i]
        slot = (h ^ (h >> 32)) & mask
        found[i] = -1
        while slots[slot] != EMPTY:
            if hashes[slots[slot] - 1] == h:
                found[i] = slots[slot] - 1
                break
            slot = (slot + 1) & mask


@jit  # type: ignore[untyped-decorator]
def place(slots: Any, hashes: Any, first: int, end: int) -> None:
    """Give the entries from `first` to `end` their slots. More than one may have the same hash."""
    mask = len(slots) - 1
    for entry in range(first, end):
        h = hashes[entry]
        slot = (h ^ (h >> 32)) & mask
        while slots[slot] != EMPTY:
            slot = (slot + 1) & mask
        slots[slot] = entry + 1
