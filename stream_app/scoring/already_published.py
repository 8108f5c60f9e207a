"""What stands: messages that were published for payments and labels which are decided, or counted, once more.

Each output carries where it comes from in its headers, so that a new owner of a partition knows what a killed one had done.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import numpy as np

from stream_app.messages.alert import ClockMs, Probability
from stream_app.messages.headers import Headers, header, number
from stream_app.messages.records import Published, Record, decoded
from stream_app.messages.transaction import Identifier
from stream_app.scoring.decision import Verdict
from stream_app.scoring.positions import START, Cursor, Position, SourceTopics

SOURCE_OFFSET = "source.offset"
"""Header of every output: the offset of the transaction or label that it was made from."""
SOURCE_CURSOR = "source.cursor"
"""Header of every output: `<topic id>:<offset>` of transactions and of labels, below which everything was decided, joined by a comma."""


class PublishedDecision(Verdict, frozen=True, kw_only=True):
    """A decision as it was published, in an alert or a score. Anybody may have written it: it is held to the bounds of `Score`."""

    score: Probability
    threshold: Probability
    case_id: Identifier | None
    scored_at: ClockMs


_VERDICT = msgspec.json.Decoder(PublishedDecision)


def read_decision(value: bytes | None) -> PublishedDecision | None:
    """The decision in an alert or score; None where there is none."""
    return decoded(_VERDICT, value)


class Refusals:
    """Offsets of one topic and partition whose dead letters stand: such a record is passed over, whatever clock, settings and program say now.

    Memory: eight bytes for each.
    """

    def __init__(self, offsets: Iterable[int] = ()) -> None:
        self._offsets = np.unique(np.fromiter(offsets, dtype=np.int64))

    @property
    def last(self) -> int:
        """The highest; -1 where there is none."""
        return int(self._offsets[-1]) if len(self._offsets) else -1

    def without[R: Record](self, records: Sequence[R]) -> Sequence[R]:
        """The records, in order of their offsets, but those that were refused."""
        if not records or records[0].offset > self.last:
            return records
        first, end = np.searchsorted(self._offsets, (records[0].offset, records[-1].offset + 1)).tolist()
        refused = set(self._offsets[first:end].tolist())
        return [r for r in records if r.offset not in refused] if refused else records


class RefusedRecords(NamedTuple):
    """What was refused of each topic of a partition."""

    transactions: Refusals
    labels: Refusals


NONE_REFUSED = RefusedRecords(Refusals(), Refusals())


@dataclass(slots=True)
class AlreadyPublished:
    """What was published for offsets at or above the cursor, and what was surely decided.

    Attributes:
        decided: below it nothing is published any more.
        verdicts: by offset of the transaction; each stands, whatever would be decided now.
        alerted, scored: offsets of transactions whose alert, whose score is there.
        refused: records whose dead letters are there.
    """

    decided: Position = START
    verdicts: dict[int, PublishedDecision] = field(default_factory=dict)
    alerted: set[int] = field(default_factory=set)
    scored: set[int] = field(default_factory=set)
    refused: RefusedRecords = NONE_REFUSED
    _newest: int = -1

    def add_alert(self, offset: int, verdict: PublishedDecision) -> None:
        """Learn from an alert, which holds the decision."""
        self.alerted.add(offset)
        self.verdicts.setdefault(offset, self._kept(offset, verdict))
        self._newest = max(self._newest, offset)

    def add_score(self, offset: int, verdict: PublishedDecision) -> None:
        """Learn from a score, which holds the decision too: of several the first one stands, whatever alerts say."""
        if offset not in self.scored:
            self.verdicts[offset] = self._kept(offset, verdict)
        self.scored.add(offset)
        self._newest = max(self._newest, offset)

    def passed_by(self, cursor: Cursor) -> bool:
        """Whether everything here lies below this cursor, so that it may be forgotten."""
        end = Position(max(self._newest, self.refused.transactions.last) + 1, self.refused.labels.last + 1)
        return cursor.position.has_passed(end.or_later(self.decided))

    def _kept(self, offset: int, verdict: PublishedDecision) -> PublishedDecision:
        """Where nothing is published any more, only the case is asked for: the reasons are most of a verdict's bytes."""
        return msgspec.structs.replace(verdict, reasons=()) if offset < self.decided.transactions else verdict


def position_header(cursor: Cursor, topics: SourceTopics) -> tuple[str, bytes]:
    """The header `source.cursor` of what is published from this cursor on.

    Args:
        cursor: the position before the batch.
        topics: that are read.
    """
    return SOURCE_CURSOR, ",".join(f"{cursor.topic_ids.get(t, '')}:{o}" for t, o in zip(topics, cursor.position, strict=True)).encode()


def source_offset(headers: Headers) -> int | None:
    """The offset that an output was made from; None of a foreign record."""
    return number(header(headers, SOURCE_OFFSET))


def surely_decided(records: Iterable[Published], ids: Sequence[str]) -> Position:
    """Below it everything was decided when the newest of these outputs were published.

    Args:
        records: outputs; those of topics that were deleted since, and foreign ones, count for nothing.
        ids: Kafka's ids of transactions and labels.
    """
    newest = [0, 0]
    for record in records:
        for n, offset in enumerate(_positions(record.headers, ids)):
            newest[n] = max(newest[n], offset)
    return Position(*newest)


def of_these_topics(records: Iterable[Published], ids: Sequence[str]) -> list[Published]:
    """The outputs that were made from these very topics, not from others that once had their names."""
    return [r for r in records if _positions(r.headers, ids)]


def _positions(headers: Headers, ids: Sequence[str]) -> list[int]:
    parts = [part.rpartition(b":") for part in header(headers, SOURCE_CURSOR).split(b",")]
    offsets = [offset for *_, text in parts if (offset := number(text)) is not None]
    return offsets if [id_ for id_, *_ in parts] == [id_.encode() for id_ in ids] and len(offsets) == len(ids) else []
