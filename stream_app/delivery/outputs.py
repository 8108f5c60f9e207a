"""What the output topics hold, read piece by piece: anybody's records may be there, of a megabyte each, and none of their values is kept."""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import NamedTuple

from loguru import logger

from stream_app.delivery.ports import Bounds, Log
from stream_app.delivery.topics import Topics
from stream_app.messages.headers import header
from stream_app.messages.records import Outgoing, Place, Published
from stream_app.scoring.already_published import PublishedDecision, Refusals, of_these_topics, read_decision, source_offset, surely_decided
from stream_app.scoring.positions import START, Cursor, Position
from stream_app.scoring.provenance import SOURCE_RULES

LOOK_BACK = 5_000
"""So many of the last messages of each output are looked at where no cursor says more."""


class PublishedOutput(NamedTuple):
    """An output that was made from these very topics.

    Attributes:
        place: where it stands.
        offset: of the transaction or label that it was made from.
        decision: of an alert or score; None of a dead letter.
        rules_read: what its header `source.rules` says.
    """

    place: Place
    offset: int
    decision: PublishedDecision | None
    rules_read: bytes


class Outputs:
    """Reads outputs. Memory: one piece, and what is said of each method.

    Attributes:
        pieces: read so far: a takeover that reads for long makes progress.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self.pieces = 0

    async def surely_decided(self, starts: Mapping[Place, int], ids: Sequence[str]) -> Position:
        """See `already_published.surely_decided`, of the outputs from these offsets on. Nothing of them is kept."""
        newest = START
        async for _, records in self._walk(starts):
            newest = newest.or_later(surely_decided(records, ids))
        return newest

    async def made(
        self, starts: Mapping[Place, int], ids: Sequence[str], decision_topics: Collection[str]
    ) -> AsyncIterator[PublishedOutput]:
        """The outputs from these offsets on, one by one. Foreign records are passed over, an alert or score without a verdict among them.

        Args:
            starts: where to begin.
            ids: Kafka's ids of transactions and labels.
            decision_topics: names of those topics that hold alerts or scores.
        """
        without: dict[Place, list[int]] = {}
        async for place, records in self._walk(starts):
            for record in of_these_topics(records, ids):
                decision = read_decision(record.value) if place[0] in decision_topics else None
                if decision is None and place[0] in decision_topics:
                    first = without.setdefault(place, [record.offset, 0])
                    first[1] += 1
                elif (offset := source_offset(record.headers)) is not None:
                    yield PublishedOutput(place, offset, decision, header(record.headers, SOURCE_RULES))
        for (topic, number), (first_offset, count) in without.items():
            logger.warning(
                "Topic {!r}, partition {}: {} records have the headers of a decision and hold none, the first at offset {}. They are passed "
                "over, and what they stand for is decided as if they were not there. Only workers may write this topic: see SECURITY.md.",
                topic,
                number,
                count,
                first_offset,
            )

    async def refusals(self, dead_letters: Mapping[Place, Place], ids: Sequence[str]) -> Mapping[Place, Refusals]:
        """What was refused of each place, by all dead letters that are kept. Memory: eight bytes for each.

        Args:
            dead_letters: of each place that is read, where its dead letters go.
            ids: Kafka's ids of transactions and labels.
        """
        found = {letters: array("q") for letters in dead_letters.values()}
        starts = {p: of_log.begin for p, of_log in (await self._log.bounds(found)).items()}
        async for letters, offset, *_ in self.made(starts, ids, ()):
            found[letters].append(offset)
        return {place: Refusals(found[letters]) for place, letters in dead_letters.items()}

    async def missing(self, number: int, cursor: Cursor, topics: Topics, messages: Sequence[Outgoing]) -> list[Outgoing]:
        """Those of the messages of a batch that are not in their topics: asked after a publication of unknown end.

        Args:
            number: of the partition.
            cursor: where it stands: what the outputs hold from there on is looked through.
            topics: of the worker.
            messages: of the batch.
        """
        places = [(topic, number) for topic in {m.topic for m in messages}]
        starts = starts_of(places, cursor.outputs, await self._log.bounds(places))
        wanted = {(m.topic, source_offset(m.headers)) for m in messages}
        made = self.made(starts, topics.ids_of_read(cursor.topic_ids), topics.decisions)
        there = {named async for place, offset, *_ in made if (named := (place[0], offset)) in wanted}
        return [m for m in messages if (m.topic, source_offset(m.headers)) not in there]

    async def _walk(self, starts: Mapping[Place, int]) -> AsyncIterator[tuple[Place, Sequence[Published]]]:
        async for place, records in self._log.walk(starts):
            self.pieces += 1
            yield place, records


def starts_of(places: Sequence[Place], outputs: Mapping[str, int], bounds: Mapping[Place, Bounds]) -> dict[Place, int]:
    """Where to read each output from; an offset beyond the end is of a topic that was made anew since."""
    starts = {}
    for place in places:
        begin, end = bounds[place]
        known = outputs.get(place[0], end + 1)
        starts[place] = max(begin, known if known <= end else end - LOOK_BACK)
    return starts
