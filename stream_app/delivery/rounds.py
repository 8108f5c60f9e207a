"""Rounds: the micro-batches of several partitions are read, computed and packed together. What is published and written stays each partition's own.

Most of what a small micro-batch costs is the same for one payment as for twenty: so what is there for any partition is taken together.

    partition 0    takes --.                        .-- publishes -- writes --
    partition 1    takes --+-- read -- compute -----+-- publishes -- writes --
    partition 2    takes --'                        '-- publishes -- writes --
    partition 3                   takes -- waits ------ read -- compute -- …

1. A round is as if its partitions' batches were decided one after the other: each sees what those before it count.
2. Whose read fails, or whose record breaks the program, is found by each partition of the round alone: it fails alone, the others go on.
3. A round takes what waits when it begins, up to `FULL` records. The next one gathers until each partition of a smaller one has written, so that
   all of them go in step, and not each in turn; whoever is late (`LATE_S`) is no longer waited for. A full one holds up nobody, so a backlog is
   computed while others wait for Redis.
4. State that is rebuilt, or decisions that stand, are a round of their own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from stream_app.delivery.inbox import MicroBatch
from stream_app.delivery.ports import FeatureStore, Packed, PartitionState, StateRequest
from stream_app.delivery.retry import with_retries
from stream_app.errors import NotOwner, StateError, Unavailable
from stream_app.messages.money import Money
from stream_app.scoring.already_published import AlreadyPublished
from stream_app.scoring.degraded import full_from
from stream_app.scoring.intake import Intake, merge_all
from stream_app.scoring.observation import Observer
from stream_app.scoring.outcomes import before_each, keys_of
from stream_app.scoring.ports import StateSeen, WorkingSet
from stream_app.scoring.positions import Position
from stream_app.scoring.scorer import Decided, Scorer

_OF_READING = (NotOwner, StateError, Unavailable)
"""What a read fails with, before anything was computed."""
FULL = 250
"""Records: from here on the fixed cost of a round is small beside theirs."""
LATE_S = 0.02
"""From the begin of a round: most have written in a third of that."""


@dataclass(frozen=True, slots=True)
class RoundPart:
    """A partition's micro-batch, as a round takes it.

    Attributes:
        number: of the partition.
        state: of the partition.
        batch: what is decided.
        reached: where the batch ends.
        full_from_ms: before it decisions are degraded, by rule 7 of `partition`.
        published: what stands of the batch, or what was decided before; None where there is nothing of either (rule 4).
    """

    number: int
    state: PartitionState
    batch: MicroBatch
    reached: Position
    full_from_ms: int = 0
    published: AlreadyPublished | None = None


class RoundShare(NamedTuple):
    """What a round made of a partition's micro-batch.

    Attributes:
        decided: the decisions.
        seen: what they had seen.
        packed: the changed state, to be written.
    """

    decided: Decided
    seen: StateSeen
    packed: Packed


@dataclass(frozen=True, slots=True)
class RoundDependencies:
    """What rounds ask of the outside.

    Attributes:
        store: read for all partitions of a round together.
        scorer: asked for each round, so that a model can change between two.
        money: of the amounts.
        topic: of the payments.
        observer: told how long the steps took.
        away: which server does not answer, where somebody else tells of it, or None.
    """

    store: FeatureStore
    scorer: Callable[[], Scorer]
    money: Money
    topic: str
    observer: Observer
    away: Callable[[], str | None] = lambda: None


class Rounds:
    """Gathers the micro-batches of a worker's partitions, by the rules above."""

    def __init__(self, dependencies: RoundDependencies) -> None:
        self._shared = dependencies
        self._waiting: list[tuple[RoundPart, asyncio.Future[RoundShare]]] = []
        self._gathering = False
        self._turn = 0
        self._waited_for: set[int] = set()
        self._under_way: set[asyncio.Task[None]] = set()

    async def decide(self, part: RoundPart) -> RoundShare:
        """What a round makes of a partition's micro-batch.

        Raises:
            FraudstreamError: as `PartitionState.read`, of this partition.
            Exception: whatever one of its records brings about.

        Whoever asked says when it has written, or given up: `written`.
        """
        if part.published is not None:
            (share,) = await self._alone(part)
            return share
        share_of: asyncio.Future[RoundShare] = asyncio.get_running_loop().create_future()
        self._waiting.append((part, share_of))
        self._begin()
        return await share_of

    def written(self, number: int) -> None:
        """A partition is done with what a round made of its micro-batch, well or not."""
        if number in self._waited_for:
            self._waited_for.discard(number)
            if not self._waited_for:
                self._next(self._turn)

    def _begin(self) -> None:
        """Begin the next round, once those who are about to run have put their parts."""
        if self._waiting and not self._gathering:
            self._gathering = True
            asyncio.get_running_loop().call_soon(self._begin_now)

    def _begin_now(self) -> None:
        taken, size = [], 0
        while self._waiting and size < FULL:
            taken.append(self._waiting.pop(0))
            size += len(taken[-1][0].batch)
        taken = [(part, share_of) for part, share_of in taken if not share_of.done()]
        task = asyncio.create_task(self._take(taken))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        if size >= FULL or not taken:
            self._next(self._turn)
            return
        self._waited_for = {part.number for part, _ in taken}
        asyncio.get_running_loop().call_later(LATE_S, self._next, self._turn)

    def _next(self, turn: int) -> None:
        """A turn is over; where that was said before, nothing."""
        if turn == self._turn:
            self._turn += 1
            self._waited_for.clear()
            self._gathering = False
            self._begin()

    async def _take(self, taken: Sequence[tuple[RoundPart, asyncio.Future[RoundShare]]]) -> None:
        if len(taken) > 1:
            try:
                shares = await self._round([part for part, _ in taken])
            except Exception as error:  # noqa: BLE001 - rule 2: whose it is, each of them finds out
                if not isinstance(error, _OF_READING):
                    for part, _ in taken:
                        part.state.forget()
            else:
                for (_, share_of), share in zip(taken, shares, strict=True):
                    _tell(share_of, share)
                return
        await asyncio.gather(*(self._take_alone(part, share_of) for part, share_of in taken))

    async def _take_alone(self, part: RoundPart, share_of: asyncio.Future[RoundShare]) -> None:
        try:
            (share,) = await self._alone(part)
        except Exception as error:  # noqa: BLE001 - the partition's own task deals with it
            _tell(share_of, error)
        else:
            _tell(share_of, share)

    async def give_up(self) -> None:
        """End all rounds: their partitions were let go of."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _alone(self, part: RoundPart) -> list[RoundShare]:
        """A round of one partition, which waits for a store that is away."""
        return await with_retries(lambda: self._round([part]), f"Partition {part.number}", self._shared.away)

    async def _round(self, parts: Sequence[RoundPart]) -> list[RoundShare]:
        """Read, compute, pack: from the answer of the store on, nothing else runs in between."""
        shared, clock = self._shared, time.perf_counter
        intake = merge_all([(part.batch.payments, part.batch.labels) for part in parts], shared.money, shared.store.entities)
        asked = [_asked(part, intake, n) for n, part in enumerate(parts)]
        began = clock()
        work = await (shared.store.read(asked) if len(asked) > 1 else parts[0].state.read(intake.ids, asked[0].noted))
        shared.observer.stage("read", clock() - began)
        work = replace(work, seen=tuple(_doubted(seen, part) for seen, part in zip(work.seen, parts, strict=True)))
        intake = intake.told(_told(parts, work))
        sources = [(shared.topic, part.number) for part in parts]
        decided = shared.scorer().decide_all(intake, work, sources, parts[0].published)
        for stage, seconds in decided[0].seconds.items():
            shared.observer.stage(stage, seconds)
        packed = shared.store.pack(asked, work) if len(asked) > 1 else [parts[0].state.pack(work, parts[0].reached)]
        return list(map(RoundShare, decided, work.seen, packed))


def _asked(part: RoundPart, intake: Intake, n: int) -> StateRequest:
    ids = tuple(names[run] for names, run in zip(intake.ids, intake.shares[n].ids, strict=True))
    return StateRequest(part.state, ids, keys_of(part.batch.labels.messages), part.reached)


def _told(parts: Sequence[RoundPart], work: WorkingSet) -> list[int]:
    """Of each label's transaction the label before, see `Events.told`."""
    return [before for part, seen in zip(parts, work.seen, strict=True) for before in before_each(part.batch.labels.messages, seen.notes)]


def _doubted(seen: StateSeen, part: RoundPart) -> StateSeen:
    """What a partition has seen, degraded by rule 7 of `partition`."""
    times_ms = part.batch.payments.timestamps_ms
    if seen.degraded or not times_ms or not part.full_from_ms or min(times_ms) >= part.full_from_ms:
        return seen
    return replace(seen, degraded=full_from(part.full_from_ms))


def _tell(share_of: asyncio.Future[RoundShare], what: RoundShare | Exception) -> None:
    """The partition may have been let go of meanwhile: then nobody waits."""
    if share_of.done():
        return
    if isinstance(what, Exception):
        share_of.set_exception(what)
    else:
        share_of.set_result(what)
