"""A worker's life: its model, its partitions, their tasks. Knows no Faust: `worker.py` connects the two."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from loguru import logger

from stream_app.errors import FraudstreamError, ModelError, Stop, TopologyError, Unavailable
from stream_app.partition import Partition, Workplace
from stream_app.ports import FeatureStore, Record
from stream_app.scorer import Scorer
from stream_app.waiting import Fetched

_MODEL_RETRY_S = 2.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the runtime asks of the outside.

    Attributes:
        load_scorer: fetches the model behind the alias and binds a scorer to it; runs in a thread.
        partition_counts: partitions of each topic that exists.
        on_fatal: called once with the error that ends the worker.
        partitions_changed: called with the number of partitions held.
        unequal: what to say of topics that differ in their number of partitions.
    """

    load_scorer: Callable[[], Scorer]
    partition_counts: Callable[[], Awaitable[Mapping[str, int]]]
    on_fatal: Callable[[BaseException], None]
    partitions_changed: Callable[[int], None]
    unequal: Callable[[Mapping[str, int]], str]


class Runtime:
    """Holds partitions from takeover to revocation; each has one task.

    Not ready, with the reason, until there is a model; records wait in Kafka meanwhile.
    """

    def __init__(self, store: FeatureStore, workplace: Callable[[Callable[[], Scorer]], Workplace], outside: Surroundings) -> None:
        self._store = store
        self._outside = outside
        self._scorer: Scorer | None = None
        self._why_not_ready = "No model is loaded yet."
        self._workplace = workplace(self._present_scorer)
        self._partitions: dict[int, Partition] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._loading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Check store and topics, then load the model in the background.

        Raises:
            TopologyError: if topics are missing or differ in their number of partitions.
            Unavailable: if Kafka or Redis does not answer.
        """
        await self._store.ping()
        await self._check_topics()
        self._loading = asyncio.create_task(self._load_model())
        self._loading.add_done_callback(self._ended)

    async def stop(self) -> None:
        """End all tasks; what they did not write is read again by the next owner."""
        if self._loading is not None:
            self._loading.cancel()
        await self.revoke()
        await self._store.close()

    def not_ready(self) -> str | None:
        """Why no payment is scored now, or None."""
        if self._scorer is None:
            return self._why_not_ready
        return None if self._partitions else "No partition is assigned to this worker."

    def behind(self) -> int:
        """Transactions of the held partitions that are not decided yet, as far as their ends are known."""
        topic = self._workplace.topics.transactions
        ends = ((self._workplace.end_offset(topic, n), held.cursor.transactions) for n, held in self._partitions.items())
        return sum(max(0, end - done) for end, done in ends if end is not None)

    def wants(self, topic: str, partition: int) -> bool:
        """Whether more records of this partition can be taken now."""
        held = self._partitions.get(partition)
        return self._scorer is not None and held is not None and held.wants(topic)

    def submit(self, topic: str, partition: int, records: Sequence[Record], done: Callable[[], None]) -> None:
        """Queue records of a partition; `done` is called when their effects stand. Records of one that is not held are dropped."""
        held = self._partitions.get(partition)
        if held is not None:
            held.put(topic, Fetched(records, done))

    async def positions(self, assigned: set[tuple[str, int]]) -> Mapping[tuple[str, int], int]:
        """Take over every assigned partition; where to read each of its topics from."""
        await self.revoke()
        counts = await self._check_topics()
        topics = self._workplace.topics
        positions: dict[tuple[str, int], int] = {}
        owned = {p for _, p in assigned}
        self._store.hold(owned, counts)
        for number in sorted(owned):
            state, cursor = await self._store.take_over(number)
            if not cursor.begun:
                cursor = msgspec.structs.replace(cursor, begun=True, partitions=counts)
                await state.begin(cursor)
            partition = Partition(number, state, cursor, self._workplace)
            self._partitions[number] = partition
            task = asyncio.create_task(partition.run(), name=f"partition-{number}")
            task.add_done_callback(self._ended)
            self._tasks[number] = task
            positions |= {(topics.transactions, number): cursor.transactions, (topics.labels, number): cursor.labels}
        self._outside.partitions_changed(len(self._partitions))
        if positions:
            logger.info("Holding {} partitions: {}", len(self._partitions), sorted(self._partitions))
        return {tp: offset for tp, offset in positions.items() if tp in assigned}

    async def revoke(self) -> None:
        """Let go of all partitions: their tasks end where they stand; the guarded write makes that safe."""
        tasks = list(self._tasks.values())
        self._partitions.clear()
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._outside.partitions_changed(0)

    async def _check_topics(self) -> int:
        """All topics exist with one number of partitions; return it."""
        counts = await self._outside.partition_counts()
        missing = [t for t, n in counts.items() if not n]
        if missing:
            raise TopologyError(f"Topic {missing[0]!r} does not exist. Create all that are missing: `fraudstream topics --partitions 4`.")
        if len(set(counts.values())) > 1:
            raise TopologyError(self._outside.unequal(counts))
        return next(iter(counts.values()))

    async def _load_model(self) -> None:
        """Try until there is a model: MLflow may be started after the worker."""
        said = ""
        while True:
            try:
                self._scorer = await asyncio.to_thread(self._outside.load_scorer)
            except (Unavailable, ModelError) as error:
                self._why_not_ready = str(error)
                if self._why_not_ready != said:
                    logger.warning("Not ready: {}", error)
                said = self._why_not_ready
                await asyncio.sleep(_MODEL_RETRY_S)
            else:
                return

    def _present_scorer(self) -> Scorer:
        if self._scorer is None:
            raise Unavailable("No model is loaded yet.")
        return self._scorer

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            return
        if not isinstance(error, FraudstreamError):
            logger.opt(exception=error).error("{} failed", task.get_name())
            error = Stop(
                f"{task.get_name()} failed: {type(error).__name__}: {error}. Nothing of its batch was written; report this with the log above."
            )
        self._outside.on_fatal(error)
