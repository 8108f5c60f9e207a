"""Dead letters: what is left of a refused record, in a form that its topic takes, whatever the record was. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import partial
from typing import NamedTuple

from stream_app.errors import RecordError
from stream_app.messages.card_numbers import redact, redact_framed, without_card_numbers
from stream_app.messages.cut_bytes import CutBytes, size_of
from stream_app.messages.headers import Headers, OwnHeaders, headers_of
from stream_app.messages.records import Outgoing, Place, Record
from stream_app.messages.refusals import shown
from stream_app.messages.transaction import MAX_MESSAGE_BYTES
from stream_app.scoring.already_published import SOURCE_OFFSET
from stream_app.wire.framing import KEY_HEADER, VALUE_HEADER, is_framed

MOST_KEY_BYTES = 1_024
MOST_VALUE_BYTES = MAX_MESSAGE_BYTES
"""What a payment may have. Of a larger one, which may be zeros that came folded to a thousandth, every byte more would be kept for weeks."""
_SHORTER_BY = 8
_SHORTEST_CUT_BYTES = 1_024
_ROOM_FOR_HEADERS_BYTES = 8_192
"""Those that are written here have 2,600 bytes at the most, the producer's `_MOST_OF_PRODUCER_BYTES`; the rest is for what the publisher adds."""
_MOST_OF_PRODUCER_BYTES = 4_096
_OURS = ("error.", "source.")
MOST_LETTER_BYTES = MOST_KEY_BYTES + MOST_VALUE_BYTES + _ROOM_FOR_HEADERS_BYTES
"""Key, value and headers together: far less than a topic takes where nobody says otherwise (1,048,588 bytes)."""


class RecordOrigin(NamedTuple):
    """Where a refused record stands."""

    topic: str
    partition: int
    offset: int

    @property
    def key(self) -> bytes:
        """A key that no other letter has: a compacted topic takes it, and keeps the letter."""
        return f"{self.topic}:{self.partition}:{self.offset}".encode()


class _Content(NamedTuple):
    """What a letter says, before anything is cut.

    Attributes:
        key, value: of the record; card numbers are taken out.
        headers: why it was refused, and where it stands.
        of_producer: the record's own headers.
        origin: where it stands.
        source: the record itself, which says how many bytes key and value had.
    """

    key: bytes | None
    value: bytes | None
    headers: OwnHeaders
    of_producer: OwnHeaders
    origin: RecordOrigin
    source: Record

    def missing(self, key: bytes, value: bytes | None) -> Iterator[tuple[str, bytes]]:
        """Headers that say how many bytes there were where bytes are missing; that a card number is taken out is no cut."""
        of = self.source
        if key != self.key or isinstance(of.key, CutBytes):
            yield "source.key.bytes", b"-1" if of.key is None else str(size_of(of.key)).encode()
        if len(value or b"") < len(self.value or b"") or isinstance(of.value, CutBytes):
            yield "source.bytes", str(size_of(of.value)).encode()


def dead_letter(record: Record, error: RecordError, source: Place, topic: str, *, redacted: Collection[str]) -> Outgoing:
    """The dead letter of a refused record: its bytes as they came, card numbers taken out, the reason in the headers.

    1. A key has `MOST_KEY_BYTES` at the most, a value `MOST_VALUE_BYTES`, with the headers `MOST_LETTER_BYTES`. What is cut keeps its first
       bytes; then, and then alone, `source.key.bytes` and `source.bytes` say how many there were.
    2. A record without a key gets one of its own (`source.key.bytes` is -1).
    3. Where the topic does not take it, it has shorter forms, the last of which is the headers alone.
    4. What the error says of the record may quote it: it is made fit for a header, and for a log.
    5. The producer's own headers follow ours, as many as have `_MOST_OF_PRODUCER_BYTES`, without those of our names; the forms that are shorter
       than the first have none.

    Args:
        record: the refused record.
        error: why.
        source: where it came from.
        topic: the dead-letter topic.
        redacted: names of fields that hold a card: a number there is taken out of key and value; empty: nothing is.
    """
    origin = RecordOrigin(*source, record.offset)
    key, value = _without_card_numbers(record, redacted) if redacted else (record.key, record.value)
    headers = (
        ("error.code", str(error.code).encode()),
        ("error.message", shown(error.message).encode()),
        ("source.topic", origin.topic.encode()),
        ("source.partition", str(origin.partition).encode()),
        (SOURCE_OFFSET, str(origin.offset).encode()),
    )
    of_producer = tuple(_of_producer(headers_of(record), redacted=bool(redacted)))
    return _letter(topic, _Content(key, value, headers, of_producer, origin, record), MOST_LETTER_BYTES)


def _of_producer(headers: Headers, *, redacted: bool) -> Iterator[tuple[str, bytes]]:
    """The first headers of a record within bounds, but those that would pass for ours; card numbers are taken out."""
    size = 0
    for name, value in headers:
        size += len(name.encode(errors="replace")) + len(value or b"")
        if size > _MOST_OF_PRODUCER_BYTES:
            return
        if not name.startswith(_OURS):
            text = (value or b"").decode("latin-1")
            yield name, (without_card_numbers(text) if redacted else text).encode("latin-1")


def _without_card_numbers(record: Record, names: Collection[str]) -> tuple[bytes | None, bytes | None]:
    """Key and value of a record, plain or framed."""
    headers = headers_of(record)
    parts = ((record.key, KEY_HEADER), (record.value, VALUE_HEADER))
    key, value = (redact_framed(part) if is_framed(part, headers, header) else part for part, header in parts)
    return redact(key, value, names)


def _letter(topic: str, content: _Content, most: int) -> Outgoing:
    """The letter within so many bytes, and a way to its shorter forms."""
    key, value, origin = content.key, content.value, content.origin
    if most:
        key = origin.key if key is None else key[: min(MOST_KEY_BYTES, most // 2)]
        value = value and value[: min(MOST_VALUE_BYTES, max(0, most - len(key) - min(_ROOM_FOR_HEADERS_BYTES, most // 2)))]
    else:
        key, value = origin.key, b""
    of_producer = content.of_producer if most == MOST_LETTER_BYTES else ()
    headers = (*content.headers, *content.missing(key, value), *of_producer)
    shorter = partial(_letter, topic, content, most // _SHORTER_BY if most // _SHORTER_BY >= _SHORTEST_CUT_BYTES else 0)
    return Outgoing(topic, key, value, headers, shorter if most else None)
