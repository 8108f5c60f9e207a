"""Every codec on a real broker, from a foreign producer and from the broker's own hand, by each of our readers."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import pytest

from stream_app.adapters.kafka.codecs import readable
from stream_app.adapters.kafka.errors import INSTALL
from stream_app.adapters.kafka.log import KafkaLog
from stream_app.adapters.kafka.log_spans import KafkaLogSpans
from stream_app.commands.topic_records import read_topic
from stream_app.delivery.ports import Bounds
from stream_app.errors import UnpackError
from stream_app.settings import Settings, load_settings
from tests.e2e.kafka import make_topic, publish
from tests.foreign import CODECS, Client, Raw
from tests.servers import Servers
from tests.stored import batches
from tests.topics import records_of

RECORDS = [
    Raw(b"payment %d of card C1 " % i * 20, b"C1", headers=[("source", b"till")], timestamp_ms=1_700_000_000_000 + i) for i in range(30)
]
VALUES = [r.value for r in RECORDS]


async def by_log(settings: Settings, topic: str) -> list[Any]:
    """As a takeover and `verify` read."""
    return list((await records_of(KafkaLog({"bootstrap_servers": settings.kafka_bootstrap_servers}, "g"), {(topic, 0): 0}))[topic, 0])


async def by_history(settings: Settings, topic: str) -> list[Any]:
    """As a rebuild and `repartition` read."""
    async with KafkaLogSpans.open(
        {"bootstrap_servers": settings.kafka_bootstrap_servers}, {(topic, 0): Bounds(0, len(RECORDS))}
    ) as history:
        return list((await history.more([(topic, 0)]))[topic, 0])


async def by_command(settings: Settings, topic: str) -> list[Any]:
    """As `alerts`, `explain` and `compare` read."""
    return [record async for records in read_topic(settings, topic) for record in records]


READERS: Mapping[str, Callable[[Settings, str], Coroutine[Any, Any, list[Any]]]] = {
    "log": by_log,
    "history": by_history,
    "command": by_command,
}


def settings(stack: Servers, topic: str = "transactions") -> Settings:
    """Those of a user whose topics are all this one."""
    names = (
        "transactions_topic",
        "labels_topic",
        "alerts_topic",
        "transactions_dlq_topic",
        "labels_dlq_topic",
        "rules_topic",
        "lists_topic",
    )
    named = {n: topic if n == "transactions_topic" else f"{topic}-{n}".replace("_", "-") for n in names}
    return load_settings(kafka_bootstrap_servers=stack.kafka, **named)


@pytest.mark.parametrize("name", CODECS)
def test_every_reader_reads_every_codec_of_a_foreign_producer(stack: Servers, foreign: Client, unique: str, name: str) -> None:
    """Librdkafka's batches as they are: snappy without frames, lz4 and zstd in frames of its own."""
    topic = f"foreign-{unique}"
    asyncio.run(make_topic(stack.kafka, topic, 1))
    foreign.send(stack.kafka, topic, RECORDS, name)
    assert [b.codec for b in asyncio.run(batches(stack.kafka, topic))] == [name]
    for reader, read in READERS.items():
        found = asyncio.run(read(settings(stack), topic))
        assert [(r.value, r.key, r.headers, r.timestamp) for r in found] == [
            (r.value, r.key, tuple(r.headers), r.timestamp_ms) for r in RECORDS
        ], reader


@pytest.mark.parametrize("name", CODECS)
def test_every_reader_reads_what_the_broker_compresses(stack: Servers, unique: str, name: str) -> None:
    """`compression.type` of the topic: the broker packs anew whatever comes, by the code that Java's producer has too."""
    topic = f"packed-{unique}"
    asyncio.run(make_topic(stack.kafka, topic, 1, {"compression.type": name}))
    asyncio.run(publish(stack.kafka, topic, [(r.key, r.value) for r in RECORDS]))
    assert {b.codec for b in asyncio.run(batches(stack.kafka, topic))} == {name}
    for reader, read in READERS.items():
        assert [r.value for r in asyncio.run(read(settings(stack), topic))] == VALUES, reader


@pytest.mark.parametrize("reader", READERS)
def test_without_the_codec_each_reader_names_topic_codec_and_remedy(
    stack: Servers, unique: str, reader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, as an error that nobody tries again."""
    topic = f"packed-{unique}"
    asyncio.run(make_topic(stack.kafka, topic, 1, {"compression.type": "lz4"}))
    asyncio.run(publish(stack.kafka, topic, [(b"C1", b"payment " * 20)]))
    for library in ("cramjam", "lz4.frame", "zstandard"):
        monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UnpackError) as error:
        asyncio.run(READERS[reader](settings(stack), topic))
    told = (
        f"Topic '{topic}', partition 0, offset 0: the records are compressed with lz4, which is not installed here. Install it: {INSTALL}"
    )
    assert str(error.value) == told


def test_the_doctor_reads_the_newest_records_and_tries_each_codec(stack: Servers, unique: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A topic that cannot be read is named; where all can, a codec that is not there is, for the next producer may use it."""
    plain, packed = settings(stack, f"plain-{unique}"), settings(stack, f"packed-{unique}")
    asyncio.run(make_topic(stack.kafka, plain.transactions_topic, 2))
    asyncio.run(publish(stack.kafka, plain.transactions_topic, [(b"C1", b"payment")]))
    for name in (packed.transactions_topic, packed.alerts_topic):
        asyncio.run(make_topic(stack.kafka, name, 2, {"compression.type": "zstd"}))
        asyncio.run(publish(stack.kafka, name, [(b"C1", b"payment " * 20)] * 3))
    assert asyncio.run(readable(packed)) == "gzip, snappy, lz4, zstd work; the newest records of 2 topics can be read"
    for library in ("cramjam", "lz4.frame", "zstandard"):
        monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UnpackError, match="snappy, lz4, zstd cannot be unpacked here") as lacking:
        asyncio.run(readable(plain))
    assert str(lacking.value).endswith(INSTALL)
    with pytest.raises(UnpackError) as unread:
        asyncio.run(readable(packed))
    assert str(unread.value) == (
        f"Topic '{packed.transactions_topic}', partition 0, offset 2: the records are compressed with zstd, which is not installed here. "
        f"Install it: {INSTALL} (also: topics {packed.alerts_topic})"
    )
