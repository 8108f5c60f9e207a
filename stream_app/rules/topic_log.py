"""A topic of one partition as a state machine: records in the order of their offsets in, a state out.

1. The state at an offset is a function of the records below it, and of nothing else: no clock, no other topic; of settings only whether card
   numbers are refused, as at the intake: all processes have that one alike.
2. A record is taken whole or refused whole; a refused one is told, and the state stays.
3. A state begins empty at the topic's beginning, or from a whole checkpoint: see `checkpoint`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from stream_app.errors import RuleError
from stream_app.features.aggregations import DAY_S, HORIZON_S
from stream_app.messages.records import NOT_DECODED, decoded
from stream_app.rules.checkpoint import Checkpoint, CheckpointReader, WholeCheckpoint

MAX_RECORD_BYTES = 1_000_000
ENDED_AGO_MS = HORIZON_S * 1000
"""So long after its end an entry is kept at least: a payment that is later than that is behind every window anyway."""


class RefusedRecord(NamedTuple):
    """A record that was not taken, and why, in one sentence for its author."""

    offset: int
    why: str


class TopicLog[R](ABC):
    """What the records of a topic come to.

    Attributes:
        offset: the next one to read.
        checkpoint: where the newest whole checkpoint begins; None where none was seen.
        tail_bytes: of the records that were read since it was whole: a start has to read them beside it.
    """

    def __init__(self, decoder: msgspec.json.Decoder[R | Checkpoint]) -> None:
        self.offset = 0
        self.checkpoint: int | None = None
        self.tail_bytes = 0
        self._decoder = decoder
        self._pieces = CheckpointReader()

    def apply(self, offset: int, value: bytes | None, at_ms: int) -> RefusedRecord | None:
        """Take a record, the next one or a later one: offsets may have gaps.

        Args:
            offset: its own.
            value: as it stands in the topic.
            at_ms: its Kafka timestamp.

        Returns:
            None, or why the record was refused: nothing was changed then but the offset.
        """
        if offset < self.offset:
            return RefusedRecord(offset, f"Offset {offset} was read before: the next one is {self.offset}.")
        self.offset = offset + 1
        self.tail_bytes += len(value or b"")
        try:
            record = self._decoded(value)
            if isinstance(record, Checkpoint):
                self._read(offset, record, at_ms)
            else:
                self._take(record, offset, at_ms)
        except RuleError as error:
            return RefusedRecord(offset, str(error))
        return None

    def _read(self, offset: int, piece: Checkpoint, at_ms: int) -> None:
        if piece.ended_ms > max(0, at_ms - ENDED_AGO_MS):
            raise RuleError(
                f"Checkpoint {piece.id!r} leaves out entries that ended less than {HORIZON_S // DAY_S} days ago: payments may ask for them."
            )
        whole = self._pieces.read(offset, piece)
        if whole is not None:
            self.checkpoint, self.tail_bytes = whole.first, 0
            self._ended(whole.ended_ms)

    def check(self, value: bytes, at_ms: int) -> None:
        """Refuse a record that would be refused if it came next, for the same reason; nothing is changed either way.

        Raises:
            RuleError: why.
        """
        record = self._decoded(value)
        if not isinstance(record, Checkpoint):
            self._check(record, at_ms)

    def restore(self, value: bytes) -> None:
        """Take a record of a checkpoint: it follows nothing, and was right when it was made.

        Raises:
            RuleError: it is none of this topic.
        """
        record = self._decoded(value)
        if isinstance(record, Checkpoint):
            raise RuleError("A checkpoint holds a checkpoint: it is forged.")
        self._restore(record)

    def finish(self, whole: WholeCheckpoint) -> None:
        """All records of the checkpoint were taken: this is the state at its offset."""
        self.offset, self.checkpoint = whole.at, whole.first

    def _decoded(self, value: bytes | None) -> R | Checkpoint:
        if value is None or len(value) > MAX_RECORD_BYTES:
            told = "it has no value" if value is None else f"it has {len(value):,} bytes; {MAX_RECORD_BYTES:,} are allowed"
            raise RuleError(f"The record cannot be read: {told}. Write it by `fraudstream`.")
        try:
            return self._decoder.decode(value)
        except NOT_DECODED as error:
            raise RuleError(f"The record cannot be read: {error}. It is torn, or of another program.") from None

    @abstractmethod
    def _take(self, record: R, offset: int, at_ms: int) -> None:
        """Take a record, or raise RuleError and change nothing."""

    @abstractmethod
    def _check(self, record: R, at_ms: int) -> None:
        """Raise RuleError where `_take` would; change nothing."""

    @abstractmethod
    def _restore(self, record: R) -> None:
        """The same of a checkpoint."""

    @abstractmethod
    def _ended(self, ended_ms: int) -> None:
        """Drop what ended at or before a time."""

    @abstractmethod
    def records(self, ended_ms: int) -> Iterator[bytes]:
        """Records that make this state anew, for a checkpoint, without what ended at or before a time."""


class Restoration[L: TopicLog[Any]]:
    """A start: pieces in, the state of the first checkpoint that is whole out. Read on from its `offset`, not from behind the pieces."""

    def __init__(self, empty: Callable[[], L]) -> None:
        self._empty = empty
        self._log: L | None = None
        self._pieces = CheckpointReader()
        self._decoder = msgspec.json.Decoder(Checkpoint)

    def read(self, offset: int, value: bytes | None) -> L | None:
        """Take a record of the topic, from where `checkpoint_in` said on. Other records are passed over, and so is what is torn or forged."""
        piece = decoded(self._decoder, value)
        if piece is None:
            return None
        if piece.piece == 0:
            self._log = self._empty()
        log, self._log = self._log, None
        try:
            whole = self._pieces.read(offset, piece)
            if log is not None:
                for record in piece.records:
                    log.restore(bytes(record))
        except RuleError:
            return None
        if whole is None or log is None:
            self._log = log
            return None
        log.finish(whole)
        return log
