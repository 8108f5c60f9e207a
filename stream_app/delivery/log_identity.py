"""Whether a log still holds what a partition's cursor says was taken from it: told by names of topics, and by the last record that was taken."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from stream_app.delivery.ports import Bounds, Log
from stream_app.delivery.topics import Topics
from stream_app.errors import TopologyError
from stream_app.messages.records import Place
from stream_app.scoring.positions import Cursor, SourceTopics, fingerprint

NEW_GROUP = "Set FRAUDSTREAM_CONSUMER_GROUP to a new name: the worker then begins with the topics as they are now."
_SETTINGS = SourceTopics("FRAUDSTREAM_TRANSACTIONS_TOPIC", "FRAUDSTREAM_LABELS_TOPIC")


def same_topics(cursor: Cursor, number: int, topics: SourceTopics) -> None:
    """Raise TopologyError if the settings name another topic than the one that a partition was taken from: offsets belong to one log."""
    former = sorted((cursor.topic_ids.keys() | cursor.last.keys()) - set(topics))
    if not former:
        return
    known = cursor.topic_ids.keys() | cursor.last.keys()
    now = ", ".join(f"{setting}={topic}" for setting, topic in zip(_SETTINGS, topics, strict=True) if topic not in known)
    raise TopologyError(
        f"Partition {number} of this consumer group was read from topic {', '.join(map(repr, former))}; the settings name another ({now}), in "
        f"which its offsets say nothing. Name the former again, or {NEW_GROUP[0].lower()}{NEW_GROUP[1:]} Labels that it is to know must stand in the "
        "topic that is named."
    )


class LogIdentity:
    """Knows a log again by the last record that was taken from it."""

    def __init__(self, log: Log, topics: Topics) -> None:
        self._log = log
        self._topics = topics.read

    async def known(self, cursor: Cursor, number: int, bounds: Mapping[Place, Bounds]) -> Cursor:
        """The cursor, with the last record of each topic that it does not know one of and that has one just below it.

        A record that is not kept any longer says nothing: retention took it, or compaction.

        Args:
            cursor: of topics that `checked` found to be the same.
            number: of the partition.
            bounds: of its topics.

        Raises:
            TopologyError: if another record stands at its offset, or none: the log was cut there, and has grown again.
            Unavailable: if Kafka does not answer.
        """
        last = {topic: offset - 1 for topic, offset in zip(self._topics, cursor.position, strict=True)}
        last |= {topic: cursor.last[topic].offset for topic in self._topics if topic in cursor.last}
        places = {(t, number): offset for t, offset in last.items() if bounds[t, number].begin <= offset < bounds[t, number].end}
        found = {topic: fingerprint(record) for (topic, _), record in (await self._log.at(places)).items()}
        for topic, _ in places:
            if topic not in cursor.last or found.get(topic) == cursor.last[topic]:
                continue
            if topic not in found and await self._log.compacted(topic):
                continue
            raise _grown_again(number, topic, last[topic])
        return msgspec.structs.replace(cursor, last=found | cursor.last)


def _grown_again(number: int, topic: str, offset: int) -> TopologyError:
    return TopologyError(
        f"Partition {number} of topic {topic!r} was cut and has grown again: at offset {offset}, the last that was taken, stands another record or "
        "none. Records were lost by its brokers (an unclean election, a disk that was restored), and of those that came in their place some "
        f"were not decided. {NEW_GROUP} What is published of the lost ones stands. `fraudstream doctor` says what makes topics lose records."
    )
