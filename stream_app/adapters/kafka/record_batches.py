"""Records as brokers keep them, read within bounds whatever their producers packed.

aiokafka unfolds a batch as a whole, though 400 kB of gzip can be 400 MB of zeros, and gives up on a header whose name is not UTF-8. Here

1. a batch is unfolded in pieces, as its records are asked for; whole records of a piece are read by aiokafka's compiled reader;
2. a record larger than a piece goes by as it unfolds; the first bytes of its key and value are kept, as `CutBytes`;
3. of a record's headers the first are kept: `MOST_HEADERS` and `MOST_HEADER_BYTES` at the most;
4. what brokers took and nobody can unpack is a record too: its value is `UnreadBytes`, so that it gets a dead letter and stops nobody;
5. where a record stands its batch says, not the record: no later one is passed over for what it claims;
6. a poll returns `MOST_BYTES_AT_ONCE` of a partition, and ends after `MOST_SECONDS_AT_ONCE`, or a few records later.

Only a codec that does not exist or is not installed, or bytes that changed on the way (their checksum says so), are an error. Batches of before Kafka 0.11 (magic 0
and 1), which no broker takes any more, are aiokafka's. The format: Kafka's `DefaultRecordBatch` and `DefaultRecord`.
"""

from __future__ import annotations

import struct
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, batched, chain, islice
from typing import Any, Protocol

import aiokafka.consumer.fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.legacy_records import LegacyRecordBatch

from stream_app.adapters.kafka.record_stream import PIECE_BYTES, RecordStream
from stream_app.adapters.kafka.unfolding import UnfoldingError, unfolding
from stream_app.messages.cut_bytes import UnreadBytes

MOST_BYTES_AT_ONCE = 2**20
MOST_SECONDS_AT_ONCE = 0.05
_TIMED_EACH = 8
_MOST_AT_A_TIME = 500
MOST_HEADERS = 64
MOST_HEADER_BYTES = 262_144
"""More than a score says of what it had seen in ten thousand partitions."""
_MOST_KEY_BYTES = 65_536

_LENGTH = struct.Struct(">qi")
_MAGIC_AT = 16
_HEADER = struct.Struct(">qiibIhiqqqhii")
_ATTRIBUTES, _LAST_DELTA, _FIRST_TIMESTAMP, _MAX_TIMESTAMP, _COUNT = 5, 6, 7, 8, 12
_CODEC, _LOG_APPEND_TIME = 0x07, 0x08

type Header = tuple[str, bytes | None]
type Piece = bytes | memoryview

_NOTHING = RecordStream(lambda _: b"")


class ReadRecord(Protocol):
    """What aiokafka's consumer takes of a record."""

    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header]
    checksum: int | None


@dataclass(slots=True)
class PlainRecord:
    """A record that was read here."""

    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header]
    checksum: int | None = None


class RecordBatches:
    """The batches of a fetch, one after the other; in place of `aiokafka.record.memory_records.MemoryRecords`."""

    def __init__(self, fetched: bytes) -> None:
        self._fetched = memoryview(fetched)
        self._at = 0
        self._next = self._slice()

    def size_in_bytes(self) -> int:
        """Of the whole fetch."""
        return len(self._fetched)

    def has_next(self) -> bool:
        """Whether there is another whole batch: the last one of a fetch may be cut."""
        return self._next is not None

    def next_batch(self) -> Any:
        """The next batch."""
        batch = self._next
        if batch is None:
            return None
        self._next = self._slice()
        if len(batch) <= _MAGIC_AT:
            raise CorruptRecordException(f"A batch has {len(batch)} bytes")
        magic = batch[_MAGIC_AT]
        return RecordBatch(batch) if magic >= 2 else LegacyRecordBatch(batch, magic)  # noqa: PLR2004 - formats have numbers

    def _slice(self) -> memoryview | None:
        if len(self._fetched) - self._at < _LENGTH.size:
            return None
        _, length = _LENGTH.unpack_from(self._fetched, self._at)
        begin, end = self._at, self._at + _LENGTH.size + length
        if end > len(self._fetched):
            return None
        if length <= 0:
            raise CorruptRecordException(f"A batch has a length of {length}")
        self._at = end
        return self._fetched[begin:end]


