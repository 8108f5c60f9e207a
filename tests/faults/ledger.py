"""The ledger: every record that was sent, in the order of the logs. It knows nothing of the product."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["transactions", "labels"]
KINDS: tuple[Kind, ...] = ("transactions", "labels")


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it was sent.

    Attributes:
        kind: which of the two input topics.
        key, value: its bytes.
        message: what the bytes mean; None: poison, nothing can be read from them.
        gone: it is none to a reader: aborted, or the mark of a transaction.
    """

    kind: Kind
    key: bytes | None
    value: bytes | None
    message: Mapping[str, Any] | None
    gone: bool = False


@dataclass(slots=True)
class Ledger:
    """Records by topic and partition; the place in the list is the offset."""

    partitions: int
    logs: dict[tuple[Kind, int], list[Record]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """An empty log for each partition of each topic."""
        self.logs = {(kind, p): [] for kind in KINDS for p in range(self.partitions)}

    def end(self, kind: Kind, partition: int) -> int:
        """The next offset."""
        return len(self.logs[kind, partition])

    def ends(self) -> dict[tuple[Kind, int], int]:
        """The next offset of every partition."""
        return {place: len(log) for place, log in self.logs.items()}

    def due(self) -> dict[tuple[Kind, int], int]:
        """Where the cursor of every partition must come to: behind its last record that a reader sees."""
        return {place: max((n for n, record in enumerate(log, start=1) if not record.gone), default=0) for place, log in self.logs.items()}

    def poison(self) -> Iterator[tuple[Kind, int, int, Record]]:
        """Every record that belongs into the dead letters, with its place."""
        for (kind, partition), log in self.logs.items():
            for offset, record in enumerate(log):
                if record.message is None and not record.gone:
                    yield kind, partition, offset, record

    @property
    def sent(self) -> int:
        """How many records there are."""
        return sum(map(len, self.logs.values()))
