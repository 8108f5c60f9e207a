"""Batches of records, whatever their producers packed: read within bounds, and as aiokafka's own reader reads them."""

from __future__ import annotations

import inspect
import re
import struct
import sys
import tracemalloc
from typing import Any

import aiokafka.consumer.fetcher
import pytest
import zstandard
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.errors import UnsupportedCodecError
from aiokafka.record.default_records import DefaultRecordBatch
from cramjam import snappy
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.adapters.kafka import record_stream
from stream_app.adapters.kafka.record_batches import (
    MOST_BYTES_AT_ONCE,
    MOST_HEADER_BYTES,
    MOST_HEADERS,
    MOST_SECONDS_AT_ONCE,
    BoundedFetch,
    RecordBatch,
    RecordBatches,
)
from stream_app.adapters.kafka.record_stream import PIECE_BYTES
from stream_app.messages.cut_bytes import CutBytes, UnreadBytes, size_of
from tests.raw_batches import FOLDED, Row, _gzip, batch, batch_of, folded_as, record

_MB = 2**20


def read(content: bytes) -> list[Any]:
    """What is read of a batch."""
    batches = RecordBatches(content)
    one = batches.next_batch()
    assert one.validate_crc()
    assert not batches.has_next()
    return list(one)


class _Assignment:
    """The part of aiokafka's that a fetch asks: where the partition is read."""

    active = True
    paused = False
    position = 100

    def state_value(self, _: TopicPartition) -> _Assignment:
        """The only partition's."""
        return self

    def consumed_to(self, position: int) -> None:
        """Next offset."""
        self.position = position


def fetched(content: bytes) -> BoundedFetch:
    """A fetch of these batches."""
    at = TopicPartition("transactions", 0)
    records = PartitionRecords(at, RecordBatches(content), [], 100, None, None, True, 0)
    return BoundedFetch(at, assignment=_Assignment(), partition_records=records, backoff=0)


def polled(content: bytes) -> list[Any]:
    """What one poll returns."""
    return fetched(content).getall(1000)


def told(records: list[Any]) -> list[tuple[Any, ...]]:
    """The same in a form that can be compared."""
    return [(r.offset, r.timestamp, r.timestamp_type, r.key, r.value, list(r.headers)) for r in records]


_bytes = st.none() | st.binary(max_size=200)
_rows = st.lists(
    st.tuples(st.integers(0, 4_000), _bytes, _bytes, st.lists(st.tuples(st.text(max_size=8).map(str.encode), _bytes), max_size=3)),
    min_size=1,
    max_size=40,
)


@pytest.mark.parametrize("folding", FOLDED)
@given(rows=_rows, piece=st.sampled_from([1, 7, 64, 300, PIECE_BYTES]), appended=st.booleans())
@settings(max_examples=40)
def test_whatever_the_codec_and_however_small_the_pieces_records_are_those_that_aiokafka_reads(
    folding: str, rows: list[Row], piece: int, *, appended: bool
) -> None:
    """Pieces smaller than a record are read field by field; the oracle unfolds all at once."""
    content = batch_of(folding, rows, appended=appended)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record_stream, "PIECE_BYTES", piece)
        found = told(read(content))
    assert found == told(list(DefaultRecordBatch(batch_of("none", rows, appended=appended))))


@pytest.mark.parametrize("folding", ["gzip", "lz4", "zstd"])
def test_a_small_batch_that_unfolds_to_400_mb_takes_some_megabytes_and_its_neighbours_are_read(folding: str) -> None:
    """200 values of 2 MB between two payments."""
    zeros = bytes(2 * _MB)
    rows: list[Row] = [(0, b"a", b"first", []), *[(0, b"k", zeros, [])] * 200, (0, b"b", b"last", [])]
    content = batch_of(folding, rows)
    tracemalloc.start()
    kept, sizes = [], []
    for found in RecordBatches(content).next_batch():
        sizes.append(size_of(found.value))
        kept.append(found.value[:10])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (kept[0], kept[-1], sizes) == (b"first", b"last", [5, *[2 * _MB] * 200, 4])
    assert peak < 24 * _MB


