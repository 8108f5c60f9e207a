"""Bytes of which only the first are kept: a record's key or value that is larger than anything that is read."""

from __future__ import annotations

from typing import Self


class CutBytes(bytes):
    """The first bytes of a key or value.

    Attributes:
        whole: how many there were.
    """

    whole: int

    @classmethod
    def of(cls, first: bytes, whole: int) -> Self:
        """`first`, and how many there were."""
        cut = cls(first)
        cut.whole = whole
        return cut


def size_of(value: bytes | None) -> int:
    """How many bytes a key or value has, or had before it was cut; 0 for none."""
    if value is None:
        return 0
    return value.whole if isinstance(value, CutBytes) else len(value)


class UnreadBytes(bytes):
    """In place of a value that could not be unpacked from its batch: no bytes.

    Attributes:
        why: what was wrong.
    """

    why: str

    @classmethod
    def of(cls, why: str) -> Self:
        """None, and why."""
        unread = cls()
        unread.why = why
        return unread
