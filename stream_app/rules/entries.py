"""The entries of all lists in arrays: a million of them in less than 100 MB, asked for a whole micro-batch at once.

1. An entry is a row of `_columns`, found by a hash of its list and value; the values themselves lie end to end in one run of bytes, so that a
   hit is compared in full: no list ever holds what was not put there, whatever its hash.
2. An entry that is put again is written over; one that is dropped keeps its row until half of the rows are dead, then all are laid out anew; so
   they are where half of the bytes, or of the reasons and authors, are asked for by nobody any more.
3. Reasons and authors are kept once each.
4. What is too much is said of what lives alone: who started from a checkpoint has nothing that is dead, and must refuse the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_app.errors import RuleError
from stream_app.features.plan import Ints
from stream_app.rules.probing import find, place

MAX_LISTS = 64
MAX_ENTRIES = 2_000_000
MAX_VALUE_BYTES = 128_000_000
MAX_NOTES = 200_000
"""How many reasons and authors may differ."""
FOREVER = 2**63 - 1
"""The end of an entry that has none, ms."""

_DEAD = 0
_LEAST_ROWS = 1 << 10
_LEAST_BYTES = 1 << 16
_ROW = np.dtype(
    [("list", np.int16), ("length", np.uint16), ("start", np.uint32), ("reason", np.int32), ("author", np.int32), ("until_ms", np.int64)]
)
_MIX = 0x9E3779B97F4A7C15
_64_BITS = 2**64


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry.

    Attributes:
        until_ms: its end in event time, ms, not included; `FOREVER` where it has none.
    """

    value: str
    until_ms: int
    reason: str
    author: str


