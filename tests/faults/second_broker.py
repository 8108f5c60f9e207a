"""A second broker that the first one's cluster knows of, and that is away: topics of two copies have one in step then, as after a loss."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from stream_app.local import packages, processes
from stream_app.local.jars import kafka_jars
from stream_app.local.stack import free_ports
from tests.faults.proxy import HOST

_WITHIN_S = 90.0
_PROPERTIES = """
process.roles=broker
node.id=2
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{host}:{port}
advertised.listeners=PLAINTEXT://{host}:{port}
log.dirs=data
"""


async def make_known(kafka: str, first: Path, folder: Path) -> None:
    """Have a second broker join for a moment, and leave.

    Args:
        kafka: where the first one answers.
        first: its folder.
        folder: of the second one; made here.
    """
    java, log = _prepare(first, folder), folder / "kafka.log"
    with log.open("ab") as output:
        broker = await asyncio.create_subprocess_exec(*java, "kafka.Kafka", "server.properties", cwd=folder, stdout=output, stderr=output)
    try:
        await _until_brokers(kafka, 2)
        broker.terminate()
        await _until_brokers(kafka, 1)
    finally:
        with suppress(ProcessLookupError):
            broker.kill()
        await broker.wait()


def _prepare(first: Path, folder: Path) -> list[str]:
    """Its folder, formatted; the command that starts a program of Kafka there."""
    folder.mkdir()
    (port,) = free_ports(1)
    voters, cluster = _of(first / "server.properties", "controller.quorum.voters"), _of(first / "data" / "meta.properties", "cluster.id")
    (folder / "server.properties").write_text(_PROPERTIES.format(voters=voters, host=HOST, port=port))
    java, log = [str(packages.java()), "-Xmx200m", "-cp", f"{kafka_jars()}/*"], folder / "kafka.log"
    form = ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "--config=server.properties"]
    if not processes.run([*java, *form], folder, log, processes.environment("", {}), _WITHIN_S):
        raise AssertionError(log.read_text())
    return java


async def _until_brokers(kafka: str, count: int) -> None:
    async with asyncio.timeout(_WITHIN_S):
        while await _brokers(kafka) != count:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.2)


async def _brokers(kafka: str) -> int:
    """How many are there; 0: it was the one that left that was asked."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        with suppress(KafkaError):
            return len((await admin.describe_cluster())["brokers"])
        return 0
    finally:
        await admin.close()


def _of(file: Path, name: str) -> str:
    return next(line.partition("=")[2] for line in file.read_text().splitlines() if line.startswith(f"{name}="))
