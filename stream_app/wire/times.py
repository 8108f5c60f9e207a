"""Times as other people write them → milliseconds since 1970: numbers in a unit, and ISO 8601. The same for records and for files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from stream_app.messages.event_time import MAX_EVENT_TIME_MS
from stream_app.wire.time_formats import time_format

_EPOCH, _MS = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)
UNIT_MS: Mapping[str, float] = MappingProxyType(
    {"s": 1000, "ms": 1, "us": 1e-3, "ns": 1e-6, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
)
"""Milliseconds in each unit of a time that is a number."""
OF_A_START = frozenset({"min", "h", "d"})
"""Units that count from a start that is said; nobody counts them from 1970."""
ISO = "iso8601"


class UnmappedError(Exception):
    """A value that cannot be what the mapping takes it for; the text says why, after the field's name."""


@dataclass(frozen=True, slots=True)
class TimeForm:
    """How a time is written.

    Attributes:
        unit: one of `UNIT_MS`, or `ISO`.
        zone: of times that name none; empty: they are refused.
        since_ms: what times that are numbers count from.
        written: a format of `stream_app.wire.time_formats`, in place of a unit; empty: there is none.
    """

    unit: str = "ms"
    zone: str = ""
    since_ms: int = 0
    written: str = ""

    @property
    def is_text(self) -> bool:
        """Whether it is no number."""
        return self.unit == ISO or bool(self.written)

    @property
    def is_ours(self) -> bool:
        """Whether it is milliseconds since 1970 already."""
        return not self.is_text and UNIT_MS[self.unit] == 1 and not self.since_ms

    @property
    def takes(self) -> Any:
        """The types of JSON that it may be."""
        return str | int if self.written else str if self.is_text else int | float if UNIT_MS[self.unit] > 1 else int

    @property
    def inline(self) -> str:
        """What makes milliseconds of a number `{}` of these types, as an expression; empty for texts."""
        if self.is_text:
            return ""
        unit_ms, since = UNIT_MS[self.unit], f" + {self.since_ms}" if self.since_ms else ""
        return (f"{{}} // {round(1 / unit_ms)}" if unit_ms < 1 else f"round({{}} * {unit_ms})" if unit_ms > 1 else "{}") + since

    def milliseconds(self, theirs: Any) -> int:
        """One time.

        Raises:
            UnmappedError: it is none.
        """
        read = self.reader()
        found = theirs if read is None else read(theirs)
        if type(found) is not int:
            raise UnmappedError("it is no time in this unit")
        return found

    def reader(self) -> Callable[[Any], Any] | None:
        """What makes milliseconds of a value, and leaves alone what is of another type; None where it is them already.

        It raises UnmappedError of a text that is no such time.
        """
        if self.written:
            return _by_format(self.written, ZoneInfo(self.zone) if self.zone else None)
        if self.is_text:
            return _by_iso(ZoneInfo(self.zone) if self.zone else None)
        unit_ms, since_ms = UNIT_MS[self.unit], self.since_ms
        if unit_ms > 1:
            return _of_units(round(unit_ms), since_ms)
        return None if self.is_ours else _of_parts(round(1 / unit_ms), since_ms)


def joined(parts: Sequence[Any]) -> str:
    """The parts of a time as one text, a blank between.

    Raises:
        UnmappedError: one is neither text nor a whole number.
    """
    texts = [str(part) if type(part) is int else part for part in parts]
    if not all(isinstance(text, str) for text in texts):
        raise UnmappedError("its parts must be texts or whole numbers")
    return " ".join(texts)


def _of_parts(count: int, since_ms: int) -> Callable[[Any], Any]:
    return lambda theirs: theirs // count + since_ms if type(theirs) is int else theirs


def _of_units(unit_ms: int, since_ms: int) -> Callable[[Any], Any]:
    def convert(theirs: Any) -> Any:
        if type(theirs) is int:
            return theirs * unit_ms + since_ms
        return round(theirs * unit_ms) + since_ms if type(theirs) is float and abs(theirs) < MAX_EVENT_TIME_MS else theirs

    return convert


def _by_iso(zone: ZoneInfo | None) -> Callable[[Any], Any]:
    def convert(theirs: Any) -> Any:
        try:
            at = datetime.fromisoformat(theirs)
        except (ValueError, TypeError):
            raise UnmappedError("it must be a time of ISO 8601, for example 2026-11-23T10:00:00Z") from None
        return _milliseconds(at, zone)

    return convert


def _by_format(written: str, zone: ZoneInfo | None) -> Callable[[Any], Any]:
    read = time_format(written)

    def convert(theirs: Any) -> Any:
        try:
            at = read(str(theirs) if type(theirs) is int else theirs)
        except (ValueError, TypeError, OverflowError):
            raise UnmappedError(f"it must be a time as {written}, by the mapping") from None
        return _milliseconds(at, zone)

    return convert


def _milliseconds(at: datetime, zone: ZoneInfo | None) -> int:
    """Of a moment; an hour that comes twice is the first one."""
    if at.tzinfo is None:
        if zone is None:
            raise UnmappedError("it names no zone; add it there, or say in the mapping which it is (zone: Europe/Berlin)")
        at = at.replace(tzinfo=zone)
    return (at - _EPOCH) // _MS
