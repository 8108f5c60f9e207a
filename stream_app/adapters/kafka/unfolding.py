"""The bytes of a compressed record batch, as many at a time as are asked for, whatever they unfold to.

Each of Kafka's codecs is read through its library's own bounded interface: memory is that of a piece and of the codec's window.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from aiokafka.errors import UnsupportedCodecError

MOST_WINDOW_BYTES = 8 * 2**20
"""What a zstd frame may make us remember: level 19 does not ask for more. A frame that asks is unfolded at once, see `MOST_AT_ONCE_BYTES`."""
MOST_AT_ONCE_BYTES = 16 * 2**20
"""What a frame with a larger window may unfold to."""
_SNAPPY_AT_MOST = 24
"""Snappy says in three bytes what becomes 64 at the most: a block that claims more is none."""
_FED_BYTES = 4_096
_MOST_IN_VAIN = 3
"""Nothing more to feed, and not a byte: LZ4's may still have some, and does not always say so."""
_XERIAL = b"\x82SNAPPY\x00"
_XERIAL_HEADER_BYTES = 16

type Read = Callable[[int], bytes]
"""The next bytes, this many at the most; none at the end, and only there."""


class UnfoldingError(Exception):
    """What was folded cannot be unfolded, or not within bounds; the text says why."""


def unfolding(codec: int, folded: memoryview) -> Read:
    """How to read what is folded.

    Args:
        codec: Kafka's number of it.
        folded: what follows the header of a batch.

    Raises:
        UnsupportedCodecError: if there is no such codec, or it is not installed. What is returned raises `UnfoldingError`.
    """
    makers: tuple[Callable[[memoryview], Read], ...] = (_plain, _gzip, _snappy, _lz4, _zstd)
    if codec >= len(makers):
        raise UnsupportedCodecError(f"Unknown compression codec {codec}")
    return makers[codec](folded)


def _library(name: str) -> Any:
    """A codec's library, when it is needed: a worker without it reads everything else."""
    try:
        return import_module(name)
    except ImportError as error:
        raise UnsupportedCodecError(f"{name} is not installed: {error}") from None


def _plain(folded: memoryview) -> Read:
    at = 0

    def read(most: int) -> bytes:
        nonlocal at
        piece = folded[at : at + most].tobytes()
        at += len(piece)
        return piece

    return read


def _gzip(folded: memoryview) -> Read:
    return _members(folded, lambda: zlib.decompressobj(zlib.MAX_WBITS | 16))


def _lz4(folded: memoryview) -> Read:
    return _members(folded, _library("lz4.frame").LZ4FrameDecompressor)


def _members(folded: memoryview, member: Callable[[], Any]) -> Read:
    """Gzip members, or LZ4 frames, one behind the other; `member` makes what unfolds one. They are fed little by little, whatever they are."""
    present, waiting, at, ended = member(), b"", 0, False

    def read(most: int) -> bytes:
        nonlocal present, waiting, at, ended
        in_vain = 0
        while in_vain < _MOST_IN_VAIN and not ended:
            if not waiting:
                waiting = folded[at : at + _FED_BYTES].tobytes()
                at += len(waiting)
                in_vain += not waiting
            try:
                piece: bytes = present.decompress(waiting, most)
            except (zlib.error, RuntimeError, EOFError) as error:
                raise UnfoldingError(str(error)) from None
            waiting = getattr(present, "unconsumed_tail", b"")  # LZ4's keeps it
            if present.eof:
                present, waiting = member(), present.unused_data or b""
                ended = not waiting and at >= len(folded)
            if piece:
                return piece
        if not ended:
            raise UnfoldingError("it is cut")
        return b""

    return read


def _snappy(folded: memoryview) -> Read:
    cramjam = _library("cramjam")
    return _joined(_snappy_block(cramjam, block) for block in _snappy_blocks(folded))


def _snappy_blocks(folded: memoryview) -> Iterator[bytes]:
    """Of a stream with Xerial's frame, as Java's; without it all is one block."""
    if folded[: len(_XERIAL)] != _XERIAL:
        yield folded.tobytes()
        return
    at = _XERIAL_HEADER_BYTES
    while at < len(folded):
        try:
            (size,) = struct.unpack_from(">i", folded, at)
        except struct.error:
            raise UnfoldingError("it is cut") from None
        at += 4 + size
        if size < 0 or at > len(folded):
            raise UnfoldingError("a block of it is cut")
        yield folded[at - size : at].tobytes()


def _snappy_block(cramjam: Any, block: bytes) -> bytes:
    try:
        if cramjam.snappy.decompress_raw_len(block) > _SNAPPY_AT_MOST * len(block):
            raise UnfoldingError("a block of it claims more than it can hold")
        return bytes(cramjam.snappy.decompress_raw(block))
    except cramjam.DecompressionError as error:
        raise UnfoldingError(str(error)) from None


def _joined(blocks: Iterator[bytes]) -> Read:
    kept = b""
    at = 0

    def read(most: int) -> bytes:
        nonlocal kept, at
        while at >= len(kept):
            block = next(blocks, None)
            if block is None:
                return b""
            at, kept = 0, block
        piece = kept[at : at + most]
        at += len(piece)
        return piece

    return read


def _zstd(folded: memoryview) -> Read:
    zstandard = _library("zstandard")
    reader = zstandard.ZstdDecompressor(max_window_size=MOST_WINDOW_BYTES).stream_reader(folded, read_across_frames=True)
    at_once: Read | None = None

    def read(most: int) -> bytes:
        nonlocal at_once
        try:
            return bytes(reader.read(most)) if at_once is None else at_once(most)
        except zstandard.ZstdError as error:
            if reader.tell():
                raise UnfoldingError(str(error)) from None
        at_once = _plain(memoryview(_zstd_at_once(zstandard, folded)))
        return at_once(most)

    return read


def _zstd_at_once(zstandard: Any, folded: memoryview) -> bytes:
    """What a frame holds whose window is larger than what is remembered of one."""
    try:
        if zstandard.frame_content_size(folded) > MOST_AT_ONCE_BYTES:  # the bound below is for frames that do not say it
            raise UnfoldingError(f"it unfolds to more than {MOST_AT_ONCE_BYTES} bytes with a window of more than {MOST_WINDOW_BYTES}")
        return bytes(zstandard.ZstdDecompressor().decompress(folded, max_output_size=MOST_AT_ONCE_BYTES))
    except zstandard.ZstdError as error:
        raise UnfoldingError(str(error)) from None
