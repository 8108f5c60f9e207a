"""A topic that is published to by key: whose partition a message goes to, Kafka's own default partitioner says (murmur2)."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from stream_app.adapters.kafka.partitioners import by_murmur2
from stream_app.adapters.kafka.publisher import LazyPublisher
from stream_app.adapters.kafka.topics import partition_counts
from stream_app.errors import Refused, Stop, TopologyError
from stream_app.messages.records import Outgoing


class KeyedTopic:
    """Publishes to one topic; how many partitions it has is asked once."""

    def __init__(self, client_options: dict[str, Any], publisher: LazyPublisher, topic: str) -> None:
        self._options = client_options
        self._publisher = publisher
        self._topic = topic
        self._partitions = 0

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        """Publish messages of this topic, each with a key; return when all in-sync replicas have them.

        Raises:
            Unavailable: one was not acknowledged; each may be published or not.
            RecordError: the topic does not take one, that is too large; each of the others may be published or not.
            TopologyError: there is no such topic.
            Refused: Kafka refuses them.
        """
        publisher = await self._publisher.started()
        if not self._partitions:
            self._partitions = (await partition_counts(self._options, [self._topic])).get(self._topic, 0)
        if not self._partitions:
            raise TopologyError(f"Topic {self._topic!r} does not exist. Create all that are missing: `fraudstream topics`.")
        by_partition: defaultdict[int, list[Outgoing]] = defaultdict(list)
        for message in messages:
            by_partition[by_murmur2(message.key or b"", self._partitions)].append(message)
        done = await asyncio.gather(*(publisher.publish(*of) for of in by_partition.items()), return_exceptions=True)
        for error in (found for found in done if isinstance(found, BaseException)):
            if isinstance(error, Stop) and not isinstance(error, Refused | TopologyError):
                await self._publisher.stop()  # brokers lost the order of this producer: the next one begins anew
            raise error
