"""A worker's life: its model and its partitions. Knows no Faust: `worker.py` connects the two."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from loguru import logger

from stream_app.delivery.held_partitions import HeldPartitions, Seek, one_count
from stream_app.delivery.inbox import Fetched
from stream_app.delivery.partition import Partition, PartitionDependencies
from stream_app.delivery.ports import FeatureStore
from stream_app.delivery.retry import with_retries
from stream_app.errors import FraudstreamError, Refused, Stop, Unavailable
from stream_app.messages.records import Place
from stream_app.scoring.scorer import Scorer
from stream_app.scoring.serving import Serving


@dataclass(frozen=True, slots=True)
class RuntimeDependencies:
    """What the runtime asks of the outside.

    Attributes:
        serving: follows the model's alias; a scorer is bound to what it points to.
        partition_counts: partitions of each topic that exists.
        too_little: what is said of topics that keep less than lost state is rebuilt from, or None.
        seek: makes the consumer read partitions from other offsets.
        on_fatal: called once with the error that ends the worker.
        partitions_changed: called with the number of partitions held.
        hear_witness: has this machine's clock compared with that of a server.
        unequal: what to say of topics that differ in their number of partitions.
    """

    serving: Serving[Scorer]
    partition_counts: Callable[[], Awaitable[Mapping[str, int]]]
    too_little: Callable[[], Awaitable[str | None]]
    seek: Seek
    on_fatal: Callable[[BaseException], None]
    partitions_changed: Callable[[int], None]
    hear_witness: Callable[[], Awaitable[None]]
    unequal: Callable[[Mapping[str, int]], str]


class Runtime:
    """Has the model followed, and hands records to the partitions that are held.

    Not ready, with the reason, until there is a model; records wait in Kafka meanwhile.
    """

    def __init__(
        self, store: FeatureStore, dependencies: Callable[[Callable[[], Scorer]], PartitionDependencies], outside: RuntimeDependencies
    ) -> None:
        self._store = store
        self._outside = outside
        self._serving = outside.serving
        self._dependencies = dependencies(self._serving.present)
        self._held = HeldPartitions(store, self._dependencies, outside.seek, self._fatal)
        self._following: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Check store, clock and topics, then follow the model in the background.

        Raises:
            TopologyError: if topics are missing or differ in their number of partitions.
            SettingsError: if the store may drop what it was given.
            ClockBehind: if this machine's clock would refuse payments that are on time.
            Unavailable: if Kafka or Redis does not answer, or refuses the login.
        """
        await with_retries(self._store.check, "Start", self._dependencies.away, at_start=True)
        await with_retries(self._outside.hear_witness, "Start", self._dependencies.away, at_start=True)
        await with_retries(self._count_partitions, "Start", self._dependencies.away, at_start=True)
        await self._warn_of_retention()
        self._following = asyncio.create_task(self._serving.run(), name="Following the model")
        self._following.add_done_callback(self._no_longer_following)

    async def stop(self) -> None:
        """End all tasks; what they did not write is read again by the next owner."""
        if self._following is not None:
            self._following.cancel()
        await self.revoke()
        await self._store.close()

    def not_ready(self) -> str | None:
        """Why no payment is scored now, or None."""
        if (why := self._serving.why_not_ready) is not None:
            return why
        return None if len(self._held) else "No partition is assigned to this worker."

    def taking_again(self) -> str | None:
        """Which partitions are taken over again, since their state is not as this worker left it; None where none is."""
        lost = ", ".join(map(str, self._held.lost()))
        return f"State in Redis is not as this worker left it: partition {lost} is taken over again." if lost else None

    def held(self) -> dict[int, Partition]:
        """The partitions that are held now, by number."""
        return self._held.held()

    def behind(self) -> int:
        """Transactions of the held partitions that are not decided yet, as far as their ends are known."""
        return self._held.behind()

    def progress(self) -> int:
        """A number that changes with each batch, and within a takeover."""
        return self._held.progress()

    def taker(self, topic: str, partition: int) -> Partition | None:
        """Who takes more records of this partition now; None where it is not held, has no room, or there is no model."""
        held = self._held.get(partition)
        return held if held is not None and self._serving.why_not_ready is None and held.wants(topic) else None

    def submit(self, topic: str, taker: Partition, fetched: Fetched) -> None:
        """Queue records for the partition that asked for them.

        Records that were fetched for one that is no longer held are dropped: whoever holds it now reads from its cursor.
        """
        if self._held.get(taker.number) is taker:
            taker.put(topic, fetched)

    async def assign(self, assigned: set[Place], seek: Seek) -> Mapping[Place, int]:
        """Take over every assigned partition and have each of its topics read from its cursor; from where."""
        await self.revoke()
        count = await with_retries(self._count_partitions, "Assignment", self._dependencies.away)

        async def seek_assigned(positions: Mapping[Place, int]) -> None:
            await seek({place: offset for place, offset in positions.items() if place in assigned})

        positions = await self._held.take({p for _, p in assigned}, count, seek_assigned)
        self._outside.partitions_changed(len(self._held))
        return {place: offset for place, offset in positions.items() if place in assigned}

    async def revoke(self) -> None:
        """Let go of all partitions: their tasks end where they stand; the guarded write makes that safe."""
        await self._held.let_go()
        self._outside.partitions_changed(0)

    async def _count_partitions(self) -> int:
        return one_count(await self._outside.partition_counts(), self._outside.unequal)

    async def _warn_of_retention(self) -> None:
        """A worker works with topics that keep too little, as long as nothing is lost."""
        try:
            said = await self._outside.too_little()
        except (Refused, Unavailable) as error:  # where the brokers tell no configuration to this user
            said = f"it is not known how long topics keep their records: {error}"
        if said:
            logger.warning("Retention: {}", said)

    def _no_longer_following(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fatal(error, task.get_name())

    def _fatal(self, error: BaseException, what: str) -> None:
        if not isinstance(error, FraudstreamError):
            logger.opt(exception=error).error("{} failed", what)
            error = Stop(
                f"{what} failed: {type(error).__name__}: {error}. Nothing of its batch was written; report this with the log above."
            )
        self._outside.on_fatal(error)