def test_of_a_large_record_the_first_bytes_of_key_and_value_are_kept_with_their_size() -> None:
    """A key of 5 MB in gzip has 5 kB on the wire."""
    content = batch_of("gzip", [(0, b"k" * 5 * _MB, b"v" * 3 * _MB, [(b"h", b"x")]), (0, b"next", b"one", [])])
    large, following = read(content)
    assert isinstance(large.key, CutBytes)
    assert isinstance(large.value, CutBytes)
    assert (size_of(large.key), size_of(large.value)) == (5 * _MB, 3 * _MB)
    assert len(large.key) + len(large.value) < 2 * _MB
    assert large.value == b"v" * len(large.value)
    assert list(large.headers) == [("h", b"x")]
    assert (following.offset, following.key, following.value) == (101, b"next", b"one")


@pytest.mark.parametrize("folding", ["none", "zstd"])
def test_a_header_whose_name_is_no_text_stops_nobody(folding: str) -> None:
    """Brokers take any bytes; aiokafka raises UnicodeDecodeError, again at each start."""
    rows: list[Row] = [(0, b"a", b"1", []), (0, b"b", b"2", [(b"\xff\xfe", b"x")]), (0, b"c", b"3", [])]
    content = batch_of(folding, rows)
    with pytest.raises(UnicodeDecodeError):
        list(DefaultRecordBatch(batch_of("none", rows)))
    found = read(content)
    assert [(r.offset, r.value) for r in found] == [(100, b"1"), (101, b"2"), (102, b"3")]
    assert list(found[1].headers) == [("��", b"x")]


@pytest.mark.parametrize("size", [10_000, 600_000])
def test_headers_are_bounded_in_number_and_in_bytes(size: int) -> None:
    """Some hundred thousand headers without a value fold to nothing; and some large ones."""
    many: Row = (0, b"a", b"1", [(b"", None)] * size)
    large: Row = (0, b"b", b"2", [(b"small", b"x"), (b"large", b"y" * MOST_HEADER_BYTES), (b"after", b"z")])
    found = polled(batch_of("zstd", [many, large, (0, b"c", b"3", [(b"traceparent", b"00")])]))
    assert [len(r.headers) for r in found] == [MOST_HEADERS, 1, 1]
    assert [r.value for r in found] == [b"1", b"2", b"3"]


