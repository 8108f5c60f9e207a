"""Partitions that are taken over again, while others of the worker go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from stream_app.delivery import held_partitions
from stream_app.delivery.held_partitions import HeldPartitions
from stream_app.delivery.inbox import Fetched
from stream_app.delivery.outputs import Outputs
from stream_app.delivery.takeover import OwnedPartition, Takeover
from stream_app.errors import DamagedAgain, StateError
from stream_app.messages.records import Place
from stream_app.scoring.already_published import AlreadyPublished
from stream_app.scoring.positions import Cursor, Position
from tests.topics import Kept, MemoryTopics
from tests.unit.delivery.world import TOPICS, Fuse, World
from tests.unit.scoring.test_scorer import FakeRecord, payment
from tests.waiting import DEADLINE_S

DAMAGED = 1


@dataclass
class Harm:
    """Every partition reads a value of partition 1 that is damaged until that partition is begun anew; all meet it before that."""

    partitions: int
    there: bool = True
    begun_anew: list[int] = field(default_factory=list)
    met: int = 0
    all_met: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self, _ids: Any, _days: Any = ()) -> Any:
        """See `ports.PartitionState`."""
        if self.there:
            self.met += 1
            if self.met == self.partitions:
                self.all_met.set()
            raise StateError("The packed state of 't1' cannot be read.", DAMAGED)
        await asyncio.Event().wait()

    async def sweep(self, _before_ms: int) -> int:
        """See `ports.PartitionState`."""
        return 0

    def forget(self) -> None:
        """See `ports.PartitionState`."""

    async def of(self, _number: int, _count: int, *, lost: bool = False, remembered: Cursor | None = None) -> OwnedPartition:
        """See `Takeover`."""
        del remembered
        if lost:
            await self.all_met.wait()
            self.begun_anew.append(_number)
            self.there = False
        return OwnedPartition(self, Cursor("owner"), AlreadyPublished())  # type: ignore[arg-type]


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
    held = HeldPartitions(world.store, world._dependencies(harm, Fuse()), seek, fatal)  # type: ignore[arg-type]
    await held.take(range(partitions), partitions, seek)
    raw = msgspec.json.encode(payment("T1"))
    for number in range(partitions):
        one = held.get(number)
        assert one is not None
        one.reached("labels", 1)
        one.put("transactions", Fetched([FakeRecord(0, b"c1", raw)], lambda: None, 1))
    sought.clear()
    all_taken_again.clear()
    async with asyncio.timeout(DEADLINE_S):
        await all_taken_again.wait()
    await held.let_go()
    return harm, ended, sought


@pytest.mark.parametrize("partitions", [2, 4])
def test_a_damaged_value_that_every_partition_meets_is_rebuilt_once_and_ends_no_worker(partitions: int) -> None:
    """All fail at once: the damaged partition is begun anew, once; each of the others is taken over again."""
    harm, ended, _ = asyncio.run(met_by_all(partitions))
    assert ended == []
    assert harm.begun_anew == [DAMAGED]


WHOLE, REBUILDING = Cursor("owner"), Cursor("owner", decided=Position(5, 0))


@dataclass
class Lives(Harm):
    """One partition, which is damaged once for each of these cursors, where it stands then; after that it is sound."""

    cursors: list[Cursor] = field(default_factory=list)
    begun_at_s: list[float] = field(default_factory=list)
    ended: list[BaseException] = field(default_factory=list)
    sound: asyncio.Event = field(default_factory=asyncio.Event)

    async def live(self) -> None:
        """Hold the partition until it is sound, or has ended the worker."""
        world = World()
        world.store.hold([0], 1)
        self.held = HeldPartitions(world.store, world._dependencies(self, Fuse()), self._seek, self._fatal)  # type: ignore[arg-type]
        async with asyncio.timeout(DEADLINE_S):
            await self.held.take([0], 1, self._seek)
            await self.sound.wait()
        await self.held.let_go()

    async def _seek(self, _positions: Mapping[Place, int]) -> None:
        for held in self.held.held().values():
            held.reached("labels", 1)
            held.put("transactions", Fetched([FakeRecord(0, b"c1", msgspec.json.encode(payment("T1")))], lambda: None, 1))

    def _fatal(self, error: BaseException, _name: str) -> None:
        self.ended.append(error)
        self.sound.set()

    async def read(self, _ids: Any, _days: Any = ()) -> Any:
        """See `ports.PartitionState`."""
        if self.cursors:
            self.held.held()[0].cursor = self.cursors.pop(0)
            raise StateError("The packed state of 't1' cannot be read.", 0)
        self.sound.set()
        await asyncio.Event().wait()

    async def of(self, _number: int, _count: int, *, lost: bool = False, remembered: Cursor | None = None) -> OwnedPartition:
        """See `Takeover`."""
        del remembered
        if lost:
            self.begun_at_s.append(asyncio.get_running_loop().time())
        return OwnedPartition(self, REBUILDING, AlreadyPublished())  # type: ignore[arg-type]


@pytest.fixture
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_partitions, "ANEW_AFTER_S", 0.02)


def lived(*cursors: Cursor) -> Lives:
    """What became of a partition that is damaged at these."""
    lives = Lives(1, cursors=list(cursors))
    asyncio.run(lives.live())
    return lives


@pytest.mark.usefixtures("_soon")
def test_damage_amid_a_rebuild_begins_anew_three_times_and_then_ends_the_worker_with_a_code_of_its_own() -> None:
    """It says what to look for; before each time it waits twice as long as before the last."""
    lives = lived(WHOLE, *[REBUILDING] * 4)
    (error,) = lives.ended
    assert isinstance(error, DamagedAgain)
    assert error.exit_code == 73
    assert "Partition 0 was begun anew 3 times" in str(error)
    first, *again = lives.begun_at_s
    assert len(again) == 3
    for n, (before, after) in enumerate(pairwise([first, *again])):
        assert after - before >= 0.02 * 2**n


@pytest.mark.usefixtures("_soon")
def test_a_rebuild_that_is_whole_at_last_ends_nobody_and_the_next_may_be_damaged_as_often() -> None:
    """Three times each: what was counted falls when the state is whole."""
    lives = lived(WHOLE, *[REBUILDING] * 3, WHOLE, *[REBUILDING] * 3)
    assert lives.ended == []
    assert len(lives.begun_at_s) == 8


@dataclass
class SlowTakeover(Harm):
    """The first takeover lasts until it is cancelled; the others are done at once."""

    began: asyncio.Event = field(default_factory=asyncio.Event)
    takeovers: list[int] = field(default_factory=list)

    async def of(self, _number: int, _count: int, *, lost: bool = False, remembered: Cursor | None = None) -> OwnedPartition:
        """See `Takeover`."""
        self.takeovers.append(_number)
        if not self.began.is_set():
            self.began.set()
            await asyncio.Event().wait()
        return await super().of(_number, _count, lost=lost, remembered=remembered)


def test_an_assignment_that_comes_while_another_is_taken_over_takes_its_place() -> None:
    """The older one is given up and seeks nothing: no partition is ever held twice, none is read from the older one's offsets."""
    sought = list[set[int]]()

    async def seek(positions: Mapping[Place, int]) -> None:
        sought.append({number for _, number in positions})

    async def assigned_twice() -> tuple[Mapping[Place, int], Mapping[Place, int], int]:
        slow, world = SlowTakeover(2), World()
        held = HeldPartitions(world.store, world._dependencies(slow, Fuse()), seek, lambda *_: None)  # type: ignore[arg-type]
        older = asyncio.create_task(held.take((0, 1), 2, seek))
        await slow.began.wait()
        newer = await held.take((1,), 2, seek)
        count = len(held)
        await held.let_go()
        return await older, newer, count

    async def bounded() -> tuple[Mapping[Place, int], Mapping[Place, int], int]:
        async with asyncio.timeout(DEADLINE_S):
            return await assigned_twice()

    older, newer, held = asyncio.run(bounded())
    assert (older, {number for _, number in newer}, held, sought) == ({}, {1}, 1, [{1}])


