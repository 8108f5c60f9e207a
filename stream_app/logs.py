"""Logs by loguru: text for people, JSON for machines. One line per event that matters; ids, never payloads."""

from __future__ import annotations

import logging
import sys

from loguru import logger

_TEXT = "<dim>{time:YYYY-MM-DD HH:mm:ss.SSS}</dim> <level>{level: <7}</level> {message}"


def set_up_logs(level: str, log_format: str) -> None:
    """Send loguru's and the standard library's records to stderr in one form."""
    logger.remove()
    logger.add(sys.stderr, level=level, format=_TEXT, serialize=log_format == "json", backtrace=False, diagnose=False)
    logging.basicConfig(handlers=[_ToLoguru()], level=logging.WARNING, force=True)


class _ToLoguru(logging.Handler):
    """Passes records of libraries on."""

    def emit(self, record: logging.LogRecord) -> None:
        logger.opt(exception=record.exc_info).log(record.levelname, "{}: {}", record.name, record.getMessage())
