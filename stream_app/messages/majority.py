"""What most records say of the time: so that one record, or any minority of them, moves nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

MOST = 101
"""So many of the last records are asked."""
LEAST = 51
"""Fewer say nothing: they may be a few that one producer sent at once."""


def median(values: Sequence[int]) -> int:
    """The middle value, the lower one of two; there is one at least. Fewer than half of the values cannot move it beyond the others."""
    return sorted(values)[(len(values) - 1) // 2]


def sample[T](values: Sequence[T]) -> Sequence[T]:
    """`MOST` of them at most, from the first on at one distance: a burst weighs no more than its share."""
    return values[:: -(-len(values) // MOST)] if values else values


class Majority:
    """The median of a number that the last `MOST` records gave."""

    def __init__(self) -> None:
        self._last: deque[int] = deque(maxlen=MOST)

    def add(self, values: Sequence[int]) -> None:
        """These came, in this order."""
        self._last.extend(values)

    @property
    def says(self) -> int | None:
        """The median; None where fewer than `LEAST` were heard."""
        return median(self._last) if len(self._last) >= LEAST else None
