"""What an event time may be, on the stream, at the API and in a file, and what is said of one that cannot be."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated

from msgspec import Meta

EARLIEST_EVENT_TIME_MS = 946_684_800_000  # 2000-01-01 UTC
MAX_EVENT_TIME_MS = 253_402_300_799_999  # the last millisecond of the year 9999
NOT_MILLISECONDS = "a time before 2000 is a mistake: it must be milliseconds since 1970, UTC; multiply seconds by 1000"

_MOST_DIGITS = 10**19
_LATEST_MEANT_MS = 4_102_444_800_000  # 2100
_WORDS = {"must_be": "milliseconds since 1970, UTC", "example": "1795471200000"}
EventTimeMs = Annotated[int, Meta(ge=EARLIEST_EVENT_TIME_MS, le=MAX_EVENT_TIME_MS, extra=_WORDS)]


def day_of(at_ms: int) -> date:
    """The day of a time, whatever it is: the first or the last that there is, where it lies beyond."""
    return datetime.fromtimestamp(min(max(0, at_ms), MAX_EVENT_TIME_MS) / 1000, UTC).date()


def seems_to_be(at: int) -> str:
    """What a number that is no time in milliseconds is, as a rule, told in brackets; empty where nobody knows."""
    if not 0 < at < _MOST_DIGITS:
        return ""
    if any(_is_date(str(at), form) for form in ("%Y%m%d", "%Y%m%d%H%M%S")):
        return " (a date in digits?)"
    in_ms = {"seconds": at * 1000, "milliseconds": at, "microseconds": at // 1000, "nanoseconds": at // 1_000_000}
    meant = next((unit for unit, ms in in_ms.items() if EARLIEST_EVENT_TIME_MS <= ms < _LATEST_MEANT_MS), None)
    return f" ({meant}?)" if meant else ""


def _is_date(digits: str, form: str) -> bool:
    """Whether digits are a date of 1900 to 2100."""
    try:
        return len(digits) in {8, 14} and 1900 <= datetime.strptime(digits, form).replace(tzinfo=UTC).year <= 2100  # noqa: PLR2004 - years
    except ValueError:
        return False
