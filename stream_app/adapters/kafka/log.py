"""Reading Kafka's logs outside the consumer group: where they begin and end, what the outputs hold, what the group committed."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError, IncompatibleBrokerVersion

from stream_app.adapters.kafka.consumer import new_consumer
from stream_app.adapters.kafka.errors import answering
from stream_app.adapters.kafka.refusals import no_right
from stream_app.adapters.kafka.topic_ids import TopicIdsRequest
from stream_app.adapters.kafka.topics import topic_configs
from stream_app.delivery.ports import Bounds, OpenTransaction
from stream_app.messages.records import Place, Published, Record

_ANSWER_S = 30.0
_NO_OFFSET = -1


class KafkaLog:
    """See `ports.Log`. Each call connects anew: takeovers are rare, and nothing is left open between them."""

    def __init__(self, client_options: dict[str, Any], group: str, whole: Collection[str] = ()) -> None:
        """Read by these options.

        Args:
            client_options: how to reach the brokers.
            group: the consumer group.
            whole: topics that are read whole, whatever transaction is open or aborted there, as outputs are.
        """
        self._options = client_options
        self._group = group
        self._whole = frozenset(whole)

    async def bounds(self, places: Collection[Place]) -> Mapping[Place, Bounds]:
        """See `ports.Log`."""
        async with self._consumer() as consumer:
            return await _bounds(consumer, places)

    async def walk(self, starts: Mapping[Place, int]) -> AsyncIterator[tuple[Place, Sequence[Published]]]:
        """See `ports.Log`."""
        ends = {p: of_log.end for p, of_log in (await self._readable(starts)).items()}
        open_ = {p: start for p, start in starts.items() if start < ends[p]}
        if not open_:
            return
        async with self._consumer(open_, within_s=None, committed=self._committed(open_)) as consumer:
            heard = time.monotonic()
            while open_:
                batches = await consumer.getmany(*[TopicPartition(*p) for p in open_], timeout_ms=200)
                for at, records in batches.items():
                    yield (at.topic, at.partition), [r for r in records if r.offset < ends[at.topic, at.partition]]
                for place in [p for p in open_ if await consumer.position(TopicPartition(*p)) >= ends[p]]:
                    del open_[place]
                heard = time.monotonic() if batches else heard
                if time.monotonic() > heard + _ANSWER_S:
                    raise TimeoutError

    async def from_time(self, times_ms: Mapping[Place, int]) -> Mapping[Place, int]:
        """See `ports.Log`."""
        async with self._consumer() as consumer:
            bounds = await _bounds(consumer, times_ms)
            found = await consumer.offsets_for_times({TopicPartition(*p): max(0, at) for p, at in times_ms.items()})
            return {p: bounds[p].end if (at := found[TopicPartition(*p)]) is None else at.offset for p in times_ms}

    async def timestamp(self, place: Place, offset: int) -> int | None:
        """See `ports.Log`."""
        begin, end = (await self._readable([place]))[place]
        return await self._first_timestamp(place, Bounds(max(begin, offset), end), committed=self._committed([place]))

    async def timestamps(self, spans: Mapping[Place, tuple[int, int]]) -> Mapping[Place, Sequence[int]]:
        """See `ports.Log`. One consumer for all: a worker asks for every partition of a topic, and making a consumer takes longer than reading."""
        bounds, found = await self.bounds(spans), {place: list[int]() for place in spans}
        starts = {place: max(bounds[place].begin, start) for place, (start, _) in spans.items()}
        ends = {place: min(bounds[place].end, end) for place, (_, end) in spans.items()}
        left = {place: start for place, start in starts.items() if start < ends[place]}
        if not left:
            return found
        async with self._consumer(left) as consumer:
            while left:
                of_each = await consumer.getmany(*[TopicPartition(*p) for p in left], timeout_ms=200)
                for at, records in of_each.items():
                    place = (at.topic, at.partition)
                    found[place] += [int(r.timestamp) for r in records if r.offset < ends[place]]
                for place in [p for p in left if await consumer.position(TopicPartition(*p)) >= ends[p]]:
                    del left[place]
        return found

    async def at(self, offsets: Mapping[Place, int]) -> Mapping[Place, Record]:
        """See `ports.Log`."""
        found: dict[Place, Record] = {}
        if not offsets:
            return found
        async with self._consumer(offsets) as consumer:
            left = dict(offsets)
            while left:
                batches = await consumer.getmany(*[TopicPartition(*p) for p in left], timeout_ms=200, max_records=1)
                for at, records in batches.items():
                    place = (at.topic, at.partition)
                    found.update((place, record) for record in records if record.offset == offsets[place])
                for place in [p for p in left if await consumer.position(TopicPartition(*p)) > offsets[p]]:
                    del left[place]
        return found

    async def compacted(self, topic: str) -> bool:
        """See `ports.Log`."""
        return "compact" in (await topic_configs(self._options, [topic]))[topic].cleanup

    async def open_transactions(self, places: Collection[Place]) -> Mapping[Place, OpenTransaction]:
        """See `ports.Log`."""
        written = await self.bounds(places)
        async with self._consumer(committed=True) as consumer:
            stable = {p: of_log.end for p, of_log in (await _bounds(consumer, places)).items()}
        found: dict[Place, OpenTransaction] = {}
        for place, end in stable.items():
            if end < written[place].end:
                since_ms = await self._first_timestamp(place, Bounds(end, written[place].end), committed=False)
                found |= {} if since_ms is None else {place: OpenTransaction(end, since_ms)}
        return found

    async def committed(self, places: Collection[Place]) -> Mapping[Place, int]:
        """See `ports.Log`."""
        async with self._admin() as admin:
            try:
                found = await admin.list_consumer_group_offsets(self._group, partitions=[TopicPartition(*p) for p in places])
            except GroupCoordinatorNotAvailableError:  # no group has committed anything in this cluster yet
                found = {}
        offsets = {(at.topic, at.partition): kept.offset for at, kept in found.items()}
        return {p: max(0, offsets.get(p, _NO_OFFSET)) for p in places}

    async def topic_ids(self, topics: Collection[str]) -> Mapping[str, str]:
        """See `ports.Log`."""
        async with self._admin() as admin:
            try:
                # aiokafka's own metadata request knows no topic ids; its client sends any request of this form
                answer = await admin._send_request(TopicIdsRequest(topics))  # noqa: SLF001
            except (IncompatibleBrokerVersion, NotImplementedError):
                return {}
        return {t["name"]: uuid.UUID(bytes=t["topic_id"]).hex for t in answer.to_object()["topics"] if not t["error_code"]}

    def _committed(self, places: Collection[Place]) -> bool:
        return not all(topic in self._whole for topic, _ in places)

    async def _readable(self, places: Collection[Place]) -> Mapping[Place, Bounds]:
        """From the first record that is kept to the end of what can be read now: of an input, its first open transaction."""
        async with self._consumer(committed=self._committed(places)) as consumer:
            return await _bounds(consumer, places)

    async def _first_timestamp(self, place: Place, span: Bounds, *, committed: bool) -> int | None:
        at = TopicPartition(*place)
        async with self._consumer({place: span.begin}, committed=committed) as consumer:
            while await consumer.position(at) < span.end:  # an offset may hold the mark of a transaction, which is no record
                found = await consumer.getmany(at, timeout_ms=200, max_records=1)
                if found:
                    return int(found[at][0].timestamp)
        return None

    @asynccontextmanager
    async def _consumer(
        self, starts: Mapping[Place, int] | None = None, within_s: float | None = _ANSWER_S, *, committed: bool = False
    ) -> AsyncIterator[AIOKafkaConsumer]:
        """A consumer; with `starts` it reads from there. It is assigned once: aiokafka 0.14 may never fetch for a second assignment."""
        consumer = new_consumer(self._options, committed=committed, auto_offset_reset="none", fetch_max_wait_ms=50)
        async with _answering(within_s):
            try:
                async with asyncio.timeout(_ANSWER_S):
                    await consumer.start()
                await asyncio.sleep(0)  # a consumer that is stopped before its tasks took a first step raises CancelledError
                if starts:
                    consumer.assign([TopicPartition(*p) for p in starts])
                    for place, start in starts.items():
                        consumer.seek(TopicPartition(*place), start)
                yield consumer
            except TimeoutError:
                if refused := consumer._client.cluster.unauthorized_topics:  # noqa: SLF001 - aiokafka waits for them to be known, for ever
                    raise no_right("DESCRIBE", "topic", ", ".join(sorted(refused))) from None
                raise
            finally:
                await consumer.stop()

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        admin = AIOKafkaAdminClient(**self._options)
        async with _answering(_ANSWER_S):
            try:
                await admin.start()
                yield admin
            finally:
                await admin.close()


@asynccontextmanager
async def _answering(within_s: float | None) -> AsyncIterator[None]:
    with answering():
        async with asyncio.timeout(within_s):
            yield


async def _bounds(consumer: AIOKafkaConsumer, places: Collection[Place]) -> dict[Place, Bounds]:
    at = [TopicPartition(*p) for p in places]
    consumer.assign(at)  # so it learns of all topics at once: asked of offsets alone, it takes 0.1 s for each topic it does not know
    begins, ends = await consumer.beginning_offsets(at), await consumer.end_offsets(at)
    return {(t.topic, t.partition): Bounds(begins[t], ends[t]) for t in at}
