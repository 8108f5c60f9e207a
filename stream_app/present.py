"""What time it is for a worker: by its clock, or later where most records say so."""

from __future__ import annotations

from collections.abc import Sequence

from loguru import logger

from stream_app.majority import Majority
from stream_app.ports import Clock

BEHIND_S = 300
"""Clocks may be wrong by minutes; one that is further behind is told of."""


class Present:
    """The present, for all partitions of a worker.

    1. Of the records that are decided, how far their Kafka timestamps lie ahead of this machine's clock is remembered.
    2. Where most of the last ones lie ahead, the clock is behind, by their median: it is that much later. So a clock that is hours
       behind refuses nobody for it, and one producer's records, as long as they are not most of all, move nothing.
    3. Records that lie behind prove nothing: a history is replayed, or a partition lags. That a clock is ahead cannot be told from them.
    4. Nothing is removed or rebuilt by this time, but by the clock itself where that is earlier: see `sweeper` and `takeover`.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead_ms = Majority()
        self._behind_ms = 0
        self._told = False

    def at(self, timestamps_ms: Sequence[int]) -> int:
        """What time it is, Unix ms, now that records with these Kafka timestamps are decided."""
        now_ms = self._clock.now_ms()
        if timestamps_ms:
            self._ahead_ms.add([at - now_ms for at in timestamps_ms])
            self._behind_ms = max(0, self._ahead_ms.says or 0)
        if self._told != (self.behind_s > BEHIND_S):
            self._tell()
        return now_ms + self._behind_ms

    def clock_ms(self) -> int:
        """This machine's clock, Unix ms."""
        return self._clock.now_ms()

    @property
    def behind_s(self) -> float:
        """How far the clock is behind what most records say, seconds."""
        return self._behind_ms / 1000

    def _tell(self) -> None:
        self._told = not self._told
        if self._told:
            logger.error(
                "This machine's clock is {:,.0f} s behind what most records say (the median of their Kafka timestamps). Payments are "
                "taken by their time. Set the clock (NTP); if it is right, those of the producers or brokers are ahead.",
                self.behind_s,
            )
        else:
            logger.info("This machine's clock and most records say the same again.")
