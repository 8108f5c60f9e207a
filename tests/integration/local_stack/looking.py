"""Looking at a stack from outside, without the code under test where that matters."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import psutil
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from stream_app.local.processes import TOKEN
from tests.e2e.kafka import make_topic

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stream_app.local.stack import LocalStack, Status

UP = """
import sys
from pathlib import Path
from stream_app.local.stack import LocalStack
LocalStack(Path(sys.argv[1])).up(sys.argv[2].split(","))
"""


def status_of(stack: LocalStack, service: str) -> Status:
    """What the stack says of one server."""
    return next(s for s in stack.status() if s.service == service)


def recorded(stack: LocalStack) -> dict[str, dict[str, Any]]:
    """The services of `stack.json`, as they stand in the file."""
    path = stack.home / "stack.json"
    return dict(json.loads(path.read_text())["services"]) if path.exists() else {}


def processes(token: object) -> list[int]:
    """Every process on the machine that carries the token, found without the code under test."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(TOKEN) == token:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def start_up(stack: LocalStack, services: str) -> subprocess.Popen[bytes]:
    """A process of its own that calls `up`."""
    return subprocess.Popen([sys.executable, "-c", UP, str(stack.home), services])


@asynccontextmanager
async def _admin(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def join_a_group(bootstrap: str, topic: str) -> None:
    """Create the topic and be its one consumer until a partition is assigned."""
    await make_topic(bootstrap, topic, 2)
    async with AIOKafkaConsumer(topic, group_id="a-group", bootstrap_servers=bootstrap) as consumer:
        assert len(consumer.assignment()) > 0


async def offset_of(bootstrap: str, topic: str, size: int, timestamp_ms: int) -> int:
    """Send a record of that size and time to a topic that is there already; its offset."""
    async with _admin(bootstrap) as admin:
        assert topic in await admin.list_topics()
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, max_request_size=size + 1000) as producer:
        return int((await producer.send_and_wait(topic, b"x" * size, partition=0, timestamp_ms=timestamp_ms)).offset)
