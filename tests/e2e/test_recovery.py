"""A running worker whose state is lost, damaged or rolled back in Redis under its hands: it mends it by itself and decides on."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from redis import Redis

from stream_app.adapters.kafka.options import client_options
from stream_app.adapters.kafka.topics import create_topics
from stream_app.commands.doctor import examine
from stream_app.errors import ClockBehind, NewerState
from stream_app.settings import load_settings
from tests.e2e.test_worker import publish, raw, read
from tests.e2e.workers import Worker, worker
from tests.later import later_cursor
from tests.waiting import DEADLINE_S, until


class Group:
    """The Redis keys of one consumer group."""

    def __init__(self, env: dict[str, str]) -> None:
        self._redis: Any = Redis.from_url(env["REDIS_URL"])
        self._pattern = f"{{{env['CONSUMER_GROUP']}:*"

    def dump(self) -> dict[bytes, bytes]:
        """All keys and values."""
        keys = list(self._redis.scan_iter(match=self._pattern))
        return dict(zip(keys, self._redis.mget(keys), strict=True)) if keys else {}

    def put(self, values: dict[bytes, bytes]) -> None:
        """These and no others."""
        with self._redis.pipeline() as pipeline:
            for key in self._redis.scan_iter(match=self._pattern):
                pipeline.delete(key)
            if values:
                pipeline.mset(values)
            pipeline.execute()

    def damage(self, ending: bytes, change: Callable[[bytes], bytes]) -> None:
        """Change the values of keys with this ending."""
        found = {k: change(v) for k, v in self.dump().items() if k.endswith(ending)}
        assert found
        self._redis.mset(found)


def send(env: dict[str, str], first: int, count: int = 20) -> None:
    """Payments of one card to partition 0."""
    records: list[tuple[bytes | None, bytes | None]] = [(b"C1", raw(transaction_id=f"T{i}")) for i in range(first, first + count)]
    asyncio.run(publish(env["KAFKA_BOOTSTRAP_SERVERS"], env["TRANSACTIONS_TOPIC"], records))


def decided(running: Worker, count: int) -> None:
    """Wait until the worker has decided so many."""
    until(lambda: running.metric("fraudstream_transactions_scored_total") == count, f"{count} to be scored")


def test_state_that_is_lost_damaged_or_rolled_back_is_mended_by_the_running_worker(env: dict[str, str], port: int, tmp_path: Path) -> None:
    """Every payment is decided once, and each knows of all before it: the card's count of the day rises by one with each."""
    group = Group(env)
    with worker(env, port, tmp_path) as running:
        until(running.ready, "the worker to be ready")
        send(env, 0)
        decided(running, 20)
        group.put({})
        send(env, 20)
        decided(running, 40)
        assert running.metric("fraudstream_transactions_rebuilt_total") == 20
        old = group.dump()
        send(env, 40)
        decided(running, 60)
        group.put(old)
        send(env, 60)
        until(lambda: running.metric("fraudstream_transactions_scored_total") >= 80, "those behind the rollback to be decided")
        running.process.kill()
        running.process.wait()
        group.damage(b"}c:C1", lambda value: value[: len(value) // 2])
    with worker(env, port, tmp_path) as again:
        until(again.ready, "the next worker to be ready")
        send(env, 80)
        decided(again, 20)
        assert again.metric("fraudstream_transactions_rebuilt_total") == 80
        assert "C1" in again.log.read_text()
        assert again.stop() == 0
    scores = [json.loads(r.value) for r in asyncio.run(read(env["KAFKA_BOOTSTRAP_SERVERS"], env["SCORES_TOPIC"], 100))]
    assert [s["transaction_id"] for s in scores] == [f"T{i}" for i in range(100)]
    assert [s["features"]["card_count_1d"] for s in scores] == [i + 1.0 for i in range(100)]


def test_an_emptied_redis_is_seen_and_rebuilt_though_no_payment_comes(env: dict[str, str], port: int, tmp_path: Path) -> None:
    """Within ten seconds: `/readyz` and the log tell, and the card is there again before anybody asks for it."""
    group = Group(env)
    with worker(env, port, tmp_path) as running:
        until(running.ready, "the worker to be ready")
        send(env, 0)
        decided(running, 20)
        group.put({})
        emptied = time.monotonic()
        until(lambda: not running.ready(), "the worker to see it")
        assert time.monotonic() - emptied < 10
        until(lambda: any(key.endswith(b"}c:C1") for key in group.dump()), "the card to be rebuilt")
        until(running.ready, "the worker to be ready again")
        assert "its state is not in Redis" in running.log.read_text()
        assert running.metric("fraudstream_transactions_scored_total") == 20
        assert running.stop() == 0
    assert doctors("state", env) == (True, f"there for all 1 partitions of which group '{env['CONSUMER_GROUP']}' decided payments")
    group.put({})
    well, text = doctors("state", env)
    assert not well
    assert text.startswith(f"partition 0: group '{env['CONSUMER_GROUP']}' decided payments, and no state of them is in Redis.")


def doctors(subject: str, env: dict[str, str]) -> tuple[bool | None, str]:
    """What the doctor finds of one part."""
    settings = load_settings(**{k.lower(): v for k, v in env.items()})
    return next((f.well, f.text) for f in asyncio.run(examine(settings)) if f.subject == subject)


async def publish_ahead(env: dict[str, str], by_s: int) -> None:
    """A payment of the card by a producer whose clock is ahead."""
    at_ms = int((time.time() + by_s) * 1000)
    async with AIOKafkaProducer(bootstrap_servers=env["KAFKA_BOOTSTRAP_SERVERS"]) as producer:
        value = raw(transaction_id="ahead", event_time=at_ms)
        await producer.send_and_wait(env["TRANSACTIONS_TOPIC"], value, key=b"C1", partition=0, timestamp_ms=at_ms)


def test_what_the_clock_refused_stays_refused_by_a_worker_that_would_take_it(env: dict[str, str], port: int, tmp_path: Path) -> None:
    """Half an hour ahead of a worker that takes ten minutes; the next takes an hour, and rebuilds the state: the card's count is without it."""
    group = Group(env)
    with worker(env | {"MAX_AHEAD_OF_CLOCK_S": "600"}, port, tmp_path) as running:
        until(running.ready, "the worker to be ready")
        send(env, 0, 5)
        asyncio.run(publish_ahead(env, 1800))
        send(env, 5, 5)
        decided(running, 10)
        assert running.metric("fraudstream_dead_letters_total") == 1
        assert running.stop() == 0
    group.put({})
    with worker(env, port, tmp_path) as again:
        until(again.ready, "the next worker to be ready")
        send(env, 10, 5)
        decided(again, 5)
        assert (again.metric("fraudstream_transactions_rebuilt_total"), again.metric("fraudstream_dead_letters_total")) == (10, 0)
        assert again.stop() == 0
    scores = [json.loads(r.value) for r in asyncio.run(read(env["KAFKA_BOOTSTRAP_SERVERS"], env["SCORES_TOPIC"], 15))]
    assert [s["transaction_id"] for s in scores] == [f"T{i}" for i in range(15)]
    assert [s["features"]["card_count_1d"] for s in scores] == [i + 1.0 for i in range(15)]
    (letter,) = asyncio.run(read(env["KAFKA_BOOTSTRAP_SERVERS"], env["TRANSACTIONS_DLQ_TOPIC"], 1))
    assert dict(letter.headers)["error.code"] == b"future"


SET_BACK = """
import pathlib, sys, time
from stream_app.bootstrap import SystemClock
back = pathlib.Path("set-back")
SystemClock.now_ms = lambda _: round(time.time() * 1000) - (7_200_000 if back.exists() else 0)
from stream_app.worker import run
sys.exit(run())
"""


def test_a_clock_that_is_set_back_by_hours_ends_the_worker_and_refuses_no_payment(env: dict[str, str], port: int, tmp_path: Path) -> None:
    """Exit code 72. What is sent then is decided by the next worker, whose clock is right."""
    with worker(env, port, tmp_path, ("-c", SET_BACK)) as running:
        until(running.ready, "the worker to be ready")
        send(env, 0, 5)
        decided(running, 5)
        (tmp_path / "set-back").touch()
        send(env, 5, 5)
        assert running.process.wait(DEADLINE_S) == ClockBehind.exit_code
        assert "This machine's clock is 7,200 s behind that of Redis" in running.log.read_text()
    with worker(env, port, tmp_path) as again:
        until(again.ready, "the next worker to be ready")
        decided(again, 5)
        assert again.metric("fraudstream_dead_letters_total") == 0
        assert again.stop() == 0
    scores = [json.loads(r.value) for r in asyncio.run(read(env["KAFKA_BOOTSTRAP_SERVERS"], env["SCORES_TOPIC"], 10))]
    assert [s["features"]["card_count_1d"] for s in scores] == [i + 1.0 for i in range(10)]


def test_a_cursor_of_a_later_format_ends_the_worker_which_has_decided_and_changed_nothing(
    env: dict[str, str], port: int, tmp_path: Path
) -> None:
    """Exit code 74: nobody may decide who cannot read how far was decided. When a worker of that version is back it decides what waits, once."""
    group = Group(env)
    with worker(env, port, tmp_path) as running:
        until(running.ready, "the worker to be ready")
        send(env, 0, 5)
        decided(running, 5)
        assert running.stop() == 0
    written = group.dump()
    group.damage(b":0}cursor", later_cursor)
    later = group.dump()
    send(env, 5, 5)
    with worker(env, port, tmp_path) as running:
        assert running.process.wait(DEADLINE_S) == NewerState.exit_code == 74
        assert "has format 3; this version reads up to 2. Deploy the version that wrote it" in running.log.read_text()
    found = group.dump()
    assert {key for key, value in later.items() if found[key] != value} <= {key for key in later if key.endswith(b"cursor")}
    assert found[_cursor(env)] == later[_cursor(env)]
    group.put(written)
    with worker(env, port, tmp_path) as again:
        until(again.ready, "the next worker to be ready")
        decided(again, 5)
        assert again.stop() == 0
    scores = [json.loads(r.value) for r in asyncio.run(read(env["KAFKA_BOOTSTRAP_SERVERS"], env["SCORES_TOPIC"], 10))]
    assert [s["features"]["card_count_1d"] for s in scores] == [i + 1.0 for i in range(10)]


def _cursor(env: dict[str, str]) -> bytes:
    return f"{{{env['CONSUMER_GROUP']}:0}}cursor".encode()


def test_a_topic_that_was_made_anew_ends_the_worker_with_its_remedy(env: dict[str, str], port: int, tmp_path: Path) -> None:
    """Its offsets are not those of the cursor."""
    with worker(env, port, tmp_path) as running:
        until(running.ready, "the worker to be ready")
        send(env, 0)
        decided(running, 20)
        assert running.stop() == 0
    settings = load_settings(**{k.lower(): v for k, v in env.items()})

    async def make_anew() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=env["KAFKA_BOOTSTRAP_SERVERS"])
        await admin.start()
        await admin.delete_topics([env["TRANSACTIONS_TOPIC"]])
        async with asyncio.timeout(DEADLINE_S):
            while env["TRANSACTIONS_TOPIC"] in await admin.list_topics():  # noqa: ASYNC110 - Kafka tells nobody when it is gone
                await asyncio.sleep(0.05)
        await admin.close()
        await create_topics(client_options(settings), settings, partitions=2)

    asyncio.run(make_anew())
    with worker(env, port, tmp_path) as running:
        assert running.process.wait(DEADLINE_S) == 76, running.log.read_text()
        text = running.log.read_text()
        assert "deleted and made again" in text
        assert "FRAUDSTREAM_CONSUMER_GROUP" in text
        assert "Traceback" not in text