class Entries:
    """The entries of all lists, by the list's number and the value."""

    def __init__(self) -> None:
        self._clear(_LEAST_ROWS)

    def _clear(self, rows: int) -> None:
        self._rows = np.zeros(rows, dtype=_ROW)
        self._hashes = np.zeros(rows, dtype=np.int64)
        self._slots = np.zeros(2 * rows, dtype=np.int32)
        self._values = bytearray()
        self._count, self.live, self._live_bytes = 0, 0, 0
        self._counts = np.zeros(MAX_LISTS, dtype=np.int64)
        self._notes: dict[str, int] = {}
        self._note_texts: list[str] = []
        self._note_uses = np.zeros(_LEAST_ROWS, dtype=np.int64)

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the entries take, as far as arrays and texts say it themselves."""
        notes = sum(len(text) + 120 for text in self._note_texts)
        return self._rows.nbytes + self._hashes.nbytes + self._slots.nbytes + len(self._values) + self._note_uses.nbytes + notes

    def new(self, of_list: int, values: Sequence[str]) -> list[str]:
        """Those that a list does not hold."""
        rows = self.find(of_list, hashes_of(of_list, hashes_of_values(values)), values)
        return [values[n] for n in np.flatnonzero(self.until(rows) == _DEAD).tolist()]

    def check_room(self, of_list: int, values: Sequence[str], notes: Sequence[str]) -> None:
        """Refuse what would be too many, before anything is written.

        Raises:
            RuleError: naming the bound.
        """
        new = self.new(of_list, values)
        more = sum(len(value.encode()) for value in new)
        fresh = sum(note not in self._notes or not self._note_uses[self._notes[note]] for note in set(notes))
        for what, there, bound in (
            ("entries", self.live + len(new), MAX_ENTRIES),
            ("bytes of values", self._live_bytes + more, MAX_VALUE_BYTES),
            ("reasons and authors that differ", int(np.count_nonzero(self._note_uses)) + fresh, MAX_NOTES),
        ):
            if there > bound:
                raise RuleError(
                    f"The lists would hold {there:,} {what}; {bound:,} are allowed. Remove entries that ended, or that are not asked for."
                )

    def put(self, of_list: int, values: Sequence[str], until_ms: Sequence[int], notes: tuple[str, str]) -> None:
        """Add entries, or write them over; values differ from one another. `notes`: reason and author."""
        hashes = hashes_of(of_list, hashes_of_values(values))
        there = self.find(of_list, hashes, values)
        reason, author = (self._note(text) for text in notes)
        ends = np.array(until_ms, dtype=np.int64)
        fresh = np.flatnonzero(there < 0)
        known = there[there >= 0]
        self._forget(known[self._rows["until_ms"][known] != _DEAD])
        self._write(of_list, known, ends[there >= 0], (reason, author))
        if len(fresh):
            self._add(of_list, [values[n] for n in fresh.tolist()], hashes[fresh])
            self._write(of_list, np.arange(self._count - len(fresh), self._count), ends[fresh], (reason, author))
        self._tidy()

    def _add(self, of_list: int, values: Sequence[str], hashes: Ints) -> None:
        """Rows for values that have none: dead, until they are written."""
        self._make_room(len(values))
        first = self._count
        raw = [value.encode() for value in values]
        lengths = np.array([len(one) for one in raw], dtype=np.int64)
        new = self._rows[first : first + len(raw)]
        new["list"], new["length"] = of_list, lengths
        new["start"] = len(self._values) + np.cumsum(lengths) - lengths
        self._values += b"".join(raw)
        self._hashes[first : first + len(raw)] = hashes
        self._count += len(raw)
        place(self._slots, self._hashes, first, self._count)

    def _write(self, of_list: int, places: Ints, ends: Ints, notes: tuple[int, int]) -> None:
        """Bring rows of a list, none of them alive, to life."""
        self._rows["until_ms"][places] = ends
        for name, note in zip(("reason", "author"), notes, strict=True):
            self._rows[name][places] = note
            self._note_uses[note] += len(places)
        self.live += len(places)
        self._counts[of_list] += len(places)
        self._live_bytes += int(self._rows["length"][places].sum())

    def _forget(self, places: Ints) -> None:
        """What rows that lived counted for; they are dead, or about to be written."""
        self.live -= len(places)
        self._counts -= np.bincount(self._rows["list"][places], minlength=MAX_LISTS)
        self._live_bytes -= int(self._rows["length"][places].sum())
        for name in ("reason", "author"):
            np.subtract.at(self._note_uses, self._rows[name][places], 1)

    def drop(self, of_list: int, values: Sequence[str]) -> int:
        """Remove entries; how many there were."""
        return self._kill(self.find(of_list, hashes_of(of_list, hashes_of_values(values)), values))

    def drop_ended(self, before_ms: int) -> int:
        """Remove those that ended at or before a time; how many there were."""
        ends = self._rows["until_ms"][: self._count]
        return self._kill(np.flatnonzero((ends > _DEAD) & (ends <= before_ms)))

    def _kill(self, places: Ints) -> int:
        places = places[places >= 0]
        places = places[self._rows["until_ms"][places] != _DEAD]
        self._rows["until_ms"][places] = _DEAD
        self._forget(places)
        self._tidy()
        return len(places)

    def _tidy(self) -> None:
        """Lay all out anew where more than half of it is dead."""
        used = int(np.count_nonzero(self._note_uses))
        for there, alive, least in (
            (self._count, self.live, _LEAST_ROWS),
            (len(self._values), self._live_bytes, _LEAST_BYTES),
            (len(self._note_texts), used, _LEAST_ROWS),
        ):
            if there - alive > max(alive, least):
                self._lay_out(self.live)
                return

    def find(self, of_list: int, hashes: Ints, values: Sequence[str | None]) -> Ints:
        """The row of each value, int64; -1 where the list does not hold it. A dropped entry may still have one: see `until`."""
        found = np.empty(len(hashes), dtype=np.int64)
        find(self._slots, self._hashes, hashes, found)
        hits = np.flatnonzero(found >= 0)
        rows = self._rows[found[hits]]
        spans = zip(hits.tolist(), rows["list"].tolist(), rows["start"].tolist(), rows["length"].tolist(), strict=True)
        for n, its_list, start, length in spans:
            value = values[n]
            if value is None or its_list != of_list or self._values[start : start + length] != value.encode():
                found[n] = self._after(of_list, int(hashes[n]), value)
        return found

    def until(self, places: Ints) -> Ints:
        """The ends of rows, ms; 0 of none and of one that was dropped."""
        ends: Ints = np.where(places >= 0, self._rows["until_ms"][places], _DEAD)
        return ends

    def of(self, of_list: int) -> Iterator[Entry]:
        """The entries of a list, in the order in which their values first came."""
        rows, notes, values = self._rows[: self._count], self._note_texts, self._values
        rows = rows[(rows["list"] == of_list) & (rows["until_ms"] != _DEAD)]
        for _, length, start, reason, author, until_ms in rows.tolist():
            yield Entry(values[start : start + length].decode(), until_ms, notes[reason], notes[author])

    def count(self, of_list: int) -> int:
        """How many entries a list has."""
        return int(self._counts[of_list])

    def ending(self, of_list: int, before_ms: int) -> int:
        """How many of them end before a time."""
        rows = self._rows[: self._count]
        ends = rows["until_ms"][rows["list"] == of_list]
        return int(((ends != _DEAD) & (ends < before_ms)).sum())

    def fills(self, now_ms: int, soon_ms: int) -> tuple[Ints, Ints]:
        """Of each list by its number: how many entries hold now, and how many of these end before `soon_ms`."""
        rows = self._rows[: self._count]
        numbers, ends = rows["list"], rows["until_ms"]
        holds = ends > now_ms
        holding = np.bincount(numbers[holds], minlength=MAX_LISTS)
        return holding, np.bincount(numbers[holds & (ends < soon_ms)], minlength=MAX_LISTS)

    def _value(self, row: int) -> str:
        start, length = int(self._rows["start"][row]), int(self._rows["length"][row])
        return self._values[start : start + length].decode()

    def _after(self, of_list: int, wanted: int, value: str | None) -> int:
        """The row of a value whose hash another one has too: looked for among all rows of that hash."""
        rows = np.flatnonzero((self._hashes[: self._count] == wanted) & (self._rows["list"][: self._count] == of_list)).tolist()
        return next((row for row in rows if self._value(row) == value), -1)

    def _note(self, text: str) -> int:
        if text not in self._notes:
            self._notes[text] = len(self._note_texts)
            self._note_texts.append(text)
            if len(self._note_texts) > len(self._note_uses):
                self._note_uses = _longer(self._note_uses, 2 * len(self._note_uses))
        return self._notes[text]

    def _make_room(self, more: int) -> None:
        if self._count + more <= len(self._rows):
            return
        rows = len(self._rows)
        while rows < self._count + more:
            rows *= 2
        self._rows = _longer(self._rows, rows)
        self._hashes = _longer(self._hashes, rows)
        self._slots = np.zeros(0, dtype=np.int32)  # given back before the larger one is asked for
        self._slots = np.zeros(2 * rows, dtype=np.int32)
        place(self._slots, self._hashes, 0, self._count)

    def _lay_out(self, live: int) -> None:
        """Write the entries that live into new rows, in their order."""
        kept = np.flatnonzero(self._rows["until_ms"][: self._count] != _DEAD)
        old, hashes, values, notes = self._rows[kept], self._hashes[kept], bytes(self._values), self._note_texts
        rows = _LEAST_ROWS
        while rows < live:
            rows *= 2
        self._clear(rows)
        used = {n: self._note(notes[n]) for n in np.unique(np.concatenate([old["reason"], old["author"]])).tolist()}
        for name in ("reason", "author"):
            old[name] = [used[n] for n in old[name].tolist()]
        spans = zip(old["start"].tolist(), old["length"].tolist(), strict=True)
        self._values += b"".join([values[start : start + length] for start, length in spans])
        lengths = old["length"].astype(np.int64)
        old["start"] = np.cumsum(lengths) - lengths
        self._rows[: len(kept)], self._hashes[: len(kept)] = old, hashes
        self._count = self.live = len(kept)
        self._counts = np.bincount(old["list"], minlength=MAX_LISTS)
        self._live_bytes = int(lengths.sum())
        for name in ("reason", "author"):
            self._note_uses += np.bincount(old[name], minlength=len(self._note_uses))
        place(self._slots, self._hashes, 0, self._count)


def _longer[T: np.generic](array: NDArray[T], rows: int) -> NDArray[T]:
    longer = np.zeros(rows, dtype=array.dtype)
    longer[: len(array)] = array
    return longer


def hashes_of_values(values: Sequence[str | None]) -> Ints:
    """Hashes of values, int64: Python's own, keyed anew in each process, so that nobody can make values that meet on purpose."""
    return np.fromiter(map(hash, values), dtype=np.int64, count=len(values))


def hashes_of(of_list: int, of_values: Ints) -> Ints:
    """Those of the values in a list."""
    mixed = (of_list + 1) * _MIX % _64_BITS
    return of_values ^ np.int64(mixed - _64_BITS if mixed >= _64_BITS // 2 else mixed)
