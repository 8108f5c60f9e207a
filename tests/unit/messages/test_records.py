"""What is read of topics that anybody may write to."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.messages.records import decoded
from stream_app.messages.transaction import Label

DECODER = msgspec.json.Decoder(Label)


@pytest.mark.parametrize(
    "value", [None, b"", b"{", b"[]", b'{"transaction_id":1}', b'{"transaction_id":"\xff"}', b'{"a":' * 100_000, b"[" * 100_000]
)
def test_what_is_no_message_is_none(value: bytes | None) -> None:
    """A tombstone, what is cut, of another shape, not UTF-8, nested deeper than a decoder goes."""
    assert decoded(DECODER, value) is None


@given(st.binary(max_size=200))
def test_no_bytes_end_a_reader(value: bytes) -> None:
    """Whatever they are."""
    assert decoded(DECODER, value) is None


def test_a_message_is_read() -> None:
    """As it was written."""
    label = Label("t", "c", "m", 1_600_000_000_000, 1.0, True, 1_600_000_000_000)
    assert decoded(DECODER, msgspec.json.encode(label)) == label
