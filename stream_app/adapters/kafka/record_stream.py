"""The records of a batch as they unfold: numbers and bytes, one after the other. At most two pieces of them are in memory."""

from __future__ import annotations

from stream_app.adapters.kafka.unfolding import Read, UnfoldingError
from stream_app.messages.cut_bytes import CutBytes

PIECE_BYTES = 2**20
"""Larger than what is read of a record, and than what a dead letter keeps of it."""
MOST_SKIPPED_BYTES = 512 * 2**20
"""Of one record: a second or two, in which the consumer's group hears nothing of us. Larger ones are given up, with what follows them."""
_LONGEST_VARINT = 10
_MORE, _MORE_AND_SIGN = 0x80, 0x81


class RecordStream:
    """Reads forward; raises `UnfoldingError` where the bytes are not what they say."""

    def __init__(self, unfold: Read) -> None:
        self._unfold = unfold
        self._buffer = b""
        self._at = 0
        self._gone = 0
        self._ended = False
        self._failure: UnfoldingError | None = None

    @property
    def position(self) -> int:
        """How many bytes were taken."""
        return self._gone + self._at

    def more(self) -> bool:
        """Whether a byte is left."""
        return self._here(1) > 0

    def whole_records(self, most: int) -> tuple[bytes, int]:
        """The next records that are in memory whole, and how many; none where the next is larger than a piece.

        Args:
            most: how many are left. Where all bytes are here they are taken for all of these.
        """
        self._here(PIECE_BYTES)
        buffer, at, count = self._buffer, self._at, 0
        if self._ended and len(buffer) - at <= PIECE_BYTES:
            self._at = len(buffer)
            return buffer[at:], most
        last = len(buffer) - 1
        while count < most and at < last:
            if buffer[at] & _MORE_AND_SIGN == _MORE and buffer[at + 1] < _MORE:  # most lengths: of two bytes, and not below 0
                length, after = (buffer[at] - _MORE | buffer[at + 1] << 7) >> 1, at + 2
            else:
                length, after = _varint(buffer, at)
            if after == at or length < 0 or after + length > len(buffer):
                break
            at, count = after + length, count + 1
        piece, self._at = buffer[self._at : at], at
        return piece, count

    def varint(self) -> int:
        """The next number, in zigzag."""
        self._here(_LONGEST_VARINT)
        number, after = _varint(self._buffer, self._at)
        if after == self._at:
            raise self._failure or UnfoldingError("a number in it is cut")
        self._at = after
        return number

    def bytes_or_none(self, most: int) -> bytes | None:
        """The next key, value or name; of one larger than `most` the first bytes."""
        size = self.varint()
        if size < 0:
            return None
        kept = self._take(min(size, most))
        if size <= most:
            return kept
        self.skip(size - most)
        return CutBytes.of(kept, size)

    def skip(self, size: int) -> None:
        """Let the next bytes go by."""
        if not 0 <= size <= MOST_SKIPPED_BYTES:
            raise UnfoldingError(f"a record in it claims {size} bytes more than are read")
        while size:
            here = min(size, self._here(1))
            if not here:
                raise self._failure or UnfoldingError("a record in it is cut")
            self._at += here
            size -= here

    def _take(self, size: int) -> bytes:
        if self._here(size) < size:
            raise self._failure or UnfoldingError("a record in it is cut")
        self._at += size
        return self._buffer[self._at - size : self._at]

    def _here(self, wanted: int) -> int:
        """How many bytes are in memory: as many as wanted, if there are so many."""
        here = len(self._buffer) - self._at
        if here >= wanted or self._ended:
            return here
        pieces = [self._buffer[self._at :]]
        self._gone += self._at
        self._at = 0
        while here < wanted:
            try:
                piece = self._unfold(PIECE_BYTES)
            except UnfoldingError as error:  # what came before it is read; a tail behind the last record is nobody's matter
                self._failure, piece = error, b""
            if not piece:
                self._ended = True
                break
            pieces.append(piece)
            here += len(piece)
        self._buffer = b"".join(pieces)
        return here


def _varint(buffer: bytes, at: int) -> tuple[int, int]:
    """The number at a place, and the place behind it; the same place where it is cut or too long."""
    number = shift = 0
    for after in range(at, min(at + _LONGEST_VARINT, len(buffer))):
        byte = buffer[after]
        number |= (byte & ~_MORE) << shift
        if byte < _MORE:
            return (number >> 1) ^ -(number & 1), after + 1
        shift += 7
    return 0, at
