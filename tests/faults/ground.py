"""The servers of the suite, its own: killed, restarted, emptied, set back; and what the workers left in them."""

from __future__ import annotations

import asyncio
import resource
import shutil
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import psutil
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.protocol.group import LeaveGroupRequest
from redis.asyncio import Redis

from stream_app.adapters.kafka.topics import create_topics
from stream_app.local import servers
from stream_app.local.stack import Addresses, LocalStack, free_ports
from stream_app.settings import Settings
from tests.faults.proxy import HOST, Proxy
from tests.faults.second_broker import make_known

SERVICES = ("kafka", "redis")
_LISTENERS = """
listeners=PLAINTEXT://{host}:{{port}},PROXIED://{host}:{behind},CONTROLLER://{host}:{{controller}}
advertised.listeners=PLAINTEXT://{host}:{{port}},PROXIED://{host}:{before}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT
"""
"""A second listener, whose clients are told to come to the proxy."""
_OF_TOPIC = 1
"""Kafka's number for a setting of the topic itself."""


class Ground:
    """Kafka and Redis of the suite.

    Attributes:
        addresses: where both answer, directly.
        proxied: where both answer through their proxies.
        proxies: by the name of the server.
    """

    def __init__(self, home: Path) -> None:
        self._stack = LocalStack(home)
        self._home = home
        self.addresses = self.proxied = Addresses()
        self.proxies: dict[str, Proxy] = {}

    async def up(self) -> None:
        """Make both run, and a proxy before each."""
        behind, *before = free_ports(3)
        vars(servers)["KAFKA_PROPERTIES"] = _with_proxied_listener(servers.KAFKA_PROPERTIES, behind, before[0])
        self.addresses = await asyncio.to_thread(self._stack.up, SERVICES)
        self.redis = Redis.from_url(self.addresses.redis)
        of_redis = self.addresses.redis.rpartition(":")[2]
        self.proxies = {"kafka": Proxy(before[0], behind), "redis": Proxy(before[1], int(of_redis.partition("/")[0]))}
        self.proxied = Addresses(kafka=f"{HOST}:{before[0]}", redis=self.addresses.redis.replace(of_redis, f"{before[1]}/0"))
        for proxy in self.proxies.values():
            proxy.start()

    async def down(self) -> None:
        """End both."""
        for proxy in self.proxies.values():
            await asyncio.to_thread(proxy.stop)
        await asyncio.to_thread(self._stack.reset)

    @asynccontextmanager
    async def frozen(self, service: str) -> AsyncIterator[None]:
        """One server stands still: its connections stay, and nobody answers."""
        process = self.process(service)
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    async def fill_disk(self) -> None:
        """Kafka can write no byte more, as on a full disk; it ends by itself then."""
        process = self.process("kafka")
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        await asyncio.to_thread(psutil.wait_procs, [process], 60)
        if process.is_running():
            raise AssertionError("Kafka goes on though it can write nothing: the suite is wrong")

    @asynccontextmanager
    async def redis_unsaved(self) -> AsyncIterator[None]:
        """Redis cannot put its file in its place, where a folder lies, and takes no writes for as long."""
        in_its_place = self._files / "dump.rdb"
        in_its_place.mkdir()
        try:
            await self.redis.config_set("save", "3600 1")
            await self._save_redis("err")
            yield
        finally:
            in_its_place.rmdir()
            await self._save_redis("ok")
            await self.redis.config_set("save", "")
            in_its_place.unlink()

    async def _save_redis(self, status: str) -> None:
        await self.redis.bgsave()
        async with asyncio.timeout(60):
            while True:
                told = await self.redis.info("persistence")
                if not told["rdb_bgsave_in_progress"] and told["rdb_last_bgsave_status"] == status:
                    return
                await asyncio.sleep(0.05)

    @asynccontextmanager
    async def topic_config(self, topics: Sequence[str], **changes: str) -> AsyncIterator[None]:
        """Topics with other settings for a while; dots of names are given as `_`. What they had of their own stays."""
        changed = {name.replace("_", "."): value for name, value in changes.items()}
        admin = AIOKafkaAdminClient(bootstrap_servers=self.addresses.kafka)
        await admin.start()
        try:
            own = {topic: await _own_config(admin, topic) for topic in topics}
            await _configure(admin, {topic: config | changed for topic, config in own.items()})
            try:
                yield
            finally:
                await _configure(admin, own)
        finally:
            await admin.close()

    async def kill(self, service: str) -> None:
        """Kill -9 one server and wait until it is gone."""
        process = self.process(service)
        process.kill()
        await asyncio.to_thread(psutil.wait_procs, [process], 10)

    def process(self, service: str) -> psutil.Process:
        """One server."""
        pid = next(s.pid for s in self._stack.status() if s.service == service)
        if pid is None:
            raise AssertionError(f"{service} does not run")
        return psutil.Process(pid)

    async def restart(self) -> None:
        """Start what was killed, on the same ports."""
        await asyncio.to_thread(self._stack.up, SERVICES)
        await self.redis.connection_pool.disconnect()

    def keep_redis(self) -> None:
        """Keep a copy of Redis' append-only files as they are now; the last command may be cut, which Redis mends."""
        shutil.rmtree(self._kept, ignore_errors=True)
        _copy(self._files, self._kept)

    async def roll_back_redis(self) -> None:
        """Kill Redis and start it on the copy."""
        await self.kill("redis")
        for file in _append_only(self._files):
            shutil.rmtree(file) if file.is_dir() else file.unlink()
        _copy(self._kept, self._files)
        await self.restart()

    @property
    def _files(self) -> Path:
        return self._home / "redis"

    @property
    def _kept(self) -> Path:
        return self._home / "kept"

    async def create_topics(self, settings: Settings, partitions: int, copies: int = 1) -> None:
        """The topics of a group. Of two copies of each partition one is away; see `second_broker`."""
        second = self._home / "second-kafka"
        if copies > 1 and not second.exists():
            await make_known(self.addresses.kafka, self._home / "kafka", second)
        await create_topics({"bootstrap_servers": self.addresses.kafka}, settings, partitions, copies)

    async def take_any_time(self, topics: Sequence[str]) -> None:
        """Have topics take records of any time, as brokers before Kafka 4 do."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.addresses.kafka)
        await admin.start()
        try:
            config = {"message.timestamp.after.max.ms": str(2**63 - 1), "retention.ms": "-1"}
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, config) for topic in topics])
        finally:
            await admin.close()

    async def cursors(self, group: str, partitions: int) -> list[Mapping[str, Any]]:
        """The cursor of each partition; empty where there is none that can be read."""
        found = await self.redis.mget([f"{{{group}:{p}}}cursor" for p in range(partitions)])
        return [_decoded(value) for value in found]

    async def forget_members(self, group: str, dead: str) -> None:
        """Tell Kafka that a killed member has left, so that nobody waits for its session to time out."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.addresses.kafka)
        await admin.start()
        try:
            (answer,) = await admin.describe_consumer_groups([group])
            coordinator = await admin.find_coordinator(group)
            members = [m for described in answer.to_object()["groups"] for m in described["members"]]
            for member in members:
                if member["client_id"].startswith(dead):
                    await admin._send_request(LeaveGroupRequest(group, member["member_id"]), coordinator)
        finally:
            await admin.close()


