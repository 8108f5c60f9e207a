"""Where producers put a key: the partitioners of Kafka's clients that are in use."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from aiokafka.partitioner import murmur2

from stream_app.delivery.placement import Partitioner

_POSITIVE = 0x7FFFFFFF


def by_murmur2(key: bytes, partitions: int) -> int:
    """As the Java client, aiokafka, kafka-python and librdkafka's `murmur2`."""
    return int(murmur2(key) & _POSITIVE) % partitions


def by_crc32(key: bytes, partitions: int) -> int:
    """As librdkafka's default for keyed messages, `consistent_random`, and so confluent-kafka."""
    return zlib.crc32(key) % partitions


PARTITIONERS: Mapping[str, Partitioner] = {"murmur2": by_murmur2, "crc32": by_crc32}
