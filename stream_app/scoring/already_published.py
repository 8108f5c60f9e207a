"""What stands: messages that a worker published before it was killed. A new owner of its partition reads them before it takes a record.

1. Every output says in its headers which record it was made from (`source.offset`), and where its micro-batch began (`source.cursor`):
   whatever lies below was decided, published and written by then.
2. Below the highest of these cursors everything was *surely decided*: such a record is counted again, nothing is published for it.
3. At or above it, a decision that was published stands: score, action, case and reasons are its own, whatever would be decided now.
4. Where a payment has a score, the first score is the decision; otherwise its first alert is.
5. Of alert and score, what is missing is published, what is there is not published again.
6. A record whose dead letter is there is passed over.
7. Outputs count only if they were made from these very topics, by Kafka's ids: a topic that was deleted and made anew starts at 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import numpy as np

from stream_app.messages.alert import ClockMs, Name, Probability
from stream_app.messages.headers import Headers, header, number
from stream_app.messages.records import Published, Record, decoded
from stream_app.messages.transaction import Identifier
from stream_app.scoring.decision import Verdict
from stream_app.scoring.positions import START, Cursor, Position, SourceTopics

SOURCE_OFFSET = "source.offset"
"""Header of every output: the offset of the transaction or label that it was made from."""
SOURCE_CURSOR = "source.cursor"
"""Header of every output: `<topic id>:<offset>` of transactions and of labels, below which everything was decided, joined by a comma."""

_MOST_READ_BYTES = 256
"""Of a header `source.rules`: what is longer is of others, and not kept."""


class PublishedDecision(Verdict, frozen=True, kw_only=True):
    """A decision as it was published, in an alert or a score. Anybody may have written it: it is held to the bounds of `Score`."""

    score: Probability
    threshold: Probability
    case_id: Identifier | None
    scored_at: ClockMs
    lists: tuple[Name, ...] = ()


_VERDICT = msgspec.json.Decoder(PublishedDecision)


def read_decision(value: bytes | None) -> PublishedDecision | None:
    """The decision in an alert or score; None where there is none."""
    return decoded(_VERDICT, value)


class Refusals:
    """Offsets of one topic and partition whose dead letters stand (rule 6), whatever clock, settings and program say of them now.

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
    """What was published for records that a partition takes once more.

    Attributes:
        decided: below it everything was surely decided (rule 2).
        decisions: by offset of the transaction, the decisions that stand (rules 3 and 4).
        alerted, scored: offsets of transactions whose alert, whose score is there (rule 5).
        refused: records whose dead letters are there (rule 6).
        rules_read: by offset of the transaction, what the decision that stands says in its header `source.rules`: it is copied.
    """

    decided: Position = START
    decisions: dict[int, PublishedDecision] = field(default_factory=dict)
    alerted: set[int] = field(default_factory=set)
    scored: set[int] = field(default_factory=set)
    refused: RefusedRecords = NONE_REFUSED
    rules_read: dict[int, bytes] = field(default_factory=dict)
    _newest: int = -1

    def add_alert(self, offset: int, decision: PublishedDecision, read: bytes = b"") -> None:
        """An alert is there: its decision stands where no other does (rule 4). `read`: its header `source.rules`."""
        if not self._was_surely_decided(offset, decision):
            self.alerted.add(offset)
            if offset not in self.decisions:
                self._stands(offset, decision, read)

    def add_score(self, offset: int, decision: PublishedDecision, read: bytes = b"") -> None:
        """A score is there: the first one's decision stands, in the place of an alert's (rule 4)."""
        if self._was_surely_decided(offset, decision):
            return
        if offset not in self.scored:
            self._stands(offset, decision, read)
        self.scored.add(offset)

    def _stands(self, offset: int, decision: PublishedDecision, read: bytes) -> None:
        self.decisions[offset] = decision
        self.rules_read.pop(offset, None)
        if 0 < len(read) <= _MOST_READ_BYTES:
            self.rules_read[offset] = read

    def passed_by(self, cursor: Cursor) -> bool:
        """Whether this may be forgotten: every record that it speaks of lies below this cursor."""
        end = Position(max(self._newest, self.refused.transactions.last) + 1, self.refused.labels.last + 1)
        return cursor.position.has_passed(end.or_later(self.decided))

    def _was_surely_decided(self, offset: int, decision: PublishedDecision) -> bool:
        """Whether rule 2 holds for it: of an alert its case is asked for, and nothing of any other. Reasons and rules are most of its bytes."""
        self._newest = max(self._newest, offset)
        if offset >= self.decided.transactions:
            return False
        if decision.action is not None:
            self.decisions.setdefault(offset, msgspec.structs.replace(decision, reasons=(), rules=(), lists=()))
        return True


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
    """Below it everything was surely decided (rule 2): the highest that these outputs say.

    Args:
        records: outputs; foreign ones count for nothing, nor do those of topics that were deleted since (rule 7).
        ids: Kafka's ids of transactions and labels.
    """
    newest = [0, 0]
    for record in records:
        for n, offset in enumerate(_positions(record.headers, ids)):
            newest[n] = max(newest[n], offset)
    return Position(*newest)


def of_these_topics(records: Iterable[Published], ids: Sequence[str]) -> list[Published]:
    """The outputs that were made from these very topics (rule 7)."""
    return [r for r in records if _positions(r.headers, ids)]


def _positions(headers: Headers, ids: Sequence[str]) -> list[int]:
    parts = [part.rpartition(b":") for part in header(headers, SOURCE_CURSOR).split(b",")]
    offsets = [offset for *_, text in parts if (offset := number(text)) is not None]
    return offsets if [id_ for id_, *_ in parts] == [id_.encode() for id_ in ids] and len(offsets) == len(ids) else []
