"""Letters of the dead that go back to where they came from, each once. No I/O.

1. What goes back carries the header SENT_BACK, the letter's place: whoever reads the input sees what it is.
2. In the same Kafka transaction a mark with that header and no value is written beside the letter, to its own partition: so a letter whose mark
   is there went back, and one without a mark did not, whatever was killed.
3. What is sent is what the letter holds, or what somebody made of it; of bytes that are not there only the latter.
4. What workers would refuse again is not sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Self

from stream_app.delivery.dead_letter import RecordOrigin
from stream_app.messages.card_numbers import REDACTED
from stream_app.messages.headers import Headers, OwnHeaders, header, number
from stream_app.messages.records import Addressed, Outgoing

if TYPE_CHECKING:
    from stream_app.messages.records import Published

SENT_BACK = "sent_back.of"
"""Header of a record that went back, and of the mark beside its letter: the letter's place."""
_OF_LETTERS = ("error.", "source.")


class LetterPlace(NamedTuple):
    """Where a dead letter stands; as text `topic:partition:offset`."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        """See the class."""
        return f"{self.topic}:{self.partition}:{self.offset}"

    @classmethod
    def of(cls, text: str) -> Self | None:
        """The place that a text says; None where it says none."""
        topic, *numbers = text.rsplit(":", 2)
        if len(numbers) != 2 or None in (both := [number(n.encode()) for n in numbers]):  # noqa: PLR2004 - a partition and an offset
            return None
        return cls(topic, both[0] or 0, both[1] or 0)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter as it was read.

    Attributes:
        at_ms: its Kafka timestamp.
        code, message: why the record was refused.
        source: where it stood.
        key: of the record; None where it had none.
        value: of the record, as far as the letter has it.
        headers: the producer's.
        cut: what of the record the letter does not have, in words; empty: nothing.
    """

    place: LetterPlace
    at_ms: int
    code: str
    message: str
    source: RecordOrigin
    key: bytes | None
    value: bytes
    headers: OwnHeaders
    cut: str = ""

    def needs(self) -> str:
        """What must be done to the record before it can go back, as far as the letter alone tells; empty: nothing is known."""
        if self.cut:
            return f"{self.cut}: write the whole record here, from where it came"
        if self.key is None:
            return "the record had no key: write the card's id as its key"
        if REDACTED.encode() in self.value or REDACTED.encode() in self.key:
            return f"a card number was taken out ({REDACTED}): write the card's token in its place, in value and key"
        return ""


def letter_of(topic: str, partition: int, record: Published) -> DeadLetter | None:
    """The dead letter in a record of a dead-letter topic; None of a mark, and of what others wrote there."""
    headers = record.headers
    code, source = header(headers, "error.code"), _source(headers)
    if not code or source is None:
        return None
    key_bytes = header(headers, "source.key.bytes")
    return DeadLetter(
        LetterPlace(topic, partition, record.offset),
        record.timestamp,
        _text(code),
        _text(header(headers, "error.message")),
        source,
        None if key_bytes == b"-1" else record.key,
        record.value or b"",
        tuple((name, value or b"") for name, value in headers if not name.startswith(_OF_LETTERS)),
        _cut(headers, record.value, key_bytes),
    )


def mark_in(record: Published) -> LetterPlace | None:
    """The place of the letter that went back, by its mark; None of any other record."""
    if record.value or header(record.headers, "error.code"):
        return None
    return LetterPlace.of(_text(header(record.headers, SENT_BACK)))


@dataclass(frozen=True, slots=True)
class ReturnedRecord:
    """What goes back.

    Attributes:
        letter: whose record it is.
        key, value: as they are sent.
        timestamp: when, Unix ms.
    """

    letter: DeadLetter
    key: bytes
    value: bytes
    timestamp: int

    @property
    def offset(self) -> int:
        """None yet."""
        return -1

    @property
    def headers(self) -> OwnHeaders:
        """The producer's, and the mark: of the last letter alone, where it went back before."""
        of_producer = (pair for pair in self.letter.headers if pair[0] != SENT_BACK)
        return (*of_producer, (SENT_BACK, str(self.letter.place).encode()))

    @property
    def stood(self) -> int | None:
        """The partition that it stood in; None where it has another key now."""
        return self.letter.source.partition if self.key == self.letter.key else None

    def messages(self, partition: int | None) -> tuple[Addressed, Addressed]:
        """The record, to its card's partition, None: where Kafka's own clients put its key; and its mark, beside the letter."""
        place = self.letter.place
        mark = (SENT_BACK, str(place).encode())
        back = Outgoing(self.letter.source.topic, self.key, self.value, self.headers)
        return Addressed(partition, back), Addressed(place.partition, Outgoing(place.topic, mark[1], b"", (mark,)))

    def refusal(self) -> str:
        """Why it must not be sent, by what the letter lacks; empty: nothing is known."""
        if self.letter.cut and self.value == self.letter.value:
            return self.letter.needs()
        if REDACTED.encode() in self.value or REDACTED.encode() in self.key:
            return f"a card number was taken out ({REDACTED}): write the card's token in its place, in value and key"
        return ""


def _source(headers: Headers) -> RecordOrigin | None:
    topic, partition, offset = (header(headers, f"source.{name}") for name in ("topic", "partition", "offset"))
    numbers = number(partition), number(offset)
    if not topic or numbers[0] is None or numbers[1] is None:
        return None
    return RecordOrigin(_text(topic), numbers[0], numbers[1])


def _cut(headers: Headers, value: bytes | None, key_bytes: bytes) -> str:
    whole = number(header(headers, "source.bytes"))
    if whole is not None:
        return f"the letter has {len(value or b'')} of the value's {whole} bytes"
    if not value:
        return "the letter has headers alone"
    if number(key_bytes) is not None:
        return f"the letter has another key than the record, which had {_text(key_bytes)} bytes"
    return ""


def _text(value: bytes) -> str:
    return value.decode(errors="replace")
