"""Which log a cursor belongs to, on a real Kafka and a real Redis: another, or one that grew again, is found at the takeover; retention is none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from stream_app.adapters.kafka.log import KafkaLog
from stream_app.adapters.kafka.options import client_options
from stream_app.adapters.kafka.topics import copies_of, create_topics, topic_configs
from stream_app.adapters.kafka.topology import losing
from stream_app.adapters.redis.store import RedisStore
from stream_app.bootstrap import topics_of
from stream_app.delivery.outputs import Outputs
from stream_app.delivery.takeover import OwnedPartition, Takeover
from stream_app.errors import TopologyError
from stream_app.scoring.positions import fingerprint
from stream_app.settings import Settings, load_settings
from tests.e2e.kafka import publish, read
from tests.servers import Servers
from tests.unit.scoring.test_scorer import FakeClock
from tests.waiting import DEADLINE_S

pytestmark = pytest.mark.servers


@dataclass
class Group:
    """A consumer group, whose one partition was read to the end of five payments."""

    settings: Settings
    store: RedisStore

    async def begin(self) -> None:
        """Topics, payments, and a cursor at their end."""
        await create_topics(client_options(self.settings), self.settings, partitions=1)
        await self.send(b"first", 5)
        taken = await self.take()
        (*_, last) = await read(self.settings.kafka_bootstrap_servers, self.settings.transactions_topic, 5)
        names = {self.settings.transactions_topic: fingerprint(last)}
        await taken.state.write([], msgspec.structs.replace(taken.cursor, transactions=5, last=names))

    async def send(self, value: bytes, count: int) -> None:
        """So many more payments."""
        await publish(self.settings.kafka_bootstrap_servers, self.settings.transactions_topic, [(b"c1", value)] * count)

    async def take(self, **changed: str) -> OwnedPartition:
        """The partition, by a worker with these settings changed."""
        settings = self.settings.model_copy(update=changed)
        log = KafkaLog(client_options(settings), settings.consumer_group)
        self.store.hold([0], 1)
        return await Takeover(self.store, log, Outputs(log), topics_of(settings), FakeClock()).of(0, 1)

    async def make_anew(self, topic: str) -> None:
        """Delete the topic and make it again; empty."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.settings.kafka_bootstrap_servers)
        await admin.start()
        await admin.delete_topics([topic])
        async with asyncio.timeout(DEADLINE_S):
            while topic in await admin.list_topics():  # noqa: ASYNC110 - Kafka tells nobody when it is gone
                await asyncio.sleep(0.05)
        await admin.close()
        await create_topics(client_options(self.settings), self.settings, partitions=1)


def run(stack: Servers, unique: str, test: Callable[[Group], Awaitable[None]]) -> None:
    """Run a test with a group of its own."""
    names: dict[str, Any] = {
        f"{t}_topic": f"{t}-{unique}" for t in ("transactions", "labels", "alerts", "scores", "transactions_dlq", "labels_dlq")
    }
    settings = load_settings(kafka_bootstrap_servers=stack.kafka, redis_url=stack.redis, consumer_group=unique, **names)

    async def body() -> None:
        store = RedisStore(settings.redis_url, settings.consumer_group)
        try:
            group = Group(settings, store)
            await group.begin()
            await test(group)
        finally:
            await store.close()

    asyncio.run(body())


def test_a_topic_that_was_made_anew_with_as_many_records_is_found(stack: Servers, unique: str) -> None:
    """By its id; and by its last record where the id says nothing, as with a log that was cut and has grown again."""

    async def test(group: Group) -> None:
        topic = group.settings.transactions_topic
        former = (await group.take()).cursor.topic_ids[topic]
        await group.make_anew(topic)
        await group.send(b"other", 6)
        with pytest.raises(TopologyError, match="deleted and made again"):
            await group.take()
        state, cursor = await group.store.take_over(0)
        ids = await KafkaLog(client_options(group.settings), unique).topic_ids([topic])
        assert ids[topic] != former
        await state.write([], msgspec.structs.replace(cursor, topic_ids={**cursor.topic_ids, **ids}))
        with pytest.raises(TopologyError, match=f"{topic}' was cut and has grown again: at offset 4.*FRAUDSTREAM_CONSUMER_GROUP"):
            await group.take()

    run(stack, unique, test)


def test_records_that_were_removed_are_no_other_log(stack: Servers, unique: str) -> None:
    """Behind them it grows on: the worker goes on where it stood."""

    async def test(group: Group) -> None:
        topic = group.settings.transactions_topic
        admin = AIOKafkaAdminClient(bootstrap_servers=group.settings.kafka_bootstrap_servers)
        await admin.start()
        await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(5)})
        await admin.close()
        await group.send(b"more", 3)
        assert (await group.take()).cursor.transactions == 5

    run(stack, unique, test)


def test_another_topic_under_the_same_group_is_found(stack: Servers, unique: str) -> None:
    """It is named with the former; a group that names the former again goes on."""

    async def test(group: Group) -> None:
        other = f"other-{unique}"
        changed = group.settings.model_copy(update={"transactions_topic": other})
        await create_topics(client_options(changed), changed, partitions=1)
        await publish(changed.kafka_bootstrap_servers, other, [(b"c1", b"first")] * 7)
        with pytest.raises(TopologyError, match=f"'{group.settings.transactions_topic}'.*FRAUDSTREAM_TRANSACTIONS_TOPIC={other}"):
            await group.take(transactions_topic=other)
        assert (await group.take()).cursor.transactions == 5

    run(stack, unique, test)


def test_a_cursor_of_before_gets_the_fingerprint_of_what_stands_below_it(stack: Servers, unique: str) -> None:
    """At its first takeover, in Redis at once."""

    async def test(group: Group) -> None:
        state, cursor = await group.store.take_over(0)
        assert cursor.last
        await state.write([], msgspec.structs.replace(cursor, last={}))
        assert (await group.take()).cursor.last == cursor.last
        assert (await group.store.take_over(0))[1].last == cursor.last

    run(stack, unique, test)


def test_what_makes_topics_lose_records_is_asked_of_the_brokers(stack: Servers, unique: str) -> None:
    """One broker is for trials; an unclean election is named with the command."""

    async def test(group: Group) -> None:
        options, topic = client_options(group.settings), group.settings.alerts_topic
        copies = await copies_of(options, group.settings.topics())
        assert (copies.brokers, set(copies.of.values())) == (1, {1})
        configs = await topic_configs(options, group.settings.topics())
        assert not any(config.unclean for config in configs.values())
        said = losing(group.settings, {topic: configs[topic]}, copies) or ""
        assert said == "there is one broker, which is for trials: what its disk loses is lost"

    run(stack, unique, test)