def test_a_poll_ends_with_the_record_that_goes_beyond_its_bytes() -> None:
    """The rest comes with the next: nothing is lost between two."""
    rows: list[Row] = [(0, b"k", bytes(MOST_BYTES_AT_ONCE // 4), [])] * 11
    fetch = fetched(batch_of("lz4", rows))
    sizes = []
    while fetch.has_more():
        sizes.append([r.offset for r in fetch.getall(1000)])
    assert sizes == [[100, 101, 102, 103], [104, 105, 106, 107], [108, 109, 110]]


def test_a_poll_ends_after_a_while_whatever_the_records_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """The consumer's group must hear of the worker in time."""
    now = iter(range(10**6))
    monkeypatch.setattr("stream_app.adapters.kafka.record_batches.time.monotonic", lambda: next(now) * MOST_SECONDS_AT_ONCE / 2)
    fetch = fetched(batch_of("zstd", [(0, b"k", b"v", [])] * 25))
    sizes = []
    while fetch.has_more():
        sizes.append(len(fetch.getall(1000)))
    assert sizes == [16, 9]


def test_what_nobody_can_unpack_is_a_record_too_and_those_before_and_behind_it_are_read() -> None:
    """Its checksum holds, so a broker took it: each of its records gets a dead letter."""
    whole = batch_of("zstd", [(0, b"a", b"1", [])])
    cut = batch("none", record(0, (0, b"a", b"1", [])) + record(1, (0, b"b", b"2", []))[:-3], 3)
    garbage = folded_as(1, b"\x1f\x8bnothing of the kind", 2)
    batches = RecordBatches(whole + cut + garbage + whole)
    found = []
    while batches.has_next():
        found += list(batches.next_batch())
    assert [(r.offset, type(r.value)) for r in found] == [
        (100, bytes), (100, bytes), (101, UnreadBytes), (102, UnreadBytes), (100, UnreadBytes), (101, UnreadBytes), (100, bytes),
    ]  # fmt: skip
    assert "cut" in found[2].value.why


def test_a_record_that_would_take_seconds_to_pass_over_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows it in its batch cannot be reached."""
    monkeypatch.setattr(record_stream, "MOST_SKIPPED_BYTES", 2 * _MB)
    rows: list[Row] = [(0, b"a", b"1", []), (0, b"b", bytes(6 * _MB), []), (0, b"c", b"3", [])]
    found = read(batch_of("gzip", rows))
    assert [type(r.value) for r in found] == [bytes, UnreadBytes, UnreadBytes]


def test_a_wide_frame_of_zstd_that_holds_too_much_is_given_up_without_unfolding_it() -> None:
    """It says that it holds 64 MB; zstandard would reserve them whatever it is told."""
    params = zstandard.ZstdCompressionParameters(window_log=27)
    content = folded_as(4, zstandard.ZstdCompressor(compression_params=params).compress(bytes(64 * _MB)), 1)
    tracemalloc.start()
    (found,) = read(content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(found.value, UnreadBytes)
    assert peak < 16 * _MB


def test_a_snappy_block_that_claims_gigabytes_is_given_up() -> None:
    """Five bytes say four gigabytes."""
    (found,) = read(folded_as(2, b"\xff\xff\xff\xff\x0fabc", 1))
    assert isinstance(found.value, UnreadBytes)


def test_a_codec_that_does_not_exist_is_an_error_and_no_dead_letter() -> None:
    """A newer Kafka may have one: that is for an operator."""
    with pytest.raises(UnsupportedCodecError):
        read(folded_as(5, b"abc", 1))


@pytest.mark.parametrize(("folding", "library"), [("snappy", "cramjam"), ("lz4", "lz4.frame"), ("zstd", "zstandard")])
def test_a_codec_that_is_not_installed_is_an_error_where_it_is_used_alone(
    folding: str, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Payments in other codecs are read."""
    rows: list[Row] = [(0, b"a", b"1", [])]
    contents = {name: batch_of(name, rows) for name in FOLDED}
    monkeypatch.setitem(sys.modules, library, None)
    for name, content in contents.items():
        if FOLDED[name][0] != FOLDED[folding][0]:
            assert [r.value for r in read(content)] == [b"1"]
        else:
            with pytest.raises(UnsupportedCodecError):
                read(content)


def test_the_end_of_a_fetch_may_be_cut() -> None:
    """The batch that is not here whole is fetched again."""
    one = batch_of("none", [(0, b"a", b"1", [])])
    batches = RecordBatches(one + one[:-1])
    assert list(batches.next_batch())
    assert not batches.has_next()


def test_what_is_replaced_of_aiokafka_is_what_it_asks_for_by_these_names() -> None:
    """The fetcher of aiokafka 0.14 looks both up in its module, and asks batches for nothing else."""
    fetcher = aiokafka.consumer.fetcher
    source = inspect.getsource(fetcher.Fetcher._proc_fetch_request)
    assert "records = MemoryRecords(part_data[-1])" in source
    assert "self._records[tp] = FetchResult(" in source
    assert "type(res_or_error) is FetchResult" in inspect.getsource(fetcher.Fetcher.fetched_records)
    asked = set(re.findall(r"next_batch\.(\w+)", inspect.getsource(fetcher.PartitionRecords)))
    assert asked == {"validate_crc", "producer_id", "base_offset", "is_control_batch", "is_transactional", "next_offset"}
    for name in asked:
        assert hasattr(RecordBatch(memoryview(batch_of("none", [(0, b"a", b"1", [])]))), name)


def claimed(*offsets: int) -> bytes:
    """Records that claim these offsets, from the batch's own on."""
    return b"".join(record(offset, (0, b"k", str(n).encode(), [])) for n, offset in enumerate(offsets))


@given(offsets=st.lists(st.integers(-5, 2**31 - 1), min_size=1, max_size=20), folding=st.sampled_from(["none", "lz4"]))
def test_a_record_stands_where_its_batch_puts_it_whatever_it_claims(offsets: list[int], folding: str) -> None:
    """Brokers do not look at the offsets of records that are not compressed: one that claims a later place would hide all that follow."""
    found = read(batch(folding, claimed(*offsets), len(offsets)))
    assert [(r.offset, r.value) for r in found] == [(100 + n, str(n).encode()) for n in range(len(offsets))]


@pytest.mark.parametrize(
    ("offsets", "kept"), [((0, 3, 7), [100, 103, 107]), ((0, 7, 3), [100, 107]), ((0, 9, 5), [100]), ((2, 2, 5), [102]), ((-1, 3, 5), [])]
)
def test_a_compacted_batch_has_gaps_and_goes_forward(offsets: tuple[int, ...], kept: list[int]) -> None:
    """Of eight records three are left; those that claim a place behind, or beyond the batch, cannot be placed."""
    content = batch("none", claimed(*offsets), 3)
    content = content[:23] + struct.pack(">i", 7) + content[27:]
    found = list(RecordBatches(content).next_batch())
    assert [r.offset for r in found if not isinstance(r.value, UnreadBytes)] == kept
    assert len(found) == 3


@pytest.mark.parametrize("codec", [1, 3])
def test_what_stands_behind_the_last_record_is_nobodys_matter(codec: int) -> None:
    """Zeros behind a gzip member, as some tools pad: Java passes over them too."""
    folding = {1: "gzip", 3: "lz4"}[codec]
    content = b"".join(record(n, (0, b"k", b"v", [])) for n in range(4))
    found = read(folded_as(codec, FOLDED[folding][1](content) + bytes(8), 4))
    assert [(r.offset, r.value) for r in found] == [(100 + n, b"v") for n in range(4)]


def test_a_million_members_of_a_byte_are_read_in_their_number_not_its_square() -> None:
    """200 kB of records, each byte a gzip member of its own: 4 MB folded. A second; twice as many had not ended after 40."""
    content = b"".join(record(n, (0, b"k", bytes(100), [])) for n in range(1_800))
    found = read(folded_as(1, b"".join(_gzip(content[n : n + 1]) for n in range(len(content))), 1_800))
    assert len(found) == 1_800
    assert found[-1].value == bytes(100)


def test_an_empty_block_of_snappy_is_no_end() -> None:
    """Java's writer makes none, and its reader goes on."""
    content = b"".join(record(n, (0, b"k", b"v" * 300, [])) for n in range(10))
    blocks = [bytes(snappy.compress_raw(part)) for part in (content[:1000], b"", content[1000:])]
    folded = b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1) + b"".join(struct.pack(">i", len(b)) + b for b in blocks)
    assert [r.value for r in read(folded_as(2, folded, 10))] == [b"v" * 300] * 10


@pytest.mark.parametrize("folded", [b"", b"\xff" * 12, b"\x82SNAPPY\0" + bytes(8) + b"\0\0\0\x05\xff\xff\xff\xff\xff"])
def test_snappy_that_is_none_is_a_dead_letter(folded: bytes) -> None:
    """Also where its length cannot be read."""
    assert all(isinstance(r.value, UnreadBytes) for r in read(folded_as(2, folded, 2)))
