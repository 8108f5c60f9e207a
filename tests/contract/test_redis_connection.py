"""The feature store in Redis where the way to it fails: nothing is lost, nothing written twice, nobody waits for ever."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any
from uuid import uuid4

import pytest
from redis.asyncio import Redis, RedisCluster

from stream_app.adapters.redis.line import RedisLine
from stream_app.adapters.redis.servers import Line, RedisServers
from stream_app.adapters.redis.store import RedisStore
from stream_app.api.limits import MOST_AT_ONCE
from stream_app.errors import Unavailable
from stream_app.features.plan import NEWEST
from tests.contract.stores import START, cards, moved, pay, taken, wrote
from tests.named_ids import ids_of
from tests.redis_cluster import client_of


def test_a_redis_that_is_away_is_unavailable_within_bounded_time() -> None:
    """Nobody listens: each call says so, names the setting, and does not hang."""

    async def body() -> None:
        with socket.socket() as deaf:
            deaf.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
            store = RedisStore(f"redis://127.0.0.1:{deaf.getsockname()[1]}/0", "test")
            for call in (store.ping, lambda: taken(store, 0, 1), lambda: store.info("server")):
                with pytest.raises(Unavailable, match="FRAUDSTREAM_REDIS_URL"):
                    await call()
            await store.close()

    began = time.monotonic()
    asyncio.run(body())
    assert time.monotonic() - began < 60


@pytest.mark.servers
def test_a_batch_costs_two_round_trips(stack: Any) -> None:
    """However many cards, terminals and partitions: the commands of a batch leave in two writes, one to read, one to write."""

    async def body() -> int:
        store = RedisStore(stack.redis, f"test-{uuid4().hex}")
        state: Any
        state, cursor = await taken(store, 0, 8)
        await wrote(state, await state.read(ids_of(["c0"], [], [])), moved(cursor, 1))  # connects
        connection, sent = state._line._connection, 0
        send = connection.send_packed_command

        async def counted(*args: Any, **options: Any) -> Any:
            nonlocal sent
            sent += 1
            return await send(*args, **options)

        connection.send_packed_command = counted
        work = await state.read(ids_of([f"c{i}" for i in range(300)], [f"t{i}" for i in range(200)], []))
        await wrote(state, work, moved(cursor, 2))
        connection.send_packed_command = send
        await store.close()
        return sent

    assert asyncio.run(body()) == 2


@pytest.mark.servers
def test_requests_that_wait_for_a_slow_redis_are_not_told_that_it_is_away(redis_url: str) -> None:
    """Twice as many as the API answers at once, and its watch, while each server pauses: all are answered when it goes on."""

    async def body() -> None:
        servers, client = RedisServers(redis_url, 60, 60), client_of(redis_url)
        await servers.ping()  # now it is known whether it is a cluster
        everywhere = {"target_nodes": "primaries"} if isinstance(client, RedisCluster) else {}
        await client.execute_command("CLIENT", "PAUSE", "500", "ALL", **everywhere)
        key = f"{{test-{uuid4().hex}:0}}c:c1"  # of one server of a cluster
        asked = [servers.mget([key]) for _ in range(2 * MOST_AT_ONCE)]
        answers = await asyncio.gather(*asked, servers.ping())
        assert answers == [[None]] * len(asked) + [None]
        await servers.close()
        await client.aclose()

    asyncio.run(body())


@pytest.mark.servers
def test_a_connection_that_was_ended_while_nobody_used_it_costs_no_read_an_error(stack: Any) -> None:
    """Reads one after the other take one connection; the server ends it, as one does that restarts, and the next read is answered."""

    async def body() -> None:
        servers, client, keys = RedisServers(stack.redis, 60, 60), client_of(stack.redis), [f"test-{uuid4().hex}"]
        for _ in range(3):
            assert await servers.mget(keys) == [None]
        (line,) = servers._lines._idle
        connection: Any = line._connection
        host, port = connection._writer.get_extra_info("sockname")[:2]
        assert await client.execute_command("CLIENT", "KILL", "ADDR", f"{host}:{port}") == 1
        async with asyncio.timeout(30):
            while not await connection.can_read():  # noqa: ASYNC110 - the end of the connection comes when it comes
                await asyncio.sleep(0.01)
        assert await servers.mget(keys) == [None]
        await servers.close()
        await client.aclose()

    asyncio.run(body())


async def disconnect(line: Line) -> None:
    """Break every connection that a partition has."""
    for each in [line] if isinstance(line, RedisLine) else line._lines.values():
        await each.drop()


@pytest.mark.servers
@pytest.mark.parametrize("done", [True, False])
def test_a_write_whose_answer_was_lost_is_done_once(redis_url: str, *, done: bool) -> None:
    """Rule 4 of `store`: the connection breaks after the commands were sent: called again, the write finds what it did, or does it."""

    async def body() -> None:
        store = RedisStore(redis_url, f"test-{uuid4().hex}")
        state: Any
        state, cursor = await taken(store, 0, 1)
        work = await state.read(ids_of(["c1"], ["t1"], []))
        pay(work, [START])
        packed, trip = state.pack(work, (1, 0)), state._line.round_trip

        async def cut(commands: Any) -> Any:
            if done:
                await trip(commands)
            await disconnect(state._line)
            state._line.round_trip = trip
            raise Unavailable("the answer was lost")

        state._line.round_trip = cut
        with pytest.raises(Unavailable):
            await state.write(packed, moved(cursor, 1))
        await state.write(packed, moved(cursor, 1))
        again = await state.read(ids_of(["c1"], ["t1"], []))
        pay(again, [START + 1])
        await wrote(state, again, moved(cursor, 2))
        assert (await taken(store, 0, 1))[1].transactions == 2
        await store.close()

    asyncio.run(body())


@pytest.mark.servers
def test_after_a_lost_connection_the_batch_is_read_and_written_again(stack: Any) -> None:
    """Rules 3 and 4 of `store`: the server cuts the connection between read and write: Unavailable; the same write, called again, goes through."""

    async def body() -> None:
        store = RedisStore(stack.redis, f"test-{uuid4().hex}")
        state: Any
        state, cursor = await taken(store, 0, 1)
        work = await state.read(ids_of(["c1"], ["t1"], []))
        redis: Any
        async with Redis.from_url(stack.redis) as redis:
            connection = state._line._connection
            await connection.send_command("CLIENT", "ID")
            await redis.execute_command("CLIENT", "KILL", "ID", await connection.read_response())
        pay(work, [START])
        packed = state.pack(work, (1, 0))
        with pytest.raises(Unavailable):
            await state.write(packed, moved(cursor, 1))
        await state.write(packed, moved(cursor, 1))
        state.forget()
        assert cards(await state.read(ids_of(["c1"], ["t1"], [])))[0, NEWEST] == START
        await store.close()

    asyncio.run(body())
