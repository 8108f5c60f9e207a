"""The servers of the suite, its own: killed, restarted, emptied, set back; and what the workers left in them."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import psutil
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.protocol.group import LeaveGroupRequest
from redis.asyncio import Redis

from stream_app.adapters.kafka.topics import create_topics
from stream_app.local.stack import Addresses, LocalStack
from stream_app.settings import Settings

SERVICES = ("kafka", "redis")


class Ground:
    """Kafka and Redis of the suite."""

    def __init__(self, home: Path) -> None:
        self._stack = LocalStack(home)
        self._home = home
        self.addresses = Addresses()

    async def up(self) -> None:
        """Make both run."""
        self.addresses = await asyncio.to_thread(self._stack.up, SERVICES)
        self.redis = Redis.from_url(self.addresses.redis)

    async def down(self) -> None:
        """End both."""
        await asyncio.to_thread(self._stack.reset)

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

    async def create_topics(self, settings: Settings, partitions: int) -> None:
        """The topics of a group."""
        await create_topics({"bootstrap_servers": self.addresses.kafka}, settings, partitions)

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
