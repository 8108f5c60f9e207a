"""Partitions that are taken over again, while others of the worker go on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from stream_app.errors import StateError
from stream_app.holdings import Holdings
from stream_app.ports import Cursor, Place
from stream_app.standing import Standing
from stream_app.takeover import Taken
from stream_app.waiting import Fetched
from tests.unit.delivery import Fuse, World
from tests.unit.test_scorer import FakeRecord, payment

DAMAGED = 1


@dataclass
class Harm:
    """Every partition reads a value of partition 1 that is damaged until that partition is begun anew; all meet it before that."""

    partitions: int
    there: bool = True
    begun_anew: list[int] = field(default_factory=list)
    met: int = 0
    all_met: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self, _ids: Any) -> Any:
        """See `ports.PartitionState`."""
        if self.there:
            self.met += 1
            if self.met == self.partitions:
                self.all_met.set()
            raise StateError("The packed state of 't1' cannot be read.", DAMAGED)
        await asyncio.Event().wait()

    def forget(self) -> None:
        """See `ports.PartitionState`."""

    async def of(self, _number: int, _count: int, *, lost: bool = False, remembered: Cursor | None = None) -> Taken:
        """See `Takeover`."""
        del remembered
        if lost:
            await self.all_met.wait()
            self.begun_anew.append(_number)
            self.there = False
        return Taken(self, Cursor("owner"), Standing())  # type: ignore[arg-type]


async def met_by_all(partitions: int) -> tuple[Harm, list[str], list[set[int]]]:
    """What was begun anew, what ended the worker, what was sought."""
    harm, ended, sought = Harm(partitions), list[str](), list[set[int]]()
    all_taken_again = asyncio.Event()

    async def seek(positions: Mapping[Place, int]) -> None:
        sought.append({number for _, number in positions})
        if set().union(*sought) == set(range(partitions)):
            all_taken_again.set()

    def fatal(error: BaseException, _name: str) -> None:
        ended.append(str(error))
        all_taken_again.set()

    world = World()
    world.store.hold(range(partitions), partitions)
    holdings = Holdings(world.store, world._workplace(harm, Fuse()), seek, fatal)  # type: ignore[arg-type]
    await holdings.take(range(partitions), partitions)
    raw = msgspec.json.encode(payment("T1"))
    for number in range(partitions):
        held = holdings.get(number)
        assert held is not None
        for topic, records in (("labels", []), ("transactions", [FakeRecord(0, b"c1", raw)])):
            held.reached(topic, 1)
            if records:
                held.put(topic, Fetched(records, lambda: None, 1))
    async with asyncio.timeout(10):
        await all_taken_again.wait()
    await holdings.let_go()
    return harm, ended, sought


@pytest.mark.parametrize("partitions", [2, 4])
def test_a_damaged_value_that_every_partition_meets_is_rebuilt_once_and_ends_no_worker(partitions: int) -> None:
    """All fail at once: the damaged partition is begun anew, once; each of the others is taken over again."""
    harm, ended, _ = asyncio.run(met_by_all(partitions))
    assert ended == []
    assert harm.begun_anew == [DAMAGED]
