"""Records of one partition that wait for their turn: payments in the log's order, labels until their time has come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from stream_app.messages.records import Record

type Done = Callable[[], None]

MOST_BATCH_BYTES = 4 * 2**20
"""Of the fetches that a micro-batch takes from; so many bytes of dead letters are under way at the most, and one fetch more."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """Records of one topic and partition as they were fetched, a megabyte or so.

    Attributes:
        done: acknowledges them.
        position: the next offset after them, where it is told.
        size: bytes of their keys, values and headers.
    """

    records: Sequence[Record]
    done: Done
    position: int = 0
    size: int = 0


@dataclass(slots=True)
class Waiting:
    """A queue of fetched records of one topic.

    Attributes:
        position: next offset to be fetched; everything below it was put here or lies below the cursor.
        count: records that wait.
        size: bytes of the fetches that are not used up.
    """

    position: int
    count: int = 0
    size: int = 0
    _fetched: deque[Fetched] = field(default_factory=deque)
    _taken: int = 0

    @property
    def oldest_ms(self) -> int | None:
        """Kafka timestamp of the first record that waits; None where none does."""
        return self._fetched[0].records[self._taken].timestamp if self._fetched else None

    def put(self, fetched: Fetched) -> None:
        """Queue records behind those that wait."""
        self._fetched.append(fetched)
        self.count += len(fetched.records)
        self.size += fetched.size
        self.position = max(fetched.records[-1].offset + 1, fetched.position)

    def take(self, most: int, until: Callable[[Record], bool] | None = None) -> tuple[list[Record], list[Done]]:
        """The first records, `most` at most, up to the first that `until` holds back, of so many fetches as `MOST_BATCH_BYTES` allow.

        Returns:
            the records, and the acknowledgements of the fetches that are used up with them.
        """
        records: list[Record] = []
        done: list[Done] = []
        size = 0
        while self._fetched and len(records) < most and size < MOST_BATCH_BYTES:
            fetched = self._fetched[0]
            size += fetched.size
            end = min(len(fetched.records), self._taken + most - len(records))
            chosen = fetched.records[self._taken : end]
            if until is not None:
                held = next((i for i, r in enumerate(chosen) if until(r)), len(chosen))
                chosen = chosen[:held]
            records.extend(chosen)
            self._taken += len(chosen)
            if self._taken < len(fetched.records):
                break
            done.append(fetched.done)
            self.size -= fetched.size
            self._fetched.popleft()
            self._taken = 0
        self.count -= len(records)
        return records, done
