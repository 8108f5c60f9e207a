"""Taking a partition over: where to go on, and what stands already. Knows no Kafka, no Redis."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from loguru import logger

from stream_app.delivery.log_identity import NEW_GROUP, LogIdentity, same_topics
from stream_app.delivery.outputs import Outputs, starts_of
from stream_app.delivery.ports import Bounds, FeatureStore, Log, PartitionState
from stream_app.delivery.rebuild import Horizon, kept_anew
from stream_app.delivery.topics import Topics, Topology
from stream_app.errors import TopologyError
from stream_app.features.entities import in_order
from stream_app.features.kept_tiles import goes_on, kept_layouts, kept_text, read_kept
from stream_app.messages.records import Place
from stream_app.scoring.already_published import AlreadyPublished, Refusals, RefusedRecords
from stream_app.scoring.ports import Clock
from stream_app.scoring.positions import Cursor, Position

UNFINISHED = -1
"""In place of a cursor's number of partitions: no worker may use this state."""


@dataclass(frozen=True, slots=True)
class OwnedPartition:
    """A partition in the hands of its new owner."""

    state: PartitionState
    cursor: Cursor
    published: AlreadyPublished


class Takeover:
    """Takes partitions over."""

    def __init__(self, store: FeatureStore, log: Log, outputs: Outputs, topics: Topics, clock: Clock) -> None:
        self._store = store
        self._log = log
        self._outputs = outputs
        self._topics = topics
        self._clock = clock
        self._identity = LogIdentity(log, topics)
        self._horizon = Horizon(log, outputs, topics, clock)
        self._entities = in_order(store.entities)

    async def of(self, number: int, partitions: int, *, lost: bool = False, remembered: Cursor | None = None) -> OwnedPartition:
        """Become the owner of a partition.

        Args:
            number: of the partition.
            partitions: how many the topics have.
            lost: whether its state is known to be damaged, whatever its cursor says.
            remembered: the last cursor that this worker wrote, where it held the partition before.

        Raises:
            TopologyError: if the topics are not those that the state was made from.
            NewerState: if the cursor is of a version that this program cannot read.
            Unavailable: if Redis or Kafka does not answer.
        """
        topics = self._topics
        ids = await self._log.topic_ids(topics.read)
        bounds = await self._log.bounds([(t, number) for t in (*topics.read, *topics.written)])
        state, cursor = await self._store.take_over(number)
        lacking = () if cursor.of_later_layout else cursor.lacks(self._store.entities)
        if cursor.begun and not lost and not lacking:
            found = checked(cursor, number, Topology(topics.read, ids, partitions), bounds)
            cursor = await self._identity.known(found, number, bounds)
            if cursor.noted_from_ms is None:  # written before alerts were noted
                last = await self._horizon.last_decided((topics.transactions, number), cursor.transactions)
                cursor = msgspec.structs.replace(cursor, noted_from_ms=last.newest_ms if last else 0)
            cursor = self._kept(await self._gone_back(number, cursor, bounds))
            if cursor != found:  # of before there were fingerprints or notes, of a version that kept other tiles, or Redis went back
                await state.write([], cursor)
        else:
            of_now = [c for c in (cursor, remembered) if c is not None and c.topic_ids == ids]
            kept = max(of_now, key=lambda c: c.transactions, default=Cursor(""))
            await self._identity.known(kept, number, bounds)
            anew = await self._horizon.cursor(number, bounds, ids, kept)
            if anew.rebuilding:
                logger.warning(
                    "Partition {}: its state {}. It is rebuilt from {} transactions; nothing is published for them again.",
                    number,
                    f"has no {', '.join(lacking)}, which FRAUDSTREAM_ENTITIES asks for"
                    if cursor.begun and not lost
                    else "is not in Redis, or damaged",
                    anew.decided.transactions - anew.transactions,
                )
            full_from_ms = max(anew.full_from_ms, await self._horizon.moved_until(partitions))
            cursor = msgspec.structs.replace(
                anew,
                owner=cursor.owner,
                topic_ids=dict(ids),
                partitions=partitions,
                full_from_ms=full_from_ms,
                kept=kept_anew(full_from_ms, self._store.entities),
                entities=self._entities,
            )
            await state.begin(cursor)
        return OwnedPartition(state, cursor, await self._published(number, cursor, bounds))

    async def _gone_back(self, number: int, cursor: Cursor, bounds: Mapping[Place, Bounds]) -> Cursor:
        """The cursor, with all that the outputs say was decided: Redis may have gone back to a state of before. Those are counted again.

        Were they decided again, however many they are, each would be kept here with its reasons, and meanwhile others would read parts of
        terminals that lack them without a word.
        """
        topics = self._topics
        starts = starts_of([(t, number) for t in topics.written], cursor.outputs, bounds)
        surely = await self._outputs.surely_decided(starts, topics.ids_of_read(cursor.topic_ids))
        ends = Position(*(bounds[t, number].end for t in topics.read))
        decided = cursor.decided.or_later(Position(*map(min, surely, ends)))
        if cursor.position.has_passed(decided):
            return cursor
        if not cursor.rebuilding:
            logger.warning(
                "Partition {}: its state in Redis is of before {} payments that were decided: Redis went back. They are counted again from the "
                "topics; nothing is published for them again.",
                number,
                decided.transactions - cursor.transactions,
            )
        return msgspec.structs.replace(cursor, decided=decided)

    def _kept(self, cursor: Cursor) -> Cursor:
        """The cursor, with what its rows keep from now on: what is kept no more is not counted any more. Those of a later version are not written
        here: what it says of them stands.
        """
        if cursor.of_later_layout:
            return cursor
        kept = goes_on(read_kept(cursor.kept), kept_layouts(self._store.entities), self._clock.now_ms())
        return msgspec.structs.replace(cursor, kept=kept_text(kept), entities=self._entities)

    async def still_there(self, number: int, cursor: Cursor) -> None:
        """Look whether the topics are still those that a partition was taken from.

        Raises:
            TopologyError: if they are not.
            Unavailable: if Kafka does not answer.
        """
        topics = self._topics.read
        ids, bounds = await self._log.topic_ids(topics), await self._log.bounds([(t, number) for t in topics])
        await self._identity.known(checked(cursor, number, Topology(topics, ids, cursor.partitions), bounds), number, bounds)

    async def _published(self, number: int, cursor: Cursor, bounds: Mapping[Place, Bounds]) -> AlreadyPublished:
        """What the outputs hold for offsets at or above the cursor."""
        topics, published = self._topics, AlreadyPublished(cursor.decided)
        ids = topics.ids_of_read(cursor.topic_ids)
        letters = {topics.transactions_dlq: array("q"), topics.labels_dlq: array("q")}
        add = {topics.alerts: published.add_alert, topics.scores: published.add_score}
        starts = starts_of([(t, number) for t in topics.written], cursor.outputs, bounds)
        async for (topic, _), offset, decision, read in self._outputs.made(starts, ids, topics.decisions):
            if offset < (cursor.labels if topic == topics.labels_dlq else cursor.transactions):
                continue
            if decision is None:
                letters[topic].append(offset)
            else:
                add[topic](offset, decision, read)
        if cursor.rebuilding:  # what is counted again was refused long ago
            refused = await self._outputs.refusals(topics.dead_letters([number]), ids)
            published.refused = RefusedRecords(*(refused[topic, number] for topic in topics.read))
        else:
            published.refused = RefusedRecords(Refusals(letters[topics.transactions_dlq]), Refusals(letters[topics.labels_dlq]))
        return published


def checked(cursor: Cursor, number: int, topology: Topology, bounds: Mapping[Place, Bounds]) -> Cursor:
    """The cursor, if it belongs to the topics as they are now.

    Args:
        cursor: as found.
        number: of the partition.
        topology: of now.
        bounds: of the partition's topics.

    Raises:
        TopologyError: if it does not.
    """
    topics, ids, partitions = topology
    _check_count(cursor, partitions)
    same_topics(cursor, number, topics)
    for topic in topics:
        known = cursor.topic_ids.get(topic)
        if known and topic in ids and known != ids[topic]:
            raise TopologyError(f"Topic {topic!r} was deleted and made again since partition {number} was written. {NEW_GROUP}")
    for topic, offset in zip(topics, cursor.position, strict=True):
        begin, end = bounds[topic, number]
        if offset > end:
            raise TopologyError(
                f"Partition {number} was read up to offset {offset} of topic {topic!r}, which ends at {end}: it was cut or made again. {NEW_GROUP}"
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
