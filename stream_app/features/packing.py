"""The packed form of a row, as it stands in Redis.

    checksum (4 bytes, xxh32 of all that follows) · format (1) · layout fingerprint (4) · numbers · case id (cards, UTF-8, may be empty)

Numbers are LEB128 varints: newest and last time, for cards the ledger, then what is not zero in the rings, and 0. A run of tiles is

    1 + hop · which quantities (bits) · for each tile, newest first: 1 + gap before it, a number for each quantity · 0
    16 + quantity of a set · for each tile: 1 + its age, which words (bits), the words (8 bytes each) · 0

So a value says itself what it holds: a reader takes what its own layout has a place for and passes over the rest, whatever catalogue wrote
it. Values of the format before are read too (`former`).

Checksum and format begin a value of *every* version: so a value of a later format is known for what it is, which is not damage (`NewerState`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, pairwise
from typing import Any, cast

import numpy as np
import xxhash
from numpy.typing import NDArray

from stream_app.errors import NewerState, StateError
from stream_app.features.former import FORMER_FORMAT, FormerLayout
from stream_app.features.ledger import LARGEST_LEDGER
from stream_app.features.numbers import VARINT_MAX
from stream_app.features.packed_rows import (
    CHECKSUM,
    FIRST_OF_SETS,
    FORMAT,
    IS_SET,
    PREFIX,
    add_rows,
    first_unreadable,
    pack_rows,
    places_of,
    unpack_rows,
)
from stream_app.features.plan import CARD_HEADER, Ints, RowLayout


def largest_packed(layout: RowLayout) -> int:
    """Upper bound in bytes of a packed row without its case id, however busy the entity."""
    table = layout.table
    is_set = table["combination"] == IS_SET
    scalars, sets = table[~is_set], table[is_set]
    size = PREFIX + 3 * VARINT_MAX + (LARGEST_LEDGER if layout.header == CARD_HEADER else 0)
    mask = np.maximum(2, -(-sets["words"] // 7))  # a varint has 7 bits of a number in a byte
    size += int((2 * VARINT_MAX + sets["tiles"] * (1 + (sets["tiles"] >> 7 > 0) + mask + 8 * sets["words"])).sum())
    for hop in np.unique(scalars["hop_ms"]):
        tiles = scalars["tiles"][scalars["hop_ms"] == hop]
        # Beside the widest numbers: a gap for each tile, and zeros beyond a shorter ring.
        size += int(3 * VARINT_MAX + tiles.max() + (VARINT_MAX * tiles + tiles.max() - tiles).sum())
    return size


class Packer:
    """Packs and unpacks the rows of one entity. Holds scratch arrays: one for each thread."""

    def __init__(self, layout: RowLayout) -> None:
        self._layout = layout
        self._prefix = np.frombuffer(bytes([FORMAT]) + layout.fingerprint.to_bytes(4, "little"), dtype=np.uint8)
        self._places = places_of(layout)
        self._former = FormerLayout.of(layout)
        self._former_prefix = np.frombuffer(self._former.prefix, dtype=np.uint8)
        self._largest = largest_packed(layout)
        self._buffer = np.empty(self._largest, dtype=np.uint8)
        self._row = np.zeros(layout.width, dtype=np.int64)
        self._scratch = np.zeros(FIRST_OF_SETS, dtype=np.int64), np.zeros(layout.table["tiles"].max(initial=1), dtype=np.uint8)

    def pack(self, rows: Ints, chosen: Ints, case_ids: Sequence[str] | None = None) -> list[bytes]:
        """The packed values of `rows[chosen]`; `case_ids` stand beside `chosen`."""
        if not len(chosen):
            return []
        if len(self._buffer) < len(chosen) * self._largest:
            self._buffer = np.empty(len(chosen) * self._largest, dtype=np.uint8)
        ends = np.empty(len(chosen), dtype=np.int64)
        pack_rows(self._layout.table, self._places, self._layout.header, self._prefix, rows, chosen, self._scratch, self._buffer, ends)
        packed = self._buffer[: ends[-1]].tobytes()
        values = [packed[start:end] for start, end in pairwise([0, *ends.tolist()])]
        for i, case in enumerate(case_ids or ()):
            if case:
                body = values[i][CHECKSUM:] + case.encode()
                values[i] = xxhash.xxh32_intdigest(body).to_bytes(CHECKSUM, "little") + body
        return values

    def unpack(self, values: Sequence[bytes | None], keys: Sequence[str], rows: Ints, chosen: Ints) -> list[str]:
        """Write the packed `values` into `rows[chosen]` (zeros where a value is None) and return their case ids.

        Args:
            values: one for each of `chosen`, as read.
            keys: their keys, for the error's text.
            rows: int64 [entities, width].
            chosen: the rows to write.

        Raises:
            StateError: if a value is cut, damaged, or of a format that is neither the present one nor the one before, naming its key.
            NewerState: if one is whole, and of a later format. Nothing was written.
        """
        there, present = _present(values)
        buffer, bounds = _joined(present)
        bad = first_unreadable(buffer, bounds, self._former_prefix)
        if bad >= 0:
            raise self._unreadable(present[bad], keys[there[bad]])
        _zero_where_none(rows, chosen, there)
        ends = np.empty(len(present), dtype=np.int64)
        tables = self._layout.table, self._places, self._former.table
        unpack_rows(*tables, self._layout.header, rows, chosen[there], buffer, bounds, ends)
        return self._case_ids([""] * len(values), there, present, keys, (ends - bounds[:-1]))

    def unpack_known(self, values: Sequence[bytes | None], keys: Sequence[str], rows: Ints, chosen: Ints) -> tuple[list[str], bool]:
        """As `unpack`; values of a later format are passed over, as if they were None. The case ids, and whether there were such values.

        Raises:
            StateError: if a value of another kind cannot be read, naming its key.
        """
        try:
            return self.unpack(values, keys, rows, chosen), False
        except NewerState:
            known = [None if value is not None and is_newer(value) else value for value in values]
            return self.unpack(known, keys, rows, chosen), True

    def add(self, values: Sequence[bytes | None], keys: Sequence[str], rows: Ints, chosen: Ints) -> bool:
        """Add the packed parts of a shared entity to `rows[chosen]`, as `kernel.absorb_all` those unpacked; None adds nothing.

        Returns:
            whether there were values of a later format, which are passed over.

        Raises:
            StateError: if one cannot be read, naming its key. Nothing was added.
        """
        return bool(self._added([values], keys, rows, chosen, anew=False))

    def sum(self, parts: Sequence[Sequence[bytes | None]], keys: Sequence[str], rows: Ints, chosen: Ints) -> set[int]:
        """Make `rows[chosen]`, which are distinct, the sums of their packed parts; `parts` has a list like `values` of `add` for each partition.

        Returns:
            which of `parts` have values of a later format, which are passed over.

        Raises:
            StateError: if one cannot be read, naming its key; its `partition` is the place in `parts`. The rows may hold anything then.
        """
        return self._added(parts, keys, rows, chosen, anew=True)

    def _added(self, parts: Sequence[Sequence[bytes | None]], keys: Sequence[str], rows: Ints, chosen: Ints, *, anew: bool) -> set[int]:
        values, newer = [*chain.from_iterable(zip(*parts, strict=True))], set[int]()  # the parts of a row one after the other
        try:
            self._add_known(values, len(parts), keys, rows, chosen, anew=anew)
        except NewerState:
            for i, value in enumerate(values):
                if value is not None and is_newer(value):
                    values[i] = None
                    newer.add(i % len(parts))
            self._add_known(values, len(parts), keys, rows, chosen, anew=anew)
        return newer

    def _add_known(self, values: Sequence[bytes | None], each: int, keys: Sequence[str], rows: Ints, chosen: Ints, *, anew: bool) -> None:
        """Add to every chosen row its `each` values."""
        there, present = _present(values)
        of = np.array(there, dtype=np.int64) // each
        buffer, bounds = _joined(present)
        bad = first_unreadable(buffer, bounds, self._former_prefix)
        if bad >= 0:
            raise self._unreadable(present[bad], keys[of[bad]], there[bad] % each)
        if anew:
            _zero_where_none(rows, chosen, of)
        tables = self._layout.table, self._places, self._former.table
        bad = add_rows(*tables, self._layout.header, rows, chosen[of], buffer, bounds, self._row, anew)
        if bad >= 0:
            raise _damaged(keys[of[bad]], "its numbers do not end with it", there[bad] % each)

    def _case_ids(
        self, cases: list[str], there: list[int], present: list[bytes], keys: Sequence[str], lengths: NDArray[np.int64]
    ) -> list[str]:
        for i, value, length in zip(there, present, lengths.tolist(), strict=True):
            if length < 0:
                raise _damaged(keys[i], "its numbers end too early")
            if length < len(value):
                try:
                    cases[i] = value[length:].decode()
                except UnicodeDecodeError:
                    raise _damaged(keys[i], "its case id is not UTF-8") from None
        return cases

    def _unreadable(self, value: bytes, key: str, part: int | None = None) -> StateError:
        """Why a value is none of ours; `part` is its place where there are several of a key."""
        if len(value) < PREFIX or not _is_whole(value):
            return _damaged(key, "its checksum is wrong", part)
        if value[CHECKSUM] > FORMAT:
            return NewerState(
                f"The packed state of {key!r} has format {value[CHECKSUM]}, this version reads up to {FORMAT}: a later version wrote it. "
                "It is left as it is. Deploy that version."
            )
        return _damaged(key, f"it has format {value[CHECKSUM]}, this version reads {FORMER_FORMAT} and {FORMAT}", part)


def is_newer(value: bytes) -> bool:
    """Whether a packed value is whole, and of a format that this version does not know yet."""
    return len(value) >= PREFIX and value[CHECKSUM] > FORMAT and _is_whole(value)


def _is_whole(value: bytes) -> bool:
    return xxhash.xxh32_intdigest(value[CHECKSUM:]).to_bytes(CHECKSUM, "little") == value[:CHECKSUM]


def _present(values: Sequence[bytes | None]) -> tuple[list[int], list[bytes]]:
    """The places of the values that are there, and these."""
    there = [i for i, value in enumerate(values) if value is not None]
    return there, cast("list[bytes]", [values[i] for i in there])


def _joined(values: Sequence[bytes]) -> tuple[NDArray[np.uint8], Ints]:
    """All in one buffer, and where each begins and the last ends."""
    bounds = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum([*map(len, values)], out=bounds[1:])
    return np.frombuffer(b"".join(values), dtype=np.uint8), bounds


def _zero_where_none(rows: Ints, chosen: Ints, there: Any) -> None:
    """Zero in the chosen rows but those of the places that are there."""
    nothing = np.ones(len(chosen), dtype=np.bool_)
    nothing[there] = False
    rows[chosen[nothing]] = 0


def _damaged(key: str, why: str, part: int | None = None) -> StateError:
    return StateError(f"The packed state of {key!r} cannot be read: {why}. Its partition has to be rebuilt from the topics.", part)
