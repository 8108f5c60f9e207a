"""The store over a Redis Cluster that changes: a replica takes over, a slot moves, a server evicts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any
from uuid import uuid4

import pytest
from redis.crc import key_slot
from redis.exceptions import MovedError

from stream_app.adapters.redis.store import RedisStore
from stream_app.commands.doctor import examine
from stream_app.delivery.ports import PartitionState
from stream_app.errors import NotOwner, SettingsError, Unavailable
from stream_app.features.plan import NEWEST
from stream_app.scoring.ports import Ids
from stream_app.scoring.positions import Cursor, Position
from stream_app.settings import load_settings
from tests.contract.stores import START, cards, joined, moved, pay, taken, wrote
from tests.named_ids import ids_of
from tests.redis_cluster import SLOTS, Cluster, redis_cluster
from tests.waiting import DEADLINE_S, until

ASKED: Ids = ids_of(["c1"], ["t1"], [])


@pytest.fixture
def replicated() -> Iterator[Cluster]:
    """A cluster whose first primary has a replica."""
    with redis_cluster(replicas=1) as there:
        yield there


def slot_of(group: str, partition: int) -> int:
    """The slot of a partition's keys."""
    return key_slot(f"{{{group}:{partition}}}".encode())


def partition_on(group: str, server: int) -> int:
    """The first partition whose slot a primary was given."""
    return next(p for p in count() if slot_of(group, p) * 3 // SLOTS == server)


async def in_time[T](step: Callable[[], Awaitable[T]]) -> T:
    """The same step again until its servers answer, as the worker does it."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                return await step()
            except Unavailable:
                await asyncio.sleep(0.05)


async def one_payment(cluster: Cluster, group: str) -> tuple[RedisStore, int, PartitionState, Cursor]:
    """A store, and a partition of it on the first primary with one payment."""
    partition = partition_on(group, 0)
    store = RedisStore(cluster.url, group)
    state, cursor = await taken(store, partition, partition + 1)
    work = await state.read(ASKED)
    pay(work, [START])
    await wrote(state, work, moved(cursor, 1))
    return store, partition, state, cursor


async def replicated_payment(cluster: Cluster) -> tuple[RedisStore, int, PartitionState, Cursor]:
    """The same, and the replica has the payment."""
    store, partition, state, cursor = await one_payment(cluster, uuid4().hex)
    assert cluster.server(0).execute_command("WAIT", 1, int(DEADLINE_S * 1000)) == 1
    return store, partition, state, cursor


def test_a_replica_that_takes_over_goes_on_where_the_primary_stood(replicated: Cluster) -> None:
    """The primary is killed after the replica has all: the owner waits, reads on, writes on, and nothing is missing."""

    async def body() -> None:
        store, _, state, cursor = await replicated_payment(replicated)
        work = await state.read(ASKED)
        pay(work, [START + 1])
        packed = state.pack(work, Position(2, 0))
        replicated.end(0)
        with pytest.raises(Unavailable):
            await state.write(packed, moved(cursor, 2))
        await in_time(lambda: state.write(packed, moved(cursor, 2)))
        state.forget()
        assert cards(await in_time(lambda: state.read(ASKED)))[0, NEWEST] == START + 1
        await store.ping()
        await store.close()

    asyncio.run(body())


def test_a_replica_that_lacks_the_last_write_is_an_older_cursor_with_its_state(replicated: Cluster) -> None:
    """It was stopped while the primary wrote on, and takes over: the owner is told, and takes over from the older cursor."""

    async def body() -> None:
        store, partition, state, cursor = await replicated_payment(replicated)
        primary = replicated.server(0)
        primary.config_set("requirepass", "which the replica does not know when it comes back")
        primary.execute_command("CLIENT", "KILL", "TYPE", "replica")
        work = await state.read(ASKED)
        pay(work, [START + 1])
        await wrote(state, work, moved(cursor, 2))
        replicated.end(0)
        with pytest.raises(NotOwner):
            await in_time(lambda: state.read(ASKED))
        again, older = await in_time(lambda: joined(store, partition))
        assert older.transactions == 1
        assert cards(await again.read(ASKED))[0, NEWEST] == START
        await store.close()

    asyncio.run(body())


@dataclass(frozen=True, slots=True)
class Move:
    """A key's slot on its way from one server to another, in the steps of an operator's tool."""

    cluster: Cluster
    key: str
    source: int
    target: int

    @property
    def slot(self) -> int:
        """What moves."""
        return key_slot(self.key.encode())

    def begin(self) -> None:
        """From now on each key is where it was, or already there."""
        one, other = self._servers()
        other.execute_command("CLUSTER SETSLOT", self.slot, "IMPORTING", self._id(self.source))
        one.execute_command("CLUSTER SETSLOT", self.slot, "MIGRATING", self._id(self.target))

    def bring(self, *keys: str | bytes) -> None:
        """Move some keys, or all that are left."""
        one, _ = self._servers()
        keys = keys or tuple(one.execute_command("CLUSTER GETKEYSINSLOT", self.slot, 1000))
        if keys:
            one.execute_command("MIGRATE", "127.0.0.1", self.cluster.ports[self.target], "", 0, 5000, "KEYS", *keys)

    def end(self) -> None:
        """The slot is the target's; the third server has heard of it."""
        for server in reversed(self._servers()):
            server.execute_command("CLUSTER SETSLOT", self.slot, "NODE", self._id(self.target))
        until(self._known, "the third server to hear of it")

    def whole(self) -> None:
        """All of it."""
        self.begin()
        self.bring()
        self.end()

    def _servers(self) -> tuple[Any, Any]:
        return self.cluster.server(self.source), self.cluster.server(self.target)

    def _id(self, server: int) -> str:
        return str(self.cluster.server(server).execute_command("CLUSTER MYID").decode())

    def _known(self) -> bool:
        try:
            self.cluster.server(2).execute_command("GET", self.key)
        except MovedError as moved_to:
            return bool(moved_to.port == self.cluster.ports[self.target])
        return False


def test_a_partition_is_not_begun_anew_while_its_slot_moves(cluster: Cluster, unique: str) -> None:
    """A card has already left: it could not be removed where it was. The partition waits, and then nothing of before is left."""

    async def body() -> None:
        store, partition, state, cursor = await one_payment(cluster, unique)
        move = Move(cluster, f"{{{unique}:{partition}}}", 0, 1)
        move.begin()
        move.bring(f"{move.key}c:c1")
        with pytest.raises(Unavailable, match="moves to another server"):
            await state.begin(moved(cursor, 0))
        move.bring()
        move.end()
        await in_time(lambda: state.begin(moved(cursor, 0)))
        assert not cards(await state.read(ASKED)).any()
        await store.close()

    asyncio.run(body())


@pytest.mark.parametrize("overtaken", [False, True])
def test_a_slot_that_moves_between_read_and_write_leaves_the_guard_standing(*, overtaken: bool) -> None:
    """What was watched at one server is never written at another unwatched, even where the worker already knows the new place."""

    async def body(cluster: Cluster) -> None:
        group = uuid4().hex
        partition, elsewhere = partition_on(group, 0), partition_on(group, 2)
        store, other = RedisStore(cluster.url, group), RedisStore(cluster.url, group)
        store.hold([partition, elsewhere], 1 + max(partition, elsewhere))
        state, cursor = await joined(store, partition)
        neighbour, _ = await joined(store, elsewhere)
        work = await state.read(ASKED)
        pay(work, [START])
        packed = state.pack(work, Position(1, 0))
        Move(cluster, f"{{{group}:{partition}}}", 0, 1).whole()
        if overtaken:
            await taken(other, partition, 1 + max(partition, elsewhere))
        store._servers.look_again()
        await neighbour.read(ids_of(["another"], [], []))
        if overtaken:
            with pytest.raises(NotOwner):
                await in_time(lambda: state.write(packed, moved(cursor, 1)))
        else:
            await in_time(lambda: state.write(packed, moved(cursor, 1)))
        _, stands = await taken(other, partition, 1 + max(partition, elsewhere))
        assert stands.transactions == (0 if overtaken else 1)
        for each in (store, other):
            await each.close()

    with redis_cluster() as cluster:
        asyncio.run(body(cluster))


def test_the_time_is_what_most_servers_say(cluster: Cluster, unique: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three, one whose clock is a day ahead has no say; one that does not tell is told of."""

    async def asked() -> int:
        store = RedisStore(cluster.url, unique)
        try:
            told = await store.info("server")
            next(iter(told.values()))["server_time_usec"] += 86_400_000_000

            async def info(_: str) -> Any:
                return told

            assert abs(await store.now_ms() - time.time() * 1000) < 60_000
            monkeypatch.setattr(store._servers, "info", info)
            now_ms = await store.now_ms()
            del next(iter(told.values()))["server_time_usec"]
            with pytest.raises(SettingsError, match="does not tell its time"):
                await store.now_ms()
        finally:
            await store.close()
        return now_ms

    assert abs(asyncio.run(asked()) - time.time() * 1000) < 60_000


def test_a_server_that_evicts_is_named_wherever_it_is(cluster: Cluster, unique: str) -> None:
    """At the worker's start and by `doctor`: one of three primaries may drop keys."""
    settings = load_settings(redis_url=cluster.url, consumer_group=unique)

    async def refused() -> str:
        store = RedisStore(cluster.url, unique)
        try:
            await store.check()
        finally:
            await store.close()
        return ""

    async def of_redis() -> str:
        return next(finding.text for finding in await examine(settings) if finding.subject == "Redis")

    assert "as a cluster of 3 servers" in asyncio.run(of_redis())
    assert asyncio.run(refused()) == ""
    cluster.server(1).config_set("maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(SettingsError, match=f"127.0.0.1:{cluster.ports[1]}.*allkeys-lru"):
            asyncio.run(refused())
        assert f"127.0.0.1:{cluster.ports[1]} evicts" in asyncio.run(of_redis())
    finally:
        cluster.server(1).config_set("maxmemory-policy", "noeviction")


def test_another_database_than_0_is_refused_with_its_remedy(cluster: Cluster) -> None:
    """A cluster has one."""

    async def body() -> None:
        store = RedisStore(cluster.url.removesuffix("/0") + "/1", "group")
        with pytest.raises(SettingsError, match="/0"):
            await store.ping()
        await store.close()

    asyncio.run(body())


def test_a_cluster_that_is_away_is_unavailable_within_bounded_time() -> None:
    """All its servers are killed: each call says so and does not hang."""

    async def body(cluster: Cluster) -> None:
        store = RedisStore(cluster.url, "group")
        state, cursor = await taken(store, 0, 3)
        for n in range(len(cluster.ports)):
            cluster.end(n)
        for call in (store.ping, lambda: state.read(ASKED), lambda: state.write([], moved(cursor, 1)), lambda: joined(store, 1)):
            with pytest.raises(Unavailable, match="FRAUDSTREAM_REDIS_URL"):
                await call()
        await store.close()

    began = time.monotonic()
    with redis_cluster() as cluster:
        asyncio.run(body(cluster))
    assert time.monotonic() - began < DEADLINE_S
