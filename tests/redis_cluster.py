"""A real Redis Cluster on this machine: three primaries, and a replica of the first where asked for."""

from __future__ import annotations

import random
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis.asyncio as asynchronous
from redis import Redis
from redis.exceptions import RedisError

from stream_app.local.packages import redis_server
from tests.waiting import until

type Client = asynchronous.Redis | asynchronous.RedisCluster

SLOTS = 16384
CONF = """bind 127.0.0.1
port {port}
cluster-enabled yes
cluster-node-timeout {timeout_ms}
cluster-replica-validity-factor 0
appendonly yes
save ""
"""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Its servers, the primaries first, and their processes."""

    ports: tuple[int, ...]
    processes: tuple[subprocess.Popen[bytes], ...]

    @property
    def url(self) -> str:
        """Of the last server: whoever connects finds the others from it, and it is not one that tests end."""
        return f"redis://127.0.0.1:{self.ports[-1]}/0"

    def end(self, n: int) -> None:
        """Kill a server."""
        self.processes[n].kill()
        self.processes[n].wait()

    def server(self, n: int) -> Any:
        """A client of one server."""
        return Redis(port=self.ports[n])


@contextmanager
def redis_cluster(replicas: int = 0) -> Iterator[Cluster]:
    """A cluster that is ready, ended on leaving."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fraudstream-cluster-")))
        ports = _free_ports(3 + replicas)
        cluster = Cluster(ports, tuple(stack.enter_context(_process(folder, port, 5_000 if replicas else 15_000)) for port in ports))
        servers = [stack.enter_context(cluster.server(n)) for n in range(len(ports))]
        _join(servers, replicas)
        yield cluster


def client_of(url: str) -> Client:
    """A client behind the store's back, of one Redis or of a cluster."""
    with Redis.from_url(url) as server:
        many = server.info("cluster")["cluster_enabled"]
    return (asynchronous.RedisCluster if many else asynchronous.Redis).from_url(url)


async def values_of(client: Client, keys: Sequence[bytes]) -> list[Any]:
    """The values of these keys, wherever they are."""
    if not keys:
        return []
    found: list[Any] = await (client.mget(keys) if isinstance(client, asynchronous.Redis) else client.mget_nonatomic(keys))
    return found


def _free_ports(count: int) -> tuple[int, ...]:
    """Ports that are free, and so is the one 10,000 above each, where the servers of a cluster speak
    with one another; below those that connections take.
    """
    with ExitStack() as held:
        found: list[int] = []
        while len(found) < count:
            port = random.SystemRandom().randrange(20_000, 22_700)
            try:
                for number in (port, port + 10_000):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", number))
            except OSError:
                continue
            found.append(port)
        return tuple(found)


@contextmanager
def _process(folder: Path, port: int, timeout_ms: int) -> Iterator[subprocess.Popen[bytes]]:
    own = folder / str(port)
    own.mkdir()
    (own / "redis.conf").write_text(CONF.format(port=port, timeout_ms=timeout_ms))
    with (own / "log").open("wb") as log, subprocess.Popen([redis_server(), "redis.conf"], cwd=own, stdout=log, stderr=log) as process:
        try:
            yield process
        finally:
            process.kill()


def _join(servers: Sequence[Any], replicas: int) -> None:
    first = servers[0]
    until(lambda: all(_answers(server) for server in servers), "the servers of the cluster answer")
    for n, server in enumerate(servers):
        server.execute_command("CLUSTER SET-CONFIG-EPOCH", n + 1)
    for n, server in enumerate(servers[:3]):
        server.execute_command("CLUSTER ADDSLOTS", *range(n * SLOTS // 3, (n + 1) * SLOTS // 3))
    for server in servers[1:]:
        server.execute_command("CLUSTER MEET", "127.0.0.1", first.connection_pool.connection_kwargs["port"])
    until(lambda: all(_whole(server, len(servers)) for server in servers), "the cluster covers all slots")
    for server in servers[3:]:
        server.execute_command("CLUSTER REPLICATE", first.execute_command("CLUSTER MYID"))
    until(lambda: int(first.info("replication")["connected_slaves"]) == replicas, "the replica follows")


def _answers(server: Redis) -> bool:
    try:
        return bool(server.ping())
    except RedisError:
        return False


def _whole(server: Any, count: int) -> bool:
    info = server.execute_command("CLUSTER INFO")
    return info["cluster_state"] == "ok" and int(info["cluster_known_nodes"]) == count
