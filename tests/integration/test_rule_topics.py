"""The topics of rules and lists on a real Kafka: a start finds what is in force, by whatever way, and changes come from then on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.admin.records_to_delete import RecordsToDelete
from loguru import logger

from stream_app.adapters.kafka import rule_writer
from stream_app.adapters.kafka.options import client_options
from stream_app.adapters.kafka.publisher import KafkaPublisher
from stream_app.adapters.kafka.rule_topics import RuleTopic
from stream_app.adapters.kafka.rule_writer import RuleWriter
from stream_app.adapters.kafka.topics import create_topics, partition_counts, topic_configs
from stream_app.adapters.kafka.topology import wrong_rule_topics
from stream_app.adapters.metrics.worker_metrics import WorkerMetrics
from stream_app.bootstrap_rules import live_rules as live_rules_of
from stream_app.delivery import topic_follower
from stream_app.errors import RuleError, TopologyError
from stream_app.messages.headers import OwnHeaders
from stream_app.messages.records import Outgoing
from stream_app.rules import checkpoint
from stream_app.rules.checkpoint import checkpoint_header, pieces_of
from stream_app.rules.lists import CardList, ListedValue, ListEntries
from stream_app.rules.lists_log import ListsLog
from stream_app.rules.rules_log import RulesLog
from stream_app.rules.topic_log import RefusedRecord
from stream_app.settings import Settings, load_settings
from tests.unit.rules.made import rule

if TYPE_CHECKING:
    from tests.servers import Servers

WATCHED = CardList("watched", "terminal", "ask", "ann", "for tests")
DEADLINE_S = 60.0

type Sent = tuple[bytes, int | None]
"""A record's value, and what its header says of the newest checkpoint."""


def put(*values: str) -> bytes:
    """Entries, as a record."""
    return msgspec.json.encode(ListEntries("watched", tuple(map(ListedValue, values)), "ann", "for tests"))


@pytest.fixture
def settings(stack: Servers, unique: str) -> Settings:
    """Topics of nobody else."""
    streams = {f"{name}_topic": f"{name}-{unique}" for name in ("transactions", "labels", "alerts", "transactions_dlq", "labels_dlq")}
    found = load_settings(kafka_bootstrap_servers=stack.kafka, rules_topic=f"rules-{unique}", lists_topic=f"lists-{unique}", **streams)
    asyncio.run(create_topics(client_options(found), found, partitions=2))
    return found


async def send(settings: Settings, records: Sequence[Sent]) -> None:
    """Into the topic of lists."""
    async with AIOKafkaProducer(**client_options(settings)) as producer:
        for value, first in records:
            await producer.send_and_wait(settings.lists_topic, value, partition=0, headers=checkpoint_header(first))


async def delete_below(settings: Settings, offset: int) -> None:
    """As retention does."""
    admin = AIOKafkaAdminClient(**client_options(settings))
    await admin.start()
    try:
        await admin.delete_records({TopicPartition(settings.lists_topic, 0): RecordsToDelete(offset)})
    finally:
        await admin.close()


@asynccontextmanager
async def opened(settings: Settings, refused: list[RefusedRecord] | None = None) -> AsyncIterator[RuleTopic[ListsLog]]:
    """The topic of lists, read to its end."""
    told = None if refused is None else refused.append
    async with asyncio.timeout(DEADLINE_S), RuleTopic.open(client_options(settings), settings.lists_topic, ListsLog, told) as topic:
        yield topic


def held(topic: RuleTopic[ListsLog]) -> list[str]:
    """The values of the list."""
    return [entry.value for entry in topic.log.lists.of("watched")]


def checkpoint_of(*values: str, at: int, name: str = "one") -> list[bytes]:
    """The pieces of a checkpoint with these entries."""
    log = ListsLog()
    for record in (msgspec.json.encode(WATCHED), *(put(value) for value in values)):
        assert log.apply(log.offset, record, 0) is None
    return list(pieces_of(log.records(0), name, at, 0))


def test_a_topic_is_read_to_its_end_and_then_followed(settings: Settings) -> None:
    """An empty one too; what is refused is told once, with its offset, and the records around it are taken."""

    async def body() -> None:
        refused: list[RefusedRecord] = []
        async with opened(settings) as topic:
            assert (topic.end, topic.log.offset) == (0, 0)
        await send(settings, [(msgspec.json.encode(WATCHED), None), (b"torn", None), (put("t-1"), None)])
        async with opened(settings, refused) as topic:
            assert (topic.end, topic.log.offset, held(topic)) == (3, 3, ["t-1"])
            assert [one.offset for one in refused] == [1]
            await send(settings, [(b"x" * 1_000_001, None), (put("t-2"), None)])
            while topic.log.offset < 5:
                topic.take(await topic.poll())
            assert (held(topic), [one.offset for one in refused]) == (["t-1", "t-2"], [1, 3])
            await send(settings, [(put("t-3"), None)])
            await topic.read_to_end()
            assert held(topic) == ["t-1", "t-2", "t-3"]
            assert topic.end == 3

    asyncio.run(body())


