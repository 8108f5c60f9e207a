"""What a worker did in the last minute, in one log line; and that it has nothing to do where there are more workers than partitions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple

from loguru import logger

EVERY_S = 60.0


class Totals(NamedTuple):
    """What was done since the start; `partitions` is how many are held now."""

    scored: int
    alerts: int
    labels: int
    refused: int
    partitions: int


class Progress:
    """Tells what was done, at most once in `EVERY_S`, and only where something was done or waits."""

    def __init__(
        self,
        totals: Callable[[], Totals],
        behind: Callable[[], int],
        away: Callable[[], str | None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Watch a worker.

        Args:
            totals: what was done since the start.
            behind: records of the log that wait, as far as known.
            away: why nothing can be done now where somebody else tells of it, or None.
            now: seconds of a clock that only goes forward.
        """
        self._totals = totals
        self._behind = behind
        self._away = away
        self._now = now
        self._before, self._at = totals(), now()
        self._idle = 0

    def look(self) -> None:
        """Tell of the time since the last look."""
        totals, at = self._totals(), self._now()
        seconds = max(at - self._at, 1e-3)
        scored, alerts, labels, refused = (after - before for after, before in zip(totals[:4], self._before[:4], strict=True))
        self._before, self._at = totals, at
        if self._away() is not None:
            self._idle = 0
            return
        self._tell_of_partitions(totals.partitions)
        behind = self._behind()
        if scored or labels or refused or behind:
            logger.info(
                "In {:.0f} s: {:,} payments scored ({:,.0f}/s), {:,} alerts, {:,} labels, {:,} dead letters; {:,} records wait",
                seconds, scored, scored / seconds, alerts, labels, refused, behind,
            )  # fmt: skip

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            self.look()

    def _tell_of_partitions(self, held: int) -> None:
        """Once, when none is held at two looks: an assignment may be under way at the first."""
        self._idle = 0 if held else self._idle + 1
        if self._idle == 2:  # noqa: PLR2004 - two looks
            logger.warning(
                "This worker holds no partition: the other workers of its group hold all. It stands by, and takes over when one of them ends. "
                "There is work for as many workers as `transactions` has partitions."
            )
