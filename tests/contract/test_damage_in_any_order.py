"""Damage, a reader that marks it, takeovers and beginnings anew, their round trips in any order: who is told to rebuild, and who is not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stream_app.adapters.redis import partition_state
from stream_app.adapters.redis.store import RedisStore
from stream_app.errors import StateError
from stream_app.scoring.ports import Ids
from tests.contract.stores import joined, moved, taken, wrote
from tests.examples import examples
from tests.named_ids import ids_of
from tests.redis_cluster import Client, client_of
from tests.waiting import DEADLINE_S

ASKED: Ids = ids_of(["c1"], ["t1"], [])
OWN: Ids = ids_of(["c2"], [], [])
STEPS = st.lists(st.sampled_from(["reader", "owner", "owner", "harm", "take over", "begin anew"]), max_size=40)
READ_BEFORE = ["harm", "reader", "begin anew", *["owner"] * 12, "reader"]
READ_AMID = ["harm", "begin anew", *["owner"] * 3, "reader", *["owner"] * 9, "reader"]

type Action = Callable[[], Awaitable[None]]


class Actor:
    """One at a time, its round trips to Redis happen when it is told."""

    def __init__(self, store: RedisStore) -> None:
        self._free = True
        self._go = asyncio.Semaphore(0)
        self._stands = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        line_of = store._servers.line

        async def line(tag: str) -> Any:
            made = await line_of(tag)
            vars(made)["round_trip"] = self._gated(made.round_trip)
            return made

        vars(store._servers)["line"] = line

    def _gated(self, trip: Callable[[Any], Awaitable[Any]]) -> Callable[[Any], Awaitable[Any]]:
        async def gated(commands: Any) -> Any:
            if not self._free:
                self._stands.set()
                await self._go.acquire()
            return await trip(commands)

        return gated

    async def step(self, action: Action) -> None:
        """The next round trip of what it is at; where it is at nothing, the first of this."""
        self._free = False
        if self._task is None:
            self._stands.clear()
            self._task = asyncio.create_task(self._through(action))
            await self._stands.wait()
        self._stands.clear()
        self._go.release()
        await self._stands.wait()
        if self._task.done():
            await self.finish()

    async def _through(self, action: Action) -> None:
        try:
            await action()
        finally:
            self._stands.set()

    async def finish(self) -> None:
        """All that is left of what it is at."""
        self._free = True
        task, self._task = self._task, None
        if task is not None:
            self._go.release()
            await task
        self._go = asyncio.Semaphore(0)


class Scene:
    """The owner of partition 1, the owner of partition 0 who reads parts of 1, and one who knows what is in Redis."""

    def __init__(self, url: str, redis: Client) -> None:
        group = f"test-{uuid4().hex}"
        self._key = f"{{{group}:1}}"
        self._redis: Any = redis
        self._stores = RedisStore(url, group), RedisStore(url, group)
        self.reader, self.owner = Actor(self._stores[0]), Actor(self._stores[1])
        self._wishes: list[str] = []
        self._damage_of_now = False

    async def open(self) -> None:
        """Both partitions held."""
        self._other, _ = await taken(self._stores[0], 0, 2)
        self._own, self._cursor = await taken(self._stores[1], 1, 2)

    async def close(self) -> None:
        """No connection left."""
        await asyncio.gather(self.reader.finish(), self.owner.finish(), return_exceptions=True)
        for store in self._stores:
            await store.close()

    async def damaged(self) -> bool:
        """Whether there is a part that nobody can read."""
        return bool(await self._redis.exists(f"{self._key}t:t1"))

    async def take(self, step: str) -> None:
        """One step."""
        if step == "harm":
            await self._redis.set(f"{self._key}t:t1", b"garbage")
            self._damage_of_now = True
        elif step == "reader":
            await self.reader.step(self.read)
        elif step == "owner":
            await self.owner.step(
                {"take over": self._take_over, "begin anew": self._begin_anew}[w] if (w := self._target()) else self.batch
            )
        else:
            self._wishes.append(step)

    def _target(self) -> str:
        return self._wishes.pop(0) if self._wishes and self.owner._task is None else ""

    async def read(self) -> None:
        """The reader's decisions say whether they lack a part."""
        self.degraded = (await self._other.read(ASKED)).seen[0].degraded

    async def batch(self) -> None:
        """The owner's next; told to, it begins anew, and only then there was damage."""
        try:
            work = await self._own.read(OWN)
        except StateError:
            assert self._damage_of_now, "told to rebuild for damage of before"
            await self._begin()
        else:
            self._cursor = moved(self._cursor, self._cursor.transactions + 1)
            await wrote(self._own, work, self._cursor)

    async def _take_over(self) -> None:
        self._own, self._cursor = await joined(self._stores[1], 1)
        self._damage_of_now = await self.damaged()

    async def _begin_anew(self) -> None:
        await self._take_over()
        await self._begin()

    async def _begin(self) -> None:
        await self._own.begin(moved(self._cursor, 0))
        self._damage_of_now = await self.damaged()

    async def marked(self) -> bool:
        """Whether there is a mark."""
        return bool(await self._redis.exists(f"{self._key}damaged"))


async def played(url: str, steps: list[str]) -> None:
    """The steps, and then: what damage is left is found, and mended, in one turn of each."""
    async with client_of(url) as redis, asyncio.timeout(DEADLINE_S):
        scene = Scene(url, redis)
        try:
            await scene.open()
            for step in steps:
                await scene.take(step)
            await scene.reader.finish()
            await scene.owner.finish()
            for _ in range(2):
                await scene.read()
                assert bool(scene.degraded) == await scene.damaged()
                await scene.batch()
                assert not await scene.damaged()
                assert not await scene.marked()
        finally:
            await scene.close()


@pytest.mark.servers
@settings(examples(25), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
@example(steps=READ_BEFORE)
@example(steps=READ_AMID)
def test_who_rebuilds_is_told_of_damage_that_is_there_in_whatever_order_things_happen(redis_url: str, steps: list[str]) -> None:
    """Nobody begins anew for a part that was removed, whenever it was read and whenever its mark comes; damage that is there is found."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partition_state, "_SCAN", 100_000)  # few round trips, whatever else is in this Redis
        asyncio.run(played(redis_url, steps))
