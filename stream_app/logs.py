"""Logs by loguru: text for people, JSON for machines. One line per event that matters; ids, never payloads."""

from __future__ import annotations

import logging
import logging.config
import sys
from types import MappingProxyType

from loguru import logger

_NEVER = 100
"""Faust tells of a crash in several long records; ours is one line, logged where the error was seen."""

LIBRARY_LOGS = MappingProxyType(
    {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"loguru": {"class": "stream_app.logs.ToLoguru"}},
        "loggers": {name: {"level": _NEVER} for name in ("faust.worker", "stream_app.worker")},
        "root": {"handlers": ["loguru"], "level": "WARNING"},
    }
)
"""`logging.config` for libraries; Faust applies it again when its worker starts."""

_TEXT = "<dim>{time:YYYY-MM-DD HH:mm:ss.SSS}</dim> <level>{level: <7}</level> {message}"


def set_up_logs(level: str, log_format: str) -> None:
    """Send loguru's and the standard library's records to stderr in one form."""
    logger.remove()
    logger.add(sys.stderr, level=level, format=_TEXT, serialize=log_format == "json", backtrace=False, diagnose=False)
    logging.config.dictConfig(dict(LIBRARY_LOGS))


class ToLoguru(logging.Handler):
    """Passes records of libraries on."""

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        logger.opt(exception=record.exc_info).log(record.levelname, "{}: {}", record.name, record.getMessage())