def _with_proxied_listener(properties: str, behind: int, before: int) -> str:
    """The configuration of the local stack, with the second listener."""
    kept = [line for line in properties.splitlines() if not line.startswith(("listeners=", "advertised.listeners="))]
    return "\n".join(kept) + _LISTENERS.format(host=HOST, behind=behind, before=before)


async def _own_config(admin: AIOKafkaAdminClient, topic: str) -> dict[str, str]:
    """What was set for a topic itself."""
    (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    ((code, message, _kind, _topic, entries),) = answer.resources
    if code:
        raise AssertionError(f"{topic}: {message}")
    return {name: value for name, value, _read_only, source, *_ in entries if source == _OF_TOPIC}


async def _configure(admin: AIOKafkaAdminClient, configs: Mapping[str, Mapping[str, str]]) -> None:
    answers = await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, dict(c)) for topic, c in configs.items()])
    for code, message, *_ in (one for answer in answers for one in answer.resources):
        if code:
            raise AssertionError(message)


def _append_only(folder: Path) -> list[Path]:
    """One file before Redis 7, a folder since."""
    return list(folder.glob("appendonly*"))


def _copy(source: Path, target: Path) -> None:
    target.mkdir(exist_ok=True)
    for file in _append_only(source):
        (shutil.copytree if file.is_dir() else shutil.copy)(file, target / file.name)


def _decoded(value: bytes | str | None) -> Mapping[str, Any]:
    try:
        return dict(msgspec.json.decode(value or b"{}"))
    except msgspec.MsgspecError:
        return {}
