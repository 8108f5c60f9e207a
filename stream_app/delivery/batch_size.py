"""How many records a partition takes at once. Nothing else runs in a worker while a micro-batch is decoded and computed: a thousand records take
forty milliseconds.

1. As many as a micro-batch may hold, where nobody waits: fixed costs are small beside theirs.
2. `BESIDE` where another partition of this worker decides payments as they come: who rebuilds state or catches up then holds the others up for
   a few milliseconds at a time. It takes longer itself, by what more rounds cost.
"""

from __future__ import annotations

import time
from collections.abc import Callable

BESIDE = 64
IN_TIME_S = 1.0
"""A payment that is taken so soon after its Kafka timestamp is decided as it comes; so long its partition counts as one that does."""


class BatchSize:
    """Of the partitions of a worker, by the rules above."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._in_time_until: dict[int, float] = {}

    def of(self, number: int, most: int) -> int:
        """How many records this partition takes next; `most` is what a micro-batch may hold."""
        now = self._clock()
        beside = any(until > now for other, until in self._in_time_until.items() if other != number)
        return min(most, BESIDE) if beside else most

    def took(self, number: int, age_s: float) -> None:
        """This partition took payments, the oldest of which came to Kafka so long ago."""
        if age_s < IN_TIME_S:
            self._in_time_until[number] = self._clock() + IN_TIME_S
        else:
            self._in_time_until.pop(number, None)
