"""Two workers over a real Redis: one reads parts of the other's partition that are damaged, and says so, while the other begins it anew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from stream_app.adapters.redis.store import RedisStore
from stream_app.delivery import held_partitions
from stream_app.errors import DamagedAgain
from tests.contract.stores import taken
from tests.integration.test_holdings import PARTITIONS, Fleet
from tests.named_ids import ids_of
from tests.servers import Servers

OWNED = 1
EVERY_S = 0.002
MANY = 20_000
"""Keys: they take the owner some dozen round trips to look through."""
DAMAGED = [f"s{n}" for n in range(50)]
"""Terminals, in any place among the keys: the mark's place is before that of one of them."""
pytestmark = pytest.mark.servers


@pytest.fixture
def fleet(stack: Servers, unique: str, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """The owner of partition 1, whole, with many keys."""
    monkeypatch.setattr(held_partitions, "ANEW_AFTER_S", 0.01)
    fleet = Fleet(stack.redis, f"marks-{unique}", (OWNED,))
    fleet.send(20)
    asyncio.run(fleet.work())
    fleet.redis.mset({f"{{{fleet.group}:{OWNED}}}c:stuffing-{n}": b"a card" for n in range(MANY)})
    return fleet


def damage(fleet: Fleet) -> None:
    """No terminal of the partition can be read."""
    fleet.redis.mset({f"{{{fleet.group}:{OWNED}}}t:{name}": b"garbage" for name in ["t1", *DAMAGED]})


@asynccontextmanager
async def read_beside(fleet: Fleet, each: Callable[[], None]) -> AsyncIterator[None]:
    """Another worker, of partition 0, reads all these terminals every few milliseconds."""
    store = RedisStore(fleet.url, fleet.group)
    state, _ = await taken(store, 0, PARTITIONS)

    async def read_on() -> None:
        while True:
            each()
            await state.read(ids_of([], ["t1", *DAMAGED], []))
            await asyncio.sleep(EVERY_S)

    reading = asyncio.create_task(read_on())
    try:
        yield
    finally:
        reading.cancel()
        (error,) = await asyncio.gather(reading, return_exceptions=True)
        await store.close()
    assert isinstance(error, asyncio.CancelledError), error


async def worked_beside(fleet: Fleet, each: Callable[[], None]) -> None:
    """The owner works until all is decided, or it ended."""
    async with read_beside(fleet, each):
        await fleet.work()


def test_a_reader_that_marks_while_the_owner_begins_anew_stops_nobody(fleet: Fleet, stack: Servers, unique: str) -> None:
    """The partition is rebuilt: everything is decided once, the state is as if nothing had happened, and no mark is left."""
    damage(fleet)
    fleet.send(40)
    asyncio.run(worked_beside(fleet, lambda: None))
    assert fleet.fatal == []
    assert set(fleet.counts().values()) == {1}
    calm = Fleet(stack.redis, f"calm-{unique}", (OWNED,))
    calm.send(60)
    asyncio.run(calm.work())
    assert fleet.state() == calm.state()


def test_what_damages_the_state_all_the_time_ends_the_worker_with_a_code_of_its_own(fleet: Fleet) -> None:
    """A rebuild takes a hundred batches, and is damaged before that: begun anew a few times, it says so."""
    fleet.send(400)
    asyncio.run(fleet.work())
    damage(fleet)
    fleet.send(40)
    asyncio.run(worked_beside(fleet, lambda: damage(fleet)))
    (error,) = fleet.fatal
    assert isinstance(error, DamagedAgain)
    assert f"Partition {OWNED} was begun anew 3 times" in str(error)
