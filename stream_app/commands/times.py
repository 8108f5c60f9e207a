"""Moments as the options of commands take them."""

from __future__ import annotations

from datetime import UTC, datetime

import typer

SHORTEST_MS = 12  # digits: from 1973 on; 20180701 is a date


def moment_ms(text: str | None, option: str) -> int | None:
    """Unix time, ms, of `2018-07-01`, `2018-07-01T12:00:00` (UTC unless it says otherwise) or of ms as they are.

    Raises:
        typer.BadParameter: naming the option.
    """
    if text is None:
        return None
    if text.isdecimal() and len(text) >= SHORTEST_MS:
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time; give 2018-07-01, 2018-07-01T12:00:00 or milliseconds", param_hint=option) from None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