def test_a_start_reads_the_checkpoint_that_the_last_record_names_and_what_came_after(settings: Settings) -> None:
    """The checkpoint holds an entry that no record before it put: whoever has it has read the checkpoint. A record lies among its pieces."""

    async def body() -> None:
        first, *others = checkpoint_of("from-checkpoint", at=2)
        before = [(msgspec.json.encode(WATCHED), None), (put("from-records"), None)]
        await send(settings, [*before, (first, None), *((piece, None) for piece in others), (put("after"), 2)])
        async with opened(settings) as topic:
            assert held(topic) == ["from-checkpoint", "after"]
            assert topic.log.offset == topic.end
        await send(settings, [(put("last"), None)])
        async with opened(settings) as topic:
            assert held(topic) == ["from-records", "after", "last"], "without the header all is read"
        await delete_below(settings, 2)
        async with opened(settings) as topic:
            assert held(topic) == ["from-checkpoint", "after", "last"], "where the beginning is gone, the checkpoint is looked for"

    asyncio.run(body())


def test_a_start_without_what_was_in_force_is_refused(settings: Settings) -> None:
    """A torn checkpoint is passed over while the beginning is there; without it nothing is guessed, and the remedy is told."""

    async def body() -> None:
        (piece,) = checkpoint_of("forged", at=2)
        torn = piece.replace(b"forged", b"forgot")
        await send(settings, [(msgspec.json.encode(WATCHED), None), (put("t-1"), None), (torn, None), (put("t-2"), 2)])
        async with opened(settings) as topic:
            assert held(topic) == ["t-1", "t-2"]
        await delete_below(settings, 1)
        with pytest.raises(TopologyError, match=r"begins at offset 1 and holds no whole checkpoint.*put rules or lists again"):
            async with opened(settings):
                pass

    asyncio.run(body())


def test_who_follows_is_told_when_what_was_to_be_read_is_gone(settings: Settings) -> None:
    """Never a change passed over in silence."""

    async def body() -> None:
        await send(settings, [(msgspec.json.encode(WATCHED), None), (put("t-1"), None), (put("t-2"), None)])
        async with opened(settings) as topic:
            await delete_below(settings, 2)
            topic._consumer.seek(topic._place, 1)  # as one who was slow stands there
            await topic.follow()

    with pytest.raises(TopologyError, match="lost what was to be read next"):
        asyncio.run(body())


def test_both_topics_are_made_with_one_partition_and_kept_without_end(settings: Settings) -> None:
    """The doctor finds nothing wrong; one with more partitions is named by him, and refused by who reads it."""
    options = client_options(settings)

    async def body() -> dict[str, Any]:
        topics = settings.rule_topics()
        return {"counts": await partition_counts(options, topics), "found": await topic_configs(options, topics)}

    there = asyncio.run(body())
    assert there["counts"] == dict.fromkeys(settings.rule_topics(), 1)
    assert {(one.retention_ms, one.retention_bytes, one.timestamp_type) for one in there["found"].values()} == {(-1, -1, "LogAppendTime")}
    assert wrong_rule_topics(settings, **there) is None

    async def more() -> None:
        admin = AIOKafkaAdminClient(**options)
        await admin.start()
        await admin.create_partitions({settings.lists_topic: NewPartitions(total_count=2)})
        await admin.close()
        while (await partition_counts(options, [settings.lists_topic]))[settings.lists_topic] != 2:  # noqa: ASYNC110 - Kafka tells nobody
            await asyncio.sleep(0.1)
        async with opened(settings):
            pass

    with pytest.raises(TopologyError, match="has 2 partitions"):
        asyncio.run(more())
    assert "has 2 partitions" in (
        wrong_rule_topics(settings, counts={settings.rules_topic: 1, settings.lists_topic: 2}, found=there["found"]) or ""
    )


class Rival(KafkaPublisher):
    """Publishes another's record right before the first one of ours."""

    def __init__(self, options: dict[str, Any], record: Outgoing) -> None:
        super().__init__(options)
        self._records = [record]

    async def publish(self, partition: int, messages: Sequence[Outgoing], headers: OwnHeaders = ()) -> dict[str, int]:
        """See `KafkaPublisher`."""
        rival, self._records = self._records, []
        await super().publish(partition, rival)
        return await super().publish(partition, messages, headers)


def test_what_would_be_refused_is_not_written_and_who_was_slower_is_told(settings: Settings) -> None:
    """Two authors put version 1 of one rule: the second one's does not follow any more."""
    options, topic = client_options(settings), settings.rules_topic
    one, other = (msgspec.json.encode(rule(f"amount > {n}", code="large")) for n in (1, 2))

    async def body() -> None:
        async with asyncio.timeout(DEADLINE_S), RuleWriter.open(options, topic, RulesLog) as writer:
            with pytest.raises(RuleError, match="cannot be read"):
                await writer.write([b"torn"])
            assert writer.log.offset == 0
            rival = Rival(options, Outgoing(topic, None, one))
            await rival.start()
            usual, writer._publisher = writer._publisher, rival
            with pytest.raises(RuleError, match=r"Another author was faster; this was written at offset 1.*the next version is 2"):
                await writer.write([other])
            await rival.stop()
            writer._publisher = usual
            assert writer.log.rules["large"][1].expression == "amount > 1"
            with pytest.raises(RuleError, match="the next version is 2"):
                await writer.write([other])
            assert writer.log.offset == 2, "nothing was written"
            await writer.write([msgspec.json.encode(rule("amount > 3", code="large", version=2))])
            assert writer.log.rules["large"][2].expression == "amount > 3"

    asyncio.run(body())


