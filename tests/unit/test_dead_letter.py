"""What a dead letter carries of a refused record."""

from __future__ import annotations

from dataclasses import dataclass

from stream_app.errors import RecordError
from stream_app.intake import MAX_DEAD_LETTER_BYTES, dead_letter


@dataclass(frozen=True)
class Refused:
    """A record as Kafka gives it."""

    value: bytes
    key: bytes = b"c1"
    offset: int = 7
    timestamp: int = 0


def carried(value: bytes) -> tuple[bytes | None, dict[str, bytes]]:
    """Value and headers of the dead letter of this value."""
    letter = dead_letter(Refused(value), RecordError("too_large", "Too long."), ("transactions", 3), "dlq", redacted=True)
    return letter.value, dict(letter.headers)


def test_the_bytes_travel_as_they_came() -> None:
    """Up to the limit nothing is cut, and nothing says so."""
    value, headers = carried(b"x" * MAX_DEAD_LETTER_BYTES)
    assert value == b"x" * MAX_DEAD_LETTER_BYTES
    assert "source.bytes" not in headers


def test_a_value_that_no_topic_might_take_is_cut_and_says_how_long_it_was() -> None:
    """A record just below the input topic's own limit has a dead letter that its topic takes, headers included."""
    value, headers = carried(b"x" * 2_097_000)
    assert value == b"x" * MAX_DEAD_LETTER_BYTES
    assert headers["source.bytes"] == b"2097000"
    assert len(value) + sum(len(k) + len(v) for k, v in headers.items()) < 1_048_588
