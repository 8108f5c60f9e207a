"""One stack, kept data, and never anybody else's process."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import socket
import time
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest
from redis import Redis

from stream_app.errors import Stop
from stream_app.local import health
from stream_app.settings import load_settings
from tests.e2e.kafka import make_topic
from tests.integration.local_stack.looking import (
    join_a_group,
    offset_of,
    processes,
    recorded,
    start_up,
    status_of,
)
from tests.waiting import DEADLINE_S, until

if TYPE_CHECKING:
    from stream_app.local.stack import LocalStack


def test_up_twice_is_one_stack_and_its_data_outlives_it(stack: LocalStack) -> None:
    """The second `up` changes nothing; `down` leaves no process; the next `up` finds keys, topics and ports again."""
    first = stack.up(("kafka", "redis"))
    pids = {s.service: s.pid for s in stack.status()}
    assert stack.up(("kafka", "redis")) == first
    assert {s.service: s.pid for s in stack.status()} == pids
    assert [s.state for s in stack.status()] == ["running", "running", "stopped"]
    assert (load_settings().kafka_bootstrap_servers, load_settings().redis_url) == (first.kafka, first.redis)

    with Redis.from_url(first.redis) as redis:
        redis.set("kept", "yes")
        assert redis.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    asyncio.run(make_topic(first.kafka, "kept", 2))
    tokens = [service["token"] for service in recorded(stack).values()]
    assert stack.down() == ("redis", "kafka")
    assert [processes(token) for token in tokens] == [[], []]
    assert not (stack.home / "local.env").exists()
    assert [s.state for s in stack.status()] == ["stopped"] * 3

    assert stack.up(("kafka", "redis")) == first
    with Redis.from_url(first.redis) as redis:
        assert redis.get("kept") == b"yes"
    decade_ago_ms = int((time.time() - 10 * 365 * 86_400) * 1000)
    assert asyncio.run(offset_of(first.kafka, "kept", size=2_000_000, timestamp_ms=decade_ago_ms)) == 0


def test_what_a_killed_starter_left_is_found_and_cleaned(stack: LocalStack) -> None:
    """`up` is killed with kill -9 while Kafka starts; Kafka's id never reached the record, its token did."""
    with start_up(stack, "kafka,redis") as starter:
        until(lambda: recorded(stack).get("kafka", {}).get("process"), "Kafka to be started")
        starter.send_signal(signal.SIGKILL)
    left = recorded(stack)
    assert [left[name]["ready"] for name in ("kafka", "redis")] == [False, False]
    assert processes(left["kafka"]["token"])
    assert processes(left["redis"]["token"])
    left["kafka"]["process"] = None
    (stack.home / "stack.json").write_text(json.dumps({"services": left}))
    assert status_of(stack, "redis").state == "broken"

    addresses = stack.up(("kafka", "redis"))
    assert [processes(left[name]["token"]) for name in ("kafka", "redis")] == [[], []]
    assert health.kafka_serves(addresses.kafka)
    assert health.redis_answers(addresses.redis)
    assert all(recorded(stack)[name]["ports"] == left[name]["ports"] for name in ("kafka", "redis"))


def test_two_ups_at_once_make_one_stack(stack: LocalStack) -> None:
    """They take turns: the second finds what the first started."""
    with start_up(stack, "redis") as one, start_up(stack, "redis") as two:
        assert (one.wait(DEADLINE_S), two.wait(DEADLINE_S)) == (0, 0)
    found = psutil.process_iter(["name", "cwd"])  # a zombie, and a process of others, has no folder here
    servers = [p.pid for p in found if (p.info["name"], p.info["cwd"]) == ("redis-server", str(stack.home / "redis"))]
    assert servers == [status_of(stack, "redis").pid]


