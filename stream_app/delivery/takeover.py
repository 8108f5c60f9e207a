"""Taking a partition over: where to go on, what stands already, and where to begin again when its state was lost. Knows no Kafka, no Redis."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from loguru import logger

from stream_app.delivery.outputs import Outputs, starts_of
from stream_app.delivery.ports import Bounds, FeatureStore, Log, PartitionState
from stream_app.errors import TopologyError
from stream_app.features.aggregations import DAY_S, HORIZON_S
from stream_app.messages.event_time import EARLIEST_EVENT_TIME_MS
from stream_app.messages.records import Outgoing, Place
from stream_app.scoring.already_published import AlreadyPublished, Refusals, RefusedRecords, source_offset
from stream_app.scoring.majority import MOST, median
from stream_app.scoring.ports import Clock
from stream_app.scoring.positions import Cursor, Position, SourceTopics

MOST_AHEAD_MS = 120_000
"""A transaction's event time lies at most so far ahead of its Kafka timestamp, with room for clocks that differ."""
UNFINISHED = -1
"""In place of a cursor's number of partitions: no worker may use this state."""
LOOK_BACK_ALERTS = 200_000
"""Bound of the alerts of a day, from which the present cases of cards are known again."""
FIRST = 5
"""So many of the first records that a log keeps say when it begins."""


@dataclass(frozen=True, slots=True)
class Topics:
    """Names of the topics that a partition reads and writes; `scores` is empty where they are not published."""

    transactions: str
    labels: str
    alerts: str
    scores: str
    transactions_dlq: str
    labels_dlq: str

    @property
    def read(self) -> SourceTopics:
        """Those that are read."""
        return SourceTopics(self.transactions, self.labels)

    @property
    def decisions(self) -> tuple[str, ...]:
        """Those that decisions are written to."""
        return tuple(t for t in (self.scores, self.alerts) if t)

    @property
    def written(self) -> tuple[str, ...]:
        """Those that are written."""
        return *self.decisions, self.transactions_dlq, self.labels_dlq

    def dead_letters(self, numbers: Iterable[int]) -> dict[Place, Place]:
        """Of each partition that is read, where its dead letters go."""
        pairs = (self.transactions, self.transactions_dlq), (self.labels, self.labels_dlq)
        return {(topic, n): (dead_letters, n) for topic, dead_letters in pairs for n in numbers}


@dataclass(frozen=True, slots=True)
class OwnedPartition:
    """A partition in the hands of its new owner."""

    state: PartitionState
    cursor: Cursor
    published: AlreadyPublished


