"""Topics in memory: what `ports.Log` and `ports.Publisher` ask of Kafka, under the same contract suite as the real ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from stream_app.delivery.ports import Bounds, Log, OpenTransaction
from stream_app.messages.headers import Headers
from stream_app.messages.records import Outgoing, Place, Published


@dataclass(frozen=True)
class Kept:
    """A record in a partition's log."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


@dataclass
class MemoryTopics:
    """Logs of partitions; `first` is the offset of the first record that retention left."""

    logs: dict[Place, list[Kept]] = field(default_factory=lambda: defaultdict(list))
    first: dict[Place, int] = field(default_factory=dict)
    commits: dict[Place, int] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    compact: set[str] = field(default_factory=set)
    open: dict[Place, OpenTransaction] = field(default_factory=dict)
    now_ms: int = 0

    def append(self, place: Place, key: bytes | None, value: bytes | None, headers: Headers = (), at_ms: int | None = None) -> int:
        """Write a record, at the present time where no other is given; the next offset."""
        log = self.logs[place]
        log.append(Kept(len(log), self.now_ms if at_ms is None else at_ms, key, value, tuple(headers)))
        return len(log)

    async def publish(self, partition: int, messages: Sequence[Outgoing], headers: Sequence[tuple[str, bytes]] = ()) -> dict[str, int]:
        """See `ports.Publisher`."""
        return {m.topic: self.append((m.topic, partition), m.key, m.value, (*m.headers, *headers), m.at_ms) for m in messages}

    async def settle(self) -> None:
        """Nothing is ever under way."""

    async def bounds(self, places: Collection[Place]) -> Mapping[Place, Bounds]:
        """See `ports.Log`."""
        return {p: Bounds(self.first.get(p, 0), len(self.logs[p])) for p in places}

    async def open_transactions(self, places: Collection[Place]) -> Mapping[Place, OpenTransaction]:
        """See `ports.Log`."""
        return {p: self.open[p] for p in places if p in self.open}

    async def walk(self, starts: Mapping[Place, int]) -> AsyncIterator[tuple[Place, Sequence[Kept]]]:
        """See `ports.Log`: two records at a time."""
        for place, start in starts.items():
            for at in range(start, len(self.logs[place]), 2):
                yield place, self.logs[place][at : at + 2]

    async def from_time(self, times_ms: Mapping[Place, int]) -> Mapping[Place, int]:
        """See `ports.Log`."""
        kept = {p: [r for r in self.logs[p] if r.offset >= self.first.get(p, 0)] for p in times_ms}
        return {p: next((r.offset for r in kept[p] if r.timestamp >= at), len(self.logs[p])) for p, at in times_ms.items()}

    async def timestamp(self, place: Place, offset: int) -> int | None:
        """See `ports.Log`."""
        return next((r.timestamp for r in self.logs[place][max(offset, self.first.get(place, 0)) :]), None)

    async def timestamps(self, spans: Mapping[Place, tuple[int, int]]) -> Mapping[Place, Sequence[int]]:
        """See `ports.Log`."""
        return {
            place: [r.timestamp for r in self.logs[place] if max(start, self.first.get(place, 0)) <= r.offset < end]
            for place, (start, end) in spans.items()
        }

    async def at(self, offsets: Mapping[Place, int]) -> Mapping[Place, Kept]:
        """See `ports.Log`."""
        return {p: r for p, at in offsets.items() for r in self.logs[p] if r.offset == at}

    async def compacted(self, topic: str) -> bool:
        """See `ports.Log`."""
        return topic in self.compact

    async def committed(self, places: Collection[Place]) -> Mapping[Place, int]:
        """See `ports.Log`."""
        return {p: self.commits.get(p, 0) for p in places}

    async def topic_ids(self, topics: Collection[str]) -> Mapping[str, str]:
        """See `ports.Log`."""
        return {t: self.ids.get(t, f"id-of-{t}") for t in topics}


async def records_of(log: Log, starts: Mapping[Place, int]) -> dict[Place, list[Published]]:
    """All that `walk` gives, at once."""
    found: dict[Place, list[Published]] = {place: [] for place in starts}
    async for place, records in log.walk(starts):
        found[place] += records
    return found
