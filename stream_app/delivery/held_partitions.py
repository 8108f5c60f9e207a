"""The partitions that a worker holds, from takeover to revocation; each has one task."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from loguru import logger

from stream_app.delivery.partition import Partition, PartitionDependencies
from stream_app.delivery.ports import FeatureStore
from stream_app.delivery.retry import with_retries
from stream_app.errors import DamagedAgain, NotOwner, StateError, TopologyError, Unavailable
from stream_app.messages.records import Place
from stream_app.scoring.positions import Cursor

RETAKE_AFTER_S = 2.5
"""Longer than the group's heartbeat: a worker that woke up late learns first that its partitions are another's."""
SETTLE_S = 5.0
ANEW_WHILE_REBUILT = 3
"""So many times a partition is begun anew because its state was damaged while it was rebuilt; then the worker ends. Counted by each worker
from the rebuild's begin, or its own start, to the rebuild's end: one that always breaks at the same place would make progress each time."""
ANEW_AFTER_S = 1.0
"""Before the first of them; twice as long before each next one."""

type Seek = Callable[[Mapping[Place, int]], Awaitable[None]]
type Ended = Callable[[BaseException, str], None]


@dataclass(slots=True)
class _Held:
    """A partition, its task, and whether the consumer reads from its cursor: before that, what is fetched is not for it."""

    partition: Partition
    task: asyncio.Task[None]
    sought: bool = False


class HeldPartitions:
    """Takes partitions over, starts their tasks, and takes one over again where it was lost while Kafka still assigns it."""

    def __init__(self, store: FeatureStore, dependencies: PartitionDependencies, seek: Seek, ended: Ended) -> None:
        """Hold nothing yet.

        Args:
            store: told which partitions are held.
            dependencies: what all partitions share.
            seek: makes the consumer read partitions from other offsets.
            ended: called with the error, and the name of its task, that ends the worker.
        """
        self._store = store
        self._shared = dependencies
        self._seek = seek
        self._ended = ended
        self._held: dict[int, _Held] = {}
        self._remembered: dict[int, Cursor] = {}
        self._anew: dict[int, int] = {}
        self._retakes: set[asyncio.Task[None]] = set()
        self._taking = asyncio.Lock()
        self._assignment = 0
        self._under_way: asyncio.Task[dict[Place, int]] | None = None
        self._count = 0
        self._numbers: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self._held)

    def get(self, number: int) -> Partition | None:
        """The partition, if it is held now and the consumer reads from its cursor."""
        held = self._held.get(number)
        return held.partition if held is not None and held.sought else None

    def held(self) -> dict[int, Partition]:
        """The partitions that are held now, by number."""
        return {number: held.partition for number, held in self._held.items()}

    def lost(self) -> list[int]:
        """Those that are taken over again: their state was not as this worker left it, or is damaged."""
        return sorted(number for number, held in self._held.items() if held.task.done())

    def behind(self) -> int:
        """Transactions of the held partitions that are not decided yet, as far as their ends are known."""
        topic = self._shared.topics.transactions
        ends = ((self._shared.end_of(topic, n), held.partition.undecided(topic).first) for n, held in self._held.items())
        return sum(max(0, end.offset - done) for end, done in ends if end is not None)

    def progress(self) -> int:
        """A number that changes with each batch, each partition that is taken over, each piece of the outputs that is read for it."""
        cursors = [held.partition.cursor for held in self._held.values()]
        return sum(cursor.transactions + cursor.labels for cursor in cursors) + len(cursors) + self._shared.outputs.pieces

    async def take(self, numbers: Collection[int], count: int, seek: Seek) -> dict[Place, int]:
        """Hold these partitions, of `count`, and no others, and have each of their topics read from its cursor; from where.

        Where Kafka assigns anew meanwhile, this is given up: nothing is returned.

        Args:
            numbers: of the partitions.
            count: how many partitions the topics have.
            seek: makes the consumer read the partitions from other offsets, while it is still.

        Raises:
            Stop, Unavailable: as `Takeover.of`.
        """
        await self.let_go()
        assignment = self._assignment
        async with self._taking:
            self._count, self._numbers = count, frozenset(numbers)
            self._store.hold(numbers, count)
            positions: dict[Place, int] = {}
            for number in sorted(numbers):
                self._under_way = asyncio.create_task(self._take(number))
                try:
                    positions |= await self._under_way
                except asyncio.CancelledError:
                    if assignment == self._assignment:
                        raise
                    return {}
            await seek(positions)
            self._now_sought()
        if positions:
            logger.info("Holding {} partitions: {}", len(self._held), sorted(self._held))
        return positions

    async def let_go(self) -> None:
        """End all tasks where they stand, and wait for what they were publishing: the next owner looks for it."""
        self._assignment += 1
        under_way = [*self._retakes, *([self._under_way] if self._under_way else [])]
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        async with self._taking:
            for number in list(self._held):
                await self._drop(number)
            await self._shared.rounds.give_up()
            await self._settle()

    async def _take(self, number: int, *, lost: bool = False) -> dict[Place, int]:
        takeover, topics = self._shared.takeover, self._shared.topics
        remembered = self._remembered.get(number)
        owned = await with_retries(
            lambda: takeover.of(number, self._count, lost=lost, remembered=remembered), f"Partition {number}", self._shared.away
        )
        partition = Partition(number, owned, self._shared, len(self._numbers))
        task = asyncio.create_task(partition.run(), name=partition.name)
        self._held[number] = _Held(partition, task)
        task.add_done_callback(lambda _: self._task_ended(number, partition, task))
        return {(topics.transactions, number): owned.cursor.transactions, (topics.labels, number): owned.cursor.labels}

    def _is_held(self, number: int, partition: Partition) -> bool:
        return number in self._held and self._held[number].partition is partition

    async def _drop(self, number: int) -> None:
        held = self._held.pop(number, None)
        if held is None:
            return
        self._remembered[number] = held.partition.cursor
        if not held.partition.cursor.rebuilding:
            self._anew.pop(number, None)
        held.task.cancel()
        await asyncio.gather(held.task, return_exceptions=True)

    def _now_sought(self) -> None:
        for held in self._held.values():
            held.sought = True

    async def _settle(self) -> None:
        """Wait for what is being published, for a bounded time: a Kafka that is away takes it later, or never."""
        try:
            async with asyncio.timeout(SETTLE_S):
                await self._shared.publisher.settle()
        except (TimeoutError, Unavailable):
            logger.warning(
                "Kafka did not acknowledge in {:.0f} s what was being published: it may arrive twice, under the same ids.", SETTLE_S
            )

    def _task_ended(self, number: int, partition: Partition, task: asyncio.Task[None]) -> None:
        if task.cancelled() or not self._is_held(number, partition):
            return
        error = task.exception()
        if isinstance(error, NotOwner) or (isinstance(error, StateError) and error.partition in self._numbers):
            logger.warning("Partition {} is taken over again: {}", number, error)
            error.__traceback__ = None  # its frames hold the arrays of the batch that failed, while new ones are made
            damaged = self._held.get(error.partition) if isinstance(error, StateError) and error.partition is not None else None
            after_s = self._anew_after_s(damaged.partition) if damaged else RETAKE_AFTER_S
            again = self._take_again(partition, damaged.partition if damaged else None, after_s)
            retake = asyncio.create_task(again, name=f"Taking partition {number} again")
            self._retakes.add(retake)
            retake.add_done_callback(self._retaken)
        elif error is not None:
            self._ended(error, task.get_name())

    def _retaken(self, retake: asyncio.Task[None]) -> None:
        self._retakes.discard(retake)
        if not retake.cancelled() and (error := retake.exception()) is not None:
            self._ended(error, retake.get_name())

    async def _take_again(self, lost: Partition, damaged: Partition | None, after_s: float) -> None:
        """Take a lost partition over again, unless Kafka gives it to another worker first.

        Args:
            lost: whose task ended.
            damaged: the partition whose state cannot be read, itself or another, as it was then: all that read a damaged value fail at
                once, and the first of them has it rebuilt.
            after_s: how long to wait, in which Kafka may give the partition away.

        Raises:
            DamagedAgain: if its state was damaged too often while it was rebuilt.
        """
        await asyncio.sleep(after_s)
        async with self._taking:
            again = [p for p in {lost, damaged} if p is not None and self._is_held(p.number, p)]
            if damaged in again and damaged.cursor.rebuilding:
                self._count_anew(damaged.number)
            if not again:
                return
            for each in again:
                await self._drop(each.number)
            await self._settle()
            positions: dict[Place, int] = {}
            for each in sorted(again, key=lambda p: p.number):
                positions |= await self._take(each.number, lost=each is damaged)
            await self._seek(positions)
            self._now_sought()

    def _anew_after_s(self, damaged: Partition) -> float:
        return ANEW_AFTER_S * 2 ** self._anew.get(damaged.number, 0) if damaged.cursor.rebuilding else 0

    def _count_anew(self, number: int) -> None:
        """A partition is damaged while it is rebuilt: once more, or the end."""
        times = self._anew[number] = self._anew.get(number, 0) + 1
        if times > ANEW_WHILE_REBUILT:
            raise DamagedAgain(
                f"Partition {number} was begun anew {ANEW_WHILE_REBUILT} times while it was rebuilt, and its state is damaged again. Something "
                "else writes its keys in Redis, or Redis or its memory is broken: find out which (lines "
                "before this, here or of other workers, name a card or terminal), then start the worker."
            )
        logger.warning("Partition {} is damaged while it is rebuilt: begun anew, {} of {} times.", number, times, ANEW_WHILE_REBUILT)


def one_count(counts: Mapping[str, int], unequal: Callable[[Mapping[str, int]], str]) -> int:
    """The one number of partitions of all topics.

    Raises:
        TopologyError: if a topic is missing, or they differ.
    """
    missing: Sequence[str] = [t for t, n in counts.items() if not n]
    if missing:
        raise TopologyError(f"Topic {missing[0]!r} does not exist. Create all that are missing: `fraudstream topics --partitions 4`.")
    if len(set(counts.values())) > 1:
        raise TopologyError(unequal(counts))
    return next(iter(counts.values()))
