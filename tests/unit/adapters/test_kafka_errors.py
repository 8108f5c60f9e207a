"""What Kafka's client raises, as an error of ours; batches are built by aiokafka, and go through its fetcher, which pins what is looked at in it."""

from __future__ import annotations

import inspect
import struct
import sys
from collections.abc import Callable

import aiokafka.client
import pytest
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.errors import KafkaConnectionError, TopicAuthorizationFailedError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from stream_app.adapters.kafka import connecting
from stream_app.adapters.kafka.errors import CODECS, INSTALL, answering, unpack_error
from stream_app.adapters.kafka.record_batches import RecordBatches
from stream_app.errors import Refused, Unavailable, UnpackError

CRC_AT, ATTRIBUTES_AT = 17, 21
ZSTD = CODECS.index("zstd")


def batch(offset: int, count: int = 3, number: int = ZSTD) -> bytearray:
    """A batch of `count` records from this offset on, compressed by the codec of this number."""
    builder = DefaultRecordBatchBuilder(
        2, number, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=-1, batch_size=99_999
    )
    for i in range(count):
        builder.append(i, timestamp=1, key=b"C1", value=b"a payment " * 20, headers=[("kind", b"card")])
    built = bytearray(builder.build())
    struct.pack_into(">q", built, 0, offset)
    return built


def sealed(built: bytearray) -> bytearray:
    """With the checksum that its bytes now have: what the codec meets, not the check before it."""
    struct.pack_into(">I", built, CRC_AT, calc_crc32c(built[ATTRIBUTES_AT:]))
    return built


def of_codec(number: int) -> bytearray:
    """A batch that says that it is compressed by another codec."""
    built = batch(7)
    struct.pack_into(">h", built, ATTRIBUTES_AT, number)
    return sealed(built)


def read(*batches: bytearray, start: int = 0) -> int:
    """Unpack all as a consumer does; how many records came."""
    found = PartitionRecords(
        TopicPartition("payments", 3), RecordBatches(bytes(b"".join(batches))), [], start, None, None, check_crcs=True, isolation_level=0
    )
    return len(list(found))


def told(*batches: bytearray, start: int = 0) -> str:
    """What is said of them."""
    with pytest.raises(UnpackError) as error, answering():
        read(*batches, start=start)
    return str(error.value)


@pytest.mark.parametrize("number", range(len(CODECS)))
def test_every_codec_of_kafka_is_read(number: int) -> None:
    """With the packages that this project names."""
    assert read(batch(7, number=number)) == 3


@pytest.mark.parametrize("name", ["snappy", "lz4", "zstd"])
def test_a_codec_that_is_not_installed_is_named_with_the_command_that_installs_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Topic, partition, offset, codec, remedy; exit code 66."""
    built = batch(7, number=CODECS.index(name))
    for library in ("cramjam", "lz4.frame", "zstandard"):
        monkeypatch.setitem(sys.modules, library, None)
    where = "Topic 'payments', partition 3, offset 7"
    assert told(built) == f"{where}: the records are compressed with {name}, which is not installed here. Install it: {INSTALL}"
    assert UnpackError.exit_code == 66


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (lambda: of_codec(5), "the records are compressed with codec 5, which this version does not know."),
        (lambda: batch(7)[:-1] + b"x", "the records (zstd) cannot be unpacked: [Error 2] CorruptRecordException: Invalid CRC"),
    ],
    ids=["an unknown codec", "a wrong checksum"],
)
def test_what_is_damaged_says_where_and_what_to_do(made: Callable[[], bytearray], why: str) -> None:
    """It is neither Kafka's silence nor our fault, and never a traceback. What its checksum vouches for is a dead letter instead."""
    text = told(made())
    assert text.startswith(f"Topic 'payments', partition 3, offset 7: {why}")
    assert "`compression.type` of the topic" in text or "kafka-console-consumer.sh --topic payments --partition 3 --offset 7" in text
    assert "\n" not in text


@given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4), bad=st.integers(0, 3), gap=st.integers(0, 2), skipped=st.integers(0, 3))
def test_the_offset_is_that_of_the_first_record_that_cannot_be_unpacked(sizes: list[int], bad: int, gap: int, skipped: int) -> None:
    """Batches before it were read, those behind it were not; offsets may be missing between them, and reading may begin within one.

    start ─╮
    [0 1 2 3] gap [bad …] [not read]
    """
    bad, offset, batches, expected = min(bad, len(sizes) - 1), 0, [], 0
    start = min(skipped, sizes[0] - 1)
    for number, count in enumerate(sizes):
        built = batch(offset, count)
        if number == bad:
            struct.pack_into(">h", built, ATTRIBUTES_AT, 6)
            sealed(built)
            expected = max(offset, start)
        batches.append(built)
        offset += count + gap
    assert told(*batches, start=start).startswith(f"Topic 'payments', partition 3, offset {expected}: ")


def test_a_head_that_cannot_be_read_is_told_behind_the_batch_before() -> None:
    """Nothing is known of it but where it must begin: the codec of the batch before is not its own."""
    left = [batch(7)]

    class Broken:
        """Answers with one batch, then with an error of its own."""

        def has_next(self) -> bool:
            """Always."""
            return True

        def next_batch(self) -> object:
            """The batch, once."""
            if left:
                return RecordBatches(bytes(left.pop())).next_batch()
            raise ValueError("a record of 3 bytes")

    records = PartitionRecords(TopicPartition("payments", 3), Broken(), [], 7, None, None, check_crcs=True, isolation_level=0)
    with pytest.raises(UnpackError, match="offset 10: the records cannot be unpacked: a record of 3 bytes"), answering():
        list(records)


@pytest.mark.parametrize("error", [KafkaConnectionError("nobody"), ConnectionResetError("gone"), TimeoutError()])
def test_a_kafka_that_is_away_is_unavailable(error: Exception) -> None:
    """It is asked again; the text names the error, also where that has no words."""
    with (
        pytest.raises(Unavailable, match=rf"Kafka did not answer \({str(error) or 'TimeoutError'}\)\. Start it\.") as found,
        answering("Start it."),
    ):
        raise error
    assert found.value.exit_code == 69


@pytest.mark.parametrize("error", [ValueError("ours"), UnpackError("told already")])
def test_what_is_neither_passes_as_it_is(error: Exception) -> None:
    """A fault of the program stays one, and an error of ours is told once."""
    with pytest.raises(type(error)) as found, answering():
        raise error
    assert found.value is error
    assert unpack_error(error) is None


def test_every_client_of_aiokafka_connects_by_ours() -> None:
    """It looks the function up in the module of its client, at bootstrap and later; what it raises in the end has no cause."""
    assert aiokafka.client.create_conn is connecting._connect
    for step in (aiokafka.client.AIOKafkaClient.bootstrap, aiokafka.client.AIOKafkaClient._get_conn):
        assert "await create_conn(" in inspect.getsource(step)
    assert 'raise KafkaConnectionError(f"Unable to bootstrap from' in inspect.getsource(aiokafka.client.AIOKafkaClient.bootstrap)


def test_a_topic_that_may_not_be_read_is_refused_with_its_right() -> None:
    """By whoever reads: Faust's consumer maps by the same function."""
    with pytest.raises(Refused, match="lacks the right READ on topic 'payments'"), answering():
        raise TopicAuthorizationFailedError("payments")
    with pytest.raises(Refused, match="lacks the right DESCRIBE on topic 'a, b'"), answering(right="DESCRIBE"):
        raise TopicAuthorizationFailedError({"b", "a"})