class Takeover:
    """Takes partitions over."""

    def __init__(self, store: FeatureStore, log: Log, topics: Topics, clock: Clock) -> None:
        self._store = store
        self._log = log
        self._outputs = Outputs(log)
        self._topics = topics
        self._clock = clock

    @property
    def progress(self) -> int:
        """A number that changes with each piece of the outputs that is read: a takeover may take long, and is alive."""
        return self._outputs.pieces

    async def of(self, number: int, partitions: int, *, lost: bool = False, remembered: Cursor | None = None) -> OwnedPartition:
        """Become the owner of a partition.

        Args:
            number: of the partition.
            partitions: how many the topics have.
            lost: whether its state is known to be damaged, whatever its cursor says.
            remembered: the last cursor that this worker wrote, where it held the partition before.

        Raises:
            TopologyError: if the topics are not those that the state was made from.
            StateError: if the cursor is of a version that this program cannot read.
            Unavailable: if Redis or Kafka does not answer.
        """
        topics = self._topics
        ids = await self._log.topic_ids(topics.read)
        bounds = await self._log.bounds([(t, number) for t in (*topics.read, *topics.written)])
        state, cursor = await self._store.take_over(number)
        if cursor.begun and not lost:
            cursor = checked(cursor, number, (topics.read, ids, partitions), bounds)
            if cursor.noted_from_ms is None:  # written before alerts were noted
                _, newest_ms = await self._decided_at((topics.transactions, number), cursor.transactions) or (0, 0)
                cursor = msgspec.structs.replace(cursor, noted_from_ms=newest_ms)
        else:
            of_now = [c for c in (cursor, remembered) if c is not None and c.topic_ids == ids]
            kept = max(of_now, key=lambda c: c.transactions, default=Cursor(""))
            anew = await self.horizon(number, bounds, ids, kept)
            if anew.rebuilding:
                logger.warning(
                    "Partition {}: its state is not in Redis, or damaged. It is rebuilt from {} transactions; nothing is published for them again.",
                    number,
                    anew.decided.transactions - anew.transactions,
                )
            full_from_ms = max(anew.full_from_ms, await self._moved_until(partitions))
            cursor = msgspec.structs.replace(
                anew, owner=cursor.owner, topic_ids=dict(ids), partitions=partitions, full_from_ms=full_from_ms
            )
            await state.begin(cursor)
        return OwnedPartition(state, cursor, await self._published(number, cursor, bounds))

    async def _published(self, number: int, cursor: Cursor, bounds: Mapping[Place, Bounds]) -> AlreadyPublished:
        """What the outputs hold for offsets at or above the cursor."""
        topics, published = self._topics, AlreadyPublished(cursor.decided)
        ids = [cursor.topic_ids.get(t, "") for t in topics.read]
        letters = {topics.transactions_dlq: array("q"), topics.labels_dlq: array("q")}
        starts = starts_of([(t, number) for t in topics.written], cursor.outputs, bounds)
        async for (topic, _), offset, verdict in self._outputs.made(starts, ids, topics.decisions):
            if offset < (cursor.labels if topic == topics.labels_dlq else cursor.transactions):
                continue
            if verdict is None:
                letters[topic].append(offset)
            elif topic == topics.alerts:
                published.add_alert(offset, verdict)
            else:
                published.add_score(offset, verdict)
        if cursor.rebuilding:  # what is counted again was refused long ago
            refused = await self._outputs.refusals(topics.dead_letters([number]), ids)
            published.add_refused(RefusedRecords(*(refused[topic, number] for topic in topics.read)))
        else:
            published.add_refused(RefusedRecords(Refusals(letters[topics.transactions_dlq]), Refusals(letters[topics.labels_dlq])))
        return published

    async def horizon(self, number: int, bounds: Mapping[Place, Bounds], ids: Mapping[str, str], kept: Cursor) -> Cursor:
        """Where to begin again: one horizon before what was decided; the outputs from where they tell the cases of the last day.

        Args:
            number: of the partition.
            bounds: of its topics.
            ids: of the topics that are read.
            kept: the cursor that is known; nothing in it where none is.
        """
        topics, log = self._topics, self._log
        transactions, labels = (topics.transactions, number), (topics.labels, number)
        starts = starts_of([(t, number) for t in topics.written], {}, bounds)
        surely = await self._outputs.surely_decided(starts, [ids.get(t, "") for t in topics.read])
        committed = await log.committed([transactions, labels])
        latest = kept.position.or_later(kept.decided).or_later(surely).or_later(Position(committed[transactions], committed[labels]))
        decided = Position(min(bounds[transactions].end, latest.transactions), min(bounds[labels].end, latest.labels))
        last = await self._decided_at(transactions, decided.transactions)
        if last is None:
            outputs = {t: offset for (t, _), offset in starts.items()}
            return Cursor("", bounds[transactions].begin, bounds[labels].begin, outputs=outputs, decided=decided, noted_from_ms=0)
        last_ms, newest_ms = last
        since_ms = last_ms - HORIZON_S * 1000 - MOST_AHEAD_MS
        alerts = (topics.alerts, number)
        at = await log.from_time({transactions: since_ms, labels: since_ms, alerts: last_ms - DAY_S * 1000 - MOST_AHEAD_MS})
        starts |= {alerts: max(min(at[alerts], starts[alerts]), bounds[alerts].end - LOOK_BACK_ALERTS)}
        return Cursor(
            "",
            transactions=min(at[transactions], decided.transactions),
            labels=min(at[labels], decided.labels),
            outputs={t: offset for (t, _), offset in starts.items()},
            decided=decided,
            noted_from_ms=newest_ms,
            full_from_ms=await self._full_from(transactions, at[transactions], bounds[transactions].begin),
        )

    async def _decided_at(self, transactions: Place, decided: int) -> tuple[int, int] | None:
        """When the last transactions below an offset came, by their Kafka timestamps; None where there is none.

        No record alone says it, nor the clock: both times are not after now.

        Returns:
            as most of them say, from which a horizon is counted back; and the newest of them.
        """
        times_ms = await self._log.timestamps(transactions, decided - MOST, decided)
        if not times_ms and decided:
            times_ms = await self._log.timestamps(transactions, decided, decided + MOST)
        now_ms = self._clock.now_ms()
        return (min(median(times_ms), now_ms), min(max(times_ms), now_ms)) if times_ms else None

    async def _full_from(self, transactions: Place, start: int, first: int) -> int:
        """Event time from which all windows are full; 0 where the log was not cut within the horizon."""
        if not first or start > first:
            return 0
        oldest_ms = await began_ms(self._log, transactions, first, self._clock.now_ms())
        return (oldest_ms or self._clock.now_ms()) + HORIZON_S * 1000 + MOST_AHEAD_MS

    async def _moved_until(self, partitions: int) -> int:
        """Event time from which every window lies in one partition again, where some were added within the horizon; else 0.

        A partition is rebuilt from itself alone, and a card that moved has its earlier payments in another.
        """
        topic = self._topics.transactions
        bounds, now_ms = await self._log.bounds([(topic, number) for number in range(partitions)]), self._clock.now_ms()
        first_ms = {p: at for p, of_log in bounds.items() if (at := await began_ms(self._log, p, of_log.begin, now_ms)) is not None}
        youngest_ms = max((at for p, at in first_ms.items() if not bounds[p].begin), default=0)
        if not youngest_ms or youngest_ms - min(first_ms.values()) <= DAY_S * 1000:
            return 0
        logger.warning(
            "Topic {!r} was given partitions within the last {} days, so what cards paid in others before is missing in a rebuilt one. "
            "To have it at once, stop all workers and run `fraudstream repartition --to NEW_GROUP`.",
            topic,
            HORIZON_S // DAY_S,
        )
        return youngest_ms + HORIZON_S * 1000 + MOST_AHEAD_MS

    async def waiting(self, offsets: Mapping[int, int]) -> int:
        """How many transactions each partition has from an offset on; offsets that hold no record count where others follow.

        Args:
            offsets: by number of the partition.
        """
        places = {(self._topics.transactions, number): offset for number, offset in offsets.items()}
        bounds = await self._log.bounds(places)
        behind = {p: max(offset, bounds[p].begin) for p, offset in places.items() if offset < bounds[p].end}
        return sum([bounds[p].end - offset for p, offset in behind.items() if await self._log.timestamp(p, offset) is not None])

    async def missing(self, number: int, cursor: Cursor, messages: Sequence[Outgoing]) -> list[Outgoing]:
        """Those of the messages of a batch that are not in their topics: asked after a publication of unknown end."""
        places = [(t, number) for t in {m.topic for m in messages}]
        bounds = await self._log.bounds(places)
        starts, ids = starts_of(places, cursor.outputs, bounds), [cursor.topic_ids.get(t, "") for t in self._topics.read]
        wanted = {(m.topic, source_offset(m.headers)) for m in messages}
        made = self._outputs.made(starts, ids, self._topics.decisions)
        there = {named async for place, offset, _ in made if (named := (place[0], offset)) in wanted}
        return [m for m in messages if (m.topic, source_offset(m.headers)) not in there]