class RecordBatch:
    """One batch of format 2."""

    def __init__(self, content: memoryview) -> None:
        if len(content) < _HEADER.size:
            raise CorruptRecordException(f"A batch has {len(content)} bytes; its header has {_HEADER.size}")
        self._content = content
        self._fields = _HEADER.unpack_from(content)
        self._codec, self._count = self._fields[_ATTRIBUTES] & _CODEC, self._fields[_COUNT]
        self._whole = DefaultRecordBatch(content)

    def __getattr__(self, name: str) -> Any:
        """What the header says, by aiokafka's names: `base_offset`, `next_offset`, `producer_id`, `is_control_batch`."""
        return getattr(self._whole, name)

    def __next__(self) -> Any:
        """The next record of a control batch."""
        return next(self._whole)

    def __iter__(self) -> Iterator[ReadRecord]:
        """The records, each at its place."""
        return chain.from_iterable(self._some_placed())

    def _some_placed(self) -> Iterator[Sequence[ReadRecord]]:
        """Some records after the other, each at its place."""
        left, expected = self._count, self._fields[0]
        try:
            for some in self._some():
                following = expected + len(some)
                if [record.offset for record in some] == list(range(expected, following)):
                    left, expected = left - len(some), following
                    yield some
                    continue
                for record in some:
                    placed = record if record.offset == expected else self._placed(record, expected)
                    left, expected = left - 1, placed.offset + 1
                    yield (placed,)
            why = "it holds fewer records than it says"
        except UnfoldingError as error:
            why = str(error)
        offsets, at_ms = range(expected, expected + left), self._fields[_MAX_TIMESTAMP]
        yield from ((PlainRecord(offset, at_ms, self._timestamp_type, None, UnreadBytes.of(why), []),) for offset in offsets)

    def _placed(self, record: ReadRecord, expected: int) -> ReadRecord:
        """A record whose own offset is not the next. Brokers check the batch's offsets, and not those of records that are not compressed.

        Where none of the batch is missing its place is certain; a compacted batch has gaps, and goes forward.
        """
        if self._count == self._fields[_LAST_DELTA] + 1:
            return PlainRecord(expected, record.timestamp, record.timestamp_type, record.key, record.value, record.headers)
        if not expected < record.offset < self._whole.next_offset:
            raise UnfoldingError(f"a record of it claims offset {record.offset}")
        return record

    def _some(self) -> Iterator[Sequence[ReadRecord]]:
        """The records as they are, as many at a time as cost little memory: a generator's turn for each of them would be felt."""
        for piece, count, stream in self._pieces():
            done = 0
            try:
                for some in batched(islice(self._compiled(piece, count), count), _MOST_AT_A_TIME):
                    done += len(some)
                    yield some
            except (CorruptRecordException, UnicodeDecodeError):
                yield from ((record,) for record in islice(self._plainly(piece, count), done, None))
            if not count:
                yield (self._of_stream(stream),)

    @property
    def _timestamp_type(self) -> int:
        return int(bool(self._fields[_ATTRIBUTES] & _LOG_APPEND_TIME))

    def _pieces(self) -> Iterator[tuple[Piece, int, RecordStream]]:
        """Bytes that hold so many whole records; none where the next is larger than a piece: the stream stands before it."""
        folded, left = self._content[_HEADER.size :], self._count
        if not self._codec and len(folded) <= PIECE_BYTES:
            yield folded, left, _NOTHING
            return
        stream = RecordStream(unfolding(self._codec, folded))
        while left > 0 and stream.more():
            piece, count = stream.whole_records(left)
            yield piece, count, stream
            left -= count or 1

    def _compiled(self, piece: Piece, count: int) -> Any:
        """Records that lie whole in a piece, as aiokafka reads a batch without a codec."""
        if count == self._count and not self._codec:
            return self._whole
        fields = list(self._fields)
        fields[_ATTRIBUTES] &= ~_CODEC
        fields[_COUNT] = count
        return DefaultRecordBatch(_HEADER.pack(*fields) + piece)

    def _plainly(self, piece: Piece, count: int) -> Iterator[ReadRecord]:
        """The same read here: names of headers that are not UTF-8 too; and what is wrong is told."""
        stream = RecordStream(unfolding(0, memoryview(piece)))
        return (self._of_stream(stream) for _ in range(count))

    def _of_stream(self, stream: RecordStream) -> PlainRecord:
        """The next record, however large."""
        length = stream.varint()
        end = stream.position + length
        stream.skip(1)
        delta, offset = stream.varint(), self._fields[0] + stream.varint()
        appended = self._fields[_ATTRIBUTES] & _LOG_APPEND_TIME
        timestamp = self._fields[_MAX_TIMESTAMP] if appended else self._fields[_FIRST_TIMESTAMP] + delta
        key, value = stream.bytes_or_none(_MOST_KEY_BYTES), stream.bytes_or_none(PIECE_BYTES)
        headers = _headers(stream)
        stream.skip(end - stream.position)
        return PlainRecord(offset, timestamp, self._timestamp_type, key, value, headers)


