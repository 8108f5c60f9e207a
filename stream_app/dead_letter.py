"""Dead letters: what is left of a refused record, in a form that its topic takes, whatever the record was. No I/O."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from stream_app.card_numbers import redact
from stream_app.cut_bytes import UnreadBytes, size_of
from stream_app.errors import RecordError
from stream_app.ports import Outgoing, Record
from stream_app.standing import SOURCE_OFFSET
from stream_app.transaction import shown

MOST_LETTER_BYTES = 1_000_000
"""Key, value and headers together: less than a topic takes where nobody says otherwise (1,048,588 bytes)."""
MOST_KEY_BYTES = 1_024
_SHORTER_BY = 8
_SHORTEST_CUT_BYTES = 1_024
_ROOM_FOR_HEADERS_BYTES = 8_192
"""Those that are written here have 2,600 bytes at the most; the rest is for what the publisher adds to every message."""


class Origin(NamedTuple):
    """Where a refused record stands."""

    topic: str
    partition: int
    offset: int

    @property
    def key(self) -> bytes:
        """A key that no other letter has: a compacted topic takes it, and keeps the letter."""
        return f"{self.topic}:{self.partition}:{self.offset}".encode()


class _Content(NamedTuple):
    """Key and value as they go into a letter, and how many bytes they had: below 0 where there was no key, or nobody knows."""

    key: bytes | None
    value: bytes | None
    key_bytes: int
    value_bytes: int


def dead_letter(record: Record, error: RecordError, source: tuple[str, int], topic: str, *, redacted: bool) -> Outgoing:
    """The dead letter of a refused record: its bytes as they came, card numbers taken out, the reason in the headers.

    1. Key, value and headers together have `MOST_LETTER_BYTES` at the most. What is cut keeps its first bytes; how many there were says
       `source.key.bytes`, `source.bytes`.
    2. A record without a key gets one of its own (`source.key.bytes` is -1).
    3. Where the topic does not take it, it has shorter forms, the last of which is the headers alone.
    4. What the error says of the record may quote it: it is made fit for a header, and for a log.

    Args:
        record: the refused record.
        error: why.
        source: topic and partition that it came from.
        topic: the dead-letter topic.
        redacted: whether card numbers are taken out of key and value.
    """
    origin = Origin(*source, record.offset)
    key, value = redact(record.key, record.value) if redacted else (record.key, record.value)
    sizes = size_of(record.key) if record.key is not None else -1, -1 if isinstance(value, UnreadBytes) else size_of(record.value)
    headers = (
        ("error.code", str(error.code).encode()),
        ("error.message", shown(error.message).encode()),
        ("source.topic", origin.topic.encode()),
        ("source.partition", str(origin.partition).encode()),
        (SOURCE_OFFSET, str(origin.offset).encode()),
    )
    return _letter(topic, _Content(key, value, *sizes), (origin, headers), MOST_LETTER_BYTES)


def _letter(topic: str, content: _Content, told: tuple[Origin, tuple[tuple[str, bytes], ...]], most: int) -> Outgoing:
    """The letter within so many bytes, and a way to its shorter forms."""
    origin, headers = told
    key, value = content.key, content.value
    if most:
        key = origin.key if key is None else key[: min(MOST_KEY_BYTES, most // 2)]
        value = value and value[: max(0, most - len(key) - min(_ROOM_FOR_HEADERS_BYTES, most // 2))]
    else:
        key, value = origin.key, b""
    if content.key_bytes != len(key):
        headers = (*headers, ("source.key.bytes", str(content.key_bytes).encode()))
    if content.value_bytes > len(value or b""):
        headers = (*headers, ("source.bytes", str(content.value_bytes).encode()))
    shorter = partial(_letter, topic, content, told, most // _SHORTER_BY if most // _SHORTER_BY >= _SHORTEST_CUT_BYTES else 0)
    return Outgoing(topic, key, value, headers, shorter if most else None)
