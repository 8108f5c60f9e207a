"""One contract for what we ask of Kafka outside the consumer group: topics in memory and a real Kafka keep the same promises."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import OffsetAndMetadata

from stream_app.adapters.kafka import log as of_log
from stream_app.adapters.kafka.consumer import new_consumer
from stream_app.adapters.kafka.log import KafkaLog
from stream_app.adapters.kafka.publisher import KafkaPublisher
from stream_app.delivery.ports import Log
from stream_app.errors import Unavailable
from stream_app.messages.records import Outgoing
from stream_app.scoring.ports import Publisher
from tests.e2e.kafka import make_topic
from tests.servers import Servers
from tests.topics import MemoryTopics, records_of
from tests.waiting import DEADLINE_S

FIVE = [f"v{i}".encode() for i in range(5)]


class Memory:
    """Topics in memory, and what the tests do behind their back."""

    def __init__(self, _servers: str) -> None:
        self.topics = MemoryTopics()
        self.log: Log = self.topics
        self.publisher: Publisher = self.topics

    async def start(self) -> None:
        """Nothing to start."""

    async def stop(self) -> None:
        """Nothing to stop."""

    async def write(self, topic: str, values: list[bytes], times_ms: list[int]) -> None:
        """Records in partition 1 with these Kafka timestamps."""
        for value, at in zip(values, times_ms, strict=True):
            self.topics.now_ms = at
            self.topics.append((topic, 1), b"k", value)

    async def cut(self, topic: str, first: int) -> None:
        """Remove the records of partition 1 below an offset."""
        self.topics.first[topic, 1] = first

    async def commit(self, topic: str, offset: int) -> None:
        """Commit an offset of partition 1 for the group."""
        self.topics.commits[topic, 1] = offset

    async def make_anew(self, topic: str) -> None:
        """Delete the topic and create it again."""
        self.topics.ids[topic] = "another"


class Kafka:
    """The same on a real Kafka."""

    def __init__(self, servers: str) -> None:
        self._options: dict[str, Any] = {"bootstrap_servers": servers}
        self._group = f"group-{uuid4().hex[:8]}"
        self.log: Log = KafkaLog(self._options, self._group)
        self.publisher: Any = None  # made in the running loop

    async def start(self) -> None:
        """Connect."""
        self._admin = AIOKafkaAdminClient(**self._options)
        await self._admin.start()
        self.publisher = KafkaPublisher(self._options)
        await self.publisher.start()

    async def stop(self) -> None:
        """Disconnect."""
        await self.publisher.stop()
        await self._admin.close()

    async def create(self, topic: str) -> None:
        """A topic of two partitions."""
        await make_topic(self._options["bootstrap_servers"], topic, 2)

    async def write(self, topic: str, values: list[bytes], times_ms: list[int]) -> None:
        """See `Memory`."""
        async with AIOKafkaProducer(**self._options) as producer:
            for value, at in zip(values, times_ms, strict=True):
                await producer.send_and_wait(topic, value, key=b"k", partition=1, timestamp_ms=at)

    async def cut(self, topic: str, first: int) -> None:
        """See `Memory`."""
        await self._admin.delete_records({TopicPartition(topic, 1): RecordsToDelete(first)})

    async def commit(self, topic: str, offset: int) -> None:
        """See `Memory`."""
        async with AIOKafkaConsumer(**self._options, group_id=self._group, enable_auto_commit=False) as consumer:
            at = TopicPartition(topic, 1)
            consumer.assign([at])
            await consumer.commit({at: OffsetAndMetadata(offset, "")})

    async def make_anew(self, topic: str) -> None:
        """See `Memory`."""
        await self._admin.delete_topics([topic])
        async with asyncio.timeout(DEADLINE_S):
            while topic in await self._admin.list_topics():  # noqa: ASYNC110 - Kafka tells nobody when it is gone
                await asyncio.sleep(0.05)
        await self.create(topic)
        async with asyncio.timeout(DEADLINE_S):
            while topic not in await self.log.topic_ids([topic]):  # noqa: ASYNC110 - nor when the new one is known everywhere
                await asyncio.sleep(0.05)


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.servers)])
def subject(request: pytest.FixtureRequest) -> Memory | Kafka:
    """Each in turn."""
    return Memory("") if request.param == "memory" else Kafka(request.getfixturevalue("stack").kafka)


def run(subject: Memory | Kafka, topic: str, test: Callable[[Memory | Kafka], Awaitable[None]]) -> None:
    """Run a test with a topic of its own."""

    async def body() -> None:
        await subject.start()
        try:
            if isinstance(subject, Kafka):
                await subject.create(topic)
            await test(subject)
        finally:
            await subject.stop()

    asyncio.run(body())


def test_bounds_and_what_is_read_follow_retention(subject: Memory | Kafka, unique: str) -> None:
    """First kept and next offset; from an offset to the end; nothing of an empty partition."""
    topic = f"log-{unique}"

    async def test(subject: Memory | Kafka) -> None:
        await subject.write(topic, FIVE, [100, 200, 300, 400, 500])
        assert await subject.log.bounds([(topic, 0), (topic, 1)]) == {(topic, 0): (0, 0), (topic, 1): (0, 5)}
        found = await records_of(subject.log, {(topic, 0): 0, (topic, 1): 2})
        assert [(r.offset, r.timestamp, r.key, r.value) for r in found[topic, 1]] == [
            (2, 300, b"k", b"v2"), (3, 400, b"k", b"v3"), (4, 500, b"k", b"v4"),
        ]  # fmt: skip
        assert list(found[topic, 0]) == []
        assert list((await records_of(subject.log, {(topic, 1): 5}))[topic, 1]) == []
        await subject.cut(topic, 3)
        assert (await subject.log.bounds([(topic, 1)]))[topic, 1] == (3, 5)
        assert await subject.log.timestamp((topic, 1), 2) == 400

    run(subject, topic, test)


def test_a_long_log_is_read_piece_by_piece(subject: Memory | Kafka, unique: str) -> None:
    """Every record from an offset on, once and in order, whatever the pieces; the timestamps of a span of it."""
    topic = f"log-{unique}"

    async def test(subject: Memory | Kafka) -> None:
        await subject.write(topic, FIVE, [100, 200, 300, 400, 500])
        found = [(place, r.offset) async for place, records in subject.log.walk({(topic, 0): 0, (topic, 1): 1}) for r in records]
        assert found == [((topic, 1), offset) for offset in range(1, 5)]
        place = (topic, 1)
        spans = [(await subject.log.timestamps({place: span}))[place] for span in ((1, 3), (-7, 2), (3, 99), (5, 9), (2, 2))]
        assert spans == [[200, 300], [100, 200], [400, 500], [], []]
        assert await subject.log.timestamps({(topic, 0): (0, 9), place: (3, 4)}) == {(topic, 0): [], place: [400]}, "of several at once"
        await subject.cut(topic, 3)
        assert await subject.log.timestamps({place: (0, 4)}) == {place: [400]}

    run(subject, topic, test)


def test_offsets_by_time_and_times_by_offset(subject: Memory | Kafka, unique: str) -> None:
    """The first record at or after a time; the end where there is none."""
    topic = f"log-{unique}"

    async def test(subject: Memory | Kafka) -> None:
        await subject.write(topic, FIVE, [100, 200, 300, 400, 500])
        place = (topic, 1)
        for at, offset in ((-5, 0), (0, 0), (200, 1), (201, 2), (501, 5)):
            assert (await subject.log.from_time({place: at}))[place] == offset
        assert [await subject.log.timestamp(place, o) for o in (0, 4, 5)] == [100, 500, None]

    run(subject, topic, test)


def test_a_record_is_told_by_its_very_offset(subject: Memory | Kafka, unique: str) -> None:
    """Of each place that is asked; as a worker reads it, so that its fingerprint is the same."""
    topic = f"log-{unique}"

    async def test(subject: Memory | Kafka) -> None:
        await subject.write(topic, FIVE, [100, 200, 300, 400, 500])
        place = (topic, 1)
        assert await subject.log.at({}) == {}
        for offset in (0, 3, 4):
            (record,) = (await subject.log.at({place: offset})).values()
            assert (record.offset, record.timestamp, record.key, record.value) == (offset, 100 + 100 * offset, b"k", FIVE[offset])
        assert not await subject.log.compacted(topic)

    run(subject, topic, test)


def test_what_the_group_committed(subject: Memory | Kafka, unique: str) -> None:
    """0 where it committed nothing."""
    topic = f"log-{unique}"

    async def test(subject: Memory | Kafka) -> None:
        await subject.write(topic, FIVE, [100, 200, 300, 400, 500])
        await subject.commit(topic, 4)
        assert await subject.log.committed([(topic, 0), (topic, 1)]) == {(topic, 0): 0, (topic, 1): 4}

    run(subject, topic, test)


def test_a_topic_that_was_made_anew_has_another_id(subject: Memory | Kafka, unique: str) -> None:
    """Same name, other topic."""
    topic = f"log-{unique}"

    async def test(subject: Memory | Kafka) -> None:
        before = (await subject.log.topic_ids([topic]))[topic]
        assert (await subject.log.topic_ids([topic]))[topic] == before
        await subject.make_anew(topic)
        assert (await subject.log.topic_ids([topic]))[topic] != before

    run(subject, topic, test)


def test_what_is_published_stands_with_its_headers_and_the_next_offsets_are_told(subject: Memory | Kafka, unique: str) -> None:
    """Own headers and those of the batch; the next offset of each topic; nothing to publish is nothing done."""
    topic = f"log-{unique}"

    async def test(subject: Memory | Kafka) -> None:
        messages = [Outgoing(topic, b"k", v, (("own", v),)) for v in FIVE]
        assert await subject.publisher.publish(1, messages[:3], [("batch", b"1")]) == {topic: 3}
        assert await subject.publisher.publish(1, messages[3:]) == {topic: 5}
        assert await subject.publisher.publish(1, []) == {}
        await subject.publisher.settle()
        found = (await records_of(subject.log, {(topic, 1): 0}))[topic, 1]
        assert [r.value for r in found] == FIVE
        assert list(found[0].headers) == [("own", b"v0"), ("batch", b"1")]
        assert list(found[4].headers) == [("own", b"v4")]

    run(subject, topic, test)


def test_first_records_of_many_partitions_take_as_many_consumers_as_those_of_one(
    stack: Servers, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Making one takes longer than what it reads: two for each of 32 partitions took a new group half a minute."""
    topic, made = f"log-{unique}", list[AIOKafkaConsumer]()

    def counted(*topics: Any, **options: Any) -> AIOKafkaConsumer:
        made.append(new_consumer(*topics, **options))
        return made[-1]

    async def body() -> None:
        kafka = Kafka(stack.kafka)
        await kafka.start()
        await kafka.create(topic)
        await kafka.write(topic, [b"v"], [100])
        monkeypatch.setattr(of_log, "new_consumer", counted)
        assert await kafka.log.timestamps({(topic, 1): (0, 5)}) == {(topic, 1): [100]}
        of_one = len(made)
        assert await kafka.log.timestamps({(topic, 0): (0, 5), (topic, 1): (0, 5)}) == {(topic, 0): [], (topic, 1): [100]}
        assert len(made) == 2 * of_one
        await kafka.stop()

    asyncio.run(body())