def _headers(stream: RecordStream) -> Sequence[Header]:
    """The first headers of a record; the rest is passed over with it."""
    headers: list[Header] = []
    for _ in range(min(stream.varint(), MOST_HEADERS)):
        name, value = stream.bytes_or_none(MOST_HEADER_BYTES), stream.bytes_or_none(MOST_HEADER_BYTES)
        headers.append(((name or b"").decode(errors="replace"), value))
    return _bounded(headers)


def _bounded(headers: Sequence[Header]) -> tuple[Header, ...]:
    """The headers that are kept of a record."""
    sizes = accumulate(len(name) + len(value or b"") for name, value in headers[:MOST_HEADERS])
    return tuple(headers[: sum(size <= MOST_HEADER_BYTES for size in sizes)])


def _size_of_headers(record: Any) -> int:
    return sum(len(name) + len(value or b"") for name, value in record.headers)


class FetchedRecords(list[Any]):
    """What one poll returns of a partition.

    Attributes:
        size: bytes of its keys, values and headers.
    """

    __slots__ = ("size",)

    def __init__(self) -> None:
        super().__init__()
        self.size = 0


class BoundedFetch(aiokafka.consumer.fetcher.FetchResult):  # type: ignore[misc]
    """What was fetched of a partition, returned within bounds."""

    _partition_records: Any

    def getall(self, max_records: int | None = None) -> FetchedRecords:
        """See `FetchResult.getall`."""
        records = FetchedRecords()
        if not self.check_assignment(self._topic_partition) or not self.has_more():
            return records
        ended, most, size = False, max_records or sys.maxsize, 0
        until = time.monotonic() + MOST_SECONDS_AT_ONCE
        for count, record in enumerate(islice(self._partition_records, most), start=1):
            size += record.serialized_key_size + record.serialized_value_size
            if record.headers:
                record = replace(record, headers=_bounded(record.headers))  # noqa: PLW2901 - the same, and smaller
                size += _size_of_headers(record)
            records.append(record)
            if size >= MOST_BYTES_AT_ONCE or (not count % _TIMED_EACH and time.monotonic() >= until):
                break
        else:
            ended = len(records) < most
        self._update_position()
        if ended:
            self._partition_records = None
        records.size = size
        return records


def read_within_bounds() -> None:
    """Have every consumer of this process read so. `tests/unit/adapters/test_record_batches.py` pins the names of aiokafka that are replaced."""
    aiokafka.consumer.fetcher.MemoryRecords = RecordBatches
    aiokafka.consumer.fetcher.FetchResult = BoundedFetch
