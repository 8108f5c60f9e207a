"""Checkpoints: the state of a topic at an offset, in pieces within the same topic, so that a start reads a checkpoint and what came after.

1. A checkpoint holds records that make the state anew, the state of *after all records below `at`*. Its pieces stand further on, in order; other
   records may lie between them.
2. The last piece has a hash over all of them. Torn or forged ones are refused: a reader takes none of it, and what was there before stays.
3. Each record that we write says in a header where the newest whole checkpoint begins that its writer knew of. So a start reads the topic's last
   record, then from there: pieces until they are whole, then from `at` on. Without a header, or where that fails, it reads from the beginning.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta

from stream_app.errors import RuleError
from stream_app.messages.alert import NonNegative
from stream_app.messages.event_time import MAX_EVENT_TIME_MS
from stream_app.messages.headers import Headers, header, number
from stream_app.messages.records import decoded
from stream_app.rules.rule import Digest

PIECE_BYTES = 500_000
"""About so many bytes of records a piece holds; none of them has more."""
MAX_PIECES = 10_000
CHECKPOINT_HEADER = "checkpoint"

CheckpointId = Annotated[str, Meta(pattern=r"^[0-9a-z-]{1,64}$(?!\n)")]
EndedMs = Annotated[int, Meta(ge=0, le=MAX_EVENT_TIME_MS)]


class Checkpoint(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, omit_defaults=True, tag_field="kind", tag="checkpoint"):
    """A piece of one, `checkpoint.v1`.

    Attributes:
        id: of the checkpoint, of its writer's making: pieces of two never mix.
        at: the offset below which all records are in it.
        ended_ms: entries that ended at or before are not in it: every reader drops them when the checkpoint is whole.
        piece: its number, from 0.
        records: as they stand in the topic themselves.
        sha256: of the last piece alone: over all records of all pieces.
    """

    id: CheckpointId
    at: NonNegative
    ended_ms: EndedMs
    piece: Annotated[int, Meta(ge=0, lt=MAX_PIECES)]
    records: tuple[msgspec.Raw, ...]
    sha256: Digest | None = None


_DECODER = msgspec.json.Decoder(Checkpoint)


def pieces_of(records: Iterable[bytes], checkpoint_id: str, at: int, ended_ms: int) -> Iterator[bytes]:
    """The pieces of a checkpoint, one after the other: no more than one of them is in memory."""
    digest, held, size, piece = hashlib.sha256(), list[msgspec.Raw](), 0, 0
    for record in records:
        if held and size + len(record) > PIECE_BYTES:
            yield msgspec.json.encode(Checkpoint(checkpoint_id, at, ended_ms, piece, tuple(held)))
            held, size, piece = [], 0, piece + 1
        digest.update(record)
        held.append(msgspec.Raw(record))
        size += len(record)
    yield msgspec.json.encode(Checkpoint(checkpoint_id, at, ended_ms, piece, tuple(held), digest.hexdigest()))


@dataclass(frozen=True, slots=True)
class WholeCheckpoint:
    """One of which every piece was seen, and the hash is right: where its first piece stands, and what its pieces say."""

    first: int
    at: int
    ended_ms: int


class CheckpointReader:
    """Follows the pieces of checkpoints; of one that is whole it says so."""

    def __init__(self) -> None:
        self._first = -1
        self._before: Checkpoint | None = None
        self._digest = hashlib.sha256()

    def read(self, offset: int, piece: Checkpoint) -> WholeCheckpoint | None:
        """Take a piece.

        Raises:
            RuleError: it does not follow the one before, or the hash is wrong: the checkpoint is nothing.
        """
        if piece.piece == 0:
            self._first, self._before, self._digest = offset, None, hashlib.sha256()
        before, self._before = self._before, piece
        if piece.at > self._first or (piece.piece and (before is None or _follows(piece) != _follows(before, 1))):
            self._before = None
            raise RuleError(
                f"Piece {piece.piece} of checkpoint {piece.id!r} does not follow the one before: the checkpoint is torn, or forged."
            )
        for record in piece.records:
            self._digest.update(bytes(record))
        if piece.sha256 is None:
            return None
        self._before = None
        if piece.sha256 != self._digest.hexdigest():
            raise RuleError(f"Checkpoint {piece.id!r} has another hash than its last piece says: it is torn, or forged.")
        return WholeCheckpoint(self._first, piece.at, piece.ended_ms)


def _follows(piece: Checkpoint, by: int = 0) -> tuple[str, int, int, int]:
    return piece.id, piece.at, piece.ended_ms, piece.piece + by


def checkpoint_header(first: int | None) -> list[tuple[str, bytes]]:
    """The header of a record that we write: where the newest whole checkpoint begins; none where none is known."""
    return [] if first is None else [(CHECKPOINT_HEADER, b"%d" % first)]


def checkpoint_in(offset: int, value: bytes | None, headers: Headers) -> int | None:
    """The offset from which to look for a checkpoint, by the topic's last record; None where it says nothing.

    One that is a whole checkpoint itself could not say so: its writer did not know its offset yet.
    """
    piece = decoded(_DECODER, value)
    if piece is not None and piece.piece == 0 and piece.sha256 is not None:
        return offset
    return number(header(headers, CHECKPOINT_HEADER))