def test_marks_of_transactions_are_no_records(stack: Servers, unique: str) -> None:
    """A transactional producer's marks take offsets at the end of the log: reading ends there all the same."""
    topic = f"log-{unique}"

    async def body() -> None:
        kafka = Kafka(stack.kafka)
        await kafka.start()
        await kafka.create(topic)
        async with AIOKafkaProducer(bootstrap_servers=stack.kafka, transactional_id=unique) as producer, producer.transaction():
            await producer.send_and_wait(topic, b"v", partition=1)
        place = (topic, 1)
        async with asyncio.timeout(DEADLINE_S):
            while (await kafka.log.bounds([place]))[place] != (0, 2):  # noqa: ASYNC110 - the mark is written after the producer has its answer
                await asyncio.sleep(0)
        assert [r.offset for r in (await records_of(kafka.log, {place: 0}))[place]] == [0]
        assert list((await records_of(kafka.log, {place: 1}))[place]) == []
        assert await kafka.log.timestamp(place, 1) is None
        assert await kafka.log.at({place: 1}) == {}
        assert len((await kafka.log.timestamps({place: (0, 2)}))[place]) == 1
        await kafka.stop()

    asyncio.run(body())


def test_an_input_is_read_to_its_first_open_transaction_and_an_output_whole(stack: Servers, unique: str) -> None:
    """Without what was aborted; its bounds are those of the log all the same, and the open transaction is named."""
    topic, place = f"log-{unique}", (f"log-{unique}", 1)

    async def write(producer: AIOKafkaProducer, value: bytes) -> None:
        await producer.send_and_wait(topic, value, partition=1)

    async def body() -> None:
        kafka = Kafka(stack.kafka)
        await kafka.start()
        await kafka.create(topic)
        as_output = KafkaLog({"bootstrap_servers": stack.kafka}, "g", (topic,))
        async with AIOKafkaProducer(bootstrap_servers=stack.kafka, transactional_id=unique) as producer:
            await producer.begin_transaction()
            await write(producer, b"aborted")
            await producer.abort_transaction()
            await kafka.write(topic, [b"plain"], [100])
            await producer.begin_transaction()
            await write(producer, b"open")
            await kafka.write(topic, [b"after"], [200])
            assert (await kafka.log.bounds([place]))[place] == (0, 5)
            assert [r.value for r in (await records_of(kafka.log, {place: 0}))[place]] == [b"plain"]
            assert [r.value for r in (await records_of(as_output, {place: 0}))[place]] == [b"aborted", b"plain", b"open", b"after"]
            assert await kafka.log.timestamp(place, 0) == 100
            assert await kafka.log.timestamp(place, 4) is None
            assert (await kafka.log.timestamps({place: (0, 5)}))[place][1::2] == [100, 200], (
                "they tell when a log begins, whatever was aborted since"
            )
            assert (await kafka.log.at({place: 0}))[place].value == b"aborted", "a cursor may know its log by it"
            found = await kafka.log.open_transactions([place, (topic, 0)])
            assert {p: transaction.offset for p, transaction in found.items()} == {place: 3}
            await producer.commit_transaction()
        async with asyncio.timeout(DEADLINE_S):
            while await kafka.log.open_transactions([place]):  # noqa: ASYNC110 - the mark is written after the producer has its answer
                await asyncio.sleep(0)
        assert [r.value for r in (await records_of(kafka.log, {place: 0}))[place]] == [b"plain", b"open", b"after"]
        await kafka.stop()

    asyncio.run(body())


def test_a_kafka_that_is_away_is_unavailable() -> None:
    """One error of ours, that names the setting."""
    log = KafkaLog({"bootstrap_servers": "127.0.0.1:9"}, "g")
    with pytest.raises(Unavailable, match="FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS"):
        asyncio.run(log.bounds([("t", 0)]))
    with pytest.raises(Unavailable, match="FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS"):
        asyncio.run(log.topic_ids(["t"]))
