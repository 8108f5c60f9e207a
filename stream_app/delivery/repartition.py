"""The state of a consumer group made anew under another name: each card's where its payments come, now that there are other partitions.

A worker that rebuilds a partition reads that partition alone. Where partitions were added, a card's next payments come through another
one than those before, so all of them are read together here, and each payment is counted in the partition that its card belongs to now.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from stream_app.delivery.open_transactions import OPEN_FOR_S, what_waits
from stream_app.delivery.outputs import Outputs
from stream_app.delivery.placement import newest_keys
from stream_app.delivery.ports import Bounds, FeatureStore, Log, Packed, PartitionState
from stream_app.delivery.rebuild import Horizon, kept_anew
from stream_app.delivery.takeover import UNFINISHED, checked
from stream_app.delivery.timeline import LogSpans, Moment, Timeline, decoded
from stream_app.delivery.topics import Topics, Topology
from stream_app.errors import TopologyError
from stream_app.features.compute import Computed, compute
from stream_app.features.entities import in_order
from stream_app.features.plan import catalogue_plan
from stream_app.messages.alert import alert_id_of
from stream_app.messages.money import Money
from stream_app.messages.records import Place
from stream_app.scoring.already_published import AlreadyPublished, PublishedDecision, Refusals
from stream_app.scoring.intake import Intake, merge
from stream_app.scoring.outcomes import NO_NOTES, Met, NoteKey, Notes, OutcomeRules, before_each, outcomes_of
from stream_app.scoring.ports import Clock, WorkingSet
from stream_app.scoring.positions import Cursor, Position
from stream_app.scoring.scorer import keep_case
from stream_app.wire.inputs import Inputs

_LOOK_AGAIN_S = 0.5

type Spans = Mapping[Place, Bounds]
type OnProgress = Callable[[int, int], None]
type PublishedDecisions = Mapping[int, Mapping[int, PublishedDecision]]
"""By partition and offset of their payment."""


@dataclass(frozen=True, slots=True)
class RepartitionDependencies:
    """What a repartition works with.

    Attributes:
        old, new: the stores of the group before and after.
        log: as the old group sees it.
        history: opens spans for reading.
        topics, inputs, money, clock: as of the workers.
        partitions: how many the topics have now.
    """

    old: FeatureStore
    new: FeatureStore
    log: Log
    history: Callable[[Spans], AbstractAsyncContextManager[LogSpans]]
    topics: Topics
    inputs: Inputs
    money: Money
    partitions: int
    clock: Clock


@dataclass(frozen=True, slots=True)
class OldGroup:
    """What the old group left.

    Attributes:
        cursors: of each partition: `transactions` and `labels` where the horizon begins, `decided` where the old group stood.
        outputs: of each partition, from where its outputs are looked at for what stands.
        ends: of each place that is read.
        counts: how many partitions there were.
        ids: of the topics that are read.
        refused: of each place that is read, what dead letters stand.
    """

    cursors: Mapping[int, Cursor]
    outputs: Mapping[int, dict[str, int]]
    ends: Mapping[Place, int]
    counts: frozenset[int]
    ids: Mapping[str, str]
    refused: Mapping[Place, Refusals]


@dataclass(frozen=True, slots=True)
class Repartitioned:
    """What was done: records counted, and records left to the workers in partitions that are no longer their cards'."""

    counted: int
    strays: int


