"""Logs by loguru: text for people, JSON for machines. One line per event that matters; ids, never payloads; so many of a kind, no more."""

from __future__ import annotations

import logging
import logging.config
import re
import sys
import time
from types import MappingProxyType
from typing import TYPE_CHECKING

from loguru import logger

if TYPE_CHECKING:
    import loguru

_NEVER = 100
"""Faust tells of a crash in several long records; ours is one line, logged where the error was seen."""

LIBRARY_LOGS = MappingProxyType(
    {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"loguru": {"class": "stream_app.operating.logs.ToLoguru"}},
        "loggers": {name: {"level": _NEVER} for name in ("faust.worker", "stream_app.worker")},
        "root": {"handlers": ["loguru"], "level": "WARNING"},
    }
)
"""`logging.config` for libraries; Faust applies it again when its worker starts."""

_TEXT = "<dim>{time:YYYY-MM-DD HH:mm:ss.SSS}</dim> <level>{level: <7}</level> {message}"


def set_up_logs(level: str, log_format: str) -> None:
    """Send loguru's and the standard library's records to stderr in one form."""
    logger.remove()
    colours = None if sys.stderr.isatty() else False  # by itself loguru colours files too, where it finds a build server's variables
    as_json = log_format == "json"
    logger.add(
        sys.stderr, level=level, format=_TEXT, filter=Bounded(), colorize=colours, serialize=as_json, backtrace=False, diagnose=False
    )
    logging.config.dictConfig(dict(LIBRARY_LOGS))


SPARE_S = 30.0
"""A library's line of one kind is told once in this time."""
MOST_LINES = 100
"""So many lines of one place in the program within `SPARE_S`: a fault that every request or record brings about fills no disk."""
_MOST_KINDS = 1000
"""Of libraries' lines that are remembered: some put what changes into the kind itself."""


class Bounded:
    """A filter for loguru: lets `MOST_LINES` of each place pass, and says with its next line how many it held back."""

    def __init__(self) -> None:
        self._places: dict[tuple[str | None, int], tuple[float, int]] = {}

    def __call__(self, record: loguru.Record) -> bool:
        """Whether this line is written."""
        place, now = (record["name"], record["line"]), time.monotonic()
        began, lines = self._places.get(place, (now, 0))
        if now >= began + SPARE_S:
            if lines > MOST_LINES:
                record["message"] += f" ({lines - MOST_LINES} more such lines were held back)"
            began, lines = now, 0
        self._places[place] = began, lines + 1
        return lines < MOST_LINES


_CONNECTION = re.compile(
    r"unable connect|unable to (update|request) metadata|coordinator dead|heartbeat|nodenotready|connection (at|error|reset)|requesttimedout"
    r"|join group failed due to fatal error|during initproduceridrequest",
    re.IGNORECASE,
)
"""Of aiokafka: one line for each attempt of each of its loops, 60 a second while a broker is away; `outage` tells of it in their place. And of
what ends a worker, which says so by itself."""


class ToLoguru(logging.Handler):
    """Passes records of libraries on: each kind once in a while, what aiokafka says of its connections as DEBUG only."""

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[tuple[str, str], float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        text = record.getMessage()
        spared = record.name.startswith("aiokafka") and _CONNECTION.search(text)
        level = "DEBUG" if spared or self._is_repeated(record) else record.levelname
        logger.opt(exception=record.exc_info).log(level, "{}: {}", record.name, text)

    def _is_repeated(self, record: logging.LogRecord) -> bool:
        kind, now = (record.name, str(record.msg)), time.monotonic()
        if now < self._told.get(kind, -SPARE_S) + SPARE_S:
            return True
        if len(self._told) >= _MOST_KINDS:
            self._told.clear()
        self._told[kind] = now
        return False