def newest(writer: RuleWriter[ListsLog]) -> int | None:
    """Where the newest checkpoint begins."""
    return writer.log.checkpoint


def test_who_writes_much_writes_a_checkpoint_that_a_start_begins_at(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """In several pieces or in one: the records below it may be gone."""

    async def body() -> None:
        async with asyncio.timeout(DEADLINE_S), RuleWriter.open(client_options(settings), settings.lists_topic, ListsLog) as writer:
            await writer.write([msgspec.json.encode(WATCHED)])
            assert newest(writer) is None
            monkeypatch.setattr(rule_writer, "MOST_TAIL_BYTES", 1_000)
            await writer.write([put(*(f"t-{n}" for n in range(100)))])
            assert newest(writer) == 2
            assert writer.log.tail_bytes == 0
            await delete_below(settings, 2)
            async with opened(settings) as topic:
                assert len(held(topic)) == 100
            monkeypatch.setattr(checkpoint, "PIECE_BYTES", 100)
            assert await writer.checkpoint() == 2
            assert newest(writer) == 3
            await delete_below(settings, 3)
            async with opened(settings) as topic:
                assert len(held(topic)) == 100
                assert (topic.log.offset, topic.log.tail_bytes) == (5, 0), "whoever starts here has no checkpoint to write"

    asyncio.run(body())


def test_of_two_checkpoints_at_once_the_whole_one_is_enough_and_a_start_has_all_entries(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second author's checkpoint stands amid the pieces of the first, which is torn by it."""
    options, topic = client_options(settings), settings.lists_topic

    async def body() -> None:
        async with (
            asyncio.timeout(DEADLINE_S),
            RuleWriter.open(options, topic, ListsLog) as slow,
            RuleWriter.open(options, topic, ListsLog) as quick,
        ):
            await slow.write([msgspec.json.encode(WATCHED)])
            await slow.write([put(*(f"t-{n}" for n in range(100)))])
            monkeypatch.setattr(checkpoint, "PIECE_BYTES", 100)
            publish, amid = slow._publish, 0

            async def publish_with_another_amid(value: bytes, first: int | None) -> int:
                nonlocal amid
                offset, amid = await publish(value, first), amid + 1
                if amid == 1:
                    assert await quick.checkpoint() == 2
                return offset

            monkeypatch.setattr(slow, "_publish", publish_with_another_amid)
            assert await slow.checkpoint() == 2
            assert (newest(slow), slow.log.offset) == (3, 6), "that of the second, which began amid the first"
            async with opened(settings) as begun:
                assert len(held(begun)) == 100
            monkeypatch.setattr(slow, "_publish", publish)
            assert await slow.checkpoint() == 2
            assert newest(slow) == 6

    asyncio.run(body())


def test_a_topic_that_is_made_anew_under_its_name_is_told_and_what_was_in_force_stays(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its id, though it holds more records than the one before, which would be read on from there; a process that starts takes what is there now."""
    monkeypatch.setattr(topic_follower, "LOOK_S", 0.2)
    monkeypatch.setattr(topic_follower, "_ID_HOLDS_S", 0.0)
    said: list[str] = []
    sink = logger.add(said.append, level="WARNING", format="{message}")

    async def made_anew() -> None:
        admin = AIOKafkaAdminClient(**client_options(settings))
        await admin.start()
        await admin.delete_topics([settings.lists_topic])
        while await partition_counts(client_options(settings), [settings.lists_topic]):  # noqa: ASYNC110 - Kafka tells nobody
            await asyncio.sleep(0.1)
        await admin.close()
        await create_topics(client_options(settings), settings, partitions=2)

    async def body() -> None:
        await send(settings, [(msgspec.json.encode(WATCHED), None), (put("t-1"), None)])
        live = live_rules_of(settings, WorkerMetrics().rules)
        async with asyncio.timeout(DEADLINE_S):
            following = asyncio.create_task(live.run(lambda: None))
            await live.begun()
            before = live.in_force.read()
            await made_anew()
            await send(settings, [(msgspec.json.encode(WATCHED), None), *((put(f"t-{n}"), None) for n in range(2, 6))])
            while not any("was made anew" in line for line in said):  # noqa: ASYNC110 - a log tells nobody
                await asyncio.sleep(0.05)
            assert [entry.value for entry in live.in_force.lists.of("watched")] == ["t-1"]
            assert live.in_force.read() == before
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            async with opened(settings) as topic:
                assert held(topic) == ["t-2", "t-3", "t-4", "t-5"]

    asyncio.run(body())
    logger.remove(sink)
