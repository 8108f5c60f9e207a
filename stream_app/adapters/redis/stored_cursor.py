"""The cursor of a partition as it stands in Redis: JSON with a format version.

Every format has `format`, `owner` and `partitions`, of the same meaning (`NewerCursor`): so this version knows one of a later format for what it
is, whose it is, and among how many, and nothing else of it.
"""

from __future__ import annotations

import msgspec
from loguru import logger

from stream_app.errors import NewerState
from stream_app.scoring.positions import Cursor

_CURSOR_FORMAT = Cursor("").format


class NewerCursor(msgspec.Struct, frozen=True):
    """What is known of a cursor of a later format: nobody of this version can say what the partition's state contains."""

    format: int = 1
    owner: str = ""
    partitions: int = 0


type StoredCursor = Cursor | NewerCursor | None
"""None: there is none, or none that can be read."""


def read_cursor(value: bytes | None, key: str) -> Cursor:
    """The cursor that stands at a key; one that was not begun where there is none that can be read, which is told.

    Raises:
        NewerState: if a later version of this program wrote it.
    """
    if value is None:
        return Cursor("", begun=False)
    cursor = decoded_cursor(value)
    if cursor is None:
        logger.warning("The cursor at Redis key {!r} cannot be read. The partition is rebuilt from the topics.", key)
        return Cursor("", begun=False)
    if isinstance(cursor, NewerCursor):
        raise NewerState(
            f"The cursor at Redis key {key!r} has format {cursor.format}; this version reads up to {_CURSOR_FORMAT}. Deploy the version that wrote it."
        )
    return msgspec.structs.replace(cursor, format=_CURSOR_FORMAT)


def decoded_cursor(value: bytes | None) -> StoredCursor:
    """The cursor, by its format: whatever else one of a later format says is not read."""
    if value is None:
        return None
    try:
        newer = msgspec.json.decode(value, type=NewerCursor)
        return newer if newer.format > _CURSOR_FORMAT else msgspec.json.decode(value, type=Cursor)
    except msgspec.MsgspecError:
        return None