async def began_ms(log: Log, place: Place, first: int, now_ms: int) -> int | None:
    """When the records from the first that is kept on came, as most of a few say whose time can be; None where there is none."""
    times_ms = [at for at in await log.timestamps(place, first, first + FIRST) if EARLIEST_EVENT_TIME_MS <= at <= now_ms + DAY_S * 1000]
    return median(times_ms) if times_ms else None


def checked(cursor: Cursor, number: int, now: tuple[Sequence[str], Mapping[str, str], int], bounds: Mapping[Place, Bounds]) -> Cursor:
    """The cursor, if it belongs to the topics as they are now.

    Args:
        cursor: as found.
        number: of the partition.
        now: names of the topics that are read, their ids, how many partitions they have.
        bounds: of the partition's topics.

    Raises:
        TopologyError: if it does not.
    """
    topics, ids, partitions = now
    _check_count(cursor, partitions)
    remedy = "Set FRAUDSTREAM_CONSUMER_GROUP to a new name: the worker then begins with the topics as they are now."
    for topic in topics:
        known = cursor.topic_ids.get(topic)
        if known and topic in ids and known != ids[topic]:
            raise TopologyError(f"Topic {topic!r} was deleted and made again since partition {number} was written. {remedy}")
    for topic, offset in zip(topics, cursor.position, strict=True):
        begin, end = bounds[topic, number]
        if offset > end:
            raise TopologyError(
                f"Partition {number} was read up to offset {offset} of topic {topic!r}, which ends at {end}: it was cut or made again. {remedy}"
            )
        if offset < begin:
            logger.error(
                "Topic {!r} lost {} records of partition {} that were not decided yet: its retention is shorter than the worker was away. "
                "Lengthen retention.ms.",
                topic,
                begin - offset,
                number,
            )
    return msgspec.structs.replace(cursor, topic_ids=dict(ids) or cursor.topic_ids, partitions=partitions)


def _check_count(cursor: Cursor, partitions: int) -> None:
    if cursor.partitions == UNFINISHED:
        raise TopologyError(
            "`fraudstream repartition` has not finished the state of this consumer group. Run it again to its end, then start the workers."
        )
    if cursor.partitions and cursor.partitions != partitions:
        raise TopologyError(
            f"State was written while the topics had {cursor.partitions} partitions; now they have {partitions}, and cards are in others. "
            "Stop all workers, run `fraudstream repartition --to NEW_GROUP`, set FRAUDSTREAM_CONSUMER_GROUP to that name and start them."
        )
