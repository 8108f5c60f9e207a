"""How records lie in a real topic: a test that is about a codec makes sure that it meets the codec."""

from __future__ import annotations

from dataclasses import dataclass

from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.memory_records import MemoryRecords

NAMES = ("none", "gzip", "snappy", "lz4", "zstd")
_MOST_BYTES = 50_000_000


@dataclass(frozen=True, slots=True)
class Stored:
    """A batch as the broker keeps it."""

    offset: int
    codec: str
    size: int


async def batches(servers: str, topic: str, partition: int = 0) -> list[Stored]:
    """The batches of a partition from its first offset on, as many as one answer has; none is unpacked."""
    client = AIOKafkaClient(bootstrap_servers=servers)
    await client.bootstrap()
    try:
        client.add_topic(topic)
        await client.force_metadata_update()
        (node,) = [broker.nodeId for broker in client.cluster.brokers()]
        answer = await client.send(node, FetchRequest(100, 1, _MOST_BYTES, 0, [(topic, [(partition, 0, _MOST_BYTES)])]))
    finally:
        await client.close()
    ((_, ((_, error, *_, kept),)),) = answer.topics
    assert error == 0
    records, found = MemoryRecords(kept), []
    while records.has_next():
        batch = records.next_batch()
        assert isinstance(batch, DefaultRecordBatch)
        found.append(Stored(batch.base_offset, NAMES[batch.compression_type], batch.next_offset - batch.base_offset))
    return found