def test_a_takeover_that_reads_its_outputs_for_long_makes_progress() -> None:
    """The watchdog sees it with each piece, while the partitions that were taken before wait for the seek."""
    seen = list[int]()

    class Watched(MemoryTopics):
        async def walk(self, starts: Mapping[Place, int]) -> AsyncIterator[tuple[Place, Sequence[Kept]]]:
            async for piece in super().walk(starts):
                seen.append(held.progress())
                yield piece

    world = World(topics=Watched())
    for number in (0, 1):
        for _ in range(6):
            world.topics.append(("dlq", number), b"k", b"of another program")
    world.store.fuse = Fuse()
    outputs = Outputs(world.topics)
    takeover = Takeover(world.store, world.topics, outputs, TOPICS, world.clock)
    dependencies = replace(world._dependencies(takeover, Fuse()), outputs=outputs)
    held = HeldPartitions(world.store, dependencies, _nothing, lambda *_: None)

    async def taken() -> None:
        await held.take((0, 1), 2, _nothing)
        seen.append(held.progress())
        await held.let_go()

    asyncio.run(taken())
    assert len(seen) > 12
    assert all(before < after for before, after in pairwise(seen))


def test_a_partition_is_given_records_only_after_the_seek() -> None:
    """What is fetched while the consumer is not yet at the cursor is nobody's."""

    async def looked_at() -> list[bool]:
        world, given = World(), list[bool]()
        held = HeldPartitions(world.store, world._dependencies(Harm(1, there=False), Fuse()), _nothing, lambda *_: None)  # type: ignore[arg-type]

        async def seek(_positions: Mapping[Place, int]) -> None:
            given.append(held.get(0) is not None)

        await held.take((0,), 1, seek)
        given.append(held.get(0) is not None)
        await held.let_go()
        return given

    assert asyncio.run(looked_at()) == [False, True]


async def _nothing(_positions: Mapping[Place, int]) -> None:
    """Seek nothing."""
