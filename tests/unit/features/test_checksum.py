"""The checksum of packed values is the library's, and what is not whole is told from what is."""

from __future__ import annotations

import numpy as np
import xxhash
from hypothesis import example, given
from hypothesis import strategies as st

from stream_app.features.checksum import checksum, is_whole, put_checksum


@given(st.binary(max_size=80), st.integers(0, 7))
@example(b"", 0)
@example(b"x" * 15, 1)
@example(b"x" * 16, 1)
@example(b"\xff" * 4096, 3)
def test_the_checksum_is_the_librarys_wherever_the_bytes_lie(value: bytes, before: int) -> None:
    """Of every length: fewer than one stripe of 16 bytes, whole stripes, words and single bytes after them."""
    buffer = np.frombuffer(b"z" * before + value + b"after", dtype=np.uint8)
    assert checksum(buffer, before, before + len(value)) == xxhash.xxh32_intdigest(value)


@given(st.binary(min_size=1, max_size=60), st.data())
def test_what_was_changed_or_cut_is_not_whole(value: bytes, data: st.DataObject) -> None:
    """One bit of a value, or of its checksum; and each shorter form of it."""
    buffer = np.frombuffer(bytes(4) + value, dtype=np.uint8).copy()
    put_checksum(buffer, 0, len(buffer))
    assert buffer[:4].tobytes() == xxhash.xxh32_intdigest(value).to_bytes(4, "little")
    assert is_whole(buffer, 0, len(buffer))
    assert not any(is_whole(buffer, 0, end) for end in range(len(buffer)))
    buffer[data.draw(st.integers(0, len(buffer) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert not is_whole(buffer, 0, len(buffer))
