"""What time it is for a worker: by its machine's clock, as long as a server's clock does not contradict it; what records say is told."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from loguru import logger

from stream_app.errors import ClockBehind, Unavailable
from stream_app.messages.majority import MOST, median
from stream_app.scoring.ports import Clock

BEHIND_S = 300
"""Clocks may be wrong by minutes; one that is further behind is told of."""
MINUTES = 5
"""So many minutes with records are asked what they say of the clock; fewer say nothing."""
_MINUTE_S = 60
_LOOK_EVERY_S = 1.0


class TrustedClock:
    """The present, for all partitions of a worker.

    1. It is what this machine's clock says. No record moves it, nor do most of them: whoever sends most could make any time the present.
    2. A clock that is far behind would refuse payments that are on time, and a dead letter stands. So a witness is heard whom no producer
       can move, Redis' clock: where ours is too far behind it, nothing is decided, and the worker ends with the remedy.
    3. What most records say is told, in log and metric. Each minute has one vote, the median of how far its records lie ahead of the
       clock, and most of `MINUTES` votes decide: so a burst, however large, is one vote, or two.
    4. Records that lie behind prove nothing: a history is replayed, or a partition lags. That a clock is ahead cannot be told from them.
    """

    def __init__(self, clock: Clock, most_behind_s: float = 1800) -> None:
        """Go by a clock.

        Args:
            clock: this machine's.
            most_behind_s: it may be so far behind the witness: less than what it may refuse nobody for.
        """
        self._clock = clock
        self._most_behind_ms = most_behind_s * 1000
        self._started_ms: float | None = None
        self._minute: deque[int] = deque(maxlen=MOST)
        self._minute_began_s = 0.0
        self._votes_ms: deque[int] = deque(maxlen=MINUTES)
        self._told = False

    def now_ms(self) -> int:
        """This machine's clock, Unix ms.

        Raises:
            ClockBehind: if the witness contradicts it, or it was set back since the witness was heard.
        """
        now_ms = self._clock.now_ms()
        if self._started_ms is not None:
            behind_ms = self._started_ms + self._clock.elapsed_s() * 1000 - now_ms
            if behind_ms > self._most_behind_ms:
                raise ClockBehind(
                    f"This machine's clock is {behind_ms / 1000:,.0f} s behind that of Redis: payments on time would be refused as dated "
                    "ahead, so none is decided. Set the clock (NTP: `timedatectl`, `chronyc tracking`), here or there, and start again."
                )
        return now_ms

    def heard(self, witness_ms: int) -> None:
        """The witness' clock says this now.

        Raises:
            ClockBehind: see `now_ms`.
        """
        self._started_ms = witness_ms - self._clock.elapsed_s() * 1000
        self.now_ms()

    def at(self, timestamps_ms: Sequence[int]) -> int:
        """What time it is, Unix ms, now that records with these Kafka timestamps are decided.

        Raises:
            ClockBehind: see `now_ms`.
        """
        now_ms = self.now_ms()
        if timestamps_ms:
            self._vote([at - now_ms for at in timestamps_ms])
        return now_ms

    @property
    def behind_s(self) -> float:
        """How far the clock is behind what most records say, seconds."""
        return max(0, median(self._votes_ms)) / 1000 if len(self._votes_ms) == MINUTES else 0.0

    def _vote(self, ahead_ms: Sequence[int]) -> None:
        elapsed_s = self._clock.elapsed_s()
        if not self._minute:
            self._minute_began_s = elapsed_s
        elif elapsed_s - self._minute_began_s >= _MINUTE_S:
            self._votes_ms.append(median(self._minute))
            self._minute.clear()
            self._minute_began_s = elapsed_s
            if self._told != (self.behind_s > BEHIND_S):
                self._tell()
        self._minute.extend(ahead_ms)

    def _tell(self) -> None:
        self._told = not self._told
        if self._told:
            logger.error(
                "This machine's clock is {:,.0f} s behind what most records say (their Kafka timestamps, minute by minute). Set it (NTP); if "
                "it is right, those of producers or brokers are ahead. What lies further ahead than FRAUDSTREAM_MAX_AHEAD_OF_CLOCK_S is refused.",
                self.behind_s,
            )
        else:
            logger.info("This machine's clock and most records say the same again.")


class ServerClock:
    """Has the present hear a server's clock, each second."""

    def __init__(self, present: TrustedClock, ask_ms: Callable[[], Awaitable[int]]) -> None:
        self._present = present
        self._ask_ms = ask_ms

    async def look(self) -> None:
        """Ask once.

        Raises:
            ClockBehind: if ours is too far behind.
            Unavailable: if the server does not answer.
        """
        self._present.heard(await self._ask_ms())

    async def run(self) -> None:
        """Look until cancelled.

        Raises:
            ClockBehind: if ours is too far behind.
        """
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            try:
                await self.look()
            except Unavailable:  # whoever watches the server tells of it
                continue
