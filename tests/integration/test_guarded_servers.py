"""What a real Kafka and a real Redis refuse is told by its cause: login, certificate, name, right, group, memory."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from redis import Redis
from redis.exceptions import RedisError

from stream_app.adapters.kafka.connecting import keep_causes
from stream_app.adapters.kafka.consumer_groups import member_counts
from stream_app.adapters.kafka.log import KafkaLog
from stream_app.adapters.kafka.options import client_options
from stream_app.adapters.kafka.publisher import KafkaPublisher
from stream_app.adapters.kafka.topics import create_topics, partition_counts, topic_configs
from stream_app.adapters.redis.state_reader import RedisStateReader
from stream_app.adapters.redis.store import RedisStore
from stream_app.commands.doctor import examine
from stream_app.errors import FraudstreamError, NoAccess, NoHost, Refused, Unavailable
from stream_app.local.packages import redis_server
from stream_app.local.stack import free_ports
from stream_app.messages.records import Outgoing
from stream_app.scoring.positions import Position
from stream_app.scoring.state_reader import StateQuery
from stream_app.settings import Settings, load_settings
from tests.contract.stores import START, moved, pay, taken
from tests.e2e.workers import worker
from tests.guarded_kafka import DESCRIBE, PASSWORD, USER, WRITE, GuardedKafka, guarded_kafka
from tests.named_ids import ids_of
from tests.waiting import DEADLINE_S, until

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def kafka() -> Iterator[GuardedKafka]:
    """One for the file; what it refused is forgotten with it."""
    with guarded_kafka() as broker:
        yield broker
    keep_causes()


def login(kafka: GuardedKafka, **changes: str) -> Settings:
    """Settings of the user, changed."""
    right = {
        "kafka_bootstrap_servers": kafka.login,
        "kafka_security_protocol": "SASL_PLAINTEXT",
        "kafka_sasl_mechanism": "PLAIN",
        "kafka_sasl_username": USER,
        "kafka_sasl_password": PASSWORD,
    }
    return load_settings(**right | changes)


async def refused(step: Callable[[], Awaitable[object]]) -> FraudstreamError:
    """What a step raises; one line."""
    with pytest.raises(FraudstreamError) as found:
        await step()
    assert "\n" not in str(found.value)
    return found.value


WRONG_LOGINS = {
    "wrong password": ({"kafka_sasl_password": "wr0ng-s3cret"}, "refused the login (Authentication failed", "KAFKA_SASL_PASSWORD"),
    "wrong user": ({"kafka_sasl_username": "nobody"}, "refused the login (Authentication failed", "KAFKA_SASL_USERNAME"),
    "wrong mechanism": ({"kafka_sasl_mechanism": "SCRAM-SHA-512"}, "knows no login by SCRAM-SHA-512", "KAFKA_SASL_MECHANISM"),
    "no login": ({"kafka_security_protocol": "PLAINTEXT"}, "as a listener that asks for a login does", "KAFKA_SECURITY_PROTOCOL"),
}


@pytest.mark.parametrize("name", WRONG_LOGINS)
def test_a_refused_login_to_kafka_names_its_settings(kafka: GuardedKafka, name: str) -> None:
    """To whoever asks: commands, publisher, log, doctor. Exit code 77, and nothing of the password."""
    changes, why, setting = WRONG_LOGINS[name]
    settings = login(kafka, **changes)

    async def body() -> None:
        options = client_options(settings)
        log, publisher = KafkaLog(options, "g"), KafkaPublisher(options)
        steps: dict[str, Callable[[], Awaitable[object]]] = {
            "topics": lambda: partition_counts(options, ["t"]),
            "log": lambda: log.bounds([("t", 0)]),
            "publisher": publisher.start,
        }
        for step in steps.values():
            error = await refused(step)
            assert isinstance(error, NoAccess)
            assert (why in str(error), f"FRAUDSTREAM_{setting}" in str(error), "did not answer" in str(error)) == (True, True, False)
            assert "wr0ng" not in str(error)
        await publisher.stop()
        (first,) = [f for f in await examine(settings) if f.subject == "Kafka"]
        assert why in first.text

    asyncio.run(body())


OTHER_PROTOCOLS: dict[str, tuple[Callable[[GuardedKafka], dict[str, str]], type[FraudstreamError], str]] = {
    "plain to TLS": (lambda k: {"kafka_bootstrap_servers": k.tls}, NoAccess, "speaks TLS"),
    "TLS to plain": (
        lambda k: {"kafka_bootstrap_servers": k.open, "kafka_security_protocol": "SSL"}, Unavailable, "hung up while TLS was agreed on",
    ),
    "SASL to plain": (
        lambda k: {"kafka_bootstrap_servers": k.open, "kafka_security_protocol": "SASL_PLAINTEXT", "kafka_sasl_username": "u"},
        NoAccess, "asks for no login",
    ),
    "untrusted": (
        lambda k: {"kafka_bootstrap_servers": k.tls, "kafka_security_protocol": "SSL"}, NoAccess, "signed by nobody who is trusted here",
    ),
    "expired": (
        lambda k: {"kafka_bootstrap_servers": k.expired, "kafka_security_protocol": "SSL", "kafka_ssl_cafile": k.cafile},
        NoAccess, "has expired",
    ),
    "another host": (
        lambda k: {
            "kafka_bootstrap_servers": k.tls.replace("localhost", "127.0.0.1"), "kafka_security_protocol": "SSL", "kafka_ssl_cafile": k.cafile,
        },
        NoAccess, "is for another name",
    ),
    "no such name": (lambda _: {"kafka_bootstrap_servers": "kafka.invalid:9092"}, NoHost, "The name 'kafka.invalid'"),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHER_PROTOCOLS)
def test_a_protocol_certificate_or_name_that_does_not_fit_is_told_as_such(kafka: GuardedKafka, name: str) -> None:
    """Each by its cause, none as a Kafka that did not answer."""
    changes, kind, why = OTHER_PROTOCOLS[name]
    settings = load_settings(**changes(kafka))
    error = asyncio.run(refused(lambda: partition_counts(client_options(settings), ["t"])))
    assert type(error) is kind
    assert why in str(error)
    assert "FRAUDSTREAM_KAFKA_" in str(error)
    assert "did not answer" not in str(error)


def test_a_certificate_that_is_trusted_is_taken(kafka: GuardedKafka) -> None:
    """The control: the same listener, with who signed it."""
    settings = load_settings(kafka_bootstrap_servers=kafka.tls, kafka_security_protocol="SSL", kafka_ssl_cafile=kafka.cafile)
    assert asyncio.run(partition_counts(client_options(settings), ["t"])) == {}


def test_a_missing_right_is_named_with_what_it_is_on(kafka: GuardedKafka, unique: str) -> None:
    """Of topics, of the group, of the cluster: and with the command that gives it. Once it is given, the step goes on."""
    ours, theirs, group = f"ours-{unique}", f"theirs-{unique}", f"group-{unique}"
    user = login(kafka, transactions_topic=ours, alerts_topic=theirs)
    admin = load_settings(kafka_bootstrap_servers=kafka.open, transactions_topic=ours, alerts_topic=theirs)

    async def body() -> None:
        await create_topics(client_options(admin), admin, 1)
        options = client_options(user)
        log = KafkaLog(options, group)

        async def publish() -> None:
            publisher = KafkaPublisher(options)
            try:
                await publisher.start()
                await publisher.publish(0, [Outgoing(theirs, b"k", b"v")])
            finally:
                await publisher.stop()

        async def read() -> None:
            async for _ in log.walk({(theirs, 0): 0}):
                pass

        async def lacks(step: Callable[[], Awaitable[object]], right: str) -> None:
            error = await refused(step)
            assert isinstance(error, Refused)
            assert f"lacks the right {right}" in str(error)
            assert "kafka-acls.sh --add" in str(error)

        await lacks(lambda: partition_counts(options, [ours]), f"DESCRIBE on topic '{ours}'")
        await lacks(lambda: create_topics(options, user, 1), f"DESCRIBE on topic '{ours}'")
        await lacks(lambda: topic_configs(options, [ours]), f"DESCRIBE_CONFIGS on topic '{ours}'")
        await lacks(lambda: member_counts(options, [group]), f"READ on group '{group}'")
        await lacks(lambda: log.committed([(ours, 0)]), f"READ on group '{group}'")
        await lacks(publish, "IDEMPOTENT_WRITE on the cluster")
        await kafka.grant(ours, WRITE)
        await kafka.grant(theirs, DESCRIBE)
        await lacks(publish, f"WRITE on topic '{theirs}'")
        await kafka.grant(theirs, WRITE)
        await publish()
        await lacks(read, f"READ on topic '{theirs}'")

    asyncio.run(body())


class Guarded:
    """A Redis of a test's own, and its administrator."""

    def __init__(self, port: int) -> None:
        self.admin: Any = Redis(port=port)
        self.port = port

    def url(self, login: str = "") -> str:
        """Of it."""
        return f"redis://{login}127.0.0.1:{self.port}/0"

    def answers(self) -> bool:
        """Whether it does."""
        try:
            return bool(self.admin.ping())
        except RedisError:
            return False


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Guarded]:
    """Ended on leaving."""
    (port,) = free_ports(1)
    server = Guarded(port)
    process = subprocess.Popen([redis_server(), "--port", str(port), "--save", ""], cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        until(server.answers, "Redis")
        yield server
    finally:
        server.admin.close()
        process.kill()
        process.wait()


@asynccontextmanager
async def store_of(url: str) -> AsyncIterator[RedisStore]:
    """A store, closed on leaving."""
    store = RedisStore(url, "test")
    try:
        yield store
    finally:
        await store.close()


def test_a_full_memory_of_redis_is_told_as_that_and_the_batch_is_written_when_there_is_room(redis: Guarded) -> None:
    """Redis answered; what it said is tried again like silence, for room may be made."""

    async def body() -> None:
        async with store_of(redis.url()) as store:
            state, cursor = await taken(store, 0, 1)
            work = await state.read(ids_of(["c1"], ["t1"], []))
            pay(work, [START])
            packed = state.pack(work, Position(1, 0))
            redis.admin.config_set("maxmemory", 1)
            error = await refused(lambda: state.write(packed, moved(cursor, 1)))
            assert type(error) is Unavailable
            assert "memory of Redis is full" in str(error)
            assert "did not answer" not in str(error)
            redis.admin.config_set("maxmemory", 0)
            await state.write(packed, moved(cursor, 1))
            assert (await taken(store, 0, 1))[1].transactions == 1

    asyncio.run(body())


@pytest.mark.parametrize("login", ["", "bank:wr0ng@", ":wr0ng@"])
def test_a_refused_login_to_redis_names_the_url(redis: Guarded, login: str) -> None:
    """NOAUTH and WRONGPASS: of the worker's store, and of the API's reader."""
    redis.admin.acl_setuser("bank", enabled=True, passwords=["+right"], keys=["*"], commands=["+@all"])
    redis.admin.config_set("requirepass", "right")

    async def body() -> None:
        reader = RedisStateReader(redis.url(login), "test")
        async with store_of(redis.url(login)) as store:
            for step in (store.ping, lambda: taken(store, 0, 1), lambda: store.info("server"), reader.ping):
                error = await refused(step)
                assert type(error) is NoAccess
                assert "FRAUDSTREAM_REDIS_URL" in str(error)
                assert "wr0ng" not in str(error)
        await reader.close()

    asyncio.run(body())


def test_a_missing_right_of_redis_is_named(redis: Guarded) -> None:
    """NOPERM: of a user that only reads, and of one whose keys are others. The reader of the API goes on with the first."""
    redis.admin.acl_setuser("reads", enabled=True, passwords=["+right"], keys=["*"], commands=["+@read", "+@connection", "+info"])
    redis.admin.acl_setuser("others", enabled=True, passwords=["+right"], keys=["others*"], commands=["+@all"])

    async def body() -> None:
        for user in ("reads", "others"):
            async with store_of(redis.url(f"{user}:right@")) as store:
                error = await refused(lambda store=store: taken(store, 0, 1))  # type: ignore[misc]
                assert type(error) is Refused
                assert "ACL SETUSER" in str(error)
        reader = RedisStateReader(redis.url("reads:right@"), "test")
        await reader.read([StateQuery(ids_of(["c1"], [], []))])
        await reader.close()

    asyncio.run(body())


def test_a_name_that_is_not_found_and_a_certificate_are_told_of_redis_too(kafka: GuardedKafka) -> None:
    """The certificate is that of another server: TLS is the same, and nothing of Redis is said before it."""

    async def body() -> None:
        for url, kind, why in (
            ("redis://redis.invalid:6379/0", NoHost, "name of the Redis server"),
            (f"rediss://{kafka.tls}/0", NoAccess, "signed by nobody who is trusted here"),
            (f"rediss://{kafka.expired}/0?ssl_ca_certs={kafka.cafile}", NoAccess, "has expired"),
            (f"rediss://127.0.0.1:{kafka.tls.rpartition(':')[2]}/0?ssl_ca_certs={kafka.cafile}", NoAccess, "is for another name"),
        ):
            async with store_of(load_settings(redis_url=url).redis_url) as store:
                error = await refused(store.ping)
                assert type(error) is kind, error
                assert why in str(error)
                assert "FRAUDSTREAM_REDIS_URL" in str(error)

    asyncio.run(body())


def settings_of(settings: Settings, redis: Guarded) -> dict[str, str]:
    """What a worker's environment has of them, without prefix; nobody answers at MLflow's address, so it waits for a model."""
    own = {name.upper(): str(getattr(settings, name)) for name in ("kafka_bootstrap_servers", "kafka_security_protocol", "consumer_group")}
    return own | {
        "KAFKA_SASL_MECHANISM": settings.kafka_sasl_mechanism,
        "KAFKA_SASL_USERNAME": settings.kafka_sasl_username,
        "KAFKA_SASL_PASSWORD": settings.kafka_sasl_password.get_secret_value(),
        "REDIS_URL": redis.url(),
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:1",
        "TRANSACTIONS_TOPIC": settings.transactions_topic,
    }


def ended(env: dict[str, str], folder: Path) -> tuple[int, str]:
    """Exit code and log of a worker that ends by itself."""
    with worker(env, 0, folder) as running:
        code = running.process.wait(DEADLINE_S)
    return code, running.log.read_text()


def test_a_group_that_another_program_uses_ends_the_worker_with_one_line(
    kafka: GuardedKafka, redis: Guarded, unique: str, tmp_path: Path
) -> None:
    """A second consumer with another way to share out partitions; the worker names the group and the setting, exit code 78."""
    settings = load_settings(
        kafka_bootstrap_servers=kafka.open, consumer_group=f"group-{unique}", transactions_topic=f"transactions-{unique}"
    )

    async def body() -> tuple[int, str]:
        await create_topics(client_options(settings), settings, 2)
        other = AIOKafkaConsumer(
            settings.transactions_topic,
            bootstrap_servers=kafka.open,
            group_id=settings.consumer_group,
            partition_assignment_strategy=[StickyPartitionAssignor],
        )
        await other.start()
        try:
            return await asyncio.to_thread(ended, settings_of(settings, redis), tmp_path)
        finally:
            await other.stop()

    code, log = asyncio.run(body())
    assert code == 78, log
    assert log.count(f"FRAUDSTREAM_CONSUMER_GROUP = '{settings.consumer_group}'") == 1
    assert "Traceback" not in log
    assert " ERROR " in log


def test_a_worker_without_the_right_on_its_group_ends_with_one_line(
    kafka: GuardedKafka, redis: Guarded, unique: str, tmp_path: Path
) -> None:
    """Not a word of "the other workers hold all": exit code 77. Nor does it go on without rules that it may not read."""
    user = login(kafka, consumer_group=f"group-{unique}", transactions_topic=f"transactions-{unique}")
    admin = load_settings(kafka_bootstrap_servers=kafka.open, transactions_topic=user.transactions_topic)

    async def body() -> None:
        await create_topics(client_options(admin), admin, 2)
        for topic in admin.topics():
            await kafka.grant(topic, WRITE)

    asyncio.run(body())
    code, log = ended(settings_of(user, redis), tmp_path)
    assert code == 77, log
    assert any(f"right DESCRIBE on topic '{topic}'" in log for topic in admin.rule_topics()), log

    async def rules_too() -> None:
        for topic in admin.rule_topics():
            await kafka.grant(topic, WRITE)

    asyncio.run(rules_too())
    code, log = ended(settings_of(user, redis), tmp_path)
    assert code == 77, log
    assert f"lacks the right READ on group '{user.consumer_group}' (FRAUDSTREAM_CONSUMER_GROUP)" in log
    assert "Traceback" not in log


def test_a_worker_whose_login_is_refused_ends_at_once(kafka: GuardedKafka, redis: Guarded, tmp_path: Path) -> None:
    """By Kafka, and by Redis: exit code 77, a line of its own, nothing of the password."""
    code, log = ended(settings_of(login(kafka, **WRONG_LOGINS["wrong password"][0]), redis), tmp_path)
    assert (code, "refused the login" in log, "wr0ng" in log) == (77, True, False), log
    redis.admin.config_set("requirepass", "right")
    env = settings_of(load_settings(kafka_bootstrap_servers=kafka.open), redis) | {"REDIS_URL": redis.url(":wr0ng@")}
    code, log = ended(env, tmp_path)
    assert (code, "Redis refused the login" in log, "wr0ng" in log) == (77, True, False), log
