"""Which payments were met already, by their place in the log: a bit each."""

from __future__ import annotations

_CHUNK = 2**20
MOST_CHUNKS = 1024
"""Of 128 kB: a billion payments that lie close together. Beyond that the chunk that was begun first is let go."""


class SeenOffsets:
    """A score that is published twice, as by a worker that does not know yet that it lost its partition, counts once."""

    def __init__(self) -> None:
        self._chunks: dict[tuple[int, int], bytearray] = {}

    def add(self, partition: int, offset: int) -> bool:
        """Whether a payment is met for the first time."""
        at, bit = divmod(offset, _CHUNK)
        chunk = self._chunks.get((partition, at))
        if chunk is None:
            if len(self._chunks) >= MOST_CHUNKS:
                del self._chunks[next(iter(self._chunks))]
            chunk = self._chunks[partition, at] = bytearray(_CHUNK // 8)
        place, mask = bit >> 3, 1 << (bit & 7)
        is_new = not chunk[place] & mask
        chunk[place] |= mask
        return is_new
