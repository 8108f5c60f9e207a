"""What a decision had seen. Every score carries it in its headers, so that its vector can be computed again from the topics alone.

The state that a decision reads is a function of positions: the payments and labels below them were counted, the others were not.

- `source.cursor` (of every output): where its micro-batch began in its own partition; the card and the own part are those of there.
- `source.labels`: the next offset of the partition's labels when the payment's turn came: some are counted within the micro-batch.
- `source.seen`: for each partition, the positions that its parts of shared entities (terminals …) were at. With one worker these are
  its own; with several, another worker's parts are as they were when they were read. Without it the order is not known.
- `source.rules`, of alerts too: `<topic id>:<offset>` of the topics of rules and of lists, below which both were read, joined by a comma. What was
  in force there decided beside the model. Not there where nobody reads them.
- `source.stands`: the decision was published before, by a worker that ended before it published this score. Score, action and
  reasons are of then, and so is `source.rules`; the vector is of now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from stream_app.messages.headers import Headers, OwnHeaders, header, number
from stream_app.scoring.already_published import SOURCE_CURSOR
from stream_app.scoring.positions import Position

SOURCE_LABELS = "source.labels"
SOURCE_SEEN = "source.seen"
SOURCE_RULES = "source.rules"
SOURCE_STANDS = "source.stands"
STANDS = (SOURCE_STANDS, b"1")


class RulesRead(NamedTuple):
    """How far the topics of rules and lists were read: Kafka's id of each, and the next offset."""

    rules_id: str
    rules: int
    lists_id: str
    lists: int

    def header(self) -> bytes:
        """As the header `source.rules` says it."""
        return f"{self.rules_id}:{self.rules},{self.lists_id}:{self.lists}".encode()


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the state stood that a decision read.

    Attributes:
        start: where the micro-batch began.
        labels: next offset of labels when the payment's turn came.
        seen: of each partition.
        stands: whether the score is of an earlier decision.
        rules: how far rules and lists were read; None where nobody reads them.
    """

    start: Position
    labels: int
    seen: tuple[Position, ...]
    stands: bool = False
    rules: RulesRead | None = None


def seen_header(positions: Sequence[Position]) -> tuple[str, bytes]:
    """The header `source.seen`: `<transactions>:<labels>` of each partition in order, joined by commas."""
    return SOURCE_SEEN, ",".join(f"{transactions}:{labels}" for transactions, labels in positions).encode()


def rules_header(read: bytes) -> OwnHeaders:
    """The header `source.rules` of what is published; none where nothing is said."""
    return ((SOURCE_RULES, read),) if read else ()


def rules_read(headers: Headers) -> RulesRead | None:
    """What the header `source.rules` says; None where it says nothing."""
    parts = [part.rpartition(b":") for part in header(headers, SOURCE_RULES).split(b",")]
    offsets = [number(text) for *_, text in parts]
    match offsets:
        case [int(rules), int(lists)]:
            return RulesRead(parts[0][0].decode(errors="replace"), rules, parts[1][0].decode(errors="replace"), lists)
    return None


def read_provenance(headers: Headers) -> Provenance | None:
    """What these headers of a score say; None where they do not say it all: a score of a version before, of an unknown order, or of others."""
    start = _position([part.rpartition(b":")[2] for part in header(headers, SOURCE_CURSOR).split(b",")])
    labels = number(header(headers, SOURCE_LABELS))
    seen = [_position(part.split(b":")) for part in header(headers, SOURCE_SEEN).split(b",")]
    positions = tuple(position for position in seen if position is not None)
    if start is None or labels is None or len(positions) < len(seen):
        return None
    return Provenance(start, labels, positions, any(name == SOURCE_STANDS for name, _ in headers), rules_read(headers))


def _position(texts: Sequence[bytes]) -> Position | None:
    """None where it is not the offsets of transactions and of labels."""
    if len(texts) != len(Position._fields):
        return None
    transactions, labels = map(number, texts)
    return None if transactions is None or labels is None else Position(transactions, labels)
