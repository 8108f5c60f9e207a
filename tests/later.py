"""State as a later version would write it: this version's, under a format that it does not know."""

from __future__ import annotations

import msgspec
import xxhash

from stream_app.features.definitions import LAYOUT_VERSION
from stream_app.features.packed_rows import FORMAT
from stream_app.scoring.positions import Cursor

_CHECKSUM = 4


def later(value: bytes) -> bytes:
    """A packed value of the next format."""
    return _as(value, FORMAT + 1)


def of_today(value: bytes) -> bytes:
    """The reverse: what the version that wrote it reads."""
    return _as(value, FORMAT)


def of_later_layout(cursor: Cursor, by: int = 1) -> Cursor:
    """The cursor as a version writes it whose rows keep more than this one's; with 0, as this one does."""
    return msgspec.structs.replace(cursor, layout=LAYOUT_VERSION + by)


def later_cursor(value: bytes) -> bytes:
    """A cursor of the next format: its position lies elsewhere, and is told otherwise."""
    known = msgspec.json.decode(value)
    kept = {name: known[name] for name in ("owner", "partitions")}
    return msgspec.json.encode(kept | {"format": known["format"] + 1, "transactions": {"next": known["transactions"]}})


def _as(value: bytes, number: int) -> bytes:
    body = bytes([number]) + value[_CHECKSUM + 1 :]
    return xxhash.xxh32_intdigest(body).to_bytes(_CHECKSUM, "little") + body
