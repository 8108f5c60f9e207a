"""What an event time may be, on the stream, at the API and in a file, and what is said of one that cannot be."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated

from msgspec import Meta

EARLIEST_EVENT_TIME_MS = 946_684_800_000  # 2000-01-01 UTC
MAX_EVENT_TIME_MS = 253_402_300_799_999  # the last millisecond of the year 9999
NOT_MILLISECONDS = "a time before 2000 is a mistake: it must be milliseconds since 1970, UTC; multiply seconds by 1000"

_WORDS = {"must_be": "milliseconds since 1970, UTC", "example": "1795471200000"}
EventTimeMs = Annotated[int, Meta(ge=EARLIEST_EVENT_TIME_MS, le=MAX_EVENT_TIME_MS, extra=_WORDS)]


def day_of(at_ms: int) -> date:
    """The day of a time, whatever it is: the first or the last that there is, where it lies beyond."""
    return datetime.fromtimestamp(min(max(0, at_ms), MAX_EVENT_TIME_MS) / 1000, UTC).date()