@pytest.mark.parametrize("same_start", [True, False], ids=["same start", "other start"])
@pytest.mark.parametrize("ready", [True, False], ids=["ready", "midway"])
def test_a_recycled_pid_is_never_killed(stack: LocalStack, bystander: psutil.Process, *, same_start: bool, ready: bool) -> None:
    """The record names a process that is now somebody else's, even one that started at the very same time."""
    started_s = bystander.create_time() - (0 if same_start else 1000)
    service = {"ports": [1], "token": "0" * 32, "process": {"pid": bystander.pid, "started_s": started_s}, "ready": ready}
    stack.home.mkdir()
    (stack.home / "stack.json").write_text(json.dumps({"services": {"redis": service}}))
    assert status_of(stack, "redis").state == "broken"

    assert stack.down() == ()
    assert bystander.is_running()
    (stack.home / "stack.json").write_text(json.dumps({"services": {"redis": service}}))
    stack.up(("redis",))
    assert status_of(stack, "redis").pid != bystander.pid
    assert stack.down() == ("redis",)
    assert bystander.is_running()
    assert bystander.status() != psutil.STATUS_ZOMBIE


def test_another_port_is_taken_where_the_remembered_one_is_in_use(stack: LocalStack) -> None:
    """The server moves; its data comes along."""
    before = stack.up(("redis",)).redis
    with Redis.from_url(before) as redis:
        redis.set("kept", "yes")
    stack.down()
    with socket.create_server(("127.0.0.1", int(before.rsplit(":", 1)[1].removesuffix("/0")))):
        after = stack.up(("redis",)).redis
        assert after != before
        with Redis.from_url(after) as redis:
            assert redis.get("kept") == b"yes"


def test_a_server_that_ends_while_starting_shows_its_log_and_leaves_nothing(stack: LocalStack) -> None:
    """Redis refuses a damaged file and says why in its log."""
    stack.up(("redis",))
    stack.down()
    (stack.home / "redis" / "appendonly.aof").write_text("not redis\n" * 3)
    with pytest.raises(Stop, match=r"(?s)^redis ended while starting; its log, .*redis\.log, ends with:\n.*Bad file format"):
        stack.up(("redis",))
    assert status_of(stack, "redis").state == "stopped"


def test_a_server_that_died_is_broken_and_the_next_up_mends_it(stack: LocalStack) -> None:
    """Killed from outside, it is started again under its address."""
    before = stack.up(("redis",))
    pid = status_of(stack, "redis").pid
    assert pid is not None
    killed = psutil.Process(pid)
    killed.kill()
    until(lambda: not killed.is_running() or killed.status() == psutil.STATUS_ZOMBIE, "its end: until then it has its port")
    until(lambda: status_of(stack, "redis").state == "broken", "the end to be seen")
    assert stack.up(("redis",)) == before
    assert status_of(stack, "redis").state == "running"


def test_mlflow_serves_its_registry_and_artifacts_under_both_names_of_this_machine(stack: LocalStack) -> None:
    """Its check of the Host header lets localhost and 127.0.0.1 in; its workers end with it."""
    address = stack.up(("mlflow",)).mlflow
    for base in (address, address.replace("127.0.0.1", "localhost")):
        found = httpx.post(f"{base}/api/2.0/mlflow/experiments/search", json={"max_results": 1}).raise_for_status().json()
        assert found["experiments"][0]["artifact_location"].startswith("mlflow-artifacts:/")
        httpx.put(f"{base}/api/2.0/mlflow-artifacts/artifacts/a/b.txt", content=b"kept").raise_for_status()
        assert httpx.get(f"{base}/api/2.0/mlflow-artifacts/artifacts/a/b.txt").content == b"kept"
    assert (stack.home / "mlflow" / "mlflow.db").exists()
    token = recorded(stack)["mlflow"]["token"]
    assert len(processes(token)) > 1
    stack.down()
    assert processes(token) == []


def test_a_fresh_kafka_has_its_group_coordinator(stack: LocalStack, caplog: pytest.LogCaptureFixture) -> None:
    """The first consumer group of a new Kafka is joined at once: nothing is complained of, nothing tried again."""
    asyncio.run(join_a_group(stack.up(("kafka",)).kafka, "first"))
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
