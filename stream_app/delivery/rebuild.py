"""How far the rebuilding of a partition's state has come: in a metric, and in a log line every ten seconds."""

from __future__ import annotations

import time
from collections.abc import Callable

from loguru import logger

from stream_app.scoring.observation import Observer
from stream_app.scoring.positions import Cursor

TELL_EVERY_S = 10.0


class RebuildProgress:
    """Follows the cursor of one partition until all that was decided before is counted again."""

    def __init__(self, number: int, cursor: Cursor, observer: Observer, now: Callable[[], float] = time.monotonic) -> None:
        self._number = number
        self._observer = observer
        self._now = now
        self._all = self._left = _left(cursor)
        self._began = self._told = now()
        observer.rebuild_begun()
        observer.rebuilding(number, self._left)

    @property
    def done(self) -> bool:
        """Whether nothing is left."""
        return not self._left

    def reached(self, cursor: Cursor) -> None:
        """The cursor stands there now."""
        self._left, now = _left(cursor), self._now()
        self._observer.rebuilding(self._number, self._left)
        if self.done:
            logger.info("Partition {}: rebuilt from {:,} records in {:.0f} s.", self._number, self._all, now - self._began)
        elif now >= self._told + TELL_EVERY_S:
            self._told = now
            share = 100 * (self._all - self._left) / self._all
            logger.info("Partition {}: rebuilding, {:.0f} %, {:,} records left.", self._number, share, self._left)


def _left(cursor: Cursor) -> int:
    return sum(max(0, decided - at) for decided, at in zip(cursor.decided, cursor.position, strict=True))
