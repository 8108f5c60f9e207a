"""The cursor of a partition as it stands in Redis: JSON with a format version."""

from __future__ import annotations

import msgspec
from loguru import logger

from stream_app.errors import StateError
from stream_app.scoring.positions import Cursor

_CURSOR_FORMAT = Cursor("").format


def read_cursor(value: bytes | None, key: str) -> Cursor:
    """The cursor that stands at a key; one that was not begun where there is none that can be read, which is told.

    Raises:
        StateError: if a later version of this program wrote it.
    """
    if value is None:
        return Cursor("", begun=False)
    cursor = decoded_cursor(value)
    if cursor is None:
        logger.warning("The cursor at Redis key {!r} cannot be read. The partition is rebuilt from the topics.", key)
        return Cursor("", begun=False)
    if cursor.format > _CURSOR_FORMAT:
        raise StateError(
            f"The cursor at Redis key {key!r} has format {cursor.format}; this version reads up to {_CURSOR_FORMAT}. Deploy the version that wrote it."
        )
    return msgspec.structs.replace(cursor, format=_CURSOR_FORMAT)


def decoded_cursor(value: bytes | None) -> Cursor | None:
    """The cursor, None where there is none that can be read."""
    try:
        return None if value is None else msgspec.json.decode(value, type=Cursor)
    except msgspec.MsgspecError:
        return None