class Repartition:
    """Makes the state of the new group. It may be killed and run again: until its last step no worker takes what it made."""

    def __init__(self, dependencies: RepartitionDependencies) -> None:
        self._dependencies = dependencies
        self._states: dict[int, PartitionState] = {}
        self._cursors: dict[int, Cursor] = {}
        self._copied: set[tuple[str, int]] = set()
        self._notes: dict[NoteKey, bytes] = {}

    async def take_over_old_group(self) -> OldGroup:
        """Take the old group's partitions over, so that no worker of it can write any more, and learn what it decided.

        Raises:
            TopologyError: if its topics were made anew since, it is unfinished itself, or a producer's transaction stays open.
            Unavailable: if Kafka or Redis does not answer.
        """
        dependencies, topics = self._dependencies, self._dependencies.topics
        dependencies.old.hold((), dependencies.partitions)
        found = Outputs(dependencies.log)
        horizon = Horizon(dependencies.log, found, topics, dependencies.clock)
        ids = await dependencies.log.topic_ids(topics.read)
        cursors: dict[int, Cursor] = {}
        outputs: dict[int, dict[str, int]] = {}
        ends: dict[Place, int] = {}
        counts = {dependencies.partitions}
        for number in range(dependencies.partitions):
            _, kept = await dependencies.old.take_over(number)
            bounds = await dependencies.log.bounds([(t, number) for t in (*topics.read, *topics.written)])
            if kept.partitions == UNFINISHED:
                raise TopologyError(f"The old group is unfinished itself (partition {number}). Name the group that it was made from.")
            if kept.begun:
                counts |= {kept.partitions} - {0}
                checked(msgspec.structs.replace(kept, partitions=0), number, Topology(topics.read, ids, 0), bounds)
            cursors[number] = await horizon.cursor(number, bounds, ids, kept)
            outputs[number] = cursors[number].outputs | kept.outputs
            ends |= {(t, number): bounds[t, number].end for t in topics.read}
        await self._none_open(ends)
        refused = await found.refusals(topics.dead_letters(cursors), topics.ids_of_read(ids))
        return OldGroup(cursors, outputs, ends, frozenset(counts), ids, refused)

    async def _none_open(self, ends: Mapping[Place, int]) -> None:
        """Wait while a transaction is open below these ends: what stands behind it cannot be read, and would not be moved.

        Raises:
            TopologyError: if it stays open.
        """
        deadline = time.monotonic() + OPEN_FOR_S
        while found := {p: open_ for p, open_ in (await self._dependencies.log.open_transactions(ends)).items() if open_.offset < ends[p]}:
            if time.monotonic() > deadline:
                raise TopologyError(f"{what_waits(*next(iter(found.items())))}. Then run this once more.")
            await asyncio.sleep(_LOOK_AGAIN_S)

    async def sample(self, old_group: OldGroup) -> list[tuple[bytes, int]]:
        """The newest distinct keys, each with the partition of its newest payment."""
        return list((await newest_keys(self._dependencies.log, self._dependencies.topics.transactions, old_group.cursors)).items())

    async def run(self, old_group: OldGroup, home: Callable[[str], int], progress: OnProgress) -> Repartitioned:
        """Make the new group's state.

        1. *begin* each partition, marked unfinished;
        2. *count* all that the old group decided, within the horizon, where each card is now;
        3. *strays*: records that it did not decide and that stand where their card no longer belongs. The worker there decides them with
           a copy of the card as it was before them; they are counted at once for the card's next payments elsewhere, and left to that
           worker at their terminals: counted once in both;
        4. *finish*: each partition goes on from what was decided.

        Args:
            old_group: what the old group left.
            home: the partition of a card.
            progress: told how many records of how many are read.

        Raises:
            TopologyError: if the new group has state already.
            Unavailable: if Kafka or Redis does not answer.
        """
        await self._begin()
        decided, left = self._spans(old_group)
        all_, counted, strays = sum(span.end - span.begin for span in (*decided.values(), *left.values())), 0, 0
        decisions = await self._decisions(old_group)
        async for step in self._steps(decided, old_group, None):
            for number, moments in _by_home(step, home).items():
                await self._count(number, moments, decisions)
            counted += len(step)
            progress(counted, all_)
        async for step in self._steps(left, old_group, self._dependencies.clock.now_ms()):
            astray = [moment for moment in step if home(moment.message.card_id) != moment.place[1]]
            for number, moments in _by_home(astray, home).items():
                await self._count_strays(number, moments, decisions)
            strays += len(astray)
        await self._finish(old_group)
        progress(all_, all_)
        return Repartitioned(counted, strays)

    async def _begin(self) -> None:
        dependencies = self._dependencies
        dependencies.new.hold(range(dependencies.partitions), dependencies.partitions)
        for number in range(dependencies.partitions):
            self._states[number], self._cursors[number] = await dependencies.new.take_over(number)
        there = {cursor.partitions for cursor in self._cursors.values() if cursor.begun}
        if there and UNFINISHED not in there:
            raise TopologyError("The new consumer group has state already: workers may have decided with it. Choose another name.")
        for number, cursor in self._cursors.items():
            self._cursors[number] = msgspec.structs.replace(cursor, transactions=0, partitions=UNFINISHED, begun=True)
            await self._states[number].begin(self._cursors[number])

    def _spans(self, old_group: OldGroup) -> tuple[Spans, Spans]:
        """What was decided, from the horizon on; and what was not."""
        decided: dict[Place, Bounds] = {}
        left: dict[Place, Bounds] = {}
        for number, cursor in old_group.cursors.items():
            for topic, start, end in zip(self._dependencies.topics.read, cursor.position, cursor.decided, strict=True):
                place, last = (topic, number), old_group.ends[topic, number]
                decided |= {place: Bounds(start, end)} if start < end else {}
                left |= {place: Bounds(max(start, end), last)} if max(start, end) < last else {}
        return decided, left

    async def _decisions(self, old_group: OldGroup) -> PublishedDecisions:
        """The alerts of the last day and later: from them the present cases are known again."""
        dependencies = self._dependencies
        ids = dependencies.topics.ids_of_read(old_group.ids)
        starts = {(dependencies.topics.alerts, n): cursor.outputs[dependencies.topics.alerts] for n, cursor in old_group.cursors.items()}
        published = {n: AlreadyPublished(cursor.decided) for n, cursor in old_group.cursors.items()}
        async for (_, number), offset, decision, _ in Outputs(dependencies.log).made(starts, ids, (dependencies.topics.alerts,)):
            if decision is not None:
                published[number].add_alert(offset, decision)
        return {number: of.decisions for number, of in published.items()}

    async def _steps(self, spans: Spans, old_group: OldGroup, now_ms: int | None) -> AsyncIterator[list[Moment]]:
        if not spans:
            return
        dependencies, refused = self._dependencies, {place: old_group.refused[place] for place in spans}
        async with dependencies.history(spans) as history:
            async for step in Timeline(history, refused, dependencies.topics.transactions, dependencies.inputs, now_ms).steps():
                yield step

    async def _count(self, number: int, moments: Sequence[Moment], decisions: PublishedDecisions) -> None:
        intake = self._intake(moments)
        work = await self._states[number].read(intake.ids)
        self._compute(work, intake, moments, decisions)
        await self._write(number, self._packed(number, work), self._noted(intake))

    async def _count_strays(self, number: int, moments: Sequence[Moment], decisions: PublishedDecisions) -> None:
        """Count records for their cards alone, after a copy of each card was left where they stand."""
        intake = _of_cards_alone(self._intake(moments))
        work = await self._states[number].read(intake.ids)
        wanted = dict.fromkeys((m.message.card_id, m.place[1]) for m in moments)
        as_it_was = dict(zip(intake.ids[0], self._packed(number, work), strict=True))
        for card, place in wanted.keys() - self._copied:
            await self._write(place, [as_it_was[card]])
        self._copied |= wanted.keys()
        self._compute(work, intake, moments, decisions)
        await self._write(number, self._packed(number, work), self._noted(intake))

    def _noted(self, intake: Intake) -> Notes:
        """What becomes known of labels: they were judged by the old group, and count once in the new one, whoever sends them again."""
        labels = intake.labels.messages
        notes, _ = outcomes_of(labels, [Met()] * len(labels), self._notes, (), OutcomeRules(self._dependencies.money.unit, again=True))
        self._notes |= notes
        return notes

    def _packed(self, number: int, work: WorkingSet) -> Packed:
        return self._states[number].pack(work, Position(self._cursors[number].transactions, 0))

    async def _write(self, number: int, packed: Packed, notes: Notes = NO_NOTES) -> None:
        """Write under a cursor that changes with each write: so a lost answer can be told."""
        cursor = self._cursors[number]
        self._cursors[number] = msgspec.structs.replace(cursor, transactions=cursor.transactions + 1)
        await self._states[number].write(packed, self._cursors[number], notes)

    async def _finish(self, old_group: OldGroup) -> None:
        full_from_ms = max(cursor.full_from_ms for cursor in old_group.cursors.values())
        for number, old in old_group.cursors.items():
            goes_on = old.position.or_later(old.decided)
            cursor = Cursor(
                owner=self._cursors[number].owner,
                transactions=goes_on.transactions,
                labels=goes_on.labels,
                outputs=old_group.outputs[number],
                decided=old.decided,
                full_from_ms=full_from_ms,
                kept=kept_anew(full_from_ms, self._dependencies.new.entities),
                topic_ids=dict(old_group.ids),
                partitions=self._dependencies.partitions,
                entities=in_order(self._dependencies.new.entities),
            )
            await self._states[number].write([], cursor)

    def _intake(self, moments: Sequence[Moment]) -> Intake:
        intake = merge(*decoded(moments), self._dependencies.money, self._dependencies.new.entities)
        return intake.told(before_each(intake.labels.messages, self._notes))

    def _compute(self, work: WorkingSet, intake: Intake, moments: Sequence[Moment], decisions: PublishedDecisions) -> None:
        computed = compute(catalogue_plan(), intake.events, work.rows, self._dependencies.money.unit)
        _recall_cases(work, intake, computed, [decisions[m.place[1]].get(m.offset) for m in moments if m.is_payment])


def _by_home(moments: Sequence[Moment], home: Callable[[str], int]) -> Mapping[int, list[Moment]]:
    found: dict[int, list[Moment]] = defaultdict(list)
    for moment in moments:
        found[home(moment.message.card_id)].append(moment)
    return found


def _of_cards_alone(intake: Intake) -> Intake:
    """The same where no payment or label counts for a shared entity."""
    events, (cards, *shared) = intake.events, intake.ids
    nowhere = tuple(np.full_like(places, -1) for places in events.entities[1:])
    return replace(intake, events=replace(events, entities=(events.entities[0], *nowhere)), ids=(cards, *([] for _ in shared)))


def _recall_cases(work: WorkingSet, intake: Intake, computed: Computed, decisions: Sequence[PublishedDecision | None]) -> None:
    """Cases of cards as their alerts told them."""
    for row, (tx, decision) in enumerate(zip(intake.payments.messages, decisions, strict=True)):
        event = int(intake.places[row])
        if decision is not None and decision.action is not None and computed.scored[event]:
            keep_case(
                work, int(intake.events.entities[0][event]), decision.case_id or alert_id_of(tx.card_id, tx.transaction_id), tx.event_time
            )
