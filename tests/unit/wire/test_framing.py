"""Confluent's framing: which schema, and where the content begins."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.errors import RecordError
from stream_app.messages.refusals import DeadLetterCode
from stream_app.wire.framing import KEY_HEADER, VALUE_HEADER, Framed, is_framed, unframed

GUID = UUID("0f8fad5b-d9cb-469f-a165-70867728950e")


@given(st.integers(0, 2**32 - 1), st.binary(max_size=20))
def test_an_id_before_the_content_is_read(number: int, content: bytes) -> None:
    """Four bytes, big-endian; ids beyond 2**31 too."""
    assert unframed(b"\0" + number.to_bytes(4) + content, (), VALUE_HEADER) == Framed(number, content)


def test_a_guid_in_the_header_leaves_the_content_alone() -> None:
    """As Confluent's serializers write it; the header of the key says nothing of the value, and of several the last counts."""
    headers = [(VALUE_HEADER, b"\x01" + bytes(16)), (KEY_HEADER, b"\0\0\0\0\x07"), (VALUE_HEADER, b"\x01" + GUID.bytes)]
    assert unframed(b"content", headers, VALUE_HEADER) == Framed(str(GUID), b"content")
    assert unframed(b"card", headers, KEY_HEADER) == Framed(7, b"card")
    assert unframed(b"\x01" + GUID.bytes + b"content", (), VALUE_HEADER) == Framed(str(GUID), b"content")


@pytest.mark.parametrize("content", [b"{}", b"card-1", b"\x02\0\0\0\x07", b" "])
def test_what_begins_otherwise_is_not_framed(content: bytes) -> None:
    """JSON, a card's id, and whatever else is read as it always was."""
    assert unframed(content, [("traceparent", b"\0")], VALUE_HEADER) is None
    assert not is_framed(content, [("traceparent", b"\0")], VALUE_HEADER)


@pytest.mark.parametrize(
    ("content", "headers", "says"),
    [
        (b"\0\0\0\0", (), "The frame of the record's value has 4 bytes; with 0x00 it needs 5"),
        (b"\0", (), "has 1 bytes"),
        (b"\x01" + bytes(15), (), "has 16 bytes; with 0x01 it needs 17"),
        (b"{}", [(VALUE_HEADER, b"")], "The header __value_schema_id begins with neither 0x00 nor 0x01"),
        (b"{}", [(VALUE_HEADER, None)], "begins with neither"),
        (b"{}", [(VALUE_HEADER, b"7")], "begins with neither"),
        (b"{}", [(VALUE_HEADER, b"\x01" + bytes(17))], "The header __value_schema_id has 18 bytes; with 0x01 it has 17"),
    ],
)
def test_a_wrong_frame_is_refused_with_its_code(content: bytes, headers: list[tuple[str, bytes | None]], says: str) -> None:
    """It says how long it is, and how long it would be."""
    with pytest.raises(RecordError) as refused:
        unframed(content, headers, VALUE_HEADER)
    assert (refused.value.code, says in refused.value.message) == (DeadLetterCode.WRONG_FRAME, True), refused.value
    assert is_framed(content, headers, VALUE_HEADER)
