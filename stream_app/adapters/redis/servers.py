"""Where the keys are: in one Redis, or on the primaries of a Redis Cluster. Which of the two, the server itself says.

On a cluster all that a partition writes lies in one slot, so its transaction is one server's; the parts of other partitions come from
wherever their slots are, each partition's in one command. While a slot moves, or a replica takes over, whoever needs it waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError, ResponseError

from stream_app.adapters.redis.line import FAILURES, Command, IdleLines, RedisLine, exchange
from stream_app.adapters.redis.refusals import redis_error
from stream_app.errors import SettingsError, Unavailable
from stream_app.messages.majority import median

type Line = RedisLine | ClusterLine

_OF_A_LINE = {"socket_timeout": None, "health_check_interval": 0}
"""A check that finds the connection broken would connect again without a word, and without the WATCH."""
_MOST_CONNECTIONS = 10_000
"""As many as a Redis takes by default. Whoever asks bounds how much is asked at once, as the API does; redis-py's own 100 would fail the rest, and
the API's watch with them, as if Redis were away."""
_WITHOUT_KEY = frozenset({"MULTI", "EXEC", "UNWATCH", "SCAN", "CLUSTER"})


class RedisServers:
    """All servers behind FRAUDSTREAM_REDIS_URL."""

    def __init__(self, url: str, answer_within_s: float, connect_within_s: float) -> None:
        """Connect to nothing yet.

        Args:
            url: of one Redis, or of any server of a cluster.
            answer_within_s: timeout of an answer, for what does not go over a line.
            connect_within_s: timeout of a new connection.
        """
        self._url = url
        timeouts = {"socket_timeout": answer_within_s, "socket_connect_timeout": connect_within_s}
        self._options: dict[str, Any] = {**timeouts, "max_connections": _MOST_CONNECTIONS}
        try:
            self._one = Redis.from_url(url, **self._options)
        except (ValueError, TypeError) as error:  # its text names a part of the query, and never a value
            raise SettingsError(f"FRAUDSTREAM_REDIS_URL is wrong: {error} Example: rediss://user:password@redis:6379/0") from None
        self._lines = IdleLines(self._connection, answer_within_s)
        self._cluster: RedisCluster | None = None
        self._known = False
        self._moved = False
        self._looking = asyncio.Lock()

    async def cluster(self) -> RedisCluster | None:
        """The cluster, its slots where they are now; None for one Redis.

        Raises:
            SettingsError: if the URL names a database that a cluster does not have.
            Unavailable: if no server answers.
        """
        if self._moved or not self._known:
            async with self._answering(), asyncio.timeout(self._options["socket_timeout"]), self._looking:
                if not self._known:
                    self._cluster, self._known = await self._found(), True
                elif self._moved:
                    self._moved = False
                    self._cluster = self._cluster and await self._looked_up(self._cluster)
        return self._cluster

    async def _found(self) -> RedisCluster | None:
        """What the URL leads to."""
        try:
            if not (await self._one.info("cluster")).get("cluster_enabled"):
                return None
        except NoPermissionError:  # as an API may be that only reads: a single Redis is assumed
            return None
        except ResponseError as error:
            if "cluster mode" not in str(error):
                raise
            raise SettingsError("FRAUDSTREAM_REDIS_URL names a database, and a Redis Cluster has only one. End the URL in /0.") from None
        try:
            return await RedisCluster.from_url(self._url, **self._options).initialize()
        except TypeError as error:
            raise SettingsError(f"FRAUDSTREAM_REDIS_URL has an option that a Redis Cluster does not take: {error}. Remove it.") from None

    async def _looked_up(self, cluster: RedisCluster) -> RedisCluster | None:
        """The cluster, its slots asked anew; where none of its servers answers, the URL may lead to others."""
        try:
            await cluster.nodes_manager.initialize()
        except FAILURES:
            found = await self._found()
            await _close(cluster)
            return found
        return cluster

    def look_again(self) -> None:
        """A server of the cluster failed or sent one elsewhere: ask where the slots are before the next command."""
        self._moved = True

    async def line(self, tag: str) -> Line:
        """A line of one's own for the keys under a hash tag, and on a cluster to those under others; it connects when first used."""
        return ClusterLine(self, tag) if await self.cluster() else RedisLine(self._connection())

    def _connection(self) -> AbstractConnection:
        """One to the one Redis, for a line."""
        pool = self._one.connection_pool
        connection: AbstractConnection = pool.connection_class(**pool.connection_kwargs | _OF_A_LINE)
        return connection

    async def mget(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values. Those under one hash tag are of one moment; on one Redis, all.

        Raises:
            Unavailable: if Redis does not answer.
        """
        cluster = await self.cluster()
        if cluster:
            async with self._answering():
                return await _mget(cluster, keys)
        (values,) = await self._lines.round_trip([("MGET", *keys)])
        found: list[bytes | None] = values
        return found

    async def ping(self) -> None:
        """Raise Unavailable where a server that holds keys does not answer."""
        cluster = await self.cluster()
        try:
            await (cluster.ping(target_nodes=RedisCluster.PRIMARIES) if cluster else self._one.ping())
        except FAILURES as error:  # lines look again where theirs fail; redis-py looks again by itself
            raise redis_error(error) from None

    async def info(self, section: str) -> dict[str, dict[str, Any]]:
        """A section of INFO of every server, replicas too, by address; "" for one Redis."""
        cluster = await self.cluster()
        async with self._answering():
            if not cluster:
                return {"": await self._one.info(section)}
            return {node.name: await cluster.info(section, target_nodes=node) for node in cluster.get_nodes()}

    async def now_ms(self) -> int:
        """What time it is by the servers' clocks, Unix ms, as most of them say.

        Raises:
            SettingsError: if one does not tell.
            Unavailable: if one does not answer.
        """
        try:
            return median([int(server["server_time_usec"]) // 1000 for server in (await self.info("server")).values()])
        except KeyError:
            told = (
                "Redis at FRAUDSTREAM_REDIS_URL does not tell its time (`redis-cli info server`: server_time_usec). Take a later version."
            )
            raise SettingsError(told) from None

    async def close(self) -> None:
        """Let go of all connections but the lines."""
        if self._cluster:
            await _close(self._cluster)
        await self._lines.close()
        await self._one.aclose()
        await self._one.connection_pool.disconnect()

    @asynccontextmanager
    async def _answering(self) -> AsyncIterator[None]:
        """What Redis or the way to it fails with becomes an error of ours."""
        try:
            yield
        except FAILURES as error:
            self.look_again()
            raise redis_error(error) from None


class ClusterLine:
    """A line to each server of a cluster. The keys of one hash tag stay with one server from failure to failure.

    So a transaction goes where its WATCH went, even where another line has learnt meanwhile that the slot moved: that server refuses it.
    """

    def __init__(self, servers: RedisServers, tag: str) -> None:
        self._servers = servers
        self._tag = tag
        self._home: ClusterNode | None = None
        self._lines: dict[str, RedisLine] = {}
        self.closed = False

    async def round_trip(self, commands: Sequence[Command]) -> list[Any]:
        """See `RedisLine.round_trip`; the answers are in the order of the commands."""
        cluster = await self._servers.cluster()
        if cluster is None or self.closed:
            raise Unavailable("The connections to Redis were given back; their partition is no longer held here.")
        answers: list[Any] = [None] * len(commands)
        try:
            at = self._by_server(cluster, commands)
            parts = [(line, [commands[n] for n in places]) for line, places in at.items()]
            for places, of_server in zip(at.values(), await exchange(parts), strict=True):
                for n, answer in zip(places, of_server, strict=True):
                    answers[n] = answer
        except BaseException as error:
            self._servers.look_again()
            await self._disconnect()
            if isinstance(error, FAILURES):
                raise redis_error(error) from None
            raise
        return answers

    async def whole(self) -> None:
        """Raise Unavailable while the slot moves: what already left could not be removed here, and would come back with it."""
        cluster = await self._servers.cluster()
        (nodes,) = await self.round_trip([("CLUSTER", "NODES")])
        if cluster and f"[{cluster.keyslot(self._tag)}->-".encode() in nodes:
            raise Unavailable(f"The slot of {self._tag} moves to another server of the Redis Cluster. This goes on when it is there.")

    def _by_server(self, cluster: RedisCluster, commands: Sequence[Command]) -> dict[RedisLine, list[int]]:
        """The places of the commands that go over each line."""
        home = self._home or _server_of(cluster, self._tag)
        self._home = home
        at: dict[RedisLine, list[int]] = {}
        for n, command in enumerate(commands):
            tag = self._tag if command[0] in _WITHOUT_KEY else _tag(command[1])
            node = home if tag == self._tag else _server_of(cluster, tag)
            at.setdefault(self._line(node), []).append(n)
        return at

    def _line(self, node: ClusterNode) -> RedisLine:
        line = self._lines.get(node.name)
        if line is None:
            options = node.connection_kwargs | _OF_A_LINE | {"retry": Retry(NoBackoff(), 0)}
            line = self._lines[node.name] = RedisLine(node.connection_class(**options))
        return line

    async def close(self) -> None:
        """Disconnect for good."""
        self.closed = True
        await self._disconnect()

    async def _disconnect(self) -> None:
        """Which ends a WATCH; servers are looked up anew."""
        lines, self._lines, self._home = self._lines, {}, None
        for line in lines.values():
            await line.close()


async def _mget(cluster: RedisCluster, keys: Sequence[str]) -> list[bytes | None]:
    """The values, one MGET a slot. Nothing is asked elsewhere than where it should be: keys on their way are Unavailable, as for a line."""
    at: dict[int, list[int]] = {}
    for n, key in enumerate(keys):
        at.setdefault(cluster.keyslot(key), []).append(n)
    server = cluster.nodes_manager.get_node_from_slot
    asked = [server(slot).execute_command("MGET", *[keys[n] for n in places]) for slot, places in at.items()]
    values: list[bytes | None] = [None] * len(keys)
    for places, found in zip(at.values(), await asyncio.gather(*asked), strict=True):
        for n, value in zip(places, found, strict=True):
            values[n] = value
    return values


async def _close(cluster: RedisCluster) -> None:
    """Also where a failure made redis-py think that it was never open."""
    await cluster.aclose()
    for nodes in ("nodes_cache", "startup_nodes"):
        await cluster.nodes_manager.aclose(nodes)


def _server_of(cluster: RedisCluster, tag: str) -> ClusterNode:
    """The primary that holds the keys under a hash tag."""
    return cluster.nodes_manager.get_node_from_slot(cluster.keyslot(tag))


def _tag(key: str | bytes) -> str:
    """The hash tag that a key begins with."""
    text = key if isinstance(key, str) else key.decode()
    return text[: text.index("}") + 1]
